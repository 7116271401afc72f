"""Covariates in the offline job: read from columns, walked as served, and learnt from."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecaster import artifact
from forecaster.covariates import Covariates
from forecaster.cursor import OnGap
from forecaster.model import Engine, build_forecaster
from forecaster.spec import (
    Covariate,
    HeadSpec,
    Kind,
    ModelSpec,
    NetworkSpec,
    StreamingScaler,
    UniversalTransformSpec,
)
from forecaster.universal import UniversalTransform
from tests.app.running import running
from tests.forecaster.fakes import draw_covariates, random_weights
from training.backtest import backtest, seasons_of, walk_ahead
from training.data import Panel, read_panel
from training.errors import DataError
from training.job import Trained, train
from training.recipe import Asked, Job, Recipe, TuneRecipe, read_job
from training.standing import BUNDLED
from training.streams import samples

TEMP = Covariate(name="temp", kind=Kind.PAST)
WIND = Covariate(name="wind", kind=Kind.PAST, categories=("N", "S"))
PROMO = Covariate(name="promo", kind=Kind.FUTURE)
AGREE = 1e-6

TABLE = """unique_id,ds,y,temp,wind,promo,note
a,2024-01-01,1.0,20.5,N,0,x
b,2024-01-01,2.0,,S,1,x
a,2024-01-02,1.5,21,,1,x
b,2024-01-02,2.5,nan, N ,0,x
"""
STATIC = "unique_id,town,size\nb,York,3\nc,Hull,9\na,Hull,1\n"


def write(folder: Path, table: str = TABLE, static: str = STATIC) -> tuple[Path, Path]:
    folder.joinpath("data.csv").write_text(table)
    folder.joinpath("static.csv").write_text(static)
    return folder / "data.csv", folder / "static.csv"


def test_columns_are_numbers_or_words(tmp_path: Path) -> None:
    file, static = write(tmp_path)
    panel = read_panel(file, covariates=Asked(("temp", "wind"), ("promo",), static))
    assert panel.covariates == (
        TEMP,
        WIND,
        PROMO,
        Covariate(name="town", kind=Kind.STATIC, categories=("Hull", "York")),
        Covariate(name="size", kind=Kind.STATIC, mean=2.0, scale=1.0),  # of a and b
    )
    np.testing.assert_array_equal(panel.series[0].x, [[20.5, 1, 0, 1, 1], [21, np.nan, 1, 1, 1]])
    np.testing.assert_array_equal(panel.series[1].x, [[np.nan, 2, 1, 2, 3], [np.nan, 1, 0, 2, 3]])


def test_a_word_among_numbers_is_a_fault_and_not_one_more_word(tmp_path: Path) -> None:
    """It would make words of all the numbers, without a sound."""
    rows = [f"2024-01-{day:02},{day},{day % 5}" for day in range(1, 29)]
    file, _ = write(tmp_path, "\n".join(["ds,y,temp", *rows, "2024-01-29,29,warm", ""]))

    with pytest.raises(DataError, match=r"row 30, column temp: expected a number, found 'warm';"):
        read_panel(file, covariates=Asked(("temp",)))


def test_a_code_that_is_now_and_then_a_number_is_a_word(tmp_path: Path) -> None:
    rows = [f"2024-01-{day:02},{day},{day % 2 or 'A'}" for day in range(1, 29)]
    file, _ = write(tmp_path, "\n".join(["ds,y,code", *rows, ""]))

    panel = read_panel(file, covariates=Asked(("code",)))

    assert panel.covariates[0].categories == ("1", "A")


def test_what_is_settled_is_read_as_it_is(tmp_path: Path) -> None:
    file, static = write(tmp_path)
    settled = read_panel(file, covariates=Asked(("wind",), ("promo",), static)).covariates
    again = read_panel(file, covariates=settled, static=static)
    assert again.covariates == settled
    with pytest.raises(DataError, match=r"static covariate 'town': .* --static names its file"):
        read_panel(file, covariates=settled)
    other = tmp_path / "other.csv"
    other.write_text(TABLE.replace(",S,", ",W,"))
    with pytest.raises(DataError, match="column wind: expected one of 'N', 'S', or nothing"):
        read_panel(other, covariates=settled, static=static)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (Asked(("tmp",)), "expected a column 'tmp', found .*; --past names another column"),
        (Asked(("temp",), ("temp",)), "covariate 'temp' is named twice"),
        (Asked(future=("y",)), "column 'y' is the target and cannot be a covariate"),
        (Asked(past=("ds",)), "column 'ds' is the time and cannot be a covariate"),
        (Asked(past=("unique_id",)), "column 'unique_id' is the name of the series"),
    ],
)
def test_columns_that_cannot_be_are_refused(tmp_path: Path, asked: Asked, told: str) -> None:
    file, _ = write(tmp_path)
    with pytest.raises(DataError, match=told):
        read_panel(file, covariates=asked)


@pytest.mark.parametrize(
    ("static", "told"),
    [
        ("unique_id,town\na,Hull\n", "expected a row for series 'b', found none"),
        ("unique_id,town\na,Hull\nb,York\na,York\n", "row 4.*'a' stands above already"),
        ("name,town\na,Hull\nb,York\n", "expected a column 'unique_id'"),
        ("unique_id,size\na,1e300\nb,-1e300\n", "column size: the numbers are too far apart"),
    ],
)
def test_a_file_of_static_ones_has_one_row_for_each_series(
    tmp_path: Path, static: str, told: str
) -> None:
    file, path = write(tmp_path, static=static)
    with pytest.raises(DataError, match=told):
        read_panel(file, covariates=Asked(static=path))


def test_words_of_which_there_are_too_many_are_refused(tmp_path: Path) -> None:
    lines = [f"{n},{n % 7}.0,w{n}" for n in range(100)]
    file = tmp_path / "data.csv"
    file.write_text("\n".join(["ds,y,word", *lines]) + "\n")
    with pytest.raises(DataError, match="at most 64 different words, found 100: 'w0', 'w1'"):
        read_panel(file, covariates=Asked(past=("word",)))


def test_covariates_of_which_there_are_too_many_are_refused(tmp_path: Path) -> None:
    names = [f"c{number}" for number in range(257)]
    file = tmp_path / "data.csv"
    file.write_text(f"y,{','.join(names)}\n" + f"1{',2' * 257}\n" * 3)
    with pytest.raises(DataError, match="expected at most 256 covariates, found 257"):
        read_panel(file, covariates=Asked(past=tuple(names)))


def test_steps_that_are_filled_have_no_covariates(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    days = [1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]
    file.write_text("ds,y,temp\n" + "".join(f"2024-01-{day:02d},{day},{day}\n" for day in days))
    panel = read_panel(
        file,
        freq="D",
        on_gap=OnGap.FILL,
        covariates=Asked(past=("temp",)),
    )
    assert np.flatnonzero(np.isnan(panel.series[0].x[:, 0])).tolist() == [3]
    history, test = panel.split(4)
    assert test.series[0].x[:, 0].tolist() == [11, 12, 13, 14]
    assert history.covariates == test.covariates == panel.covariates


def test_the_fingerprint_tells_other_covariates_apart(tmp_path: Path) -> None:
    file, _ = write(tmp_path)
    prints = {
        read_panel(file, covariates=asked).fingerprint
        for asked in (Asked(), Asked(past=("temp",)), Asked(future=("temp",)), Asked(("promo",)))
    }
    assert len(prints) == 4


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), lengths=st.lists(st.integers(4, 40), min_size=1, max_size=3))
def test_training_is_told_what_the_service_is_told(seed: int, lengths: list[int]) -> None:
    specs = (TEMP, WIND, PROMO)
    covariates = Covariates(specs)
    network = NetworkSpec(
        features=UniversalTransform().features + covariates.features, units=(2,), outputs=12
    )
    spec = ModelSpec(
        network=network,
        head=HeadSpec(kind="quantiles"),
        transform=UniversalTransformSpec(),
        scaler=StreamingScaler(),
        covariates=specs,
    )
    forecaster = build_forecaster(spec, random_weights(network))
    rng = np.random.default_rng(seed)
    y = [rng.normal(size=n).cumsum() for n in lengths]
    x = [draw_covariates(specs, n, seed + n) for n in lengths]
    streams = samples(UniversalTransform(), y, covariates=covariates, x=x)
    for values, known, stream in zip(y, x, streams, strict=True):
        records = forecaster.new(1)
        for t in range(len(values) - 1):
            records = forecaster.observe(records, values[t : t + 1], x=known[t : t + 1])
            if t + 1 >= forecaster.context:
                coming = records.copy()
                covariates.foresee(coming, known[t + 1 : t + 2])
                told = forecaster.inputs(coming)[0]
                np.testing.assert_array_equal(told, stream.inputs[t + 1 - forecaster.context])


# Learning from them


def driven(path: Path, kind: str, length: int = 700) -> Path:
    """Write noise on which a covariate acts at once, or one step later."""
    rng = np.random.default_rng(2)
    flag = (rng.random(length) < 0.3).astype(int)
    effect = flag if kind == "future" else np.concatenate([[0], flag[:-1]])
    y = 50.0 + 8.0 * effect + rng.normal(size=length)
    times = pd.date_range("2024-01-01", periods=length, freq="D").strftime("%Y-%m-%d")
    frame = pd.DataFrame({"ds": times, "y": y.round(4), "flag": flag})
    frame.to_csv(path, index=False)
    return path


def rmse_of(trained: Trained, method: str) -> float:
    scores = trained.scores[method]
    assert isinstance(scores, dict)
    rmse = scores["rmse"]
    assert isinstance(rmse, float)
    return rmse


def panels(job: Job, folder: Path) -> tuple[Panel, Panel]:
    settled = artifact.read_manifest(folder).covariates
    return read_panel(job.file, covariates=settled).split(job.test or 1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["past", "future"])
def test_a_covariate_that_tells_is_learnt_and_served(tmp_path: Path, kind: str) -> None:
    file = driven(tmp_path / "data.csv", kind)
    job = Job(
        file=file,
        name="m",
        test=40,
        past=("flag",) if kind == "past" else (),
        future=("flag",) if kind == "future" else (),
        tune=TuneRecipe(rounds=10, learning_rate=0.004),
    )
    trained = train(job, tmp_path / "models")
    rmse, blind = rmse_of(trained, "model"), rmse_of(trained, "universal")
    assert rmse < 0.6 * blind  # noise alone is 1, and 3.8 where the flag is not seen

    history, test = panels(job, trained.folder)
    seasons = seasons_of(history, None)
    walk = backtest(
        artifact.load(trained.folder).forecaster, history, test, season=7, seasons=seasons
    )
    np.testing.assert_allclose(
        walk.forecasts["model"], trained.runs[0].walk.forecasts["model"], rtol=AGREE
    )
    _, late = history.split(60)
    short = [
        backtest(
            artifact.load(trained.folder, engine).forecaster, late, test, season=7, seasons=seasons
        ).forecasts["model"]
        for engine in Engine
    ]
    np.testing.assert_allclose(short[0], short[1], rtol=AGREE)
    ahead = walk_ahead(artifact.load(trained.folder).forecaster, history, test, 3, seasons=seasons)
    third = ahead[2]["rmse"]
    assert isinstance(third, float)
    assert third < 2.0 if kind == "future" else third > 2.0  # nothing leaks from what is to come

    with running(tmp_path / "models", start="training") as service:
        unique_id = history.series[0].unique_id
        times = [str(np.datetime64(int(ds), "us")) for ds in test.series[0].ds]
        for t, y in enumerate(test.series[0].y.tolist()):
            x = {"flag": int(test.series[0].x[t, 0])}
            future = {"x_future": {"flag": [x["flag"]]}} if kind == "future" else {}
            told = service.post("/forecast", unique_id=unique_id, **future)["forecasts"][0]
            expected = walk.forecasts["model"][0, t]
            assert told["mean"] == pytest.approx(expected, rel=AGREE)
            service.post("/observe", unique_id=unique_id, y=y, ds=times[t], x=x)


@pytest.mark.slow
def test_covariates_of_a_model_kept_as_it_is_are_taken_and_say_nothing(tmp_path: Path) -> None:
    file = driven(tmp_path / "data.csv", "past", 200)
    job = Job(file=file, name="m", test=20, past=("flag",))
    trained = train(job, tmp_path / "models")
    assert trained.tried[0].verdict.startswith("kept")
    history, test = panels(job, trained.folder)
    walk = backtest(
        artifact.load(BUNDLED).forecaster,
        history,
        test,
        season=7,
        seasons=seasons_of(history, None),
    )
    np.testing.assert_allclose(
        trained.runs[0].walk.forecasts["model"], walk.forecasts["model"], rtol=AGREE
    )


@pytest.mark.slow
def test_a_plain_network_learns_from_covariates_too(tmp_path: Path) -> None:
    file = driven(tmp_path / "data.csv", "future", 500)
    recipe = Recipe(difference=0, epochs=40)
    job = Job(file=file, name="m", test=50, future=("flag",), method="plain", recipe=recipe)
    trained = train(job, tmp_path / "models")
    assert trained.runs[0].rmse < 2.0


def test_a_job_names_columns_and_its_file_of_static_ones(tmp_path: Path) -> None:
    file, static = write(tmp_path)
    config = tmp_path / "job.toml"
    config.write_text(
        'file = "data.csv"\nname = "m"\npast = ["temp", "wind"]\nstatic = "static.csv"\n'
    )
    job = read_job(config, {}, {})
    assert job.file == file
    assert job.asked == Asked(("temp", "wind"), (), static)

"""Jobs without a recipe: the universal model as it is, or tuned, whichever is better."""

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forecaster import artifact
from forecaster.model import Engine
from tests.forecaster.fakes import write_model
from training import standing
from training.backtest import backtest, seasons_of
from training.data import read_panel
from training.errors import DataError
from training.job import train
from training.recipe import Job, Recipe, TuneRecipe
from training.standing import BUNDLED, cycles_of, find_universal

SHAMPOO = Path(__file__).parents[2] / "examples" / "shampoo.csv"
AGREE = 1e-6


def write(path: Path, start: str, step: str, length: int, *, weekly: float = 0.0) -> Path:
    """Write noise, plus something that comes each week if asked for, every so often."""
    seconds = int(step[:-1]) * {"m": 60, "h": 3600, "D": 86400}[step[-1]]
    times = np.datetime64(start, "s") + seconds * np.arange(length)
    rng = np.random.default_rng(1)
    phase = (times.astype("datetime64[h]").astype(np.int64) % 168) / 168.0
    y = 100.0 + weekly * np.sin(2 * np.pi * phase) + rng.normal(size=length)
    lines = [f"{time},{value:.6f}" for time, value in zip(times, y, strict=True)]
    path.write_text("\n".join(["ds,y", *lines]) + "\n")
    return path


@pytest.mark.parametrize(
    ("step", "length", "expected"),
    [
        ("1h", 200, ()),
        ("1h", 400, ("week",)),
        ("1h", 24 * 740, ("week", "year")),
        ("1m", 1440 * 3, ("day",)),
        ("1D", 300, ()),
        ("1D", 800, ("year",)),
        ("7D", 300, ()),
    ],
)
def test_cycles_are_those_that_seasons_leave(
    tmp_path: Path, step: str, length: int, expected: tuple[str, ...]
) -> None:
    panel = read_panel(write(tmp_path / "a.csv", "2020-01-01", step, length))

    assert cycles_of(panel) == expected


def test_whole_numbers_have_no_calendar(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("ds,y\n" + "".join(f"{n},{n % 7}\n" for n in range(900)))

    assert cycles_of(read_panel(path)) == ()


def test_a_short_series_keeps_the_universal_model(tmp_path: Path) -> None:
    trained = train(Job(file=SHAMPOO, name="mine", test=12), tmp_path)

    model = artifact.load(trained.folder)
    (tried,) = trained.tried
    assert (tried.name, tried.loss) == ("universal", None)
    assert "fewer than 400" in tried.verdict
    assert model.manifest.recipe == {"method": "universal"}
    assert (model.manifest.freq, model.manifest.season) == ("MS", 12)
    assert model.states["shampoo"]["season"].tolist() == [12, 0]
    assert trained.runs[0].rmse < 100.0  # persistence has 136.8
    page = (trained.folder / "report" / "index.html").read_text()
    assert "The universal model, as it is" in page
    assert "What was tried" in page


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A model that was tuned to a week that no season tells of, and its file."""
    folder = tmp_path_factory.mktemp("tuned")
    file = write(folder / "weeks.csv", "2024-01-01", "1h", 900, weekly=3.0)
    job = Job(
        file=file,
        name="weeks",
        test=100,
        season=24,
        tune=TuneRecipe(rounds=10, dropout=0.1, learning_rate=0.003),
    )
    return train(job, folder), file


@pytest.mark.slow
def test_a_longer_series_is_learnt_from(tuned: tuple[Any, Path]) -> None:
    trained, _ = tuned

    universal, better, *_ = trained.tried
    assert better.verdict == "kept"
    assert better.loss < 0.98 * universal.loss
    manifest = artifact.load(trained.folder).manifest
    assert manifest.recipe["method"] == "tuned"
    assert manifest.recipe["calendar"] == ["week"]
    assert manifest.transform.model_dump()["calendar"] == ("week",)
    assert trained.runs[0].rmse < 1.25  # the noise is 1
    assert trained.runs[0].rmse < trained.scores["universal"]["rmse"]
    assert max(trained.runs[0].parity.values()) <= artifact.PARITY
    assert (trained.folder / "report" / "training.png").exists()


@pytest.mark.slow
@pytest.mark.parametrize("engine", list(Engine))
def test_the_written_model_scores_as_reported(tuned: tuple[Any, Path], engine: Engine) -> None:
    trained, file = tuned
    model = artifact.load(trained.folder, engine)
    history, test = read_panel(file).split(100)

    walk = backtest(
        model.forecaster, history, test, season=24, seasons=seasons_of(history, (24, 0))
    )

    found, expected = walk.summary()["model"]["rmse"], trained.scores["model"]["rmse"]
    assert found == pytest.approx(expected, rel=AGREE if engine is Engine.NUMPY else 1e-4)
    assert [int(record["step"]) for record in model.states.values()] == [800]


@pytest.mark.slow
def test_a_far_forecast_keeps_the_calendar(tuned: tuple[Any, Path]) -> None:
    trained, file = tuned
    model = artifact.load(trained.folder)
    (record,) = model.states.values()

    far = model.forecaster.forecast(np.array([record]), h=84)

    panel = read_panel(file)
    days = panel.series[0].ds[800:884] // 3_600_000_000 % 168 / 168.0
    wave = 100.0 + 3.0 * np.sin(2 * np.pi * days)
    assert np.corrcoef(far.mean[0], wave)[0, 1] > 0.8


def test_the_universal_model_is_that_of_the_models_or_the_bundled_one(tmp_path: Path) -> None:
    assert find_universal(tmp_path) == BUNDLED

    shutil.copytree(BUNDLED, tmp_path / "universal")

    assert find_universal(tmp_path) == tmp_path / "universal"


def test_a_model_that_took_its_name_is_not_the_universal_one(tmp_path: Path) -> None:
    write_model(tmp_path / "universal")

    assert find_universal(tmp_path) == BUNDLED


def test_without_a_universal_model_training_says_where_to_put_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is where the package is installed without the models that come with it."""
    monkeypatch.setattr(standing, "BUNDLED", tmp_path / "nowhere" / "universal")

    with pytest.raises(DataError, match=r"expected the universal model, .* copy it there"):
        train(Job(file=SHAMPOO, name="mine", test=12), tmp_path)

    recipe = Recipe(epochs=1)
    trained = train(Job(file=SHAMPOO, name="plain", test=12, recipe=recipe), tmp_path)
    assert "universal" not in trained.scores


@pytest.mark.slow
def test_what_tuning_does_not_help_keeps_the_universal_model(tmp_path: Path) -> None:
    """It was tried with a calendar, of which the universal model is told nothing."""
    file = write(tmp_path / "noise.csv", "2020-01-01", "1D", 900)
    job = Job(file=file, name="noise", test=50, tune=TuneRecipe(rounds=2, updates=2))

    trained = train(job, tmp_path)

    universal, tuned, *_ = trained.tried
    assert universal.verdict == "kept"
    assert tuned.loss is not None
    model = artifact.load(trained.folder)
    assert model.manifest.recipe == {"method": "universal"}
    assert model.manifest.transform.model_dump()["calendar"] == ()


def test_a_season_that_is_named_is_that_of_series_that_tell_none(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("ds,y\n" + "".join(f"{n},{n % 12 + n % 4}\n" for n in range(100)))

    trained = train(Job(file=path, name="mine", test=10, season=(12, 4)), tmp_path)

    model = artifact.load(trained.folder)
    assert model.season == (12, 4)
    assert model.manifest.season == 4
    assert [record["season"].tolist() for record in model.states.values()] == [[12, 4]]
    assert trained.runs[0].walk.season == 4


@pytest.mark.parametrize("season", [(12, 12), (200, 4), (168, 100)])
def test_what_is_no_season_is_refused(season: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Job(file=SHAMPOO, name="mine", season=season)


def write_panel(path: Path, count: int, length: int) -> Path:
    """Write short series of days."""
    y = np.random.default_rng(2).lognormal(3.0, 1.0, (count, length))
    days = np.datetime64("2024-01-01") + np.arange(length)
    lines = [f"s{row},{day},{y[row, at]}" for row in range(count) for at, day in enumerate(days)]
    path.write_text("\n".join(["unique_id,ds,y", *lines]) + "\n")
    return path


@pytest.mark.slow
def test_a_panel_of_short_series_is_held_against_keras_where_it_has_values(tmp_path: Path) -> None:
    file = write_panel(tmp_path / "a.csv", 60, 9)

    trained = train(Job(file=file, name="short", test=1, method="universal"), tmp_path)

    assert max(trained.runs[0].parity.values()) <= artifact.PARITY


def test_with_nothing_to_validate_on_the_universal_model_is_kept(tmp_path: Path) -> None:
    file = write_panel(tmp_path / "a.csv", 250, 5)

    trained = train(Job(file=file, name="short", test=1), tmp_path)

    tried, *_ = trained.tried
    assert tried.verdict == "kept: 0 known observations to validate on, fewer than 60"
    with pytest.raises(DataError, match="0 known observations to validate on"):
        train(Job(file=file, name="tuned", test=1, method="tuned"), tmp_path)


def test_a_part_to_validate_on_that_is_missing_keeps_the_universal_model(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    lines = [f"{n},{'' if 460 <= n < 590 else n % 7}" for n in range(600)]
    path.write_text("\n".join(["ds,y", *lines]) + "\n")

    trained = train(Job(file=path, name="gap", test=10), tmp_path)

    assert "known observations to validate on" in trained.tried[0].verdict


@pytest.mark.slow
def test_where_no_round_fits_the_budget_nothing_is_tuned(tmp_path: Path) -> None:
    file = write(tmp_path / "noise.csv", "2020-01-01", "1h", 500)
    job = Job(file=file, name="noise", test=20, method="tuned", budget=timedelta(0))

    trained = train(job, tmp_path)

    assert [one.verdict for one in trained.tried] == ["kept: no round of tuning did better"]
    assert artifact.load(trained.folder).manifest.recipe == {"method": "universal"}


def test_what_is_too_short_to_tune_with_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="too few observations to tune with: 22 observations"):
        train(Job(file=SHAMPOO, name="mine", test=12, method="tuned"), tmp_path)

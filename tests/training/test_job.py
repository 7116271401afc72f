"""The whole job, on real and made data, with real Keras."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forecaster import artifact
from forecaster.cursor import OnGap
from forecaster.errors import ArtifactError
from forecaster.model import Engine
from forecaster.scores import MEASURES, METHODS
from tests.training.test_peers import Means
from training.backtest import backtest
from training.data import read_panel
from training.errors import DataError
from training.job import train
from training.recipe import Job, Recipe

pytestmark = pytest.mark.slow

SHAMPOO = Path(__file__).parents[2] / "examples" / "shampoo.csv"
AGREE = 1e-6


def write_panel(path: Path, lengths: list[int]) -> Path:
    """Write daily waves of several lengths and sizes."""
    lines = ["unique_id,ds,y"]
    for number, length in enumerate(lengths):
        days = np.datetime64("2024-01-01") + np.arange(length)
        values = 10.0**number * (5 + np.sin(np.arange(length) * 2 * np.pi / 7))
        lines += [f"s{number},{day},{y:.6f}" for day, y in zip(days, values, strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_panel_of_unequal_series_becomes_a_model_that_beats_persistence(tmp_path: Path) -> None:
    file = write_panel(tmp_path / "waves.csv", [60, 45, 90, 30])
    recipe = Recipe(units=(8,), batch=3, window=7, epochs=60, learning_rate=0.01, patience=60)

    trained = train(Job(file=file, name="waves", test=7, recipe=recipe), tmp_path)

    model = artifact.load(trained.folder)
    scores: Any = model.manifest.scores
    assert scores["model"]["rmse"] < scores["persistence"]["rmse"]
    assert (model.manifest.freq, model.manifest.season) == ("D", 7)
    assert model.manifest.data["series"] == 4
    assert {name: int(record["step"]) for name, record in model.states.items()} == {
        "s0": 53,
        "s1": 38,
        "s2": 83,
        "s3": 23,
    }
    assert max(trained.runs[0].parity.values()) <= artifact.PARITY


@pytest.mark.parametrize("loss", ["mse", "quantiles"])
def test_the_written_model_scores_as_reported_on_both_engines(tmp_path: Path, loss: str) -> None:
    recipe = Recipe.model_validate(
        {"units": [3, 2], "batch": 1, "window": 4, "epochs": 3, "loss": loss}
    )
    trained = train(Job(file=SHAMPOO, name="m", test=12, recipe=recipe), tmp_path)
    reported: Any = trained.scores["model"]
    history, test = read_panel(SHAMPOO).split(12)

    for engine in Engine:
        forecaster = artifact.load(trained.folder, engine).forecaster
        scores = backtest(forecaster, history, test, season=12).summary()
        for name in MEASURES:
            assert scores["model"][name] == pytest.approx(reported[name], rel=AGREE)


def test_training_never_sees_the_test_part(tmp_path: Path) -> None:
    """The same job on a file whose test months are other ones gives the same weights."""
    lines = SHAMPOO.read_text().splitlines()
    changed = tmp_path / "shampoo.csv"
    changed.write_text("\n".join(lines[:25] + [f"{line}9" for line in lines[25:]]) + "\n")
    recipe = Recipe(units=(2,), batch=2, window=2, epochs=3, validation=0.4)

    first = train(Job(file=SHAMPOO, name="a", test=12, recipe=recipe), tmp_path)
    second = train(Job(file=changed, name="b", test=12, recipe=recipe), tmp_path)

    assert first.runs[0].spec == second.runs[0].spec
    for name, weight in first.runs[0].weights.items():
        np.testing.assert_array_equal(weight, second.runs[0].weights[name])


def test_further_seeds_tell_the_spread_and_the_kept_model_is_the_recipes(tmp_path: Path) -> None:
    recipe = Recipe(units=(2,), batch=1, window=4, epochs=2, seed=5)
    alone = train(Job(file=SHAMPOO, name="alone", test=12, recipe=recipe), tmp_path)
    several = recipe.model_copy(update={"repeats": 2})

    trained = train(Job(file=SHAMPOO, name="several", test=12, recipe=several), tmp_path)

    spread: Any = trained.scores["seeds"]
    assert spread["seeds"] == [5, 6, 7]
    assert spread["mean"] == pytest.approx(np.mean(spread["rmse"]))
    assert trained.scores["model"] == alone.scores["model"]
    page = (trained.folder / "report" / "index.html").read_text()
    assert "Over 3 seeds" in page


def test_the_report_stands_alone(tmp_path: Path) -> None:
    recipe = Recipe(units=(2,), batch=1, window=4, epochs=2)

    trained = train(Job(file=SHAMPOO, name="m", test=12, recipe=recipe), tmp_path)

    report = trained.folder / "report"
    page = (report / "index.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert "http" not in page.replace("http-equiv", "")
    assert "136.8" in page
    for plot in ("ahead", "calibration", "training", "walk_forward"):
        assert (report / f"{plot}.png").read_bytes().startswith(b"\x89PNG")


def test_a_model_of_that_name_is_not_replaced_unasked(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()

    with pytest.raises(ArtifactError, match=r"expected no model of that name yet.*--force"):
        train(Job(file=SHAMPOO, name="taken"), tmp_path)


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ({"b": ["", "2", "3", "4", "5", "6"]}, "'b': observation 1 is missing; the first 2 "),
        ({"b": ["1", "", "3", "4", "5", "6"]}, "'b': observation 2 is missing; the first 2 "),
        ({"b": ["1", "2", "3"]}, "'b': expected 2 or more observations before the test, found 1"),
        ({"a": ["1", "2", "3", "4", "", ""]}, "no value is known among the last 2 observations"),
    ],
)
def test_what_cannot_be_walked_is_refused_before_the_fit(
    tmp_path: Path, rows: dict[str, list[str]], problem: str
) -> None:
    """It was once refused after the fit, naming neither file nor series."""
    file = tmp_path / "panel.csv"
    whole = {"a": ["1", "2", "3", "4", "5", "6"]} if "a" not in rows else {}
    lines = [f"{name},{y}" for name, values in (whole | rows).items() for y in values]
    file.write_text("\n".join(["unique_id,y", *lines]) + "\n")
    told: list[str] = []

    with pytest.raises(DataError, match=f"panel.csv: .*{problem}"):
        train(Job(file=file, name="p", test=2, method="plain"), tmp_path, on_stage=told.append)

    assert told == [f"Reading {file}"]


def test_what_the_recipe_leaves_open_is_settled_in_manifest_and_report(tmp_path: Path) -> None:
    recipe = Recipe(epochs=2)

    trained = train(Job(file=SHAMPOO, name="m", test=12, recipe=recipe), tmp_path)

    settled = artifact.load(trained.folder).manifest.recipe
    assert (settled["units"], settled["loss"], settled["batch"]) == ([1], "mse", 1)
    assert (settled["window"], settled["epochs"]) == (1, 2)
    page = (trained.folder / "report" / "index.html").read_text()
    assert "units = [1]" in page
    assert "null" not in page


@pytest.mark.parametrize(
    ("choice", "left_out", "expected"),
    [
        (OnGap.SKIP, True, OnGap.SKIP),
        (OnGap.FILL, True, OnGap.FILL),
        (OnGap.FILL, False, OnGap.REJECT),
        (OnGap.REJECT, False, OnGap.REJECT),
    ],
)
def test_the_manifest_tells_what_became_of_gaps(
    tmp_path: Path, choice: OnGap, left_out: bool, expected: OnGap
) -> None:
    file = write_panel(tmp_path / "daily.csv", [40])
    if left_out:
        lines = file.read_text().splitlines()
        file.write_text("\n".join(lines[:20] + lines[21:]) + "\n")
    job = Job(file=file, name="daily", on_gap=choice, recipe=Recipe(epochs=1))

    trained = train(job, tmp_path)

    assert artifact.load(trained.folder).manifest.on_gap is expected


def test_a_series_too_short_to_learn_from_is_refused(tmp_path: Path) -> None:
    file = write_panel(tmp_path / "short.csv", [4])

    with pytest.raises(DataError, match="too few observations: 2 before the test"):
        train(Job(file=file, name="short", test=2, method="plain"), tmp_path)


def test_work_is_told_as_it_goes_on(tmp_path: Path) -> None:
    told: list[str] = []
    recipe = Recipe(units=(1,), batch=1, window=1, epochs=3, validation=0, repeats=1)

    train(
        Job(file=SHAMPOO, name="m", test=12, recipe=recipe),
        tmp_path,
        on_epoch=lambda epoch: told.append(
            f"{epoch.run}/{epoch.runs}, {epoch.number}/{epoch.epochs}"
        ),
        on_stage=told.append,
    )

    walked = "Walking over the test part"
    assert told == [
        f"Reading {SHAMPOO}",
        *("Training", "1/2, 1/3", "1/2, 2/3", "1/2, 3/3", walked),
        *("Training", "2/2, 1/3", "2/2, 2/3", "2/2, 3/3", walked),
        "Writing model and report",
    ]


def test_the_manifest_is_plain_json_without_nan(tmp_path: Path) -> None:
    recipe = Recipe(units=(1,), batch=1, window=1, epochs=1)

    trained = train(Job(file=SHAMPOO, name="m", test=12, season=30, recipe=recipe), tmp_path)

    def refuse(name: str) -> None:
        raise AssertionError(name)

    manifest = json.loads((trained.folder / "manifest.json").read_text(), parse_constant=refuse)
    # A season longer than the history leaves MASE without a scale.
    assert manifest["scores"]["model"]["mase"] is None


def test_peers_stand_in_manifest_and_report_if_they_are_asked_for(tmp_path: Path) -> None:
    job = Job(file=SHAMPOO, name="m", test=12, method="universal")
    stages: list[str] = []

    trained = train(job, tmp_path, peers={"Means": Means}, on_stage=stages.append)

    manifest: Any = artifact.read_manifest(trained.folder).scores
    assert tuple(manifest["peers"]["methods"]) == (*METHODS, "Means")
    assert manifest["peers"]["methods"]["model"] == manifest["model"]
    assert "<td>Means</td>" in (trained.folder / "report/index.html").read_text()
    assert "Fitting peers: 1 of 1" in stages

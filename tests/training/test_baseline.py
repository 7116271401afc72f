"""Jobs whose series no network forecasts better than the last value, or that of a season ago."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forecaster import artifact
from forecaster.model import Engine
from forecaster.scores import LEVELS
from training.backtest import backtest
from training.data import read_panel
from training.job import train
from training.recipe import Job

AGREE = 1e-5


def write(path: Path, y: Any, *, x: Any = None) -> Path:
    """Write a daily series, with a covariate if there is one."""
    days = np.datetime64("2020-01-01") + np.arange(len(y))
    columns = [days, *([f"{value:.6f}" for value in each] for each in (y, x) if each is not None)]
    header = "ds,y" if x is None else "ds,y,temp"
    lines = [",".join(map(str, row)) for row in zip(*columns, strict=True)]
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def repeating(length: int) -> Any:
    """Return weeks that are all alike, but for next to nothing."""
    week = np.array([100.0, 180.0, 60.0, 140.0, 90.0, 20.0, 220.0])
    return week[np.arange(length) % 7] + np.random.default_rng(1).normal(0, 0.5, length)


@pytest.fixture(scope="module")
def repeated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A model of weeks that repeat, and its file."""
    folder = tmp_path_factory.mktemp("repeated")
    file = write(folder / "weeks.csv", repeating(300))
    return train(Job(file=file, name="weeks", test=28), folder / "models"), file


def test_weeks_that_repeat_are_forecast_by_the_week_before(repeated: tuple[Any, Path]) -> None:
    trained, _ = repeated

    scores = trained.scores

    assert scores["model"]["rmse"] == pytest.approx(scores["seasonal_naive"]["rmse"], rel=AGREE)
    assert scores["model"]["rmse"] < 0.9 * scores["universal"]["rmse"]
    assert [one.name for one in trained.tried if one.verdict == "kept"] == [
        "seasonal_naive (RMSE over 90 steps)"
    ]


@pytest.mark.parametrize("engine", list(Engine))
def test_a_baseline_is_served_as_any_model_is(repeated: tuple[Any, Path], engine: Engine) -> None:
    trained, file = repeated
    history, test = read_panel(file).split(28)

    model = artifact.load(trained.folder, engine)
    walk = backtest(model.forecaster, history, test, season=7)

    assert model.manifest.recipe == {"method": "seasonal_naive"}
    assert walk.forecasts["model"] == pytest.approx(walk.forecasts["seasonal_naive"], rel=AGREE)


def test_the_intervals_of_a_baseline_follow_each_series(repeated: tuple[Any, Path]) -> None:
    """Steps of 2 up, 2 down or none: left as they were, 80% intervals would hold half of these."""
    trained, _ = repeated
    forecaster = artifact.load(trained.folder).forecaster
    y = repeating(1000).round(-1) + np.random.default_rng(2).choice([-1.0, 1.0], 1000)

    records = forecaster.seed([y])

    covered = records["covered"][0] / records["scored"][0]
    assert covered == pytest.approx(np.array(LEVELS) / 100.0, abs=0.05)


def test_the_report_says_that_a_baseline_was_kept(repeated: tuple[Any, Path]) -> None:
    trained, _ = repeated

    page = (trained.folder / "report" / "index.html").read_text()

    assert "Seasonal naive, which did better at the end of the history" in page
    assert "not tuned: " in page


def test_walks_are_forecast_by_the_last_value(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    file = write(tmp_path / "walk.csv", 50.0 + np.cumsum(rng.normal(size=150)))

    trained: Any = train(Job(file=file, name="walk", test=20), tmp_path / "models")

    assert artifact.load(trained.folder).manifest.recipe == {"method": "persistence"}
    assert trained.scores["model"]["rmse"] == pytest.approx(
        trained.scores["persistence"]["rmse"], rel=AGREE
    )


def test_a_baseline_takes_covariates_and_is_told_nothing_by_them(tmp_path: Path) -> None:
    temp = np.random.default_rng(4).normal(size=300)
    file = write(tmp_path / "weeks.csv", repeating(300), x=temp)

    trained: Any = train(Job(file=file, name="weeks", test=28, past=("temp",)), tmp_path / "models")

    assert [one.name for one in artifact.load(trained.folder).manifest.covariates] == ["temp"]
    assert trained.scores["model"]["rmse"] == pytest.approx(
        trained.scores["seasonal_naive"]["rmse"], rel=AGREE
    )


def test_a_method_that_is_named_is_not_held_against_baselines(tmp_path: Path) -> None:
    file = write(tmp_path / "weeks.csv", repeating(300))

    trained: Any = train(
        Job(file=file, name="weeks", test=28, method="universal"), tmp_path / "models"
    )

    assert artifact.load(trained.folder).manifest.recipe == {"method": "universal"}


def test_a_dozen_known_values_are_needed_to_keep_a_baseline(tmp_path: Path) -> None:
    y = repeating(60)
    y[20:52] = np.nan
    file = write(tmp_path / "weeks.csv", y)

    trained: Any = train(Job(file=file, name="weeks", test=7), tmp_path / "models")

    assert [one.name for one in trained.tried] == ["universal"]

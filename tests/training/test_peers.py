"""Fitted peers walk the steps of a model, and see nothing of what comes later."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from forecaster.scores import METHODS
from forecaster.spec import QUANTILES
from training.backtest import Walk, seasonal_naive
from training.peers import MOST_SERIES, Peer, compare, find_peers, sample, walk_peer

Floats = NDArray[np.float64]
NAN = float("nan")
EXAMPLES = Path(__file__).parents[2] / "examples"


class Means:
    """A peer that forecasts the mean of what it was fitted to plus the last value."""

    def __init__(self, season: int) -> None:
        self.season = season
        self.seen: list[list[float]] = []

    def fit(self, y: Floats) -> None:
        if not y.any():
            raise NotImplementedError("nothing but noughts")
        self.mean = y.mean()

    def forward(self, y: Floats, h: int, *, level: list[int]) -> dict[str, Floats]:
        self.seen.append(y.tolist())
        told = {"mean": self.mean + y[-1:]}
        for percent in level:
            told |= {
                f"lo-{percent}": told["mean"] - percent,
                f"hi-{percent}": told["mean"] + percent,
            }
        return told


def walk(histories: list[list[float]], y: list[list[float]], season: int = 1) -> Walk:
    """Return a walk of a model that forecast nought throughout."""
    known, actuals = tuple(np.array(one) for one in histories), np.array(y)
    forecasts = dict.fromkeys(METHODS, np.zeros_like(actuals))
    forecasts["persistence"] = seasonal_naive(known, actuals, 1)
    return Walk(
        ids=tuple(f"s{number}" for number in range(len(y))),
        y=actuals,
        forecasts=forecasts,
        quantiles=np.zeros((*actuals.shape, len(QUANTILES))),
        histories=known,
        season=season,
    )


def test_a_peer_is_fitted_once_and_forecasts_each_step_from_what_is_known_by_then() -> None:
    made = Means(1)

    found = walk_peer(walk([[1.0, 3.0]], [[5.0, 7.0, 9.0]]), lambda season: made)

    assert made.seen == [[1.0, 3.0], [1.0, 3.0, 5.0], [1.0, 3.0, 5.0, 7.0]]
    assert found.walk.forecasts["model"].tolist() == [[5.0, 7.0, 9.0]]
    assert found.failed == 0


def test_quantiles_of_a_peer_are_the_bounds_of_its_intervals() -> None:
    found = walk_peer(walk([[0.0, 2.0]], [[1.0]]), Means).walk

    # Around 3: as far as the interval has percent, which is what the fake tells.
    below = [3.0 - percent for percent in (95, 90, 80, 60, 40)]
    above = [3.0 + percent for percent in (40, 60, 80, 90, 95)]
    assert found.quantiles.tolist() == [[[*below, 3.0, *above]]]
    assert found.intervals[80].tolist() == [[[3.0 - 80, 3.0 + 80]]]


def test_missing_values_are_the_last_one_before_the_test_and_the_forecast_in_it() -> None:
    made = Means(1)

    walk_peer(walk([[1.0, NAN, 4.0]], [[NAN, 7.0]]), lambda season: made)

    assert made.seen == [[1.0, 1.0, 4.0], [1.0, 1.0, 4.0, 6.0]]


def test_where_no_fit_comes_about_the_last_value_stands_in_and_is_counted() -> None:
    found = walk_peer(walk([[0.0, 0.0], [1.0, 3.0]], [[8.0, 9.0], [5.0, 7.0]]), Means)

    assert found.failed == 1
    assert found.walk.forecasts["model"].tolist() == [[0.0, 8.0], [5.0, 7.0]]


def test_a_peer_gets_the_season_of_the_walk() -> None:
    made: list[Means] = []

    def make(season: int) -> Peer:
        made.append(Means(season))
        return made[-1]

    walk_peer(walk([[1.0, 2.0]], [[3.0]], season=7), make)

    assert [one.season for one in made] == [7]


def test_all_rows_of_a_comparison_are_of_the_same_series() -> None:
    count = MOST_SERIES + 30
    levels = np.arange(1.0, count + 1)
    whole = walk([[level, level] for level in levels], [[level] for level in levels])
    asked: list[tuple[int, int]] = []

    found: Any = compare(whole, whole, {"Means": Means}, lambda *one: asked.append(one))

    rows = sample(count)
    assert (found["series"], found["of"], found["failed"]) == (MOST_SERIES, count, {"Means": 0})
    assert len(set(rows)) == MOST_SERIES
    # The model says nought, and the fake twice the level: both err by it.
    for method in ("model", "universal", "Means"):
        assert found["methods"][method]["mae"] == pytest.approx(levels[rows].mean())
    assert found["methods"]["persistence"]["mae"] == 0.0
    assert asked[-1] == (MOST_SERIES, MOST_SERIES)


def test_a_few_series_are_all_compared() -> None:
    assert sample(3) == [0, 1, 2]


# With statsforecast


def real(name: str, values: Floats, test: int, season: int) -> tuple[Walk, Any]:
    """Walk a peer of statsforecast, and return it too."""
    pytest.importorskip("statsforecast")
    make: Callable[[int], Any] = find_peers()[name]
    made = make(season)
    whole = walk([values[:-test].tolist()], [values[-test:].tolist()], season)
    found = walk_peer(whole, lambda _: made)
    assert found.failed == 0
    return found.walk, made


def test_exponential_smoothing_is_that_of_the_textbook() -> None:
    """The level follows each actual by alpha, from the first value on: worked out by hand."""
    rng = np.random.default_rng(2)
    values = 50.0 + 0.3 * rng.normal(size=60).cumsum() + rng.normal(size=60)

    found, made = real("AutoETS", values, 10, 1)

    alpha, level = float(made.model_["par"][0]), float(made.model_["par"][4])
    assert made.model_["components"][1:3] == "NN"
    for t, y in enumerate(values):
        if t >= 50:
            assert found.forecasts["model"][0, t - 50] == pytest.approx(level)
        level += alpha * (y - level)


@pytest.mark.parametrize(
    ("name", "rmse"), [("AutoETS", 112.1), ("AutoARIMA", 90.553), ("AutoTheta", 105.27)]
)
def test_peers_score_on_the_worked_example_as_measured_elsewhere(name: str, rmse: float) -> None:
    values = pd.read_csv(EXAMPLES / "shampoo.csv")["y"].to_numpy(float)

    found, _ = real(name, values, 12, 12)

    assert found.series_scores("model")[0]["rmse"] == pytest.approx(rmse, rel=1e-4)


@pytest.mark.parametrize("name", ["AutoETS", "AutoARIMA", "AutoTheta"])
def test_peers_do_not_look_ahead(name: str) -> None:
    values = pd.read_csv(EXAMPLES / "shampoo.csv")["y"].to_numpy(float)
    changed = values.copy()
    changed[-6:] *= 3.0

    found, _ = real(name, values, 12, 12)
    other, _ = real(name, changed, 12, 12)

    for one, two in (
        (found.forecasts["model"], other.forecasts["model"]),
        (found.quantiles, other.quantiles),
    ):
        np.testing.assert_array_equal(one[:, :7], two[:, :7])
    assert not np.array_equal(found.forecasts["model"], other.forecasts["model"])

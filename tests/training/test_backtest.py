"""The walk-forward evaluation, worked out by hand, and that it is what the service does."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from forecaster.calendar import Clock
from forecaster.forecaster import Forecaster
from forecaster.head import Head
from forecaster.scores import METHODS
from forecaster.spec import QUANTILES, HeadSpec, MinMaxScaler, PlainTransformSpec
from forecaster.transform import PlainTransform
from training.backtest import Walk, backtest, default_test, seasonal_naive, walk_ahead
from training.data import Panel, Series
from training.errors import DataError

Array = NDArray[np.float32]
Floats = NDArray[np.float64]


class Repeats:
    """A network whose output is its input: the next change is forecast to be the last one."""

    def step(self, x: Array, h: Array, c: Array) -> tuple[Array, Array, Array]:
        return x, h, c


def forecaster() -> Forecaster:
    scaler = MinMaxScaler(data_min=-1.0, data_max=1.0)
    levels = (0.025, 0.1, 0.5, 0.9, 0.975)
    head = HeadSpec(kind="mean", quantiles=levels, offsets=(-2.0, -1.0, 0.0, 1.0, 2.0))
    return Forecaster(
        transform=PlainTransform(PlainTransformSpec(difference=1), scaler),
        network=Repeats(),
        head=Head(head),
        state_size=1,
    )


def panel(*values: list[float]) -> Panel:
    series = tuple(
        Series(f"s{number}", np.array(y), np.arange(len(y)), np.empty((len(y), 0)))
        for number, y in enumerate(values)
    )
    return Panel(series=series, clock=Clock.NONE, freq=None, fingerprint="0" * 64)


def test_a_walk_forecasts_each_step_before_it_sees_it() -> None:
    history, test = panel([1, 2, 4, 5, 4, 8]).split(3)

    walk = backtest(forecaster(), history, test, season=2)

    # The network's inputs are clipped nowhere near these; 6 = 4 + (4 - 2), and so on.
    np.testing.assert_allclose(walk.forecasts["model"], [[6.0, 6.0, 3.0]], atol=1e-6)
    np.testing.assert_allclose(walk.forecasts["persistence"], [[4.0, 5.0, 4.0]])
    np.testing.assert_allclose(walk.forecasts["seasonal_naive"], [[2.0, 4.0, 5.0]])
    np.testing.assert_allclose(walk.intervals[95], [[[4, 8], [4, 8], [1, 5]]], atol=1e-6)


def test_scores_are_means_over_series_and_coverage_is_over_all_actuals() -> None:
    history, test = panel([1, 2, 4, 5, 4, 8], [0, 0, 0, 0, 0, 0]).split(3)

    scores: Any = backtest(forecaster(), history, test, season=1).summary()

    first = np.sqrt((1 + 4 + 25) / 3)
    assert scores["model"]["rmse"] == pytest.approx(first / 2, rel=1e-6)
    assert scores["model"]["mae"] == pytest.approx((1 + 2 + 5) / 3 / 2, rel=1e-6)
    # The history 1, 2, 4 moves by 1.5 on average; the constant one has no scale, so no MASE.
    assert scores["model"]["mase"] == pytest.approx((1 + 2 + 5) / 3 / 1.5, rel=1e-6)
    assert scores["model"]["coverage"] == {"80": pytest.approx(4 / 6), "95": pytest.approx(5 / 6)}
    assert scores.keys() == {"model", "persistence", "seasonal_naive"}


def test_a_missing_actual_is_stepped_over_and_not_scored() -> None:
    history, test = panel([1, 2, 3, 4, float("nan"), 6]).split(3)

    walk = backtest(forecaster(), history, test, season=1)

    np.testing.assert_allclose(walk.forecasts["model"], [[4.0, 5.0, 6.0]], atol=1e-6)
    assert walk.summary()["model"]["rmse"] == pytest.approx(0.0, abs=1e-6)
    np.testing.assert_allclose(walk.forecasts["persistence"], [[3.0, 4.0, 4.0]])


def test_a_history_too_short_for_a_forecast_is_refused_by_name() -> None:
    history, test = panel([1, 2, 3, 4, 5, 6], [1, 2, 3, 4]).split(3)

    with pytest.raises(
        DataError, match=r"'s1': expected 2 or more observations before the test, found 1"
    ):
        backtest(forecaster(), history, test, season=1)


def test_a_history_that_begins_with_a_missing_value_is_refused_by_name() -> None:
    history, test = panel([1, 2, 3, 4, 5], [1, float("nan"), 3, 4, 5]).split(2)

    with pytest.raises(DataError, match=r"'s1': observation 2 is missing; the first 2 have to be"):
        backtest(forecaster(), history, test, season=1)


def test_a_test_part_without_a_known_actual_is_refused() -> None:
    history, test = panel([1, 2, 3, float("nan"), float("nan")]).split(2)

    with pytest.raises(DataError, match="no value is known among the last 2 observations"):
        backtest(forecaster(), history, test, season=1)


def test_nothing_known_has_no_coverage_and_no_scores() -> None:
    unknown = np.full((1, 2), np.nan)
    walk = Walk(
        ids=("s0",),
        y=unknown,
        forecasts=dict.fromkeys(METHODS, np.ones((1, 2))),
        quantiles=np.ones((1, 2, len(QUANTILES))),
        histories=(np.ones(3),),
        season=1,
    )

    scores = walk.summary()

    assert scores["model"]["rmse"] is None
    assert scores["model"]["coverage"] == {"80": None, "95": None}


def test_progress_counts_the_steps() -> None:
    history, test = panel([1, 2, 3, 4, 5]).split(3)
    seen: list[tuple[int, int]] = []

    backtest(
        forecaster(),
        history,
        test,
        season=1,
        progress=lambda done, total: seen.append((done, total)),
    )

    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_seasonal_naive_falls_back_to_the_last_value_before_a_season_is_known() -> None:
    forecasts = seasonal_naive([np.array([1.0, 2.0])], np.array([[3.0, 4.0]]), 12)

    assert forecasts.tolist() == [[2.0, 3.0]]


def test_a_tenth_of_the_shortest_series_is_held_back_by_default() -> None:
    assert default_test(panel([0.0] * 36, [0.0] * 50)) == 3
    assert default_test(panel([0.0] * 5)) == 1


def test_each_step_ahead_is_scored_alone() -> None:
    """The last change is forecast to go on: from 1, 2 come 3, 4, 5."""
    history, test = panel([1, 2, 3, 4, 6]).split(3)

    ahead = walk_ahead(forecaster(), history, test, 3)

    assert [row["h"] for row in ahead] == [1, 2, 3]
    assert [row["rmse"] for row in ahead] == pytest.approx([(1 / 3) ** 0.5, 0.5**0.5, 1.0])
    assert [row["mae"] for row in ahead] == pytest.approx([1 / 3, 1 / 2, 1.0])
    for row in ahead:
        assert row["coverage"] == {"80": 1.0, "95": 1.0}


def test_the_first_step_ahead_scores_as_the_walk() -> None:
    rng = np.random.default_rng(1)
    history, test = panel(*rng.normal(size=(3, 30)).cumsum(axis=1).tolist()).split(10)

    (first, *_) = walk_ahead(forecaster(), history, test, 4)
    walk = backtest(forecaster(), history, test, season=1).summary()["model"]

    assert (first["rmse"], first["mae"]) == pytest.approx((walk["rmse"], walk["mae"]))
    assert first["coverage"] == pytest.approx(walk["coverage"])


def test_a_walk_of_several_steps_errs_as_each_step_ahead_does() -> None:
    rng = np.random.default_rng(1)
    history, test = panel(*rng.normal(size=(3, 30)).cumsum(axis=1).tolist()).split(10)

    ahead = walk_ahead(forecaster(), history, test, 4)
    errors = backtest(forecaster(), history, test, season=1, h=4).errors_ahead()

    assert errors["model"].tolist() == pytest.approx([row["rmse"] for row in ahead])
    assert errors["persistence"].tolist() == errors["seasonal_naive"].tolist()


def test_a_naive_forecast_of_several_steps_is_of_what_was_known_by_then() -> None:
    history, y = [np.array([1.0, 2.0, 3.0, 4.0])], np.array([[5.0, float("nan"), 7.0, 8.0]])

    assert seasonal_naive(history, y, 1, 2).tolist() == [[3.0, 4.0, 5.0, 5.0]]
    # A season of 3: two steps before it is known still, four steps before it the one before is.
    assert seasonal_naive(history, y, 3, 2).tolist() == [[2.0, 3.0, 4.0, 5.0]]
    assert seasonal_naive(history, y, 3, 4).tolist() == [[1.0, 2.0, 3.0, 4.0]]


def test_pinball_is_of_all_quantiles_and_the_mean_over_series() -> None:
    levels = np.array(QUANTILES)
    y = np.array([[1.0, float("nan")], [0.0, 2.0]])
    walk = Walk(
        ids=("s0", "s1"),
        y=y,
        forecasts=dict.fromkeys(METHODS, np.zeros_like(y)),
        quantiles=np.zeros((*y.shape, len(QUANTILES))),
        histories=(np.ones(3), np.ones(3)),
        season=1,
    )

    # Each actual lies above all quantiles, which are nought: it costs its level's share of it.
    assert walk.pinball() == pytest.approx(levels.mean() * (1.0 + (0.0 + 2.0) / 2) / 2)


def test_no_further_than_the_test_is_scored() -> None:
    history, test = panel([1, 2, 3, 4, 6]).split(2)

    with pytest.raises(DataError, match="expected at most the 2 observations held back, found 3"):
        walk_ahead(forecaster(), history, test, 3)

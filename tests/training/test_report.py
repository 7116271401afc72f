"""What the plots of a report show."""

from dataclasses import replace

import numpy as np
import pytest

from forecaster.calendar import Clock
from forecaster.scores import METHODS
from forecaster.spec import QUANTILES
from training.backtest import Walk
from training.data import Panel, Series
from training.report import (
    draw_ahead,
    draw_calibration,
    draw_walk,
    held_coverage,
    reported_horizon,
)


def walk(errors: list[float]) -> Walk:
    """Return a walk over two steps of a series for each error."""
    y = np.ones((len(errors), 2))
    forecasts = {method: y + np.array(errors)[:, None] for method in METHODS}
    return Walk(
        ids=tuple(f"s{number}" for number in range(len(errors))),
        y=y,
        forecasts=forecasts,
        quantiles=y[..., None] + np.linspace(-1.0, 1.0, len(QUANTILES)),
        histories=tuple(np.array([0.0, 1.0, 0.0]) for _ in errors),
        season=1,
    )


def titles(walk: Walk) -> list[str]:
    return [axes.get_title() for axes in draw_walk(walk).axes]


def test_a_few_series_are_all_drawn() -> None:
    assert titles(walk([3.0, 1.0, 2.0])) == ["s0", "s1", "s2"]


def test_of_many_series_the_best_and_the_worst_are_drawn() -> None:
    assert titles(walk([3.0, 1.0, 5.0, 2.0, 4.0, 2.5])) == [
        "s1, among the best forecast: MASE 1",
        "s3, among the best forecast: MASE 2",
        "s4, among the worst forecast: MASE 4",
        "s2, among the worst forecast: MASE 5",
    ]


def test_a_series_that_stood_still_is_neither() -> None:
    moved = walk([9.0, 1.0, 5.0, 2.0, 4.0])
    found = replace(moved, histories=(np.zeros(3), *moved.histories[1:]))

    assert not any(title.startswith("s0") for title in titles(found))


def uneven() -> Walk:
    """Return a walk of two series whose quantiles are -5 to 5.

    Of the first all actuals lie inside 80%, of the second one of four does and three inside 95%.
    """
    quantiles = np.arange(len(QUANTILES), dtype=float) - 5.0
    y = np.array([[0.5, 0.5, 0.5, np.nan], [0.5, 4.5, -4.5, 9.0]])
    return Walk(
        ids=("a", "b"),
        y=y,
        forecasts=dict.fromkeys(METHODS, np.zeros_like(y)),
        quantiles=np.broadcast_to(quantiles, (*y.shape, len(QUANTILES))),
        histories=(np.ones(3), np.ones(3)),
        season=1,
    )


def test_calibration_shows_the_share_of_actuals_below_each_quantile() -> None:
    axes, _ = draw_calibration(uneven()).axes

    (line,) = [line for line in axes.lines if line.get_label() == "model"]
    below = np.array([0, 1, 1, 1, 1, 1, 5, 5, 5, 5, 6]) / 7
    np.testing.assert_allclose(np.asarray(line.get_xdata()), 100 * np.array(QUANTILES))
    np.testing.assert_allclose(np.asarray(line.get_ydata()), 100 * below)


def test_coverage_of_each_series_is_drawn_for_a_panel_alone() -> None:
    assert [axes.get_title() for axes in draw_calibration(uneven()).axes] == [
        "actuals below each quantile",
        "coverage of each series",
    ]
    assert len(draw_calibration(uneven().of([1])).axes) == 1


def test_coverage_of_each_series_is_of_its_known_actuals() -> None:
    assert uneven().series_coverage(80).tolist() == [1.0, 0.25]
    assert uneven().series_coverage(95).tolist() == [1.0, 0.75]


def test_coverage_of_a_series_is_held_within_five_points() -> None:
    assert held_coverage(uneven()) == {80: 0.0, 95: 0.5}


def test_the_error_by_steps_ahead_is_drawn_beside_the_baselines() -> None:
    found = replace(walk([2.0]), ahead=np.array([[[3.0, 3.0]], [[np.nan, 6.0]]]))

    lines = draw_ahead(found).axes[0].lines

    model, persistence, seasonal = (np.asarray(line.get_ydata()).tolist() for line in lines)
    assert model == [2.0, 5.0]
    # The last value before the test is 0, and all actuals are 1.
    assert persistence == pytest.approx([0.5**0.5, 1.0])
    assert seasonal == persistence


@pytest.mark.parametrize(
    ("steps", "season", "h"), [(100, 1, 12), (100, 7, 12), (100, 24, 24), (100, 168, 24), (9, 1, 4)]
)
def test_a_season_ahead_is_reported_if_half_the_test_is_as_long(
    steps: int, season: int, h: int
) -> None:
    series = Series("s", np.zeros(steps), np.arange(steps), np.empty((0, 0)))
    panel = Panel(series=(series,), clock=Clock.NONE, freq=None, fingerprint="0" * 64)

    assert reported_horizon(panel, season) == h

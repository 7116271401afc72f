"""What the plots of a report show."""

from dataclasses import replace

import numpy as np

from forecaster.scores import METHODS
from forecaster.spec import QUANTILES
from training.backtest import Walk
from training.report import draw_walk


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

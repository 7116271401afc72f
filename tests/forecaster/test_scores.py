import math

import numpy as np
import pytest

from forecaster import scores
from forecaster.head import interval_levels
from forecaster.scores import RunningScores
from forecaster.spec import QUANTILES
from tests.forecaster.fakes import RUNNING, Setup, make_forecaster

EXACT = 1e-9

Y = np.array([1.0, 2.0, 4.0])
FORECAST = np.array([1.0, 4.0, 1.0])  # errors 0, -2, 3


def test_errors_worked_out_by_hand() -> None:
    assert scores.rmse(Y, FORECAST) == pytest.approx(math.sqrt(13 / 3))
    assert scores.mae(Y, FORECAST) == pytest.approx(5 / 3)
    assert scores.smape(Y, FORECAST) == pytest.approx(200 * (0 + 2 / 6 + 3 / 5) / 3)


def test_no_value_and_no_forecast_of_one_is_no_percentage_error() -> None:
    assert scores.smape(np.zeros(2), np.zeros(2)) == 0.0


@pytest.mark.parametrize(("season", "scale"), [(1, 2.0), (2, 4.0)])
def test_mase_is_relative_to_the_seasonal_naive_forecast(season: int, scale: float) -> None:
    history = np.array([1.0, 3.0, 5.0, 7.0])

    found = scores.mase(Y, FORECAST, history=history, season=season)

    assert found == pytest.approx(5 / 3 / scale)


@pytest.mark.parametrize("history", [[1.0, 2.0], [1.0, 2.0, 1.0, 2.0]])
def test_mase_is_nan_without_a_naive_error_to_hold_against(history: list[float]) -> None:
    assert math.isnan(scores.mase(Y, FORECAST, history=np.array(history), season=2))


def test_coverage_counts_the_bounds_as_inside() -> None:
    low, high = np.array([1.0, 2.5, 0.0]), np.array([1.5, 3.0, 4.0])

    assert scores.coverage(Y, low, high) == pytest.approx(2 / 3)


def test_pinball_loss_worked_out_by_hand() -> None:
    y, quantiles = np.array([3.0]), np.array([[1.0, 5.0]])

    # 2 above the first: 0.1 * 2. 2 below the second: 0.1 * 2.
    assert scores.pinball(y, quantiles, np.array([0.1, 0.9])) == pytest.approx(0.2)


@pytest.mark.parametrize("setup", [Setup(), Setup(network="numpy", head="mean", difference=7)])
def test_running_scores_equal_those_of_the_whole_array(setup: Setup) -> None:
    forecaster = make_forecaster(setup)
    y = np.random.default_rng(0).normal(size=200).cumsum()
    records = forecaster.new(1)
    standing = []
    for value in y:
        standing.append(records["forecast"][0])
        records = forecaster.observe(records, np.array([value]))

    found = RunningScores.of(records[0])

    first = forecaster.context
    actuals, forecasts = y[first:], np.array(standing)[first:]
    naive = scores.mae(actuals, y[first - 1 : -1])
    columns = [None, *QUANTILES]
    assert found.scored == len(actuals)
    assert found.mae == pytest.approx(scores.mae(actuals, forecasts[:, 0]), rel=EXACT)
    assert found.rmse == pytest.approx(scores.rmse(actuals, forecasts[:, 0]), rel=EXACT)
    assert found.skill == pytest.approx(1 - scores.mae(actuals, forecasts[:, 0]) / naive, rel=EXACT)
    for level in scores.LEVELS:
        low, high = (columns.index(bound) for bound in interval_levels(level))
        expected = scores.coverage(actuals, forecasts[:, low], forecasts[:, high])
        assert found.coverage[str(level)] == pytest.approx(expected, rel=EXACT)
        assert expected > 0


def test_a_series_without_a_scored_forecast_has_no_scores() -> None:
    forecaster = make_forecaster(Setup())
    records = forecaster.seed([np.array([1.0, 2.0])])

    found = RunningScores.of(records[0])

    assert found == RunningScores(scored=0, mae=None, rmse=None, skill=None, coverage={})


def test_a_series_that_stood_still_has_no_skill_and_lay_on_its_bounds() -> None:
    forecaster = make_forecaster(Setup(scaler=RUNNING))
    records = forecaster.seed([np.ones(5)])

    found = RunningScores.of(records[0])

    assert found.scored == 3
    assert found.skill is None
    assert found.coverage == {"80": 1.0, "95": 1.0}


def test_errors_whose_squares_overflow_have_a_root_mean_square() -> None:
    forecaster = make_forecaster(Setup())
    records = forecaster.seed([np.array([0.0, 0.0, 1e300, -1e300])])

    found = RunningScores.of(records[0])

    assert found.rmse == pytest.approx(math.sqrt((1**2 + 2**2) / 2) * 1e300, rel=1e-3)

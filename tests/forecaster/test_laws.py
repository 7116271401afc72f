"""What holds for every forecaster, whatever its network, head, transform and policy."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from forecaster.calendar import Clock
from forecaster.errors import SeriesNotWarmError
from forecaster.forecaster import Forecaster, Records
from forecaster.head import Head
from forecaster.scores import RunningScores
from forecaster.spec import LARGEST_VALUE, QUANTILES, Policy
from tests.forecaster.fakes import (
    MINMAX,
    RUNNING,
    Setup,
    head_spec,
    make_forecaster,
    make_network,
)

Floats = NDArray[np.float64]

# Stepping together and alone may differ by float32 rounding, counted in network units.
ROUNDING = 1e-5
RELATIVE = 1e-6
# Observations after which a fake network has halved away whatever went before.
LONG_ENOUGH = 60

# More than the longest context, a difference at lag 7, needs.
WARM = 8

setups = st.builds(
    Setup,
    network=st.sampled_from(["fake", "numpy"]),
    head=st.sampled_from(["mean", "quantiles"]),
    difference=st.sampled_from([0, 1, 7]),
    scaler=st.sampled_from([MINMAX, RUNNING]),
    policy=st.sampled_from(Policy),
)
values = st.floats(-1e3, 1e3)
extremes = st.one_of(
    values, st.sampled_from([LARGEST_VALUE, -LARGEST_VALUE, 1e-300, -1e-300, 5e-324, 0.0])
)
histories = st.lists(values, min_size=WARM, max_size=16)
panels = st.lists(histories, min_size=1, max_size=4)
levels = st.lists(st.floats(0.001, 0.999), max_size=4)


def walk(forecaster: Forecaster, history: list[float], records: Records | None = None) -> Records:
    """Return the record after these values, one by one."""
    if records is None:
        records = forecaster.new(1)
    for value in history:
        records = forecaster.observe(records, np.array([value]))
    return records


def seed(forecaster: Forecaster, panel: list[list[float]]) -> Records:
    return forecaster.seed([np.array(history) for history in panel])


def spread(panel: list[list[float]]) -> float:
    """Return how much of the values' own unit one network unit can be."""
    return max(2 * max(abs(value) for history in panel for value in history), 5.0)


def assert_alike(found: Records, expected: Records, *, unit: float) -> None:
    """Assert that records differ by rounding at most."""
    for name in expected.dtype.names or ():
        if expected[name].dtype.kind != "f":
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
            continue
        atol = ROUNDING if name in ("h", "c") else ROUNDING * unit
        np.testing.assert_allclose(
            found[name], expected[name], rtol=RELATIVE, atol=atol, err_msg=name
        )


def assert_finite(records: Records) -> None:
    """Assert that every number is one; only `error` and `stood` may say that there was none."""
    for name in records.dtype.names or ():
        if name not in ("error", "stood"):  # NaN without a forecast
            assert np.isfinite(records[name]).all(), name
    assert not np.isinf(records["error"]).any()
    assert not np.isinf(records["stood"]).any()


@given(setups, panels, st.integers(1, 4), levels)
def test_forecasting_twice_gives_the_same_and_moves_nothing(
    setup: Setup, panel: list[list[float]], h: int, asked: list[float]
) -> None:
    forecaster = make_forecaster(setup)
    records = seed(forecaster, panel)
    before = records.tobytes()

    first = forecaster.forecast(records, h, asked)
    second = forecaster.forecast(records, h, asked)

    assert first.mean.shape == (len(panel), h)
    assert first.quantiles.shape == (len(panel), h, len(asked))
    np.testing.assert_array_equal(first.mean, second.mean)
    np.testing.assert_array_equal(first.quantiles, second.quantiles)
    assert records.tobytes() == before


@given(setups, histories, st.one_of(values, st.just(float("nan"))))
def test_observing_leaves_the_records_it_is_given(
    setup: Setup, history: list[float], value: float
) -> None:
    forecaster = make_forecaster(setup)
    records = walk(forecaster, history)
    before = records.tobytes()

    after = forecaster.observe(records, np.array([value]))

    assert records.tobytes() == before
    assert after["step"][0] == len(history) + 1


@given(setups, histories, values, st.integers(1, 3), levels)
def test_forecasting_before_observing_changes_nothing(
    setup: Setup, history: list[float], value: float, h: int, asked: list[float]
) -> None:
    forecaster = make_forecaster(setup)
    records = walk(forecaster, history)
    expected = forecaster.observe(records, np.array([value])).tobytes()

    forecaster.forecast(records, h, asked)
    found = forecaster.observe(records, np.array([value]))

    assert found.tobytes() == expected


@given(setups, panels, st.randoms(use_true_random=False))
def test_interleaved_series_equal_series_one_after_another(
    setup: Setup, panel: list[list[float]], random: Random
) -> None:
    forecaster = make_forecaster(setup)
    expected = [walk(forecaster, history) for history in panel]
    turns = [row for row, history in enumerate(panel) for _ in history]
    random.shuffle(turns)

    records = [forecaster.new(1) for _ in panel]
    rest = [iter(history) for history in panel]
    for row in turns:
        records[row] = walk(forecaster, [next(rest[row])], records[row])

    for found, alone in zip(records, expected, strict=True):
        assert found.tobytes() == alone.tobytes()


@given(setups, panels, st.data())
def test_series_observed_together_equal_series_observed_alone(
    setup: Setup, panel: list[list[float]], data: st.DataObject
) -> None:
    forecaster = make_forecaster(setup)
    alone = [walk(forecaster, history) for history in panel]
    together = np.concatenate(alone)
    new = data.draw(st.lists(values, min_size=len(panel), max_size=len(panel)))

    found = forecaster.observe(together, np.array(new))

    expected = [walk(forecaster, [y], record) for y, record in zip(new, alone, strict=True)]
    assert_alike(found, np.concatenate(expected), unit=spread([*panel, new]))


@given(setups, panels, st.integers(1, 3), levels)
def test_series_forecast_together_equal_series_forecast_alone(
    setup: Setup, panel: list[list[float]], h: int, asked: list[float]
) -> None:
    forecaster = make_forecaster(setup)
    records = seed(forecaster, panel)

    together = forecaster.forecast(records, h, asked)

    for row in range(len(panel)):
        alone = forecaster.forecast(records[row : row + 1], h, asked)
        atol = ROUNDING * spread(panel)
        np.testing.assert_allclose(together.mean[row], alone.mean[0], RELATIVE, atol)
        np.testing.assert_allclose(together.quantiles[row], alone.quantiles[0], RELATIVE, atol)


@given(setups, st.lists(st.lists(values, min_size=1, max_size=16), min_size=1, max_size=4))
def test_a_seed_of_ragged_histories_equals_observing_one_by_one(
    setup: Setup, panel: list[list[float]]
) -> None:
    forecaster = make_forecaster(setup)

    found = seed(forecaster, panel)

    expected = np.concatenate([walk(forecaster, history) for history in panel])
    assert_alike(found, expected, unit=spread(panel))


@given(setups, histories)
def test_a_reset_keeps_all_but_the_state_and_forecasts_from_zero(
    setup: Setup, history: list[float]
) -> None:
    forecaster = make_forecaster(setup)
    records = walk(forecaster, history)
    before = records.tobytes()

    reset = forecaster.reset(records)

    zero = np.zeros_like(records["h"])
    outputs, _, _ = make_network(setup).step(forecaster.transform.inputs(records), zero, zero)
    forecast = forecaster.transform.unscale(records, Head(head_spec(setup.head)).read(outputs))
    np.testing.assert_array_equal(reset["forecast"], forecast)
    assert not reset["h"].any()
    assert not reset["c"].any()
    for name in set(records.dtype.names or ()) - {"h", "c", "forecast"}:
        np.testing.assert_array_equal(reset[name], records[name])
    assert records.tobytes() == before


@given(setups, st.lists(values, max_size=16))
def test_carrying_with_a_reset_after_each_step_equals_resetting_by_policy(
    setup: Setup, history: list[float]
) -> None:
    carrying = make_forecaster(setup._replace(policy=Policy.CARRY))
    resetting = make_forecaster(setup._replace(policy=Policy.RESET_EACH_STEP))
    by_hand, by_policy = carrying.new(1), resetting.new(1)

    for value in history:
        by_hand = carrying.reset(walk(carrying, [value], by_hand))
        by_policy = walk(resetting, [value], by_policy)

        assert by_hand.tobytes() == by_policy.tobytes()


@given(setups, histories)
def test_observing_its_own_forecast_gives_the_second_step_of_the_horizon(
    setup: Setup, history: list[float]
) -> None:
    forecaster = make_forecaster(setup)
    records = walk(forecaster, history)

    ahead = forecaster.forecast(records, h=2)
    after = forecaster.forecast(forecaster.observe(records, ahead.mean[:, 0]))

    np.testing.assert_allclose(
        after.mean[0, 0], ahead.mean[0, 1], rtol=RELATIVE, atol=ROUNDING * spread([history])
    )


@given(setups, histories)
def test_a_missing_value_steps_like_the_standing_forecast_and_is_not_scored(
    setup: Setup, history: list[float]
) -> None:
    forecaster = make_forecaster(setup)
    records = walk(forecaster, history)

    missing = forecaster.observe(records, np.array([np.nan]))

    taken = forecaster.observe(records, records["forecast"][:, 0])
    moved = {"step", "y", "tail", "rms", "h", "c", "forecast"} & set(records.dtype.names or ())
    for name in moved:
        np.testing.assert_array_equal(missing[name], taken[name])
    assert missing["missing"][0]
    assert not taken["missing"][0]
    assert np.isnan(missing["error"][0])
    assert RunningScores.of(missing[0]) == RunningScores.of(records[0])
    assert not forecaster.observe(missing, np.array([1.0]))["missing"][0]


@given(setups, st.lists(values, max_size=WARM))
def test_a_series_forecasts_from_its_context_on_and_says_what_is_missing_before(
    setup: Setup, history: list[float]
) -> None:
    forecaster = make_forecaster(setup)
    records = walk(forecaster, history)
    before = records.tobytes()
    missing = setup.difference + 1 - len(history)

    if missing > 0:
        with pytest.raises(SeriesNotWarmError, match=rf"{missing} more observations? needed"):
            forecaster.forecast(records)
        with pytest.raises(SeriesNotWarmError, match=rf"{len(history)} so far"):
            forecaster.observe(records, np.array([np.nan]))
    else:
        assert np.isfinite(forecaster.forecast(records).mean).all()

    assert records.tobytes() == before


@given(setups, st.lists(extremes, min_size=WARM, max_size=16), st.integers(1, 3), levels)
def test_quantiles_never_cross(
    setup: Setup, history: list[float], h: int, asked: list[float]
) -> None:
    forecaster = make_forecaster(setup)
    records = walk(forecaster, history)

    found = forecaster.forecast(records, h, sorted([*asked, *QUANTILES]))

    assert (np.diff(found.quantiles, axis=2) >= 0).all()


@given(setups, histories)
def test_the_levels_of_the_model_come_back_exactly(setup: Setup, history: list[float]) -> None:
    forecaster = make_forecaster(setup)
    records = walk(forecaster, history)

    found = forecaster.forecast(records, levels=QUANTILES)

    np.testing.assert_array_equal(found.mean[:, 0], records["forecast"][:, 0])
    np.testing.assert_array_equal(found.quantiles[:, 0], records["forecast"][:, 1:])


@given(setups, panels, st.integers(-(2**40), 2**40))
def test_a_record_survives_its_bytes(setup: Setup, panel: list[list[float]], ds: int) -> None:
    forecaster = make_forecaster(setup)
    times = np.full(len(panel), ds)
    records = forecaster.observe(seed(forecaster, panel), np.ones(len(panel)), times, Clock.INTEGER)

    back = np.frombuffer(records.tobytes(), forecaster.dtype)

    assert back["ds"].tolist() == times.tolist()
    assert (back["clock"] == Clock.INTEGER).all()
    assert back.tobytes() == records.tobytes()
    expected = forecaster.observe(records, np.zeros(len(panel)))
    assert forecaster.observe(back, np.zeros(len(panel))).tobytes() == expected.tobytes()


@given(setups, st.lists(extremes, min_size=1, max_size=24), levels)
def test_no_value_however_extreme_leaves_a_number_that_is_none(
    setup: Setup, history: list[float], asked: list[float]
) -> None:
    forecaster = make_forecaster(setup)
    records = forecaster.new(1)

    for value in history:
        records = walk(forecaster, [value], records)

        assert_finite(records)
        if records["step"][0] >= forecaster.context:
            found = forecaster.forecast(records, 3, asked)
            assert np.isfinite(found.mean).all()
            assert np.isfinite(found.quantiles).all()


@given(setups, st.lists(extremes, min_size=WARM, max_size=WARM + 2))
def test_no_run_of_missing_values_however_long_runs_off(setup: Setup, history: list[float]) -> None:
    forecaster = make_forecaster(setup)

    records = walk(forecaster, [*history, *[np.nan] * 40])

    assert_finite(records)


@given(setups, extremes, histories)
def test_a_series_recovers_from_a_jump(setup: Setup, jump: float, history: list[float]) -> None:
    """With a scale of its own a series keeps the jump in that scale; all else is forgotten."""
    forecaster = make_forecaster(setup._replace(network="fake", scaler=MINMAX))
    calm = [float(np.sin(t)) for t in range(LONG_ENOUGH)]

    found = walk(forecaster, [*history, jump, *calm])

    expected = walk(forecaster, [*history, 0.0, *calm])
    np.testing.assert_allclose(found["forecast"], expected["forecast"], RELATIVE, ROUNDING)


@given(setups, values, st.integers(WARM, 30))
def test_a_series_that_never_moves_stays_finite(setup: Setup, value: float, count: int) -> None:
    forecaster = make_forecaster(setup)

    records = walk(forecaster, [value] * count)

    assert_finite(records)
    if setup.difference and setup.scaler is RUNNING:
        assert (records["forecast"] == value).all()

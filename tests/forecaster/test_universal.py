"""The universal transform, alone: no network says anything, so the base is the forecast."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from forecaster.calendar import DAY, Clock
from forecaster.record import record_dtype
from forecaster.spec import LONGEST_INNER_SEASON, LONGEST_SEASON
from forecaster.universal import BASE, FEATURES, HARMONICS, UniversalTransform
from training.prior import generate

Floats = NDArray[np.float64]
Records = NDArray[np.void]

TRANSFORM = UniversalTransform()
DTYPE = record_dtype(state_size=0, width=1, transform=TRANSFORM.fields)
SEASONS = ((0, 0), (4, 0), (12, 0), (24, 0), (168, 24))

seeds = st.integers(0, 2**32 - 1)
seasons = st.sampled_from(SEASONS)


def new(count: int, season: tuple[int, int] = (0, 0)) -> Records:
    records = np.zeros(count, DTYPE)
    records["season"] = season
    return records


def observe(records: Records, y: Floats) -> None:
    """Take values of shape `(T, K)` into K records, in place."""
    for row in y:
        TRANSFORM.observe(records, row)
        records["step"] += 1


def bases(y: Floats, season: tuple[int, int] = (0, 0)) -> Floats:
    """Return the base that stood for each value of `y (T, K)`, NaN where there was none."""
    records = new(y.shape[1], season)
    found = np.full(y.shape, np.nan)
    for t, row in enumerate(y):
        if t >= TRANSFORM.context:
            found[t] = records["ahead"][:, BASE]
        observe(records, row[None])
    return found


def error(y: Floats, forecast: Floats, last: int) -> float:
    """Return the root mean square error over the last values."""
    return float(np.sqrt(np.mean(np.square(y - forecast)[-last:])))


# What it learns


def test_a_season_is_learnt() -> None:
    rng = np.random.default_rng(1)
    t = np.arange(600)[:, None]
    y = 50.0 + 10.0 * rng.normal(size=(12, 8))[t[:, 0] % 12] + rng.normal(size=(600, 8))

    found = bases(y, (12, 0))

    assert error(y, found, 200) < 1.15


def test_a_shorter_season_within_the_longer_is_learnt_before_the_longer_has_passed() -> None:
    rng = np.random.default_rng(2)
    t = np.arange(160)
    y = 10.0 * rng.normal(size=(24, 8))[t % 24] + rng.normal(size=(160, 8))

    assert error(y, bases(y, (168, 24)), 60) < 0.5 * error(y, bases(y), 60)


def test_an_autoregression_is_learnt() -> None:
    rng = np.random.default_rng(3)
    y, noise = np.zeros((1500, 8)), rng.normal(size=(1500, 8))
    for t in range(2, 1500):
        y[t] = 1.2 * y[t - 1] - 0.5 * y[t - 2] + noise[t]

    assert error(y, bases(y), 500) < 1.03


def test_a_random_walk_is_forecast_about_as_its_last_value() -> None:
    y = np.random.default_rng(4).normal(size=(1500, 8)).cumsum(axis=0)

    assert error(y, bases(y), 500) < 1.02


def test_what_changes_is_learnt_anew() -> None:
    rng = np.random.default_rng(5)
    t = np.arange(2000)
    first, second = rng.normal(size=(2, 12, 8)) * 10.0
    y = np.where((t < 1000)[:, None], first[t % 12], second[t % 12]) + rng.normal(size=(2000, 8))

    assert error(y, bases(y, (12, 0)), 200) < 1.3


def test_the_scale_is_that_of_the_errors() -> None:
    rng = np.random.default_rng(6)
    y = rng.normal(size=(2000, 64)).cumsum(axis=0)
    records = new(64)
    observe(records, y)

    z = TRANSFORM.scale(records, y[-1:].T + rng.normal(size=(64, 400)))

    assert np.sqrt(np.mean(np.square(z))) == pytest.approx(1.0, abs=0.1)


# Laws


@given(seeds, seasons, st.integers(5, 120))
def test_series_side_by_side_are_the_same_as_alone(
    seed: int, season: tuple[int, int], steps: int
) -> None:
    y = generate(np.random.default_rng(seed), 3, steps).y.T
    together = new(3, season)
    observe(together, y)

    for row in range(3):
        alone = new(1, season)
        observe(alone, y[:, row : row + 1])
        found, expected = TRANSFORM.inputs(together)[row], TRANSFORM.inputs(alone)[0]
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


@given(seeds, seasons, st.sampled_from([37.0, 1e-200, 1e200, 0.001]))
def test_a_multiple_of_a_series_is_the_same_series(
    seed: int, season: tuple[int, int], factor: float
) -> None:
    y = generate(np.random.default_rng(seed), 4, 60).y.T
    plain, times = new(4, season), new(4, season)
    observe(plain, y)
    observe(times, factor * y)

    np.testing.assert_allclose(
        TRANSFORM.inputs(times), TRANSFORM.inputs(plain), rtol=1e-3, atol=1e-3
    )
    np.testing.assert_allclose(
        times["ahead"][:, BASE],
        factor * plain["ahead"][:, BASE],
        rtol=2e-3,
        atol=1e-4 * factor * np.abs(y).max(),
    )


def test_by_a_power_of_two_it_is_the_same_to_the_last_bit() -> None:
    y = generate(np.random.default_rng(7), 16, 300).y.T
    plain, times = new(16, (12, 0)), new(16, (12, 0))
    observe(plain, y)
    observe(times, 1024.0 * y)

    assert np.array_equal(TRANSFORM.inputs(times), TRANSFORM.inputs(plain))
    assert np.array_equal(times["ahead"][:, BASE], 1024.0 * plain["ahead"][:, BASE])


@given(seeds, st.integers(2, 60), st.floats(-1e6, 1e6))
def test_the_future_changes_nothing_before_it(seed: int, at: int, other: float) -> None:
    y = generate(np.random.default_rng(seed), 2, 80).y.T
    changed = y.copy()
    changed[at:] += other

    assert np.array_equal(bases(y)[: at + 1], bases(changed)[: at + 1], equal_nan=True)


# Odd series

ODD: dict[str, Floats] = {
    "constant": np.full(300, 7.0),
    "zeros": np.zeros(3000),
    "tiny": 1e-300 * np.random.default_rng(1).normal(size=300),
    "subnormal": 5e-324 * np.arange(300.0),
    "huge": 1e300 * np.random.default_rng(2).uniform(-1, 1, size=300),
    "far off": 1e12 + np.random.default_rng(3).normal(size=300),
    "a jump": np.repeat([1.0, 1e9], 150) + np.random.default_rng(4).normal(size=300),
    "a spike": np.where(np.arange(300) == 200, 1e12, np.random.default_rng(5).normal(size=300)),
    "zeros, then not": np.repeat([0.0, 5.0], 150),
    "counts": np.random.default_rng(6).poisson(0.2, size=300).astype(float),
    "alternating": np.tile([-1.0, 1.0], 150),
    "growing": 1.5 ** np.arange(300.0),
}


@pytest.mark.parametrize("season", [(0, 0), (12, 0)])
@pytest.mark.parametrize("name", ODD)
def test_an_odd_series_has_numbers_of_its_own_size_for_forecasts(
    name: str, season: tuple[int, int]
) -> None:
    y = ODD[name]
    records = new(1, season)
    largest = np.maximum.accumulate(np.abs(y))
    for t, value in enumerate(y):
        observe(records, np.array([[value]]))
        assert np.isfinite(TRANSFORM.inputs(records)).all()
        assert abs(records["ahead"][:, BASE][0]) <= min(40.0 * largest[t], 1e308), t
        assert 0.0 <= records["size"][0] <= min(40.0 * largest[t], 1e308), t


def test_a_series_that_never_moves_is_forecast_to_stay() -> None:
    records = new(1)
    observe(records, np.full((100, 1), 7.0))

    assert records["ahead"][:, BASE][0] == 7.0
    assert TRANSFORM.unscale(records, np.array([[-3.0, 3.0]])) == pytest.approx(7.0, abs=1e-6)


@pytest.mark.parametrize("jump", [1e3, 1e9])
def test_it_recovers_from_a_jump(jump: float) -> None:
    y = np.random.default_rng(8).normal(size=(700, 16))
    y[300:] += jump

    found = bases(y)

    assert error(y, found, 100) < 1.2


@pytest.mark.parametrize(("at", "most"), [(4, 2.5), (300, 1.2)])
def test_it_recovers_from_an_outlier(at: int, most: float) -> None:
    y = np.random.default_rng(9).normal(size=(at + 200, 16))
    y[at] = 1e9

    found = bases(y)

    assert error(y, found, 100) < most
    assert error(y, found, 190) < 1e3


@pytest.mark.parametrize(
    "season",
    [(1, 0), (2, 0), (3, 2), (LONGEST_SEASON, 0), (LONGEST_SEASON, LONGEST_INNER_SEASON)],
)
def test_seasons_of_any_length_fit(season: tuple[int, int]) -> None:
    rng = np.random.default_rng(10)
    y = rng.normal(size=(4 * LONGEST_SEASON, 2)).cumsum(axis=0)
    records = new(2, season)
    observe(records, y)

    assert TRANSFORM.inputs(records).shape == (2, FEATURES)
    assert np.isfinite(records["ahead"][:, BASE]).all()


# Missing values


def test_a_missing_value_teaches_nothing() -> None:
    y = generate(np.random.default_rng(11), 4, 60).y.T
    records = new(4, (12, 0))
    observe(records, y)
    before = records.copy()
    records["missing"] = [True, False, True, False]

    observe(records, y[-1:] + 1.0)

    for name in ("rms", "level", "steps", "weights", "long_covariance", "short_covariance"):
        same = (records[name] == before[name]).reshape(4, -1).all(axis=1)
        assert same.tolist() == [True, False, True, False], name
    assert np.array_equal(records["recent"][:, 0], y[-1] + 1.0)


def test_the_scale_stays_while_values_are_missing() -> None:
    records = new(32)
    observe(records, np.random.default_rng(12).normal(size=(200, 32)))
    before = records["size"].copy()
    records["missing"] = True

    for _ in range(50):
        observe(records, records["ahead"][None, :, BASE])

    np.testing.assert_allclose(records["size"], before, rtol=1e-6)


# The calendar


def test_the_network_is_told_where_in_its_cycles_a_time_lies() -> None:
    transform = UniversalTransform(["day", "week", "year"])
    records = np.zeros(3, record_dtype(state_size=0, width=1, transform=transform.fields))
    # A Thursday at noon, the same in the middle of a year, and a series without times.
    moments = ["1970-01-01T12:00", "1970-07-02T12:00", "1970-01-01T12:00"]
    records["ds"] = np.array(moments, "datetime64[us]").astype(np.int64)
    records["clock"] = [Clock.TIME, Clock.TIME, Clock.NONE]
    transform.observe(records, np.ones(3))

    waves = transform.inputs(records)[:, FEATURES:].reshape(3, 3, HARMONICS, 2)

    day = np.array([[0.0, -1.0], [0.0, 1.0]])  # sine and cosine of half a turn, and of a whole one
    np.testing.assert_allclose(waves[:2, 0], [day, day], atol=1e-6)
    angle = 2 * np.pi / 14
    np.testing.assert_allclose(waves[0, 1, 0], [np.sin(angle), np.cos(angle)], atol=1e-6)
    np.testing.assert_allclose(waves[1, 2, 0], [0.0, -1.0], atol=0.01)
    assert not waves[2].any()


def test_times_before_1970_lie_in_cycles_too() -> None:
    transform = UniversalTransform(["day"])
    records = np.zeros(1, record_dtype(state_size=0, width=1, transform=transform.fields))
    records["ds"], records["clock"] = -DAY // 4, Clock.TIME
    transform.observe(records, np.ones(1))

    np.testing.assert_allclose(transform.inputs(records)[0, FEATURES:][:2], [-1.0, 0.0], atol=1e-6)

"""The prior: batches keep their promises, and each process has the statistics that it states.

Tolerances come from the number of series: a few times the error of a mean over that many.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from training import prior
from training.prior import SHARES, Batch, Kind, Process, generate

Floats = NDArray[np.float64]

LARGEST, SMALLEST = 1e9, 1e-6


def made(
    process: Process, n: int, length: int, *, season: int = 1, second: int = 0, seed: int = 0
) -> Floats:
    """Return what a process makes before it is disturbed, a row for each series."""
    rng = np.random.default_rng(seed)
    return process(rng, np.full(n, season), np.full(n, second), length).T


def noise(n: int, length: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal((length, n))


def autocorrelation(y: Floats, lag: int = 1) -> Floats:
    """Return that of each row, which has mean 0."""
    covariance: Floats = (y[:, lag:] * y[:, :-lag]).mean(axis=1)
    variance: Floats = (y**2).mean(axis=1)
    return covariance / variance


def strength(y: Floats, season: int) -> Floats:
    """Return the share of each row's variance that its phase explains."""
    whole = y[:, : y.shape[1] // season * season].reshape(len(y), -1, season)
    rest = (whole - whole.mean(axis=1, keepdims=True)).var(axis=(1, 2))
    explained: Floats = 1 - rest / whole.var(axis=(1, 2))
    return explained


def main_period(y: Floats) -> Floats:
    """Return the period with the most power in each row."""
    power = np.abs(np.fft.rfft(y - y.mean(axis=1, keepdims=True), axis=1)) ** 2
    period: Floats = y.shape[1] / np.maximum(power.argmax(axis=1), 1)
    return period


def skewness(y: Floats) -> Floats:
    z = (y - y.mean(axis=1, keepdims=True)) / y.std(axis=1, keepdims=True)
    third: Floats = (z**3).mean(axis=1)
    return third


@pytest.fixture(scope="module")
def batch() -> Batch:
    return generate(np.random.default_rng(1), 2000, 160)


# --- Batches


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(0, 30), length=st.integers(2, 120))
def test_a_batch_has_its_shapes_and_types_and_is_finite(seed: int, count: int, length: int) -> None:
    batch = generate(np.random.default_rng(seed), count, length)

    assert batch.y.shape == (count, length)
    assert batch.y.dtype == np.float64
    for field in (batch.season, batch.second, batch.kind):
        assert field.shape == (count,)
        assert field.dtype == np.int64
    assert batch.positive.shape == (count,)
    assert batch.positive.dtype == np.bool_
    assert np.isfinite(batch.y).all()


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_the_same_seed_gives_the_same_batch_and_another_gives_another(seed: int) -> None:
    one, same, other = (generate(np.random.default_rng(s), 20, 50) for s in (seed, seed, seed + 1))

    for field in ("y", "season", "second", "positive", "kind"):
        np.testing.assert_array_equal(getattr(one, field), getattr(same, field))
    assert not np.array_equal(one.y, other.y)


@pytest.mark.parametrize("length", [40, 160, 640])
def test_values_are_of_sizes_that_can_be_computed_with(length: int) -> None:
    y = generate(np.random.default_rng(2), 500, length).y

    spread = y.std(axis=1)
    assert np.abs(y).max() < LARGEST
    assert spread[spread > 0].min() > SMALLEST


def test_constants_are_rare(batch: Batch) -> None:
    constant = np.ptp(batch.y, axis=1) == 0

    assert 0 < constant.mean() < 0.02
    rare = (Kind.DETERMINISTIC, Kind.COUNTS, Kind.INTERMITTENT)
    assert np.isin(batch.kind[constant], rare).all()


def test_kinds_come_in_the_shares_of_the_table() -> None:
    kind = generate(np.random.default_rng(3), 20_000, 8).kind

    shares = np.array([share for share, _ in SHARES.values()])
    assert list(SHARES) == list(Kind)
    assert shares.sum() == pytest.approx(1.0)
    error = np.sqrt(shares * (1 - shares) / len(kind))
    found = np.bincount(kind, minlength=len(Kind)) / len(kind)
    assert (np.abs(found - shares) < 4 * error).all()


def test_positive_is_what_it_says_and_neither_rare_nor_the_rule(batch: Batch) -> None:
    np.testing.assert_array_equal(batch.positive, batch.y.min(axis=1) > 0)
    assert 0.4 < batch.positive.mean() < 0.8


# --- Seasons


@pytest.mark.parametrize("length", [20, 40, 80, 160, 640])
def test_declared_seasons_mostly_fit_into_the_series_twice(length: int) -> None:
    batch = generate(np.random.default_rng(4), 1000, length)

    assert ((batch.season >= 1) & (batch.season <= 168)).all()
    assert (batch.second < batch.season).all()
    assert (2 * batch.season + 10 <= length).mean() > 0.88


def test_the_usual_seasons_are_the_usual_ones() -> None:
    season = generate(np.random.default_rng(5), 1500, 640).season

    share = np.bincount(season, minlength=169) / len(season)
    assert set(np.argsort(-share)[:4]) == {1, 7, 12, 24}
    assert share[168] > 0.05
    assert 0.05 < share[[m for m in range(2, 40) if m not in (4, 7, 12, 24)]].sum() < 0.15


def test_some_seasons_are_declared_wrongly_and_some_not_at_all() -> None:
    season = np.full(20_000, 12)

    told, second = prior.declared_seasons(np.random.default_rng(6), season, 0 * season, 80)

    assert (told == 1).mean() == pytest.approx(0.12, abs=0.01)
    wrong = (told != 12) & (told != 1)
    assert wrong.mean() == pytest.approx(0.04 * 0.88, abs=0.01)
    assert np.abs(told[wrong] - 12).max() == 2
    assert (second == 0).all()


def test_of_two_seasons_the_shorter_may_be_declared_alone() -> None:
    week, day = np.full(20_000, 168), np.full(20_000, 24)

    told, second = prior.declared_seasons(np.random.default_rng(7), week, day, 640)
    short, none = prior.declared_seasons(np.random.default_rng(7), week, day, 340)

    assert (told == 24).mean() == pytest.approx(0.12, abs=0.01)
    assert (second[told == 24] == 0).all()
    assert (second[told == 168] == 24).mean() == pytest.approx(0.7, abs=0.02)
    assert short.max() <= 26
    assert none[short == 24].max() == 0


# --- Parts


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.95, -0.7])
def test_an_ar1_has_its_autocorrelation_and_variance_1_from_the_first_step(phi: float) -> None:
    n, length = 4000, 100

    x = prior.autoregress(np.random.default_rng(0), noise(n, length, 1), np.full(n, phi)).T

    products = (x[:, 1:] * x[:, :-1]).mean()
    assert products == pytest.approx(phi, abs=0.03)
    assert x.var(axis=0)[[0, 1, -1]] == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("period", [5, 20, 50])
def test_complex_roots_give_a_cycle_of_their_period(period: int) -> None:
    n, root = 500, 0.98
    phi1 = np.full(n, 2 * root * np.cos(2 * np.pi / period))

    x = prior.autoregress(np.random.default_rng(0), noise(n, 1000, 1), phi1, -(root**2)).T

    power = (np.abs(np.fft.rfft(x, axis=1)) ** 2).mean(axis=0)
    assert 1000 / power.argmax() == pytest.approx(period, rel=0.1)
    assert x.var(axis=0)[[0, -1]] == pytest.approx(1, abs=0.25)


def test_arma_noise_is_coloured_and_stationary() -> None:
    x = prior.arma(np.random.default_rng(0), noise(2000, 200, 1)).T

    assert np.abs(autocorrelation(x)).mean() > 0.3
    assert x[:, -50:].var() == pytest.approx(x[:, 50:100].var(), rel=0.1)


def test_innovations_are_white_with_tails_and_changing_sizes() -> None:
    """Kurtosis beyond 1 is of t or of volatility; only volatility makes sizes remember."""
    e = prior.innovations(np.random.default_rng(0), np.ones(1000, np.int64), 1000).T

    assert np.abs(autocorrelation(e).mean()) < 0.01
    kurtosis = (e**4).mean(axis=1) / (e**2).mean(axis=1) ** 2 - 3
    assert 0.35 < (kurtosis > 1).mean() < 0.55
    size = np.abs(e) - np.abs(e).mean(axis=1, keepdims=True)
    assert 0.12 < (autocorrelation(size) > 0.1).mean() < 0.25
    assert 0.9 < np.median(e.std(axis=1)) < 1.1


def test_seasonal_volatility_follows_the_season() -> None:
    e = prior.innovations(np.random.default_rng(0), np.full(2000, 12), 480).T

    logs = np.log(np.abs(e) + 1e-3)

    assert (strength(logs, 12) > 0.1).mean() == pytest.approx(0.05, abs=0.03)


@given(seasons=st.lists(st.integers(1, 60), min_size=1, max_size=10), seed=st.integers(0, 2**32))
def test_a_pattern_has_mean_0_and_variance_1_over_its_season(seasons: list[int], seed: int) -> None:
    season = np.array(seasons)

    drawn = prior.pattern(np.random.default_rng(seed), season)

    for column, m in enumerate(season):
        own = drawn[:m, column]
        assert own.mean() == pytest.approx(0, abs=1e-9)
        assert own.var() == pytest.approx(float(m > 1), abs=1e-9)
        assert (drawn[m:, column] == 0).all()


def test_a_season_repeats_and_evolves_as_told() -> None:
    season, evolving = np.full(500, 12), np.repeat([0.0, 0.3], 250)

    y = prior.seasonal(np.random.default_rng(0), season, 240, evolving)

    change = (y[12:] - y[:-12]).std(axis=0)
    assert (change[:250] == 0).all()
    assert change[250:].mean() == pytest.approx(0.3, rel=0.05)
    assert (prior.seasonal(np.random.default_rng(0), np.array([0, 1]), 9, 0.3) == 0).all()


# --- Processes


def test_two_in_three_structural_series_walk_and_the_others_revert() -> None:
    y = made(prior.structural, 600, 1000)

    wandering = y.reshape(600, 20, 50).mean(axis=2).std(axis=1)

    assert (wandering > 2.5).mean() == pytest.approx(0.65, abs=0.08)


def test_seasons_of_structural_series_are_from_hidden_to_overwhelming() -> None:
    y = np.diff(made(prior.structural, 600, 240, season=12), axis=1)

    explained = np.quantile(strength(y, 12), [0.1, 0.5, 0.9])

    assert explained[0] < 0.15
    assert 0.25 < explained[1] < 0.85
    assert explained[2] > 0.9


def test_seasons_of_seasonal_ar_series_are_strong() -> None:
    y = made(prior.seasonal_ar, 500, 480, season=12)

    assert np.median(strength(y, 12)) > 0.8
    assert (strength(y, 12) > 0.5).mean() > 0.95


def test_a_second_season_adds_to_the_first() -> None:
    y = made(prior.seasonal_ar, 300, 672, season=168, second=24)

    assert 0.2 < np.median(strength(y, 24)) < 0.8
    assert np.median(strength(y, 168)) > 0.85


def test_cycles_have_periods_of_4_to_140_and_three_in_five_peak_from_a_floor() -> None:
    y = made(prior.cycle, 1000, 1120)

    floored = y.min(axis=1) >= 0
    period = main_period(y[~floored])  # a square's largest power is that of its amplitude
    assert ((period > 3.5) & (period < 200)).mean() > 0.97
    assert np.median(period) == pytest.approx(np.sqrt(4 * 140), rel=0.2)
    assert floored.mean() == pytest.approx(0.6, abs=0.05)
    assert (skewness(y[floored]) > 0.3).mean() > 0.95
    assert np.abs(np.median(skewness(y[~floored]))) < 0.1


def test_counts_are_whole_over_dispersed_and_sometimes_mostly_zero() -> None:
    y = made(prior.counts, 1000, 300, season=7)

    zeros = (y == 0).mean(axis=1)
    assert (y >= 0).all()
    assert (y == np.round(y)).all()
    assert (y.var(axis=1) > 0.9 * y.mean(axis=1)).mean() > 0.95
    assert 0.2 < zeros.mean() < 0.5
    assert 0.2 < (zeros > 0.5).mean() < 0.5
    assert 2 < np.median(y.mean(axis=1)) < 8


def test_intermittent_demand_is_zero_in_half_to_nineteen_of_twenty_steps() -> None:
    y = made(prior.intermittent, 1000, 300)

    zeros = (y == 0).mean(axis=1)
    assert (y == np.round(y)).all()
    assert y[y > 0].min() == 1
    assert zeros.mean() == pytest.approx(1 - 0.275, abs=0.03)
    assert ((zeros > 0.4) & (zeros < 0.99)).mean() > 0.98


def test_deterministic_series_can_be_foretold_by_the_last_few_values() -> None:
    """A linear rule on ten lags fits sums of sines, ramps and quadratics, and most of the rest."""
    y = made(prior.deterministic, 200, 240)

    flat = y.std(axis=1) < 0.035
    errors = []
    for series in y[~flat]:
        lags = np.lib.stride_tricks.sliding_window_view(series, 11)
        known = np.column_stack([lags[:, :-1], np.ones(len(lags))])
        weights = np.linalg.lstsq(known, lags[:, -1], rcond=None)[0]
        errors.append(np.median(np.abs(known @ weights - lags[:, -1])) / series.std())
    assert flat.mean() == pytest.approx(1 / 6, abs=0.08)
    assert (np.array(errors) < 0.06).mean() > 0.85


def test_seasons_of_airline_series_grow_with_their_level() -> None:
    y = np.exp(made(prior.airline, 500, 240, season=12))

    years = y.reshape(500, 20, 12)
    level, swing = years.mean(axis=2), years.std(axis=2)
    growth = np.log(level[:, -1] / level[:, 0])
    assert growth.mean() == pytest.approx(0.95, abs=0.15)  # of 1.0, over 19 of 20 years
    growing = growth > 1
    assert np.median(np.log(swing[growing, -1] / swing[growing, 0])) > 0.8
    assert np.median(strength(np.diff(np.log(y), axis=1), 12)) > 0.7


def test_a_load_has_a_day_and_a_week_in_which_two_days_differ() -> None:
    y = made(prior.load, 300, 1344, season=168, second=24)

    assert 0.3 < np.median(strength(y, 24)) < 0.9
    assert (strength(y, 168) > strength(y, 24)).all()
    days = y.reshape(300, 8, 7, 24).mean(axis=1)  # (n, day, hour)
    days -= np.median(days, axis=1, keepdims=True)  # from the usual day
    unlike = np.sqrt((days**2).mean(axis=2))
    unlike.sort(axis=1)
    assert np.median(unlike[:, -2] / unlike[:, 3]) > 3


def test_bursty_series_are_heavy_tailed_and_remember() -> None:
    z = made(prior.bursty, 500, 600)

    assert np.median(autocorrelation(z - z.mean(axis=1, keepdims=True))) > 0.8
    assert np.median(skewness(np.exp(z))) > 1.5


def test_saturating_series_rise_and_slow_down() -> None:
    y = np.exp(made(prior.saturating, 500, 320))

    start, last = y[:, :32].mean(axis=1), y[:, -32:].mean(axis=1)
    assert (last > start).mean() > 0.98
    before = y[:, -64:-32].mean(axis=1)
    assert 0.3 < ((last - before) < 0.05 * (last - start)).mean() < 0.8


def test_a_long_cycle_is_a_year_of_days_in_most_and_noise_returns_to_it() -> None:
    y = made(prior.long_cycle, 500, 1460)

    assert (main_period(y) == 365).mean() > 0.7  # and 180 to 500, some of which are near
    rest = y - y.reshape(500, 4, 365).mean(axis=1)[:, np.arange(1460) % 365]
    assert 0.3 < np.median(autocorrelation(rest)) < 0.9


# --- What may happen to any series


def test_levels_shift_in_15_percent_by_one_to_three_steps() -> None:
    added = prior.shifts(np.random.default_rng(0), np.full(5000, 0.5), 500).T

    moves = np.diff(added, axis=1, prepend=0.0)
    number = (moves != 0).sum(axis=1)
    assert (number > 0).mean() == pytest.approx(0.15, abs=0.02)
    assert number.max() == 3
    assert np.median(np.abs(moves[moves != 0])) == pytest.approx(0.5 * 5, rel=0.1)


def test_outliers_are_few_and_large_in_15_percent() -> None:
    added = prior.outliers(np.random.default_rng(0), np.full(5000, 2.0), 1000).T

    share = (added != 0).mean(axis=1)
    assert (share > 0).mean() == pytest.approx(0.15, abs=0.02)
    assert share.max() < 0.06
    assert np.abs(added[added != 0]).min() >= 2 * 2.0
    assert np.abs(added).max() <= 12 * 2.0


def test_finishing_leaves_counts_alone() -> None:
    z = np.random.default_rng(0).poisson(3.0, (50, 40)).astype(np.float64)

    finished = prior.finish(np.random.default_rng(1), z, np.full(40, Kind.COUNTS))

    np.testing.assert_array_equal(finished, z)


def test_finishing_exponentiates_the_share_of_the_table() -> None:
    """Seen in quantiles, which rounding bends too, but as often where nothing is exponentiated."""
    n, bent = 2000, {}

    for kind in (Kind.STRUCTURAL, Kind.CYCLE):
        y = prior.finish(np.random.default_rng(2), noise(n, 400), np.full(n, kind)).T
        low, middle, high = np.quantile(y, [0.1, 0.5, 0.9], axis=1)
        bent[kind] = (high - middle > 1.4 * (middle - low)).mean()

    least = np.log(1.4) / 1.28  # the spread that bends quantiles so far
    seen = (0.7 - least) / (0.7 - 0.05) * (1 - bent[Kind.CYCLE])
    difference = SHARES[Kind.STRUCTURAL][1] - SHARES[Kind.CYCLE][1]
    assert bent[Kind.STRUCTURAL] - bent[Kind.CYCLE] == pytest.approx(seen * difference, abs=0.04)


def test_finishing_rounds_12_percent_and_floors_5_percent() -> None:
    rng, n = np.random.default_rng(3), 2000

    y = prior.finish(rng, noise(n, 300), np.full(n, Kind.CYCLE)).T

    floored = (y == y.min(axis=1, keepdims=True)).mean(axis=1) > 0.045
    distinct = np.array([len(np.unique(series)) for series in y])
    rounded = ~floored & (distinct < 250)
    assert floored.mean() == pytest.approx(0.05, abs=0.02)
    assert rounded.mean() == pytest.approx(0.11, abs=0.02)


def test_finishing_offsets_by_up_to_hundreds_of_spreads() -> None:
    rng, n = np.random.default_rng(4), 2000

    y = prior.finish(rng, noise(n, 100), np.full(n, Kind.CYCLE)).T

    offset = y.mean(axis=1) / y.std(axis=1)
    assert (np.abs(offset) < 0.3).mean() == pytest.approx(0.2, abs=0.05)
    assert (offset > 100).mean() == pytest.approx(0.8 * 0.85 * 0.16, abs=0.03)
    assert (offset < -0.3).mean() == pytest.approx(0.8 * 0.15, abs=0.04)

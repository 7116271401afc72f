"""Generated series: the prior that the universal model is trained on, and all it ever sees.

A batch is a mixture of processes. Each is one function that makes many series at once, and says why
it is there and in which ranges its parameters lie. What may happen to any series, such as a jump or
rounding, is added at the end, by `finish`. Shares and ranges begin with those of a prototype;
the shapes of business and sensor data that it lacked are added at the cost of the structural share.

Inside, arrays are time-major, `(length, n)`: a recursion walks over rows, and a parameter of shape
`(n,)` is one of each series. Every process takes `(rng, season, second, length)`, where `season`
and `second`, int64 of shape `(n,)`, are the true season lengths in steps, 1 and 0 for none.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Rng = np.random.Generator


class Kind(IntEnum):
    """Which process made a series."""

    STRUCTURAL = 0
    SEASONAL_AR = 1
    CYCLE = 2
    COUNTS = 3
    INTERMITTENT = 4
    DETERMINISTIC = 5
    AIRLINE = 6
    LOAD = 7
    BURSTY = 8
    SATURATING = 9
    LONG_CYCLE = 10


# Of all series, and of each kind those that are exponentiated. What is described by its logarithm
# mostly is; a cycle exponentiates itself, and temperatures and counts have no reason to.
SHARES = {
    Kind.STRUCTURAL: (0.42, 0.3),
    Kind.SEASONAL_AR: (0.09, 0.3),
    Kind.CYCLE: (0.12, 0.0),
    Kind.COUNTS: (0.05, 0.0),
    Kind.INTERMITTENT: (0.03, 0.0),
    Kind.DETERMINISTIC: (0.08, 0.15),
    Kind.AIRLINE: (0.07, 1.0),
    Kind.LOAD: (0.05, 0.6),
    Kind.BURSTY: (0.04, 1.0),
    Kind.SATURATING: (0.02, 1.0),
    Kind.LONG_CYCLE: (0.03, 0.0),
}
# Those whose spread means something in logarithms; any other is brought to one of 0.05 to 0.7.
LOGARITHMIC = (Kind.AIRLINE, Kind.LOAD, Kind.BURSTY, Kind.SATURATING)
WHOLE = (Kind.COUNTS, Kind.INTERMITTENT)  # counted, so neither scaled nor disturbed

# Months and hours are the most common, then days of a week; quarters, half hours, weeks of a year
# and hours of a week are rarer.
SEASONS = (1, 1, 1, 4, 7, 7, 12, 12, 12, 12, 24, 24, 24, 48, 52, 168)
GROWING_SEASONS = (4, 12, 12, 12, 7, 24)
DAYS = (24, 24, 24, 12, 8, 4)  # steps of a day, of hours mostly; a week is seven


@dataclass(frozen=True)
class Batch:
    """Generated series.

    Args:
        y: Values, float64 of shape `(n, length)`: finite, of any unit.
        season: The season in steps that is declared to the model, 1 for none, int64 `(n,)`.
        second: A shorter second season that is declared with it, 0 for none, int64 `(n,)`.
        positive: Whether all values are above zero, `(n,)`.
        kind: The `Kind` of each, int64 `(n,)`.
    """

    y: Floats
    season: Ints
    second: Ints
    positive: Bools
    kind: Ints


def generate(rng: Rng, count: int, length: int) -> Batch:
    """Make `count` series of `length` steps, at least 2. The same seed makes the same series."""
    shares = [share for share, _ in SHARES.values()]
    kind = rng.choice(len(shares), count, p=shares).astype(np.int64)
    season, second = true_seasons(rng, kind, length)
    z = np.zeros((length, count))
    for each, process in enumerate(PROCESSES):
        which = np.flatnonzero(kind == each)
        if len(which):
            z[:, which] = process(rng, season[which], second[which], length)
    y = np.ascontiguousarray(finish(rng, z, kind).T)
    season, second = declared_seasons(rng, season, second, length)
    return Batch(y, season, second, np.asarray((y > 0).all(axis=1)), kind)


# --- Seasons


def true_seasons(rng: Rng, kind: Ints, length: int) -> tuple[Ints, Ints]:
    """Draw the season of each series and its second.

    One in eight has a season of any length from 2 to 39, so that the model learns what a season
    is and not what 12 is. A season is seen twice, `2 m + 10 <= length`, as one that is seen less
    teaches little; one in ten need be seen only once, which the service must bear. Of the series of
    season 168, 80% have a second of 24. A load has its day and its week, seen or not.
    """
    n = len(kind)
    season = np.where(
        chance(rng, n, 0.12),
        rng.integers(2, max(min(39, (length - 10) // 2), 2) + 1, n),
        rng.choice(_fitting(SEASONS, length, 2), n),
    )
    season = np.where(chance(rng, n, 0.1), rng.choice(_fitting(SEASONS, length, 1), n), season)
    growing = rng.choice(_fitting(GROWING_SEASONS, length, 2), n)
    season = np.where(kind == Kind.AIRLINE, growing, season)
    day = rng.choice(_fitting(DAYS, length, 2), n)
    season = np.where(kind == Kind.LOAD, 7 * day, season)
    second = np.where((season == 168) & chance(rng, n, 0.8), 24, 0)
    return season, np.where(kind == Kind.LOAD, day, second)


def declared_seasons(rng: Rng, season: Ints, second: Ints, length: int) -> tuple[Ints, Ints]:
    """Return what the model is told.

    People do not know: 12% of the series with a season are declared with none, or with the shorter
    alone where there are two (24 rather than 168, the usual choice), and 4% with one that is wrong
    by one or two steps. The shorter alone is also declared where the series is too short to show
    the longer one. Otherwise 70% of the second seasons are declared.
    """
    n = len(season)
    season = np.where((second > 0) & (2 * season + 10 > length), second, season)
    wrong = season + rng.choice([-2, -1, 1, 2], n)
    told = np.where((season > 1) & chance(rng, n, 0.04), np.clip(wrong, 2, 168), season)
    told = np.where(chance(rng, n, 0.12), np.maximum(second, 1), told)
    kept = (second > 0) & (second < told) & chance(rng, n, 0.7)
    return told, np.where(kept, second, 0)


def _fitting(menu: Sequence[int], length: int, cycles: int) -> Ints:
    fits = np.array([season for season in menu if cycles * season + 10 <= length], np.int64)
    return fits if len(fits) else np.ones(1, np.int64)


# --- Parts of which the processes are made


def chance(rng: Rng, n: int, share: float) -> Bools:
    """Return true for about that share of the series, `(n,)`."""
    return rng.random(n) < share


def log_uniform(rng: Rng, low: float, high: float, n: int) -> Floats:
    """Draw sizes of which each decade is equally likely, `(n,)`."""
    return np.exp(rng.uniform(np.log(low), np.log(high), n))


def some(rng: Rng, share: float, low: float, high: float, n: int) -> Floats:
    """Draw sizes, log-uniform, for that share of the series, and 0 for the rest, `(n,)`."""
    return np.where(chance(rng, n, share), log_uniform(rng, low, high, n), 0.0)


def autoregress(rng: Rng, noise: Floats, phi1: Floats, phi2: Floats | float = 0.0) -> Floats:
    """Return `x_t = phi1 x_(t-1) + phi2 x_(t-2) + noise_t`, brought to variance 1, `(length, n)`.

    It is stationary from the first step. Its variance is in Box and Jenkins, 3.2.

    Args:
        rng: Draws the two values before the first.
        noise: Of variance 1, `(length, n)`.
        phi1: With `phi2` of a stationary process, `(n,)`.
        phi2: Likewise; without it the process is an AR(1).
    """
    sd = np.sqrt((1 - phi2) / ((1 + phi2) * ((1 - phi2) ** 2 - phi1**2)))
    correlation = phi1 / (1 - phi2)
    before, last = rng.standard_normal((2, noise.shape[1]))
    last = correlation * before + np.sqrt(1 - correlation**2) * last
    x = noise / sd
    for step in x:
        step += phi1 * last + phi2 * before
        before, last = last, step
    return x


def wander(rng: Rng, length: int, phi: Floats) -> Floats:
    """Return a Gaussian AR(1) of variance 1, `(length, n)`."""
    return autoregress(rng, rng.standard_normal((length, len(phi))), phi)


def innovations(rng: Rng, season: Ints, length: int) -> Floats:
    """Draw noise of variance about 1, `(length, n)`.

    Real noise has tails and changes its size, and intervals must follow it: 35% Student's t of 3 to
    8 degrees of freedom, the rest Gaussian; 12% with stochastic volatility (log-sd an AR(1) of
    0.9 to 0.99, sd 0.3 to 0.8); 8% with one break of the sd by a factor of 1/4 to 4; 5% with a
    log-sd that follows the season.
    """
    n = len(season)
    noise = rng.standard_normal((length, n))
    heavy = np.flatnonzero(chance(rng, n, 0.35))
    freedom = rng.uniform(3, 8, len(heavy))
    students = rng.standard_t(freedom, (length, len(heavy)))
    noise[:, heavy] = students * np.sqrt((freedom - 2) / freedom)
    noise *= np.exp(some(rng, 0.12, 0.3, 0.8, n) * wander(rng, length, rng.uniform(0.9, 0.99, n)))
    breaks = rng.uniform(np.log(0.25), np.log(4), n) * chance(rng, n, 0.08)
    noise *= np.exp(breaks * _after(rng.uniform(0.1, 0.9, n), length))
    noise *= np.exp(0.6 * chance(rng, n, 0.05) * seasonal(rng, season, length))
    return noise


def pattern(rng: Rng, season: Ints) -> Floats:
    """Draw one cycle for each series, of mean 0 and variance 1 (all 0 without a season).

    Half are smooth (up to four harmonics), 30% have any value at each phase, as months have, and
    20% are a few spikes, as billing days are.

    Returns:
        Shape `(longest season, n)`; rows from a series' season on are 0.
    """
    n = len(season)
    phase = np.arange(season.max())[:, None]  # (phases, 1)
    inside = phase < season
    smooth = np.zeros((len(phase), n))
    fade = rng.uniform(0, 2, n)
    for harmonic in range(1, 5):
        angle = 2 * np.pi * (harmonic * phase / season + rng.random(n))
        smooth += rng.standard_normal(n) * harmonic**-fade * np.cos(angle)
    rough = rng.standard_normal((len(phase), n))
    spikes = (rng.random((len(phase), n)) < 0.1) | (phase == rng.integers(0, season))
    shape = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    drawn = np.where(shape == 0, smooth, np.where(shape == 1, rough, spikes * (1 + abs(rough))))
    drawn = np.where(inside, drawn - (drawn * inside).sum(axis=0) / season, 0.0)
    scaled: Floats = drawn / _or_one(np.sqrt((drawn**2).sum(axis=0) / season))
    return scaled


def seasonal(rng: Rng, season: Ints, length: int, evolving: Floats | float = 0.0) -> Floats:
    """Repeat a pattern of variance 1, `(length, n)`.

    Args:
        rng: Draws the pattern and its changes.
        season: In steps, `(n,)`; 1 or 0 for none, whose series is 0 throughout.
        length: Steps.
        evolving: The sd by which the value of a phase changes from cycle to cycle, `(n,)`.
    """
    season = np.maximum(season, 1)
    values, columns = pattern(rng, season), np.arange(len(season))
    slots = np.arange(length)[:, None] % season
    changes = np.where(season > 1, evolving, 0.0) * rng.standard_normal((length, len(season)))
    out = np.empty((length, len(season)))
    for t, slot in enumerate(slots):
        values[slot, columns] += changes[t]
        out[t] = values[slot, columns]
    return out


def arma(rng: Rng, noise: Floats) -> Floats:
    """Colour noise as an ARMA(2,2) whose partial autocorrelations are within -0.7 and 0.7."""
    n = noise.shape[1]
    first, second = rng.uniform(-0.7, 0.7, (2, n))
    moving = noise.copy()
    moving[1:] += first * (1 - second) * noise[:-1]
    moving[2:] += second * noise[:-2]
    first, second = rng.uniform(-0.7, 0.7, (2, n))
    return autoregress(rng, moving, first * (1 - second), second)


def _after(share: Floats, length: int) -> Floats:
    """Return 1.0 from that share of the length on and 0.0 before, `(length, n)`."""
    return (np.arange(length)[:, None] >= share * length).astype(np.float64)


def _or_one(size: Floats) -> Floats:
    return np.where(size > 1e-9, size, 1.0)


def _pace(z: Floats) -> Floats:
    """Return the root mean square of a series' steps, `(n,)`."""
    pace: Floats = np.sqrt((np.diff(z, axis=0) ** 2).mean(axis=0))
    return pace


# --- Processes


def structural(rng: Rng, season: Ints, second: Ints, length: int) -> Floats:
    """Level, slope and season, each of which may move: most business series.

    The level is a random walk of increments of sd 1, and in 35% an AR(1) of 0.2 to 0.98 and sd 1,
    driven by white noise in half and by an ARMA(2,2) in half. A drift of sd 0.2 in 40%, a damped
    stochastic slope (AR(1) of 0.8 to 0.995, sd 0.05 to 0.5) in 25%. Observation noise of 0.2 to
    8 in half: from nearly a random walk to a level hidden in noise. Of those with a season 85% have
    a pattern of sd 0.3 to 12, and in 60% it evolves by 2 to 30% of that a cycle.
    """
    n = len(season)
    noise = innovations(rng, season, length)
    steps = np.where(chance(rng, n, 0.5), arma(rng, noise), noise)
    reverting = autoregress(rng, steps, rng.uniform(0.2, 0.98, n))
    slope = some(rng, 0.25, 0.05, 0.5, n) * wander(rng, length, rng.uniform(0.8, 0.995, n))
    slope += 0.2 * rng.standard_normal(n) * chance(rng, n, 0.4)
    walking = np.cumsum(steps + slope, axis=0)
    z = np.where(chance(rng, n, 0.35), reverting, walking)
    z += some(rng, 0.5, 0.2, 8, n) * innovations(rng, season, length)
    amplitude = some(rng, 0.85, 0.3, 12, n)
    z += amplitude * seasonal(rng, season, length, some(rng, 0.6, 0.02, 0.3, n))
    return z + amplitude * rng.uniform(0.3, 1.5, n) * seasonal(rng, second, length)


def seasonal_ar(rng: Rng, season: Ints, second: Ints, length: int) -> Floats:
    """Strong seasons, and noise that remembers: sensors and traffic, where the season is the news.

    AR(1) of 0.3 to 0.98, sd 1, and patterns of sd 1.5 to 10, whose amplitude wanders slowly: sd of
    0 to 30%, AR(1) of 0.99.
    """
    n = len(season)
    noise = innovations(rng, season, length)
    phi = rng.uniform(0.3, 0.98, n)
    z = autoregress(rng, noise, phi)
    for each in (season, second):
        modulation = 1 + rng.uniform(0, 0.3, n) * wander(rng, length, np.full(n, 0.99))
        z += log_uniform(rng, 1.5, 10, n) * modulation * seasonal(rng, each, length)
    return z


def cycle(rng: Rng, season: Ints, second: Ints, length: int) -> Floats:
    """Cycles that keep no calendar: sunspots, prices, populations, machines.

    An AR(2) with complex roots (Yule, 1927), period 4 to 140 steps, that remembers its phase over
    1 to 20 cycles. 40% are left so; 30% are exponentiated (sd 0.4 to 1) and 30% squared, which
    makes high narrow peaks and long lows, as sunspots have: their AR(2) has twice the period, and
    noise of 5 to 50% of the root of the level, in 60%, makes peaks noisier than lows. Noise of 3 to
    30% of the spread in 60% of the others. Whatever season is declared with these means nothing.
    """
    n = len(season)
    shape = rng.choice(3, n, p=[0.4, 0.3, 0.3])
    period = log_uniform(rng, 4, 140, n)
    memory = period * log_uniform(rng, 1, 20, n)
    root = np.exp(-1 / memory)
    phi1 = 2 * root * np.cos(2 * np.pi / np.where(shape == 2, 2 * period, period))
    z = np.clip(autoregress(rng, innovations(rng, season, length), phi1, -(root**2)), -6, 6)
    above = np.where(shape == 1, np.exp(rng.uniform(0.4, 1, n) * z), z**2)
    noise = rng.standard_normal((length, n))
    noisy = above + some(rng, 0.6, 0.05, 0.5, n) * np.sqrt(above) * noise
    z += some(rng, 0.6, 0.03, 0.3, n) * noise
    return np.where(shape == 0, z, np.maximum(noisy, 0.0))


def counts(rng: Rng, season: Ints, second: Ints, length: int) -> Floats:
    """Events counted in a step: sales, calls, accidents, visitors.

    Poisson. The log-intensity has a mean of log 0.3 to log 50 and is an AR(1) of 0.5 to 0.99, sd
    0.05 to 0.8, with a season of sd 0.2 to 1 in 60% and a level shift in 15%. In 30% a share of 10
    to 60% is zero for another reason, such as closed shops.
    """
    n = len(season)
    z = np.log(log_uniform(rng, 0.3, 50, n)) + shifts(rng, np.full(n, 0.1), length)
    z += log_uniform(rng, 0.05, 0.8, n) * wander(rng, length, rng.uniform(0.5, 0.99, n))
    z += some(rng, 0.6, 0.2, 1, n) * seasonal(rng, season, length)
    z += some(rng, 0.6, 0.2, 1, n) * seasonal(rng, second, length)
    drawn = rng.poisson(np.exp(np.clip(z, -10, 10)))
    closed = rng.random((length, n)) < rng.uniform(0.1, 0.6, n) * chance(rng, n, 0.3)
    return np.where(closed, 0.0, drawn)


def intermittent(rng: Rng, season: Ints, second: Ints, length: int) -> Floats:
    """Demand that comes seldom: spare parts (Croston, 1972).

    A step has demand with probability 0.05 to 0.5, whose logit wanders with sd 0.5 and follows the
    season in 30%; its size is 1 plus a geometric with mean 0.1 to 20.
    """
    n = len(season)
    often = rng.uniform(0.05, 0.5, n)
    logit = np.log(often / (1 - often)) + 0.5 * wander(rng, length, rng.uniform(0.9, 0.99, n))
    logit += chance(rng, n, 0.3) * seasonal(rng, season, length)
    demand = rng.random((length, n)) < 1 / (1 + np.exp(-logit))
    size = rng.geometric(1 / (1 + log_uniform(rng, 0.1, 20, n)), (length, n))
    return np.where(demand, size, 0).astype(np.float64)


def deterministic(rng: Rng, season: Ints, second: Ints, length: int) -> Floats:
    """Series with next to no noise, which a model trained on noise alone would not dare to follow.

    In equal shares: sums of three sines of period 4 to 200, ramps, quadratics, constants, steps
    (2% of the steps) and sawteeth of period 4 to 100. A season of the same spread in 40%, noise of
    0.01 to 3% of it in 70%.
    """
    n = len(season)
    time = np.arange(length)[:, None]
    share = time / length
    sines = np.zeros((length, n))
    for _ in range(3):
        angle = 2 * np.pi * (time / log_uniform(rng, 4, 200, n) + rng.random(n))
        sines += rng.standard_normal(n) * np.sin(angle)
    ramp = rng.choice([-3.0, 3.0], n) * share
    moves = (rng.random((length, n)) < 0.02) * rng.standard_normal((length, n))
    saw = time / np.ceil(log_uniform(rng, 4, 100, n)) + rng.random(n)
    shapes = [sines, ramp, ramp * (share - rng.uniform(-1, 1, n))]
    shapes += [np.zeros((length, n)), np.cumsum(moves, axis=0), saw % 1]
    z = np.choose(rng.integers(0, len(shapes), n), shapes)
    z += chance(rng, n, 0.4) * seasonal(rng, season, length)
    return z + some(rng, 0.7, 1e-4, 0.03, n) * rng.standard_normal((length, n))


def airline(rng: Rng, season: Ints, second: Ints, length: int) -> Floats:
    """The logarithm of level times season times noise, growing: passengers, sales, energy.

    It grows by -0.5 to 2.5 in the whole (a factor of 0.6 to 12), on a level that walks by 0.002 to
    0.03 a step. The season has an sd of 0.05 to 0.4 and evolves by 1 to 10% of it a cycle in half;
    noise is 0.005 to 0.1.
    """
    n = len(season)
    share = np.arange(length)[:, None] / length
    z = rng.uniform(-0.5, 2.5, n) * share ** rng.uniform(0.5, 1.5, n)
    walk = np.cumsum(innovations(rng, season, length), axis=0)
    z += log_uniform(rng, 0.002, 0.03, n) * walk
    evolving = some(rng, 0.5, 0.01, 0.1, n)
    z += log_uniform(rng, 0.05, 0.4, n) * seasonal(rng, season, length, evolving)
    return z + log_uniform(rng, 0.005, 0.1, n) * innovations(rng, season, length)


def load(rng: Rng, season: Ints, second: Ints, length: int) -> Floats:
    """The logarithm of hourly use over days and weeks: electricity, traffic, requests.

    Four harmonics make the shape of a workday, of sd 0.05 to 0.6 or so. Saturday is 3/4 that and
    1/2 a shape of its own, Sunday 1/2 and 1/2; Sunday is lower by up to 1.5 of the sd, Saturday by
    0.7 of that. The level wanders over days, and noise remembers (AR(1) of 0.5 to 0.97), each of sd
    0.03 to 0.4 of the first. Here `second` is the day and `season` the week.
    """
    n = len(season)
    size = log_uniform(rng, 0.05, 0.6, n)
    hour = np.arange(length)[:, None] + rng.integers(0, season)  # begins anywhere in a week
    day = (hour // second) % 7
    shapes = np.zeros((3, length, n))
    for harmonic in range(1, 5):
        angle = 2 * np.pi * harmonic * hour / second
        for shape in shapes:
            weight = rng.standard_normal(n) / harmonic
            shape += weight * np.cos(angle + rng.uniform(0, 2 * np.pi, n))
    work, saturday, sunday = shapes
    lower = rng.uniform(0, 1.5, n)
    free = [0.75 * work + 0.5 * saturday - 0.7 * lower, 0.5 * (work + sunday) - lower]
    z = np.select([day < 5, day == 5], [work, free[0]], free[1])
    z += log_uniform(rng, 0.03, 0.4, n) * wander(rng, length, 1 - 0.3 / second)
    phi = rng.uniform(0.5, 0.97, n)
    noise = autoregress(rng, innovations(rng, second, length), phi)
    return size * (z + log_uniform(rng, 0.03, 0.4, n) * noise)


def bursty(rng: Rng, season: Ints, second: Ints, length: int) -> Floats:
    """The logarithm of a concentration: fine dust, which gathers slowly and is blown away at once.

    AR(1) of 0.85 to 0.985, sd 0.4 to 1, and bursts in 0.5 to 3% of the steps, exponential of mean
    0.3 to 1, that fade by 5 to 30% a step; in half they are falls. A season of sd 0.05 to 0.3 in
    40%.
    """
    n = len(season)
    z = log_uniform(rng, 0.4, 1, n) * wander(rng, length, rng.uniform(0.85, 0.985, n))
    hit = rng.random((length, n)) < log_uniform(rng, 0.005, 0.03, n)
    burst = hit * rng.exponential(1.0, (length, n)) * rng.uniform(0.3, 1, n)
    fade = rng.uniform(0.7, 0.95, n)
    bursts = np.zeros(n)
    for t in range(length):
        bursts = fade * bursts + burst[t]
        burst[t] = bursts
    z += rng.choice([-1.0, 1.0], n) * burst
    return z + some(rng, 0.4, 0.05, 0.3, n) * seasonal(rng, season, length)


def saturating(rng: Rng, season: Ints, second: Ints, length: int) -> Floats:
    """The logarithm of growth that ends: a product's users, an epidemic's sum, filling.

    A logistic curve whose middle lies from a tenth before the start to a tenth after the end, and
    whose rise by a factor of e takes 3 to 20% of the length, from at least 1/150 of its end. Noise
    is an AR(1) of 0 to 0.9, sd 0.003 to 0.1, and a season has 0.02 to 0.2 in half.
    """
    n = len(season)
    middle, rise = rng.uniform(-0.1, 1.1, n), log_uniform(rng, 0.03, 0.2, n)
    share = np.arange(length)[:, None] / length
    z: Floats = -np.logaddexp(0, np.clip((middle - share) / rise, -5, 5))
    z += log_uniform(rng, 0.003, 0.1, n) * wander(rng, length, rng.uniform(0, 0.9, n))
    return z + some(rng, 0.5, 0.02, 0.2, n) * seasonal(rng, season, length)


def long_cycle(rng: Rng, season: Ints, second: Ints, length: int) -> Floats:
    """Weather by days: noise that returns to a yearly wave, too long to be declared.

    A sine of 365 steps in 70% and of 180 to 500 otherwise, its second harmonic up to 20%, of sd 0.7
    to 4 times the noise, an AR(1) of 0.4 to 0.9 with skewed steps, whose sd follows the wave by up
    to 30%. A declared season, as a week may be, means nothing in two thirds.
    """
    n = len(season)
    period = np.where(chance(rng, n, 0.7), 365.0, rng.uniform(180, 500, n))
    angle = 2 * np.pi * (np.arange(length)[:, None] / period + rng.random(n))
    wave = np.sin(angle) + rng.uniform(0, 0.2, n) * np.sin(2 * angle + 2 * np.pi * rng.random(n))
    phi = rng.uniform(0.4, 0.9, n)
    steps = innovations(rng, season, length)
    steps = np.where(steps > 0, 0.85, 1.15) * steps * rng.choice([-1.0, 1.0], n)
    noise = autoregress(rng, steps, phi)
    noise *= 1 + rng.uniform(-0.3, 0.3, n) * np.sin(angle)
    z = 2**0.5 * log_uniform(rng, 0.7, 4, n) * wave + noise
    return z + some(rng, 0.33, 0.3, 2, n) * seasonal(rng, season, length)


Process = Callable[[Rng, Ints, Ints, int], Floats]
PROCESSES: tuple[Process, ...] = (  # in the order of `Kind`
    *(structural, seasonal_ar, cycle, counts, intermittent, deterministic),
    *(airline, load, bursty, saturating, long_cycle),
)


# --- What may happen to any series


def finish(rng: Rng, z: Floats, kind: Ints) -> Floats:
    """Disturb what the processes made, and give it a place, a unit and a resolution.

    Counts stay as they are. In order, for the others:

    - Level shifts and outliers, in 15% each. A pace of a logarithm counts as 0.15 at most, so that
      an outlier is a factor of 6 at most.
    - The exponential, for the shares of `SHARES`: a spread of 0.05 to 0.7 in logarithms.
    - A floor at a quantile of 5 to 50% for 5%: rain, and the sun at night.
    - An offset of 0.3 to 300 spreads for 80% of those with both signs, upwards in 85% of them: it
      decides whether a series is positive, and how well a logarithm would do. Those that are never
      negative keep their zero in 80% and are lifted by 0.1 to 10 spreads otherwise.
    - A unit of 0.1 to 10,000. Only a logarithm could tell, so there is no need for more.
    - Rounding to 0.05 to 1 times the size of a step for 12%: whole degrees, tens of dollars.
    """
    length, n = z.shape
    own = np.isin(kind, LOGARITHMIC)
    pace = np.where(own, np.minimum(_pace(z), 0.15), _pace(z))
    y = z + shifts(rng, pace, length) + outliers(rng, pace, length)

    exponentiated = rng.random(n) < np.array([share for _, share in SHARES.values()])[kind]
    middle = np.median(y, axis=0)
    unit = y / _or_one(y.std(axis=0))
    log = np.where(own, y - middle, rng.uniform(0.05, 0.7, n) * (unit - unit.mean(axis=0)))
    y = np.where(exponentiated, np.exp(np.clip(log, -7, 7)), unit)

    at = (rng.uniform(0.05, 0.5, n) * length).astype(np.int64)
    above = np.maximum(y - np.sort(y, axis=0)[at, np.arange(n)], 0.0)
    y = np.where(chance(rng, n, 0.05), above, y)

    spread = _or_one(y.std(axis=0))
    signs = np.where(chance(rng, n, 0.85), 1.0, -1.0)
    signed = (y < 0).any(axis=0)
    y += spread * np.where(signed, signs * some(rng, 0.8, 0.3, 300, n), some(rng, 0.2, 0.1, 10, n))
    y *= log_uniform(rng, 0.1, 1e4, n)

    grain = _or_one(_pace(y)) * log_uniform(rng, 0.05, 1, n)
    y = np.where(chance(rng, n, 0.12), np.round(y / grain) * grain, y)
    return np.where(np.isin(kind, WHOLE), z, y)


def shifts(rng: Rng, pace: Floats, length: int) -> Floats:
    """Return what is added by one to three level shifts of 2 to 8 paces, in 15%, `(length, n)`."""
    n = len(pace)
    shifted = chance(rng, n, 0.15)
    number = rng.integers(1, 4, n)
    total = np.zeros((length, n))
    for each in range(3):
        size = rng.choice([-1.0, 1.0], n) * rng.uniform(2, 8, n) * pace
        total += shifted * (each < number) * size * _after(rng.random(n), length)
    return total


def outliers(rng: Rng, pace: Floats, length: int) -> Floats:
    """Return what is added by outliers of 2 to 12 paces in 0.3 to 3% of the steps of 15%."""
    n = len(pace)
    hit = rng.random((length, n)) < some(rng, 0.15, 0.003, 0.03, n)
    upwards = rng.random((length, n)) < rng.choice([0.0, 0.5, 1.0], n)
    return hit * np.where(upwards, 1.0, -1.0) * rng.uniform(2, 12, (length, n)) * pace

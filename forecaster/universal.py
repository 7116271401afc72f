"""The transform of the universal model: a base forecast out of each series' own past.

Two regressions on the last differences, the running season and a few lags are fitted to each series
as it goes (`regression`), one with a long memory and one with a short one. Their forecasts,
weighted by how well each has done of late, are the base; their running error is the scale. The
network sees where the series stands in units of that scale, and says how the next value will differ
from the base. Nothing has a unit, so a series times a constant is the same series.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from forecaster.calendar import DAY, Clock
from forecaster.record import raw
from forecaster.regression import Bank, Regression
from forecaster.spec import LONGEST_INNER_SEASON, LONGEST_SEASON, Cycle

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Records = NDArray[np.void]

# The values that are kept: a few steps more than the longest season.
_RING = LONGEST_SEASON + 8
_CHANGES = 8  # last differences among the regressors
_SEASON_LAGS = (0, 1, -1, 2)  # beside a season, counted from the value to come

# Regressors, and network inputs, further out than this say no more.
_FURTHEST = 10.0

# How far a series usually is from its level, in units of its steps.
_LEVEL_UNIT = 4.0

# Windows of running means, in observations: a gain is 1/n, and 1/window at the least.
_LEVEL_WINDOW = 300
_STEP_GAIN = 0.07  # of the mean step into a phase, once a cycle

# The forecasts that are held against each value: of both regressions, that nothing changes, and of
# the base; and the windows of their errors. The error of the third is the step.
AHEAD = ("long", "short", "last", "base")
_LAST, BASE = AHEAD.index("last"), AHEAD.index("base")
_WINDOWS = np.array([60.0, 60.0, 200.0, 8.0])

# An error counts for no more than so many times the root mean square of those before it, by how
# many there are: 2 tell nothing, 8 little.
_OUTLIER = np.array([1e300] * 3 + [30.0] * 6 + [6.0])

_SMOOTHING = 0.8  # how much of its last error the smoothed level carries on
_TRUST = 10  # a candidate's weight falls with this power of its error

# Columns of the regressors.
LEVEL, _ONE, STEP, LAGGING, OTHER_STEP = range(_CHANGES, _CHANGES + 5)
FIRST, _SECOND = _CHANGES + 5, _CHANGES + 5 + len(_SEASON_LAGS)
COUNT = _SECOND + len(_SEASON_LAGS)
_FEW = np.array([_ONE, LEVEL, STEP, LAGGING, OTHER_STEP, 0, 1, FIRST, FIRST + 1])

# The units of the regressors, in units of the mean step.
_UNITS = np.where(np.arange(COUNT) == LEVEL, _LEVEL_UNIT, 1.0)
_LOG_SEASON = np.log(np.maximum(np.arange(LONGEST_SEASON + 1), 1)) / 5.0  # of a season, as seen
_TINY = np.finfo(np.float64).smallest_subnormal

# How far back from the value to come the lags beside the seasons are, without their season.
_BACK = np.array([*_SEASON_LAGS, *_SEASON_LAGS])
_OF_SEASON = np.repeat([0, 1], len(_SEASON_LAGS))  # the season that each belongs to

# The regressors that the network sees, and how large.
_SEEN = np.array([0, 1, 2, LEVEL, LAGGING, STEP, FIRST, FIRST + 1, _SECOND])
_SEEN_SHARE = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1 / 3, 1 / 3, 1 / 3, 1 / 3])


def _starting(columns: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return weights that forecast the mean step of the season and no more."""
    weights: NDArray[np.float32] = (columns == STEP).astype(np.float32)
    return weights


# Further differences, and lags beside the season, are held more firmly at nothing.
_FIRMNESS = np.concatenate(
    [1.0 + np.arange(1, _CHANGES + 1) / 1.5, np.ones(5), np.tile([1.0, 1.0, 2.0, 2.0], 2)]
)
_ALL = np.arange(COUNT)
LONG = Regression(
    _ALL, (3.0 * _FIRMNESS).astype(np.float32), _starting(_ALL), memory=4000, limit=2.0
)
SHORT = Regression(
    _FEW, np.full(len(_FEW), 3.0, np.float32), _starting(_FEW), memory=200, limit=3.0
)
BANK = Bank([LONG, SHORT])

# What the network always sees; see `UniversalTransform.inputs`.
FEATURES = 26

# Cycles of the calendar, in microseconds. A year is the mean one: the same day of two years is the
# same to a few hundredths.
CYCLES: dict[Cycle, int] = {"day": DAY, "week": 7 * DAY, "year": round(365.2425 * DAY)}
HARMONICS = 2


class UniversalTransform:
    """Forecasts each series by its own regressions, and tells the network how that goes.

    A record's `season` holds the lengths of its season and of a shorter one within it, each 0 for
    none, and is set before the first observation.

    Args:
        calendar: Cycles of which the network is told where the last observation's time lies: two
            sines and cosines for each, 0 where a series has no such times.
    """

    context = 2
    fields: ClassVar[list[tuple[str, str, tuple[int, ...]]]] = [
        ("recent", "<f8", (_CHANGES + 1,)),  # the last values, the newest first
        ("ring", "<f8", (_RING,)),  # those of a season: that of step t at t modulo their number
        ("steps", "<f8", (LONGEST_SEASON,)),  # the mean step into each phase of the season
        ("inner_steps", "<f8", (LONGEST_INNER_SEASON,)),  # the same of the shorter one within it
        ("level", "<f8", ()),  # the mean
        ("still", "<f8", ()),  # the share of steps that were none
        ("smooth", "<f8", ()),  # a smoothed level, one step on
        ("lag", "<f8", ()),  # by how much the last value exceeded it
        ("ahead", "<f8", (4,)),  # the forecasts of the next value
        ("rms", "<f8", (4,)),  # how far off each of them is
        ("size", "<f8", ()),  # how far the next value may be from the base: the network's unit
        ("residuals", "<f8", (2,)),  # the last two values minus their base
        ("regressors", "<f4", (COUNT,)),
        ("weights", "<f4", (COUNT + len(_FEW),)),  # of the long regression, then of the short
        ("long_covariance", "<f4", (COUNT, COUNT)),
        ("short_covariance", "<f4", (len(_FEW), len(_FEW))),
    ]

    def __init__(self, calendar: Sequence[Cycle] = ()) -> None:
        periods = [CYCLES[cycle] for cycle in calendar]
        self._periods = np.array(periods, np.int64).repeat(HARMONICS)
        self._turns = 2.0 * np.pi * np.tile(np.arange(1.0, 1.0 + HARMONICS), len(periods))
        self.features = FEATURES + 2 * len(self._periods)
        self.keeps_time = bool(periods)

    def observe(self, records: Records, y: Floats) -> None:
        """Take the next value; see `Transform.observe`."""
        with np.errstate(over="ignore"):  # an infinity is beyond any limit too
            is_first = records["step"] == 0
            learns = ~(is_first | records["missing"])
            if np.count_nonzero(learns) == len(learns):
                _learn(records, y)
            else:
                _change(records, learns, _learn, y)
                _change(records, is_first, _begin, y)
            _look_ahead(records, y)

    def inputs(self, records: Records) -> NDArray[np.float32]:
        """Return where series stand, in units of the scale; see `Transform.inputs`."""
        step, season = records["step"], records["season"]
        ahead, size = records["ahead"], _divisor(records["size"])[:, None]
        base = ahead[:, BASE]
        with np.errstate(over="ignore"):
            sizes = records["rms"] / size
            columns = np.empty((len(records), self.features))
            # All that the regressions see in units of the mean step, ...
            columns[:, 0:9] = records["regressors"].take(_SEEN, axis=1) * _SEEN_SHARE
            columns[:, 0:9] *= sizes[:, _LAST, None]
            columns[:, 9:13] = np.log(np.maximum(sizes, 1e-4))
            # ... the errors, the forecasts of both regressions and of none, and where zero is.
            columns[:, 13:15] = records["residuals"]
            np.subtract(ahead[:, :BASE], base[:, None], out=columns[:, 15:18])
            columns[:, 18], columns[:, 19] = base, records["level"]
            columns[:, 13:20] /= size
        columns[:, 18:20] = np.arcsinh(columns[:, 18:20]) / 5.0
        columns[:, 20] = (season[:, 0] > 1) & (step > season[:, 0])
        columns[:, 21:23] = _LOG_SEASON[season]
        columns[:, 23] = np.minimum(step, 10) / 10.0
        columns[:, 24] = np.log1p(step) / 5.0
        columns[:, 25] = records["still"]
        if self.keeps_time:
            share = records["ds"][:, None] % self._periods / self._periods
            waves = columns[:, FEATURES:]
            waves[:, 0::2] = np.sin(self._turns * share)
            waves[:, 1::2] = np.cos(self._turns * share)
            waves *= (records["clock"] == Clock.TIME)[:, None]
        return _limited(columns)

    def scale(self, records: Records, y: Floats) -> Floats:
        """Return how far values are from the base, in units of the scale."""
        with np.errstate(over="ignore"):
            away = y - records["ahead"][:, BASE, None]
            scaled: Floats = away / _divisor(records["size"])[:, None]
            return scaled

    def unscale(self, records: Records, z: Floats) -> Floats:
        """Return the inverse of `scale`."""
        values: Floats = records["ahead"][:, BASE, None] + z * records["size"][:, None]
        return values


def _change(
    records: Records,
    which: NDArray[np.bool_],
    change: Callable[[Records, Floats], None],
    y: Floats,
) -> None:
    """Have some records changed, in place."""
    if np.count_nonzero(which):
        some = raw(records)[which].view(records.dtype)
        change(some, y[which])
        raw(records)[which] = raw(some)


def _begin(records: Records, y: Floats) -> None:
    """Take the first value."""
    records["level"] = records["smooth"] = y
    records["recent"] = records["ahead"] = y[:, None]
    records["weights"] = BANK.start
    records["long_covariance"], records["short_covariance"] = BANK.covariances


def _learn(records: Records, y: Floats) -> None:
    """Hold what was forecast against the value that came, and take the step to it."""
    seen, rms, level, still = (records[name] for name in ("step", "rms", "level", "still"))
    errors = y[:, None] - records["ahead"]
    step = errors[:, _LAST]
    target = _limited(step / _divisor(rms[:, _LAST]))
    covariances = records["long_covariance"], records["short_covariance"]
    BANK.update(records["weights"], covariances, records["regressors"], target)

    # Beyond what the regressions see of it, how far the level is says no more.
    moves = rms > 0.0
    reach = np.where(moves[:, _LAST], _FURTHEST * _LEVEL_UNIT * rms[:, _LAST], np.inf)
    away = np.maximum(np.minimum(y - level, reach), -reach)
    level += away / np.minimum(seen + 1, _LEVEL_WINDOW)

    most = _OUTLIER.take(np.minimum(seen, len(_OUTLIER) - 1))[:, None] * rms
    size = np.minimum(np.abs(errors), np.where(moves, most, np.inf))
    gain = 1.0 / np.minimum(seen[:, None], _WINDOWS)
    # Not a sum of squares: 1e300 has a root mean square, and no square.
    np.hypot(rms * np.sqrt(1.0 - gain), size * np.sqrt(gain), out=rms)
    still += gain[:, _LAST] * ((step == 0.0) - still)

    season = np.maximum(records["season"], 1)
    _take_step(records["steps"], season[:, 0], seen, step)
    if np.count_nonzero(season[:, 1] > 1):
        _take_step(records["inner_steps"], season[:, 1], seen, step)


def _take_step(steps: Floats, season: Indices, seen: Indices, step: Floats) -> None:
    """Take the last step into the mean of its phase, in place."""
    rows, phase = np.arange(len(steps)), seen % season
    mean = steps[rows, phase]
    cycle = (seen - 1) // season + 1.0
    steps[rows, phase] = mean + np.maximum(1.0 / cycle, _STEP_GAIN) * (step - mean)


def _look_ahead(records: Records, y: Floats) -> None:
    """Take `y` into the last values, and make the forecasts and the scale of the next.

    This is done with a missing value's stand-in too, from which nothing is learnt.
    """
    rows = np.arange(len(records))
    recent, ring, season = records["recent"], records["ring"], records["season"]
    ahead, residuals = records["ahead"], records["residuals"]
    residuals[:, 1] = residuals[:, 0]
    residuals[:, 0] = y - ahead[:, BASE]
    recent[:, 1:] = recent[:, :-1]
    recent[:, 0] = y
    ring[rows, records["step"] % _RING] = y
    records["lag"] = y - records["smooth"]
    step = records["step"] + 1  # what it will be
    first = season[:, 0]
    is_known = (first > 1) & (step > first)
    mean_step = records["steps"][rows, step % np.maximum(first, 1)] * is_known
    other_step = np.zeros(len(records))
    second = season[:, 1]
    if np.count_nonzero(second > 1):
        inner = records["inner_steps"][rows, step % np.maximum(second, 1)]
        inner *= (second > 1) & (step > second)
        # Until the longer one is known, the shorter one stands in for it.
        mean_step = np.where(is_known, mean_step, inner)
        other_step = inner - mean_step

    x = np.empty((len(records), COUNT))
    np.subtract(recent[:, :-1], recent[:, 1:], out=x[:, :_CHANGES])
    np.subtract(y, records["level"], out=x[:, LEVEL])
    x[:, STEP], x[:, OTHER_STEP] = mean_step, other_step
    np.negative(records["lag"], out=x[:, LAGGING])
    of_season = season.take(_OF_SEASON, axis=1)
    back = of_season + _BACK
    lags = ring[rows[:, None], (step[:, None] - back) % _RING] - y[:, None]
    np.multiply(lags, (of_season > 1) & (back <= step[:, None]), out=x[:, FIRST:])
    rms = records["rms"]
    unit = rms[:, _LAST]
    x[:, _ONE] = 0.0
    x /= np.maximum(unit, _TINY)[:, None] * _UNITS  # all is 0 where the unit is
    x[:, _ONE] = 0.3
    regressors = _limited(x)
    records["regressors"] = regressors

    change = BANK.forecast(records["weights"], regressors) * unit[:, None]
    gap = records["gap"]
    if np.count_nonzero(gap):
        # Fed its own forecasts, a regression may run away: what it says beside the mean step fades
        # over as many steps as were seen.
        change -= mean_step[:, None]
        change *= np.exp(-gap / np.maximum(step - gap, 1))[:, None]
        change += mean_step[:, None]
    misses = rms[:, :_LAST]
    share = (misses / np.maximum(misses.max(axis=1), _TINY)[:, None]) ** _TRUST
    # The better one has the larger share: the other's error over both. The worse error is 1 here,
    # or there is none.
    share = share[:, ::-1] / np.maximum(share.sum(axis=1), 1.0)[:, None]
    ahead[:, :_LAST] = y[:, None] + change
    ahead[:, _LAST] = y
    ahead[:, BASE] = y + np.vecdot(share, change)
    records["smooth"] = y + mean_step - _SMOOTHING * records["lag"]
    # A series that was forecast without error may still move by what its numbers are rounded to.
    misses = misses * np.sqrt(share)
    spread = np.hypot(misses[:, 0], misses[:, 1])
    records["size"] = np.hypot(spread, 1e-4 * unit) + 1e-9 * np.abs(y)


def _divisor(scale: Floats) -> Floats:
    """Return a scale to divide by, which may overflow where it is tiny; what is over none is 0."""
    divisor: Floats = np.where(scale > 0.0, scale, np.inf)
    return divisor


def _limited(value: Floats) -> NDArray[np.float32]:
    """Return what is no further out than says anything."""
    return np.maximum(np.minimum(value, _FURTHEST), -_FURTHEST).astype(np.float32)

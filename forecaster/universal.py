"""The transform of the universal model: a base forecast out of each series' own past.

Two regressions on the last differences, the running season and a few lags are fitted to each series
as it goes (`regression`), one with a long memory and one with a short one. Their forecasts,
weighted by how well each has done of late, are the base; their running error is the scale. The
network sees where the series stands in units of that scale, and says how the next value will differ
from the base. Nothing has a unit, so a series times a constant is the same series.
"""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from forecaster.regression import Regression, dot
from forecaster.spec import LONGEST_SEASON

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
# Of the sizes of steps, of the errors of both candidates, and of those of the base.
_WINDOWS = np.array([200.0, 60.0, 60.0, 8.0])

# Once so many are known, one counts for no more than so many times their root mean square.
_SETTLED = 8
_OUTLIER = 6.0

_SMOOTHING = 0.8  # how much of its last error the smoothed level carries on
_TRUST = 10  # a candidate's weight falls with this power of its error

# Columns of the regressors.
_LEVEL, _ONE, _STEP, _LAGGING, _OTHER_STEP = range(_CHANGES, _CHANGES + 5)
_FIRST, _SECOND = _CHANGES + 5, _CHANGES + 5 + len(_SEASON_LAGS)
_COUNT = _SECOND + len(_SEASON_LAGS)
_SHORT = np.array([_ONE, _LEVEL, _STEP, _LAGGING, _OTHER_STEP, 0, 1, _FIRST, _FIRST + 1])

# How far back from the value to come: the last values, then lags without their season.
_BACK = np.array([*range(1, _CHANGES + 2), *_SEASON_LAGS, *_SEASON_LAGS])
_LAGS = slice(_CHANGES + 1, None)
# To which of the two seasons a column of `_BACK` belongs.
_OF_SEASON = np.zeros((2, len(_BACK)), np.int64)
_OF_SEASON[0, _CHANGES + 1 : _CHANGES + 5] = 1
_OF_SEASON[1, _CHANGES + 5 :] = 1


def _starting(columns: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return weights that forecast the mean step of the season and no more."""
    weights: NDArray[np.float32] = (columns == _STEP).astype(np.float32)
    return weights


# Further differences, and lags beside the season, are held more firmly at nothing.
_FIRMNESS = np.concatenate(
    [1.0 + np.arange(1, _CHANGES + 1) / 1.5, np.ones(5), np.tile([1.0, 1.0, 2.0, 2.0], 2)]
)
LONG = Regression(
    (3.0 * _FIRMNESS).astype(np.float32), _starting(np.arange(_COUNT)), memory=4000, limit=2.0
)
SHORT = Regression(np.full(len(_SHORT), 3.0, np.float32), _starting(_SHORT), memory=200, limit=3.0)

# What the network sees; see `UniversalTransform.inputs`.
FEATURES = 26


class UniversalTransform:
    """Forecasts each series by its own regressions, and tells the network how that goes.

    A record's `season` holds the lengths of its season and of a shorter one within it, each 0 for
    none, and is set before the first observation.
    """

    context = 2
    features = FEATURES
    fields: ClassVar[list[tuple[str, str, tuple[int, ...]]]] = [
        ("ring", "<f8", (_RING,)),  # the last values: that of step t at t modulo its length
        ("steps", "<f8", (LONGEST_SEASON,)),  # the mean step into each phase of the season
        ("inner_steps", "<f8", (LONGEST_SEASON // 2,)),  # the same of the shorter one within it
        ("level", "<f8", ()),  # the mean
        ("still", "<f8", ()),  # the share of steps that were none
        ("smooth", "<f8", ()),  # a smoothed level, one step on
        ("lag", "<f8", ()),  # by how much the last value exceeded it
        ("candidates", "<f8", (2,)),  # the forecasts of both regressions
        ("base", "<f8", ()),
        ("size", "<f8", ()),  # how far the next value may be from the base: the network's unit
        ("residuals", "<f8", (2,)),  # the last two values minus their base
        ("rms", "<f8", (4,)),  # of steps, of the errors of both candidates, of those of the base
        ("regressors", "<f4", (_COUNT,)),
        ("long", "<f4", (_COUNT,)),
        ("long_covariance", "<f4", (_COUNT, _COUNT)),
        ("short", "<f4", (len(_SHORT),)),
        ("short_covariance", "<f4", (len(_SHORT), len(_SHORT))),
    ]

    def observe(self, records: Records, y: Floats) -> None:
        """Take the next value; see `Transform.observe`."""
        with np.errstate(over="ignore"):  # an infinity is beyond any limit too
            self._observe(records, y)

    def _observe(self, records: Records, y: Floats) -> None:
        is_first = records["step"] == 0
        if not is_first.any():
            _learn(records, y)
        else:
            begun = records[~is_first]
            _learn(begun, y[~is_first])
            records[~is_first] = begun
            new = records[is_first]
            new["level"] = y[is_first]
            new["long"], new["long_covariance"] = LONG.start, LONG.covariance
            new["short"], new["short_covariance"] = SHORT.start, SHORT.covariance
            records[is_first] = new
        _look_ahead(records, y)

    def inputs(self, records: Records) -> NDArray[np.float32]:
        """Return where series stand, in units of the scale; see `Transform.inputs`."""
        with np.errstate(over="ignore"):
            return self._inputs(records)

    def _inputs(self, records: Records) -> NDArray[np.float32]:
        step, season = records["step"], records["season"]
        size, base, rms = records["size"], records["base"], records["rms"]
        regressors = records["regressors"]
        columns = np.empty((len(records), FEATURES))
        # In units of the scale: all that the regressions see in units of the mean step, ...
        ratio = _over(rms[:, 0], size)
        columns[:, 0:3] = regressors[:, 0:3]
        columns[:, 3:9] = regressors[:, [_LEVEL, _LAGGING, _STEP, _FIRST, _FIRST + 1, _SECOND]]
        columns[:, 5:9] /= 3.0
        columns[:, 0:9] *= ratio[:, None]
        # ... the errors, the forecasts of both regressions and of none, the distance from zero.
        columns[:, 9:12] = rms[:, 1:]
        columns[:, 12:14] = records["residuals"]
        columns[:, 14:16] = records["candidates"]
        columns[:, 16] = _last(records)
        columns[:, 14:17] -= base[:, None]
        columns[:, 17], columns[:, 18] = base, records["level"]
        columns[:, 9:19] = _over(columns[:, 9:19], size[:, None])
        columns[:, 19] = ratio
        columns[:, [9, 10, 11, 19]] = np.log(np.maximum(columns[:, [9, 10, 11, 19]], 1e-4))
        columns[:, 17:19] = np.arcsinh(columns[:, 17:19]) / 5.0
        columns[:, 20] = (season[:, 0] > 1) & (step > season[:, 0])
        columns[:, 21:23] = np.log(np.maximum(season, 1)) / 5.0
        columns[:, 23] = np.minimum(step, 10) / 10.0
        columns[:, 24] = np.log1p(step) / 5.0
        columns[:, 25] = records["still"]
        return _limited(columns)

    def scale(self, records: Records, y: Floats) -> Floats:
        """Return how far values are from the base, in units of the scale."""
        with np.errstate(over="ignore"):
            return _over(y - records["base"][:, None], records["size"][:, None])

    def unscale(self, records: Records, z: Floats) -> Floats:
        """Return the inverse of `scale`."""
        values: Floats = records["base"][:, None] + z * records["size"][:, None]
        return values


def _learn(records: Records, y: Floats) -> None:
    """Hold what was forecast against the value that came, and take the step to it."""
    seen = records["step"]
    step, residual = y - _last(records), y - records["base"]
    rms = records["rms"]
    x, target = records["regressors"], _limited(_over(step, rms[:, 0]))
    LONG.update(records["long"], records["long_covariance"], x, target)
    SHORT.update(records["short"], records["short_covariance"], x[:, _SHORT], target)

    size = np.empty_like(rms)
    size[:, 0], size[:, 3] = step, residual
    size[:, 1:3] = records["candidates"] - y[:, None]
    np.abs(size, out=size)
    is_settled = (seen > _SETTLED)[:, None] & (rms > 0.0)
    size = np.where(is_settled, np.minimum(size, _OUTLIER * rms), size)
    gain = 1.0 / np.minimum(seen[:, None], _WINDOWS)
    # Not a sum of squares: 1e300 has a root mean square, and no square.
    np.hypot(rms * np.sqrt(1.0 - gain), size * np.sqrt(gain), out=rms)

    records["residuals"][:, 1] = records["residuals"][:, 0]
    records["residuals"][:, 0] = residual
    records["lag"] = y - records["smooth"]
    records["still"] += gain[:, 0] * ((step == 0.0) - records["still"])
    # Beyond what the regressions see of it, how far the level is says no more.
    most = np.where(rms[:, 0] > 0.0, _FURTHEST * _LEVEL_UNIT * rms[:, 0], np.inf)
    away = np.maximum(np.minimum(y - records["level"], most), -most)
    records["level"] += away / np.minimum(seen + 1, _LEVEL_WINDOW)
    season = np.maximum(records["season"], 1)
    _take_step(records["steps"], season[:, 0], seen, step)
    if (season[:, 1] > 1).any():
        _take_step(records["inner_steps"], season[:, 1], seen, step)


def _take_step(steps: Floats, season: Indices, seen: Indices, step: Floats) -> None:
    """Take the last step into the mean of its phase, in place."""
    rows, phase = np.arange(len(steps)), seen % season
    mean = steps[rows, phase]
    cycle = (seen - 1) // season + 1.0
    steps[rows, phase] = mean + np.maximum(1.0 / cycle, _STEP_GAIN) * (step - mean)


def _look_ahead(records: Records, y: Floats) -> None:
    """Take `y` into the last values, and make the forecasts and the scale of the next."""
    rows = np.arange(len(records))
    ring, season, rms = records["ring"], records["season"], records["rms"]
    ring[rows, records["step"] % _RING] = y
    step = records["step"] + 1  # what it will be
    first = season[:, 0]
    is_known = (first > 1) & (step > first)
    mean_step = records["steps"][rows, step % np.maximum(first, 1)] * is_known
    other_step = np.zeros_like(mean_step)
    if (season[:, 1] > 1).any():
        second = season[:, 1]
        inner = records["inner_steps"][rows, step % np.maximum(second, 1)]
        inner *= (second > 1) & (step > second)
        # Until the longer one is known, the shorter one stands in for it.
        mean_step = np.where(is_known, mean_step, inner)
        other_step = inner - mean_step

    back = _BACK + season @ _OF_SEASON
    values = ring[rows[:, None], (step[:, None] - back) % _RING]
    is_there = back <= step[:, None]
    is_there[:, _LAGS] &= (season > 1).repeat(len(_SEASON_LAGS), axis=1)
    x = np.empty((len(records), _COUNT))
    np.subtract(values[:, :_CHANGES], values[:, 1 : _CHANGES + 1], out=x[:, :_CHANGES])
    x[:, :_CHANGES] *= is_there[:, 1 : _CHANGES + 1]
    x[:, _LEVEL] = (y - records["level"]) / _LEVEL_UNIT
    x[:, _STEP] = mean_step
    x[:, _LAGGING] = -records["lag"]
    x[:, _OTHER_STEP] = other_step
    np.subtract(values[:, _LAGS], y[:, None], out=x[:, _FIRST:])
    x[:, _FIRST:] *= is_there[:, _LAGS]
    unit = rms[:, 0]
    x = _over(x, unit[:, None])
    x[:, _ONE] = 0.3
    regressors = _limited(x)
    records["regressors"] = regressors

    change = np.empty((len(records), 2))
    change[:, 0] = dot(records["long"], regressors)
    change[:, 1] = dot(records["short"], regressors[:, _SHORT])
    change *= unit[:, None]
    records["candidates"] = y[:, None] + change
    records["smooth"] = y + mean_step - _SMOOTHING * records["lag"]
    misses = rms[:, 1:3]
    share = _over(misses, misses.max(axis=1)[:, None]) ** _TRUST
    both = share.sum(axis=1)[:, None]
    share = np.where(both > 0.0, _over(share[:, ::-1], both), 0.5)
    records["base"] = y + (share * change).sum(axis=1)
    # A series that was forecast without error may still move by what its numbers are rounded to.
    misses = misses * np.sqrt(share)
    spread = np.hypot(misses[:, 0], misses[:, 1])
    records["size"] = np.hypot(spread, 1e-4 * unit) + 1e-9 * np.abs(y)


def _last(records: Records) -> Floats:
    """Return the last value that was taken into each series and counted."""
    last: Floats = records["ring"][np.arange(len(records)), (records["step"] - 1) % _RING]
    return last


def _over(value: Floats, scale: Floats) -> Floats:
    """Return a quotient; 0 where the scale is nothing, and it may overflow where it is tiny."""
    quotient: Floats = value / np.where(scale > 0.0, scale, np.inf)
    return quotient


def _limited(value: Floats) -> NDArray[np.float32]:
    """Return what is no further out than says anything."""
    return np.maximum(np.minimum(value, _FURTHEST), -_FURTHEST).astype(np.float32)

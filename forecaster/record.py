"""Everything kept for one series, as one fixed-width NumPy record.

A record of zeros is a series that has seen nothing, so a store needs no model to make one, and a
series exists when its `step` is above zero. `tobytes()` is its form on disk.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from forecaster.journal import STOOD_WIDTH

Records = NDArray[np.void]

Field = tuple[str, str, tuple[int, ...]]

_CURSOR: list[Field] = [
    ("step", "<i8", ()),  # observations taken
    ("gap", "<i8", ()),  # how many of the last ones had no value, one after the other
    ("ds", "<i8", ()),  # the last one's time, as `clock` says
    ("season", "<i2", (2,)),  # its length, and that of a shorter one within it; 0 for none
    ("y", "<f8", ()),  # the last one's value; where it was missing, the forecast that stood in
    ("error", "<f8", ()),  # y minus the forecast that stood for it; NaN without one
    ("stood", "<f8", (STOOD_WIDTH,)),  # that forecast: the mean, bounds of each of `scores.LEVELS`
]

_SCORES: list[Field] = [
    ("scored", "<i8", ()),  # observations that had a forecast to be held against
    ("mae", "<f8", ()),
    ("rmse", "<f8", ()),
    ("naive_mae", "<f8", ()),  # of the last value as forecast, over the same observations
    ("covered", "<i8", (2,)),  # how many fell into each of `scores.LEVELS`
]

# The fields of the running scores; zero when nothing was scored.
SCORE_FIELDS = tuple(name for name, _, _ in _SCORES)


def record_dtype(*, state_size: int, width: int, transform: Iterable[Field]) -> np.dtype[np.void]:
    """Return the dtype of a model's records.

    Args:
        state_size: Numbers in `h`, and in `c`.
        width: Numbers in a forecast: the mean and the quantiles.
        transform: The fields that the transform keeps.
    """
    fields: list[Field] = [
        *_CURSOR,
        *_SCORES,
        ("forecast", "<f8", (width,)),  # of the next observation, in the series' own units
        ("spread", "<f8", (2,)),  # of each of `scores.LEVELS`: a logarithm, see `Head.widen`
        *transform,
        ("h", "<f4", (state_size,)),
        ("c", "<f4", (state_size,)),
        ("clock", "<u1", ()),  # what `ds` means: `calendar.Clock`
        ("missing", "?", ()),  # the last observation had no value
        ("mark", "<u1", ()),  # how it came to be: `journal.Mark`
    ]
    return np.dtype(fields)


def raw(records: Records) -> Records:
    """Return a view of records as plain bytes, to be copied, taken and put.

    NumPy moves a structure field by field, which takes three to six times as long.
    """
    return records.view(f"V{records.dtype.itemsize}")


def copied(records: Records) -> Records:
    """Return a copy of records."""
    return raw(records).copy().view(records.dtype)

"""What happened to series, as fixed-width entries that can be kept and replayed.

Observations are the truth and records follow from them: `Forecaster.replaying` takes entries into
records as observing them one by one would.
"""

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from forecaster.calendar import Times
from forecaster.scores import LEVELS

# Begins the name of a field that holds a covariate, in an entry and in a record.
COVARIATE = "x."

Entries = NDArray[np.void]
Records = NDArray[np.void]
Indices = NDArray[np.int64]
Floats = NDArray[np.float64]

# The length of a series' season, and that of a shorter one within it; 0 for none.
Season = tuple[int, int]
NO_SEASON: Season = (0, 0)


# The words of covariates that are words, by name; see `spec.Covariate`.
Words = Mapping[str, tuple[str, ...]]
NO_WORDS: Words = MappingProxyType({})


class Mark(IntEnum):
    """How an entry came to be."""

    OBSERVED = 0
    AFTER_GAP = 1  # observed; steps were left out before it
    FILLED = 2  # a step that was left out; the forecast stood in
    RESET = 3  # no observation: the state was zeroed after this step


# What stood for an observation: the mean, and both bounds of each of `scores.LEVELS`.
STOOD_WIDTH = 1 + 2 * len(LEVELS)

ENTRY = np.dtype(
    [
        ("series", "<i8"),  # whose: a number that the keeper of the entries gives a series
        ("step", "<i8"),  # the step that the series was at afterwards
        ("ds", "<i8"),  # the time, as `clock` says
        ("y", "<f8"),  # the value, NaN where it was missing
        ("stood", "<f8", (STOOD_WIDTH,)),  # what had been forecast for it; NaN without a forecast
        ("season", "<i2", (2,)),  # that of the series; see `record`
        ("clock", "<u1"),  # what `ds` means: `calendar.Clock`
        ("mark", "<u1"),  # a `Mark`
    ]
)


def entry_dtype(record: np.dtype[np.void]) -> np.dtype[np.void]:
    """Return the dtype of the entries of a model, from that of its records.

    It is `ENTRY` with a field for each covariate, which is NaN where it was missing.
    """
    names = [name for name in record.names or () if name.startswith(COVARIATE)]
    return np.dtype([*ENTRY.descr, *((name, "<f8") for name in names)]) if names else ENTRY


def covariates_of(entries: Entries) -> Floats | None:
    """Return the covariates of entries, shape `(n, covariates)`, if their model has any."""
    names = (entries.dtype.names or ())[len(ENTRY.names or ()) :]
    return np.stack([entries[name] for name in names], axis=1) if names else None


def put_covariates(entries: Entries, x: Floats | None) -> None:
    """Put covariates, shape `(n, covariates)`, into entries, in place; by default all missing."""
    names = (entries.dtype.names or ())[len(ENTRY.names or ()) :]
    for number, name in enumerate(names):
        entries[name] = np.nan if x is None else x[:, number]


def converted(
    entries: Entries, dtype: np.dtype[np.void], former: Words = NO_WORDS, words: Words = NO_WORDS
) -> Entries:
    """Return the entries of one model as those of another.

    Covariates go by their names and words. What is a number to one model and a word to the other,
    or a word that the other does not know, is missing.

    Args:
        entries: Those of the former model.
        dtype: That of the other's entries.
        former: The words of the former's covariates.
        words: Those of the other's.
    """
    if entries.dtype == dtype and former == words:
        return entries
    new = np.zeros(len(entries), dtype)
    put_covariates(new, None)
    for name in set(dtype.names or ()) & set(entries.dtype.names or ()):
        covariate = name.removeprefix(COVARIATE)
        were, are = former.get(covariate, ()), words.get(covariate, ())
        if were == are or not name.startswith(COVARIATE):
            new[name] = entries[name]
        elif were and are:
            codes = [are.index(word) + 1.0 if word in are else np.nan for word in were]
            known = np.nan_to_num(entries[name]).astype(np.int64)  # 0 where it is missing
            new[name] = np.array([np.nan, *codes])[known]
    return new


def observed(
    records: Records,
    rows: Indices,
    dtype: np.dtype[np.void] = ENTRY,
    x: Floats | None = None,
) -> Entries:
    """Return the entries of the observations that took records to where they are.

    Args:
        records: Records that were just observed, shape `(K,)`.
        rows: What goes into `series`, shape `(K,)`.
        dtype: That of the model's entries.
        x: The covariates that came with them, shape `(K, covariates)`; none by default.
    """
    entries = np.empty(len(records), dtype)
    put_covariates(entries, x)
    entries["series"] = rows
    for name in ("step", "ds", "season", "stood", "clock", "mark"):
        entries[name] = records[name]
    entries["y"] = np.where(records["missing"], np.nan, records["y"])
    return entries


def resets(records: Records, rows: Indices, dtype: np.dtype[np.void] = ENTRY) -> Entries:
    """Return the entries of resets of these records; arguments as for `observed`."""
    entries = np.zeros(len(records), dtype)
    entries["series"] = rows
    entries["step"] = records["step"]
    entries["season"] = records["season"]
    entries["mark"] = Mark.RESET
    return entries


def of_history(
    y: NDArray[np.float64],
    ds: Times,
    clock: int,
    marks: NDArray[np.uint8],
    row: int = 0,
    season: Season = NO_SEASON,
    dtype: np.dtype[np.void] = ENTRY,
    x: Floats | None = None,
) -> Entries:
    """Return the entries of a history that begins a series; none has a forecast that stood.

    Args:
        y: The values in time order, shape `(n,)`, NaN where one is missing.
        ds: Their times, shape `(n,)`.
        clock: What `ds` means.
        marks: How each came to be, shape `(n,)`.
        row: What goes into `series`.
        season: The season of the series.
        dtype: That of the model's entries.
        x: The covariates, shape `(n, covariates)`, NaN where one is missing; none by default.
    """
    entries = np.empty(len(y), dtype)
    put_covariates(entries, x)
    entries["series"], entries["clock"], entries["season"] = row, clock, season
    entries["step"] = np.arange(1, len(y) + 1)
    entries["y"], entries["ds"], entries["mark"] = y, ds, marks
    entries["stood"] = np.nan
    return entries


# Where the first observation of a series stands; see `position`.
FIRST_POSITION = 2


def position(entries: Entries) -> NDArray[np.int64]:
    """Return where entries stand in their series: rising, a reset after the step it followed."""
    place: NDArray[np.int64] = 2 * entries["step"] + (entries["mark"] == Mark.RESET)
    return place


def is_after(entries: Entries, steps: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say which entries a record at a step may not hold yet.

    A reset at just that step may be in it or not: twice is the same as once.

    Args:
        entries: Shape `(n,)`.
        steps: The step of the record of each one's series, shape `(n,)`.
    """
    return position(entries) > 2 * steps


def merged(entries: Entries) -> Entries:
    """Return the entries of one series in order, each once."""
    _, first = np.unique(position(entries), return_index=True)
    return entries[first]

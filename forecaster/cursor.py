"""What comes next in a series: order, duplicates and gaps.

The rules are the ones a caller may rely on when it retries: the same observation again changes
nothing, an older or contradicting one is refused, and nothing is left out unnoticed.
"""

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from forecaster.calendar import Clock, Freq, Times, format_ds
from forecaster.errors import (
    ClockError,
    ConflictError,
    GapError,
    InvalidRequestError,
    OutOfOrderError,
    StepMismatchError,
    TimeError,
)
from forecaster.journal import Mark

# A gap longer than this is refused rather than filled: it is a wrong date more often than not.
_LONGEST_FILL = 500
_MOST_FILLED = 10_000


class OnGap(StrEnum):
    """What becomes of an observation that leaves steps out."""

    REJECT = "reject"
    SKIP = "skip"
    FILL = "fill"


def place(
    record: np.void,
    y: float,
    ds: int,
    clock: Clock,
    *,
    freq: Freq | None = None,
    on_gap: OnGap = OnGap.REJECT,
    expected_step: int | None = None,
) -> int | None:
    """Say where an observation stands in its series.

    Args:
        record: The series' record; `step` 0 for a new series.
        y: The value, NaN if it is missing.
        ds: Its time, as `clock` says.
        clock: The kind of `ds`.
        freq: The distance between observations, if the model knows it.
        on_gap: What to do when steps were left out.
        expected_step: The step the caller believes the series to be at.

    Returns:
        How many missing steps to fill before it, usually 0; or `None` if it is the last observation
        again.

    Raises:
        ClockError: If the series keeps another kind of time.
        OutOfOrderError: If it is older than the cursor.
        ConflictError: If the cursor is at this time with another value.
        GapError: If it leaves steps out, or lies between two of them.
        StepMismatchError: If the series is not at `expected_step`.
    """
    step = int(record["step"])
    if step and clock != record["clock"]:
        raise _time_error(
            ClockError,
            record,
            f"the series keeps {_CLOCKS[Clock(int(record['clock']))]}, "
            f"this observation has {_CLOCKS[clock]}",
        )
    if freq is not None and clock not in (Clock.NONE, freq.clock):
        raise _time_error(
            ClockError,
            record,
            f"the model's freq needs {_CLOCKS[freq.clock]}, this observation has {_CLOCKS[clock]}",
        )
    last = int(record["ds"])
    if step and clock != Clock.NONE and ds == last:
        if _is_same(record, y):
            return None
        raise _time_error(ConflictError, record, "this time was observed with another value")
    if expected_step is not None and expected_step != step:
        raise StepMismatchError(expected=expected_step, step=step)
    if clock == Clock.NONE:
        return 0
    if not step:
        if freq is not None and not freq.is_on_grid(np.array([ds]))[0]:
            shown = format_ds(ds, clock)
            raise _time_error(GapError, record, f"{shown} is between two steps of the model's freq")
        return 0
    if ds < last:
        shown = format_ds(ds, clock)
        raise _time_error(
            OutOfOrderError, record, f"{shown} is before the last observation, {_cursor(record)}"
        )
    return 0 if freq is None else _gap(record, ds, freq, on_gap)


def comes_next(
    records: NDArray[np.void], ds: Times, clocks: NDArray[np.uint8], *, freq: Freq | None = None
) -> NDArray[np.bool_]:
    """Say for K series which observations plainly come next.

    True is `place` saying 0 for any value. Of the others `place` has to be asked: they may be
    duplicates, gaps, or refused.
    """
    is_bare = clocks == Clock.NONE
    last = records["ds"]
    follows = ds > last if freq is None else ds == freq.advance(last)
    goes_on: NDArray[np.bool_] = (clocks == records["clock"]) & (is_bare | follows)
    is_new = records["step"] == 0
    if freq is None:
        goes_on |= is_new
        return goes_on
    if is_new.any():
        goes_on |= is_new & (is_bare | freq.is_on_grid(ds))
    goes_on &= is_bare | (clocks == freq.clock)
    return goes_on


def fit_to_freq(
    y: NDArray[np.float64],
    ds: Times,
    clock: Clock,
    *,
    freq: Freq | None = None,
    on_gap: OnGap = OnGap.REJECT,
) -> tuple[NDArray[np.float64], Times, NDArray[np.uint8]]:
    """Hold a whole history to the rules of `place`, as if observed one by one from nothing.

    Args:
        y: The values, shape `(n,)`, NaN where one is missing.
        ds: Their times, shape `(n,)`.
        clock: The kind of `ds`.
        freq: The distance between observations, if the model knows it.
        on_gap: What to do when steps were left out.

    Returns:
        Values and times, with NaN for the steps that were filled, and the `journal.Mark` of each.

    Raises:
        ClockError: If the model's freq needs another kind of time.
        OutOfOrderError: If a time is not after the one before.
        GapError: If steps are left out.
    """
    before = np.zeros(1, [("step", "<i8"), ("ds", "<i8"), ("clock", "<u1")])
    place(before[0], float(y[0]), int(ds[0]), clock, freq=freq)
    marks = np.full(len(y), Mark.OBSERVED, np.uint8)
    if clock is Clock.NONE:
        return y, ds, marks
    follows = ds[1:] > ds[:-1] if freq is None else ds[1:] == freq.advance(ds[:-1])
    gaps = np.flatnonzero(~follows) + 1
    counts = []
    for at in gaps.tolist():
        before[0] = (at, ds[at - 1], clock)
        if ds[at] <= ds[at - 1]:
            shown = format_ds(int(ds[at]), clock)
            raise _time_error(
                OutOfOrderError,
                before[0],
                f"{shown} is not after the one before, {_cursor(before[0])}",
            )
        counts.append(0 if freq is None else _gap(before[0], int(ds[at]), freq, on_gap))
    if sum(counts) > _MOST_FILLED:
        raise InvalidRequestError(
            f"ds: the history leaves out {sum(counts)} steps, at most {_MOST_FILLED} are filled"
        )
    if freq is None or not len(gaps):
        return y, ds, marks
    if on_gap is OnGap.SKIP:
        marks[gaps] = Mark.AFTER_GAP
        return y, ds, marks
    missing = np.array(counts)
    positions = np.repeat(gaps, missing)
    times = np.empty(len(positions), np.int64)
    nth = np.arange(len(positions)) - np.repeat(np.cumsum(missing) - missing, missing)
    for n in range(missing.max()):
        times[nth == n] = freq.advance(ds[gaps[missing > n] - 1], n + 1)
    return (
        np.insert(y, positions, np.nan),
        np.insert(ds, positions, times),
        np.insert(marks, positions, Mark.FILLED),
    )


def _is_same(record: np.void, y: float) -> bool:
    if np.isnan(y) or record["missing"]:
        return bool(np.isnan(y) and record["missing"])
    return bool(y == record["y"])


def _gap(record: np.void, ds: int, freq: Freq, on_gap: OnGap) -> int:
    last = np.array([record["ds"]], np.int64)
    expected = int(freq.advance(last)[0])
    if ds == expected or on_gap is OnGap.SKIP:
        return 0
    shown, due = format_ds(ds, freq.clock), format_ds(expected, freq.clock)
    if ds < expected:
        raise _time_error(GapError, record, f"{shown} is between two steps; the next is {due}")
    if on_gap is OnGap.FILL:
        steps = freq.steps_between(int(last[0]), ds)
        if steps is None or steps > _LONGEST_FILL:
            reason = "is between two steps" if steps is None else f"leaves out {steps - 1} steps"
            raise _time_error(GapError, record, f"{shown} {reason}; the next is {due}")
        return steps - 1
    raise _time_error(
        GapError, record, f"{due} comes next, this is {shown}; observe null for what is missing"
    )


_CLOCKS = {
    Clock.NONE: "no ds",
    Clock.INTEGER: "whole numbers as ds",
    Clock.TIME: "dates and times as ds",
}


def _cursor(record: np.void) -> int | str | None:
    return format_ds(int(record["ds"]), int(record["clock"]))


def _time_error(kind: type[TimeError], record: np.void, message: str) -> TimeError:
    return kind(message, step=int(record["step"]), ds=_cursor(record))

"""Time on the wire and in a record, and the time that comes next.

A record keeps `ds` as one 64-bit integer. Its clock says what that integer means: nothing (the
series is a bare sequence), a step number, or microseconds since 1970-01-01 in UTC.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from forecaster.errors import InvalidRequestError

Times = NDArray[np.int64]

_MICROSECONDS = {"s": 10**6, "min": 60 * 10**6, "h": 3600 * 10**6, "D": 86400 * 10**6}
_MICROSECONDS["W"] = 7 * _MICROSECONDS["D"]
_MONTHS = {"M": 1, "Q": 3, "Y": 12}
_PATTERN = re.compile(r"([1-9][0-9]{0,5})?(?:(s|min|h|D|B|MS|ME)|(W|QS|QE|YS|YE)(?:-[A-Z]{3})?)?")
_SEASONS = {"s": 3600, "min": 1440, "h": 24, "D": 7, "B": 5, "W": 52, "M": 12, "Q": 4, "Y": 1}
_DAY = _MICROSECONDS["D"]


class Clock(IntEnum):
    """What the `ds` of a series counts."""

    NONE = 0
    INTEGER = 1
    TIME = 2


@dataclass(frozen=True)
class Freq:
    """The distance between two observations: `count` units, with pandas' names for the units."""

    count: int
    unit: str  # "" for integer time

    @classmethod
    def parse(cls, text: str) -> "Freq":
        """Read `MS`, `15min`, `W-SUN` or, for integer time, `1`.

        Raises:
            InvalidRequestError: If the text is none of the frequencies known here.
        """
        match = _PATTERN.fullmatch(text)
        if not match or not text:
            known = "a whole number, or s, min, h, D, B, W, MS, ME, QS, QE, YS, YE with one before"
            raise InvalidRequestError(f"freq {text!r} is not known: expected {known}")
        return cls(int(match[1] or 1), match[2] or match[3] or "")

    @property
    def clock(self) -> Clock:
        """The kind of time that this frequency measures."""
        return Clock.TIME if self.unit else Clock.INTEGER

    @property
    def season(self) -> int:
        """The usual season length at this frequency, 1 where there is none."""
        if not self.unit:
            return 1
        unit = self.unit if self.unit in _SEASONS else self.unit[0]
        return max(_SEASONS[unit] // self.count, 1)

    def advance(self, ds: Times, steps: int = 1) -> Times:
        """Return the times `steps` observations after each of `ds`.

        Args:
            ds: Times in this frequency's clock, any shape.
            steps: How many observations ahead.
        """
        count = self.count * steps
        if not self.unit:
            return ds + count
        if self.unit in _MICROSECONDS:
            return ds + count * _MICROSECONDS[self.unit]
        days, time_of_day = np.divmod(ds, _DAY)
        dates = days.astype("datetime64[D]")
        if self.unit == "B":
            dates = np.busday_offset(dates, count, roll="backward")
        else:
            months = dates.astype("datetime64[M]") + count * _MONTHS[self.unit[0]]
            if self.unit.endswith("S"):
                dates = months.astype("datetime64[D]")
            else:
                dates = (months + 1).astype("datetime64[D]") - 1
        return dates.astype(np.int64) * _DAY + time_of_day

    def is_on_grid(self, ds: Times) -> NDArray[np.bool_]:
        """Say which times an observation can have: not the 15th where months start on the 1st."""
        on_grid: NDArray[np.bool_] = self.advance(ds, 0) == ds
        return on_grid

    def steps_between(self, start: int, end: int) -> int | None:
        """Return how many observations `end` is after `start`; `None` if it is between two."""
        if not self.unit or self.unit in _MICROSECONDS:
            distance = end - start
            steps = distance // (self.count * _MICROSECONDS.get(self.unit, 1))
        else:
            first, last = np.array([start // _DAY, end // _DAY]).astype("datetime64[D]")
            if self.unit == "B":
                weekday = np.busday_offset(first, 0, roll="backward")  # as `advance` does
                steps = int(np.busday_count(weekday, last)) // self.count
            else:
                months = last.astype("datetime64[M]") - first.astype("datetime64[M]")
                steps = int(months.astype(np.int64)) // (self.count * _MONTHS[self.unit[0]])
        reached = self.advance(np.array([start], np.int64), steps)[0]
        return int(steps) if reached == end else None


def encode_time(value: datetime) -> int:
    """Return microseconds since 1970-01-01 UTC; a time without a zone is UTC."""
    moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86400 + delta.seconds) * 10**6 + delta.microseconds


def format_ds(ds: int, clock: int) -> int | str | None:
    """Return `ds` as JSON shows it: nothing, the integer, or ISO 8601 in UTC."""
    if clock == Clock.NONE:
        return None
    if clock == Clock.INTEGER:
        return int(ds)
    text = str(np.datetime64(int(ds), "us"))
    return text.removesuffix(".000000") + "Z"


def format_times(ds: Times, clocks: NDArray[np.uint8]) -> list[int | str | None]:
    """Return what `format_ds` gives for each of many times."""
    shown: list[int | str | None] = [None] * len(ds)
    if not clocks.any():
        return shown
    for row in np.flatnonzero(clocks == Clock.INTEGER).tolist():
        shown[row] = int(ds[row])
    rows = np.flatnonzero(clocks == Clock.TIME)
    texts = np.datetime_as_string(ds[rows].astype("datetime64[us]"), timezone="UTC")
    for row, text in zip(rows.tolist(), texts.tolist(), strict=True):
        shown[row] = text.replace(".000000Z", "Z")
    return shown

"""Time on the wire and in a record, and the time that comes next.

A record keeps `ds` as one 64-bit integer. Its clock says what that integer means: nothing (the
series is a bare sequence), a step number, or microseconds since 1970-01-01 in UTC.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from forecaster.errors import InvalidRequestError

Times = NDArray[np.int64]

DAY = 86400 * 10**6
_EVEN = {"s": 10**6, "min": 60 * 10**6, "h": 3600 * 10**6, "D": DAY, "W": 7 * DAY}
_MONTHS = {"M": 1, "Q": 3, "Y": 12}
_SEASONS = {"s": 3600, "min": 1440, "h": 24, "D": 7, "B": 5, "W": 52, "M": 12, "Q": 4, "Y": 1}
_WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_MONTH_NAMES = (
    *("JAN", "FEB", "MAR", "APR", "MAY", "JUN"),
    *("JUL", "AUG", "SEP", "OCT", "NOV", "DEC"),
)
_PATTERN = re.compile(
    r"(?P<count>[1-9][0-9]{0,5})?(?:(?P<unit>s|min|h|D|B|W|[MQY][SE])"
    rf"(?:(?<=W)-(?P<weekday>{'|'.join(_WEEKDAYS)})"
    rf"|(?<=[QY][SE])-(?P<month>{'|'.join(_MONTH_NAMES)}))?)?"
)
# No step leads further than so many microseconds, 73,000 years: sums of times fit 64 bits.
_FURTHEST = 2**61
_LONGEST = _EVEN | {"B": 3 * DAY, "M": 31 * DAY, "Q": 92 * DAY, "Y": 366 * DAY}
# 1970-01-01 was a Thursday.
_EPOCH_WEEKDAY = 3


class Clock(IntEnum):
    """What the `ds` of a series counts."""

    NONE = 0
    INTEGER = 1
    TIME = 2


@dataclass(frozen=True)
class Freq:
    """The distance between two observations: `count` units, with pandas' names for the units.

    Args:
        count: How many units.
        unit: The unit, empty for integer time.
        anchor: The weekday (0 is Monday) or month (0 is January) that `W-SUN` or `QS-FEB` names.
            Without one, weeks begin on any day, quarters and years in any month.
    """

    count: int
    unit: str
    anchor: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Freq":
        """Read `MS`, `15min`, `W-SUN` or, for integer time, `1`.

        Raises:
            InvalidRequestError: If the text is none of the frequencies known here.
        """
        match = _PATTERN.fullmatch(text)
        if not match or not text:
            known = "a whole number, or s, min, h, D, B, W, MS, ME, QS, QE, YS, YE with one before"
            raise InvalidRequestError(
                f"freq {text!r} is not known: expected {known}, or with its day or month as in "
                "W-SUN, QE-MAR, YS-APR"
            )
        weekday, month = match["weekday"], match["month"]
        anchor = _WEEKDAYS.index(weekday) if weekday else None
        if month:
            anchor = _MONTH_NAMES.index(month)
        return cls(int(match["count"] or 1), match["unit"] or "", anchor)

    @property
    def clock(self) -> Clock:
        """The kind of time that this frequency measures."""
        return Clock.TIME if self.unit else Clock.INTEGER

    @property
    def season(self) -> int:
        """The usual season at this frequency, 1 where it is no whole number of steps."""
        if not self.unit:
            return 1
        length, rest = divmod(_SEASONS[self._kind], self.count)
        return 1 if rest else length

    def advance(self, ds: Times, steps: int = 1) -> Times:
        """Return the times `steps` observations after each of `ds`.

        A time between two steps counts as the one before it, as in pandas.

        Args:
            ds: Times in this frequency's clock, any shape.
            steps: How many observations ahead; behind, if negative.
        """
        count = self.count * steps
        if not self.unit:
            return ds + count
        most = _FURTHEST // _LONGEST[self._kind]
        count = max(min(count, most), -most)
        if self._is_even:
            return ds + count * _EVEN[self.unit]
        days, time_of_day = np.divmod(ds, DAY)
        units = self._units(days) + count * _MONTHS.get(self._kind, 1)
        return self._days(units) * DAY + time_of_day

    def is_on_grid(self, ds: Times) -> NDArray[np.bool_]:
        """Say which times an observation can have: not the 15th where months start on the 1st."""
        on_grid: NDArray[np.bool_] = self.advance(ds, 0) == ds
        return on_grid

    def steps_between(self, start: int, end: int) -> int | None:
        """Return how many observations `end` is after `start`; `None` if it is between two."""
        if self._is_even:
            units = (end - start) // _EVEN.get(self.unit, 1)
        else:
            first, last = self._units(np.array([start // DAY, end // DAY])).tolist()
            units = (last - first) // _MONTHS.get(self._kind, 1)
        steps = units // self.count
        reached = self.advance(np.array([start], np.int64), steps)[0]
        return steps if reached == end else None

    @cached_property
    def _kind(self) -> str:
        """The unit, whether months begin or end it."""
        return self.unit if self.unit in _LONGEST else self.unit[:1]

    @cached_property
    def _is_even(self) -> bool:
        """Whether steps are all of one length, and any time is on the grid."""
        return not self.unit or (self.unit in _EVEN and self.anchor is None)

    def _units(self, days: Times) -> Times:
        """Number the weeks, business days or months on the grid, each day by the last one there.

        Days count from 1970-01-01.
        """
        if self.unit == "W":
            assert self.anchor is not None
            return (days + _EPOCH_WEEKDAY - self.anchor) // 7
        if self.unit == "B":
            weeks, weekdays = np.divmod(days + _EPOCH_WEEKDAY, 7)
            return 5 * weeks + np.minimum(weekdays, 4)
        # A month ends on the day before the next one starts.
        is_end = self.unit.endswith("E")
        months = (days + is_end).astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
        if self.anchor is not None:
            months -= (months - self.anchor - is_end) % _MONTHS[self._kind]
        return months

    def _days(self, units: Times) -> Times:
        """Return the day of each unit: the inverse of `_units` on the grid."""
        if self.unit == "W":
            assert self.anchor is not None
            return 7 * units - _EPOCH_WEEKDAY + self.anchor
        if self.unit == "B":
            weeks, weekdays = np.divmod(units, 5)
            return 7 * weeks + weekdays - _EPOCH_WEEKDAY
        starts = units.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
        return starts - self.unit.endswith("E")


def encode_time(value: datetime) -> int:
    """Return microseconds since 1970-01-01 UTC; a time without a zone is UTC."""
    moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86400 + delta.seconds) * 10**6 + delta.microseconds


# ISO 8601 has four digits for the year.
FIRST_TIME, LAST_TIME = (encode_time(end) for end in (datetime.min, datetime.max))


def format_ds(ds: int, clock: int) -> int | str | None:
    """Return `ds` as JSON shows it: nothing, the integer, or ISO 8601 in UTC.

    A time outside the years 1 to 9999 has no such form, and is shown as nothing.
    """
    if clock == Clock.INTEGER:
        return int(ds)
    if clock == Clock.NONE or not FIRST_TIME <= ds <= LAST_TIME:
        return None
    text = str(np.datetime64(int(ds), "us"))
    return text.removesuffix(".000000") + "Z"


def format_times(ds: Times, clocks: NDArray[np.uint8]) -> list[int | str | None]:
    """Return what `format_ds` gives for each of many times."""
    shown: list[int | str | None] = [None] * len(ds)
    if not clocks.any():
        return shown
    for row in np.flatnonzero(clocks == Clock.INTEGER).tolist():
        shown[row] = int(ds[row])
    rows = np.flatnonzero((clocks == Clock.TIME) & (ds >= FIRST_TIME) & (ds <= LAST_TIME))
    texts = np.datetime_as_string(ds[rows].astype("datetime64[us]"), timezone="UTC")
    for row, text in zip(rows.tolist(), texts.tolist(), strict=True):
        shown[row] = text.replace(".000000Z", "Z")
    return shown

"""Seasons: the length of a series' season, and that of a shorter one within it, 0 for none."""

import numpy as np

from forecaster.calendar import DAY, Clock, Times
from forecaster.errors import InvalidRequestError
from forecaster.journal import NO_SEASON, Season
from forecaster.spec import LONGEST_INNER_SEASON, LONGEST_SEASON

_HOUR = DAY // 24
# With so many weeks of hours, the week is a season too.
_WEEKS = 3
# Days from which a week without weekends can be told from one with them.
_FEWEST_DAYS = 10
# Distances of months and quarters, in days.
_MONTHS, _QUARTERS = (28, 31), (90, 92)


def make_season(first: int, second: int = 0) -> Season:
    """Return a season; 1 is none, as 0 is.

    Raises:
        InvalidRequestError: If it is too long, or the second is not shorter.
    """
    if not 0 <= first <= LONGEST_SEASON:
        raise InvalidRequestError(f"season: expected 0 to {LONGEST_SEASON} steps, found {first}")
    longest = min(first - 1, LONGEST_INNER_SEASON)
    if second and not 1 < second <= longest:
        raise InvalidRequestError(
            f"season: expected one of 2 to {longest} steps within that of {first}, found {second}"
            if longest > 1
            else f"season: no other fits into {first} steps, found {second}"
        )
    return (first, second) if first > 1 else NO_SEASON


def season_of_length(length: int) -> Season:
    """Return the season of data whose usual one has this length: none, where it is too long."""
    return make_season(length) if length <= LONGEST_SEASON else NO_SEASON


def parse_season(text: str) -> Season:
    """Return what `24` or `168,24` says.

    Raises:
        InvalidRequestError: If it says no season.
    """
    parts = text.split(",")
    if len(parts) > 2 or not all(part.strip().isdecimal() for part in parts):
        raise InvalidRequestError(f"season: expected one number or two, as 168,24, found {text!r}")
    return make_season(*(int(part) for part in parts))


def infer_season(ds: Times, clock: Clock) -> Season:
    """Return the usual season of series that are observed at such times.

    Hours have days, and weeks where there are enough of them; days have weeks, of five days where
    there is no weekend; weeks and months have years; and minutes have days, where these are not too
    long. Whole numbers tell nothing.

    Args:
        ds: The times, in order.
        clock: What they count.
    """
    if clock is not Clock.TIME or len(ds) < 2:
        return NO_SEASON
    distance = int(np.median(np.diff(ds)))
    days = distance / DAY
    if distance == _HOUR:
        return (168, 24) if len(ds) >= _WEEKS * 168 else (24, 0)
    if days == 1:
        weekdays = np.unique(ds // DAY % 7)
        return (5, 0) if len(ds) >= _FEWEST_DAYS and len(weekdays) == 5 else (7, 0)
    if days == 7:
        return (52, 0)
    if _MONTHS[0] <= days <= _MONTHS[1]:
        return (12, 0)
    if _QUARTERS[0] <= days <= _QUARTERS[1]:
        return (4, 0)
    steps, rest = divmod(DAY, max(distance, 1))
    return (steps, 0) if not rest and 1 < steps <= LONGEST_SEASON else NO_SEASON

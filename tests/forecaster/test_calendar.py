from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecaster.calendar import Clock, Freq, encode_time, format_ds
from forecaster.errors import InvalidRequestError

UNITS = ["s", "min", "h", "D", "B", "W", "MS", "ME", "QS", "QE", "YS", "YE"]


def at(text: str) -> int:
    return encode_time(datetime.fromisoformat(text))


def after(text: str, freq: str, steps: int = 1) -> str:
    """Return the time so many steps later, as JSON shows it."""
    ds = Freq.parse(freq).advance(np.array([at(text)]), steps)
    return str(format_ds(int(ds[0]), Clock.TIME)).removesuffix("Z").removesuffix("T00:00:00")


@pytest.mark.parametrize(
    ("freq", "now", "following"),
    [
        ("s", "2024-02-28T23:59:59", "2024-02-29"),
        ("15min", "2024-12-31T23:45:00", "2025-01-01"),
        ("h", "1969-12-31T22:00:00", "1969-12-31T23:00:00"),
        ("D", "2023-02-28", "2023-03-01"),
        ("D", "2024-02-28", "2024-02-29"),
        ("D", "1969-12-31", "1970-01-01"),
        ("W-SUN", "2024-12-29", "2025-01-05"),
        ("2W", "2024-02-20", "2024-03-05"),
        ("B", "2024-03-01", "2024-03-04"),  # Friday to Monday
        ("B", "2024-03-02", "2024-03-04"),  # Saturday to Monday
        ("MS", "2024-12-01", "2025-01-01"),
        ("MS", "1960-01-01", "1960-02-01"),
        ("ME", "2024-01-31", "2024-02-29"),
        ("ME", "2023-01-31", "2023-02-28"),
        ("ME", "2024-02-29", "2024-03-31"),
        ("2ME", "2024-11-30", "2025-01-31"),
        ("QS", "2024-10-01", "2025-01-01"),
        ("QE-DEC", "2024-12-31", "2025-03-31"),
        ("YS", "1969-01-01", "1970-01-01"),
        ("YE", "2023-12-31", "2024-12-31"),
    ],
)
def test_the_time_that_comes_next(freq: str, now: str, following: str) -> None:
    assert after(now, freq) == following


@pytest.mark.parametrize("freq", ["B", "MS", "ME"])
def test_the_time_of_day_stays(freq: str) -> None:
    assert after("2024-05-31T06:30:00", freq).endswith("T06:30:00")


def test_whole_numbers_step_by_their_multiple() -> None:
    assert Freq.parse("1").advance(np.array([7])).tolist() == [8]
    assert Freq.parse("5").advance(np.array([-5, 10]), 2).tolist() == [5, 20]


@given(
    st.sampled_from([*UNITS, "W-SUN", "QS-FEB", "QE-NOV", "YS-APR", "YE-JUN"]),
    st.integers(1, 4),
    st.datetimes(datetime(1950, 1, 1), datetime(2050, 1, 1)),
)
def test_times_are_those_of_pandas(unit: str, count: int, start: datetime) -> None:
    grid = pd.date_range(start.replace(microsecond=0), periods=6, freq=f"{count}{unit}")
    expected = [encode_time(moment.to_pydatetime()) for moment in grid]
    first = np.array(expected[:1])

    found = [Freq.parse(f"{count}{unit}").advance(first, n)[0] for n in range(1, 6)]

    assert found == expected[1:]


@given(
    st.sampled_from([*UNITS, ""]),
    st.integers(1, 4),
    st.datetimes(datetime(1950, 1, 1), datetime(2050, 1, 1)),
    st.integers(1, 500),
)
def test_advance_and_steps_between_are_a_pair(
    unit: str, count: int, start: datetime, steps: int
) -> None:
    freq = Freq.parse(f"{count}{unit}")
    first = encode_time(start)

    last = int(freq.advance(np.array([first]), steps)[0])

    assert freq.steps_between(first, last) == steps


@pytest.mark.parametrize(
    ("freq", "start", "end"),
    [
        ("15min", "2024-01-01T00:00:00", "2024-01-01T00:20:00"),
        ("2D", "2024-01-01", "2024-01-04"),
        ("MS", "2024-01-01", "2024-02-15"),
        ("QE", "2024-03-31", "2024-04-30"),
        ("B", "2024-03-01", "2024-03-02"),
    ],
)
def test_between_two_steps_there_is_no_number_of_them(freq: str, start: str, end: str) -> None:
    assert Freq.parse(freq).steps_between(at(start), at(end)) is None


def test_a_business_week_from_a_weekend_on_counts_from_the_friday() -> None:
    """Counted from the Saturday, the Monday after was no step away and so off the grid."""
    freq = Freq.parse("B")

    assert freq.steps_between(at("2024-03-02"), at("2024-03-04")) == 1
    assert freq.steps_between(at("2024-03-03"), at("2024-03-08")) == 5


@pytest.mark.parametrize(
    "text",
    ["", "0D", "0", "-1", "-MON", "1-MON", "D-MON", "fortnight", "M", "d", "1.5h", " D", "D\n"],
)
def test_a_frequency_that_is_not_known_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="is not known: expected a whole number, or s,"):
        Freq.parse(text)


@pytest.mark.parametrize(
    ("text", "clock", "season"),
    [
        ("1", Clock.INTEGER, 1),
        ("12", Clock.INTEGER, 1),
        ("15min", Clock.TIME, 96),
        ("h", Clock.TIME, 24),
        ("D", Clock.TIME, 7),
        ("10D", Clock.TIME, 1),
        ("B", Clock.TIME, 5),
        ("W-MON", Clock.TIME, 52),
        ("ME", Clock.TIME, 12),
        ("2QS-OCT", Clock.TIME, 2),
        ("YE", Clock.TIME, 1),
    ],
)
def test_a_frequency_knows_its_clock_and_season(text: str, clock: Clock, season: int) -> None:
    freq = Freq.parse(text)

    assert freq.clock is clock
    assert freq.season == season


@given(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)))
def test_a_time_is_read_back_as_it_was_written(moment: datetime) -> None:
    shown = format_ds(encode_time(moment), Clock.TIME)

    assert datetime.fromisoformat(str(shown)) == moment.replace(tzinfo=UTC)


def test_times_are_shown_in_utc_without_needless_fractions() -> None:
    east = datetime(2024, 1, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))

    assert format_ds(encode_time(east), Clock.TIME) == "2023-12-31T23:30:00Z"
    assert format_ds(at("1969-12-31T23:59:59.250"), Clock.TIME) == "1969-12-31T23:59:59.250000Z"


def test_other_clocks_show_the_number_or_nothing() -> None:
    assert format_ds(7, Clock.INTEGER) == 7
    assert format_ds(7, Clock.NONE) is None

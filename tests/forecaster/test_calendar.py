from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecaster.calendar import Clock, Freq, encode_time, format_ds, format_times
from forecaster.errors import InvalidRequestError

UNITS = ["s", "min", "h", "D", "B", "W", "MS", "ME", "QS", "QE", "YS", "YE"]
WEEKS = [f"W-{day}" for day in ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")]
MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
PARTS = [f"{unit}-{month}" for unit in ("QS", "QE", "YS", "YE") for month in MONTHS]

# Anchors are written out: pandas takes a bare `W` for `W-SUN`, and here it is any seven days.
CALENDAR = ["B", "MS", "ME", *WEEKS, *PARTS]
EVEN = ["s", "min", "h", "D"]
MULTIPLES = [1, 2, 3, 4, 5, 6, 7, 10, 12, 15, 30, 45, 90]

freqs = st.builds(
    lambda count, unit: f"{count if count > 1 else ''}{unit}",
    st.sampled_from(MULTIPLES),
    st.one_of(st.sampled_from(EVEN), st.sampled_from(CALENDAR)),
)
# To the microsecond: the time of day has to stay.
moments = st.datetimes(datetime(1900, 1, 1), datetime(2100, 12, 31))
# Where calendars go wrong, which chance seldom finds.
edges = st.builds(
    lambda day, hours: day + timedelta(hours=hours),
    st.sampled_from(
        [
            datetime(year, month, day)
            for year in (1900, 1904, 1968, 1969, 1970, 1999, 2000, 2023, 2024, 2096, 2100)
            for month, day in ((1, 1), (1, 31), (2, 27), (2, 28), (3, 1), (12, 30), (12, 31))
        ]
    ),
    st.integers(-48, 48),
)
starts = st.one_of(moments, edges)


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


def by_pandas(freq: str, start: datetime, steps: int) -> int:
    """Return the time that pandas reaches.

    Pandas counts backwards from the step after; here it is from the step before, as forwards.
    """
    offset: Any = pd.tseries.frequencies.to_offset(freq)
    moment = pd.Timestamp(start)
    if steps <= 0 and not offset.is_on_offset(moment):
        moment = offset.rollback(moment)
    moved = moment if steps == 0 else moment + steps * offset
    return encode_time(moved.to_pydatetime())


def advanced(freq: str, start: int, steps: int) -> int:
    return int(Freq.parse(freq).advance(np.array([start]), steps)[0])


@settings(max_examples=500)
@given(freqs, starts, st.integers(-20, 20))
def test_times_are_those_of_pandas(freq: str, start: datetime, steps: int) -> None:
    expected = by_pandas(freq, start, steps)

    assert advanced(freq, encode_time(start), steps) == expected


@settings(max_examples=500)
@given(freqs, starts)
def test_the_grid_is_that_of_pandas(freq: str, start: datetime) -> None:
    offset: Any = pd.tseries.frequencies.to_offset(freq)
    expected = offset.is_on_offset(pd.Timestamp(start))

    assert Freq.parse(freq).is_on_grid(np.array([encode_time(start)])).tolist() == [expected]


@given(freqs, starts, st.integers(2, 60))
def test_a_range_is_that_of_pandas(freq: str, start: datetime, periods: int) -> None:
    grid = pd.date_range(start, periods=periods, freq=freq)
    expected = [encode_time(moment.to_pydatetime()) for moment in grid]

    found = [advanced(freq, expected[0], n) for n in range(periods)]

    assert found == expected
    assert Freq.parse(freq).is_on_grid(np.array(expected)).all()
    assert Freq.parse(freq).steps_between(expected[0], expected[-1]) == periods - 1


@given(freqs, starts, st.integers(1, 50))
def test_many_steps_are_one_step_many_times(freq: str, start: datetime, steps: int) -> None:
    one_by_one = encode_time(start)
    for _ in range(steps):
        one_by_one = advanced(freq, one_by_one, 1)

    assert advanced(freq, encode_time(start), steps) == one_by_one


@given(st.one_of(freqs, st.sampled_from([*UNITS, "1", "7"])), starts, st.integers(-500, 500))
def test_advance_and_steps_between_are_a_pair(freq: str, start: datetime, steps: int) -> None:
    first = encode_time(start)

    last = advanced(freq, first, steps)

    assert Freq.parse(freq).steps_between(first, last) == steps
    if Freq.parse(freq).is_on_grid(np.array([first]))[0]:
        assert advanced(freq, last, -steps) == first


@given(freqs, starts, st.timedeltas(timedelta(0), timedelta(days=3000)))
def test_what_no_number_of_steps_reaches_is_between_two(
    freq: str, start: datetime, distance: timedelta
) -> None:
    first, last = encode_time(start), encode_time(start + distance)

    steps = Freq.parse(freq).steps_between(first, last)

    if steps is not None:
        assert advanced(freq, first, steps) == last
    else:
        reached = [advanced(freq, first, 0)]
        while len(reached) < 100 and reached[-1] < last:
            reached.append(advanced(freq, first, len(reached)))
        assert last not in reached


@given(st.lists(starts, min_size=1, max_size=5), freqs)
def test_many_times_are_advanced_as_each_alone(moments: list[datetime], freq: str) -> None:
    ds = [encode_time(moment) for moment in moments]

    found = Freq.parse(freq).advance(np.array(ds), 3)

    assert found.tolist() == [advanced(freq, one, 3) for one in ds]


@given(
    st.sampled_from([("W", WEEKS), ("QS", PARTS[:12]), ("QE", PARTS[12:24])]),
    starts,
    st.integers(0, 50),
)
def test_without_an_anchor_a_series_keeps_its_own(
    unit: tuple[str, list[str]], start: datetime, steps: int
) -> None:
    """Training infers `W` and `QS` without their anchors, whatever day or month a file has."""
    bare, anchored = unit
    freq = next(
        (one for one in anchored if Freq.parse(one).is_on_grid(np.array([encode_time(start)]))[0]),
        None,
    )
    assert Freq.parse(bare).is_on_grid(np.array([encode_time(start)]))[0] == (freq is not None)
    if freq is not None:
        assert advanced(bare, encode_time(start), steps) == advanced(
            freq, encode_time(start), steps
        )


@pytest.mark.parametrize(
    ("freq", "on_grid", "off_grid"),
    [
        ("W-SUN", "2024-03-03", "2024-03-06"),  # a Wednesday
        ("2W-WED", "2024-03-06", "2024-03-03"),
        ("QS-FEB", "2024-05-01", "2024-04-01"),
        ("QE-JAN", "2024-04-30", "2024-03-31"),
        ("YS-APR", "2024-04-01", "2024-01-01"),
        ("YE-JUN", "2024-06-30", "2024-12-31"),
        ("B", "2024-03-01", "2024-03-02"),
        ("ME", "2024-02-29", "2024-02-28"),
        ("ME", "2023-02-28", "2023-02-27"),
    ],
)
def test_a_frequency_keeps_to_its_own_days(freq: str, on_grid: str, off_grid: str) -> None:
    """The weekday and the month that a frequency names were read and dropped."""
    days = np.array([at(on_grid), at(off_grid)])

    assert Freq.parse(freq).is_on_grid(days).tolist() == [True, False]


@pytest.mark.parametrize(
    ("freq", "now", "following"),
    [
        ("ME", "2024-02-15", "2024-02-29"),
        ("QE-MAR", "2024-02-15", "2024-03-31"),
        ("W-SUN", "2024-03-06", "2024-03-10"),
        ("YS-APR", "2024-03-31", "2024-04-01"),
    ],
)
def test_after_a_time_between_two_steps_comes_the_later_one(
    freq: str, now: str, following: str
) -> None:
    """In the middle of February the end of March came next."""
    assert after(now, freq) == following


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
    [
        *(
            "",
            "0D",
            "0",
            "-1",
            "-MON",
            "1-MON",
            "D-MON",
            "fortnight",
            "M",
            "d",
            "1.5h",
            " D",
            "D\n",
        ),
        *("W-XYZ", "W-JAN", "QS-MON", "MS-FEB", "B-MON", "W-", "QE-mar", "1000000D", "\u0661D"),
    ],
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
        ("90min", Clock.TIME, 16),
        ("B", Clock.TIME, 5),
        ("W-MON", Clock.TIME, 52),
        ("ME", Clock.TIME, 12),
        ("2QS-OCT", Clock.TIME, 2),
        ("YE", Clock.TIME, 1),
        ("2YS-APR", Clock.TIME, 1),
    ],
)
def test_a_frequency_knows_its_clock_and_season(text: str, clock: Clock, season: int) -> None:
    freq = Freq.parse(text)

    assert freq.clock is clock
    assert freq.season == season


@pytest.mark.parametrize("freq", ["2D", "5ME", "7min", "5h", "3W", "48h"])
def test_a_season_that_is_no_whole_number_of_steps_is_none(freq: str) -> None:
    """Every other day had a season of three steps: six days, which is no week."""
    assert Freq.parse(freq).season == 1


@given(st.datetimes(datetime(1, 1, 1), datetime.max))
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


BEYOND = ["D", "B", "W-SUN", "ME", "QS-FEB", "YE", "999999s", "999999D", "999999B", "999999W"]
BEYOND += ["999999W-SUN", "999999MS", "999999QE", "999999YE-JUN"]


@pytest.mark.parametrize("freq", BEYOND)
@pytest.mark.parametrize("steps", [1, 1000, 10**9])
def test_a_time_past_year_9999_is_shown_as_none(freq: str, steps: int) -> None:
    """Years of five digits are no ISO 8601, and far ones wrapped around to a wrong date."""
    last = np.array([encode_time(datetime(9999, 12, 31, 23, 59, 59))])

    ds = Freq.parse(freq).advance(last, steps)

    assert ds[0] > last[0]
    assert format_ds(int(ds[0]), Clock.TIME) is None
    assert format_times(ds, np.array([Clock.TIME], np.uint8)) == [None]


@pytest.mark.parametrize("freq", BEYOND)
@pytest.mark.parametrize("steps", [1, 1000, 10**9])
def test_a_time_before_year_1_is_shown_as_none(freq: str, steps: int) -> None:
    first = np.array([encode_time(datetime(1, 1, 1))])

    ds = Freq.parse(freq).advance(first, -steps)

    assert ds[0] < first[0]
    assert format_ds(int(ds[0]), Clock.TIME) is None
    assert format_times(ds, np.array([Clock.TIME], np.uint8)) == [None]


def test_the_first_and_the_last_time_are_shown() -> None:
    ends = np.array([encode_time(datetime.min), encode_time(datetime.max)])

    found = format_times(ends, np.full(2, Clock.TIME, np.uint8))

    assert found == ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"]
    assert found == [format_ds(int(end), Clock.TIME) for end in ends]


@given(st.lists(st.tuples(st.integers(-(2**62), 2**62), st.sampled_from(Clock)), max_size=5))
def test_times_are_shown_together_as_each_alone(times: list[tuple[int, Clock]]) -> None:
    ds = np.array([one for one, _ in times], np.int64)
    clocks = np.array([clock for _, clock in times], np.uint8)

    assert format_times(ds, clocks) == [format_ds(one, clock) for one, clock in times]

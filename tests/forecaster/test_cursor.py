from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecaster.calendar import Clock, Freq, encode_time
from forecaster.cursor import OnGap, comes_next, fit_to_freq, place
from forecaster.errors import (
    ClockError,
    ConflictError,
    GapError,
    InvalidRequestError,
    OutOfOrderError,
    StepMismatchError,
)
from tests.forecaster.fakes import Setup, make_forecaster

DAILY = Freq.parse("D")
NAN = float("nan")


def day(number: int, hour: int = 0) -> int:
    return encode_time(datetime(2024, 1, number, hour))


def at_step(
    step: int, ds: int = 0, clock: Clock = Clock.TIME, *, y: float = 5.0, missing: bool = False
) -> np.void:
    """Return a record whose cursor stands there."""
    records = make_forecaster(Setup()).new(1)
    if step:
        records["step"], records["ds"], records["clock"] = step, ds, clock
        records["y"], records["missing"] = y, missing
    record: np.void = records[0]
    return record


@pytest.mark.parametrize("clock", Clock)
def test_the_first_observation_may_have_any_time(clock: Clock) -> None:
    assert place(at_step(0), 1.0, day(9), clock) == 0


def test_what_comes_next_has_nothing_to_fill() -> None:
    assert place(at_step(3, day(1)), 1.0, day(2), Clock.TIME, freq=DAILY) == 0


def test_without_a_frequency_anything_later_comes_next() -> None:
    assert place(at_step(3, day(1)), 1.0, day(20, 3), Clock.TIME) == 0


def test_without_times_every_observation_comes_next() -> None:
    record = at_step(3, clock=Clock.NONE, y=5.0)

    assert place(record, 5.0, 0, Clock.NONE) == 0


def test_a_model_with_a_frequency_takes_series_without_times() -> None:
    assert place(at_step(3, clock=Clock.NONE), 5.0, 0, Clock.NONE, freq=DAILY) == 0


def test_the_same_observation_again_is_a_duplicate() -> None:
    assert place(at_step(3, day(1), y=5.0), 5.0, day(1), Clock.TIME, freq=DAILY) is None


def test_the_same_missing_observation_again_is_a_duplicate() -> None:
    assert place(at_step(3, day(1), missing=True), NAN, day(1), Clock.TIME) is None


def test_a_retry_that_expects_the_step_before_is_a_duplicate() -> None:
    """The first try moved the series on, so the expectation of the retry no longer holds."""
    record = at_step(3, day(1), y=5.0)

    assert place(record, 5.0, day(1), Clock.TIME, expected_step=2) is None


@pytest.mark.parametrize(("kept", "sent"), [((5.0, False), 6.0), ((5.0, False), NAN)])
def test_another_value_at_the_same_time_is_a_conflict(
    kept: tuple[float, bool], sent: float
) -> None:
    record = at_step(3, day(1), y=kept[0], missing=kept[1])

    with pytest.raises(ConflictError, match="this time was observed with another value") as caught:
        place(record, sent, day(1), Clock.TIME)

    assert caught.value.facts() == {"step": 3, "ds": "2024-01-01T00:00:00Z"}


def test_the_forecast_that_stood_in_for_a_missing_value_is_no_duplicate_of_it() -> None:
    record = at_step(3, day(1), y=5.0, missing=True)

    with pytest.raises(ConflictError, match="observed with another value"):
        place(record, 5.0, day(1), Clock.TIME)


def test_what_is_older_than_the_cursor_is_out_of_order() -> None:
    message = "2024-01-01T00:00:00Z is before the last observation, 2024-01-02T00:00:00Z"

    with pytest.raises(OutOfOrderError, match=message) as caught:
        place(at_step(3, day(2)), 1.0, day(1), Clock.TIME, freq=DAILY, on_gap=OnGap.FILL)

    assert caught.value.facts() == {"step": 3, "ds": "2024-01-02T00:00:00Z"}


def test_a_gap_is_refused_with_the_time_that_was_due() -> None:
    message = "2024-01-02T00:00:00Z comes next, this is 2024-01-05T00:00:00Z; observe null"

    with pytest.raises(GapError, match=message):
        place(at_step(3, day(1)), 1.0, day(5), Clock.TIME, freq=DAILY)


def test_a_gap_may_be_skipped() -> None:
    record = at_step(3, day(1))

    assert place(record, 1.0, day(5), Clock.TIME, freq=DAILY, on_gap=OnGap.SKIP) == 0


def test_a_gap_may_be_filled_with_the_steps_it_left_out() -> None:
    record = at_step(3, day(1))

    assert place(record, 1.0, day(5), Clock.TIME, freq=DAILY, on_gap=OnGap.FILL) == 3


def test_a_gap_of_whole_numbers_may_be_filled() -> None:
    record = at_step(3, 10, Clock.INTEGER)

    found = place(record, 1.0, 40, Clock.INTEGER, freq=Freq.parse("10"), on_gap=OnGap.FILL)

    assert found == 2


def test_a_gap_too_long_to_be_meant_is_not_filled() -> None:
    record = at_step(3, 1, Clock.INTEGER)
    counting = Freq.parse("1")

    assert place(record, 1.0, 501, Clock.INTEGER, freq=counting, on_gap=OnGap.FILL) == 499
    with pytest.raises(GapError, match="502 leaves out 500 steps; the next is 2"):
        place(record, 1.0, 502, Clock.INTEGER, freq=counting, on_gap=OnGap.FILL)


def test_gaps_that_amplify_a_history_are_refused() -> None:
    """A body of a thousand bytes once became 100,000 steps."""
    ds = np.arange(60) * 400

    with pytest.raises(InvalidRequestError, match="leaves out 23541 steps, at most 10000"):
        fit_to_freq(np.ones(60), ds, Clock.INTEGER, freq=Freq.parse("1"), on_gap=OnGap.FILL)


@pytest.mark.parametrize("on_gap", [OnGap.REJECT, OnGap.FILL])
def test_a_time_before_the_next_step_lies_between_two(on_gap: OnGap) -> None:
    message = "2024-01-01T12:00:00Z is between two steps; the next is 2024-01-02T00:00:00Z"

    with pytest.raises(GapError, match=message):
        place(at_step(3, day(1)), 1.0, day(1, 12), Clock.TIME, freq=DAILY, on_gap=on_gap)


def test_a_time_off_the_grid_is_not_filled_up_to() -> None:
    with pytest.raises(GapError, match="2024-01-04T12:00:00Z is between two steps"):
        place(at_step(3, day(1)), 1.0, day(4, 12), Clock.TIME, freq=DAILY, on_gap=OnGap.FILL)


@pytest.mark.parametrize("ds", [day(2), day(9)])
def test_a_series_not_at_the_expected_step_is_refused(ds: int) -> None:
    with pytest.raises(StepMismatchError, match="expected_step is 4, the series is at step 3"):
        place(at_step(3, day(1)), 1.0, ds, Clock.TIME, freq=DAILY, expected_step=4)


def test_the_expected_step_holds_for_new_and_for_timeless_series() -> None:
    assert place(at_step(0), 1.0, day(1), Clock.TIME, expected_step=0) == 0
    assert place(at_step(3, clock=Clock.NONE), 1.0, 0, Clock.NONE, expected_step=3) == 0
    with pytest.raises(StepMismatchError, match="expected_step is 1, the series is at step 0"):
        place(at_step(0), 1.0, day(1), Clock.TIME, expected_step=1)


@pytest.mark.parametrize(
    ("kept", "sent", "message"),
    [
        (Clock.TIME, Clock.NONE, "the series keeps dates and times as ds, .* has no ds"),
        (Clock.NONE, Clock.TIME, "the series keeps no ds, .* has dates and times as ds"),
        (Clock.TIME, Clock.INTEGER, "keeps dates and times as ds, .* has whole numbers as ds"),
    ],
)
def test_a_series_keeps_its_kind_of_time(kept: Clock, sent: Clock, message: str) -> None:
    with pytest.raises(ClockError, match=message):
        place(at_step(3, day(1), kept), 5.0, day(1), sent)


def test_a_frequency_decides_the_kind_of_time() -> None:
    message = "the model's freq needs dates and times as ds, this observation has whole numbers"

    with pytest.raises(ClockError, match=message) as caught:
        place(at_step(0), 5.0, 1, Clock.INTEGER, freq=DAILY)

    assert caught.value.facts() == {"step": 0, "ds": None}


@given(
    st.lists(st.integers(1, 5), max_size=12), st.sampled_from(OnGap), st.sampled_from([DAILY, None])
)
def test_a_history_is_held_to_the_same_rules_as_its_observations(
    gaps: list[int], on_gap: OnGap, freq: Freq | None
) -> None:
    days = np.cumsum([0, *gaps])
    ds = day(1) + days * (day(2) - day(1))
    y = days.astype(np.float64)

    expected: list[float] = []
    refused = False
    for now, (value, at) in enumerate(zip(y, ds, strict=True)):
        record = at_step(now, int(ds[now - 1]))
        try:
            filled = place(record, value, int(at), Clock.TIME, freq=freq, on_gap=on_gap)
        except GapError:
            refused = True
            break
        expected += [NAN] * (filled or 0) + [value]

    if refused:
        with pytest.raises(GapError, match="comes next"):
            fit_to_freq(y, ds, Clock.TIME, freq=freq, on_gap=on_gap)
    else:
        values, times, _ = fit_to_freq(y, ds, Clock.TIME, freq=freq, on_gap=on_gap)
        np.testing.assert_array_equal(values, expected)
        np.testing.assert_array_equal(times[~np.isnan(values)], ds)


def test_a_history_without_times_is_taken_as_it_is() -> None:
    y, ds = np.array([1.0, 2.0]), np.zeros(2, np.int64)

    values, times, _ = fit_to_freq(y, ds, Clock.NONE, freq=DAILY)

    assert values.tolist() == [1.0, 2.0]
    assert times.tolist() == [0, 0]


@pytest.mark.parametrize("again", [day(2), day(1)])
def test_a_history_that_does_not_rise_is_out_of_order(again: int) -> None:
    ds = np.array([day(1), day(2), again])

    with pytest.raises(OutOfOrderError, match="is not after the one before, 2024-01-02") as caught:
        fit_to_freq(np.ones(3), ds, Clock.TIME)

    assert caught.value.facts() == {"step": 2, "ds": "2024-01-02T00:00:00Z"}


def test_a_history_of_the_wrong_kind_of_time_is_refused() -> None:
    with pytest.raises(ClockError, match="the model's freq needs dates and times as ds"):
        fit_to_freq(np.ones(2), np.array([1, 2]), Clock.INTEGER, freq=DAILY)


def test_a_series_cannot_begin_between_two_steps_of_the_freq() -> None:
    """A first observation on the 15th was once taken, and the second was refused for good."""
    months = Freq.parse("MS")
    new = np.zeros(1, at_step(0).dtype)[0]

    with pytest.raises(GapError, match="2024-01-15T00:00:00Z is between two steps"):
        place(new, 1.0, day(15), Clock.TIME, freq=months)
    assert place(new, 1.0, day(1), Clock.TIME, freq=months) == 0


@given(data=st.data(), freq=st.sampled_from([None, DAILY, Freq.parse("MS"), Freq.parse("1")]))
def test_what_plainly_comes_next_is_what_place_takes_as_it_is(
    data: st.DataObject, freq: Freq | None
) -> None:
    """The check of many rows at once must never pass what the check of one refuses."""
    clocks = st.sampled_from(list(Clock))
    record = at_step(
        data.draw(st.integers(0, 2)), data.draw(st.sampled_from([0, 1, day(1)])), data.draw(clocks)
    )
    ds, clock = data.draw(st.sampled_from([0, 1, 2, day(1), day(2), day(15)])), data.draw(clocks)

    plainly = comes_next(np.array([record]), np.array([ds]), np.array([clock], np.uint8), freq=freq)

    try:
        missing = place(record, 1.0, ds, clock, freq=freq)
    except (ClockError, ConflictError, GapError, OutOfOrderError):
        missing = None
    assert bool(plainly[0]) == (missing == 0)

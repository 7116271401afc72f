"""A record as a document: read back it is the same to the last bit, and nothing else gets in."""

import copy
import hashlib
import json
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecaster.calendar import Clock, Freq
from forecaster.errors import InvalidRequestError
from forecaster.forecaster import Forecaster, Records
from forecaster.portable import State
from tests.forecaster.fakes import RUNNING, Setup, make_forecaster

FINGERPRINT = "0123456789abcdef"
FORECASTER = make_forecaster(Setup(network="numpy", scaler=RUNNING))
FIELDS = list(FORECASTER.dtype.names or ())

histories = st.lists(
    st.floats(-1e3, 1e3) | st.sampled_from([1e300, -1e300, 5e-324, -0.0]), min_size=1, max_size=12
)


def told(history: list[float], forecaster: Forecaster = FORECASTER) -> State:
    """Return the state after a history, after a way through JSON."""
    record = forecaster.seed([np.array(history)])[0]
    state = State.of(record, FINGERPRINT)
    return State(**json.loads(json.dumps(vars(state), allow_nan=False)))


def edited(state: State, **fields: Any) -> State:
    """Return a state with other fields of its record."""
    record = {**state.record, **fields}
    return State(state.fingerprint, state.step, state.ds, record, state.checksum)


def read_lie(state: State) -> Records:
    """Return the record of a state whose checksum was made to fit, if it is taken at all."""
    with pytest.raises(InvalidRequestError) as error:
        State(**vars(state) | {"checksum": ""}).read(FORECASTER, None)
    checksum = str(error.value).partition("checksum: expected '")[2][:64]
    return State(**vars(state) | {"checksum": checksum}).read(FORECASTER, None)


@given(histories, st.booleans())
def test_a_record_reads_back_to_the_same_bits(history: list[float], is_missing: bool) -> None:
    records = FORECASTER.seed([np.array(history)])
    if is_missing and len(history) >= FORECASTER.context:
        records = FORECASTER.observe(records, np.array([np.nan]))
    text = json.dumps(vars(State.of(records[0], FINGERPRINT)), allow_nan=False)

    read = State(**json.loads(text)).read(FORECASTER, None)

    assert _without_nan_bits(read) == _without_nan_bits(records)


def _without_nan_bits(records: Records) -> bytes:
    """Return the bytes of records, all NaN being one: JSON knows no other."""
    new = records.copy()
    for name in ("error", "stood"):
        new[name][np.isnan(new[name])] = np.nan
    return new.tobytes()


def test_numbers_may_have_lost_how_they_were_written() -> None:
    """Other programs write 24 as 24.0, and 3.0 as 3."""
    state = told([3.0, 4.0, 2.5])
    rewritten = {
        name: float(value) if type(value) is int else value for name, value in state.record.items()
    }

    records = edited(state, **rewritten | {"y": 2.5, "step": 3.0}).read(FORECASTER, None)

    assert records.tobytes() == state.read(FORECASTER, None).tobytes()


# Numbers of JSON, and what Python's reader takes for some besides.
VALUES: list[object] = [
    *(None, True, False, 0, 1, -1, 2, 3, 0.5, -0.0, 1e300, 3.9e300, 1e301, 1e308, 5e-324, 3.4e38),
    *(float("nan"), float("inf"), -float("inf"), 10**400, -(10**400), 2**53, 2**62, 2**63, 2**64),
    *("", "1", "x" * 10_000, [], [1.0], [None], [[1.0]], {}, {"a": 1}, [0.0] * 10_000),
]


@given(
    st.sampled_from(FIELDS),
    st.sampled_from(VALUES),
    st.integers(0, 20),
    st.booleans(),
)
def test_any_edit_of_a_record_is_refused_or_harmless(
    name: str, value: object, at: int, is_whole: bool
) -> None:
    """Even with a checksum that was made to fit."""
    state = told([3.0, 4.0, 2.5, 6.0])
    field: Any = copy.deepcopy(state.record[name])
    if isinstance(field, list) and not is_whole:
        field[at % len(field)] = value
    else:
        field = value
    with suppress(InvalidRequestError):
        records = read_lie(edited(state, **{name: field}))
        for y in (3.0, np.nan):
            records = FORECASTER.observe(records, np.array([y]))
        assert np.isfinite(FORECASTER.forecast(records, 3, [0.1, 0.9]).quantiles).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"more": 1}, "record: expected the fields of the model's records, found 'more'; get"),
        ({"y": "3"}, "record.y: expected a float64 number or null, found '3'; get the state again"),
        ({"y": None}, "record.y: expected what observing leaves there, found nan"),
        ({"y": float("inf")}, "record.y: expected a float64 number or null, found inf"),
        ({"missing": 0}, "record.missing: expected true or false, found 0"),
        ({"step": 2.5}, "record.step: expected a whole number of int64, found 2.5"),
        ({"step": True}, "record.step: expected a whole number of int64, found True"),
        ({"step": 0}, "record.step: expected what observing leaves there, found 0"),
        ({"step": 2**54}, "record.step: expected what observing leaves there"),
        ({"clock": 256}, "record.clock: expected a whole number of uint8, found 256"),
        ({"h": [0.0]}, "record.h: expected a list of 5 values, found 1 values"),
        ({"h": 0.0}, "record.h: expected a list of 5 values, found 0.0"),
        ({"h": [0.0, 0.0, 0.0, 0.0, 0.1]}, "record.h[4]: expected a float32 number or null"),
        ({"h": [2.5] * 5}, "record.h: expected what observing leaves there"),
        ({"y": 3.5}, "checksum: expected '"),
    ],
)
def test_a_record_that_is_none_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequestError) as error:
        edited(told([3.0, 4.0, 2.5]), **fields).read(FORECASTER, None)

    assert str(error.value).startswith(message)
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_that_is_missing_is_named(name: str) -> None:
    state = told([3.0, 4.0, 2.5])
    rest = {one: value for one, value in state.record.items() if one != name}

    with pytest.raises(InvalidRequestError, match=rf"^record\.{name}: expected this field, found"):
        State(FINGERPRINT, 3, None, rest, state.checksum).read(FORECASTER, None)


@pytest.mark.parametrize(("name", "value"), [("step", 4), ("ds", 1), ("checksum", "0" * 64)])
def test_what_does_not_go_with_the_record_is_refused(name: str, value: object) -> None:
    state = State(**vars(told([3.0, 4.0, 2.5])) | {name: value})

    with pytest.raises(InvalidRequestError, match=f"^{name}: expected .*, as the record has it"):
        state.read(FORECASTER, None)


def test_a_time_of_another_kind_than_the_models_is_refused() -> None:
    records = FORECASTER.seed([np.array([1.0, 2.0])], [np.array([1, 2])], Clock.INTEGER)

    with pytest.raises(InvalidRequestError, match=r"^record\.clock"):
        State.of(records[0], FINGERPRINT).read(FORECASTER, Freq.parse("D"))


def test_a_checksum_is_what_the_page_says_it_is() -> None:
    state = told([3.0, 4.0])
    content = {"format": 1} | {k: v for k, v in vars(state).items() if k != "checksum"}

    text = json.dumps(content, sort_keys=True, separators=(",", ":"))

    assert state.checksum == hashlib.sha256(text.encode()).hexdigest()

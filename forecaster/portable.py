"""A series' record as a JSON document, to be moved to another service of the same model.

    format        that of the document, 1
    fingerprint   the model's: to another one the numbers mean something else
    step, ds      where the series stands; the record holds this too
    record        the fields of the record by name
    checksum      SHA-256 of all the above, see `State`

Numbers are written with all their digits, so they read back to the same bits. A field of several is
one list, row after row. `null` is NaN, which is where there was no forecast and nowhere else.
"""

import hashlib
import json
import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forecaster.artifact import record_faults
from forecaster.calendar import Freq, format_ds
from forecaster.errors import InvalidRequestError
from forecaster.forecaster import Forecaster

Records = NDArray[np.void]
Number = float | bool | None

FORMAT = 1

_EXPECTED = {"b": "true or false", "f": "a {} number or null", "i": "a whole number of {}"}
_AGAIN = "get the state again from the service that keeps the series"


@dataclass(frozen=True)
class State:
    """A record as a document.

    Args:
        fingerprint: The model's.
        step: Observations taken.
        ds: The time of the last one.
        record: The fields by name; in a document that was sent, anything at all.
        checksum: SHA-256, in hex, of `format` and the above as Python's `json` writes them with
            sorted keys and no spaces.
    """

    fingerprint: str
    step: int
    ds: int | str | None
    record: Mapping[str, object]
    checksum: str

    @classmethod
    def of(cls, record: np.void, fingerprint: str) -> "State":
        """Write a record of the model with this fingerprint."""
        blank = cls(
            fingerprint=fingerprint,
            step=int(record["step"]),
            ds=format_ds(int(record["ds"]), int(record["clock"])),
            record={name: _written(record[name]) for name in record.dtype.names or ()},
            checksum="",
        )
        content = {"format": FORMAT} | {
            name: value for name, value in vars(blank).items() if name != "checksum"
        }
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return replace(blank, checksum=hashlib.sha256(text.encode()).hexdigest())

    def read(self, forecaster: Forecaster, freq: Freq | None) -> Records:
        """Return the record that it holds, shape `(1,)`.

        Args:
            forecaster: Steps the records of the model.
            freq: The model's distance between observations, if it has one.

        Raises:
            InvalidRequestError: If anything is missing, not known or damaged, holds what no
                observations can have left there, or cannot be stepped.
        """
        records = _read_record(self.record, forecaster.dtype)
        _check(records, freq)
        written = State.of(records[0], self.fingerprint)
        for name in ("step", "ds", "checksum"):
            expected, found = getattr(written, name), getattr(self, name)
            if found != expected:
                raise _fault(name, f"{expected!r}, as the record has it", reprlib.repr(found))
        with np.errstate(all="ignore"):  # what comes of an overflow is looked at
            _check(forecaster.observe(records, records["y"]), freq, " after one step")
            _check(forecaster.reset(records), freq, " after a reset")
        return records


def _read_record(fields: Mapping[str, object], dtype: np.dtype[np.void]) -> Records:
    names = dtype.names or ()
    unknown = next((name for name in fields if name not in names), None)
    if unknown is not None:
        raise _fault("record", "the fields of the model's records", reprlib.repr(unknown))
    record = np.zeros(1, dtype)
    for name in names:
        if name not in fields:
            raise _fault(f"record.{name}", "this field", "none")
        record[name] = _read(f"record.{name}", fields[name], dtype[name])
    return record


def _check(records: Records, freq: Freq | None, when: str = "") -> None:
    """Refuse a record that no series of observations can have left."""
    for name, is_wrong in record_faults(records, freq):
        if is_wrong.any():
            found = reprlib.repr(records[name][0].tolist())
            raise _fault(f"record.{name}", "what observing leaves there", found + when)


def _written(value: NDArray[Any]) -> Number | list[Number]:
    values = [None if one != one else one for one in np.ravel(value).tolist()]
    return values if np.ndim(value) else values[0]


def _read(name: str, value: object, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return what goes into a field.

    Raises:
        InvalidRequestError: If it does not fit in, to the last bit.
    """
    kind, count = dtype.base, math.prod(dtype.shape)
    values = value if dtype.shape else [value]
    if not isinstance(values, list) or len(values) != count:
        found = f"{len(value)} values" if isinstance(value, list) else reprlib.repr(value)
        raise _fault(name, f"a list of {count} values", found)
    wrong = next((row for row, one in enumerate(values) if not _fits(one, kind)), None)
    if wrong is not None:
        where = f"{name}[{wrong}]" if dtype.shape else name
        expected = _EXPECTED["i" if kind.kind == "u" else kind.kind].format(kind)
        raise _fault(where, expected, reprlib.repr(values[wrong]))
    numbers = [np.nan if one is None else kind.type(one) for one in values]
    return np.array(numbers, kind).reshape(dtype.shape)


def _fits(value: object, kind: np.dtype[Any]) -> bool:
    """Say whether a value of JSON is one of this kind, with no digit lost."""
    if kind.kind == "b" or isinstance(value, bool):
        return kind.kind == "b" and isinstance(value, bool)
    if value is None:
        return kind.kind == "f"
    if not isinstance(value, int | float):
        return False
    if kind.kind == "f":
        return abs(value) <= float(np.finfo(kind).max) and float(np.array(value, kind)) == value
    return np.iinfo(kind).min <= value <= np.iinfo(kind).max and value == int(value)


def _fault(where: str, expected: str, found: str) -> InvalidRequestError:
    return InvalidRequestError(f"{where}: expected {expected}, found {found}; {_AGAIN}")

"""Frames in long format to the columns of a call, and back."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stepcast.client.answers import Past
from stepcast.client.errors import InvalidError

Columns = dict[str, list[Any]]

# What is a number in an answer; bounds and quantiles are known by how their names begin.
_NUMBERS = ("y", "error", "mean")
_BOUNDS = ("lo_", "hi_", "q_")
# An answer without rows still has these.
_ALWAYS: Columns = {"unique_id": [], "step": [], "ds": [], "status": [], "mean": [], "detail": []}


def columns_of(frame: pd.DataFrame, x: Iterable[str] = ()) -> dict[str, Any]:
    """Return the columns `unique_id`, `y` and, if there is one, `ds`, as JSON has them.

    Missing values are None. What is no number, time or name goes as it is, for the service to
    refuse that row alone.

    Args:
        frame: The rows.
        x: The columns that are covariates: they are columns by name below `x`, if there are any.

    Raises:
        InvalidError: If a column is missing, or there are two of its name.
    """
    columns: dict[str, Any] = {
        "unique_id": names_of(_column(frame, "unique_id")),
        "y": _plain(_column(frame, "y")),
    }
    if "ds" in frame.columns:
        columns["ds"] = _times(_column(frame, "ds"))
    elif "ds" in frame.index.names:
        raise InvalidError("ds is the frame's index: make it a column by frame.reset_index()")
    known = {name: _values(_column(frame, name, "x names others")) for name in x}
    return columns | ({"x": known} if known else {})


def rows_ahead(frame: pd.DataFrame, names: Sequence[Any], h: int) -> pd.DataFrame:
    """Return what is known ahead of `h` steps of series, in the order in which they are forecast.

    Raises:
        InvalidError: If `h` is below 1, the frame names no covariate, a series has not `h` rows, or
            has them out of order.
    """
    if h < 1:
        raise InvalidError(f"h: expected 1 or more steps, found {h}")
    ids = _column(frame, "unique_id", where="x_future: ")
    if not _covariates(frame):
        raise InvalidError(
            "x_future: expected a column for each covariate that is known ahead, "
            f"found {_listed(frame)}"
        )
    places: dict[Any, list[int]] = defaultdict(list)
    for row, name in enumerate(names_of(ids)):
        places[name].append(row)
    for name in names:
        if len(places[name]) != h:
            raise InvalidError(
                f"x_future: expected {h} rows of series {name!r}, one for each step, "
                f"found {len(places[name])}"
            )
    ahead = frame.iloc[[row for name in names for row in places[name]]].reset_index(drop=True)
    if "ds" in frame.columns:
        times = _moments(_column(ahead, "ds", where="x_future: "))
        is_late = _is_true(times <= times.shift()) & (np.arange(len(ahead)) % h > 0)
        if is_late.any():
            at = int(is_late.argmax())
            raise InvalidError(
                f"x_future: {ahead['ds'][at]} comes after {ahead['ds'][at - 1]} in series "
                f"{ahead['unique_id'][at]!r}: expected each series in order of time"
            )
    return ahead


def lists_ahead(ahead: pd.DataFrame, h: int) -> Columns:
    """Return, for each covariate, a list of `h` values for each series."""
    columns = {
        name: _values(_column(ahead, name, where="x_future: ")) for name in _covariates(ahead)
    }
    return {
        name: [column[start : start + h] for start in range(0, len(column), h)]
        for name, column in columns.items()
    }


def check_times(ahead: pd.DataFrame, forecast: pd.DataFrame) -> None:
    """Refuse what is known ahead of other times than those that were forecast.

    Raises:
        InvalidError: If a row of both has a time, and it is another one.
    """
    if "ds" not in ahead.columns:
        return
    expected, found = _moments(forecast["ds"]), _moments(ahead["ds"])
    is_known = forecast["ds"].notna() & ahead["ds"].notna()
    is_other = is_known.to_numpy() & ~_is_true(expected == found)
    if is_other.any():
        at = int(is_other.argmax())
        raise InvalidError(
            f"x_future: expected {forecast['ds'][at]} in series {ahead['unique_id'][at]!r}, "
            f"the time that is forecast, found {ahead['ds'][at]}"
        )


def names_of(ids: Iterable[Any]) -> list[Any]:
    """Return the names of series; whole numbers become text."""
    column = ids if isinstance(ids, pd.Series) else pd.Series(list(ids))
    is_text = isinstance(column.dtype, pd.StringDtype)
    names = _plain(column)
    return names if is_text else [_name(one) for one in names]


def _name(one: Any) -> Any:
    return str(one) if isinstance(one, Integral) and not isinstance(one, bool) else one


def frame_of(answers: list[Columns], index: pd.Index | None = None) -> pd.DataFrame:
    """Return answers one below the other, times in UTC.

    Args:
        answers: Columns of the same names.
        index: What the rows are called; numbers by default.
    """
    names = answers[0] if answers else _ALWAYS
    frame = pd.DataFrame(
        {name: _series(name, [value for one in answers for value in one[name]]) for name in names}
    )
    return frame if index is None else frame.set_axis(index)


def frame_of_past(past: Past) -> pd.DataFrame:
    """Return the last steps of a series, a row for each."""
    steps = past.history
    columns: Columns = {"unique_id": [past.unique_id] * len(steps)}
    for name in ("step", "ds", "y", "mark", "mean"):
        columns[name] = [getattr(step, name) for step in steps]
    for level in dict.fromkeys(level for step in steps for level in step.intervals):
        bounds = [step.intervals.get(level, (None, None)) for step in steps]
        columns[f"lo_{level}"], columns[f"hi_{level}"] = map(list, zip(*bounds, strict=True))
    frame = frame_of([columns])
    for name in dict.fromkeys(name for step in steps for name in step.x):
        values = [step.x.get(name) for step in steps]
        dtype = "str" if any(isinstance(value, str) for value in values) else "float64"
        column = f"x.{name}" if name in columns else name
        frame[column] = pd.Series(values, dtype=dtype)
    return frame


def _column(
    frame: pd.DataFrame, name: str, remedy: str = "rename yours", where: str = ""
) -> "pd.Series[Any]":
    count = list(frame.columns).count(name)
    if count == 0:
        found = _listed(frame)
        raise InvalidError(f"{where}expected a column {name!r}, found {found}; {remedy}")
    if count > 1:
        raise InvalidError(f"{where}expected one column {name!r}, found {count}")
    return frame[name]


def _listed(frame: pd.DataFrame) -> str:
    return ", ".join(map(repr, frame.columns)) or "none"


def _covariates(frame: pd.DataFrame) -> list[str]:
    """Return the columns of what is known ahead that are covariates."""
    return [name for name in frame.columns if name not in ("unique_id", "ds")]


def _values(column: "pd.Series[Any]") -> list[Any]:
    """Return the values of a covariate; true and false are words, as where training reads them."""
    return [str(value) if isinstance(value, bool) else value for value in _plain(column)]


def _plain(column: "pd.Series[Any]") -> list[Any]:
    """Return a column's values as Python has them, None for what is missing."""
    found: list[Any] = column.astype(object).where(column.notna(), None).tolist()
    return found


def _times(column: "pd.Series[Any]") -> list[Any]:
    """Return times in ISO 8601; those without a zone stay so, and are UTC to the service."""
    if not pd.api.types.is_datetime64_any_dtype(column.dtype):
        return _plain(column)
    zone = ""
    if isinstance(column.dtype, pd.ArrowDtype):
        column = pd.to_datetime(column)
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column, zone = column.dt.tz_convert("UTC").dt.tz_localize(None), "Z"
    times = column.to_numpy()
    missing = np.isnat(times)
    rounded = times.astype("datetime64[us]")
    # What is finer than a microsecond is left for the service to refuse.
    texts = np.datetime_as_string(rounded if (rounded == times)[~missing].all() else times)
    return [
        None if gone else text + zone
        for text, gone in zip(texts.tolist(), missing.tolist(), strict=True)
    ]


def _moments(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return times that can be compared, missing where one is none."""
    if pd.api.types.is_integer_dtype(column.dtype):
        return column.astype("Int64")
    if not pd.api.types.is_datetime64_any_dtype(column.dtype):
        column = column.astype("str")
    return pd.to_datetime(column, utc=True, format="ISO8601", errors="coerce")


def _is_true(values: "pd.Series[bool]") -> NDArray[np.bool_]:
    """Return a column of true and false, false where there is no value."""
    return values.to_numpy(dtype=np.bool_, na_value=False)


def _series(name: str, values: list[Any]) -> "pd.Series[Any]":
    if name == "step":
        return pd.Series(values, dtype="Int64")
    if name in _NUMBERS or name.startswith(_BOUNDS):
        return pd.Series(values, dtype="float64")
    if name == "ds":
        return _told_times(values)
    return pd.Series(values, dtype="str")


def _told_times(values: list[Any]) -> "pd.Series[Any]":
    kinds = {type(value) for value in values} - {type(None)}
    if kinds == {int}:
        return pd.Series(values, dtype="Int64")
    if kinds == {str}:
        texts = [None if value is None else value.removesuffix("Z") for value in values]
        return pd.Series(np.array(texts, "datetime64[us]")).dt.tz_localize("UTC")
    return pd.Series(values, dtype=object)  # none at all, or of both kinds

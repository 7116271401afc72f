"""Frames in long format to the columns of a call, and back."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from stepcast.client.answers import Past
from stepcast.client.errors import InvalidError

Columns = dict[str, list[Any]]

# What is a number in an answer; bounds and quantiles are known by how their names begin.
_NUMBERS = ("y", "error", "mean")
_BOUNDS = ("lo_", "hi_", "q_")
# An answer without rows still has these.
_ALWAYS: Columns = {"unique_id": [], "step": [], "ds": [], "status": [], "mean": [], "detail": []}


def columns_of(frame: pd.DataFrame) -> Columns:
    """Return the columns `unique_id`, `y` and, if there is one, `ds`, as JSON has them.

    Missing values are None. What is no number, time or name goes as it is, for the service to
    refuse that row alone.

    Raises:
        InvalidError: If a column is missing.
    """
    for name in ("unique_id", "y"):
        if name not in frame.columns:
            found = ", ".join(map(repr, frame.columns)) or "none"
            raise InvalidError(f"expected a column {name!r}, found {found}; rename yours")
    columns = {"unique_id": names_of(frame["unique_id"]), "y": _plain(frame["y"])}
    if "ds" in frame.columns:
        columns["ds"] = _times(frame["ds"])
    return columns


def names_of(ids: Iterable[Any]) -> list[Any]:
    """Return the names of series; whole numbers become text."""
    column = ids if isinstance(ids, pd.Series) else pd.Series(list(ids))
    if pd.api.types.is_integer_dtype(column.dtype):
        column = column.astype("string")
    return _plain(column)


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
    return frame_of([columns])


def _plain(column: "pd.Series[Any]") -> list[Any]:
    """Return a column's values as Python has them, None for what is missing."""
    found: list[Any] = column.astype(object).where(column.notna(), None).tolist()
    return found


def _times(column: "pd.Series[Any]") -> list[Any]:
    """Return times in ISO 8601; those without a zone stay so, and are UTC to the service."""
    if not pd.api.types.is_datetime64_any_dtype(column.dtype):
        return _plain(column)
    zone = ""
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

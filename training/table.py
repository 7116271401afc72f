"""A file as a table: what is in it, and in which row of the file each record stands.

Every fault is a `DataError` that says file, row and column.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecaster.spec import LARGEST_VALUE
from training.errors import DataError

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]

_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_NUMBER_REMEDY = "write it as 1234.5, or leave it empty where it is missing"
# A column in which so many values are numbers was meant to have nothing else.
_SHARE_OF_NUMBERS = 0.9
_MISSING = r"(?:[nN][aA][nN])?"


@dataclass(frozen=True)
class Table:
    """The columns of a file, and where each of its records stands."""

    path: Path
    names: list[str]
    frame: pd.DataFrame  # columns are numbered; the index counts the records of the file
    row_of: Callable[[int], int]  # record -> what to call its row
    decimal: str = "."

    def row(self, index: int) -> int:
        """Return the row in the file of the record at `index` in the frame."""
        return self.row_of(int(self.frame.index[index]))

    def require(self, name: str, flag: str) -> str:
        """Return `name` if there is one such column.

        Raises:
            DataError: If there is none, or more than one.
        """
        count = self.names.count(name)
        if count == 0:
            found = ", ".join(map(repr, self.names)) or "none"
            raise DataError(
                f"expected a column {name!r}, found {found}; {flag} names another column",
                path=self.path,
            )
        if count > 1:
            raise DataError(f"expected one column {name!r}, found {count}", path=self.path)
        return name

    def find(self, name: str | None, default: str, flag: str) -> str | None:
        """Return the column asked for, which has to be there, or the default if it is there."""
        if name is None and default not in self.names:
            return None
        return self.require(name or default, flag)

    def column(self, name: str) -> "pd.Series[Any]":
        """Return a column as the file has it."""
        return self.frame.iloc[:, self.names.index(name)]

    def texts(self, name: str) -> "pd.Series[str]":
        """Return a column as text, empty where there is no value."""
        values = self.column(name)
        if not isinstance(values.dtype, pd.StringDtype):
            values = values.astype(object).map(str).where(values.notna(), "").astype(str)
        return values.fillna("").astype(str)

    def refuse(self, name: str, is_bad: Mask, expected: str, remedy: str = "") -> None:
        """Raise for the first record that `is_bad` marks, counting the others."""
        if not is_bad.any():
            return
        index = int(is_bad.argmax())
        found = _shown(self.column(name).iloc[index])
        problem = f"expected {expected}, found {found}"
        self.refuse_row(index, name, problem, int(is_bad.sum()), remedy)

    def refuse_row(self, index: int, name: str, problem: str, count: int, remedy: str = "") -> None:
        """Raise for one record, the first of `count` that have this problem."""
        problem += f" (and {count - 1} more like it)" if count > 1 else ""
        problem += f"; {remedy}" if remedy else ""
        raise DataError(problem, path=self.path, row=self.row(index), column=name)


def _shown(value: object) -> str:
    if value is None or value is pd.NA or value is pd.NaT or value == "" or value != value:
        return "nothing"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def is_true(values: "pd.Series[bool]") -> Mask:
    """Return a column of true and false, false where there is no value."""
    return values.to_numpy(dtype=np.bool_, na_value=False)


def read_table(path: Path) -> Table:
    """Read CSV (`.csv`, `.csv.gz`) or Parquet (`.parquet`, `.pq`).

    Raises:
        DataError: If the file cannot be read, or holds no rows.
    """
    name = path.name.lower()
    readers = {
        ".csv": _read_csv,
        ".csv.gz": _read_csv,
        ".parquet": _read_parquet,
        ".pq": _read_parquet,
    }
    for suffix, reader in readers.items():
        if name.endswith(suffix):
            table = reader(path, _read_bytes(path))
            if table.frame.empty:
                raise DataError("expected observations, found no rows", path=path)
            return table
    raise DataError(f"expected a name that ends in {', '.join(readers)}", path=path)


def _read_bytes(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise DataError(f"cannot be read: {exc.strerror or exc}", path=path) from exc
    if path.name.lower().endswith(".gz"):
        content = _unzip(path, content)
    if not content:
        raise DataError("the file is empty", path=path)
    return content


def _unzip(path: Path, content: bytes) -> bytes:
    if content and not content.startswith(b"\x1f\x8b"):
        raise DataError("expected a gzip file, this is none", path=path)
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as exc:
        raise DataError("the gzip file is damaged or cut short", path=path) from exc


def _read_parquet(path: Path, content: bytes) -> Table:
    try:
        frame = pd.read_parquet(io.BytesIO(content), dtype_backend="numpy_nullable")
        is_named = any(name is not None for name in frame.index.names)
        frame = frame.reset_index(drop=not is_named)
        for _, values in frame.select_dtypes(pd.StringDtype).items():
            values.to_numpy(dtype=object)  # decodes it, which pandas has not done yet
    except Exception as exc:  # what pandas and pyarrow raise over damage has no common base
        raise DataError(f"cannot be read as Parquet: {exc}", path=path) from exc
    names = [str(name) for name in frame.columns]
    frame.columns = pd.RangeIndex(len(names))
    return Table(path, names, frame, lambda record: record + 1)


def _read_csv(path: Path, content: bytes) -> Table:
    try:
        text = content.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as exc:
        row = content.count(b"\n", 0, exc.start) + 1
        problem = "expected text in UTF-8; a spreadsheet writes it as 'CSV UTF-8'"
        raise DataError(problem, path=path, row=row) from exc
    separator = _separator(text)
    names = next((fields for _, fields in _records(path, text, separator)), [])
    if not any(names):
        raise DataError("expected the names of the columns, found nothing", path=path, row=1)
    try:
        # Every line is a record, empty ones too, as in `_records`; text, so that nothing is guessed
        # and every value can be quoted in an error.
        frame = pd.read_csv(
            io.StringIO(text, newline=""),
            sep=separator,
            header=None,
            dtype=str,
            na_filter=False,
            skipinitialspace=True,
            skip_blank_lines=False,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as exc:
        _check_widths(path, text, separator, len(names))
        raise DataError(f"cannot be read as CSV: {exc}", path=path) from exc
    frame = _without_empty_lines(path, text, separator, frame.iloc[1:])
    # Spreadsheets separate by semicolons where the comma is the decimal mark.
    decimal = "," if separator == ";" else "."
    return Table(path, names, frame, lambda record: _line(path, text, separator, record), decimal)


def _separator(text: str) -> str:
    """Return what stands between the names of the columns: a comma where there is one."""
    header = text.partition("\n")[0]
    return next((mark for mark in ",;\t" if mark in header), ",")


def _records(path: Path, text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield line and fields of each record: slower than pandas, which keeps no lines."""
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    line = 1
    try:
        for fields in reader:
            yield line, fields
            line = reader.line_num + 1
    except csv.Error as exc:
        raise DataError(f"cannot be read as CSV: {exc}", path=path, row=line) from exc


def _line(path: Path, text: str, separator: str, record: int) -> int:
    records = enumerate(_records(path, text, separator))
    return next(line for i, (line, _) in records if i == record)


def _check_widths(path: Path, text: str, separator: str, width: int) -> None:
    for line, fields in _records(path, text, separator):
        if len(fields) > width:
            raise DataError(f"expected {width} fields, found {len(fields)}", path=path, row=line)


def _without_empty_lines(
    path: Path, text: str, separator: str, frame: pd.DataFrame
) -> pd.DataFrame:
    """Drop empty lines and refuse short ones; where there is one column, empty is a value."""
    width = frame.shape[1]
    # Where a line ends early, pandas has filled up the last column.
    if width == 1 or not is_true(frame.iloc[:, -1] == "").any():
        return frame
    empty = []
    for record, (line, fields) in enumerate(_records(path, text, separator)):
        if len(fields) <= 1 and not any(fields):
            empty.append(record)
        elif len(fields) < width:
            raise DataError(
                f"expected {width} fields, found {len(fields)}: {_shown(separator.join(fields))}",
                path=path,
                row=line,
            )
    return frame.drop(index=empty)


def is_number(table: Table, name: str) -> Mask:
    """Say which values of a column are numbers, or missing."""
    if _is_numeric(table.column(name)):
        return np.ones(len(table.frame), np.bool_)
    text = _numerals(table, name)
    return is_true(text.str.fullmatch(_MISSING)) | is_true(text.str.fullmatch(_NUMBER))


def is_meant_as_number(table: Table, name: str) -> bool:
    """Say whether a column is one of numbers: all of its values are, or nearly all that it has."""
    good = is_number(table, name)
    known = is_true(table.texts(name).str.strip() != "")
    return bool(good.all()) or float(good[known].mean()) >= _SHARE_OF_NUMBERS


def _is_numeric(column: "pd.Series[Any]") -> bool:
    is_bool = pd.api.types.is_bool_dtype(column.dtype)
    return pd.api.types.is_numeric_dtype(column.dtype) and not is_bool


def _numerals(table: Table, name: str) -> "pd.Series[str]":
    """Return a column of text with a point for the decimal mark; no column may have both."""
    text = table.texts(name).str.strip()
    if table.decimal == "." or is_true(text.str.contains(".", regex=False)).any():
        return text
    return text.str.replace(table.decimal, ".", n=1, regex=False)


def read_numbers(table: Table, name: str) -> Values:
    """Return a column of numbers, NaN where one is missing.

    Raises:
        DataError: If something else stands in it, or a number is too large.
    """
    column = table.column(name)
    if _is_numeric(column):
        numbers: Values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        table.refuse(name, ~is_number(table, name), "a number", _NUMBER_REMEDY)
        text = _numerals(table, name)
        is_missing = is_true(text.str.fullmatch(_MISSING))
        numbers = np.full(len(text), np.nan)
        numbers[~is_missing] = text.to_numpy(dtype=object)[~is_missing].astype(np.float64)
    is_too_large = np.abs(numbers) > LARGEST_VALUE
    table.refuse(name, is_too_large, f"a number between -{LARGEST_VALUE} and {LARGEST_VALUE}")
    return numbers

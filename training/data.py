"""A table of series, checked and read into a panel.

The table is long: one row an observation, with the columns `unique_id`, `ds` and `y`. Every fault
is a `DataError` that says file, row and column. Nothing is repaired or sorted on the quiet: what
reaches a model is what the file says.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecaster.calendar import Clock, Freq, format_ds
from forecaster.cursor import OnGap
from forecaster.errors import InvalidRequestError
from forecaster.spec import Covariate, Kind
from training.covariates import read_covariates
from training.errors import DataError
from training.recipe import Asked
from training.table import Table, is_true, read_numbers, read_table

Values = NDArray[np.float64]
Times = NDArray[np.int64]
Mask = NDArray[np.bool_]

_INTEGER = r"[+-]?[0-9]+"
_NOMINAL_MONTH = r"[0-9]-(?:0?[1-9]|1[0-2])"
_ISO = (
    r"[0-9]{4}-[0-9]{2}(?:-[0-9]{2}"
    r"(?:[T ][0-9]{2}(?::[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?)?"
)

# The distance between two integers below this fits in 64 bits.
_INTEGER_BOUND = 2**62
# A longer gap is a wrong date more often than not.
_LONGEST_FILL = 1000
_TOO_LONG = f", at most {_LONGEST_FILL} are filled"

_FIXED_UNITS = {  # microseconds, longest first
    "W": 7 * 86400 * 10**6,
    "D": 86400 * 10**6,
    "h": 3600 * 10**6,
    "min": 60 * 10**6,
    "s": 10**6,
}
# A freq that fewer of the distances fit is not inferred: a month taken for 31 days would make
# every other step a gap.
_SHARE_OF_FREQ = 0.9
_CLOCKS = {Clock.INTEGER: "whole numbers as ds", Clock.TIME: "dates and times as ds"}


@dataclass(frozen=True, eq=False)
class Series:
    """One series in time order.

    Attributes:
        unique_id: Its name.
        y: The values, `(n,)`, finite, NaN where one is missing. Read-only.
        ds: Their times, `(n,)`, as `forecaster.calendar` stores them; 0, 1, 2, ... if the table
            has none. Read-only.
        x: Their covariates, `(n, covariates)`, NaN where one is missing. Read-only.
    """

    unique_id: str
    y: Values
    ds: Times
    x: Values

    def __getitem__(self, steps: slice) -> "Series":
        """Return some of the observations."""
        return Series(self.unique_id, self.y[steps], self.ds[steps], self.x[steps])

    def __len__(self) -> int:
        """Return the number of observations, missing ones included."""
        return len(self.y)


@dataclass(frozen=True)
class Gap:
    """A place where a series does not go on at its freq.

    Attributes:
        unique_id: The series.
        after: The `ds` before the gap, as JSON shows it.
        before: The `ds` after the gap.
        missing: How many steps are left out; 0 if `before` lies between two steps.
        position: The index in the series of the observation at `before`.
    """

    unique_id: str
    after: int | str
    before: int | str
    missing: int
    position: int


@dataclass(frozen=True, eq=False)
class Panel:
    """One or more series on one clock.

    Attributes:
        series: The series, in the order in which the table first names them.
        clock: What `ds` counts.
        freq: The distance between observations, as `Freq.parse` reads it; `None` if there is none.
        fingerprint: SHA-256 in hexadecimal over clock, ids and all values: the same for the same
            data in another file format or with the series in another order.
        gaps: Where series leave `freq`. They are listed when they were filled, too.
        covariates: What the columns of each series' `x` are.
        unused: The columns of the table that none of this was read from.
    """

    series: tuple[Series, ...]
    clock: Clock
    freq: str | None
    fingerprint: str
    gaps: tuple[Gap, ...] = ()
    covariates: tuple[Covariate, ...] = ()
    unused: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of series."""
        return len(self.series)

    @property
    def ids(self) -> tuple[str, ...]:
        """The names of the series, in order."""
        return tuple(one.unique_id for one in self.series)

    @property
    def observations(self) -> int:
        """The number of observations of all series together, missing ones included."""
        return sum(map(len, self.series))

    def split(self, test: int, path: Path | None = None) -> tuple["Panel", "Panel"]:
        """Hold back the last `test` observations of each series.

        A gap belongs to the part that holds the observation after it; where that is the first
        observation of the second part, its `position` is 0. `path` is the file, for the message.

        Returns:
            What comes before, and what was held back. Both share this panel's memory.

        Raises:
            InvalidRequestError: If `test` is below 1.
            DataError: If a series is so short that nothing would be left before its test.
        """
        if test < 1:
            raise InvalidRequestError(f"test: expected 1 or more observations, found {test}")
        for one in self.series:
            if len(one) <= test:
                raise DataError(
                    f"series {one.unique_id!r}: expected more than {test} observations, of which "
                    f"{test} are held back for the test, found {len(one)}; "
                    "hold back fewer (--test), or leave the series out",
                    path=path,
                )
        cuts = {one.unique_id: len(one) - test for one in self.series}
        held_back = [gap for gap in self.gaps if gap.position >= cuts[gap.unique_id]]
        return (
            self._with(
                [one[:-test] for one in self.series],
                [gap for gap in self.gaps if gap.position < cuts[gap.unique_id]],
            ),
            self._with(
                [one[-test:] for one in self.series],
                [replace(gap, position=gap.position - cuts[gap.unique_id]) for gap in held_back],
            ),
        )

    def _with(self, series: list[Series], gaps: list[Gap]) -> "Panel":
        return _panel(series, self.clock, self.freq, gaps, self.covariates)


def read_panel(
    path: Path,
    *,
    id_column: str | None = None,
    time_column: str | None = None,
    target_column: str | None = None,
    freq: str | None = None,
    on_gap: OnGap = OnGap.SKIP,
    covariates: Asked | Sequence[Covariate] = (),
    static: Path | None = None,
) -> Panel:
    """Read a table of series from CSV (`.csv`, `.csv.gz`) or Parquet (`.parquet`, `.pq`).

    The target holds numbers; empty or `NaN` is a missing value. The time is whole numbers or
    ISO 8601 dates and times, one kind a file. A time with a zone is converted to UTC, one without
    is UTC. The `Y-MM` of old textbook files is read as well, with nominal years: `1-01` is
    January 1901 and `9-12` December 1909.

    Args:
        path: The file. Its row 1 is the header, so a row has the number that an editor shows; in
            Parquet it is the number of the record, from 1.
        id_column: The column that names the series. By default `unique_id`, and if there is none
            the file holds one series, called as the file is.
        time_column: The column with the time. By default `ds`, and if there is none the rows are
            in order and the panel has no clock.
        target_column: The column with the values. By default `y`.
        freq: The distance between observations, as `Freq.parse` reads it. By default it is
            inferred: the one that nine of ten distances in the table fit.
        on_gap: What becomes of steps that were left out: taken as if nothing were missing, filled
            with missing values, or refused.
        covariates: The columns that are covariates, or what they are if that is settled; none by
            default.
        static: The file of static ones that are settled: the name of each series, and its values.

    Returns:
        The panel; all other columns are left out, and named as `unused`.

    Raises:
        DataError: If the file cannot be read or used, with the first fault, and where it is.
        InvalidRequestError: If `freq` is not known.
    """
    asked = None if freq is None else Freq.parse(freq)
    table = read_table(path)
    rows = _read_rows(table, id_column, time_column, target_column or "y", covariates, static)
    return replace(_assemble(rows, asked, freq, on_gap), unused=rows.unused)


# Columns


def _read_times(table: Table, name: str) -> tuple[Clock, Times]:
    """Return the kind of time and the times, `(rows,)`."""
    dtype = table.column(name).dtype
    if pd.api.types.is_datetime64_any_dtype(dtype):
        return Clock.TIME, _moments(table, name, table.column(name))
    if pd.api.types.is_integer_dtype(dtype):
        return Clock.INTEGER, _integers(table, name, table.texts(name))
    text = table.texts(name).str.strip()
    is_given = is_true(text != "")
    first = text.iloc[int(is_given.argmax())]
    if re.fullmatch(_INTEGER, first):
        return Clock.INTEGER, _integers(table, name, text)
    if re.fullmatch(_NOMINAL_MONTH, first):
        table.refuse(
            name, ~is_true(text.str.fullmatch(_NOMINAL_MONTH)), "a year and month such as 1-01"
        )
        # Of one digit: the year of the century that the textbooks mean.
        text = "190" + text.str.replace(r"-([0-9])$", r"-0\1", regex=True)
    else:
        expected = "a date or time in ISO 8601"
        if not re.fullmatch(_ISO, first):
            expected += " or a whole number"
        remedy = "write it as 2024-05-31 or 2024-05-31T14:00"
        table.refuse(name, ~is_true(text.str.fullmatch(_ISO)), expected, remedy)
    moments = pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce")
    return Clock.TIME, _moments(table, name, moments)


def _integers(table: Table, name: str, text: "pd.Series[str]") -> Times:
    table.refuse(name, ~is_true(text.str.fullmatch(_INTEGER)), "a whole number")
    is_too_long = is_true(text.str.fullmatch(r"[+-]?0*[1-9][0-9]{19,}"))
    numbers = np.where(is_too_long, str(2**63), text.to_numpy(dtype=object))
    is_too_large = np.array([abs(int(number)) >= _INTEGER_BOUND for number in numbers])
    table.refuse(name, is_too_large, "a whole number between -2**62 and 2**62")
    return numbers.astype(np.int64)


def _moments(table: Table, name: str, times: "pd.Series[Any]") -> Times:
    """Return microseconds since 1970 in UTC."""
    table.refuse(name, is_true(times.isna()), "a date and time of the calendar")
    if times.dt.tz is not None:
        times = times.dt.tz_convert("UTC").dt.tz_localize(None)
    return times.to_numpy(dtype="datetime64[us]").view(np.int64)


# Rows of one series side by side


@dataclass(frozen=True)
class _Rows:
    """All observations, series after series, each in the order of the file."""

    table: Table
    time_column: str  # empty without a clock
    has_ids: bool
    clock: Clock
    ids: list[str]
    codes: NDArray[np.intp]  # (rows,), which of `ids`, ascending
    starts: NDArray[np.intp]  # (series + 1,)
    ds: Times  # (rows,)
    y: Values  # (rows,)
    x: Values  # (rows, covariates)
    covariates: tuple[Covariate, ...]
    unused: tuple[str, ...]  # columns that none of this was read from
    index: NDArray[np.intp]  # (rows,), where each stands in the table

    @property
    def is_followed(self) -> Mask:
        """Whether the same series goes on after an observation, `(rows - 1,)`."""
        return np.equal(self.codes[1:], self.codes[:-1])

    def series(self) -> list[Series]:
        """Return the series, views of these arrays."""
        return [
            Series(name, self.y[start:end], self.ds[start:end], self.x[start:end])
            for name, start, end in zip(self.ids, self.starts[:-1], self.starts[1:], strict=True)
        ]

    def first(self, faults: NDArray[np.intp]) -> int:
        """Return which of these observations is the first in the file, as its place in `faults`."""
        return int(self.index[faults].argmin())

    def shown(self, at: int) -> str:
        """Return the time of one observation as an error shows it."""
        return str(format_ds(int(self.ds[at]), self.clock))

    def refuse(self, at: int, problem: str, count: int, remedy: str = "") -> None:
        """Raise for the time of one observation, the first of `count` with this problem."""
        self.table.refuse_row(int(self.index[at]), self.time_column, problem, count, remedy)


def _read_rows(
    table: Table,
    id_column: str | None,
    time_column: str | None,
    target_column: str,
    wanted: Asked | Sequence[Covariate],
    static: Path | None,
) -> _Rows:
    id_column = table.find(id_column, "unique_id", "--id")
    time_column = table.find(time_column, "ds", "--time")
    target_column = table.require(target_column, "--target")
    codes, ids = _read_ids(table, id_column)
    clock, ds = _read_times(table, time_column) if time_column else (Clock.NONE, None)
    y = read_numbers(table, target_column)
    covariates, x = read_covariates(
        table, wanted, ids, codes, id_column=id_column or "unique_id", static=static
    )
    taken = {target_column: "target", time_column: "time", id_column: "name of the series"}
    for one in covariates:
        if one.kind is not Kind.STATIC and one.name in taken:
            problem = f"column {one.name!r} is the {taken[one.name]} and cannot be a covariate"
            raise DataError(problem, path=table.path)
    used = {id_column, time_column, target_column, *(one.name for one in covariates)}
    index = np.argsort(codes, kind="stable")
    codes = codes[index]
    starts = np.searchsorted(codes, np.arange(len(ids) + 1))
    ds = np.arange(len(codes)) - starts[codes] if ds is None else ds[index]
    return _Rows(
        table=table,
        time_column=time_column or "",
        has_ids=id_column is not None,
        clock=clock,
        ids=ids,
        codes=codes,
        starts=starts,
        ds=ds.astype(np.int64),
        y=y[index],
        x=x[index],
        covariates=covariates,
        # One without a name is the index of a frame.
        unused=tuple(name for name in table.names if name and name not in used),
        index=index,
    )


def _read_ids(table: Table, name: str | None) -> tuple[NDArray[np.intp], list[str]]:
    """Return which series each row belongs to, `(rows,)`, and the series as they first appear."""
    if name is None:
        stem = re.sub(r"(?i)\.(csv|csv\.gz|parquet|pq)$", "", table.path.name)
        return np.zeros(len(table.frame), np.intp), [stem]
    ids = table.texts(name)
    table.refuse(name, is_true(ids.str.strip() == ""), "the name of a series")
    codes, unique = pd.factorize(ids)
    return codes, [str(one) for one in unique]


def _check_order(rows: _Rows) -> None:
    """Refuse a time that stands twice in a series, or after a later one."""
    late = np.flatnonzero(rows.is_followed & (rows.ds[1:] <= rows.ds[:-1])) + 1
    if not len(late):
        return
    _refuse_duplicates(rows)
    at = int(late[rows.first(late)])
    row = rows.table.row(int(rows.index[at - 1]))
    problem = (
        f"{rows.shown(at)} comes after {rows.shown(at - 1)} (row {row}) in series "
        f"{rows.ids[rows.codes[at]]!r}: expected each series in order of time"
    )
    rows.refuse(at, problem, len(late), f"sort the rows by {rows.time_column}")


def _refuse_duplicates(rows: _Rows) -> None:
    order = np.lexsort((rows.ds, rows.codes))  # stable: of two the same, the earlier row is first
    ds, codes = rows.ds[order], rows.codes[order]
    is_again = (codes[1:] == codes[:-1]) & (ds[1:] == ds[:-1])
    if not is_again.any():
        return
    again, before = order[1:][is_again], order[:-1][is_again]
    first = rows.first(again)
    at, row = int(again[first]), rows.table.row(int(rows.index[before[first]]))
    hint = "" if rows.has_ids else "; if the file holds several series, --id names their column"
    problem = (
        f"{rows.shown(at)} stands in row {row} already, in series "
        f"{rows.ids[rows.codes[at]]!r}{hint}"
    )
    rows.refuse(at, problem, len(again))


# Freq


def _infer_freq(rows: _Rows) -> str | None:
    """Return the freq that nearly all distances between neighbours fit, every one with a vote.

    Whole numbers are counted by the most common distance.
    """
    before, after = rows.ds[:-1][rows.is_followed], rows.ds[1:][rows.is_followed]
    if not len(before):
        return None
    distance = _most_common(after - before)
    if rows.clock == Clock.INTEGER:
        return str(distance) if _is_freq(str(distance)) else None
    fixed = [] if _are_months(after - before) else _fixed_freqs(distance)
    candidates = [*_calendar_freqs(before, after), *fixed, "B"]
    candidates = [text for text in candidates if _is_freq(text)]
    shares = [float((Freq.parse(text).advance(before) == after).mean()) for text in candidates]
    best = int(np.argmax(shares))  # the first of equals
    return candidates[best] if shares[best] >= _SHARE_OF_FREQ else None


def _is_freq(text: str) -> bool:
    try:
        Freq.parse(text)
    except InvalidRequestError:  # its count is out of bounds
        return False
    return True


def _most_common(distances: NDArray[np.int64]) -> int:
    values, counts = np.unique(distances, return_counts=True)
    return int(values[counts.argmax()])


def _calendar_freqs(before: Times, after: Times) -> list[str]:
    """Return the freqs in months, starts and ends, of the most common distance in months."""
    months = [
        ds.view("datetime64[us]").astype("datetime64[M]").view(np.int64) for ds in (before, after)
    ]
    count = _most_common(months[1] - months[0])
    if count < 1:
        return []
    unit, divisor = next((u, d) for u, d in (("Y", 12), ("Q", 3), ("M", 1)) if count % d == 0)
    multiple = count // divisor
    return [f"{multiple if multiple > 1 else ''}{unit}{edge}" for edge in "SE"]


def _are_months(distances: NDArray[np.int64]) -> bool:
    """Whether the distances are months on a day such as the 15th, which no freq counts."""
    days, rest = np.divmod(distances, _FIXED_UNITS["D"])
    is_month = (rest == 0) & (days >= 28) & (days <= 31)
    return bool(is_month.all() and (days != days[0]).any())


def _fixed_freqs(distance: int) -> list[str]:
    for unit, microseconds in _FIXED_UNITS.items():
        if distance % microseconds == 0:
            multiple = distance // microseconds
            return [f"{multiple if multiple > 1 else ''}{unit}"]
    return []


# Gaps


def _check_grid(rows: _Rows, freq: Freq) -> None:
    """Refuse another kind of time than that of `freq`, and a time that no step of it reaches.

    With month starts that is any other day; the distances between times are looked at later.
    """
    if rows.clock != freq.clock:
        raise DataError(
            f"the freq asked for needs {_CLOCKS[freq.clock]}, found {_CLOCKS[rows.clock]}",
            path=rows.table.path,
            column=rows.time_column,
        )
    off = np.flatnonzero(freq.advance(rows.ds, 0) != rows.ds)
    if len(off):
        at = int(off[rows.first(off)])
        problem = (
            f"{rows.shown(at)} is not a time of the freq asked for, "
            f"in series {rows.ids[rows.codes[at]]!r}"
        )
        rows.refuse(at, problem, len(off))


def _check_needs_no_freq(rows: _Rows, on_gap: OnGap) -> None:
    """Refuse to look for gaps where it is not known what a gap is."""
    if on_gap is not OnGap.SKIP and rows.is_followed.any():
        raise DataError(
            "gaps can be neither refused nor filled: no freq fits nearly all distances between "
            "observations; --freq names one",
            path=rows.table.path,
            column=rows.time_column,
        )


def _find_gaps(rows: _Rows, freq: Freq) -> list[Gap]:
    is_gap = rows.is_followed & (freq.advance(rows.ds[:-1]) != rows.ds[1:])
    return [_gap(rows, int(at), freq) for at in np.flatnonzero(is_gap) + 1]


def _gap(rows: _Rows, at: int, freq: Freq) -> Gap:
    start, end = int(rows.ds[at - 1]), int(rows.ds[at])
    steps = freq.steps_between(start, end)
    code = int(rows.codes[at])
    after, before = format_ds(start, freq.clock), format_ds(end, freq.clock)
    assert after is not None
    assert before is not None
    missing = 0 if steps is None else steps - 1
    return Gap(rows.ids[code], after, before, missing, at - int(rows.starts[code]))


def _check_gaps(
    rows: _Rows, gaps: list[Gap], freq: str, on_gap: OnGap, *, is_inferred: bool
) -> None:
    """Refuse gaps that are not wanted or cannot be filled.

    A time between two steps of a freq that was only inferred is a gap like others, for the freq may
    be wrong there; of one that was given, it is a fault of the file.
    """
    if on_gap is not OnGap.SKIP or not is_inferred:
        _refuse_gaps(rows, [gap for gap in gaps if not gap.missing], freq)
    if on_gap is OnGap.FILL:
        _refuse_gaps(rows, [gap for gap in gaps if gap.missing > _LONGEST_FILL], freq, _TOO_LONG)
    if on_gap is OnGap.REJECT:
        _refuse_gaps(rows, gaps, freq)


def _refuse_gaps(rows: _Rows, gaps: list[Gap], freq: str, why: str = "") -> None:
    if not gaps:
        return
    starts = dict(zip(rows.ids, rows.starts[:-1], strict=True))
    at = np.array([starts[gap.unique_id] + gap.position for gap in gaps])
    first = rows.first(at)
    gap = gaps[first]
    steps = "1 step" if gap.missing == 1 else f"{gap.missing} steps"
    reason = f"{steps} of freq {freq} left out" if gap.missing else f"between steps of freq {freq}"
    problem = f"{gap.before} follows {gap.after} in series {gap.unique_id!r}: {reason}{why}"
    rows.refuse(int(at[first]), problem, len(gaps))


def _fill(series: list[Series], gaps: list[Gap], freq: Freq) -> tuple[list[Series], list[Gap]]:
    """Put a missing value at each step left out; the gaps come back with their new positions."""
    by_series: dict[str, list[Gap]] = {}
    for gap in gaps:
        by_series.setdefault(gap.unique_id, []).append(gap)
    filled = [_fill_one(one, by_series.get(one.unique_id, []), freq) for one in series]
    return [one for one, _ in filled], [gap for _, moved in filled for gap in moved]


def _fill_one(series: Series, gaps: list[Gap], freq: Freq) -> tuple[Series, list[Gap]]:
    if not gaps:
        return series, []
    positions = np.array([gap.position for gap in gaps])
    missing = np.array([gap.missing for gap in gaps])
    times, at = [], []
    for step in range(1, int(missing.max()) + 1):
        is_missing = missing >= step
        times.append(freq.advance(series.ds[positions[is_missing] - 1], step))
        at.append(positions[is_missing])
    where = np.sort(np.concatenate(at))
    ds = np.insert(series.ds, where, np.sort(np.concatenate(times)))
    y = np.insert(series.y, where, np.nan)
    x = np.insert(series.x, where, np.nan, axis=0)
    added = np.cumsum(missing)
    moved = [replace(g, position=g.position + int(n)) for g, n in zip(gaps, added, strict=True)]
    return Series(series.unique_id, y, ds, x), moved


# The panel


def _assemble(rows: _Rows, asked: Freq | None, freq: str | None, on_gap: OnGap) -> Panel:
    """Return the panel of rows, once their times are in order and gaps as they may be."""
    if rows.clock == Clock.NONE:
        return _panel(rows.series(), rows.clock, freq, [], rows.covariates)
    _check_order(rows)
    if asked is not None:
        _check_grid(rows, asked)
    known = freq or _infer_freq(rows)
    if known is None:
        _check_needs_no_freq(rows, on_gap)
        return _panel(rows.series(), rows.clock, None, [], rows.covariates)
    gaps = _find_gaps(rows, Freq.parse(known))
    _check_gaps(rows, gaps, known, on_gap, is_inferred=freq is None)
    series = rows.series()
    if on_gap is OnGap.FILL:
        series, gaps = _fill(series, gaps, Freq.parse(known))
    return _panel(series, rows.clock, known, gaps, rows.covariates)


def _panel(
    series: list[Series],
    clock: Clock,
    freq: str | None,
    gaps: list[Gap],
    covariates: tuple[Covariate, ...],
) -> Panel:
    for one in series:
        for array in (one.y, one.ds, one.x):
            array.flags.writeable = False
    fingerprint = _fingerprint(series, clock, covariates)
    return Panel(tuple(series), clock, freq, fingerprint, tuple(gaps), covariates)


def _fingerprint(series: list[Series], clock: Clock, covariates: tuple[Covariate, ...]) -> str:
    digest = hashlib.sha256(bytes([clock]))
    for one in sorted(series, key=lambda s: s.unique_id):
        name = one.unique_id.encode("utf-8", "surrogatepass")
        # Sizes first, so that no two panels give the same bytes.
        digest.update(np.array([len(name), len(one)], "<i8").tobytes() + name)
        digest.update(one.ds.astype("<i8").tobytes())
        # NaN and zero have more than one form in bits.
        for values in (one.y, one.x):
            known = np.where(np.isnan(values), np.nan, values) + 0.0
            digest.update(known.astype("<f8").tobytes())
    for covariate in covariates:
        digest.update(covariate.model_dump_json().encode())
    return digest.hexdigest()

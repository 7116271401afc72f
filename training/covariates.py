"""The covariates of a table: which columns they are, and what stands in them.

A column of numbers is a number, any other a word out of those that stand in it. Static ones come
from a table of their own, with a row for each series.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from forecaster.spec import MOST_CATEGORIES, MOST_COVARIATES, Covariate, Kind
from training.errors import DataError
from training.recipe import Asked
from training.table import Table, is_meant_as_number, is_true, read_numbers, read_table

Values = NDArray[np.float64]


def read_covariates(
    table: Table,
    wanted: Asked | Sequence[Covariate],
    ids: Sequence[str],
    codes: NDArray[np.intp],
    *,
    id_column: str = "unique_id",
    static: Path | None = None,
) -> tuple[tuple[Covariate, ...], Values]:
    """Read the covariates of every row.

    Args:
        table: The rows.
        wanted: Columns, of which the table tells what they are; or covariates that are settled.
        ids: The series.
        codes: Which of them each row is of.
        id_column: The column of the series' names in the table of static ones.
        static: The file of settled static ones.

    Returns:
        What they are, and the values, shape `(rows, covariates)`; see `forecaster.covariates`.

    Raises:
        DataError: If a column is not there, or holds what it cannot hold.
    """
    static = wanted.static if isinstance(wanted, Asked) else static
    fixed = _Static.read(static, id_column, ids) if static is not None else None
    if isinstance(wanted, Asked):
        names = [*((name, Kind.PAST) for name in wanted.past)]
        names += [(name, Kind.FUTURE) for name in wanted.future]
        specs = [_settled(table, name, kind) for name, kind in names]
        specs += [fixed.settled(name) for name in fixed.names] if fixed else []
    else:
        specs = list(wanted)
    _check_names(table, specs)
    columns = [np.empty((len(codes), 0))]
    for spec in specs:
        if spec.kind is not Kind.STATIC:
            columns.append(_read(table, spec)[:, None])
        elif fixed is None:
            raise DataError(
                f"static covariate {spec.name!r}: expected a table with a row for each series; "
                "--static names its file"
            )
        else:
            columns.append(fixed.values(spec)[codes, None])
    return tuple(specs), np.concatenate(columns, axis=1)


@dataclass(frozen=True)
class _Static:
    """A table with a row for each series, in any order."""

    table: Table
    id_column: str
    rows: NDArray[np.intp]  # that of each series

    @classmethod
    def read(cls, path: Path, id_column: str, ids: Sequence[str]) -> "_Static":
        table = read_table(path)
        names = table.texts(table.require(id_column, "--id")).tolist()
        places = {name: row for row, name in reversed(list(enumerate(names)))}
        if len(places) < len(names):
            again = next(row for row, name in enumerate(names) if places[name] != row)
            count = len(names) - len(places)
            table.refuse_row(again, id_column, f"{names[again]!r} stands above already", count)
        for name in ids:
            if name not in places:
                raise DataError(f"expected a row for series {name!r}, found none", path=path)
        return cls(table, id_column, np.array([places[name] for name in ids], np.intp))

    @property
    def names(self) -> list[str]:
        return [name for name in self.table.names if name != self.id_column]

    def settled(self, name: str) -> Covariate:
        spec = _settled(self.table, name, Kind.STATIC)
        if spec.categories:
            return spec
        numbers = read_numbers(self.table, name)[self.rows]
        known: Values = numbers[~np.isnan(numbers)]
        if not len(known):
            return spec
        with np.errstate(over="ignore"):  # an infinity is refused
            mean, scale = float(known.mean()), float(known.std()) or 1.0
        try:
            return Covariate(name=name, kind=Kind.STATIC, mean=mean, scale=scale)
        except ValidationError as error:
            problem = "the numbers are too far apart to be told in units of each other"
            raise DataError(problem, path=self.table.path, column=name) from error

    def values(self, spec: Covariate) -> Values:
        """Return the value of each series."""
        return _read(self.table, spec)[self.rows]


def _settled(table: Table, name: str, kind: Kind) -> Covariate:
    flag = "--static" if kind is Kind.STATIC else f"--{kind}"
    table.require(name, flag)
    if is_meant_as_number(table, name):
        read_numbers(table, name)  # refuses the few that are none
        words: list[str] = []
    else:
        texts = table.texts(name).str.strip()
        words = sorted(set(texts[texts != ""]))
        if len(words) > MOST_CATEGORIES:
            shown = ", ".join(map(repr, words[:3]))
            raise DataError(
                f"expected numbers, or at most {MOST_CATEGORIES} different words, "
                f"found {len(words)}: {shown}, ...",
                path=table.path,
                column=name,
            )
    try:
        return Covariate(name=name, kind=kind, categories=tuple(words))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]["msg"]
        raise DataError(problem, path=table.path, column=name) from error


def _check_names(table: Table, specs: Sequence[Covariate]) -> None:
    names = [spec.name for spec in specs]
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"covariate {name!r} is named twice", path=table.path)
    if len(names) > MOST_COVARIATES:
        problem = f"expected at most {MOST_COVARIATES} covariates, found {len(names)}"
        raise DataError(problem, path=table.path)


def _read(table: Table, spec: Covariate) -> Values:
    """Return a column, NaN where a value is missing."""
    table.require(spec.name, f"--{spec.kind}")
    if not spec.categories:
        return read_numbers(table, spec.name)
    texts = table.texts(spec.name).str.strip()
    codes = {word: float(code) for code, word in enumerate(spec.categories, 1)} | {"": np.nan}
    known = is_true(texts.isin(list(codes)))
    table.refuse(spec.name, ~known, f"one of {', '.join(map(repr, spec.categories))}, or nothing")
    return np.array([codes[text] for text in texts], np.float64)

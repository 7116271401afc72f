"""Covariates: what else is known of a step, and how the network is told of it.

A series' past covariates come with its observations, those known ahead are known before the value
that they belong to, and static ones belong to the series. Numbers are told in units of each series'
own running mean and size, so a price of 3 and a price of 3,000 are alike; a word is told as one
input for each that there may be.

A missing value is taken to be the last one. What was never known says nothing: its inputs are 0.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from forecaster.errors import InvalidRequestError
from forecaster.journal import COVARIATE
from forecaster.record import Field
from forecaster.spec import LARGEST_VALUE, Covariate, Kind

Floats = NDArray[np.float64]
Records = NDArray[np.void]
Value = float | str | None

# Mean and size are running ones: a gain is 1/n, and 1/window at the least.
_WINDOW = 4000

# Inputs further out than this say no more.
_FURTHEST = 5.0

_SHOWN = 20  # of names in a message


class Covariates:
    """Follows the covariates of each series, and makes inputs of them.

    Values are columns of float64 in the order of `specs`: NaN where one is missing; a word is its
    place among the categories, from 1.

    Args:
        specs: What there is; none at all is fine.
    """

    def __init__(self, specs: Sequence[Covariate] = ()) -> None:
        self.specs = tuple(specs)
        self.names = tuple(one.name for one in specs)
        self._fields = [COVARIATE + name for name in self.names]
        self._is_ahead = np.array([one.kind is Kind.FUTURE for one in specs], np.bool_)
        self.foresees = bool(self._is_ahead.any())

        numbers = [(at, one) for at, one in enumerate(specs) if not one.categories]
        fixed = [(at, one) for at, one in numbers if one.kind is Kind.STATIC]
        words = [
            (at, code) for at, one in enumerate(specs) for code in range(1, 1 + len(one.categories))
        ]
        self._running = np.array(
            [at for at, one in numbers if one.kind is not Kind.STATIC], np.intp
        )
        self._fixed = np.array([at for at, _ in fixed], np.intp)
        self._center = np.array([one.mean for _, one in fixed])
        self._unit = np.array([one.scale for _, one in fixed])
        self._worded = np.array([at for at, _ in words], np.intp)
        self._codes = np.array([code for _, code in words], np.float64)
        self.words = {one.name: one.categories for one in specs if one.categories}
        self.is_static = np.array([one.kind is Kind.STATIC for one in specs], np.bool_)
        self.asked = [one.name for one in specs if one.kind is not Kind.STATIC]
        self.features = 2 * len(self._running) + len(fixed) + len(words)

    def read(
        self, given: Mapping[str, Sequence[Value]] | None, count: int, *, ahead: bool = False
    ) -> tuple[Floats, dict[int, str]]:
        """Read columns of values, as a caller names them.

        Args:
            given: The values of each covariate, `count` of them, `None` where one is missing. Of a
                past one and one known ahead there has to be a column; a static one may be left out.
            count: How many steps.
            ahead: Whether the steps are to come: then only what is known ahead belongs to them.

        Returns:
            Values of shape `(count, covariates)`, and what is wrong with a step, by its number.

        Raises:
            InvalidRequestError: If a name is not known or left out, or a column of another length.
        """
        given = given or {}
        name = "x_future" if ahead else "x"
        takes = [one for one in self.specs if one.kind is Kind.FUTURE or not ahead]
        asks = [one.name for one in takes if one.kind is not Kind.STATIC]
        known = {one.name for one in takes}
        if not known.issuperset(given) or not given.keys() >= set(asks):
            raise self._misnamed(name, given, asks, [one.name for one in takes])
        values, faults = self.unknown(count), dict[int, str]()
        for number, one in enumerate(self.specs):
            column = given.get(one.name)
            if column is None:
                continue
            if len(column) != count:
                raise InvalidRequestError(
                    f"{name}.{one.name}: expected {count} values, one for each step, "
                    f"found {len(column)}"
                )
            codes = {word: code for code, word in enumerate(one.categories, 1)}
            for row, value in enumerate(column):
                if value is None:
                    continue
                read = codes.get(value) if isinstance(value, str) else value
                if read is None or bool(codes) is not isinstance(value, str):
                    faults.setdefault(row, _misread(f"{name}.{one.name}", one, value))
                elif not abs(read) <= LARGEST_VALUE:
                    expected = f"a number of size {LARGEST_VALUE:g} at most"
                    told = f"{name}.{one.name}: expected {expected}, found {value}"
                    faults.setdefault(row, told)
                else:
                    values[row, number] = read
        return values, faults

    def write(self, values: Floats) -> dict[str, Value]:
        """Return the values of one step, shape `(covariates,)`, as a caller names them."""
        told: dict[str, Value] = {}
        for one, value in zip(self.specs, values.tolist(), strict=True):
            if np.isnan(value):
                told[one.name] = None
            else:
                told[one.name] = one.categories[int(value) - 1] if one.categories else value
        return told

    def _misnamed(
        self, name: str, given: Mapping[str, object], asks: list[str], takes: list[str]
    ) -> InvalidRequestError:
        if not takes:
            which = "no covariates that are known ahead" if self.names else "no covariates"
            return InvalidRequestError(f"{name}: this model has {which}; leave it out")
        unknown = [one for one in given if one not in takes]
        missing = [one for one in asks if one not in given]
        found = f"found also {_listed(unknown)}" if unknown else f"{_listed(missing)} left out"
        return InvalidRequestError(
            f"{name}: expected {_listed(takes)}, {found}; null is a missing value"
        )

    def unknown(self, count: int) -> Floats:
        """Return the values of `count` steps of which nothing is known."""
        return np.full((count, len(self.names)), np.nan)

    @property
    def fields(self) -> list[Field]:
        """What is kept in a record; zeros when new."""
        count = len(self.names)
        if not count:
            return []
        return [
            *((field, "<f8", ()) for field in self._fields),  # the last value that was known
            ("x_seen", "<i8", (count,)),  # how often each was known
            ("x_change", "<f8", (count,)),  # by how much the last step changed it
            ("x_mean", "<f8", (count,)),
            ("x_size", "<f8", (count,)),  # the standard deviation
            ("x_ahead", "<f8", (count,)),  # what it is taken to be in the next step
        ]

    def observe(self, records: Records, x: Floats) -> None:
        """Take the values of a step, shape `(K, covariates)`, into records, in place."""
        seen, mean, size = (records[name] for name in ("x_seen", "x_mean", "x_size"))
        known = ~np.isnan(x)
        last = self._last(records)
        value = np.where(known, x, last)
        records["x_change"] = np.where(seen > 0, value - last, 0.0)
        gain = known / np.minimum(seen + 1, _WINDOW)
        away = np.where(known, x - mean, 0.0)
        # The mean of squares by its root, so that 1e300 does not overflow.
        records["x_size"] = np.sqrt(1.0 - gain) * np.hypot(size, np.sqrt(gain) * away)
        mean += gain * away
        seen += known
        for number, field in enumerate(self._fields):
            records[field] = value[:, number]
        records["x_ahead"] = value

    def foresee(self, records: Records, x: Floats) -> None:
        """Take what is known of the next step, shape `(K, covariates)`, into records, in place.

        Only covariates known ahead are looked at.
        """
        coming = self.only_ahead(x)
        np.copyto(records["x_ahead"], coming, where=~np.isnan(coming))

    def only_ahead(self, x: Floats) -> Floats:
        """Return values of steps to come, `(..., covariates)`, without what is not known ahead."""
        known: Floats = np.where(self._is_ahead, x, np.nan)
        return known

    def inputs(self, records: Records) -> NDArray[np.float64]:
        """Return the inputs `(K, features)`.

        For each number its distance from the mean and its last change, in units of its size; for
        each word of a category whether it is this one.
        """
        last, ahead, seen = self._last(records), records["x_ahead"], records["x_seen"]
        level = np.where(self._is_ahead, ahead, last)
        change = np.where(self._is_ahead, ahead - last, records["x_change"])
        known = seen > 0
        some, fixed = self._running, self._fixed
        with np.errstate(over="ignore"):  # an infinity is beyond the limit too
            size = np.maximum(records["x_size"][:, some], np.finfo(np.float64).smallest_subnormal)
            away = (level - records["x_mean"])[:, some] / size
            columns = [
                np.where(known[:, some], away, 0.0),
                np.where(known[:, some], change[:, some] / size, 0.0),
                np.where(known[:, fixed], (level[:, fixed] - self._center) / self._unit, 0.0),
                (level[:, self._worded] == self._codes) * 1.0,
            ]
        inputs: Floats = np.concatenate(columns, axis=1)
        limited: Floats = np.maximum(np.minimum(inputs, _FURTHEST), -_FURTHEST)
        return limited

    def _last(self, records: Records) -> Floats:
        return np.stack([records[field] for field in self._fields], axis=1)


def _misread(where: str, spec: Covariate, value: Value) -> str:
    if spec.categories:
        return f"{where}: expected {_listed(spec.categories, 'or')} or null, found {value!r}"
    return f"{where}: expected a number or null, found {value!r}"


def _listed(names: Sequence[str], last: str = "and") -> str:
    shown = [repr(name) for name in names[:_SHOWN]]
    if len(names) > _SHOWN:
        shown.append(f"{len(names) - _SHOWN} more")
    return f" {last} ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)

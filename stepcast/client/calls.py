"""The calls of the service, each as a plan: what to send, and what to make of the answer.

`Client` carries plans out, `AsyncClient` awaits them. Both have these methods, with the results
that the plans return.
"""

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from stepcast.client.answers import (
    Forecasted,
    Health,
    Models,
    Observed,
    Past,
    Reset,
    Seeded,
    SeriesPage,
    SeriesStatus,
    State,
    Table,
)
from stepcast.client.errors import InvalidError, NotFoundError, StepcastError
from stepcast.client.retries import Plan, Request, Retries, send

if TYPE_CHECKING:
    import pandas as pd

    from stepcast.client.frames import Columns

A = TypeVar("A", bound=BaseModel)

# A whole number, ISO 8601, or a date with or without a time of day; UTC where no zone is given.
Time: TypeAlias = int | str | date
# A season's length, or that of one and of a shorter one within it; 0 for none.
Season: TypeAlias = int | tuple[int, int]
# What a covariate is: a number, or a word; None or NaN where it is missing.
Value: TypeAlias = float | str | None

# What is finer than microseconds, where it is nothing; the service reads no further.
_DIGITS_OF_NOTHING = re.compile(r"(?<=\.\d{6})0+$")
_UNKNOWN_SERIES = "urn:stepcast:unknown-series"


class Calls:
    """Plans of all calls.

    Args:
        model: The model asked for; the service's default if there is none.
        retries: How often calls are sent again.
        chunk_rows: Rows of a frame that go in one call.
    """

    def __init__(self, model: str | None, retries: Retries, chunk_rows: int) -> None:
        self._model = {} if model is None else {"model": model}
        self._retries = retries
        self._chunk_rows = chunk_rows

    # Many series, as frames

    def observe(
        self, frame: "pd.DataFrame", *, x: Iterable[str] = (), level: Iterable[float] = ()
    ) -> Plan["pd.DataFrame"]:
        """Take the observations of a frame: columns `unique_id`, `y`, and `ds` if there are times.

        Rows are taken in their order. A row that cannot be taken changes nothing, and says why in
        `status` and `detail`; the others are taken all the same. A missing `y` is a missing value.

        Where every row has a `ds`, a call is sent again if no answer came, and you may send the
        frame again too: what was taken already is a `duplicate`. Without, a call that may have
        been taken is not sent again.

        Args:
            frame: The rows.
            x: The columns that are covariates of the model, and called as they are there. They
                hold numbers, or words, of which true and false are `True` and `False`; text is one
                name.
            level: Intervals to answer with, in percent.

        Returns:
            A row for each, under the same index: `unique_id`, `step` and `ds` where the series
            stands, `status`, `error` (the actual minus the forecast that stood), the forecast of
            the next step as `mean` and as `lo_80`, `hi_80` for each level, and `detail`.

        Raises:
            InvalidError: If a column is missing, or the covariates are not the model's.
            StepcastError: If a call failed. It has `rows_answered`: how many rows of the frame
                calls before it had brought.
        """
        from stepcast.client import frames

        table, levels = frames.columns_of(frame, [x] if isinstance(x, str) else x), list(level)
        answers: list[Columns] = []
        for start in range(0, len(frame), self._chunk_rows):
            part = _part(table, range(start, min(start + self._chunk_rows, len(frame))))
            is_repeatable = "ds" in part and None not in part["ds"]
            body = part | {"level": levels}
            try:
                answers.append((yield from self._table("/observe/batch", body, is_repeatable)))
            except StepcastError as error:
                error.rows_answered = start
                raise
        return frames.frame_of(answers, frame.index)

    def seed(
        self,
        frame: "pd.DataFrame",
        *,
        x: Iterable[str] = (),
        level: Iterable[float] = (),
        season: Season | None = None,
    ) -> Plan["pd.DataFrame"]:
        """Begin the series of a frame anew, each with its rows as history.

        Args:
            frame: Columns `unique_id`, `y`, and `ds` if there are times.
            x: The columns that are covariates of the model, as `observe` takes them.
            level: Intervals to answer with, in percent.
            season: The season of them all; by default `ds` tells it.

        Returns:
            A row for each series, in the order in which the frame first names them, with the
            columns that `observe` gives, but `error`. A series with a row that cannot be taken is
            left as it was.

        Raises:
            InvalidError: If a column is missing, or the covariates are not the model's.
        """
        from stepcast.client import frames

        table = frames.columns_of(frame, [x] if isinstance(x, str) else x)
        asked = {"level": list(level)} | _given(season=season)
        answers: list[Columns] = []
        for rows in _whole_series(table["unique_id"], self._chunk_rows):
            body = _part(table, rows) | asked
            answers.append((yield from self._table("/seed-state/batch", body)))
        return frames.frame_of(answers)

    def forecast(
        self,
        ids: Iterable[str],
        h: int = 1,
        level: Iterable[float] | None = None,
        *,
        quantiles: Iterable[float] = (),
        x_future: "pd.DataFrame | None" = None,
    ) -> Plan["pd.DataFrame"]:
        """Forecast the next `h` steps of series. Nothing moves.

        Args:
            ids: Their names; text is one name.
            h: Steps ahead.
            level: Central intervals, in percent; those of the service by default.
            quantiles: Quantile levels.
            x_future: What is known ahead of these steps: for each series `h` rows with its
                `unique_id`, in order of time; every further column is a covariate. `ds` may be
                there, and is compared with the times that were forecast, where the model knows
                them. Rows of other series are left out. Without it the last values stand.

        Returns:
            `h` rows for each series: `unique_id`, `step`, `ds` where the model knows it, `status`
            (`ok`, or why there is no forecast), `mean`, `lo_80` and `hi_80` for each level,
            `q_0.9` for each quantile, and `detail`.

        Raises:
            InvalidError: If `x_future` has not `h` rows for each series, has those of other times,
                or holds what the model does not know ahead.
        """
        from stepcast.client import frames

        names = frames.names_of([ids] if isinstance(ids, str) else ids)
        table: dict[str, Any] = {"unique_id": names}
        ahead = None if x_future is None else frames.rows_ahead(x_future, names, h)
        if ahead is not None:
            table["x_future"] = frames.lists_ahead(ahead, h)
        asked = _ask(h, level, quantiles)
        chunk = max(self._chunk_rows // max(h, 1), 1)
        answers: list[Columns] = []
        for start in range(0, len(names), chunk):
            body = _part(table, range(start, min(start + chunk, len(names)))) | asked
            answers.append((yield from self._table("/forecast/batch", body)))
        forecast = frames.frame_of(answers)
        if ahead is not None:
            frames.check_times(ahead, forecast)
        return forecast

    def history(self, unique_id: str, *, limit: int = 100) -> Plan["pd.DataFrame"]:
        """Return the last observations of a series with the forecast that stood for each.

        Returns:
            A row for each, oldest first: `unique_id`, `step`, `ds`, `y`, `mark` (`observed`,
            `after-gap` or `filled`), `mean`, `lo_80`, `hi_80` for each level that is kept, and the
            model's covariates under their names; one that is called as a column before it is
            `x.mean`, say.

        Raises:
            NotFoundError: If there is no such series.
        """
        from stepcast.client import frames

        path = f"{_path(unique_id)}/history"
        return frames.frame_of_past((yield from self._get(Past, path, limit=limit, **self._model)))

    # One series

    def observe_one(
        self,
        unique_id: str,
        y: float | None,
        ds: Time | None = None,
        *,
        x: Mapping[str, Value] | None = None,
        expected_step: int | None = None,
        correct: bool = False,
    ) -> Plan[Observed]:
        """Take one observation, and return the forecast of the next.

        Where no answer came, the service may have taken it or not. With `ds` it is sent again: the
        service knows what it has taken already, and answers `duplicate`. With `expected_step`
        alone it is sent again too, and cannot be taken twice; but if the first was taken, this ends
        in `PreconditionFailedError` with `attempts` above 1 and a `problem.step` one further. With
        neither, sent again it could count twice: it is not, and this ends in `UnavailableError`.
        `status` then says how far the series is.

        Args:
            unique_id: The series; a new one begins with this.
            y: The value; None or NaN where it is missing.
            ds: Its time.
            x: The model's covariates by name, all of them; static ones once are enough.
            expected_step: Refuse it unless the series is at this step.
            correct: Replace the value of the past observation at `ds`.

        Raises:
            ConflictError: If it does not come next; `problem` has the `step` and `ds` of the last.
            PreconditionFailedError: If the series is not at `expected_step`.
        """
        body = {"unique_id": unique_id, "y": _value(y)}
        known = None if x is None else {name: _value(value) for name, value in x.items()}
        body |= _given(ds=ds, x=known, expected_step=expected_step, correct=correct or None)
        is_repeatable = ds is not None or expected_step is not None
        return (yield from self._post(Observed, "/observe", body, is_repeatable))

    def forecast_one(
        self,
        unique_id: str,
        h: int = 1,
        level: Iterable[float] | None = None,
        *,
        quantiles: Iterable[float] = (),
        x_future: Mapping[str, Iterable[Value]] | None = None,
    ) -> Plan[Forecasted]:
        """Forecast the next `h` steps of a series. Nothing moves.

        Args:
            unique_id: The series.
            h: Steps ahead.
            level: Central intervals, in percent; those of the service by default.
            quantiles: Quantile levels.
            x_future: The covariates that the model knows ahead, by name: `h` values of each.
                Without it the last ones stand.

        Raises:
            NotFoundError: If there is no such series.
            ConflictError: If it has too few observations; `problem.missing` says how many.
        """
        body = {"unique_id": unique_id} | _ask(h, level, quantiles)
        body |= _given(x_future=_columns("x_future", x_future))
        return (yield from self._post(Forecasted, "/forecast", body))

    def forecast_values(
        self,
        y: Iterable[float | None],
        ds: Iterable[Time] | None = None,
        *,
        x: Mapping[str, Iterable[Value]] | None = None,
        h: int = 1,
        level: Iterable[float] | None = None,
        quantiles: Iterable[float] = (),
        season: Season | None = None,
        x_future: Mapping[str, Iterable[Value]] | None = None,
    ) -> Plan[Forecasted]:
        """Forecast what follows a history that is sent along. Nothing is kept.

        `x` has, by name, a value of each covariate for each `y`; `x_future` those that the model
        knows ahead, for each of the `h` steps.
        """
        body = _history(y, ds, x, season) | _ask(h, level, quantiles)
        body |= _given(x_future=_columns("x_future", x_future))
        return (yield from self._post(Forecasted, "/forecast", body))

    def seed_one(
        self,
        unique_id: str,
        y: Iterable[float | None] | None = None,
        ds: Iterable[Time] | None = None,
        *,
        x: Mapping[str, Iterable[Value]] | None = None,
        season: Season | None = None,
        copy_from: str | None = None,
        from_training: bool = False,
    ) -> Plan[Seeded]:
        """Begin a series anew: with a history, as a copy of another, or where training left it.

        Give one of `y`, `copy_from` and `from_training`. With `y` may come its times, its season,
        and in `x` a value of each covariate for each of its values. Where no answer came, this is
        sent again; what others observed of the series in between is then gone with what was before.

        Raises:
            ConflictError: If the history is not in order, or the series was observed meanwhile.
        """
        body = {"unique_id": unique_id} | _given(copy_from=copy_from)
        body |= _given(**{"from": "training" if from_training else None})
        body |= _history(y, ds, x, season)
        return (yield from self._post(Seeded, "/seed-state", body))

    def reset(self, unique_id: str) -> Plan[None]:
        """Zero the recurrent state of a series. Its last values stay.

        Raises:
            NotFoundError: If there is no such series.
        """
        yield from self._post(Reset, "/reset-state", {"unique_id": unique_id})

    def reset_all(self) -> Plan[int]:
        """Zero the recurrent state of every series of the model, and return how many there are."""
        return (yield from self._post(Reset, "/reset-state", {"all": True})).reset

    def status(self, unique_id: str) -> Plan[SeriesStatus]:
        """Return where a series stands: its cursor, the next forecast, its running scores.

        Raises:
            NotFoundError: If there is no such series.
        """
        return (yield from self._get(SeriesStatus, _path(unique_id), **self._model))

    def series(self, *, prefix: str = "", after: str = "", limit: int = 100) -> Plan[SeriesPage]:
        """Return a page of series in the order of their names.

        Args:
            prefix: How their names begin.
            after: `after` of the page before.
            limit: How many; 1000 at most.
        """
        query = {"prefix": prefix, "after": after, "limit": limit} | self._model
        return (yield from self._get(SeriesPage, "/series", **query))

    def delete(self, unique_id: str) -> Plan[None]:
        """Forget a series.

        Raises:
            NotFoundError: If there is no such series.
        """
        request = Request("DELETE", _path(unique_id), params=self._model)
        try:
            yield from send(request, self._retries)
        except NotFoundError as error:
            # Sent again, it finds nothing where the first one was carried out.
            kind = None if error.problem is None else error.problem.type
            if error.attempts == 1 or kind != _UNKNOWN_SERIES:
                raise

    def get_state(self, unique_id: str) -> Plan[dict[str, Any]]:
        """Return the state of a series as a document of JSON, for another service to go on with.

        Raises:
            NotFoundError: If there is no such series.
        """
        path = f"{_path(unique_id)}/state"
        return (yield from self._get(State, path, **self._model)).root

    def put_state(self, unique_id: str, state: Mapping[str, Any]) -> Plan[Seeded]:
        """Begin a series anew with a state that `get_state` returned, here or elsewhere.

        It goes to the model that the client asks for, or else to the one that the state names.

        Raises:
            ConflictError: If another model made it.
            InvalidError: If it is damaged.
        """
        content = _json({**state, **self._model})
        request = Request("PUT", f"{_path(unique_id)}/state", content=content)
        return (yield from _answer(Seeded, request, self._retries))

    # The service

    def models(self) -> Plan[Models]:
        """Return the manifests of the loaded models, and which is the default."""
        return (yield from self._get(Models, "/models"))

    def health(self) -> Plan[Health]:
        """Return the models that the service is ready to serve. This is never sent again.

        Raises:
            UnavailableError: If it is not ready, or does not answer.
        """
        return (yield from _answer(Health, Request("GET", "/health/ready"), Retries(times=0)))

    def _get(self, kind: type[A], path: str, **params: Any) -> Plan[A]:
        return (yield from _answer(kind, Request("GET", path, params), self._retries))

    def _post(
        self, kind: type[A], path: str, body: dict[str, Any], is_repeatable: bool = True
    ) -> Plan[A]:
        content = _json(body | self._model)
        request = Request("POST", path, content=content, is_repeatable=is_repeatable)
        return (yield from _answer(kind, request, self._retries))

    def _table(
        self, path: str, body: dict[str, Any], is_repeatable: bool = True
    ) -> Plan["Columns"]:
        return (yield from self._post(Table, path, body, is_repeatable)).root


def _answer(kind: type[A], request: Request, retries: Retries) -> Plan[A]:
    response = yield from send(request, retries)
    try:
        return kind.model_validate_json(response.content)
    except ValidationError as error:
        raise StepcastError(
            f"{request.method} {request.path}: this is no answer of Stepcast's: "
            f"{error.errors()[0]['msg']}"
        ) from error


def _path(unique_id: str) -> str:
    """Return the path of a series; `.` and `..` alone would be taken for steps of the path."""
    return f"/series/{quote(unique_id, safe='').replace('.', '%2E')}"


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _ask(h: int, level: Iterable[float] | None, quantiles: Iterable[float]) -> dict[str, Any]:
    told = None if level is None else list(level)
    return _given(h=h, level=told, quantiles=list(quantiles))


def _history(
    y: Iterable[float | None] | None,
    ds: Iterable[Time] | None,
    x: Mapping[str, Iterable[Value]] | None,
    season: Season | None,
) -> dict[str, Any]:
    values = None if y is None else [_value(one) for one in y]
    times = None if ds is None else list(ds)
    return _given(y=values, ds=times, x=_columns("x", x), season=season)


def _columns(field: str, x: Mapping[str, Iterable[Value]] | None) -> dict[str, list[Value]] | None:
    if x is None:
        return None
    for name, values in x.items():
        if isinstance(values, str) or not isinstance(values, Iterable):
            raise InvalidError(
                f"{field}.{name}: expected a list of values, one for each step, found {values!r}"
            )
    return {name: [_value(one) for one in values] for name, values in x.items()}


def _value(value: Value) -> Value:
    if isinstance(value, Real | Decimal):
        return None if math.isnan(value) else value
    return None if repr(value) == "<NA>" else value  # of pandas, which is not imported for this


def _part(table: dict[str, Any], rows: Sequence[int]) -> dict[str, Any]:
    """Return some rows of a table; those of covariates are columns by name."""
    return {
        name: _part(column, rows) if isinstance(column, dict) else [column[row] for row in rows]
        for name, column in table.items()
    }


def _json(body: dict[str, Any]) -> bytes:
    """Return a body as JSON. Infinities go along, for the service to say which they are.

    Raises:
        InvalidError: If it holds what JSON cannot.
    """
    try:
        return json.dumps(body, default=_plain).encode()
    except TypeError as error:
        raise InvalidError(str(error)) from error


def _plain(value: Any) -> Any:
    """Return a time as text, and a number of NumPy's as Python's own."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real | Decimal):
        return float(value)
    if type(value).__name__ == "datetime64":  # of NumPy, which is not imported for this
        return _DIGITS_OF_NOTHING.sub("", str(value))
    raise TypeError(f"{value!r} cannot be sent: expected a number, text, or a time")


def _whole_series(ids: list[Any], most: int) -> Iterator[list[int]]:
    """Yield the numbers of the rows of series, so many rows at once, no series in two parts."""
    places: dict[Any, list[int]] = defaultdict(list)
    for row, unique_id in enumerate(ids):
        places[unique_id].append(row)
    part: list[int] = []
    for rows in places.values():
        if part and len(part) + len(rows) > most:
            yield part
            part = []
        part += rows
    if part:
        yield part

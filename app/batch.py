"""Many observations, forecasts or histories in one call: columns in, columns out.

A row that cannot be taken gets a status and a detail of its own and changes nothing. The rows of a
series are taken in order. Work is done in blocks, between which other callers have their turn.
"""

import asyncio
from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.answers import Ask
from app.errors import NOT_VALID, document_of, slug
from app.intake import BLOCK, NO_NAME, Rows
from app.service import ForecastService, History, in_slices, moved
from app.store.protocol import Unreadable
from forecaster.calendar import Clock, format_times
from forecaster.covariates import Value
from forecaster.errors import (
    ForecastError,
    SeriesNotFoundError,
    SeriesNotWarmError,
    StoreError,
    StoreUnavailableError,
)
from forecaster.forecaster import Forecaster
from forecaster.journal import Season

Records = NDArray[np.void]
Columns = dict[str, list[Any]]

# Histories looked at between two turns of other callers.
_CHECKED_AT_ONCE = 128


class _Answer:
    """The columns of an answer, filled block by block."""

    def __init__(self, ids: list[str], ask: Ask) -> None:
        count = len(ids)
        self._ids, self._ask = ids, ask
        self.status = ["applied"] * count
        self.detail: list[str | None] = [None] * count
        self._step = np.zeros(count, np.int64)
        self._ds = np.zeros(count, np.int64)
        self._clocks = np.zeros(count, np.uint8)
        self._error = np.full(count, np.nan)
        self._values = np.full((1 + len(ask.levels), count), np.nan)
        self._refused: list[int] = []

    def refuse(self, row: int, status: str, detail: str) -> None:
        """Say why a row was not taken."""
        self.status[row], self.detail[row] = status, detail
        self._refused.append(row)

    def take(self, rows: NDArray[np.intp], records: Records, forecaster: Forecaster) -> None:
        """Note where series stand after their rows."""
        self._step[rows] = records["step"]
        self._ds[rows] = records["ds"]
        self._clocks[rows] = records["clock"]
        self._error[rows] = records["error"]
        warm = records["step"] >= forecaster.context
        if not warm.all():
            rows, records = rows[warm], records[warm]
        forecast = forecaster.forecast(records, levels=self._ask.levels)
        self._values[0, rows] = forecast.mean[:, 0]
        self._values[1:, rows] = forecast.quantiles[:, 0].T

    def columns(self, *, with_error: bool) -> Columns:
        """Return them all; NaN is written as null."""
        ids: list[str | None] = [*self._ids]
        steps: list[int | None] = [*self._step.tolist()]
        for row in self._refused:
            self._error[row] = np.nan
            steps[row] = steps[row] or None
            if self._ids[row].startswith(NO_NAME):
                ids[row] = None
        found: Columns = {
            "unique_id": ids,
            "step": steps,
            "ds": format_times(self._ds, self._clocks),
            "status": self.status,
        }
        if with_error:
            found["error"] = self._error.tolist()
        found["mean"] = self._values[0].tolist()
        for name, values in zip(self._ask.columns, self._values[1:], strict=True):
            found[name] = values.tolist()
        return found | {"detail": self.detail}


async def observe(service: ForecastService, rows: Rows, ask: Ask) -> Columns:
    """Take every row that can be taken, as `ForecastService.observe` would one by one."""
    answer = _Answer(rows.ids, ask)
    for row, fault in rows.faults.items():
        answer.refuse(row, NOT_VALID, fault)
    lost: StoreError | None = None
    count = 0
    async for taken in service.intake.take(rows):
        if service.feed.listeners:
            service.tell(rows, taken)
        answer.take(taken.rows, taken.records, service.model.forecaster)
        for row, outcome in taken.outcomes.items():
            if isinstance(outcome, ForecastError):
                answer.refuse(row, slug(outcome), _detail(outcome))
                if isinstance(outcome, StoreUnavailableError):
                    lost, count = outcome, count + 1
            else:
                answer.status[row] = outcome
        await asyncio.sleep(0)
    if lost is not None and count == len(rows.ids) - len(rows.faults):
        raise lost  # nothing moved
    return answer.columns(with_error=True)


def read_ahead(
    service: ForecastService,
    given: dict[str, list[Value]] | None,
    count: int,
    ask: Ask,
) -> tuple[NDArray[np.float64] | None, dict[int, str]]:
    """Read what is known ahead of `ask.h` steps of so many series, one after the other.

    Returns:
        Values of shape `(count, ask.h, covariates)`, and what is wrong with those of a series, by
        its number; no values if nothing is given.

    Raises:
        InvalidRequestError: If the names are not those of what the model knows ahead.
    """
    if given is None:
        return None, {}
    values, misread = service.covariates.read(given, count * ask.h, ahead=True)
    faults: dict[int, str] = {}
    for row, told in misread.items():
        faults.setdefault(row // ask.h, f"{told}, in step {row % ask.h + 1}")
    return values.reshape(count, ask.h, -1), faults


async def forecast(
    service: ForecastService,
    ids: list[str],
    faults: dict[int, str],
    ask: Ask,
    x: NDArray[np.float64] | None = None,
) -> Columns:
    """Forecast `ask.h` steps of every series: `h` rows for each, in the order of `ids`.

    `x` is what is known ahead of them, shape `(series, h, covariates)`.
    """
    forecaster, h = service.model.forecaster, ask.h
    shape = (len(ids), h)
    mean = np.full(shape, np.nan)
    quantiles = np.full((len(ask.levels), *shape), np.nan)
    step, ds = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    clocks = np.zeros(shape, np.uint8)
    status, detail = np.full(len(ids), "ok", object), np.full(len(ids), None, object)
    for start in range(0, len(ids), BLOCK):
        block = slice(start, start + BLOCK)
        unreadable: Unreadable = {}
        records = await service.store.read(ids[block], unreadable=unreadable)
        steps = records["step"]
        for at in np.flatnonzero(steps < forecaster.context).tolist():
            error = unreadable.get(ids[start + at]) or _unready(
                ids[start + at], int(steps[at]), forecaster.context
            )
            status[start + at], detail[start + at] = slug(error), _detail(error)
        is_valid = np.ones(len(steps), np.bool_)
        for number, fault in faults.items():
            if start <= number < start + len(steps):
                status[number], detail[number] = NOT_VALID, fault
                is_valid[number - start] = False
        ready = np.flatnonzero((steps >= forecaster.context) & is_valid)
        rows = start + ready
        known = None if x is None else x[rows]
        work = forecaster.forecasting(records[ready], h, ask.levels, x=known)
        found = await in_slices(work)
        mean[rows] = found.mean
        quantiles[:, rows] = found.quantiles.transpose(2, 0, 1)
        ahead = np.arange(1, h + 1)
        step[rows] = steps[ready, None] + ahead
        if service.freq is not None:
            clocks[rows] = np.where(records["clock"] == service.freq.clock, records["clock"], 0)[
                ready, None
            ]
            for t in ahead.tolist():
                ds[rows, t - 1] = service.freq.advance(records["ds"][ready], t)
        await asyncio.sleep(0)
    columns: Columns = {
        "unique_id": [
            None if number in faults and name.startswith(NO_NAME) else name
            for number, name in enumerate(ids)
            for _ in range(h)
        ],
        "step": [at or None for at in step.ravel().tolist()],
        "ds": format_times(ds.ravel(), clocks.ravel()),
        "status": np.repeat(status, h).tolist(),
        "mean": mean.ravel().tolist(),
    }
    for name, values in zip(ask.columns, quantiles, strict=True):
        columns[name] = values.ravel().tolist()
    return columns | {"detail": np.repeat(detail, h).tolist()}


async def seed(
    service: ForecastService, rows: Rows, ask: Ask, season: Season | None = None
) -> Columns:
    """Begin every series anew with its rows; the answer has a row a series.

    The season is that of all of them; without it, the times of each tell it.
    A series with a row that cannot be taken is left as it was.
    """
    forecaster = service.model.forecaster
    places: dict[str, list[int]] = defaultdict(list)
    for row, unique_id in enumerate(rows.ids):
        places[unique_id].append(row)
    ids = list(places)
    answer = _Answer(ids, ask)
    histories: dict[int, History] = {}
    for number, unique_id in enumerate(ids):
        if number % _CHECKED_AT_ONCE == 0:
            await asyncio.sleep(0)
        at = places[unique_id]
        fault = next((row for row in at if row in rows.faults), None)
        if fault is not None:
            answer.refuse(number, NOT_VALID, f"row {fault}: {rows.faults[fault]}")
            continue
        clocks = rows.clocks[at]
        if (clocks != clocks[0]).any():
            answer.refuse(number, NOT_VALID, "ds: expected times of one kind")
            continue
        try:
            clock, x = Clock(int(clocks[0])), None if rows.x is None else rows.x[at]
            history = History(rows.y[at], rows.ds[at], clock, season=season, x=x)
            histories[number] = service.checked(history)
        except ForecastError as error:
            answer.refuse(number, slug(error), str(error))
    numbers = list(histories)
    names = [ids[number] for number in numbers]
    before = await service.seen(names)
    entries = np.concatenate(
        [
            np.empty(0, forecaster.entry),
            *(histories[number].entries(forecaster.entry, at) for at, number in enumerate(numbers)),
        ]
    )
    new = forecaster.new(len(numbers))
    records = await in_slices(forecaster.replaying(new, entries))
    ends = np.searchsorted(entries["series"], np.arange(len(numbers) + 1))
    for start in range(0, len(numbers), BLOCK):
        part = slice(start, start + BLOCK)
        block = np.array(numbers[part], np.intp)
        past = entries[ends[start] : ends[min(start + BLOCK, len(numbers))]].copy()
        past["series"] -= start
        try:
            put = await service.put(
                names[part], records[part], past, before.part(start, start + BLOCK)
            )
        except StoreError as error:
            if isinstance(error, StoreUnavailableError) and start == 0:
                raise  # nothing moved
            for number in block.tolist():
                answer.refuse(number, slug(error), str(error))
            continue
        answer.take(block[put], records[part][put], forecaster)
        for left in np.flatnonzero(~put).tolist():
            refusal = moved(before.records[part][left : left + 1])
            answer.refuse(int(block[left]), slug(refusal), str(refusal))
        await asyncio.sleep(0)
    return answer.columns(with_error=False)


def _detail(error: ForecastError) -> str:
    """Return what a row is told; what is the service's own fault is told in the log."""
    return str(document_of(error)["detail"]) if isinstance(error, StoreError) else str(error)


def _unready(unique_id: str, step: int, context: int) -> ForecastError:
    if step == 0:
        return SeriesNotFoundError(unique_id)
    return SeriesNotWarmError(step=step, missing=context - step)

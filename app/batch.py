"""Many observations, forecasts or histories in one call: columns in, columns out.

A row that cannot be taken gets a status and a detail of its own and changes nothing. The rows of a
series are taken in order. Work is done in blocks, between which other callers have their turn.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import slug
from app.service import Ask, ForecastService, History
from forecaster.calendar import Clock, Times, format_times
from forecaster.cursor import comes_next
from forecaster.errors import ForecastError, SeriesNotFoundError, SeriesNotWarmError
from forecaster.forecaster import LARGEST_VALUE, Forecaster

Records = NDArray[np.void]
Columns = dict[str, list[Any]]

# Series taken at once: a few milliseconds of work.
_BLOCK = 2048

NOT_VALID = "not-valid"


@dataclass(frozen=True)
class Rows:
    """Observations of any series.

    Args:
        ids: The series of each row.
        y: The values, NaN where one is missing.
        ds: Their times; zero without a clock.
        clocks: What each `ds` counts.
        faults: What is wrong with a row, by its number; such a row is not taken.
    """

    ids: list[str]
    y: NDArray[np.float64]
    ds: Times
    clocks: NDArray[np.uint8]
    faults: dict[int, str]


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

    def refuse(self, row: int, status: str, detail: str) -> None:
        """Say why a row was not taken."""
        self.status[row], self.detail[row] = status, detail

    def take(self, rows: NDArray[np.intp], records: Records, forecaster: Forecaster) -> None:
        """Note where series stand after their rows."""
        self._step[rows] = records["step"]
        self._ds[rows] = records["ds"]
        self._clocks[rows] = records["clock"]
        self._error[rows] = records["error"]
        warm = records["step"] >= forecaster.context
        forecast = forecaster.forecast(records[warm], levels=self._ask.levels)
        self._values[0, rows[warm]] = forecast.mean[:, 0]
        self._values[1:, rows[warm]] = forecast.quantiles[:, 0].T

    def columns(self, *, with_error: bool) -> Columns:
        """Return them all; NaN is written as null."""
        steps = [
            None if status == NOT_VALID else step
            for step, status in zip(self._step.tolist(), self.status, strict=True)
        ]
        found: Columns = {
            "unique_id": self._ids,
            "step": steps,
            "ds": format_times(self._ds, self._clocks),
            "status": self.status,
        }
        if with_error:
            for row, status in enumerate(self.status):
                if status not in ("applied", "duplicate"):
                    self._error[row] = np.nan
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
    for block in _blocks(rows.ids, rows.faults):

        def change(
            records: Records, block: NDArray[np.intp] = block
        ) -> tuple[Records, tuple[Records, dict[int, str | ForecastError]]]:
            new, outcomes = _observe_block(service, records, rows, block)
            return new, (new, outcomes)

        ids = [rows.ids[row] for row in block.tolist()]
        records, outcomes = await service.store.update(ids, change)
        answer.take(block, records, service.model.forecaster)
        for row, outcome in outcomes.items():
            if isinstance(outcome, str):
                answer.status[row] = outcome
            else:
                answer.refuse(row, slug(outcome), str(outcome))
        await asyncio.sleep(0)
    return answer.columns(with_error=True)


def _observe_block(
    service: ForecastService, records: Records, rows: Rows, block: NDArray[np.intp]
) -> tuple[Records, dict[int, str | ForecastError]]:
    """Return new records and what became of the rows that did not plainly come next.

    Most rows do, and are stepped together. The others are asked one by one: they may be duplicates,
    gaps, or refused.
    """
    forecaster = service.model.forecaster
    y, ds, clocks = rows.y[block], rows.ds[block], rows.clocks[block]
    plain = comes_next(records, ds, clocks, freq=service.freq)
    plain &= np.where(np.isnan(y), records["step"] >= forecaster.context, np.abs(y) < LARGEST_VALUE)
    if plain.all():
        return forecaster.observe(records, y, ds, clocks), {}
    new = records.copy()
    new[plain] = forecaster.observe(records[plain], y[plain], ds[plain], clocks[plain])
    outcomes: dict[int, str | ForecastError] = {}
    for at in np.flatnonzero(~plain).tolist():
        row = int(block[at])
        try:
            new[at : at + 1], outcomes[row] = service.take(
                records[at : at + 1], float(y[at]), int(ds[at]), Clock(int(clocks[at]))
            )
        except ForecastError as error:
            outcomes[row] = error
    return new, outcomes


async def forecast(service: ForecastService, ids: list[str], ask: Ask) -> Columns:
    """Forecast `ask.h` steps of every series: `h` rows for each, in the order of `ids`."""
    forecaster, h = service.model.forecaster, ask.h
    shape = (len(ids), h)
    mean = np.full(shape, np.nan)
    quantiles = np.full((len(ask.levels), *shape), np.nan)
    step, ds = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    clocks = np.zeros(shape, np.uint8)
    status, detail = np.full(len(ids), "ok", object), np.full(len(ids), None, object)
    for start in range(0, len(ids), _BLOCK):
        block = slice(start, start + _BLOCK)
        records = await service.store.read(ids[block])
        steps = records["step"]
        for at in np.flatnonzero(steps < forecaster.context).tolist():
            error = _unready(ids[start + at], int(steps[at]), forecaster.context)
            status[start + at], detail[start + at] = slug(error), str(error)
        ready = np.flatnonzero(steps >= forecaster.context)
        rows = start + ready
        if h == 1:
            found = forecaster.forecast(records[ready], 1, ask.levels)
        else:  # a pure function of copies, and long
            found = await asyncio.to_thread(forecaster.forecast, records[ready], h, ask.levels)
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
        "unique_id": np.repeat(np.array(ids, object), h).tolist(),
        "step": [at or None for at in step.ravel().tolist()],
        "ds": format_times(ds.ravel(), clocks.ravel()),
        "status": np.repeat(status, h).tolist(),
        "mean": mean.ravel().tolist(),
    }
    for name, values in zip(ask.columns, quantiles, strict=True):
        columns[name] = values.ravel().tolist()
    return columns | {"detail": np.repeat(detail, h).tolist()}


async def seed(service: ForecastService, rows: Rows, ask: Ask) -> Columns:
    """Begin every series anew with its rows; the answer has a row a series.

    A series with a row that cannot be taken is left as it was.
    """
    places: dict[str, list[int]] = defaultdict(list)
    for row, unique_id in enumerate(rows.ids):
        places[unique_id].append(row)
    ids = list(places)
    answer = _Answer(ids, ask)
    histories: dict[int, History] = {}
    for number, unique_id in enumerate(ids):
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
            history = History(rows.y[at], rows.ds[at], Clock(int(clocks[0])))
            histories[number] = service.checked(history)
        except ForecastError as error:
            answer.refuse(number, slug(error), str(error))
    for clock in Clock:
        numbers = [number for number, one in histories.items() if one.clock is clock]
        if not numbers:
            continue
        records = await asyncio.to_thread(
            service.model.forecaster.seed,
            [histories[number].y for number in numbers],
            None if clock is Clock.NONE else [histories[number].ds for number in numbers],
            clock,
        )
        for start in range(0, len(numbers), _BLOCK):
            block = np.array(numbers[start : start + _BLOCK], np.intp)
            seeded = records[start : start + _BLOCK]
            await service.put([ids[number] for number in block.tolist()], seeded)
            answer.take(block, seeded, service.model.forecaster)
            await asyncio.sleep(0)
    return answer.columns(with_error=False)


def _unready(unique_id: str, step: int, context: int) -> ForecastError:
    if step == 0:
        return SeriesNotFoundError(unique_id)
    return SeriesNotWarmError(step=step, missing=context - step)


def _blocks(ids: list[str], faults: dict[int, str]) -> Iterator[NDArray[np.intp]]:
    """Yield the numbers of the rows that may be taken, in blocks in which no series is twice.

    The first rows of all series come before their second rows, and so on.
    """
    occurrence = np.zeros(len(ids), np.int64)
    if len(set(ids)) < len(ids):
        seen: dict[str, int] = {}
        for row, unique_id in enumerate(ids):
            occurrence[row] = seen.get(unique_id, 0)
            seen[unique_id] = int(occurrence[row]) + 1
    takable = np.ones(len(ids), np.bool_)
    takable[list(faults)] = False
    rows = np.argsort(occurrence, kind="stable")
    rows = rows[takable[rows]]
    for one in np.split(rows, np.flatnonzero(np.diff(occurrence[rows])) + 1):
        for start in range(0, len(one), _BLOCK):
            yield one[start : start + _BLOCK]

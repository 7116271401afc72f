"""How observations are taken: in order per series, many series at once.

Every observation goes this way, whether it came alone or in a batch. Most plainly come next and are
stepped together; the others are looked at one by one, for they may be duplicates, gaps, or refused.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from app.store.protocol import Changed, SeriesStore, Unreadable
from app.tally import Tally
from forecaster.calendar import Clock, Freq, Times, format_ds
from forecaster.cursor import OnGap, comes_next, place
from forecaster.errors import (
    ConflictError,
    ForecastError,
    InvalidRequestError,
    OutOfOrderError,
    SeriesNotFoundError,
    SeriesNotWarmError,
    StepMismatchError,
    StoreError,
    StoreFullError,
)
from forecaster.forecaster import Forecaster, check_values
from forecaster.journal import NO_SEASON, Entries, Mark, Season, observed
from forecaster.spec import LARGEST_VALUE

Records = NDArray[np.void]
Indices = NDArray[np.intp]
Floats = NDArray[np.float64]
Status = Literal["applied", "duplicate"]

# Series stepped at once: a few milliseconds, after which other callers have their turn.
BLOCK = 2048

# Blocks of a call that are on their way to the store at once.
_AHEAD = 4

# No step is expected.
ANY_STEP = -1

# Begins what stands for a name that was none. No name holds it.
NO_NAME = "\0"


@dataclass(frozen=True)
class Rows:
    """Observations of any series, those of one series in order.

    Args:
        ids: The series of each row.
        y: The values, NaN where one is missing.
        ds: Their times; zero without a clock.
        clocks: What each `ds` counts.
        expected_steps: The step that each series must be at, or `ANY_STEP`.
        faults: What is wrong with a row, by its number; such a row is not taken.
        x: The covariates of each row, shape `(rows, covariates)`, NaN where one is missing; none
            by default.
    """

    ids: list[str]
    y: NDArray[np.float64]
    ds: Times
    clocks: NDArray[np.uint8]
    expected_steps: NDArray[np.int64]
    faults: dict[int, str] = field(default_factory=dict)
    x: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Taken:
    """What became of some rows, no two of them of one series.

    Args:
        rows: Their numbers.
        records: The records of their series after them.
        last: The value of each series before; NaN where the row was not applied.
        outcomes: Those that were not simply applied, by the row's number.
    """

    rows: Indices
    records: Records
    last: Floats
    outcomes: dict[int, Status | ForecastError]


class Intake:
    """Takes observations into a store.

    Args:
        forecaster: Steps the records.
        store: Keeps them.
        freq: The distance between observations, if the model knows it.
        on_gap: What becomes of an observation that leaves steps out.
        season: The season of new series.
    """

    def __init__(
        self,
        forecaster: Forecaster,
        store: SeriesStore,
        *,
        freq: Freq | None,
        on_gap: OnGap,
        season: Season = NO_SEASON,
    ) -> None:
        self._forecaster = forecaster
        self._store = store
        self._freq = freq
        self._on_gap = on_gap
        self._season = season
        self.tally = Tally()

    async def take(self, rows: Rows) -> AsyncIterator[Taken]:
        """Take all rows that can be taken, block by block.

        A row that cannot be taken changes nothing. The first rows of all series come before their
        second rows, and so on. While the store makes a block durable, the next are stepped.
        """
        if rows.faults:
            self.tally.add_invalid(len(rows.faults))
        todo = blocks(rows)
        first = next(todo, None)
        if first is None:
            return
        second = next(todo, None)
        if second is None:
            yield await self._take(rows, first)
            return
        ahead = deque([asyncio.create_task(self._take(rows, block)) for block in (first, second)])
        for block in todo:
            if len(ahead) == _AHEAD:
                yield await ahead.popleft()
            ahead.append(asyncio.create_task(self._take(rows, block)))
        while ahead:
            yield await ahead.popleft()

    async def _take(self, rows: Rows, block: Indices) -> Taken:
        taken = await self._try(rows, block)
        self.tally.add(taken.rows, taken.records, taken.last, taken.outcomes)
        return taken

    async def _try(self, rows: Rows, block: Indices) -> Taken:
        ids = [rows.ids[row] for row in block.tolist()]
        unreadable: Unreadable = {}

        def change(records: Records) -> Changed[tuple[Taken, dict[int, int]]]:
            readable = block
            if unreadable:
                readable = block[[one not in unreadable for one in ids]]
            outcomes, entries, last = self._step(records, rows, readable)
            taken = Taken(readable, records, last, outcomes)
            beginnings = {
                at: self._store.beginning(rows.ids[readable[at]]) for at in _late(rows, taken)
            }
            return Changed(records, (taken, beginnings), entries)

        try:
            taken, beginnings = await self._store.update(ids, change, unreadable=unreadable)
        except StoreError as error:
            nothing = self._forecaster.new(len(block))
            outcomes: dict[int, Status | ForecastError] = dict.fromkeys(block.tolist(), error)
            return Taken(block, nothing, _unknown(len(block)), outcomes)
        if beginnings:
            taken = await self._look_back(rows, taken, beginnings)
        if not unreadable:
            return taken
        lost = np.array([row for row in block.tolist() if rows.ids[row] in unreadable], np.intp)
        return Taken(
            np.concatenate([taken.rows, lost]),
            np.concatenate([taken.records, self._forecaster.new(len(lost))]),
            np.concatenate([taken.last, _unknown(len(lost))]),
            taken.outcomes | {row: unreadable[rows.ids[row]] for row in lost.tolist()},
        )

    async def _look_back(self, rows: Rows, taken: Taken, beginnings: dict[int, int]) -> Taken:
        """Answer rows that are older than their series' cursor by what is kept of its past.

        What was observed already is a duplicate, or a conflict if it had another value. What is not
        kept stays refused.

        Args:
            rows: The rows.
            taken: What became of some of them.
            beginnings: The number of their series' beginnings, by the place of the row in `taken`.
        """
        records, last = taken.records.copy(), taken.last.copy()
        outcomes = dict(taken.outcomes)
        for at, beginning in beginnings.items():
            row = int(taken.rows[at])
            unique_id, ds, y = rows.ids[row], rows.ds[row], rows.y[row]
            try:
                past = await self._store.history(unique_id)
            except InvalidRequestError:
                break  # this store keeps none
            except SeriesNotFoundError:
                past = None
            except StoreError as error:
                outcomes[row] = error
                continue
            if past is None or self._store.beginning(unique_id) != beginning:
                # It is another series now, of which the row may be the next.
                again = await self._try(rows, taken.rows[at : at + 1])
                records[at], last[at] = again.records[0], again.last[0]
                del outcomes[row]
                outcomes |= again.outcomes
                continue
            is_observed = (past["mark"] != Mark.RESET) & (past["mark"] != Mark.FILLED)
            found = past["y"][is_observed & (past["ds"] == ds)]
            if len(found):
                is_same = found[-1] == y or (np.isnan(found[-1]) and np.isnan(y))
                outcomes[row] = "duplicate" if is_same else _conflict(records[at])
        return Taken(taken.rows, records, last, outcomes)

    def _step(
        self, records: Records, rows: Rows, block: Indices
    ) -> tuple[dict[int, Status | ForecastError], Entries, Floats]:
        """Step records in place.

        Returns:
            What became of rows that were not simply applied, the entries of those that were, and
            the value of each series before.
        """
        y, ds, clocks = rows.y[block], rows.ds[block], rows.clocks[block]
        expected = rows.expected_steps[block]
        x, entry = None if rows.x is None else rows.x[block], self._forecaster.entry
        plain = comes_next(records, ds, clocks, freq=self._freq)
        plain &= (expected == ANY_STEP) | (expected == records["step"])
        can_be = np.abs(y) <= LARGEST_VALUE  # which NaN is not: it needs a forecast in its place
        if not can_be.all():
            can_be |= np.isnan(y) & (records["step"] >= self._forecaster.context)
        plain &= can_be
        new = records["step"] == 0
        if new.any():
            records["season"][new] = self._season
        if plain.all() and (not new.any() or np.count_nonzero(new) <= self._store.room):
            last = records["y"].copy()
            self._forecaster.observe_in_place(records, y, ds, clocks, x)
            return {}, observed(records, np.arange(len(block)), entry, x), last
        outcomes: dict[int, Status | ForecastError] = {}
        missing = np.zeros(len(block), np.int64)  # steps to fill before a row
        marks = np.full(len(block), Mark.OBSERVED, np.uint8)
        takes = plain.copy()
        for at in np.flatnonzero(~plain).tolist():
            try:
                fill = self._place(records[at], y[at], ds[at], clocks[at], expected[at])
            except ForecastError as error:
                outcomes[int(block[at])] = error
                continue
            if fill is None:
                outcomes[int(block[at])] = "duplicate"
                continue
            takes[at], missing[at] = True, fill
            if not fill and self._is_after_gap(records[at], ds[at]):
                marks[at] = Mark.AFTER_GAP
        for at in np.flatnonzero(takes & new)[max(self._store.room, 0) :].tolist():
            takes[at] = False
            outcomes[int(block[at])] = full()
        entries = [np.empty(0, entry)]
        for number in range(int(missing.max(initial=0))):
            some = np.flatnonzero(missing > number)
            filled = records[some]
            assert self._freq is not None
            nothing = np.full(len(some), np.nan)
            times = self._freq.advance(filled["ds"])
            self._forecaster.observe_in_place(filled, nothing, times, filled["clock"])
            filled["mark"] = Mark.FILLED
            records[some] = filled
            entries.append(observed(filled, some, entry))
        some = np.flatnonzero(takes)
        stepped, now = records[some], None if x is None else x[some]
        last = _unknown(len(block))
        last[some] = stepped["y"]
        self._forecaster.observe_in_place(stepped, y[some], ds[some], clocks[some], now)
        stepped["mark"] = marks[some]
        records[some] = stepped
        entries.append(observed(stepped, some, entry, now))
        return outcomes, np.concatenate(entries), last

    def _is_after_gap(self, record: np.void, ds: np.int64) -> bool:
        if self._freq is None or not record["step"] or record["clock"] == Clock.NONE:
            return False
        return bool(self._freq.advance(np.array([record["ds"]]))[0] != ds)

    def _place(
        self, record: np.void, y: np.float64, ds: np.int64, clock: np.uint8, expected: np.int64
    ) -> int | None:
        """Return what `cursor.place` does, after checking that the value can be taken."""
        fill = place(
            record,
            float(y),
            int(ds),
            Clock(int(clock)),
            freq=self._freq,
            on_gap=self._on_gap,
            expected_step=None if expected == ANY_STEP else int(expected),
        )
        if fill is not None:
            step, context = int(record["step"]), self._forecaster.context
            if step < context and (fill or np.isnan(y)):
                raise SeriesNotWarmError(step=step, missing=context - step)
            check_values(np.array([y]))
        return fill


def _late(rows: Rows, taken: Taken) -> list[int]:
    """Return the places in `taken` of rows refused for coming after the cursor has passed them."""
    if not taken.outcomes:
        return []
    refused = [
        isinstance(taken.outcomes.get(row), OutOfOrderError | StepMismatchError)
        for row in taken.rows.tolist()
    ]
    places = np.flatnonzero(refused)
    some, records = taken.rows[places], taken.records[places]
    is_late = (records["step"] > 0) & (rows.ds[some] < records["ds"])
    is_late &= (rows.clocks[some] != Clock.NONE) & (rows.clocks[some] == records["clock"])
    late: list[int] = places[is_late].tolist()
    return late


def _conflict(record: np.void) -> ConflictError:
    return ConflictError(
        "this time was observed with another value",
        step=int(record["step"]),
        ds=format_ds(int(record["ds"]), int(record["clock"])),
    )


def _unknown(count: int) -> Floats:
    return np.full(count, np.nan)


def full() -> StoreFullError:
    """Return the refusal of a new series."""
    return StoreFullError(
        "the store keeps as many series as it may; delete some, or raise STEPCAST_MAX_SERIES"
    )


def blocks(rows: Rows) -> Iterator[Indices]:
    """Yield the numbers of the rows that may be taken, in blocks in which no series is twice."""
    takable = np.arange(len(rows.ids))
    if rows.faults:
        takable = np.delete(takable, list(rows.faults))
    rounds = [takable]
    if len(set(rows.ids)) < len(rows.ids):
        # Which of its series' rows each one is: the first, the second, ...
        seen: Counter[str] = Counter()
        turns = np.zeros(len(takable), np.int64)
        for at, row in enumerate(takable.tolist()):
            turns[at] = seen[rows.ids[row]]
            seen[rows.ids[row]] += 1
        order = np.argsort(turns, kind="stable")
        rounds = np.split(takable[order], np.flatnonzero(np.diff(turns[order])) + 1)
    for one in rounds:
        for start in range(0, len(one), BLOCK):
            yield one[start : start + BLOCK]

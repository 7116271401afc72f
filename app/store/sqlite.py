"""Records that outlive the process, in an SQLite file.

What happened is the truth. Each update appends its entries to the file's log and is answered when
they are durable; the records themselves, which are much larger, are written now and then, at a
checkpoint, together with each series' share of the log. What is found at a start is the records of
the last checkpoint, and the log since is replayed.

A change that is not durable yet is seen by later changes, which wait for it, and by no reader.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from sortedcontainers import SortedDict

from app.store.blob import seal, unseal
from app.store.cache import Cache
from app.store.database import Database, Statement
from app.store.memory import first_names
from app.store.protocol import Change, Changed, Page, Unreadable, UnreadableError
from forecaster.errors import ForecastError, SeriesNotFoundError, StoreDamagedError
from forecaster.journal import FIRST_POSITION, Entries, entry_dtype, merged, position

logger = logging.getLogger(__name__)

Records = NDArray[np.void]
Numbers = NDArray[np.int64]
T = TypeVar("T")

# Of no series, and of a series that has no number yet.
NONE = 0
_UNKNOWN = -1

# A checkpoint is due after so many entries at the latest: so much of the log is held in memory too.
_MOST_ENTRIES = 500_000

# After a checkpoint that failed, the next is not tried before.
_NEXT_TRY_SECONDS = 1.0

# Records written at once by a checkpoint or to make room: a few milliseconds of the writer.
_SLICE_BYTES = 1_000_000
_SLICE_SERIES = 512

# How much is let go of when room is made.
_SHARE_LET_GO = 0.1

# How long the last checkpoint may take. What it does not reach is replayed at the next start.
_CLOSING_SECONDS = 5.0

INSERT_SERIES = "INSERT INTO series (id, model, unique_id, step, record) VALUES (?, ?, ?, ?, ?)"
# None for a series that was deleted while its entries were packed.
INSERT_HISTORY = (
    "INSERT OR REPLACE INTO history (series, first, last, entries)"
    " SELECT ?1, ?2, ?3, ?4 WHERE EXISTS (SELECT 1 FROM series WHERE id = ?1)"
)
_INSERT_LOG = "INSERT INTO log (seq, model, entries) VALUES (?, ?, ?)"
_INSERT_BASE = (
    "INSERT OR REPLACE INTO bases (series, step, record)"
    " SELECT id, step, record FROM series WHERE id = ?"
)
# Unless one is kept from less than so many steps before.
_INSERT_BASE_APART = (
    "INSERT OR REPLACE INTO bases (series, step, record) SELECT ?1, ?2, ?3"
    " WHERE NOT EXISTS (SELECT 1 FROM bases WHERE series = ?1 AND step > ?2 - ?4)"
)
_UPDATE_RECORD = "UPDATE series SET step = ?, record = ? WHERE id = ?"
_MOVE_BASES = "UPDATE bases SET series = ? WHERE series = ? AND step <= ?"
_DELETE = (
    "DELETE FROM series WHERE id = ?",
    "DELETE FROM history WHERE series = ?",
    "DELETE FROM bases WHERE series = ?",
)
_DELETE_LOG = "DELETE FROM log WHERE model = ? AND seq <= ?"
# What is not needed any more to replay from the last record kept at or before a step.
_TRIM_HISTORY = (
    "DELETE FROM history WHERE series = ?1 AND last <="
    " (SELECT 2 * max(step) FROM bases WHERE series = ?1 AND step <= ?2)"
)
_TRIM_BASES = (
    "DELETE FROM bases WHERE series = ?1 AND step <"
    " (SELECT max(step) FROM bases WHERE series = ?1 AND step <= ?2)"
)


class Tail:
    """What was logged since the last checkpoint.

    Args:
        dtype: That of the entries.
        through: The last position in the log.
        seconds: How long it took to step all that.
    """

    def __init__(self, dtype: np.dtype[np.void], through: int = NONE, seconds: float = 0.0) -> None:
        self.through = through
        self.seconds = seconds
        self._entries = np.empty(64, dtype)
        self._numbers = np.empty(64, np.int64)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def entries(self) -> Entries:
        """The entries; `series` is the id in the file."""
        return self._entries[: self._count]

    @property
    def numbers(self) -> Numbers:
        """The number that the series of each entry had."""
        return self._numbers[: self._count]

    def add(self, entries: Entries, numbers: Numbers) -> None:
        """Append entries."""
        end = self._count + len(entries)
        if end > len(self._entries):
            size = max(2 * len(self._entries), end)
            more = size - self._count
            self._entries = np.concatenate([self.entries, np.empty(more, self._entries.dtype)])
            self._numbers = np.concatenate([self.numbers, np.empty(more, np.int64)])
        self._entries[self._count : end] = entries
        self._numbers[self._count : end] = numbers
        self._count = end

    def of(self, series: int) -> Entries:
        """Return the entries of one series."""
        found: Entries = self.entries[self.entries["series"] == series]
        return found


@dataclass
class Contents:
    """What a store begins with.

    Args:
        model: The model's id in the file.
        names: The number of each series, by name: from 0 on, and none left out.
        series: Its id in the file, by number.
        cache: The records, by number; those that are not held are in the file as they are.
        tail: What was logged since the last checkpoint.
        logged: Its last position in the log.
        replay_seconds: How long it took to replay the log.
    """

    model: int
    names: "SortedDict[str, int]"
    series: NDArray[np.int64]
    cache: Cache
    tail: Tail
    logged: int
    replay_seconds: float


@dataclass(frozen=True)
class _Staged:
    """What a series is to be when a commit that is under way has ended."""

    series: int
    records: Records
    row: int


class SqliteStore:
    """Keeps the series of one model in an SQLite file; see `SeriesStore`.

    Args:
        database: The file.
        dtype: The records of the model it is for.
        contents: What the file holds of that model.
        max_series: How many series it may keep.
        max_bytes: The memory that records may take; the coldest beyond are left in the file.
        keep_observations: How many observations of each series are kept at least, if there were as
            many; at most about twice as many are.
        recovery_seconds: A checkpoint is due when to replay what came since would take so long.
        clock: Tells the time, in seconds.
    """

    def __init__(
        self,
        database: Database,
        dtype: np.dtype[np.void],
        contents: Contents,
        *,
        max_series: int,
        max_bytes: int,
        keep_observations: int,
        recovery_seconds: float,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._database = database
        self._dtype = dtype
        self._model = contents.model
        self._names = contents.names
        self._series = contents.series
        self._cache = contents.cache
        self._tail = contents.tail
        self._tail.through, self._tail.seconds = contents.logged, contents.replay_seconds
        self._entry = entry_dtype(dtype)
        self._packing = Tail(self._entry)  # what a checkpoint that has not ended is writing
        self._next_try = 0.0
        self._free: list[int] = []
        self._max_series = max_series
        self._max_bytes = max_bytes
        self._keep = keep_observations
        # Two records are kept to replay from, the older one from before what must be kept.
        self._apart = max(keep_observations // 2, 1)
        self._at_once = max(1, min(_SLICE_SERIES, _SLICE_BYTES // dtype.itemsize))
        self._recovery_seconds = recovery_seconds
        self._clock = clock
        self._staged: dict[str, _Staged] = {}
        self._arriving = 0  # new series among the staged
        self._turn = asyncio.Lock()  # updates are staged one by one, in the order they came
        self._deletions = 0
        self._checkpointing: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Return how many series are kept; see `SeriesStore`."""
        return len(self._names)

    @property
    def room(self) -> int:
        """How many more series may be kept; see `SeriesStore.room`."""
        return self._max_series - len(self._names) - self._arriving

    async def read(self, ids: Sequence[str], *, unreadable: Unreadable | None = None) -> Records:
        """Return a copy of records; see `SeriesStore.read`."""
        self._database.check()
        while True:
            numbers = self._find(ids)
            records, cold = self._get(numbers)
            if not len(cold):
                return records
            names, series = [ids[row] for row in cold], self._series[numbers[cold]]
            found, faults = await self._load(names, series)
            if (self._series[self._find(names)] == series).all():
                _tell(faults, unreadable)
                records[cold] = found
                return records

    async def update(
        self, ids: Sequence[str], change: Change[T], *, unreadable: Unreadable | None = None
    ) -> T:
        """Replace records, durably; see `SeriesStore.update`."""
        async with self._turn:
            while faults := await self._prepare(ids):
                _tell(faults, unreadable)
                ids = [one for one in ids if one not in faults]
            refusal: ForecastError | None = None
            try:
                result, done = self._stage(ids, change)
            except ForecastError as error:
                if not any(one in self._staged for one in ids):
                    raise
                # It may be refused for what no reader has seen yet.
                refusal, done = error, self._database.submit([])
        await done
        if refusal is not None:
            raise refusal
        return result

    async def delete(self, ids: Sequence[str]) -> int:
        """Forget series, durably; see `SeriesStore.delete`."""

        def change(records: Records) -> Changed[int]:
            there = np.flatnonzero(records["step"] > 0).tolist()
            return Changed(np.zeros_like(records), len(there), base=dict.fromkeys(there, 0))

        return await self.update(list(dict.fromkeys(ids)), change)

    async def ids(self) -> list[str]:
        """Return all names; see `SeriesStore.ids`."""
        return list(self._names)

    async def page(self, *, prefix: str = "", after: str = "", limit: int = 100) -> Page:
        """Return a page of series; see `SeriesStore.page`."""
        found = first_names(self._names, prefix=prefix, after=after, limit=limit + 1)
        ids = found[:limit]
        return Page(ids=ids, records=await self.read(ids), more=len(found) > limit)

    async def history(self, unique_id: str) -> Entries:
        """Return what is kept of what happened to a series; see `SeriesStore.history`."""
        while True:
            series = self._id(unique_id)
            if series == NONE:
                raise SeriesNotFoundError(unique_id)
            # Before the file is read: a checkpoint that ends meanwhile takes them out of memory.
            recent = [self._packing.of(series), self._tail.of(series)]
            rows = await self._database.fetch(
                "SELECT entries FROM history WHERE series = ? ORDER BY first", series
            )
            if self._id(unique_id) == series:  # or else it began anew, and its past is gone
                what = f"store {self._database.path}: history of series number {series}"
                kept = [unseal(blob, self._entry, what) for (blob,) in rows]
                entries = merged(np.concatenate([*kept, *recent]))
                entries["series"] = series
                return entries

    def beginning(self, unique_id: str) -> int:
        """Return the id that a series will have in the file; see `SeriesStore.beginning`."""
        staged = self._staged.get(unique_id)
        return self._id(unique_id) if staged is None else staged.series

    async def base(self, unique_id: str, step: int) -> Records | None:
        """Return a record to replay from; see `SeriesStore.base`."""
        series = self._id(unique_id)
        rows = await self._database.fetch(
            "SELECT record FROM bases WHERE series = ? AND step <= ? ORDER BY step DESC LIMIT 1",
            series,
            step,
        )
        if rows:
            what = f"store {self._database.path}: a former record of series number {series}"
            return unseal(rows[0][0], self._dtype, what)
        history = await self.history(unique_id)
        is_whole = len(history) and position(history)[0] == FIRST_POSITION
        return np.zeros(1, self._dtype) if is_whole else None

    async def has_started(self) -> bool:
        """Say whether training's series were put; see `SeriesStore.has_started`."""
        ((started,),) = await self._database.fetch(
            "SELECT started IS fingerprint || layout FROM models WHERE id = ?", self._model
        )
        return bool(started)

    async def note_start(self) -> None:
        """Remember that training's series were put; see `SeriesStore.note_start`."""
        note = "UPDATE models SET started = fingerprint || layout WHERE id = ?"
        await self._database.submit([(note, [(self._model,)])])

    async def close(self) -> None:
        """Write the last checkpoint; see `SeriesStore.close`."""
        async with self._turn:
            try:
                async with asyncio.timeout(_CLOSING_SECONDS):
                    await self.checkpoint()
            except TimeoutError:
                pass

    async def checkpoint(self) -> None:
        """Write the records that changed since the last checkpoint, and shorten the log.

        What cannot be written stays in the log.
        """
        while self._checkpointing is not None:
            await self._checkpointing
        if len(self._packing) or len(self._tail):
            self._checkpointing = asyncio.create_task(self._write_checkpoint(), context=Context())
            await self._checkpointing

    # Reading

    def _find(self, ids: Sequence[str]) -> Numbers:
        return np.array([self._names.get(unique_id, _UNKNOWN) for unique_id in ids], np.int64)

    def _id(self, unique_id: str) -> int:
        number = self._names.get(unique_id, _UNKNOWN)
        return NONE if number == _UNKNOWN else int(self._series[number])

    def _get(self, numbers: Numbers) -> tuple[Records, Numbers]:
        """Return records, zeros for no series, and the rows whose records are in the file."""
        held = self._cache.holds(numbers)
        if held.all() and not (numbers == _UNKNOWN).any():
            return self._cache.get(numbers), np.empty(0, np.int64)
        known = numbers != _UNKNOWN
        held &= known
        records = np.zeros(len(numbers), self._dtype)
        records[held] = self._cache.get(numbers[held])
        return records, np.flatnonzero(known & ~held)

    async def _load(self, ids: Sequence[str], series: Numbers) -> tuple[Records, Unreadable]:
        """Return the records that the file holds, and which of them cannot be read.

        They are zeros for those, and for a series that is gone.
        """
        records = np.zeros(len(series), self._dtype)
        faults: Unreadable = {}
        for start in range(0, len(series), _SLICE_SERIES):
            part = series[start : start + _SLICE_SERIES].tolist()
            marks = ", ".join("?" * len(part))
            rows = await self._database.fetch(
                f"SELECT id, record FROM series WHERE id IN ({marks})",
                *part,
            )
            found = {one: blob for one, blob in rows if blob is not None}
            for row, one in enumerate(part, start=start):
                if one in found:
                    what = f"store {self._database.path}: record of series number {one}"
                    try:
                        records[row] = unseal(found[one], self._dtype, what)[0]
                    except StoreDamagedError as error:
                        faults[ids[row]] = error
        return records, faults

    # Writing

    async def _prepare(self, ids: Sequence[str]) -> Unreadable:
        """Bring the records of series that are to change into memory, after making room.

        Returns:
            Those that cannot be read. If there are any, others may not have been brought either.
        """
        while self._cache.size_bytes > self._max_bytes:
            await self._make_room()
        while True:
            numbers = self._find(ids)
            rows = np.flatnonzero((numbers != _UNKNOWN) & ~self._cache.holds(numbers))
            if not len(rows):
                return {}
            cold = numbers[rows]
            series = self._series[cold]
            records, faults = await self._load([ids[row] for row in rows.tolist()], series)
            if faults:
                return faults
            same = (self._series[cold] == series) & ~self._cache.holds(cold)
            self._cache.put(cold[same], records[same])

    def _stage(self, ids: Sequence[str], change: Change[T]) -> tuple[T, "asyncio.Future[None]"]:
        """Apply a change to what the series will be, and submit it."""
        numbers = self._find(ids)
        records, cold = self._get(numbers)
        assert not len(cold)
        series = np.where(numbers == _UNKNOWN, NONE, self._series[numbers])
        if self._staged:
            for row, unique_id in enumerate(ids):
                staged = self._staged.get(unique_id)
                if staged is not None:
                    records[row], series[row] = staged.records[staged.row], staged.series
        started = self._clock()
        changed = change(records)
        self._tail.seconds += self._clock() - started
        return changed.result, self._submit(ids, numbers, series, changed)

    def _submit(
        self, ids: Sequence[str], numbers: Numbers, before: Numbers, changed: Changed[T]
    ) -> "asyncio.Future[None]":
        """Submit what a change made of series.

        Args:
            ids: The series.
            numbers: Their numbers.
            before: Their ids in the file, `NONE` for a new one.
            changed: What is to become of them.
        """
        is_there = changed.records["step"] > 0
        after = np.where(is_there, before, NONE)
        anew = np.array(list(changed.base), np.int64)
        if len(anew):
            after[anew] = NONE
        new = np.flatnonzero(is_there & (after == NONE))
        after[new] = self._database.allot_series(len(new))
        statements: list[Statement] = []
        if len(changed.base):
            statements += self._begin_anew(before, after, changed)
        begun = [row for row in new.tolist() if row not in changed.base]
        if begun:
            blank = [(int(after[row]), self._model, ids[row], 0, None) for row in begun]
            statements.append((INSERT_SERIES, blank))
        for row in changed.base:
            if after[row] != NONE:
                record = changed.records[row : row + 1]
                step = int(record["step"][0])
                rows = [(int(after[row]), self._model, ids[row], step, seal(record))]
                statements.append((INSERT_SERIES, rows))
        for row in changed.base:
            if after[row] != NONE:
                statements += self._keep_history(int(after[row]), changed, row)
        logged, rows_logged = changed.entries, changed.entries["series"]
        if len(changed.base) and len(logged):
            logged = logged[~np.isin(rows_logged, anew)]
            rows_logged = logged["series"]
        seq, deletions = NONE, self._deletions
        if len(logged):
            seq = self._database.allot_entry()
            logged = logged.copy()
            logged["series"] = after[rows_logged]
            statements.append((_INSERT_LOG, [(seq, self._model, seal(logged))]))

        stays = is_there | (before != NONE)
        staged = [
            (ids[row], _Staged(int(after[row]), changed.records, row))
            for row in np.flatnonzero(stays).tolist()
        ]
        arriving = int(np.count_nonzero((before == NONE) & is_there))
        self._staged.update(staged)
        self._arriving += arriving

        def publish() -> None:
            self._arriving -= arriving
            self._tail.through = max(self._tail.through, seq)
            # A deleted series' number may be another's by now.
            known = numbers if self._deletions == deletions else self._find(ids)
            found = self._place(ids, known, before, after, stays)
            kept = after != NONE
            self._cache.put(found[kept], changed.records[kept])
            self._series[found[kept]] = after[kept]
            if len(logged):
                self._tail.add(logged, found[rows_logged])
            for unique_id, one in staged:
                if self._staged.get(unique_id) is one:
                    del self._staged[unique_id]
            self._plan_checkpoint()

        def withdraw() -> None:
            self._arriving -= arriving
            self._staged.clear()

        return self._database.submit(statements, publish, withdraw)

    def _begin_anew(self, before: Numbers, after: Numbers, changed: Changed[T]) -> list[Statement]:
        """Return what takes away what series were before they began anew."""
        gone = [row for row in changed.base if before[row] != NONE]
        moved = [
            (int(after[row]), int(before[row]), changed.base[row])
            for row in gone
            if changed.base[row] and after[row] != NONE
        ]
        statements: list[Statement] = [(_MOVE_BASES, moved)] if moved else []
        rows = [(int(before[row]),) for row in gone]
        return statements + [(sql, rows) for sql in _DELETE if rows]

    def _keep_history(self, series: int, changed: Changed[T], row: int) -> list[Statement]:
        """Return what keeps the past of a series that began anew."""
        if not self._keep:
            return []
        statements: list[Statement] = []
        entries = changed.entries[changed.entries["series"] == row]
        if len(entries):
            entries["series"] = series
            # In pieces: what a correction writes again is mostly old, and is let go of by the
            # piece. What a seed brings is all of one age.
            turns = np.flatnonzero(np.diff(entries["step"] // self._apart)) + 1
            parts = np.split(entries, turns) if changed.base[row] else [entries]
            statements.append((INSERT_HISTORY, [chunk(series, part) for part in parts]))
        if not len(entries) or len(entries) >= self._keep:
            former = changed.former.get(row, changed.records[row : row + 1])
            base = (series, int(former["step"][0]), seal(former), self._apart)
            statements.append((_INSERT_BASE_APART, [base]))
        # What was corrected just now stays, for the correction may be sent again.
        step = int(changed.records["step"][row])
        oldest = max(min(step - self._keep, changed.base[row]), step - 2 * self._keep)
        trim = [(series, oldest)]
        return [*statements, (_TRIM_HISTORY, trim), (_TRIM_BASES, trim)]

    def _place(
        self,
        ids: Sequence[str],
        numbers: Numbers,
        before: Numbers,
        after: Numbers,
        stays: NDArray[np.bool_],
    ) -> Numbers:
        """Give new series a number, take that of deleted ones, and return them all."""
        found = numbers.copy()
        fresh = stays & ((numbers == _UNKNOWN) | (before == NONE) | (after == NONE))
        for row in np.flatnonzero(fresh).tolist():
            unique_id = ids[row]
            number = self._names.get(unique_id, _UNKNOWN)
            if after[row] == NONE:
                if number != _UNKNOWN:
                    del self._names[unique_id]
                    self._cache.drop(np.array([number]))
                    self._series[number] = NONE
                    self._free.append(number)
                    self._deletions += 1
                continue
            if number == _UNKNOWN:
                number = self._free.pop() if self._free else len(self._names)
                self._names[unique_id] = number
            found[row] = number
        if len(found) and found.max() >= len(self._series):
            size = max(2 * len(self._series), int(found.max()) + 1)
            self._series = np.concatenate(
                [self._series, np.zeros(size - len(self._series), np.int64)]
            )
        return found

    # Checkpoints, and room

    def _plan_checkpoint(self) -> None:
        # As much may come again while the checkpoint is written.
        is_long = self._tail.seconds + self._packing.seconds > self._recovery_seconds / 2
        is_due = is_long or len(self._tail) + len(self._packing) >= _MOST_ENTRIES
        if is_due and self._checkpointing is None and self._clock() >= self._next_try:
            self._checkpointing = asyncio.create_task(self._write_checkpoint(), context=Context())

    async def _write_checkpoint(self) -> None:
        """Write what the last checkpoint could not, and what came since.

        Whatever it cannot write, for whatever reason, is left in `_packing`, and in the log.
        """
        try:
            if len(self._packing):
                await self._write_packing()
            self._packing, self._tail = self._tail, Tail(self._entry)
            await self._write_packing()
        except Exception as error:  # what it says may hold a name
            self._next_try = self._clock() + _NEXT_TRY_SECONDS
            logger.error("a checkpoint failed, and will be tried again: %s", type(error).__name__)
        finally:
            self._checkpointing = None

    async def _write_packing(self) -> None:
        packing = self._packing
        order = await asyncio.to_thread(np.argsort, packing.entries["series"], kind="stable")
        series, first = np.unique(packing.entries["series"][order], return_index=True)
        ends = np.append(first[1:], len(order))
        for start in range(0, len(series), self._at_once):
            part = slice(start, start + self._at_once)
            chunks = [order[begin:end] for begin, end in zip(first[part], ends[part], strict=True)]
            await self._database.submit(self._pack(chunks))
        await self._database.submit([(_DELETE_LOG, [(self._model, packing.through)])])
        self._packing = Tail(self._entry)

    def _pack(self, chunks: list[NDArray[np.int64]]) -> list[Statement]:
        """Return what writes the records and the history of series.

        Args:
            chunks: For each series, where its entries are in the log that is packed.
        """
        numbers = self._packing.numbers[[chunk[0] for chunk in chunks]]
        entries = [self._packing.entries[chunk] for chunk in chunks]
        series = np.array([one["series"][0] for one in entries])
        current = self._series[numbers] == series  # the others were deleted or begun anew
        statements: list[Statement] = []
        held = current & self._cache.holds(numbers)
        statements.append(self._write_records(numbers[held]))
        if not self._keep:
            return statements
        found = [(int(series[row]), entries[row]) for row in np.flatnonzero(current).tolist()]
        statements.append((INSERT_HISTORY, [chunk(one, entries) for one, entries in found]))
        passed = [
            (one, int(entries["step"][-1]))
            for one, entries in found
            if entries["step"][-1] // self._apart > (entries["step"][0] - 1) // self._apart
        ]
        if passed:
            oldest = [(one, step - self._keep) for one, step in passed]
            statements.append((_INSERT_BASE, [(one,) for one, _ in passed]))
            statements += [(_TRIM_HISTORY, oldest), (_TRIM_BASES, oldest)]
        return statements

    async def _make_room(self) -> None:
        """Write the coldest records and let go of them."""
        count = int(len(self._cache) * _SHARE_LET_GO) + 1
        coldest = self._cache.coldest(count)
        for start in range(0, len(coldest), self._at_once):
            numbers = coldest[start : start + self._at_once]
            used = self._cache.last_used(numbers)
            await self._database.submit([self._write_records(numbers)])
            still = self._cache.holds(numbers)
            numbers, used = numbers[still], used[still]
            self._cache.drop(numbers[self._cache.last_used(numbers) == used])

    def _write_records(self, numbers: Numbers) -> Statement:
        """Return what writes records that are held."""
        records = self._cache.peek(numbers)
        steps, series = records["step"].tolist(), self._series[numbers].tolist()
        rows = [
            (step, seal(records[row : row + 1]), one)
            for row, (step, one) in enumerate(zip(steps, series, strict=True))
        ]
        return _UPDATE_RECORD, rows


def _tell(faults: Unreadable, unreadable: Unreadable | None) -> None:
    """Note which series cannot be read, or raise that if nobody takes note."""
    if faults and unreadable is None:
        raise UnreadableError(faults)
    if unreadable is not None:
        unreadable.update(faults)


def chunk(series: int, entries: Entries) -> tuple[int, int, int, bytes]:
    """Return entries of one series as a row of its history."""
    place = position(entries)
    return series, int(place[0]), int(place[-1]), seal(entries)

"""Records in memory: they end with the process.

All records are elements of one structured array that grows by doubling; a sorted mapping takes a
series to its slot. One event loop owns it, and no method waits, so none can be interrupted.
"""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from sortedcontainers import SortedDict

from app.store.protocol import Change, Page, Unreadable
from forecaster.errors import InvalidRequestError
from forecaster.journal import Entries
from forecaster.record import copied, raw

Records = NDArray[np.void]
T = TypeVar("T")

_FIRST_SLOTS = 64
# The slot of a series that is not kept: the last one, so that it can be read, and is never written.
_NOWHERE = -1


class MemoryStore:
    """Keeps records in memory; see `SeriesStore`.

    Args:
        dtype: The records of the model it is for.
        max_series: How many it may keep.
    """

    def __init__(self, dtype: np.dtype[np.void], *, max_series: int) -> None:
        self._records: Records = np.zeros(_FIRST_SLOTS, dtype)
        self._slots: SortedDict[str, int] = SortedDict()
        self._free: list[int] = []
        self._max_series = max_series

    def __len__(self) -> int:
        """Return how many series are kept; see `SeriesStore`."""
        return len(self._slots)

    @property
    def room(self) -> int:
        """How many more series may be kept; see `SeriesStore.room`."""
        return self._max_series - len(self._slots)

    async def read(self, ids: Sequence[str], *, unreadable: Unreadable | None = None) -> Records:
        """Return a copy of records; see `SeriesStore.read`."""
        return self._copy(self._find(ids))

    async def update(
        self, ids: Sequence[str], change: Change[T], *, unreadable: Unreadable | None = None
    ) -> T:
        """Replace records; see `SeriesStore.update`."""
        slots = self._find(ids)
        changed = change(self._copy(slots))
        records = changed.records
        if _NOWHERE in slots:
            begun = records["step"] > 0
            slots = [
                self._add(ids[row]) if slot == _NOWHERE and begun[row] else slot
                for row, slot in enumerate(slots)
            ]
            if not begun.all():
                kept = np.flatnonzero(begun)
                slots, records = [slots[row] for row in kept], records[kept]
        raw(self._records)[index(slots)] = raw(records)
        return changed.result

    async def delete(self, ids: Sequence[str]) -> int:
        """Forget series; see `SeriesStore.delete`."""
        slots = [slot for slot in (self._slots.pop(one, None) for one in ids) if slot is not None]
        self._free += slots
        return len(slots)

    async def ids(self) -> list[str]:
        """Return all names; see `SeriesStore.ids`."""
        return list(self._slots)

    async def page(self, *, prefix: str = "", after: str = "", limit: int = 100) -> Page:
        """Return a page of series; see `SeriesStore.page`."""
        found = first_names(self._slots, prefix=prefix, after=after, limit=limit + 1)
        ids = found[:limit]
        return Page(ids=ids, records=self._copy(self._find(ids)), more=len(found) > limit)

    async def history(self, unique_id: str) -> Entries:
        """Refuse: nothing is kept but records; see `SeriesStore.history`."""
        raise InvalidRequestError(
            "the store in memory keeps no observations; STEPCAST_STORE=sqlite:///file.db does"
        )

    def beginning(self, unique_id: str) -> int:
        """Return nothing of use, for there is no history; see `SeriesStore.beginning`."""
        return 0

    async def base(self, unique_id: str, step: int) -> Records | None:
        """Have none; see `SeriesStore.base`."""
        return None

    async def has_started(self) -> bool:
        """Return False: a start is always the first; see `SeriesStore.has_started`."""
        return False

    async def note_start(self) -> None:
        """Remember nothing; see `SeriesStore.note_start`."""

    async def close(self) -> None:
        """Hold nothing; see `SeriesStore.close`."""

    def _find(self, ids: Sequence[str]) -> list[int]:
        return [self._slots.get(unique_id, _NOWHERE) for unique_id in ids]

    def _copy(self, slots: list[int]) -> Records:
        at = index(slots)
        records: Records = raw(self._records)[at].view(self._records.dtype)
        if isinstance(at, slice):  # no copy yet
            return copied(records)
        if _NOWHERE in slots:
            records[np.array(slots) == _NOWHERE] = np.zeros((), self._records.dtype)
        return records

    def _add(self, unique_id: str) -> int:
        """Give a new series a slot, and return it."""
        slot = self._free.pop() if self._free else len(self._slots)
        if slot == len(self._records):
            self._records = grown(self._records)
        self._slots[unique_id] = slot
        return slot


def index(slots: list[int]) -> slice | list[int]:
    """Return what takes these slots out of an array: a slice where they follow each other.

    One series does, and so do series that came in together; a slice takes a fifth of the time.
    """
    if not slots or slots[0] == _NOWHERE:
        return slots
    run = slice(slots[0], slots[0] + len(slots))
    return run if len(slots) == 1 or slots == list(range(run.start, run.stop)) else slots


def grown(array: Records) -> Records:
    """Return an array of twice the length that begins like this one."""
    larger = np.zeros(2 * len(array), array.dtype)  # not touched, so not yet in memory
    raw(larger)[: len(array)] = raw(array)
    return larger


def first_names(names: "SortedDict[str, int]", *, prefix: str, after: str, limit: int) -> list[str]:
    """Return the first names after `after` that start with `prefix`."""
    start = max(prefix, after)
    following: Iterable[str] = names.irange(start, inclusive=(start != after, True))
    return [one for one in islice(following, limit) if one.startswith(prefix)]

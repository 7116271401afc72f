"""Records in memory: they end with the process.

All records are elements of one structured array that grows by doubling; a sorted mapping takes a
series to its slot. One event loop owns it, and no method waits, so none can be interrupted.
"""

from collections.abc import Sequence
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from sortedcontainers import SortedDict

from app.store.protocol import Change, Page

Records = NDArray[np.void]
T = TypeVar("T")

_FIRST_SLOTS = 64


class MemoryStore:
    """Keeps records in memory; see `SeriesStore`.

    Args:
        dtype: The records of the model it is for.
    """

    def __init__(self, dtype: np.dtype[np.void]) -> None:
        self._records: Records = np.zeros(_FIRST_SLOTS, dtype)
        self._slots: SortedDict[str, int] = SortedDict()
        self._free: list[int] = []

    async def read(self, ids: Sequence[str]) -> Records:
        """Return a copy of records; see `SeriesStore.read`."""
        return self._copy(ids)

    async def update(self, ids: Sequence[str], change: Change[T]) -> T:
        """Replace records; see `SeriesStore.update`."""
        records, result = change(self._copy(ids))
        # In a line of its own: a new slot may put a larger array in the place of `_records`.
        slots = [self._slot(unique_id) for unique_id in ids]
        self._records[slots] = records
        return result

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
        start = max(prefix, after)
        following = self._slots.irange(start, inclusive=(start != after, True))
        found = [one for one in islice(following, limit + 1) if one.startswith(prefix)]
        ids = found[:limit]
        return Page(ids=ids, records=self._copy(ids), more=len(found) > limit)

    async def close(self) -> None:
        """Hold nothing; see `SeriesStore.close`."""

    def _copy(self, ids: Sequence[str]) -> Records:
        slots = [self._slots.get(unique_id, -1) for unique_id in ids]
        records: Records = self._records[slots]
        if -1 in slots:
            records[np.array(slots) < 0] = np.zeros((), self._records.dtype)
        return records

    def _slot(self, unique_id: str) -> int:
        """Return the slot of a series, a free one if it has none yet."""
        slot: int | None = self._slots.get(unique_id)
        if slot is None:
            slot = self._free.pop() if self._free else len(self._slots)
            if slot == len(self._records):
                self._records = np.concatenate([self._records, np.zeros_like(self._records)])
            self._slots[unique_id] = slot
        return slot

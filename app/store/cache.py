"""The records of series in use. The coldest can be let go."""

import numpy as np
from numpy.typing import NDArray

from forecaster.record import raw

Records = NDArray[np.void]
Numbers = NDArray[np.int64]

_FIRST_ROWS = 64
_NOWHERE = -1


class Cache:
    """Holds records by the number of their series, in one array.

    Args:
        dtype: The records.
    """

    def __init__(self, dtype: np.dtype[np.void]) -> None:
        self._records: Records = np.zeros(_FIRST_ROWS, dtype)
        self._owners = np.full(_FIRST_ROWS, _NOWHERE)  # the number whose record a row holds
        self._used = np.zeros(_FIRST_ROWS, np.int64)  # when it was last asked for
        self._rows = np.full(_FIRST_ROWS, _NOWHERE)  # the row of each number
        self._free: list[int] = []
        self._end = 0  # rows from here on have never been used
        self._clock = 0

    def __len__(self) -> int:
        """Return how many records are held."""
        return self._end - len(self._free)

    @property
    def size_bytes(self) -> int:
        """What the records take."""
        return len(self) * self._records.dtype.itemsize

    def holds(self, numbers: Numbers) -> NDArray[np.bool_]:
        """Say which numbers' records are held."""
        if len(numbers) and numbers.max() >= len(self._rows):
            known = numbers < len(self._rows)
            held = np.zeros(len(numbers), np.bool_)
            held[known] = self._rows[numbers[known]] != _NOWHERE
            return held
        all_held: NDArray[np.bool_] = self._rows[numbers] != _NOWHERE
        return all_held

    def get(self, numbers: Numbers) -> Records:
        """Return a copy of records that are held."""
        rows = self._rows[numbers]
        self._clock += 1
        self._used[rows] = self._clock
        records: Records = raw(self._records)[rows].view(self._records.dtype)
        return records

    def peek(self, numbers: Numbers) -> Records:
        """Return what `get` does, and leave them as cold as they are."""
        rows = self._rows[numbers]
        records: Records = raw(self._records)[rows].view(self._records.dtype)
        return records

    def put(self, numbers: Numbers, records: Records) -> None:
        """Hold records, in the place of those there were."""
        if len(numbers) and numbers.max() >= len(self._rows):
            size = max(2 * len(self._rows), int(numbers.max()) + 1)
            self._rows = _extended(self._rows, size)
        rows = self._rows[numbers]
        if (rows == _NOWHERE).any():
            new = np.flatnonzero(rows == _NOWHERE)
            rows[new] = self._allot(len(new))
            self._rows[numbers] = rows
            self._owners[rows] = numbers
        self._clock += 1
        self._used[rows] = self._clock
        raw(self._records)[rows] = raw(records)

    def drop(self, numbers: Numbers) -> None:
        """Let go of records; a number that is not held does no harm."""
        numbers = numbers[self.holds(numbers)]
        rows = self._rows[numbers]
        self._rows[numbers] = _NOWHERE
        self._owners[rows] = _NOWHERE
        self._free += rows.tolist()

    def coldest(self, count: int) -> Numbers:
        """Return the numbers whose records were not asked for in the longest time."""
        rows = np.flatnonzero(self._owners[: self._end] != _NOWHERE)
        if count < len(rows):
            rows = rows[np.argpartition(self._used[rows], count)[:count]]
        numbers: Numbers = self._owners[rows]
        return numbers

    def last_used(self, numbers: Numbers) -> NDArray[np.int64]:
        """Return when records that are held were last asked for: a count that rises."""
        used: NDArray[np.int64] = self._used[self._rows[numbers]]
        return used

    def _allot(self, count: int) -> NDArray[np.int64]:
        """Return rows that nothing is in."""
        again = [self._free.pop() for _ in range(min(count, len(self._free)))]
        fresh = count - len(again)
        if self._end + fresh > len(self._records):
            size = max(2 * len(self._records), self._end + fresh)
            records = np.zeros(size, self._records.dtype)  # not touched, so not yet in memory
            raw(records)[: self._end] = raw(self._records)[: self._end]
            self._records = records
            self._owners = _extended(self._owners, size)
            self._used = _extended(self._used, size)
        rows = np.array([*again, *range(self._end, self._end + fresh)], np.int64)
        self._end += fresh
        return rows


def _extended(numbers: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    larger = np.full(size, _NOWHERE)
    larger[: len(numbers)] = numbers
    return larger

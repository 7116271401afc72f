"""What a store of records does for the service.

A store keeps one record per series of one model. The service never writes a record itself: it hands
the store a pure change, from old records to new ones, and the store makes it happen all or nothing.
So a store in memory calls it once, one on disk answers when the result is durable, and one shared
by several processes may call it again if another was faster.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Records = NDArray[np.void]
T = TypeVar("T")

# From a copy of the records asked for, in that order, which it may change, to new ones and whatever
# else came out.
# A series that is not kept comes as a record of zeros, which is a new series.
Change = Callable[[Records], tuple[Records, T]]


@dataclass(frozen=True)
class Page:
    """Series in the order of their names.

    Args:
        ids: Their names.
        records: Their records, shape `(len(ids),)`.
        more: Whether others come after these.
    """

    ids: list[str]
    records: Records
    more: bool


class SeriesStore(Protocol):
    """Keeps records by series."""

    async def read(self, ids: Sequence[str]) -> Records:
        """Return a copy of the records of these series; zeros for one that is not kept."""
        ...

    async def update(self, ids: Sequence[str], change: Change[T]) -> T:
        """Replace the records of these series by what `change` makes of them.

        Args:
            ids: The series, none twice. One that is not kept is created, unless its record comes
                back at step 0.
            change: Must have no effect of its own: it may be called more than once. If it raises,
                nothing has changed.

        Returns:
            What `change` returned beside the records, once the records are as safe as this store
            makes them.
        """
        ...

    async def delete(self, ids: Sequence[str]) -> int:
        """Forget these series and return how many there were."""
        ...

    async def ids(self) -> list[str]:
        """Return the names of all series, in order."""
        ...

    async def page(self, *, prefix: str = "", after: str = "", limit: int = 100) -> Page:
        """Return the first series after the name `after` whose names start with `prefix`."""
        ...

    async def close(self) -> None:
        """Let go of everything the store holds."""
        ...

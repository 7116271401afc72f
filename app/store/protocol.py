"""What a store of series does for the service.

A store keeps one record per series of one model. The service never writes a record itself: it hands
the store a pure change, from old records to new ones, and the store makes it happen all or nothing.
So a store in memory calls it once, one on disk answers when the result is durable, and one shared
by several processes may call it again if another was faster.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from forecaster.errors import StoreDamagedError
from forecaster.journal import ENTRY, Entries

Records = NDArray[np.void]
T = TypeVar("T")

_FAULTS_SHOWN = 3


@dataclass(frozen=True)
class Changed(Generic[T]):
    """What a change makes of records.

    Args:
        records: The new ones.
        result: Whatever else came out.
        entries: What was done, for a store that keeps it; `series` is a row of `records`, and those
            of one row are in order. Without `base`, replaying them must make the new records of
            the old.
        base: The rows whose series begin anew: their records and entries take the place of all
            that was kept after the step given for the row, by number; 0 is a wholly new beginning.
        former: Records, shape `(1,)`, that such rows passed on their way to the new ones: what
            came after can be replayed from them. By default the new record is used for that.
    """

    records: Records
    result: T
    entries: Entries = field(default_factory=lambda: np.empty(0, ENTRY))
    base: dict[int, int] = field(default_factory=dict)
    former: dict[int, Records] = field(default_factory=dict)


# From a copy of the records asked for, in that order, which it may change, to new ones.
# A series that is not kept comes as a record of zeros, which is a new series.
Change = Callable[[Records], Changed[T]]


# What is wrong with series whose records cannot be read, by name.
Unreadable = dict[str, StoreDamagedError]


class UnreadableError(StoreDamagedError):
    """Records of series are not what was written.

    Args:
        faults: What is wrong with each, by the name of the series, which the message leaves out.
    """

    def __init__(self, faults: Unreadable) -> None:
        super().__init__("; ".join(str(one) for one in list(faults.values())[:_FAULTS_SHOWN]))
        self.faults = faults


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

    def __len__(self) -> int:
        """Return how many series are kept."""
        ...

    @property
    def room(self) -> int:
        """How many more series may be kept."""
        ...

    async def read(self, ids: Sequence[str], *, unreadable: Unreadable | None = None) -> Records:
        """Return a copy of the records of these series; zeros for one that is not kept.

        Args:
            ids: The series.
            unreadable: Takes those that cannot be read, which are zeros then.

        Raises:
            UnreadableError: If some cannot be read, and nothing takes them.
            StoreUnavailableError: If nothing can be read just now.
        """
        ...

    async def update(
        self, ids: Sequence[str], change: Change[T], *, unreadable: Unreadable | None = None
    ) -> T:
        """Replace the records of these series by what `change` makes of them.

        Updates happen in the order in which they were called for.

        Args:
            ids: The series, none twice. One that is not kept is created, unless its record comes
                back at step 0.
            change: Must have no effect of its own: it may be called more than once. If it raises,
                nothing has changed.
            unreadable: Takes the series that cannot be read, before `change` is called with the
                records of the others. So it keeps its turn.

        Returns:
            The result of the change, once it is as safe as this store makes it.

        Raises:
            UnreadableError: If some cannot be read, and nothing takes them. Nothing has changed.
            StoreUnavailableError: If it cannot be made safe. Nothing has changed.
        """
        ...

    async def delete(self, ids: Sequence[str]) -> int:
        """Forget these series and return how many there were.

        Raises:
            StoreUnavailableError: As for `update`.
        """
        ...

    async def ids(self) -> list[str]:
        """Return the names of all series, in order."""
        ...

    async def page(self, *, prefix: str = "", after: str = "", limit: int = 100) -> Page:
        """Return the first series after the name `after` whose names start with `prefix`."""
        ...

    async def history(self, unique_id: str) -> Entries:
        """Return what is kept of what happened to a series, in order.

        Their `series` is a number that no other beginning of a series has.

        Raises:
            SeriesNotFoundError: If there is no such series.
            InvalidRequestError: If this store keeps no observations.
        """
        ...

    def beginning(self, unique_id: str) -> int:
        """Return the number of a series' beginning, after all updates that were called for.

        A change that rests on a history asks whether it is still that of the series.
        """
        ...

    async def base(self, unique_id: str, step: int) -> Records | None:
        """Return a record, shape `(1,)`, from which what is kept can be replayed.

        It is the last one kept from `step` or before, and one of zeros at the very beginning.

        Args:
            unique_id: The series.
            step: The last step that the record may be at.

        Returns:
            The record, or `None` if there is none so old.
        """
        ...

    async def has_started(self) -> bool:
        """Say whether `note_start` was called for the model as it is, by its fingerprint."""
        ...

    async def note_start(self) -> None:
        """Remember, as long as the series, that training's series were put.

        Raises:
            StoreUnavailableError: As for `update`.
        """
        ...

    async def close(self) -> None:
        """Make everything durable and let go of all the store holds."""
        ...

"""What happens to series, told to those who listen. Where nobody does, it costs next to nothing."""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from app.errors import BusyError

T = TypeVar("T")

# Events that wait for one listener. One who falls further behind is told to look again.
MOST_WAITING = 100


class Listener(Generic[T]):
    """Hears what happens to one series; `None` is that it is to be looked at again."""

    def __init__(self) -> None:
        self.is_closed = False
        self._waiting: deque[T | None] = deque()
        self._wake = asyncio.Event()

    def tell(self, event: T | None) -> None:
        """Let an event wait until it is heard."""
        if event is None or len(self._waiting) >= MOST_WAITING:
            self._waiting.clear()  # whoever looks again sees what these did
            event = None
        self._waiting.append(event)
        self._wake.set()

    def close(self) -> None:
        """Have the listener hear what waits, and then no more."""
        self.is_closed = True
        self._wake.set()

    async def hear(self, seconds: float) -> list[T | None]:
        """Return what waits, as soon as there is something, and nothing after so many seconds."""
        if not self._waiting and not self.is_closed:
            try:
                await asyncio.wait_for(self._wake.wait(), seconds)
            except TimeoutError:
                return []
        self._wake.clear()
        heard = list(self._waiting)
        self._waiting.clear()
        return heard


class Feed(Generic[T]):
    """Brings what happens to series to their listeners.

    Args:
        most: How many may listen.
    """

    def __init__(self, most: int) -> None:
        self.listeners: dict[str, set[Listener[T]]] = {}
        self._most = most
        self._is_closed = False

    @contextmanager
    def listening(self, unique_id: str) -> Iterator[Listener[T]]:
        """Yield a listener to a series.

        Raises:
            BusyError: If as many listen as may.
        """
        if sum(map(len, self.listeners.values())) >= self._most:
            raise BusyError(
                f"as many as may listen to series already do ({self._most}): close some, or raise "
                "STEPCAST_MAX_LISTENERS"
            )
        listener: Listener[T] = Listener()
        listener.is_closed = self._is_closed
        self.listeners.setdefault(unique_id, set()).add(listener)
        try:
            yield listener
        finally:
            others = self.listeners[unique_id]
            others.discard(listener)
            if not others:
                del self.listeners[unique_id]

    def tell(self, unique_id: str, event: T) -> None:
        """Tell all who listen to a series."""
        for listener in self.listeners.get(unique_id, ()):
            listener.tell(event)

    def tell_again(self, ids: Iterable[str]) -> None:
        """Tell all who listen to any of these series to look at them again."""
        for unique_id in self.listeners.keys() & set(ids):
            for listener in self.listeners[unique_id]:
                listener.tell(None)

    def close(self) -> None:
        """Have every listener come to an end."""
        self._is_closed = True
        for listeners in self.listeners.values():
            for listener in listeners:
                listener.close()

"""How many calls are let in: so many at once, and no more once the process is told to stop."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import BUSY, Refusal, document, refusal

LIVE = "/health/live"
READY = "/health/ready"
METRICS = "/metrics"

# What tells how busy the service is, however busy it is.
PROBES = frozenset({LIVE, READY, METRICS})

STOPPING = "Stopping"
# Said to calls that come on a connection which was open already: the next one goes elsewhere.
STOPPING_DOCUMENT = document(503, STOPPING, "the service is stopping; nothing was changed")
BUSY_DOCUMENT = document(503, BUSY, "as many calls as may be are in flight; nothing was changed")


@dataclass
class Traffic:
    """What goes on, as the server and the application both see it.

    Args:
        calls: How many are in flight, probes aside.
        is_stopping: Whether the process was told to stop.
        at_stop: What has calls come to their end that have none of themselves.
    """

    calls: int = 0
    is_stopping: bool = False
    at_stop: list[Callable[[], None]] = field(default_factory=list)


class Gate:
    """Middleware that lets calls in.

    Args:
        app: Answers them.
        traffic: What goes on.
        max_concurrency: The most calls in flight. Probes are answered always.
    """

    def __init__(self, app: ASGIApp, traffic: Traffic, max_concurrency: int) -> None:
        self._app = app
        self._traffic = traffic
        self._max_concurrency = max_concurrency
        self._stopping = refusal(STOPPING_DOCUMENT, {"connection": "close"})
        self._busy = refusal(BUSY_DOCUMENT)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a call in, or refuse it before any of its body is read."""
        traffic = self._traffic
        refused = self._refusal(scope["path"]) if scope["type"] == "http" else None
        if refused is not None:
            await refused.send(send)
            return
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        traffic.calls += 1
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            # Its caller has gone, or the server's time is up: there is nobody to answer.
            pass
        finally:
            traffic.calls -= 1

    def _refusal(self, path: str) -> Refusal | None:
        if self._traffic.is_stopping:
            return None if path == LIVE else self._stopping
        if self._traffic.calls >= self._max_concurrency and path not in PROBES:
            return self._busy
        return None

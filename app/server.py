"""Runs the application in this process."""

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
from functools import partial
from types import FrameType
from typing import Any, cast

import uvicorn

from app.connection import Connection, Limits
from app.gate import Traffic
from app.logs import configure
from app.main import create_app
from app.security import EVERY_ANSWER, check_exposure, load_keys
from app.services import load_services
from app.settings import Settings
from app.tracing import is_on, open_provider

logger = logging.getLogger(__name__)

# Of the time to stop, what calls in flight may take; the rest is for the stores.
_SHARE_OF_CALLS = 0.75
_TICK_SECONDS = 0.02

# Files that are open besides connections.
_OTHER_FILES = 100


class Server(uvicorn.Server):
    """uvicorn's, with another end.

    Told to stop, it takes no connections, lets calls in flight come to their end while it refuses
    others, cuts those that do not, closes the stores, and returns. It does so in time, or ends the
    process; told twice, it ends the process at once.

    Args:
        config: Of uvicorn.
        traffic: What goes on in the application.
        stop_seconds: The time there is to stop.
    """

    def __init__(self, config: uvicorn.Config, traffic: Traffic, *, stop_seconds: float) -> None:
        super().__init__(config)
        self._traffic = traffic
        self._stop_seconds = stop_seconds

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop.

        The signal is not raised again, as uvicorn does: a stop that was asked for is no failure.
        """
        if self.should_exit:
            os._exit(128 + sig)
        self.should_exit = True
        self._traffic.is_stopping = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop."""
        self._traffic.is_stopping = True
        for end_calls in self._traffic.at_stop:
            end_calls()
        # A thread, for the event loop may be what hangs, or another thread that Python waits for.
        timer = threading.Timer(self._stop_seconds, _give_up, [self._stop_seconds])
        timer.daemon = True
        timer.start()
        loop = asyncio.get_running_loop()
        end = loop.time() + self._stop_seconds * _SHARE_OF_CALLS
        logger.info("Stopping: %d calls in flight", self._traffic.calls)
        for server in self.servers:
            server.close()
        for connection in self._connections():
            connection.drain()
        while self._traffic.calls and loop.time() < end:
            await asyncio.sleep(_TICK_SECONDS)
        for connection in self._connections():
            connection.cut()
        # For answers to be read, and for calls that were cut to end.
        self.config.timeout_graceful_shutdown = max(1, int(end - loop.time()))
        await super().shutdown(sockets)

    def _connections(self) -> list[Connection]:
        return cast("list[Connection]", list(self.server_state.connections))


def serve(settings: Settings) -> None:
    """Serve until the process is told to stop.

    Models are loaded before the server starts, so that a damaged one is one clear line.

    Raises:
        ForecastError: If a model cannot be loaded, or the settings open the service to others
            without a key.
    """
    # Until the server runs.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    configure(settings)
    # Before anything is opened.
    keys = load_keys(settings)
    check_exposure(settings, keys)
    traffic = Traffic()
    tracing = open_provider() if is_on(os.environ) else None
    app = create_app(settings, load_services(settings), traffic, tracing)
    if keys is None:
        who = "anyone who reaches it" if settings.allow_anonymous else "this machine alone"
        logger.warning("no API keys: %s may read and write", who)
    _allow_open_files(settings.max_connections + _OTHER_FILES)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        # One worker: the state in memory has one owner.
        workers=1,
        http=cast("Any", partial(Connection, limits=Limits.of(settings))),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        headers=list(EVERY_ANSWER),
    )
    server = Server(config, traffic, stop_seconds=settings.stop_timeout_seconds)
    server.run()
    if not server.started:
        sys.exit(1)


def _give_up(seconds: float) -> None:
    logger.error("did not stop within %g seconds; ending as it is", seconds)
    os._exit(1)


def _allow_open_files(count: int) -> None:
    """Have the system allow as many open files, as far as it lets this process say so."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

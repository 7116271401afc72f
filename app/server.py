"""Runs the application in this process."""

import signal
import sys

import uvicorn

from app.main import create_app
from app.services import load_services
from app.settings import Settings

# How long calls in flight may take to end when the process is told to stop.
_GRACE_SECONDS = 10


def serve(settings: Settings) -> None:
    """Serve until the process is told to stop.

    Models are loaded before the server starts, so that a damaged one is one clear line.

    Raises:
        ForecastError: If a model cannot be loaded.
    """
    # uvicorn shuts down on SIGTERM, then raises it again: a stop that was asked for is no failure.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    services = load_services(settings)
    # One worker: the state in memory has one owner.
    uvicorn.run(
        create_app(settings, services),
        host=settings.host,
        port=settings.port,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )

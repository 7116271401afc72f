"""The log of the process: lines for people, or JSON for machines, each with its request's id.

Whoever logs does so through the standard library, the service and uvicorn alike; structlog writes
the lines. A fault is told by its kind and the lines of code it came through, never by its message,
which may hold what a caller sent.
"""

import logging
import sys

import structlog
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from app.errors import frames
from app.settings import LogFormat, Settings
from app.watch import request_id


def configure(settings: Settings) -> None:
    """Have all that is logged from here on written to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(settings.log_format))
    logging.basicConfig(handlers=[handler], level=settings.log_level.upper(), force=True)


def formatter(log_format: LogFormat) -> logging.Formatter:
    """Return what makes a line of a record of the standard library."""
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        _of_request,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(_told),
    ]
    last: Processor = structlog.processors.JSONRenderer()
    if log_format == "console":
        last = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
    )


def _of_request(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    event.pop("color_message", None)  # uvicorn says it all twice
    if found := request_id.get():
        event["request_id"] = found
    return event


def _told(exc_info: ExcInfo) -> str:
    return f"Traceback, without messages:\n{frames(exc_info[1])}"

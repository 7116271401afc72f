"""A connection that is cut when its client is too slow or sends too much.

uvicorn waits without end for the rest of a head or of a body, and for a client to read its answer.
"""

import socket
from asyncio import Task, TimerHandle, Transport
from dataclasses import dataclass
from enum import Enum
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState

from app.errors import BUSY, document, refusal
from app.gate import STOPPING_DOCUMENT
from app.settings import Settings

# The request line with its headers; and what is sent between pieces of a body, or after the last.
MOST_HEAD_BYTES = 64_000

# Requests that were sent before the answer to the first.
_MOST_PIPELINED = 64

# What the system takes of an answer before the client does. By itself it takes megabytes and then
# no more for long, so that a slow reader could not be told from one that does not read.
_MOST_UNSENT_BYTES = 128_000

_Problem = dict[str, object]

_NOT_HTTP = document(400, "Bad Request", "this is not HTTP, or not a target that can be read")
_HEAD_TOO_LARGE = document(
    431,
    "Request Header Fields Too Large",
    f"the request line and the headers may have at most {MOST_HEAD_BYTES} bytes",
)
_TOO_MANY = document(503, BUSY, "as many connections as may be are open; nothing was changed")


class _Awaited(Enum):
    """What a client owes."""

    NOTHING = 0
    HEAD = 1
    BODY = 2


@dataclass(frozen=True)
class Limits:
    """What one connection may take.

    Args:
        max_connections: The most connections, this one included.
        head_seconds: How long a client may take to send a head.
        body_seconds: How long it may take to send a body.
        write_seconds: How long it may leave an answer unread.
    """

    max_connections: int
    head_seconds: float
    body_seconds: float
    write_seconds: float

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """Return those of the settings."""
        return cls(
            max_connections=settings.max_connections,
            head_seconds=settings.head_timeout_seconds,
            body_seconds=settings.body_timeout_seconds,
            write_seconds=settings.write_timeout_seconds,
        )


class Connection(HttpToolsProtocol):
    """One connection.

    While a client owes a head or a body, one timer runs; while it leaves an answer unread, another.

    Args:
        limits: What it may take.
        config: Of uvicorn, as all that follows.
        server_state: Shared by all connections.
        app_state: What the lifespan yielded.
    """

    def __init__(
        self,
        *,
        limits: Limits,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: Any = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = limits
        self._awaited = _Awaited.NOTHING
        self._awaited_of: Any = None
        self._read_timer: TimerHandle | None = None
        self._write_timer: TimerHandle | None = None
        self._unread_bytes = 0
        self._piece_bytes = 0
        # Of the last pieces, those which only held more of a head, or nothing of a body.
        self._idle_bytes = 0
        self._has_body = False
        self._whole_scope: Any = None  # of the last request that came to its end
        self._fault: _Problem = _NOT_HTTP
        # The call that is being answered, or was last.
        self._call: tuple[RequestResponseCycle, Task[None]] | None = None

    # From the transport

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            transport.get_extra_info("socket").setsockopt(
                socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _MOST_UNSENT_BYTES
            )
        if len(self.connections) > self._limits.max_connections:
            self._refuse(_TOO_MANY)
            return
        self._wait_for(_Awaited.HEAD)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more, and end the call whose caller has gone."""
        self._wait_for(_Awaited.NOTHING)
        self._stop_write_timer()
        super().connection_lost(exc)
        if self._call is not None:
            cycle, task = self._call
            cycle.disconnected = True  # which uvicorn says to the last of several only
            task.cancel()

    def data_received(self, data: bytes) -> None:
        """Parse a piece, and wait for what is still to come."""
        before = self.scope
        self._piece_bytes, self._has_body = len(data), False
        super().data_received(data)
        if self.scope is self._whole_scope and self._is_answering and self._read_timer is None:
            return  # nearly always: a request in one piece
        awaited = self._owed()
        if awaited is not self._awaited or self.scope is not self._awaited_of:
            self._wait_for(awaited)
        if awaited is _Awaited.NOTHING:
            return
        if self._has_body or self.scope is not before:
            self._idle_bytes = 0
        else:
            self._idle_bytes += len(data)
            if self._idle_bytes > MOST_HEAD_BYTES:
                self._refuse(_HEAD_TOO_LARGE)

    def pause_writing(self) -> None:
        """Begin to wait for the client to read."""
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        """Go on writing."""
        super().resume_writing()
        self._stop_write_timer()

    # From the parser

    def on_headers_complete(self) -> None:
        """Begin to answer, unless the head is too large."""
        # A head that came in one small piece needs no counting.
        if self._awaited is _Awaited.HEAD or self._piece_bytes > MOST_HEAD_BYTES:
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > MOST_HEAD_BYTES:
                self._give_up_parsing(_HEAD_TOO_LARGE)
        if len(self.pipeline) >= _MOST_PIPELINED:
            self._give_up_parsing(_NOT_HTTP)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Note that the body goes on."""
        self._has_body = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that nothing of this request is to come."""
        self._whole_scope = self.scope
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Begin to answer, as uvicorn does, and remember by what."""
        task = self.loop.create_task(cycle.run_asgi(app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)
        self._call = cycle, task

    # From the answer, and from uvicorn's own timer

    def on_response_complete(self) -> None:
        """Go on with the next request, or wait until what was written is read."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._watch_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that nothing came on."""
        super().timeout_keep_alive_handler()
        self._watch_writing()

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser refused."""
        self._refuse(self._fault)

    # From the server

    def drain(self) -> None:
        """Make the answer to the calls in flight the last ones."""
        if self._is_answering:
            self.cycle.keep_alive = False

    def cut(self) -> None:
        """End the calls in flight: the process has to end."""
        if self._owed() is _Awaited.BODY:
            self._refuse(STOPPING_DOCUMENT)
        elif self._is_answering:
            self.transport.abort()

    # What is owed

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def _has_begun_head(self) -> bool:
        # uvicorn makes a scope at the first byte, and a cycle of it at the end of the head.
        scope = None if self.cycle is None else self.cycle.scope
        return self.scope is not scope

    def _owed(self) -> _Awaited:
        if self.transport.is_closing():
            return _Awaited.NOTHING
        if self._has_begun_head:
            return _Awaited.HEAD
        if self.scope is not self._whole_scope:
            return _Awaited.BODY
        if self._is_answering or self.timeout_keep_alive_task is not None:
            return _Awaited.NOTHING
        return _Awaited.HEAD  # line ends between two requests have stopped uvicorn's timer

    def _wait_for(self, awaited: _Awaited) -> None:
        """Have the client send this from now on in time."""
        self._awaited, self._awaited_of = awaited, self.scope
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None
        if awaited is not _Awaited.NOTHING:
            is_head = awaited is _Awaited.HEAD
            seconds = self._limits.head_seconds if is_head else self._limits.body_seconds
            self._read_timer = self.loop.call_later(seconds, self._read_too_slow)

    def _read_too_slow(self) -> None:
        self._read_timer = None
        if self.flow.read_paused:
            # The client may be quick: nothing is taken from it while others before it are answered.
            self._wait_for(self._awaited)
        elif self._awaited is _Awaited.BODY:
            self._refuse(_too_slow("body", self._limits.body_seconds))
        elif self._has_begun_head:
            self._refuse(_too_slow("head", self._limits.head_seconds))
        else:
            self.transport.close()

    def _give_up_parsing(self, problem: _Problem) -> None:
        """Have the parser refuse whatever comes."""
        self._fault = problem
        raise httptools.HttpParserError

    def _refuse(self, problem: _Problem) -> None:
        """Answer with a problem, if no other answer is due before it, and close."""
        if self.transport.is_closing():
            return
        is_body = self._owed() is _Awaited.BODY
        if self.pipeline or (self._is_answering and not is_body):
            # Answers to what came before are due; after them it is closed.
            self.cycle.keep_alive = False
            if is_body:
                self.transport.abort()
            return
        if not (is_body and self.cycle.response_started):
            found = refusal(problem, {"connection": "close"})
            headers = [*self.server_state.default_headers, *found.headers]
            lines = [name + b": " + value + b"\r\n" for name, value in headers]
            head = STATUS_LINE[found.status] + b"".join(lines)
            self.transport.write(head + b"\r\n" + found.content)
        self.transport.close()
        self._watch_writing()

    # What is not read

    def _watch_writing(self) -> None:
        if self._write_timer is None:
            self._unread_bytes = self.transport.get_write_buffer_size()
            seconds = self._limits.write_seconds
            self._write_timer = self.loop.call_later(seconds, self._read_on_or_abort)

    def _read_on_or_abort(self) -> None:
        self._write_timer = None
        if self.transport.get_write_buffer_size() >= self._unread_bytes:
            self.transport.abort()
        else:
            self._watch_writing()

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None


def _too_slow(what: str, seconds: float) -> _Problem:
    detail = f"the {what} of the request did not arrive within {seconds:g} seconds"
    return document(408, "Request Timeout", detail)

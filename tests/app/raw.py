"""Connections that send what they like, when they like."""

import http.client
import io
import json
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

# Far beyond what anything here takes.
PATIENCE_SECONDS = 20.0


@dataclass(frozen=True)
class Answer:
    """An answer; names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def document(self) -> Any:
        """The JSON in it."""
        return json.loads(self.content)

    @property
    def is_last(self) -> bool:
        """Whether the connection is to be closed after it."""
        return self.headers.get("connection") == "close"


class _Kept(io.BufferedReader):
    """What was read past one answer is of the next, so the end of an answer does not close it."""

    def close(self) -> None:
        pass


class Raw:
    """A connection, to send bytes on.

    Args:
        connection: The connection.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._file = _Kept(socket.SocketIO(connection, "r"))

    def makefile(self, _: str) -> io.BufferedReader:
        """Return what `http.client` reads."""
        return self._file

    def send(self, content: bytes) -> None:
        self.socket.sendall(content)

    def answer(self) -> Answer:
        """Return the next answer."""
        response = http.client.HTTPResponse(cast("socket.socket", self))
        response.begin()
        content = response.read()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, content)

    def is_answered(self, seconds: float = 0.0) -> bool:
        """Say whether there is something to read, or the end, within so many seconds."""
        return bool(select.select([self.socket], [], [], seconds)[0])

    def is_closed(self) -> bool:
        """Wait for the end, and say whether it came without another byte."""
        try:
            return self._file.read(1) == b""
        except ConnectionError:
            return True


@contextmanager
def connected(url: str, *, receive_bytes: int | None = None) -> Iterator[Raw]:
    """Yield a connection to a service; `receive_bytes` is what the system may keep unread."""
    address = urlsplit(url)
    with socket.socket() as one:
        one.settimeout(PATIENCE_SECONDS)
        if receive_bytes is not None:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        one.connect((address.hostname, address.port))
        yield Raw(one)


def request(
    method: str, path: str, body: bytes | None = None, *, length: int | None = None, **headers: str
) -> bytes:
    """Return a request; `length` is what it declares, if that is not the body's."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    if body is not None:
        lines += ["Content-Type: application/json"]
        lines += [f"Content-Length: {len(body) if length is None else length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


def eventually(claim: Callable[[], bool], message: str = "did not come true") -> None:
    """Wait until a claim is true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not claim():
        assert time.monotonic() < deadline, message
        time.sleep(0.01)

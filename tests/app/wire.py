"""HTTP/1.1 as plain as it can be, for tests that need many callers, or that need to be rude."""

import asyncio
import json
from typing import Any, Self
from urllib.parse import urlsplit

JSON = "application/json"


class Wire:
    """One connection to a service on this machine; it is opened again if it was closed.

    Args:
        url: Of the service.
    """

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        assert address.hostname
        assert address.port
        self._host, self._port = address.hostname, address.port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()

    async def call(
        self, method: str, path: str, body: object = None, content_type: str = JSON
    ) -> tuple[int, Any]:
        """Return status and document of an answer; bytes are sent as they are, all else as JSON."""
        await self.send(method, path, body, content_type)
        return await self.answer()

    async def send(
        self, method: str, path: str, body: object = None, content_type: str = JSON
    ) -> None:
        """Send a request and leave its answer unread."""
        content = body if isinstance(body, bytes) else b""
        if body is not None and not isinstance(body, bytes):
            content = json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n"
        if body is not None:
            head += f"Content-Type: {content_type}\r\n"
        await self.send_raw(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)

    async def send_raw(self, request: bytes) -> None:
        """Send bytes."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        self._streams[1].write(request)
        await self._streams[1].drain()

    async def answer(self) -> tuple[int, Any]:
        """Return status and document of the next answer; the document is None where there is none.

        Raises:
            EOFError: If the service closed the connection instead.
        """
        assert self._streams is not None
        head = await self._streams[0].readuntil(b"\r\n\r\n")
        status, length, is_last = int(head[9:12]), 0, False
        for line in head.lower().split(b"\r\n")[1:]:
            if line.startswith(b"content-length:"):
                length = int(line[15:])
            elif line.startswith(b"connection: close"):
                is_last = True
        content = await self._streams[0].readexactly(length)
        if is_last:
            self.cut()
        return status, json.loads(content) if content else None

    async def until_closed(self) -> bytes:
        """Return all that the service still sends, after telling it that nothing more comes."""
        assert self._streams is not None
        reader, writer = self._streams
        if writer.can_write_eof():
            writer.write_eof()
        content = await reader.read()
        self.cut()
        return content

    def cut(self) -> None:
        """Close the connection, whatever is under way."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

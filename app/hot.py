"""Calls with nothing on the way that need not be there.

FastAPI routes a request, builds its dependencies, validates through its own layers and walks the
answer to encode it: about twice the time that a step takes, on every call. Here the bytes of a body
go straight to pydantic's validator, the function is called, and pydantic writes the bytes of the
answer.

The functions are those that the routers declare, so OpenAPI documents them as all others, and they
answer the same way there; this middleware only answers first. See docs/adr/0005-hot-calls.md.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, get_type_hints

from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import MEDIA_TYPE, document_of
from app.services import Services
from app.settings import Settings

# Answers a parsed body, as the routers declare it.
Handler = Callable[[Any, Services, Settings], Awaitable[Any]]

# No body has a length of so many digits.
_LONGEST_NUMBER = 16

# A body that takes milliseconds to read.
_LARGE_BYTES = 100_000

# To tell of more faults would take seconds.
_MOST_FAULTS = 1000

_Call = Callable[[bytes, Any], Awaitable[bytes]]


class HotCalls:
    """Middleware that answers the calls which take a body.

    Args:
        app: Answers all other requests.
        handlers: What answers a POST, by path. Annotations say what the body and the answer are.
        max_bytes: The largest body.
    """

    def __init__(self, app: ASGIApp, handlers: dict[str, Handler], max_bytes: int) -> None:
        self._app = app
        self._calls = {path: _call(handler) for path, handler in handlers.items()}
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        call = self._calls.get(scope.get("path", "")) if scope["type"] == "http" else None
        if call is None or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            body = await self._read(scope, receive)
            status, media_type, content = 200, b"application/json", await call(body, scope["state"])
        except ClientDisconnect:
            return
        except Exception as error:
            problem = document_of(error)
            status, media_type = int(str(problem["status"])), MEDIA_TYPE.encode()
            content = to_json(problem)
        headers = [(b"content-type", media_type), (b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def _read(self, scope: Scope, receive: Receive) -> bytes:
        """Return the body.

        Raises:
            HTTPException: If it is too large, declared or sent, or not declared as JSON.
            ClientDisconnect: If it does not come to its end.
        """
        declared = dict(scope["headers"])
        kind = declared.get(b"content-type", b"").split(b";")[0].strip().lower()
        if kind != b"application/json":
            raise HTTPException(415, "send JSON, with the header content-type: application/json")
        length = declared.get(b"content-length", b"0")
        size = int(length) if len(length) < _LONGEST_NUMBER else self._max_bytes + 1
        body, is_more = bytearray(), True
        while is_more and max(size, len(body)) <= self._max_bytes:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            body += message.get("body", b"")
            is_more = message.get("more_body", False)
        if max(size, len(body)) > self._max_bytes:
            detail = f"the body may have at most {self._max_bytes} bytes; split the call"
            raise HTTPException(413, detail)
        return bytes(body)


def _call(handler: Handler) -> _Call:
    hints = get_type_hints(handler)
    validate = TypeAdapter(hints["body"]).validator.validate_json
    write = TypeAdapter(hints["return"]).serializer.to_json

    async def call(content: bytes, state: Any) -> bytes:
        try:
            body = validate(content)
        except ValidationError as error:
            raise _invalid(error) from None
        # Reading, answering and writing a large body are each a turn of the event loop.
        if len(content) < _LARGE_BYTES:
            return write(await handler(body, state["services"], state["settings"]))
        await asyncio.sleep(0)
        answer = await handler(body, state["services"], state["settings"])
        await asyncio.sleep(0)
        return write(answer)

    return call


def _invalid(error: ValidationError) -> RequestValidationError:
    if error.error_count() > _MOST_FAULTS:
        message = f"the body has {error.error_count()} faults"
        return RequestValidationError([{"loc": ("body",), "type": "missing", "msg": message}])
    return RequestValidationError(
        [{**one, "loc": ("body", *one["loc"])} for one in error.errors(include_url=False)]
    )

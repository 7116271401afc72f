"""Calls with nothing on the way that need not be there.

FastAPI routes a request, builds its dependencies, validates through its own layers and walks the
answer to encode it: about twice the time that a step takes, on every call. Here the bytes of a body
go straight to pydantic's validator, the function is called, and pydantic writes the bytes of the
answer.

The functions are those that the routers declare, so OpenAPI documents them as all others, and they
answer the same way there; this middleware only answers first. See docs/adr/0005-hot-calls.md.
"""

import asyncio
from collections.abc import Awaitable, Callable, Set
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, get_type_hints

from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, FailFast, TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import BusyError, refusal_of
from app.paths import routed_path
from app.schemas import Body
from app.settings import Settings

# Answers a parsed body, as the routers declare it; the name in the path, if there is one, is first.
Handler = Callable[..., Awaitable[Any]]

_JSON = (b"content-type", b"application/json")

# No body has a length of so many digits.
_LONGEST_NUMBER = 16

# A body that takes milliseconds to read.
_LARGE_BYTES = 100_000

# What one observation, or the name of one series, takes many times over.
_SMALL_BYTES = 64_000

# To tell of more faults would take seconds.
_MOST_FAULTS = 1000

# Values, with commas in names, that a body may hold for each row and beyond the rows. Each one may
# be a fault, which takes a hundred times as long to tell as a value takes to read.
_VALUES_A_ROW = 10
_FEW_VALUES = 100_000

# An answer is sent in pieces of so many bytes, each when the system has taken the one before; one
# that is no longer is not counted.
_PIECE_BYTES = 64_000

# About what a value takes in an answer, with its comma.
_BYTES_A_VALUE = 20

_NOT_KNOWN = "Extra inputs are not permitted"


@dataclass
class _Answers:
    """The bytes of all answers that are being made or sent.

    Args:
        most: As many as there may be, one answer aside.
        held: As many as there are.
    """

    most: int
    held: int = 0


class _Share:
    """What one call has of them, until it ends."""

    def __init__(self, answers: _Answers) -> None:
        self._answers = answers
        self._held = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._answers.held -= self._held

    def take(self, size: int) -> None:
        """Hold so many bytes.

        Raises:
            BusyError: If other calls hold too many.
        """
        if size <= _PIECE_BYTES:
            return
        if self._answers.held and self._answers.held + size > self._answers.most:
            raise BusyError("other calls hold all the memory that there is for answers")
        self._answers.held += size
        self._held += size


_Call = Callable[[bytes, tuple[str, ...], Any, _Share], Awaitable[bytes]]


class HotCalls:
    """Middleware that answers the calls which take a body.

    Args:
        app: Answers all other requests.
        handlers: What answers a POST, by path. Annotations say what the body and the answer are.
        puts: What answers a PUT, by the template of the path, which holds the name of a series.
        small: Paths whose bodies hold no list, and so are small.
        settings: What the bodies may be.
    """

    def __init__(
        self,
        app: ASGIApp,
        handlers: dict[str, Handler],
        puts: dict[str, Handler],
        small: Set[str],
        settings: Settings,
    ) -> None:
        self._app = app
        most_bytes, most_items = settings.max_body_bytes, _most_items(settings)
        self._calls = {
            path: (_call(handler, most_items), _small(most_bytes) if path in small else most_bytes)
            for path, handler in handlers.items()
        }
        self._puts = [
            (compile_path(path)[0], (_call(handler, most_items), most_bytes))
            for path, handler in puts.items()
        ]
        self._held_bytes = 0
        self._most_held_bytes = max(settings.max_bytes_in_flight, most_bytes)
        self._answers = _Answers(settings.max_bytes_in_flight)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        found, name = self._find(scope)
        if found is None:
            await self._pass_on(scope, receive, send)
            return
        call, most_bytes = found
        body = bytearray()
        with _Share(self._answers) as share:
            try:
                await self._read(body, most_bytes, scope, receive)
                content = await call(bytes(body), name, scope["state"], share)
                status, headers = 200, [_JSON, (b"content-length", b"%d" % len(content))]
            except ClientDisconnect:
                return
            except Exception as error:
                refused = refusal_of(error)
                status, headers, content = refused.status, list(refused.headers), refused.content
            finally:
                self._held_bytes -= len(body)
                body.clear()
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await _send_body(send, content)

    def _find(self, scope: Scope) -> tuple[tuple[_Call, int] | None, tuple[str, ...]]:
        """Return what answers a request, if it is one of these, and the name in its path."""
        method = scope["method"] if scope["type"] == "http" else ""
        if method == "POST":
            return self._calls.get(scope["path"]), ()
        if method == "PUT":
            for pattern, found in self._puts:
                if matched := pattern.match(routed_path(scope)):
                    return found, matched.groups()
        return None, ()

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started: list[Message] = []  # not sent yet: there may be no room for what is to follow

        with _Share(self._answers) as share:

            async def send_on(message: Message) -> None:
                if message["type"] == "http.response.start":
                    started.append(message)
                    return
                content = message.get("body", b"")
                try:
                    share.take(len(content))
                except BusyError as error:
                    await refusal_of(error).send(send)
                    return
                while started:
                    await send(started.pop())
                if message.get("more_body", False):
                    await send(message)
                else:
                    await _send_body(send, content)

            try:
                await self._app(scope, receive, send_on)
            except Exception as error:
                # Further out, Starlette and uvicorn would log it with its message.
                await refusal_of(error).send(send)

    async def _read(self, body: bytearray, most_bytes: int, scope: Scope, receive: Receive) -> None:
        """Read the body into `body`, which counts as held from here on.

        Raises:
            HTTPException: If it is too large, declared or sent, or not declared as JSON; or if the
                bodies of all calls are too large together.
            ClientDisconnect: If it does not come to its end.
        """
        declared = dict(scope["headers"])
        kind = declared.get(b"content-type", b"").split(b";")[0].strip().lower()
        if kind != b"application/json":
            raise HTTPException(415, "send JSON, with the header content-type: application/json")
        length = declared.get(b"content-length", b"0")
        size = int(length) if len(length) < _LONGEST_NUMBER else most_bytes + 1
        is_more = True
        while is_more and max(size, len(body)) <= most_bytes:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunk = message.get("body", b"")
            if self._held_bytes + len(chunk) > self._most_held_bytes:
                raise BusyError("other calls hold all the memory that there is for bodies")
            body += chunk
            self._held_bytes += len(chunk)
            is_more = message.get("more_body", False)
        if max(size, len(body)) > most_bytes:
            detail = f"the body may have at most {most_bytes} bytes; split the call"
            raise HTTPException(413, detail)


async def _send_body(send: Send, content: bytes) -> None:
    """Send the body of an answer, or the rest of it; a long one no faster than it is read."""
    if len(content) > _PIECE_BYTES:
        for start in range(0, len(content), _PIECE_BYTES):
            piece = content[start : start + _PIECE_BYTES]
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        content = b""  # which waits until the last piece was taken
    await send({"type": "http.response.body", "body": content})


def _small(most_bytes: int) -> int:
    return min(most_bytes, _SMALL_BYTES)


def _most_items(settings: Settings) -> int:
    return max(settings.max_rows, settings.max_history)


def _call(handler: Handler, most_items: int) -> _Call:
    hints = get_type_hints(handler, include_extras=True)
    read_name = TypeAdapter(hints.get("unique_id", str)).validate_python
    validate = TypeAdapter(hints["body"]).validator.validate_json
    write = TypeAdapter(hints["return"]).serializer.to_json
    check = _check_of(hints["body"], most_items)

    async def call(content: bytes, name: tuple[str, ...], state: Any, share: _Share) -> bytes:
        try:
            names = [read_name(one) for one in name]
        except ValidationError as error:
            raise _invalid(error, "path", "unique_id") from None
        try:
            if len(content) >= _LARGE_BYTES:
                check(content)
            body: Body = validate(content)
        except ValidationError as error:
            raise _invalid(error) from None
        share.take(_BYTES_A_VALUE * body.answer_values(state["settings"]))
        # Reading, answering and writing a large body are each a turn of the event loop.
        if len(content) < _LARGE_BYTES:
            return write(await handler(*names, body, state["services"], state["settings"]))
        await asyncio.sleep(0)
        answer = await handler(*names, body, state["services"], state["settings"])
        await asyncio.sleep(0)
        return write(answer)

    return call


def _check_of(body: type[Body], most_items: int) -> Callable[[bytes], None]:
    """Return what looks at a large body before it is validated.

    A million fields that are not known, or a list of millions of faults, take pydantic seconds and
    gigabytes to tell of. The first such field, or a list that is longer than any may be, is enough.
    """
    names = tuple(field.alias or name for name, field in body.model_fields.items())
    most_values = _VALUES_A_ROW * most_items + _FEW_VALUES

    def check_length(value: object) -> object:
        if isinstance(value, list) and len(value) > most_items:
            raise ValueError(f"expected at most {most_items} values, found {len(value)}")
        return value

    columns = dict[Literal[names], Annotated[Any, AfterValidator(check_length)]]  # type: ignore[valid-type]
    validate = TypeAdapter(Annotated[columns, FailFast()]).validator.validate_json

    def check(content: bytes) -> None:
        # Every value but one has a comma, a brace or a bracket before it.
        values = content.count(b",") + content.count(b"{") + content.count(b"[")
        if values <= _FEW_VALUES:
            return
        if values > most_values:
            detail = f"the body may have at most {most_values} values; split the call"
            raise HTTPException(413, detail)
        validate(content)

    return check


def _invalid(error: ValidationError, *place: str) -> RequestValidationError:
    """Return the refusal of a call for what is in its body, or in another place."""
    place = place or ("body",)
    if error.error_count() > _MOST_FAULTS:
        message = f"the body has {error.error_count()} faults"
        return RequestValidationError([{"loc": place, "type": "missing", "msg": message}])
    faults = []
    for one in error.errors(include_url=False):
        where, message = one["loc"], one["msg"]
        if where and where[-1] == "[key]":  # of `_check_of`
            where, message = where[:-1], _NOT_KNOWN
        faults.append({**one, "loc": (*place, *where), "msg": message})
    return RequestValidationError(faults)

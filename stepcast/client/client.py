"""Clients of a service: `Client` for plain code, `AsyncClient` for code that awaits."""

import asyncio
import functools
import inspect
import os
import time
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, get_args

import httpx

from stepcast.client.calls import Calls
from stepcast.client.errors import InvalidError
from stepcast.client.retries import Outcome, Plan, Request, Retries, Wait

P = ParamSpec("P")
T = TypeVar("T")
Transport = TypeVar("Transport", httpx.BaseTransport, httpx.AsyncBaseTransport)

_LOCAL = "http://127.0.0.1:8000"

# An idle connection is given up before the service closes it, after 5 seconds: what is sent just
# then would have no answer, and an observation that could count twice could not be sent again.
_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=2.0)


class _Connection(Generic[Transport]):
    """What both clients are told."""

    def __init__(
        self,
        url: str = _LOCAL,
        *,
        model: str | None = None,
        api_key: str | None = None,
        timeout_seconds: float = 60.0,
        retries: Retries | None = None,
        chunk_rows: int = 1000,
        transport: Transport | None = None,
    ) -> None:
        """Open nothing yet; connections are made as calls need them.

        Args:
            url: Where the service is.
            model: The model asked for; the service's default if there is none.
            api_key: A key of the service, if it asks for one; by default that in the variable
                `STEPCAST_API_KEY`.
            timeout_seconds: How long to wait for a connection, and for more of an answer.
            retries: How often calls are sent again where that is safe.
            chunk_rows: Rows of a frame that go in one call.
            transport: How requests travel, for proxies, certificates of your own, and tests.

        Raises:
            InvalidError: If `url` or `api_key` is none, or `chunk_rows` is below 1.
        """
        if chunk_rows < 1:
            raise InvalidError(f"chunk_rows: expected 1 or more, found {chunk_rows}")
        key = _checked_key(api_key or os.environ.get("STEPCAST_API_KEY", ""))
        self._calls = Calls(model, retries or Retries(), chunk_rows)
        self._open(
            base_url=_checked(url),
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=timeout_seconds,
            limits=_LIMITS,
            transport=transport,
        )

    def _open(self, **options: Any) -> None:
        raise NotImplementedError


def _checked(url: str) -> httpx.URL:
    try:
        found = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise InvalidError(f"{url!r} is no URL: {error}") from error
    if found.scheme not in ("http", "https") or not found.host:
        raise InvalidError(f"{url!r} is no URL: expected http:// or https:// and a host")
    return found


def _checked_key(key: str) -> str:
    """Return a key without the space around it, as the service reads it; no error tells it."""
    found = key.strip()
    if not (found.isascii() and found.isprintable() and " " not in found):
        raise InvalidError("api_key: expected visible ASCII characters, as the service's keys have")
    return found


def _arguments(request: Request) -> dict[str, Any]:
    """Return a request as httpx takes it."""
    headers = {} if request.content is None else {"content-type": "application/json"}
    return {
        "method": request.method,
        "url": request.path,
        "params": request.params,
        "content": request.content,
        "headers": headers,
    }


def _like(plan: Callable[..., Plan[Any]], call: Any) -> None:
    """Let a method tell of itself what the plan does, as what it returns the plan's result."""
    functools.update_wrapper(call, plan)
    signature = inspect.signature(plan)
    result = get_args(signature.return_annotation)[-1]
    call.__signature__ = signature.replace(return_annotation=result)


def _blocking(
    plan: Callable[Concatenate[Calls, P], Plan[T]],
) -> "Callable[Concatenate[Client, P], T]":
    def call(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._carry_out(plan(self._calls, *args, **kwargs))

    _like(plan, call)
    return call


def _awaiting(
    plan: Callable[Concatenate[Calls, P], Plan[T]],
) -> "Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]":
    async def call(self: "AsyncClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._carry_out(plan(self._calls, *args, **kwargs))

    _like(plan, call)
    return call


class Client(_Connection[httpx.BaseTransport]):
    """Talks to a running service. Threads may share one.

    Use it in a `with` block, or `close` it.
    """

    _http: httpx.Client

    def _open(self, **options: Any) -> None:
        self._http = httpx.Client(**options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def _carry_out(self, plan: Plan[T]) -> T:
        outcome: Outcome = None
        while True:
            try:
                todo = plan.send(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            outcome = None
            if isinstance(todo, Wait):
                time.sleep(todo.seconds)
                continue
            try:
                outcome = self._http.request(**_arguments(todo))
            except httpx.TransportError as error:
                outcome = error

    observe = _blocking(Calls.observe)
    seed = _blocking(Calls.seed)
    forecast = _blocking(Calls.forecast)
    history = _blocking(Calls.history)
    observe_one = _blocking(Calls.observe_one)
    forecast_one = _blocking(Calls.forecast_one)
    forecast_values = _blocking(Calls.forecast_values)
    seed_one = _blocking(Calls.seed_one)
    reset = _blocking(Calls.reset)
    reset_all = _blocking(Calls.reset_all)
    status = _blocking(Calls.status)
    series = _blocking(Calls.series)
    delete = _blocking(Calls.delete)
    get_state = _blocking(Calls.get_state)
    put_state = _blocking(Calls.put_state)
    models = _blocking(Calls.models)
    health = _blocking(Calls.health)


class AsyncClient(_Connection[httpx.AsyncBaseTransport]):
    """Talks to a running service from an event loop of asyncio.

    Use it in an `async with` block, or `await` its `aclose`.
    """

    _http: httpx.AsyncClient

    def _open(self, **options: Any) -> None:
        self._http = httpx.AsyncClient(**options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def _carry_out(self, plan: Plan[T]) -> T:
        outcome: Outcome = None
        while True:
            try:
                todo = plan.send(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            outcome = None
            if isinstance(todo, Wait):
                await asyncio.sleep(todo.seconds)
                continue
            try:
                outcome = await self._http.request(**_arguments(todo))
            except httpx.TransportError as error:
                outcome = error

    observe = _awaiting(Calls.observe)
    seed = _awaiting(Calls.seed)
    forecast = _awaiting(Calls.forecast)
    history = _awaiting(Calls.history)
    observe_one = _awaiting(Calls.observe_one)
    forecast_one = _awaiting(Calls.forecast_one)
    forecast_values = _awaiting(Calls.forecast_values)
    seed_one = _awaiting(Calls.seed_one)
    reset = _awaiting(Calls.reset)
    reset_all = _awaiting(Calls.reset_all)
    status = _awaiting(Calls.status)
    series = _awaiting(Calls.series)
    delete = _awaiting(Calls.delete)
    get_state = _awaiting(Calls.get_state)
    put_state = _awaiting(Calls.put_state)
    models = _awaiting(Calls.models)
    health = _awaiting(Calls.health)

"""What is seen of every request, from outside of all that answers it."""

import logging
import random
import re
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from time import perf_counter

from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.metrics import Metrics
from app.paths import routed_path
from app.settings import AccessLog

access = logging.getLogger("stepcast.access")

# The id of the request that is being answered; empty outside of one.
request_id: ContextVar[str] = ContextVar("request_id", default="")

HEADER = b"x-request-id"
# What another's id may be: it goes into an answer's head and into the log.
_SANE_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
# The least status that is told, by what is asked for.
_LEAST_STATUS = {"none": 1000, "failed": 400, "all": 0}

# Of a request that no route is for.
OTHER = "other"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})

# A request whose caller had gone before there was an answer.
_NO_ANSWER = 0


def method_of(scope: Scope) -> str:
    """Return the method of a request, if it is one that there is."""
    return scope["method"] if scope["method"] in _METHODS else OTHER


class Routes:
    """The templates of paths, as `/series/{unique_id}`.

    Args:
        routes: What they belong to.
    """

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._whole: set[str] = set()
        self._patterns: list[tuple[re.Pattern[str], str]] = []
        for pattern, template in _paths(routes):
            if "{" in template:
                self._patterns.append((pattern, template))
            else:
                self._whole.add(template)

    def template(self, scope: Scope) -> str:
        """Return the template of a request's path."""
        path = scope["path"]
        if path in self._whole:
            return str(path)
        path = routed_path(scope)
        return next((name for pattern, name in self._patterns if pattern.match(path)), OTHER)


def _paths(routes: Iterable[BaseRoute]) -> Iterator[tuple[re.Pattern[str], str]]:
    for route in routes:
        if isinstance(route, Route | Mount):
            yield route.path_regex, route.path_format
        else:  # FastAPI keeps a router as one of the routes of the application
            yield from _paths(getattr(route, "original_router", Router()).routes)


class Watch:
    """Middleware that gives each request an id, and counts, times and logs its answer.

    A route is told by its template, for a path may hold the name of a series.

    Args:
        app: Answers.
        metrics: Take what is counted.
        routes: Those of the application, all of them by the time it starts.
        access_log: Which answers are logged.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        routes: Sequence[BaseRoute],
        access_log: AccessLog = "none",
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._routes = Routes(routes)
        self._least_status = _LEAST_STATUS[access_log]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status, one = perf_counter(), _NO_ANSWER, _id(scope)
        request_id.set(one.decode("ascii"))

        # Not `async`: that would be one more coroutine for each piece of an answer.
        def watched(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (HEADER, one)]
                self._count(scope, status, perf_counter() - start)
            return send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            if status == _NO_ANSWER:
                self._count(scope, status, perf_counter() - start)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        method = method_of(scope)
        route = self._routes.template(scope)
        self._metrics.count(method, route, status, seconds)
        if status >= self._least_status:
            milliseconds = round(1000 * seconds, 3)
            facts = {"method": method, "route": route, "status": status}
            access.info("answered", extra=facts | {"milliseconds": milliseconds})


def _id(scope: Scope) -> bytes:
    """Return the id that a request brings, if it is sane, or a new one."""
    for name, value in scope["headers"]:
        if name == HEADER and _SANE_ID.fullmatch(value):
            return bytes(value)
    return b"%032x" % random.getrandbits(128)

"""What is seen of every request, from outside of all that answers it."""

import re
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from time import perf_counter

from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.metrics import Metrics
from app.paths import routed_path

# Of a request that no route is for.
OTHER = "other"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})

# A request whose caller had gone before there was an answer.
_NO_ANSWER = 0


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
    """Middleware that counts and times answers.

    A route is told by its template, for a path may hold the name of a series.

    Args:
        app: Answers.
        metrics: Take what is counted.
        routes: Those of the application, all of them by the time it starts.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        self._metrics = metrics
        self._routes = Routes(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = perf_counter(), _NO_ANSWER

        # Not `async`: that would be one more coroutine for each piece of an answer.
        def watched(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._count(scope, status, perf_counter() - start)
            return send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            if status == _NO_ANSWER:
                self._count(scope, status, perf_counter() - start)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else OTHER
        self._metrics.count(method, self._routes.template(scope), status, seconds)

"""The application: loads every model of a folder and answers calls about their series."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypedDict

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from app import errors
from app.gate import Gate, Traffic
from app.hot import Handler, HotCalls
from app.metrics import Metrics
from app.paths import EncodedNames
from app.routes import batch, dashboard, docs, events, forecasting, models, operations, series
from app.routes.examples import declare_what_all_answer
from app.security import HostCheck, KeyCheck, load_keys
from app.services import Services, load_services
from app.settings import Settings
from app.tracing import Traces, close
from app.watch import Watch

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_DESCRIPTION = """
One-step-ahead forecasts from a stateful LSTM, for many series at once.

Send each actual to `/observe` as it arrives; the answer holds the forecast of the next. `/forecast`
reads without moving anything. `/seed-state` begins a series with its history, `/reset-state` zeroes
its recurrent state. Every refusal is `application/problem+json` (RFC 9457).
"""


# The calls that take a body, by path: FastAPI documents them, and `HotCalls` answers.
CALLS: dict[str, Handler] = {
    "/observe": forecasting.observe,
    "/forecast": forecasting.forecast,
    "/seed-state": forecasting.seed_state,
    "/reset-state": forecasting.reset_state,
    "/observe/batch": batch.observe_batch,
    "/forecast/batch": batch.forecast_batch,
    "/seed-state/batch": batch.seed_state_batch,
}
# The same that are a PUT, by the template of the path.
PUT_CALLS: dict[str, Handler] = {series.STATE: series.put_state}
# Those whose bodies hold no list.
SMALL_CALLS = frozenset({"/observe", "/reset-state"})


class State(TypedDict):
    """What routes find in `request.state`."""

    services: Services
    settings: Settings
    metrics: Metrics


class Application(FastAPI):
    """FastAPI that also documents what is answered before a call gets to its route."""

    has_keys = False

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        schema = super().openapi()
        declare_what_all_answer(schema, has_keys=self.has_keys)
        return schema


def create_app(
    settings: Settings,
    services: Services | None = None,
    traffic: Traffic | None = None,
    tracing: "TracerProvider | None" = None,
) -> FastAPI:
    """Return the application.

    Args:
        settings: All it needs to know.
        services: The services of models that are loaded already; by default those of
            `settings.models` are loaded when the application starts.
        traffic: What the server sees of the calls, and is told by it to let in no more.
        tracing: Makes a span of each call; it is shut down with the application.

    Raises:
        InvalidRequestError: If the API keys of the settings are none.
    """
    keys = load_keys(settings)
    traffic = traffic or Traffic()
    metrics = Metrics(traffic)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        ready = services or load_services(settings)
        await ready.start(settings)
        metrics.watch(ready)
        traffic.at_stop.append(ready.end_events)
        yield State(services=ready, settings=settings, metrics=metrics)
        await ready.close()
        if tracing is not None:
            await close(tracing)

    app = Application(
        title="Stepcast",
        description=_DESCRIPTION,
        version=version("stepcast"),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.has_keys = keys is not None
    # From the inside to the outside: the last one is asked first.
    app.add_middleware(EncodedNames)
    app.add_middleware(
        HotCalls, handlers=CALLS, puts=PUT_CALLS, small=SMALL_CALLS, settings=settings
    )
    app.add_middleware(Gate, traffic=traffic, max_concurrency=settings.max_concurrency)
    if keys is not None:
        app.add_middleware(KeyCheck, keys=keys, has_public_metrics=settings.metrics_public)
    elif not settings.allow_anonymous:
        app.add_middleware(HostCheck)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["authorization", "content-type", "x-request-id"],
            expose_headers=["retry-after", "www-authenticate", "x-request-id"],
        )
    if tracing is not None:
        app.add_middleware(Traces, provider=tracing, routes=app.routes)
    app.add_middleware(Watch, metrics=metrics, routes=app.routes, access_log=settings.access_log)
    for routes in (
        forecasting,
        batch,
        events,
        series,
        models,
        operations,
        docs,
        dashboard,
    ):
        app.include_router(routes.router)
    errors.install(app)
    return app

"""The application: loads every model of a folder and answers calls about their series."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TypedDict

from fastapi import FastAPI

from app import errors
from app.hot import Handler, HotCalls
from app.routes import batch, forecasting, models, operations, series
from app.services import Services, load_services
from app.settings import Settings

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


class State(TypedDict):
    """What routes find in `request.state`."""

    services: Services
    settings: Settings


def create_app(settings: Settings, services: Services | None = None) -> FastAPI:
    """Return the application.

    Args:
        settings: All it needs to know.
        services: The services of models that are loaded already; by default those of
            `settings.models` are loaded when the application starts.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        ready = services or load_services(settings)
        await ready.start(settings)
        yield State(services=ready, settings=settings)
        await ready.close()

    app = FastAPI(
        title="Stepcast",
        description=_DESCRIPTION,
        version=version("stepcast"),
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.add_middleware(HotCalls, handlers=CALLS, max_bytes=settings.max_body_bytes)
    for routes in (forecasting, batch, series, models, operations):
        app.include_router(routes.router)
    errors.install(app)
    return app

"""Observe, forecast and seed many series in one call: columns in, columns out."""

from typing import Any

from fastapi import APIRouter

from app import batch
from app.batch import Columns
from app.routes import examples
from app.routes.dependencies import ServicesDep, SettingsDep
from app.routes.examples import responses
from app.schemas import ForecastBatchRequest, RowsBody, SeedBatchRequest

router = APIRouter(tags=["batch"])

_OBSERVED: dict[str, list[Any]] = {
    "unique_id": ["shampoo", "sensor-1"],
    "step": [25, 0],
    "ds": ["1903-01-01T00:00:00Z", None],
    "status": ["applied", "series-not-warm-yet"],
    "error": [47.3, None],
    "mean": [374.1, None],
    "lo_80": [304.0, None],
    "hi_80": [465.8, None],
    "detail": [None, "no forecast yet: 2 more observations needed, 0 so far"],
}
_FORECAST: dict[str, list[Any]] = {
    "unique_id": ["shampoo", "sensor-9"],
    "step": [25, None],
    "ds": ["1903-01-01T00:00:00Z", None],
    "status": ["ok", "unknown-series"],
    "mean": [292.4, None],
    "lo_80": [222.3, None],
    "hi_80": [384.1, None],
    "detail": [None, "no series 'sensor-9'; observe or seed it first"],
}
_REFUSALS = (examples.UNKNOWN_MODEL, examples.UNAVAILABLE)
_SEEDED = {name: column for name, column in _OBSERVED.items() if name != "error"}


@router.post(
    "/observe/batch", responses=responses(_OBSERVED, examples.UNKNOWN_MODEL, examples.UNAVAILABLE)
)
async def observe_batch(body: RowsBody, services: ServicesDep, settings: SettingsDep) -> Columns:
    """Take many actuals, with a status for each row: `applied`, `duplicate`, or why not.

    The answer has the rows in the same order. `mean`, and `lo_80` and so on for each `level`, are
    the forecast of the series' next step. Rows of one series are taken in order.
    """
    body.answer_values(settings)
    service = services.get(body.model)
    rows = body.rows(settings.max_rows, service.covariates)
    return await batch.observe(service, rows, body.ask())


@router.post(
    "/forecast/batch", responses=responses(_FORECAST, examples.UNKNOWN_MODEL, examples.UNAVAILABLE)
)
async def forecast_batch(
    body: ForecastBatchRequest, services: ServicesDep, settings: SettingsDep
) -> Columns:
    """Forecast many series. The answer has `h` rows for each, in the same order.

    Nothing moves.
    """
    body.answer_values(settings)
    ask = body.ask(settings.max_horizon)
    service = services.get(body.model)
    x, misread = batch.read_ahead(service, body.flat_x_future(), len(body.unique_id), ask)
    faults = misread | body.faults
    return await batch.forecast(service, body.unique_id, faults, ask, x)


@router.post(
    "/seed-state/batch", responses=responses(_SEEDED, examples.UNKNOWN_MODEL, examples.UNAVAILABLE)
)
async def seed_state_batch(
    body: SeedBatchRequest, services: ServicesDep, settings: SettingsDep
) -> Columns:
    """Begin many series anew, each with its rows in order.

    The answer has one row a series, in the order in which the body first names them. A series with
    a row that cannot be taken is left as it was.
    """
    body.answer_values(settings)
    service = services.get(body.model)
    rows = body.rows(settings.max_rows, service.covariates)
    return await batch.seed(service, rows, body.ask(), body.told_season())

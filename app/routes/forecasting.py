"""Observe, forecast, seed and reset."""

from fastapi import APIRouter

from app.answers import Forecasted, Observed, Reset, Seeded
from app.routes import examples
from app.routes.dependencies import ServicesDep, SettingsDep
from app.routes.examples import responses
from app.schemas import ForecastRequest, ObserveRequest, ResetRequest, SeedRequest

router = APIRouter(tags=["forecasting"])


@router.post(
    "/observe",
    responses=responses(
        {
            "unique_id": "shampoo",
            "step": 25,
            "ds": "1903-01-01T00:00:00Z",
            "status": "applied",
            "error": -37.9,
            "next": {**examples.NEXT, "step": 26, "ds": "1903-02-01T00:00:00Z"},
        },
        *examples.ORDER,
        examples.NOT_KEPT,
        examples.NOT_WARM,
        examples.UNKNOWN_SERIES,
        examples.UNKNOWN_MODEL,
        examples.UNEXPECTED_STEP,
        examples.FULL,
        examples.UNAVAILABLE,
    ),
)
async def observe(body: ObserveRequest, services: ServicesDep, _: SettingsDep) -> Observed:
    """Take one actual and answer with the forecast of the next.

    A series begins with its first observation. The same `unique_id`, `ds` and `y` again changes
    nothing and answers as before, with status `duplicate`: retries are safe.

    For a model with covariates `x` names each of them, null where one is missing: then the last
    one stands for it.

    With `correct: true` the value of the past observation at `ds` is replaced, and all that came
    after it is replayed, as if it had been right from the start. The answer says where the series
    stands then.
    """
    y, ds, clock = body.observation()
    service = services.get(body.model)
    take = service.correct if body.correct else service.observe
    return await take(body.unique_id, y, ds, clock, body.expected_step, body.x)


@router.post(
    "/forecast",
    responses=responses(
        {"unique_id": "shampoo", "step": 24, "model": "shampoo", "forecasts": [examples.NEXT]},
        examples.UNKNOWN_SERIES,
        examples.UNKNOWN_MODEL,
        examples.NOT_WARM,
        examples.UNAVAILABLE,
    ),
)
async def forecast(
    body: ForecastRequest, services: ServicesDep, settings: SettingsDep
) -> Forecasted:
    """Forecast the next steps of a series. Nothing moves.

    With `y` in place of `unique_id` the forecast is of that history, and nothing is stored. For
    a model with covariates that are known ahead, `x_future` says what they will be; where it does
    not, the last value stands for them.
    """
    service, ask = services.get(body.model), body.ask(settings.max_horizon)
    if body.unique_id is not None:
        return await service.forecast(body.unique_id, ask, body.x_future)
    history = body.history(settings.max_history, service.covariates)
    return await service.forecast_history(history, ask, body.x_future)


@router.post(
    "/seed-state",
    responses=responses(
        {
            "unique_id": "shampoo",
            "step": 24,
            "ds": "1902-12-01T00:00:00Z",
            "next": examples.NEXT,
        },
        examples.UNKNOWN_SERIES,
        examples.UNKNOWN_MODEL,
        *examples.ORDER,
        examples.NOT_WARM,
        examples.FULL,
        examples.UNAVAILABLE,
    ),
)
async def seed_state(body: SeedRequest, services: ServicesDep, settings: SettingsDep) -> Seeded:
    """Begin a series anew: with a history, as a copy of another, or where training left it."""
    service = services.get(body.model)
    if body.copy_from is not None:
        return await service.seed_from_series(body.unique_id, body.copy_from)
    if body.source is not None:
        return await service.seed_from_training(body.unique_id)
    history = body.history(settings.max_history, service.covariates)
    return await service.seed(body.unique_id, history)


@router.post(
    "/reset-state",
    responses=responses(
        {"reset": 1}, examples.UNKNOWN_SERIES, examples.UNKNOWN_MODEL, examples.UNAVAILABLE
    ),
)
async def reset_state(body: ResetRequest, services: ServicesDep, _: SettingsDep) -> Reset:
    """Zero the recurrent state of one series, or of all of a model's.

    Their last values stay, so the next forecast is there at once.
    """
    service = services.get(body.model)
    if body.unique_id is not None:
        return await service.reset(body.unique_id)
    return await service.reset_all()

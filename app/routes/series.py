"""The series that are kept."""

from typing import Annotated
from urllib.parse import unquote

from fastapi import APIRouter, Path, Query
from pydantic import BeforeValidator, Field

from app.answers import Past, Seeded, SeriesPage, SeriesState, SeriesStatus
from app.paths import SeriesId
from app.routes import examples
from app.routes.dependencies import ModelQuery, ServiceDep, ServicesDep, SettingsDep
from app.routes.examples import responses
from app.schemas import StateRequest, UniqueId

router = APIRouter(tags=["series"])


class PageQuery(ModelQuery):
    """Which series to list."""

    prefix: Annotated[str, Field(max_length=256)] = ""
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    after: Annotated[str, Field(max_length=256, description="`after` of the page before.")] = ""


class HistoryQuery(ModelQuery):
    """How much of a history to tell."""

    limit: Annotated[int, Field(ge=1, le=10_000)] = 100


# In a path, the name of a series that may begin with the call.
NewSeriesId = Annotated[UniqueId, Path(), BeforeValidator(unquote)]

STATE = "/series/{unique_id:name}/state"

_REFUSALS = (examples.UNKNOWN_SERIES, examples.UNKNOWN_MODEL, examples.UNAVAILABLE)
_STATUS = {
    "unique_id": "shampoo",
    "step": 24,
    "ds": "1902-12-01T00:00:00Z",
    "model": "shampoo",
    "error": 37.7,
    "next": examples.NEXT,
    "scores": examples.SCORES,
}
_STATE = {
    "format": 1,
    "unique_id": "shampoo",
    "model": "shampoo",
    "fingerprint": "5d0f3f2d0b9d6a11",
    "step": 24,
    "ds": "1902-12-01T00:00:00Z",
    "record": {"step": 24, "error": 37.7, "forecast": [377.6, 242.9, 557.3], "missing": False},
    "checksum": "9c1b5a5e2f0f4f0fb6a3d7f6c9a1b0e5d4c3b2a190817263544536271809fa0b",
}


@router.get(
    "/series",
    responses=responses(
        {"series": [_STATUS], "after": "shampoo"},
        examples.UNKNOWN_MODEL,
        examples.UNAVAILABLE,
        has_body=False,
    ),
)
async def list_series(services: ServicesDep, query: Annotated[PageQuery, Query()]) -> SeriesPage:
    """List series in the order of their names, a page at a time."""
    service = services.get(query.model)
    return await service.page(prefix=query.prefix, after=query.after, limit=query.limit)


@router.get(
    "/series/{unique_id:name}/history",
    responses=responses(
        {
            "unique_id": "shampoo",
            "history": [
                {
                    "step": 24,
                    "ds": "1902-12-01T00:00:00Z",
                    "y": 342.3,
                    "mark": "observed",
                    "mean": 304.6,
                    "intervals": {"80": [224.2, 410.3], "95": [201.7, 441.5]},
                    "x": {},
                }
            ],
        },
        *_REFUSALS,
        has_body=False,
    ),
)
async def get_history(
    unique_id: SeriesId, services: ServicesDep, query: Annotated[HistoryQuery, Query()]
) -> Past:
    """Return the last observations that are kept, with the forecast that stood for each.

    In paths, the slash of a name that itself ends in `/history` is written `%2F`.
    """
    return await services.get(query.model).history(unique_id, query.limit)


@router.get(STATE, responses=responses(_STATE, *_REFUSALS, has_body=False))
async def get_state(unique_id: SeriesId, service: ServiceDep) -> SeriesState:
    """Return all that is kept of a series but its history, for another service to go on with.

    Nothing moves. In paths, the slash of a name that itself ends in `/state` is written `%2F`.
    """
    return await service.state(unique_id)


@router.put(
    STATE,
    responses=responses(
        {
            "unique_id": "shampoo",
            "step": 24,
            "ds": "1902-12-01T00:00:00Z",
            "next": examples.NEXT,
        },
        examples.UNKNOWN_MODEL,
        examples.OTHER_MODEL,
        examples.DAMAGED_STATE,
        examples.FULL,
        examples.UNAVAILABLE,
    ),
)
async def put_state(
    unique_id: NewSeriesId, body: StateRequest, services: ServicesDep, _: SettingsDep
) -> Seeded:
    """Begin a series anew with a state that a service of the same model told.

    Its next forecasts are those of the series there, to the last bit. The history stays there. The
    name is that of the path, and the model that of the body, by its name here.
    """
    return await services.get(body.model).seed_from_state(unique_id, body.state())


@router.get(
    "/series/{unique_id:name}",
    responses=responses(
        _STATUS,
        *_REFUSALS,
        has_body=False,
    ),
)
async def get_series(unique_id: SeriesId, service: ServiceDep) -> SeriesStatus:
    """Return where a series stands: its cursor, the next forecast, its running scores."""
    return await service.status(unique_id)


@router.delete(
    "/series/{unique_id:name}",
    status_code=204,
    responses=responses(
        None, examples.UNKNOWN_SERIES, examples.UNKNOWN_MODEL, examples.UNAVAILABLE, has_body=False
    ),
)
async def delete_series(unique_id: SeriesId, service: ServiceDep) -> None:
    """Forget a series."""
    await service.delete(unique_id)

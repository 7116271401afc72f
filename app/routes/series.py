"""The series that are kept."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from app.answers import Past, SeriesPage, SeriesStatus
from app.paths import SeriesId
from app.routes import examples
from app.routes.dependencies import ModelQuery, ServiceDep, ServicesDep
from app.routes.examples import responses

router = APIRouter(tags=["series"])


class PageQuery(ModelQuery):
    """Which series to list."""

    prefix: Annotated[str, Field(max_length=256)] = ""
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    after: Annotated[str, Field(max_length=256, description="`after` of the page before.")] = ""


class HistoryQuery(ModelQuery):
    """How much of a history to tell."""

    limit: Annotated[int, Field(ge=1, le=10_000)] = 100


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

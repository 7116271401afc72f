"""The series that are kept."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from app.routes import examples
from app.routes.dependencies import ServiceDep
from app.routes.examples import responses
from app.service import Past, SeriesPage, SeriesStatus

router = APIRouter(tags=["series"])

SeriesId = Annotated[str, Path(min_length=1, max_length=256, examples=["shampoo"])]

_REFUSALS = (examples.UNKNOWN_SERIES, examples.UNKNOWN_MODEL, examples.UNAVAILABLE)
_STATUS = {
    "unique_id": "shampoo",
    "step": 24,
    "ds": "1902-12-01T00:00:00Z",
    "model": "shampoo",
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
async def list_series(
    service: ServiceDep,
    prefix: Annotated[str, Query(max_length=256)] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[str, Query(max_length=256, description="`after` of the page before.")] = "",
) -> SeriesPage:
    """List series in the order of their names, a page at a time."""
    return await service.page(prefix=prefix, after=after, limit=limit)


@router.get(
    "/series/{unique_id:path}/history",
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
                }
            ],
        },
        *_REFUSALS,
        has_body=False,
    ),
)
async def get_history(
    unique_id: SeriesId, service: ServiceDep, limit: Annotated[int, Query(ge=1, le=10_000)] = 100
) -> Past:
    """Return the last observations that are kept, with the forecast that stood for each.

    A series whose own name ends in `/history` is read by `GET /series?prefix=`.
    """
    return await service.history(unique_id, limit)


@router.get(
    "/series/{unique_id:path}",
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
    "/series/{unique_id:path}",
    status_code=204,
    responses=responses(
        None, examples.UNKNOWN_SERIES, examples.UNKNOWN_MODEL, examples.UNAVAILABLE, has_body=False
    ),
)
async def delete_series(unique_id: SeriesId, service: ServiceDep) -> None:
    """Forget a series."""
    await service.delete(unique_id)

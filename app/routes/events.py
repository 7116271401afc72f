"""What happens to a series, as server-sent events.

OpenAPI has no way to say what a stream holds, so docs/dashboard.md does.
"""

from collections.abc import AsyncIterator

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic_core import to_json

from app.answers import Moved, SeriesStatus
from app.paths import SeriesId
from app.routes.dependencies import ServiceDep

router = APIRouter()

# A proxy that holds answers back until they are long would hold these back for ever.
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
_NOTHING = b":\n\n"


@router.get("/series/{unique_id:name}/events", include_in_schema=False)
async def get_events(unique_id: SeriesId, service: ServiceDep) -> StreamingResponse:
    """Stream what happens to a series until it is deleted, the caller goes or the service stops."""
    events = service.events(unique_id)
    first = await anext(events)  # a refusal is told before the stream begins
    return StreamingResponse(_told(first, events), headers=_HEADERS, media_type="text/event-stream")


async def _told(
    first: Moved | SeriesStatus | None, others: AsyncIterator[Moved | SeriesStatus | None]
) -> AsyncIterator[bytes]:
    yield _event(first)
    async for event in others:
        yield _event(event)


def _event(event: Moved | SeriesStatus | None) -> bytes:
    if event is None:
        return _NOTHING
    name = b"observation" if isinstance(event, Moved) else b"series"
    return b"event: %s\ndata: %s\n\n" % (name, to_json(event))

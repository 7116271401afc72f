"""Probes and metrics."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from app.gate import LIVE, METRICS, READY
from app.metrics import CONTENT_TYPE, Metrics, text_of_series
from app.routes import examples
from app.routes.dependencies import ModelQuery, ServicesDep
from app.routes.examples import Responses, responses
from app.schemas import UniqueId

router = APIRouter(tags=["operations"])

_TEXT: Responses = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}


class Health(BaseModel):
    """An answer to a probe."""

    status: Literal["live", "ready"]
    models: list[str] = []


class MetricsQuery(ModelQuery):
    """Which series to tell of one by one."""

    series: Annotated[
        tuple[UniqueId, ...],
        Field(max_length=100, description="Series to tell of one by one, where they are kept."),
    ] = ()


@router.get(LIVE)
async def live() -> Health:
    """Answer while the process lives."""
    return Health(status="live")


@router.get(READY)
async def ready(services: ServicesDep) -> Health:
    """Answer once every model is loaded and checked."""
    return Health(status="ready", models=[service.model.name for service in services])


@router.get(
    METRICS,
    response_class=Response,
    responses=_TEXT | responses(None, examples.UNKNOWN_MODEL, examples.UNAVAILABLE, has_body=False),
)
async def metrics(
    request: Request, services: ServicesDep, query: Annotated[MetricsQuery, Query()]
) -> Response:
    """Return what is counted and timed, for Prometheus to read.

    Labels are few, and none names a series unless it is asked for.
    """
    told: Metrics = request.state.metrics
    text = told.text()
    if query.series:
        service = services.get(query.model)
        ids = list(dict.fromkeys(query.series))
        text += text_of_series(service.model.name, ids, await service.store.read(ids))
    return Response(text, media_type=CONTENT_TYPE)

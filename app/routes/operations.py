"""Probes."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from app.routes.dependencies import ServicesDep

router = APIRouter(tags=["operations"], prefix="/health")


class Health(BaseModel):
    """An answer to a probe."""

    status: Literal["live", "ready"]
    models: list[str] = []


@router.get("/live")
async def live() -> Health:
    """Answer while the process lives."""
    return Health(status="live")


@router.get("/ready")
async def ready(services: ServicesDep) -> Health:
    """Answer once every model is loaded and checked."""
    return Health(status="ready", models=[service.model.name for service in services])

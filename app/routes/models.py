"""The models that are loaded."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel

from app.routes import examples
from app.routes.dependencies import ServicesDep
from app.routes.examples import responses
from forecaster.spec import Manifest

router = APIRouter(tags=["models"])


class ModelList(BaseModel):
    """The loaded models.

    Args:
        models: Their manifests.
        default: The model of calls that name none.
    """

    models: list[Manifest]
    default: str | None


@router.get("/models", responses=responses({"models": [], "default": "shampoo"}, has_body=False))
async def list_models(services: ServicesDep) -> ModelList:
    """List the loaded models with their manifests: sizes, scores, fingerprint."""
    manifests = [service.model.manifest for service in services]
    return ModelList(models=manifests, default=services.default)


@router.get("/models/{name}", responses=responses(None, examples.UNKNOWN_MODEL, has_body=False))
async def get_model(name: Annotated[str, Path(max_length=64)], services: ServicesDep) -> Manifest:
    """Return a model's manifest."""
    return services.get(name).model.manifest

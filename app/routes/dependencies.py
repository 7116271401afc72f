"""What routes are given."""

from typing import Annotated

from fastapi import Depends, Query, Request
from pydantic import BaseModel, ConfigDict

from app.schemas import ModelName
from app.service import ForecastService
from app.services import Services
from app.settings import Settings

# Both are `async`: a plain function would be run in a thread.


async def _services(request: Request) -> Services:
    services: Services = request.state.services
    return services


async def _settings(request: Request) -> Settings:
    settings: Settings = request.state.settings
    return settings


ServicesDep = Annotated[Services, Depends(_services)]
SettingsDep = Annotated[Settings, Depends(_settings)]


class ModelQuery(BaseModel):
    """A query about series of a model; one that holds anything else is refused."""

    model_config = ConfigDict(extra="forbid")

    model: ModelName = None


async def _service(services: ServicesDep, query: Annotated[ModelQuery, Query()]) -> ForecastService:
    return services.get(query.model)


# The service of the model that the query names, and nothing else.
ServiceDep = Annotated[ForecastService, Depends(_service)]

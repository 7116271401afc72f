"""What routes are given."""

from typing import Annotated

from fastapi import Depends, Query, Request

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


async def _service(
    services: ServicesDep, model: Annotated[ModelName, Query()] = None
) -> ForecastService:
    return services.get(model)


# The service of the model that the query names.
ServiceDep = Annotated[ForecastService, Depends(_service)]

"""The models that are served, and the service of each."""

from collections.abc import Iterator

from app.service import ForecastService
from app.settings import Settings
from app.store.memory import MemoryStore
from forecaster import artifact
from forecaster.errors import ArtifactError, ModelNotFoundError


class Services:
    """The services of all loaded models, by name.

    Args:
        services: One for each model, at least one.
        default: The model of calls that name none; only one model needs no default.

    Raises:
        ModelNotFoundError: If the default is not among them.
    """

    def __init__(self, services: list[ForecastService], default: str | None = None) -> None:
        self._services = {service.model.name: service for service in services}
        if default is None and len(services) == 1:
            default = services[0].model.name
        self._default = default
        if default is not None:
            self.get(default)

    def __iter__(self) -> Iterator[ForecastService]:
        return iter(self._services.values())

    @property
    def default(self) -> str | None:
        """The model of calls that name none."""
        return self._default

    def get(self, name: str | None = None) -> ForecastService:
        """Return the service of a model, by default that of the default model.

        Raises:
            ModelNotFoundError: If no such model is loaded.
        """
        service = self._services.get(name or self._default or "")
        if service is None:
            raise ModelNotFoundError(name, sorted(self._services))
        return service

    async def start(self, settings: Settings) -> None:
        """Make series ready before the first call."""
        if settings.start == "training":
            for service in self:
                await service.start_from_training()

    async def close(self) -> None:
        """Let go of all stores."""
        for service in self:
            await service.store.close()


def load_services(settings: Settings) -> Services:
    """Load and check every model folder in `settings.models`.

    Raises:
        ArtifactError: If there is none, or one cannot be trusted.
        ModelNotFoundError: If the default model is not among them.
        EngineUnavailableError: If the engine is not installed.
    """
    folders = sorted(path for path in settings.models.glob("[!.]*") if path.is_dir())
    if not folders:
        raise ArtifactError(settings.models, expected="a folder of model folders", found="no model")
    services = []
    for folder in folders:
        model = artifact.load(folder, settings.engine)
        store = MemoryStore(model.forecaster.dtype)
        on_gap = settings.on_gap or model.manifest.on_gap
        services.append(ForecastService(model, store, on_gap=on_gap))
    return Services(services, settings.model)

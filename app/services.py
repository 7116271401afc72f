"""The models that are served, and the service of each."""

from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

from app.service import ForecastService
from app.settings import Settings
from app.store.database import READ_ERRORS, Database
from app.store.memory import MemoryStore
from app.store.protocol import SeriesStore
from app.store.recovery import recover
from app.store.sqlite import SqliteStore
from forecaster import artifact
from forecaster.errors import ArtifactError, ForecastError, ModelNotFoundError, StoreOpenError
from forecaster.journal import Season
from forecaster.model import Model
from forecaster.season import parse_season, season_of_length

# The model of calls that name none, where there are several and no setting names one.
UNIVERSAL = "universal"


class Services:
    """The services of all loaded models, by name.

    Args:
        services: One for each model, at least one.
        default: The model of calls that name none; only one model needs no default.
        database: The file that their stores share, if they have one.

    Raises:
        ModelNotFoundError: If the default is not among them.
    """

    def __init__(
        self,
        services: list[ForecastService],
        default: str | None = None,
        database: Database | None = None,
    ) -> None:
        self._services = {service.model.name: service for service in services}
        if default is None and len(services) == 1:
            default = services[0].model.name
        if default is None and UNIVERSAL in self._services:
            default = UNIVERSAL
        self._default = default
        self.database = database
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

    def end_events(self) -> None:
        """Let everyone who listens to a series go."""
        for service in self:
            service.feed.close()

    async def close(self) -> None:
        """Let go of all stores, and then of their file, whichever of them cannot."""
        self.end_events()
        async with AsyncExitStack() as stack:
            if self.database is not None:
                stack.push_async_callback(self.database.close)
            for service in self:
                stack.push_async_callback(service.store.close)


def load_services(
    settings: Settings, make_database: Callable[[Path], Database] = Database
) -> Services:
    """Load and check every model folder in `settings.models`, and open the store.

    Args:
        settings: All there is to know.
        make_database: Opens the file of the store.

    Raises:
        ArtifactError: If there is none, or one cannot be trusted.
        ModelNotFoundError: If the default model is not among them.
        EngineUnavailableError: If the engine is not installed.
        StoreError: If the store cannot be opened, or what it holds cannot be used.
    """
    folders = sorted(path for path in settings.models.glob("[!.]*") if path.is_dir())
    if not folders:
        raise ArtifactError(settings.models, expected="a folder of model folders", found="no model")
    models = [artifact.load(folder, settings.engine) for folder in folders]
    database = make_database(settings.store_path) if settings.store_path else None
    try:
        services = [
            ForecastService(
                model,
                _open(model, database, settings),
                on_gap=settings.on_gap or model.manifest.on_gap,
                season=_season(model, settings),
                max_listeners=settings.max_listeners,
            )
            for model in models
        ]
        return Services(services, settings.model, database)
    except READ_ERRORS as error:
        assert database is not None
        database.release()
        raise StoreOpenError(
            f"store {database.path}: cannot be read: {error}; put back a copy of it, or move it "
            "away to begin with an empty store"
        ) from error
    except ForecastError:
        if database is not None:
            database.release()
        raise


def _season(model: Model, settings: Settings) -> Season:
    """Return the season of series about which nothing else is known."""
    if settings.season is not None:
        return parse_season(settings.season)
    return model.season or season_of_length(model.manifest.season)


def _open(model: Model, database: Database | None, settings: Settings) -> SeriesStore:
    """Return the store of a model's series."""
    if database is None:
        return MemoryStore(model.forecaster.dtype, max_series=settings.max_series)
    return SqliteStore(
        database,
        model.forecaster.dtype,
        recover(database, model, max_bytes=settings.max_memory_bytes),
        max_series=settings.max_series,
        max_bytes=settings.max_memory_bytes,
        keep_observations=settings.keep_observations,
        recovery_seconds=settings.recovery_seconds,
    )

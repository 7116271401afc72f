"""Where a service keeps its series, and whether they are what its callers know."""

import asyncio
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from app.services import Services, load_services
from app.settings import Settings
from forecaster import artifact
from forecaster.model import Model
from tests.crash.callers import Load
from tests.crash.ledger import contents, settle
from tests.forecaster.fakes import write_model


@dataclass(frozen=True)
class Place:
    """A store, and the model whose series it keeps: its time is whole numbers, its gaps are filled.

    Args:
        models: The folder of models.
        store: The file.
        keep: How many observations are kept of each series.
    """

    models: Path
    store: Path
    keep: int = 20

    @cached_property
    def model(self) -> Model:
        return artifact.load(self.models / "counted")

    @property
    def context(self) -> int:
        """The observations that a forecast needs."""
        return self.model.forecaster.context

    def variables(
        self, *, memory_bytes: int = 10**9, recovery_seconds: float = 0.01
    ) -> dict[str, str]:
        """Return the environment of a service.

        Args:
            memory_bytes: What records may take; series beyond are spilled.
            recovery_seconds: Checkpoints are frequent by default: every load is to see some.
        """
        return {
            "STEPCAST_MODELS": str(self.models),
            "STEPCAST_STORE": f"sqlite:///{self.store}",
            "STEPCAST_START": "empty",
            "STEPCAST_ON_GAP": "fill",
            "STEPCAST_KEEP_OBSERVATIONS": str(self.keep),
            "STEPCAST_RECOVERY_SECONDS": str(recovery_seconds),
            "STEPCAST_MAX_MEMORY_BYTES": str(memory_bytes),
        }

    def files(self) -> dict[str, bytes]:
        """Return the files of the store that outlive a process, by name."""
        found = [self.store.with_name(f"{self.store.name}{end}") for end in ("", "-wal")]
        return {path.name: path.read_bytes() for path in found if path.exists()}

    def copy(self, folder: Path) -> "Place":
        """Return a copy, in the place of all that there is in the folder."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, content in self.files().items():
            (folder / name).write_bytes(content)
        return Place(self.models, folder / self.store.name, self.keep)

    def open(self) -> Services:
        """Open the store in this process."""
        return load_services(
            Settings(
                models=self.models, store=f"sqlite:///{self.store}", keep_observations=self.keep
            )
        )

    def settle(self, load: Load) -> None:
        """Check that the store holds what callers know, and tell them what their last calls did.

        It is opened for that, so do it with a copy to have a service find what another one left.
        """
        asyncio.run(self._settle(load))

    async def _settle(self, load: Load) -> None:
        services = self.open()
        try:
            service = services.get()
            found = await contents(service.store, keep=self.keep)
        finally:
            await services.close()
        load.settle(settle(service.model.forecaster, found, load.states(), keep=self.keep))


def make_place(folder: Path, *, keep: int = 20) -> Place:
    """Write a model, for a store that is still to be made."""
    write_model(folder / "models" / "counted", freq="1")
    return Place(folder / "models", folder / "store.db", keep)

"""The service without HTTP: what callers are told when things go wrong or happen at once."""

import asyncio
import re
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.errors import document_of
from app.intake import BLOCK
from app.service import ForecastService, History, ResetUnfinishedError
from app.services import Services, load_services
from app.settings import Settings
from app.store.database import Database, Statement
from app.store.protocol import Records
from forecaster.calendar import Clock
from forecaster.errors import ConflictError, StoreDamagedError, StoreUnavailableError
from tests.app.running import ROOT
from tests.forecaster.fakes import write_model

pytestmark = pytest.mark.anyio

STORES = ["memory", "sqlite"]
NAN = float("nan")


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models, each with series of its own."""
    folder = tmp_path_factory.mktemp("service") / "models"
    write_model(folder / "one")
    write_model(folder / "two", seed=1)
    return folder


class Failing(Database):
    """A file whose commits wait for `gate`, and fail once so many more were made."""

    def __init__(self, path: Path) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.commits_left: float = float("inf")
        super().__init__(path)

    def _commit(self, statements: Iterable[Statement]) -> None:
        assert self.gate.wait(30)
        if self.commits_left == 0:
            raise sqlite3.OperationalError("database or disk is full")
        self.commits_left -= 1
        super()._commit(statements)


@asynccontextmanager
async def opened(folder: Path, file: Path, store: str = "sqlite") -> AsyncIterator[Services]:
    chosen = "memory" if store == "memory" else f"sqlite:///{file}"
    settings = Settings(models=folder, model="one", store=chosen)
    services = load_services(settings, make_database=Failing)
    try:
        yield services
    finally:
        if isinstance(services.database, Failing):
            services.database.gate.set()
        await services.close()


def file_of(services: Services) -> Failing:
    assert isinstance(services.database, Failing)
    return services.database


async def observe(service: ForecastService, unique_id: str, *values: float) -> None:
    """Observe values at the times 1, 2 and so on."""
    for ds, y in enumerate(values, start=1):
        await service.observe(unique_id, y, ds, Clock.INTEGER)


def history(*values: float) -> History:
    return History(np.array(values), np.arange(1, len(values) + 1), Clock.INTEGER)


async def started(*calls: Any) -> list[asyncio.Task[Any]]:
    """Start calls, and let them come as far as they can."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    for _ in range(10):
        await asyncio.sleep(0)
    return tasks


# Observations that wait together


@pytest.mark.parametrize("store", STORES)
async def test_an_observation_that_cannot_be_taken_keeps_no_other_waiting(
    folder: Path, tmp_path: Path, store: str
) -> None:
    """A step beyond 64 bits once left all that had come together without an answer, for ever."""
    async with opened(folder, tmp_path / "s.db", store) as services:
        service = services.get()

        async with asyncio.timeout(5):
            answers = await asyncio.gather(
                service.observe("a", 1.0, 1, Clock.INTEGER),
                service.observe("b", 1.0, 1, Clock.INTEGER, expected_step=10**30),
                return_exceptions=True,
            )
            after = await service.observe("c", 1.0, 1, Clock.INTEGER)

        assert all(isinstance(answer, OverflowError) for answer in answers)
        assert after.step == 1


async def test_observations_whose_taking_is_cut_off_are_cut_off_too(
    folder: Path, tmp_path: Path
) -> None:
    async with opened(folder, tmp_path / "s.db") as services:
        service = services.get()
        file_of(services).gate.clear()
        (waiting,) = await started(service.observe("a", 1.0, 1, Clock.INTEGER))
        taking = service._taking
        assert taking is not None

        taking.cancel()

        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(waiting, 5)


async def test_an_observation_whose_caller_went_before_its_turn_is_not_taken(
    folder: Path, tmp_path: Path
) -> None:
    async with opened(folder, tmp_path / "s.db") as services:
        service = services.get()
        file_of(services).gate.clear()
        (first,) = await started(service.observe("a", 1.0, 1, Clock.INTEGER))
        gone, kept = await started(
            *(service.observe(one, 1.0, 1, Clock.INTEGER) for one in ("gone", "kept"))
        )

        gone.cancel()
        await asyncio.sleep(0)
        held = len(service._waiting)
        file_of(services).gate.set()
        await asyncio.gather(first, kept)

        assert held == 1
        assert await service.store.ids() == ["a", "kept"]


# Seeds and what happens meanwhile


async def correct(service: ForecastService) -> None:
    await service.correct("a", 7.0, 2, Clock.INTEGER)


async def reset(service: ForecastService) -> None:
    await service.reset("a")


async def begin_anew(service: ForecastService) -> None:
    await service.delete("a")
    await service.seed_from_series("a", "copy")


async def seed(service: ForecastService) -> None:
    await service.seed("a", history(*np.arange(5000.0)))


async def copy(service: ForecastService) -> None:
    await service.seed_from_series("a", "other")


class Meddler:
    """A store that does something else once, after it was read from."""

    def __init__(self, service: ForecastService, meddle: Any) -> None:
        self._service, self._store, self._meddle = service, service.store, meddle

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def read(self, ids: Sequence[str]) -> Records:
        self._service.store = self._store
        found = await self._store.read(ids)
        await self._meddle(self._service)
        return found


@pytest.mark.parametrize("begin", [seed, copy])
@pytest.mark.parametrize(
    ("store", "meddle"),
    [
        ("sqlite", correct),
        ("sqlite", reset),
        ("sqlite", begin_anew),
        ("memory", reset),
    ],
)
async def test_a_seed_never_erases_what_was_acknowledged_meanwhile(
    folder: Path, tmp_path: Path, store: str, meddle: Any, begin: Any
) -> None:
    """A correction and a reset leave step, time and value of the last observation as they are."""
    async with opened(folder, tmp_path / "s.db", store) as services:
        service = services.get()
        await observe(service, "a", 1.0, 2.0, 3.0)
        await observe(service, "other", 1.0, 2.0)
        await service.seed_from_series("copy", "a")
        service.store = Meddler(service, meddle)  # type: ignore[assignment]

        with pytest.raises(ConflictError, match="send the seed again"):
            await begin(service)

        assert (await service.status("a")).step == 3
        await begin(service)
        assert (await service.status("a")).step == (5000 if begin is seed else 2)


@pytest.mark.parametrize("store", STORES)
async def test_a_series_whose_last_value_is_missing_can_be_seeded(
    folder: Path, tmp_path: Path, store: str
) -> None:
    async with opened(folder, tmp_path / "s.db", store) as services:
        service = services.get()
        await observe(service, "a", 1.0, 2.0, 3.0, NAN)

        seeded = await service.seed("a", history(1.0, 2.0))

        assert seeded.step == 2


class Restless:
    """A store whose series has moved whenever it is read."""

    def __init__(self, service: ForecastService) -> None:
        self._store = service.store
        self._reads = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def read(self, ids: Sequence[str]) -> Records:
        self._reads += 1
        found = await self._store.read(ids)
        found["step"] += self._reads
        return found


async def test_a_correction_that_is_always_overtaken_says_so(folder: Path, tmp_path: Path) -> None:
    async with opened(folder, tmp_path / "s.db") as services:
        service = services.get()
        await observe(service, "a", 1.0, 2.0, 3.0)
        service.store = Restless(service)  # type: ignore[assignment]

        with pytest.raises(ConflictError, match="while it was corrected; send the correction"):
            await service.correct("a", 7.0, 2, Clock.INTEGER)


# Resets


async def test_a_reset_of_all_that_failed_on_the_way_says_how_many_were_reset(
    folder: Path, tmp_path: Path
) -> None:
    """2048 of 3001 series were reset once, and the answer was that nothing had moved."""
    async with opened(folder, tmp_path / "s.db") as services:
        service = services.get()
        names = [f"s{number:04}" for number in range(BLOCK + 1)]
        await asyncio.gather(*(service.seed(one, history(1.0, 2.0)) for one in names))
        before = [record.tobytes() for record in await service.store.read(names)]
        file_of(services).commits_left = 1

        with pytest.raises(ResetUnfinishedError) as caught:
            await service.reset_all()

        after = [record.tobytes() for record in await service.store.read(names)]
        problem = document_of(caught.value)
        assert sum(one != other for one, other in zip(before, after, strict=True)) == BLOCK
        assert problem["status"] == 503
        assert problem["type"] == "urn:stepcast:store-unavailable"
        assert problem["reset"] == BLOCK
        assert f"{BLOCK} of {BLOCK + 1} series were reset" in str(problem["detail"])
        assert "database or disk is full" in str(problem["detail"])
        assert "nothing moved" not in str(problem["detail"])

        with pytest.raises(StoreUnavailableError, match="nothing moved") as again:
            await service.reset_all()
        assert not isinstance(again.value, ResetUnfinishedError)

        file_of(services).commits_left = float("inf")
        assert (await service.reset_all()).reset == BLOCK + 1


# The end


async def test_a_store_that_cannot_be_closed_keeps_no_other_open(
    folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "s.db"
    settings = Settings(models=folder, model="one", store=f"sqlite:///{file}")
    services = load_services(settings)
    closed = []

    def closing(name: str) -> Any:
        async def close() -> None:
            closed.append(name)
            raise OSError(name)

        return close

    for service in services:
        service.store.close = closing(service.model.name)  # type: ignore[method-assign]

    with pytest.raises(OSError, match=r"one|two"):
        await services.close()

    assert sorted(closed) == ["one", "two"]
    again = load_services(settings)  # so it let go of the file
    await again.close()


async def test_what_is_logged_of_damage_says_where_it_is_and_names_no_series(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(folder, tmp_path / "s.db") as services:
        await observe(services.get(), "customer-4711", 1.0, 2.0, 3.0)
    with closing(sqlite3.connect(tmp_path / "s.db", isolation_level=None)) as file:
        file.execute("UPDATE history SET entries = zeroblob(length(entries))")
    async with opened(folder, tmp_path / "s.db") as services:
        with pytest.raises(StoreDamagedError) as caught:
            await services.get().history("customer-4711", 10)

        problem = document_of(caught.value)

    assert problem["status"] == 500
    assert "history of series number " in caplog.text
    assert "4711" not in caplog.text + str(problem)


# The page that says all this


def test_every_test_that_the_page_on_reliability_names_is_there() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text()
    named = re.findall(r"(test_\w+\.py)(?:::(test_\w+))?", page)

    assert len(named) > 30
    for file, test in named:
        assert f"def {test}" in (ROOT / "tests" / "app" / file).read_text(), test

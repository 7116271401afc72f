"""The file: whose it is, what becomes of it when publishing fails, and what a start reads of it."""

import asyncio
import logging
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from app.service import ForecastService
from app.services import load_services
from app.settings import Settings
from app.store.database import Database, Statement
from app.store.protocol import Records
from app.store.sqlite import SqliteStore
from forecaster.calendar import Clock
from forecaster.errors import StoreDamagedError, StoreOpenError, StoreUnavailableError
from tests.app.running import ROOT, environment, serving, stepcast
from tests.crash.ledger import unlike
from tests.crash.place import Place, make_place

pytestmark = pytest.mark.anyio

NAME = "customer-4711"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return make_place(tmp_path)


@asynccontextmanager
async def opened(
    place: Place, make_database: Callable[[Path], Database] = Database, **settings: Any
) -> AsyncIterator[ForecastService]:
    """Serve a store in this process."""
    chosen = Settings(models=place.models, store=f"sqlite:///{place.store}", **settings)
    services = load_services(chosen, make_database)
    try:
        yield services.get()
    finally:
        await services.close()


def store_of(service: ForecastService) -> SqliteStore:
    assert isinstance(service.store, SqliteStore)
    return service.store


async def observe_each(service: ForecastService, names: Sequence[str], ds: int) -> None:
    """Observe a value of each series, another one for each and each time."""
    for number, name in enumerate(names):
        await service.observe(name, float(np.sin(number + ds)), ds, Clock.INTEGER)


async def records_of(service: ForecastService) -> dict[str, Records]:
    ids = await service.store.ids()
    return dict(zip(ids, np.split(await service.store.read(ids), len(ids)), strict=True))


def assert_like(found: dict[str, Records], expected: dict[str, Records]) -> None:
    assert found.keys() == expected.keys()
    for name, record in expected.items():
        assert unlike(found[name], record) is None, name


# Whose it is


@contextmanager
def owned(file: Path) -> Iterator[Database]:
    database = Database(file)
    yield database
    database.release()


def open_elsewhere(file: Path, cwd: Path = ROOT) -> str:
    """Open a file as a store in another process, and return what that one said of it."""
    script = (
        "import sys; from pathlib import Path; from app.store.database import Database\n"
        "from forecaster.errors import StoreOpenError\n"
        "try: Database(Path(sys.argv[1])).release()\n"
        "except StoreOpenError as error: print(error)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, str(file)],
        check=True,
        capture_output=True,
        cwd=cwd,
        encoding="utf-8",
        env=environment({"PYTHONPATH": str(ROOT)}),
        timeout=60,
    )
    return ended.stdout


def test_a_file_has_one_owner_by_whatever_path_it_is_named(tmp_path: Path) -> None:
    """By a link to it a second process once started, and what either acknowledged was lost."""
    file = tmp_path / "s.db"
    with owned(file):
        (tmp_path / "link.db").symlink_to(file)
        (tmp_path / "folder").symlink_to(tmp_path)

        for path in (tmp_path / "link.db", tmp_path / "folder" / "s.db", Path("s.db")):
            refusal = open_elsewhere(path, cwd=tmp_path)
            assert f"store {file}: process {os.getpid()} owns it" in refusal

    assert open_elsewhere(tmp_path / "link.db") == ""


def test_a_link_to_a_file_that_is_not_there_yet_makes_it_where_it_points(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "there" / "s.db")

    Database(tmp_path / "link.db").release()

    assert (tmp_path / "there" / "s.db").stat().st_size > 0


@pytest.mark.skipif(sys.platform != "linux", reason="the file itself is locked on Linux only")
def test_a_file_has_one_owner_though_its_lock_file_was_removed(tmp_path: Path) -> None:
    file = tmp_path / "s.db"
    with owned(file):
        (tmp_path / "s.db.lock").unlink()

        for _ in range(2):  # a lock file that the first one left changes nothing
            assert f"store {file}: another process owns it" in open_elsewhere(file)

    assert open_elsewhere(file) == ""


def test_the_owner_keeps_the_locks_of_sqlite(tmp_path: Path) -> None:
    """They go when any descriptor of the file is closed; then others take the log away."""
    file, log = tmp_path / "s.db", tmp_path / "s.db-wal"
    with owned(file) as database:
        database.execute(
            [("INSERT INTO models (name, fingerprint, layout) VALUES ('m', 'f', '[]')", [()])]
        )
        open_elsewhere(file)
        script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM"
        script += " models').fetchall(); c.close()"

        subprocess.run([sys.executable, "-c", script, str(file)], check=True, timeout=60)

        assert log.stat().st_size > 0


def test_a_file_of_several_names_is_refused(tmp_path: Path) -> None:
    """Its log is named after it, so what one name's process left would be missed by the other's."""
    file = tmp_path / "s.db"
    Database(file).release()
    (tmp_path / "other.db").hardlink_to(file)

    with pytest.raises(StoreOpenError, match=r"s\.db: .* 2 hard links.*copies"):
        Database(file)


# What is no file


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (":memory:", "STEPCAST_STORE=memory"),
        ("/dev/null", "no regular file"),
        ("folder", "no regular file"),
        ("pipe", "no regular file"),
        ("loop", "cannot be opened"),
    ],
)
def test_what_is_no_file_is_refused_and_nothing_is_left(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, reason: str
) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*")), sorted(Path("/dev").iterdir())

    with pytest.raises(StoreOpenError, match=reason) as refused:
        Database(Path(path))

    assert str(path) in str(refused.value)
    assert "copy of it" not in str(refused.value)
    assert (sorted(tmp_path.rglob("*")), sorted(Path("/dev").iterdir())) == before


def test_a_store_in_memory_is_refused_in_one_line(place: Place) -> None:
    variables = place.variables() | {"STEPCAST_STORE": "sqlite:///:memory:"}

    ended = stepcast("serve", "--port", "0", variables=variables)

    assert ended.returncode == 1
    assert "STEPCAST_STORE=memory" in "".join(ended.stderr.split())
    assert not (ROOT / ":memory:.lock").exists()


def test_a_disk_on_which_there_can_be_no_write_ahead_log_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one without shared memory is, of which SQLite only says that it took another journal."""
    connect = sqlite3.connect
    connections: list[sqlite3.Connection] = []

    def connect_without_memory(path: Path, **kwargs: Any) -> sqlite3.Connection:
        connections.append(connect(f"file:{path}?vfs=unix-none", uri=True, **kwargs))
        return connections[-1]

    monkeypatch.setattr(sqlite3, "connect", connect_without_memory)

    with pytest.raises(StoreOpenError, match=r"s\.db: .*journal_mode.*'wal'.*local disk"):
        Database(tmp_path / "s.db")

    assert_closed(connections)


def assert_closed(connections: list[sqlite3.Connection]) -> None:
    assert connections
    for connection in connections:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")


def test_what_was_opened_is_closed_when_the_opening_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "s.db"
    Database(file).release()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("DROP TABLE log")
    connect = sqlite3.connect
    connections: list[sqlite3.Connection] = []

    def remember(path: Path, **kwargs: Any) -> sqlite3.Connection:
        connections.append(connect(path, **kwargs))
        return connections[-1]

    monkeypatch.setattr(sqlite3, "connect", remember)

    with pytest.raises(StoreOpenError, match="no such table: log"):
        Database(file)

    assert len(connections) == 2
    assert_closed(connections)


def test_a_file_that_another_program_has_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "s.db"
    monkeypatch.setattr("app.store.database._BUSY_MS", 1)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("CREATE TABLE t (a)")

        with pytest.raises(StoreOpenError, match=r"s\.db: .*locked; another program") as refused:
            Database(file)

    assert "put back" not in str(refused.value)


# When publishing fails


class Spoiled(Database):
    """A file of which what is made durable cannot be published while `is_spoiled`."""

    is_spoiled = False

    def submit(
        self,
        statements: Sequence[Statement],
        publish: Callable[[], None] = lambda: None,
        withdraw: Callable[[], None] = lambda: None,
    ) -> "asyncio.Future[None]":
        def fail() -> None:
            raise KeyError(NAME)

        return super().submit(statements, fail if self.is_spoiled else publish, withdraw)


async def test_nothing_hangs_or_is_answered_after_publishing_failed(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """No call was ever answered again, of any model, and none was refused."""
    async with opened(place, Spoiled) as service:
        database = store_of(service)._database
        assert isinstance(database, Spoiled)
        await observe_each(service, [NAME], 1)
        database.is_spoiled = True
        spoiled = asyncio.ensure_future(service.observe(NAME, 2.0, 2, Clock.INTEGER))
        while database._draining is None:
            await asyncio.sleep(0)
        database.is_spoiled = False
        calls = [
            spoiled,
            service.observe("other", 1.0, 1, Clock.INTEGER),
            service.reset(NAME),
            service.history(NAME, 10),
        ]

        async with asyncio.timeout(20):
            during = await asyncio.gather(*calls, return_exceptions=True)
            after = await asyncio.gather(
                service.observe(NAME, 3.0, 3, Clock.INTEGER),
                service.observe(NAME, 2.0, 2, Clock.INTEGER),
                service.delete(NAME),
                service.history(NAME, 10),
                return_exceptions=True,
            )
            await store_of(service).checkpoint()

    for failure in (*during, *after):
        assert isinstance(failure, StoreUnavailableError)
        assert "must be restarted" in str(failure)
    logged = [one for one in caplog.records if one.name == "app.store.database"]
    assert [one.levelno for one in logged] == [logging.ERROR]
    assert "KeyError" in logged[0].getMessage()
    assert NAME not in caplog.text
    async with opened(place) as service:
        assert (await service.status(NAME)).step == 2  # it was durable
        assert (await service.observe(NAME, 2.0, 2, Clock.INTEGER)).status == "duplicate"


async def test_nothing_hangs_after_withdrawing_failed(tmp_path: Path) -> None:
    def fail() -> None:
        raise KeyError(NAME)

    database = Database(tmp_path / "s.db")
    calls = [database.submit([("no SQL", [()])], withdraw=fail), database.submit([])]

    async with asyncio.timeout(20):
        failures = await asyncio.gather(*calls, return_exceptions=True)
        with pytest.raises(StoreUnavailableError, match="must be restarted"):
            await database.fetch("SELECT 1")
        with pytest.raises(StoreUnavailableError, match="must be restarted"):
            database.check()
        await database.close()

    assert [type(one) for one in failures] == [StoreUnavailableError] * 2


# What a start reads


@pytest.mark.parametrize("limit", [1, 30, 10**6])
async def test_the_limit_of_memory_holds_at_a_start_too(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """All series with observations since the last checkpoint were loaded, whatever the limit."""
    names = [f"{number:03}" for number in range(100)]
    size = place.model.forecaster.dtype.itemsize
    monkeypatch.setattr("app.store.recovery._BLOCK_BYTES", 7 * size)
    async with opened(place) as service:
        await observe_each(service, names, 1)
        await store_of(service).checkpoint()
        await observe_each(service, names[20:], 2)
        await observe_each(service, names[20::7], 3)
        await observe_each(service, ["new", *names[20::14]], 4)
        expected = await records_of(service)
        killed = place.copy(tmp_path / "killed")

    for _ in range(2):  # what was written back by the first start is found by the second
        async with opened(killed, max_memory_bytes=limit * size) as service:
            held = store_of(service)._cache.size_bytes
            again = killed.copy(tmp_path / "again")

            assert held == min(limit, len(names) + 1) * size
            assert_like(await records_of(service), expected)
            assert len((await service.history(names[48], 10)).history) == 4
        killed = again


async def test_series_that_were_in_use_are_held_rather_than_others(
    place: Place, tmp_path: Path
) -> None:
    names = [f"{number:03}" for number in range(100)]
    async with opened(place) as service:
        await observe_each(service, names, 1)
        await store_of(service).checkpoint()
        await observe_each(service, names[90:], 2)
        killed = place.copy(tmp_path / "killed")
    size = place.model.forecaster.dtype.itemsize

    async with opened(killed, max_memory_bytes=20 * size) as service:
        store = store_of(service)
        assert store._cache.holds(store._find(names[90:])).all()
        assert len(store._cache) == 20


# Damage


async def filled(place: Place) -> bytes:
    """Fill a store, and return the bytes of its file after a stop."""
    async with opened(place) as service:
        await observe_each(service, [NAME, "other"], 1)
        await observe_each(service, [NAME, "other"], 2)
    return place.store.read_bytes()


async def test_a_flipped_bit_in_a_name_is_noticed(place: Place) -> None:
    """A series was served by another name: that of 4710 was there, with the records of 4711."""
    content = await filled(place)
    name = NAME.encode()
    at = [i for i in range(len(content)) if content.startswith(name, i)]
    assert len(at) == 2  # in the table, and in its index

    for start in at:
        damaged = bytearray(content)
        damaged[start + len(name) - 1] ^= 1
        place.store.write_bytes(damaged)
        with pytest.raises(StoreDamagedError, match=r"store\.db: names of series.*index"):
            load_services(Settings(models=place.models, store=f"sqlite:///{place.store}"))

    place.store.write_bytes(content)
    async with opened(place) as service:
        assert (await service.status(NAME)).step == 2


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE series SET step = step + 4 WHERE id = 1",
        "UPDATE series SET record = substr(record, 1, 40) WHERE id = 1",
        "UPDATE series SET record = zeroblob(length(record)) WHERE id = 1",
    ],
)
async def test_damage_is_told_by_number_and_not_by_name(place: Place, damage: str) -> None:
    await filled(place)
    with closing(sqlite3.connect(place.store)) as connection, connection:
        connection.execute(damage)

    with pytest.raises(StoreDamagedError, match="record of series number 1") as refused:
        load_services(Settings(models=place.models, store=f"sqlite:///{place.store}"))

    assert NAME not in str(refused.value)


@pytest.mark.parametrize("layout", ["[[", '[["step", "nonsense"]]', "7", '[["step", "<i8", 1]]'])
async def test_a_damaged_layout_is_refused(place: Place, layout: str) -> None:
    await filled(place)
    with closing(sqlite3.connect(place.store)) as connection, connection:
        connection.execute("UPDATE models SET layout = ?", [layout])

    with pytest.raises(StoreDamagedError, match=r"store\.db: layout of"):
        load_services(Settings(models=place.models, store=f"sqlite:///{place.store}"))


# Copies


async def test_a_copy_may_be_made_while_it_serves(place: Place, tmp_path: Path) -> None:
    """With `.backup` it began again whenever something was committed, and may never have ended."""
    acknowledged: dict[str, int] = {}

    async def observe(client: httpx.AsyncClient, name: str) -> None:
        with suppress(asyncio.CancelledError):
            while True:
                ds = acknowledged.get(name, 0) + 1
                body = {"unique_id": name, "ds": ds, "y": float(np.sin(ds))}
                answer = await client.post("/observe", json=body)
                assert answer.status_code == 200
                acknowledged[name] = ds

    def copy(number: int) -> Place:
        copied = Place(place.models, tmp_path / f"copy-{number}.db")
        with closing(sqlite3.connect(place.store)) as connection:
            connection.execute(f"VACUUM INTO '{copied.store}'")
        return copied

    copies = []
    with serving(variables=place.variables()) as process:
        async with httpx.AsyncClient(base_url=process.url) as client:
            observing = [asyncio.create_task(observe(client, name)) for name in ("a", "b", "c")]
            async with asyncio.timeout(20):
                while len(acknowledged) < len(observing):
                    await asyncio.sleep(0.01)
            for number in range(10):
                await asyncio.sleep(0.05)
                before = dict(acknowledged)
                copies.append((before, await asyncio.to_thread(copy, number)))
            for one in observing:
                one.cancel()
            await asyncio.gather(*observing)
        assert process.stop() == 0
        assert "[error" not in process.log

    for before, copied in copies:
        async with opened(copied) as service:
            for name, step in before.items():
                found = (await service.status(name)).step
                assert found >= step
                assert (await service.history(name, 1)).history[0].step == found
    assert sum(copies[-1][0].values()) > sum(copies[0][0].values())

"""A disk that fails costs no state, only answers: writes are refused until it works again.

The disk is a real one under `faults.c`, which stands between the service and its files; and, where
the test may mount one, a small one that is full.
"""

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from app.store.sqlite import SqliteStore
from forecaster.calendar import Clock
from forecaster.errors import ForecastError
from tests.app.running import Process, serving, stepcast
from tests.crash.callers import Answer, Connection, Load, make_load
from tests.crash.disk import FailingDisk, build
from tests.crash.ledger import Content, contents, unlike
from tests.crash.place import Place, make_place

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills processes")

FAULTS = ["write ENOSPC", "write EIO", "write EROFS", "sync EIO"]

# All series, and hardly any: the others are in the file, and come back when asked for.
MEMORY_BYTES = [10**9, 1500]

DEADLINE_SECONDS = 20.0


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("disk"))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return make_place(tmp_path)


@pytest.fixture
def disk(library: Path, place: Place) -> FailingDisk:
    return FailingDisk(library, place.store)


def load_of(place: Place) -> Load:
    """Return callers whose batches hold no series twice, so that each is taken or not."""
    return make_load(
        "faults", callers=3, series=3, context=place.context, keep=place.keep, repeats=False
    )


async def call(load: Load, connection: Connection, times: int) -> int:
    """Have callers call in turn, and return how many calls were refused."""
    before = load.refused
    for number in range(times):
        await load.call(connection, number % len(load.callers))
    return load.refused - before


# A series that is nobody else's, for calls of which it is known that they write.
OWN = "own"
WRITES: list[tuple[str, str, dict[str, Any] | None]] = [
    ("POST", "/observe", {"unique_id": OWN, "ds": 4, "y": 1.0}),
    ("POST", "/observe", {"unique_id": OWN, "ds": 2, "y": 1.5, "correct": True}),
    ("POST", "/observe", {"unique_id": "another", "ds": 1, "y": 1.0}),
    ("POST", "/observe/batch", {"unique_id": [OWN, "another"], "ds": [4, 1], "y": [1.0, 2.0]}),
    ("POST", "/seed-state", {"unique_id": OWN, "y": [1.0, 2.0, 3.0]}),
    ("POST", "/seed-state", {"unique_id": "another", "copy_from": OWN}),
    ("POST", "/seed-state/batch", {"unique_id": [OWN, OWN], "y": [1.0, 2.0]}),
    ("POST", "/reset-state", {"unique_id": OWN}),
    ("POST", "/reset-state", {"all": True}),
    ("DELETE", f"/series/{OWN}", None),
]


async def seed_own(connection: Connection) -> None:
    body = {"unique_id": OWN, "y": [1.0, 2.0, 3.0], "ds": [1, 2, 3]}
    assert (await connection.send("POST", "/seed-state", body)).status == 200


async def check_refused(connection: Connection) -> None:
    """Check that whatever writes is refused, in a way that a caller can act on."""
    for method, path, body in WRITES:
        answer = await connection.send(method, path, body)
        assert answer.status == 503, (path, body, answer)
        assert answer.headers["content-type"] == "application/problem+json"
        assert int(answer.headers["retry-after"]) > 0
        assert answer.json()["type"] == "urn:stepcast:store-unavailable"


async def read_all(connection: Connection) -> dict[str, Any]:
    """Return all that can be read."""
    listed = await connection.send("GET", "/series?limit=1000")
    found = {"series": told(listed)}
    for name in [one["unique_id"] for one in found["series"]["series"]]:
        for path in (f"/series/{name}", f"/series/{name}/history?limit=10000"):
            found[path] = told(await connection.send("GET", path))
        forecast = await connection.send("POST", "/forecast", {"unique_id": name, "h": 3})
        found[f"forecast of {name}"] = forecast.status, forecast.json()
    names = [one["unique_id"] for one in found["series"]["series"]]
    body = {"unique_id": names, "level": [80]}
    found["batch"] = told(await connection.send("POST", "/forecast/batch", body))
    return found


def told(answer: Answer) -> Any:
    assert answer.status == 200, answer
    return answer.json()


@pytest.mark.parametrize("memory_bytes", MEMORY_BYTES)
@pytest.mark.parametrize("fault", FAULTS)
def test_while_the_disk_fails_writes_are_refused_and_reads_go_on(
    place: Place, disk: FailingDisk, fault: str, memory_bytes: int
) -> None:
    load = load_of(place)

    async def check(process: Process) -> None:
        async with Connection(process.url) as connection:
            await seed_own(connection)
            assert await call(load, connection, 90) == 0
            before = await read_all(connection)

            with disk.broken(fault):
                await check_refused(connection)
                assert await call(load, connection, 30) > 10
                assert await read_all(connection) == before

            assert await read_all(connection) == before
            assert await call(load, connection, 90) == 0
            deleted = await connection.send("DELETE", f"/series/{OWN}")
            assert deleted.status == 204

    variables = place.variables(memory_bytes=memory_bytes) | disk.variables()
    with serving(variables=variables) as process:
        asyncio.run(check(process))
        process.tell(signal.SIGKILL)
        assert "Traceback" not in process.log
    place.settle(load)


@pytest.mark.parametrize("memory_bytes", MEMORY_BYTES)
def test_a_disk_that_comes_and_goes_under_load_costs_nothing_that_was_acknowledged(
    place: Place, disk: FailingDisk, memory_bytes: int
) -> None:
    load, random = load_of(place), Random(memory_bytes)

    async def check(process: Process) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(load.run(process.url))
            for number in range(30):
                with disk.broken(FAULTS[number % len(FAULTS)]):
                    refused = load.refused
                    await until(lambda: load.refused > refused)  # noqa: B023
                    await asyncio.sleep(random.uniform(0.0, 0.03))
                answered = load.calls - load.refused + random.randint(5, 40)
                await until(lambda: load.calls - load.refused > answered)  # noqa: B023
            process.tell(signal.SIGKILL)

    variables = place.variables(memory_bytes=memory_bytes) | disk.variables()
    with serving(variables=variables) as process:
        asyncio.run(check(process))
        assert "Traceback" not in process.log
    place.settle(load)


async def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("fault", FAULTS)
def test_what_was_refused_is_not_there_after_a_crash_either(
    place: Place, disk: FailingDisk, fault: str
) -> None:
    """A commit of which only the sync failed was once found in the log by the next process.

    It had been refused with "nothing moved; send it again", which without a `ds` would double it.
    """
    with serving(variables=place.variables() | disk.variables()) as process:
        observe = f"{process.url}/observe"
        httpx.post(observe, json={"unique_id": "a", "y": 1.0}).raise_for_status()
        with disk.broken(fault):
            refused = httpx.post(observe, json={"unique_id": "a", "y": 2.0})
            process.tell(signal.SIGKILL)
            process.wait()

    with serving(variables=place.variables()) as process:
        found = httpx.get(f"{process.url}/series/a/history").json()["history"]

    assert refused.status_code == 503
    assert [one["y"] for one in found] == [1.0]


# A disk that is really full


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A folder with room for 2 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=False, capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("may not mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill_up(folder: Path) -> Path:
    """Take all the room that there is in a folder, and return the file that has it."""
    filler = folder / "filler"
    with filler.open("ab", buffering=0) as file:
        for size in (65536, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return filler


def test_a_full_disk_costs_nothing_that_was_acknowledged(
    place: Place, small: Path, tmp_path: Path
) -> None:
    full = Place(place.models, small / "store.db", place.keep)
    load = load_of(full)

    async def check(process: Process) -> None:
        async with Connection(process.url) as connection:
            assert await call(load, connection, 60) == 0
            before = load.refused
            filler = fill_up(small)
            # There may be room in the files for some more.
            deadline = time.monotonic() + DEADLINE_SECONDS
            while load.refused < before + 30:
                await call(load, connection, 1)
                assert time.monotonic() < deadline
            read = await read_all(connection)
            await call(load, connection, 1)
            assert await read_all(connection) == read
            filler.unlink()
            assert await call(load, connection, 60) == 0

    with serving(variables=full.variables()) as process:
        asyncio.run(check(process))
        process.tell(signal.SIGKILL)
        assert "Traceback" not in process.log
    full.copy(tmp_path / "copy").settle(load)


def test_a_service_does_not_start_on_a_full_disk(place: Place, small: Path) -> None:
    full = Place(place.models, small / "store.db", place.keep)
    fill_up(small)

    check_not_started(full)


# A store that another process has


def test_a_store_that_is_locked_refuses_writes_until_it_is_not(place: Place) -> None:
    """As a copy that is being made, or a look into it with `sqlite3`, may lock it."""
    with serving(variables=place.variables()) as process, httpx.Client() as client:
        client.base_url = httpx.URL(process.url)
        client.post("/observe", json={"unique_id": "a", "y": 1.0}).raise_for_status()
        client.post("/observe", json={"unique_id": "a", "y": 2.0}).raise_for_status()
        before = client.get("/series/a").json()
        other = sqlite3.connect(place.store, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")

        started = time.monotonic()
        refused = client.post("/observe", json={"unique_id": "a", "y": 3.0}, timeout=30)
        waited = time.monotonic() - started
        during = client.get("/series/a").json()
        other.execute("ROLLBACK")
        other.close()
        after = client.post("/observe", json={"unique_id": "a", "y": 3.0})

    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"
    assert 1.5 < waited < 10
    assert during == before
    assert (after.status_code, after.json()["step"]) == (200, 3)


def test_a_store_has_one_owner(place: Place) -> None:
    with serving(variables=place.variables()) as process:
        httpx.post(f"{process.url}/observe", json={"unique_id": "a", "y": 1.0}).raise_for_status()

        check_not_started(place, f"process {process.pid} owns it", altered=True)

        again = httpx.post(f"{process.url}/observe", json={"unique_id": "a", "y": 2.0})
        assert again.json()["step"] == 2


def test_the_lock_of_a_process_that_is_gone_is_no_obstacle(place: Place) -> None:
    lock = place.store.with_name(f"{place.store.name}.lock")
    with serving(variables=place.variables()) as process:
        process.tell(signal.SIGKILL)
        process.wait()
    assert lock.read_text() == str(process.pid)

    with serving(variables=place.variables()) as process:
        assert lock.read_text() == str(process.pid)
        assert httpx.get(f"{process.url}/series").json()["series"] == []


# A store that cannot be opened


def check_not_started(place: Place, *reasons: str, altered: bool = False) -> None:
    """Check that a service says in one line why it does not start, and leaves the store alone.

    Args:
        place: Where the store is.
        reasons: What the line must say, besides the name of the file.
        altered: Whether somebody else may alter it.
    """
    before = place.files()

    ended = stepcast("serve", "--port", "0", variables=place.variables())

    assert ended.returncode == 1
    message = " ".join(ended.stderr.split())  # lines are broken where the terminal would end
    assert "Traceback" not in message
    assert ".py" not in message
    assert "INFO" not in message
    for reason in (str(place.store), *reasons):
        assert reason.replace(" ", "") in message.replace(" ", "")
    assert altered or place.files() == before


@pytest.fixture
def kept(place: Place, tmp_path: Path) -> Place:
    """A store in one file, with records, their history, former records and a log."""

    async def fill() -> Place:
        services = place.open()
        service = services.get()
        for ds in range(1, 60):
            for name in NAMES:
                await service.observe(name, float(ds % 7), ds, Clock.INTEGER)
            if ds in (30, 50):
                assert isinstance(service.store, SqliteStore)
                await service.store.checkpoint()
        left = place.copy(tmp_path / "left")
        await services.close()
        return left

    left = asyncio.run(fill())
    with closing(sqlite3.connect(left.store)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert list(left.files()) == [left.store.name]
    return left


NAMES = ("a", "b", "c")


def flip(place: Place, query: str) -> None:
    """Flip a bit of a blob in the file."""
    with closing(sqlite3.connect(place.store)) as connection:
        ((blob,),) = connection.execute(query).fetchall()
    content = bytearray(place.store.read_bytes())
    at = content.find(blob[:100])
    assert at > 0
    content[at + 60] ^= 4
    place.store.write_bytes(content)


DAMAGE: dict[str, Callable[[Place], object]] = {
    "garbage": lambda place: place.store.write_bytes(Random(1).randbytes(50_000)),
    "text": lambda place: place.store.write_text("unique_id,ds,y\n" * 1000),
    "half": lambda place: os.truncate(place.store, place.store.stat().st_size // 2),
    "one page less": lambda place: os.truncate(place.store, place.store.stat().st_size - 4096),
    "a record": lambda place: flip(place, "SELECT record FROM series WHERE unique_id = 'b'"),
    "the log": lambda place: flip(place, "SELECT entries FROM log ORDER BY seq LIMIT 1"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_store_is_refused_and_left_alone(kept: Place, damage: str) -> None:
    DAMAGE[damage](kept)

    check_not_started(kept)


def test_a_damaged_history_is_no_wrong_answer(kept: Place) -> None:
    """It is not read at a start, which would take long; what does not need it is served."""
    flip(
        kept, "SELECT entries FROM history JOIN series ON series = id WHERE unique_id = 'b' LIMIT 1"
    )
    before = kept.files()

    with serving(variables=kept.variables()) as process, httpx.Client() as client:
        client.base_url = httpx.URL(process.url)
        past = client.get("/series/b/history")
        correction = {"unique_id": "b", "ds": 40, "y": 2.0, "correct": True}
        corrected = client.post("/observe", json=correction)
        others = [client.get(f"/series/{name}/history").status_code for name in "ac"]
        forecast = client.post("/forecast", json={"unique_id": "b"})

    assert past.status_code == corrected.status_code == 500
    assert past.json()["type"] == "urn:stepcast:store-damaged"
    assert others == [200, 200]
    assert forecast.status_code == 200
    assert kept.files()[kept.store.name] == before[kept.store.name]


def test_whichever_bit_is_flipped_no_number_of_a_series_is_wrong(kept: Place) -> None:
    """Names and the like have no checksum, so a flipped bit may lose a series, but not alter it."""
    whole = kept.store.read_bytes()
    expected = asyncio.run(look(kept))
    assert set(expected) == set(NAMES)
    random = Random(1)
    refused = 0
    for _ in range(FLIPS):
        content = bytearray(whole)
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
        for path in kept.store.parent.glob(f"{kept.store.name}-*"):
            path.unlink()
        kept.store.write_bytes(content)

        try:
            found = asyncio.run(look(kept))
        except ForecastError:
            refused += 1
            continue

        for name, one in found.items():
            if name in expected:
                assert unlike(one.record, expected[name].record) is None
    assert refused > FLIPS // 10


FLIPS = 200


async def look(place: Place) -> dict[str, Content]:
    services = place.open()
    try:
        return await contents(services.get().store, keep=place.keep)
    finally:
        await services.close()


def test_a_store_on_a_disk_that_cannot_be_written_is_refused(kept: Place, small: Path) -> None:
    fixed = kept.copy(small / "fixed")
    subprocess.run(["mount", "-o", "remount,ro", small], check=True)

    check_not_started(fixed)
    check_not_started(Place(kept.models, small / "new" / "store.db"), "Read-only")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_a_store_in_a_folder_that_may_not_be_written_is_refused(kept: Place) -> None:
    folder = kept.store.parent
    folder.chmod(0o500)
    try:
        check_not_started(kept, "Permission denied")
    finally:
        folder.chmod(0o700)

"""Row 6: what durability costs, with SQLite against records in memory, and how long a start takes.

Servers have one core, the thread that writes included. A commit waits for the disk that the
temporary folder (`TMPDIR`) is on, which is measured too: a page appended to a file and `fdatasync`.
"""

import asyncio
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter

from app.services import load_services
from app.settings import Settings
from benchmarks import batch, processes, wrk
from benchmarks.http import CALLERS
from benchmarks.measure import Lines, Note, Row, Samples, interleave, middle, row, timed
from benchmarks.model import make_forecaster, warm_records, write_model
from benchmarks.processes import Server

SERIES = 10_000
MEMORY = "memory"
SQLITE = "sqlite"
# Layers whose states make a record as large as the universal model's, 6.6 kB.
LARGE = (64,) * 12
STARTS = ((1_000_000, (32,)), (100_000, (32,)), (100_000, LARGE))
REPLAYED = 100_000
_PAGE = b"\0" * 4096
_BODIES = 5
_NANOSECONDS = 1e9


def run(folder: Path, *, quick: bool) -> Lines:
    """Return requests and series-steps a second, durable and not, and seconds to start."""
    models = folder / "models"
    write_model(models)
    lines: Lines = [_sync(folder, 5 if quick else 25)]
    with ExitStack() as running:
        servers = {
            SQLITE: running.enter_context(processes.stepcast(models, folder / "store.db")),
            MEMORY: running.enter_context(processes.stepcast(models)),
        }
        if wrk.is_installed():
            for callers in CALLERS:
                lines += _observe(
                    servers, callers, seconds=1 if quick else 2, rounds=2 if quick else 7
                )
        else:
            lines.append(Note("durable", wrk.MISSING))
        lines += _batches(servers, 3 if quick else 15)
    for number, units in STARTS[1:] if quick else STARTS:
        lines += _starts(folder, number // (10 if quick else 1), units, 1 if quick else 3)
    return lines


def _sync(folder: Path, rounds: int) -> Row:
    with (folder / "probe").open("wb", buffering=0) as file:

        def write() -> None:
            file.write(_PAGE)
            os.fdatasync(file.fileno())

        sample = timed(write)
        return row("durable", "a page and fdatasync", "us", [sample() for _ in range(rounds)])


def _observe(servers: dict[str, Server], callers: int, *, seconds: int, rounds: int) -> Lines:
    loads: dict[str, list[wrk.Load]] = {name: [] for name in servers}

    def sampler(name: str) -> Callable[[], float]:
        def sample() -> float:
            loads[name].append(wrk.load(servers[name], "observe", callers=callers, seconds=seconds))
            return loads[name][-1].per_second

        return sample

    samples = interleave({name: sampler(name) for name in servers}, rounds)
    lines: Lines = []
    for name, some in samples.items():
        facts = {
            "p50_ms": middle([load.p50_ms for load in loads[name]]),
            "p99_ms": middle([load.p99_ms for load in loads[name]]),
            "cpu_us": middle([load.cpu_us for load in loads[name]]),
        }
        against = {} if name == MEMORY else {MEMORY: samples[MEMORY]}
        text = f"/observe, {name}, {callers} caller{'s' if callers > 1 else ''}"
        lines.append(row("durable", text, "requests/s", some, against=against, facts=facts))
    return lines


def _batches(servers: dict[str, Server], rounds: int) -> Lines:
    bodies = [batch.body(SERIES, seed) for seed in range(_BODIES)]

    def sampler(server: Server) -> Callable[[], float]:
        connection = server.connect()

        def sample() -> float:
            start = perf_counter()
            for one in bodies:
                status, _ = processes.exchange(connection, batch.PATH, one)
                if status != 200:
                    raise RuntimeError(f"{batch.PATH} answered {status}")
            return (perf_counter() - start) / (_BODIES * SERIES) * _NANOSECONDS

        sample()  # the series become warm
        return sample

    samples = interleave({name: sampler(server) for name, server in servers.items()}, rounds)
    return [
        row(
            "durable",
            f"{batch.PATH}, {name}",
            "ns/series",
            some,
            against={} if name == MEMORY else {MEMORY: samples[MEMORY]},
            facts={"per_second": _NANOSECONDS / middle(some)},
        )
        for name, some in samples.items()
    ]


def _starts(folder: Path, number: int, units: tuple[int, ...], rounds: int) -> Lines:
    """Start on so many series, after a stop, and after a kill with observations to replay."""
    models, store = folder / f"models-{number}-{len(units)}", folder / "starts.db"
    write_model(models, *units)
    asyncio.run(_fill(models, store, number))
    seconds: dict[str, Samples] = {"stop": [], "kill": []}
    memory: dict[str, Samples] = {"stop": [], "kill": []}

    def start(after: str) -> None:
        with processes.stepcast(models, store) as server:
            status, answer = server.call("/forecast", {"unique_id": f"series-{number - 1}"})
            if status != 200:
                raise RuntimeError(f"/forecast answered {status}: {answer}")
            seconds[after].append(perf_counter() - server.started)
            memory[after].append(server.rss_mb())

    for _ in range(rounds):
        start("stop")
        _observe_and_kill(models, store)
        start("kill")
    size = store.stat().st_size / 1e6
    for path in folder.glob(f"{store.name}*"):
        path.unlink()
    record = make_forecaster(*units).dtype.itemsize
    return [
        row(
            "durable",
            f"start on {number:,} series of {record:,} bytes, after a {after}",
            "s",
            some,
            facts={"rss_mb": middle(memory[after]), "file_mb": size},
        )
        for after, some in seconds.items()
    ]


async def _fill(models: Path, store: Path, number: int) -> None:
    """Put so many series into a file."""
    settings = Settings(
        models=models, store=f"sqlite:///{store}", max_memory_bytes=4 * 10**9, start="empty"
    )
    services = load_services(settings)
    (service,) = services
    records = warm_records(service.model.forecaster, SERIES)
    for start in range(0, number, SERIES):
        names = [f"series-{one}" for one in range(start, start + SERIES)]
        await service.put(names, records)
    await services.close()


def _observe_and_kill(models: Path, store: Path) -> None:
    """Have a server observe a hundred thousand values, and end it at once."""
    with processes.stepcast(models, store) as server:
        connection = server.connect()
        for number in range(REPLAYED // SERIES):
            body = batch.body(SERIES, number, first=number * SERIES)
            status, answer = processes.exchange(connection, batch.PATH, body)
            if status != 200:
                raise RuntimeError(f"{batch.PATH} answered {status}: {answer[:200]!r}")
        server.process.kill()
        server.process.wait()

"""A service that runs for long takes no more memory, files or disk than soon after its start.

`make soak` does so for longer.
"""

import asyncio
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from statistics import median

import pytest

from forecaster.journal import ENTRY
from tests.app.running import Process, serving
from tests.crash.callers import Connection
from tests.crash.place import Place, make_place

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks into /proc")

REQUESTS = int(os.environ.get("SOAK_REQUESTS", "20000"))

CALLERS = 8
SERIES = 25  # of each caller
KEEP = 50
HORIZON = 3
# How often what the process takes is looked at, and how much of all that is warming up.
SAMPLES = 100
WARM_UP = 0.2
# How many samples make up what it took after warming up, and in the end.
COMPARED = 15
MOST_GROWTH = 1.05
# A checkpoint comes after half of it.
RECOVERY_SECONDS = 0.2
# What is kept of a series: twice as many observations as are asked for, and three records, its own
# and two to replay from. SQLite leaves pages half full. What came since the last checkpoint is in
# the file too: some thousand updates, of which most are small.
RECORD_BYTES = 300
MOST_STORE_BYTES = 2 * CALLERS * SERIES * (2 * KEEP * ENTRY.itemsize + 3 * RECORD_BYTES) + 2_000_000
# SQLite begins its log anew after a thousand pages, and a checkpoint of ours may come in between.
MOST_LOG_BYTES = 3 * 1000 * 4096


@dataclass(frozen=True)
class Sample:
    """What a process takes at a moment."""

    resident_bytes: int
    open_files: int
    store_bytes: int
    log_bytes: int


@dataclass
class Known:
    """Where a series of a caller stands."""

    ds: int
    y: float


@dataclass(frozen=True)
class Call:
    """A call, and the statuses that it may be answered with."""

    method: str
    path: str
    body: object = None
    statuses: tuple[int, ...] = (200,)


@dataclass
class Caller:
    """Calls for its own series, which are always there between two of its calls.

    Args:
        number: Which caller it is.
        random: Decides what it calls.
    """

    number: int
    random: Random = field(init=False)
    known: dict[str, Known] = field(init=False)

    def __post_init__(self) -> None:
        self.random = Random(self.number)
        self.known = {f"{self.number}-{name}": Known(0, 0.0) for name in range(SERIES)}

    def beginning(self) -> Iterator[Call]:
        """Yield calls that bring its series to where as much as may be is kept of each."""
        for _ in range(2 * KEEP // 10):
            yield self._observe_batch(list(self.known) * 10)

    def calls(self) -> Iterator[Call]:
        """Yield calls without end."""
        kinds = [
            *14 * [self._observe],
            *8 * [self._forecast],
            *4 * [self._retry],
            *2 * [self._status],
            *(self._conflict, self._gap, self._correct, self._missing),
            *(self._some, self._some_forecasts, self._inline, self._history, self._page),
            *(self._seed, self._seed_some, self._copy, self._reset, self._expect),
            *(self._bad, self._nowhere),
        ]
        while True:
            yield self.random.choice(kinds)(self.random.choice(list(self.known)))
            if self.random.random() < 0.01:
                yield from self._anew(self.random.choice(list(self.known)))

    def _observe(self, name: str) -> Call:
        one = self.known[name]
        one.ds, one.y = one.ds + 1, self._value()
        return self._post("/observe", unique_id=name, ds=one.ds, y=one.y)

    def _missing(self, name: str) -> Call:
        # A retry of it, or a conflict, would be about another value than NaN.
        self.known[name].ds += 2
        self.known[name].y = self._value()
        ds = [self.known[name].ds - 1, self.known[name].ds]
        return self._post(
            "/observe/batch", unique_id=2 * [name], ds=ds, y=[None, self.known[name].y]
        )

    def _gap(self, name: str) -> Call:
        self.known[name].ds += self.random.randint(1, 3)
        return self._observe(name)

    def _retry(self, name: str) -> Call:
        one = self.known[name]
        return self._post("/observe", unique_id=name, ds=one.ds, y=one.y)

    def _conflict(self, name: str) -> Call:
        one = self.known[name]
        return self._refused(409, "/observe", unique_id=name, ds=one.ds, y=one.y + 1)

    def _correct(self, name: str) -> Call:
        one = self.known[name]
        ds = one.ds - self.random.randint(1, KEEP // 2)
        body = {"unique_id": name, "ds": ds, "y": self._value(), "correct": True}
        # Of a series that was begun anew not long ago, or is a copy, so much is not kept.
        return Call("POST", "/observe", body, (200, 409))

    def _expect(self, name: str) -> Call:
        body = {"unique_id": name, "ds": self.known[name].ds + 1, "y": 1.0}
        return self._refused(412, "/observe", **body, expected_step=10**9)

    def _forecast(self, name: str) -> Call:
        h, level = self.random.randint(1, HORIZON), self.random.sample(range(1, 100), 2)
        return self._post("/forecast", unique_id=name, h=h, level=level, quantiles=[0.1])

    def _inline(self, _: str) -> Call:
        return self._post("/forecast", y=self._values(10), h=self.random.randint(1, HORIZON))

    def _some(self, _: str) -> Call:
        return self._observe_batch(self.random.choices(list(self.known), k=10))

    def _some_forecasts(self, _: str) -> Call:
        names = self.random.sample(list(self.known), 10)
        return self._post("/forecast/batch", unique_id=names, h=2, level=[80])

    def _seed(self, name: str) -> Call:
        values = self._values(10)
        self.known[name] = Known(len(values), values[-1])
        ds = list(range(1, len(values) + 1))
        return self._post("/seed-state", unique_id=name, y=values, ds=ds)

    def _seed_some(self, _: str) -> Call:
        names = self.random.sample(list(self.known), 3)
        for name in names:
            self.known[name] = Known(0, 0.0)
        return self._rows("/seed-state/batch", names * 10)

    def _copy(self, name: str) -> Call:
        source = self.random.choice(list(self.known))
        self.known[name] = Known(self.known[source].ds, self.known[source].y)
        return self._post("/seed-state", unique_id=name, copy_from=source)

    def _reset(self, name: str) -> Call:
        return self._post("/reset-state", unique_id=name)

    def _anew(self, name: str) -> Iterator[Call]:
        yield Call("DELETE", f"/series/{name}", None, (204,))
        yield Call("GET", f"/series/{name}", None, (404,))
        yield self._seed(name)

    def _status(self, name: str) -> Call:
        return Call("GET", f"/series/{name}")

    def _history(self, name: str) -> Call:
        return Call("GET", f"/series/{name}/history?limit={self.random.randint(1, 3 * KEEP)}")

    def _page(self, name: str) -> Call:
        return Call("GET", f"/series?limit={self.random.randint(1, 20)}&after={name}")

    def _bad(self, name: str) -> Call:
        bodies: list[object] = [
            {"unique_id": name, "y": "1"},
            {"unique_id": name, "y": 1, "field": self.random.random()},
            {"unique_id": name, "y": 1, "ds": "2024-02-30"},
            [name],
            {"unique_id": 300 * "x", "y": 1e308},
        ]
        return Call("POST", "/observe", self.random.choice(bodies), (422,))

    def _nowhere(self, name: str) -> Call:
        nobody = f"{name}-{self.random.random()}"
        return self.random.choice(
            [
                self._refused(404, "/forecast", unique_id=nobody),
                self._refused(404, "/observe", unique_id=name, y=1.0, model=nobody),
                Call("DELETE", f"/series/{nobody}", None, (404,)),
                Call("GET", f"/{nobody}", None, (404,)),
                Call("PUT", f"/series/{nobody}", None, (405,)),
            ]
        )

    def _observe_batch(self, names: list[str]) -> Call:
        return self._rows("/observe/batch", names)

    def _rows(self, path: str, names: list[str]) -> Call:
        ds, y = [], []
        for name in names:
            one = self.known[name]
            one.ds, one.y = one.ds + 1, self._value()
            ds.append(one.ds)
            y.append(one.y)
        return self._post(path, unique_id=names, ds=ds, y=y)

    def _post(self, path: str, **body: object) -> Call:
        return Call("POST", path, body)

    def _refused(self, status: int, path: str, **body: object) -> Call:
        return Call("POST", path, body, (status,))

    def _values(self, length: int) -> list[float]:
        return [self._value() for _ in range(length)]

    def _value(self) -> float:
        return round(self.random.gauss(0, 2), 3)


class Soak:
    """Callers of a service, and what it takes meanwhile.

    Args:
        process: The service.
        place: Where it keeps its series.
        requests: How many are sent.
    """

    def __init__(self, process: Process, place: Place, requests: int) -> None:
        self._process = process
        self._place = place
        self._requests = requests
        self._numbers = count(1)
        self.samples: list[Sample] = []
        self.seconds = 0.0

    async def run(self) -> None:
        """Send all requests, each caller on a connection of its own."""
        together = asyncio.Barrier(CALLERS)
        async with asyncio.TaskGroup() as group:
            for number in range(CALLERS):
                group.create_task(self._call(Caller(number), together))

    async def _call(self, caller: Caller, together: asyncio.Barrier) -> None:
        async with Connection(self._process.url) as connection:
            for call in caller.beginning():
                await send(connection, call)
            await together.wait()
            started = time.monotonic()
            calls = caller.calls()
            while (number := next(self._numbers)) <= self._requests:
                await send(connection, next(calls))
                if number % (self._requests // SAMPLES) == 0:
                    self.samples.append(self._sample())
            self.seconds = time.monotonic() - started
            await together.wait()  # so that all connections are open in every sample

    def _sample(self) -> Sample:
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        (resident,) = [line.split()[1] for line in status.splitlines() if line[:6] == "VmRSS:"]
        files = len(list(Path(f"/proc/{self._process.pid}/fd").iterdir()))
        store, log = (Path(f"{self._place.store}{end}").stat().st_size for end in ("", "-wal"))
        return Sample(int(resident) * 1024, files, store, log)


async def send(connection: Connection, call: Call) -> None:
    answer = await connection.send(call.method, call.path, call.body)
    assert answer.status in call.statuses, f"{call}: {answer.status} {answer.content!r}"


@pytest.mark.parametrize(
    ("memory_bytes", "requests"),
    [(10**9, REQUESTS), (30_000, REQUESTS // 4)],
    ids=["all-held", "most-spilled"],
)
def test_a_service_that_runs_for_long_takes_no_more(
    tmp_path: Path, memory_bytes: int, requests: int
) -> None:
    place = make_place(tmp_path, keep=KEEP)
    variables = place.variables(memory_bytes=memory_bytes, recovery_seconds=RECOVERY_SECONDS)
    with serving(variables=variables) as process:
        soak = Soak(process, place, requests)
        asyncio.run(soak.run())
        assert process.stop() == 0
        assert "Traceback" not in process.log
        assert "[error" not in process.log

    first = int(WARM_UP * SAMPLES)
    warm, end = soak.samples[first : first + COMPARED], soak.samples[-COMPARED:]
    resident = [median(one.resident_bytes for one in part) for part in (warm, end)]
    stores = [max(one.store_bytes for one in part) for part in (warm, end)]
    logs = [max(one.log_bytes for one in part) for part in (warm, end)]
    files = [sorted({one.open_files for one in part}) for part in (warm, end)]
    print(  # noqa: T201 (see `pytest -rP`)
        f"{requests} requests, {requests / soak.seconds:.0f}/s; after warming up and in the end:"
        f" memory {resident[0] / 2**20:.1f} and {resident[1] / 2**20:.1f} MB,"
        f" open files {files[0]} and {files[1]},"
        f" store {stores[0] / 1000:.0f} and {stores[1] / 1000:.0f} kB,"
        f" its log {logs[0] / 1000:.0f} and {logs[1] / 1000:.0f} kB"
    )
    assert len(soak.samples) == SAMPLES
    assert resident[1] < MOST_GROWTH * resident[0]
    assert files[0] == files[1]
    assert max(stores) < MOST_STORE_BYTES
    assert max(logs) < MOST_LOG_BYTES

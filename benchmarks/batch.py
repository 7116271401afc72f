"""Row 3: `/observe/batch` with 10,000 series a call, against the core and the step alone.

The server has one core, the caller another. What HTTP, validation and bookkeeping add is the ratio.
A second part asks how long one `/forecast` waits while a call with 100,000 rows is worked off.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks import processes
from benchmarks.measure import (
    MICROSECONDS,
    MILLISECONDS,
    Lines,
    Note,
    Samples,
    interleave,
    middle,
    row,
    timed,
)
from benchmarks.model import make_forecaster, model_spec, random_weights, warm_records, write_model
from benchmarks.processes import Server
from forecaster.network import NumpyNetwork

SERIES = 10_000
PATH = "/observe/batch"
LARGE = 100_000
OVER_HTTP = f"{PATH} over HTTP"
OBSERVE = "Forecaster.observe alone"
STEP = "NumpyNetwork.step alone"
# Different bodies, so no call repeats the values of the one before.
_BODIES = 5
_NANOSECONDS = 1e9


def run(folder: Path, *, quick: bool) -> Lines:
    """Return nanoseconds for each observation: over HTTP, in the core, in the network."""
    write_model(folder)
    forecaster = make_forecaster()
    records = warm_records(forecaster, SERIES)
    y = np.random.default_rng(3).normal(100.0, 1.0, SERIES)
    spec = model_spec().network
    network = NumpyNetwork(spec, random_weights(spec))
    x = forecaster.transform.inputs(records)
    h, c = records["h"].copy(), records["c"].copy()
    bodies = [body(SERIES, seed) for seed in range(_BODIES)]
    with processes.stepcast(folder) as server:
        connection = server.connect()
        for one in bodies:  # the series become warm
            status, answer = processes.call(connection, PATH, one)
            if status == 404:
                return [Note("batch", f"{PATH}: this service has no such endpoint")]
            if status != 200 or set(answer["status"]) != {"applied"}:
                raise RuntimeError(f"{PATH} answered {status}: {answer.get('detail')}")
        used_seconds = 0.0
        calls = 0

        def over_http() -> float:
            nonlocal used_seconds, calls
            used, start = server.cpu_seconds(), perf_counter()
            for one in bodies:
                processes.exchange(connection, PATH, one)
            seconds = perf_counter() - start
            used_seconds += server.cpu_seconds() - used
            calls += _BODIES
            return seconds / _BODIES * MICROSECONDS

        taken = interleave(
            {
                OVER_HTTP: over_http,
                OBSERVE: timed(lambda: forecaster.observe(records, y), seconds=0.1),
                STEP: timed(lambda: network.step(x, h, c), seconds=0.1),
            },
            3 if quick else 15,
        )
        waits = _waits(server, 1 if quick else 5)
    # From microseconds for all to nanoseconds for one.
    samples = {name: [one * 1e3 / SERIES for one in some] for name, some in taken.items()}
    lines: Lines = []
    for name, some in samples.items():
        against = {} if name == STEP else {STEP: samples[STEP]}
        if name == OVER_HTTP:
            against[OBSERVE] = samples[OBSERVE]
        facts = {"per_second": _NANOSECONDS / middle(some)}
        if name == OVER_HTTP:
            facts["server_cpu_ns"] = used_seconds / calls / SERIES * _NANOSECONDS
        lines.append(row("batch", name, "ns/series", some, against=against, facts=facts))
    lines += [
        row("batch", f"slowest /forecast beside {LARGE:,} rows", "ms", waits["beside"]),
        row("batch", "slowest /forecast, nothing beside it", "ms", waits["alone"]),
    ]
    return lines


def _waits(server: Server, rounds: int) -> dict[str, Samples]:
    """Return how long the slowest `/forecast` took, in milliseconds, for each round."""
    large = body(LARGE, seed=0)
    forecast = processes.encode({"unique_id": "series-0"})
    connection, other = server.connect(), server.connect()
    with ThreadPoolExecutor(1) as pool:

        def beside() -> float:
            call = pool.submit(processes.exchange, other, PATH, large)
            slowest = 0.0
            while not call.done():
                slowest = max(slowest, once())
            return slowest

        def alone() -> float:
            return max(once() for _ in range(500))

        def once() -> float:
            start = perf_counter()
            processes.exchange(connection, "/forecast", forecast)
            return (perf_counter() - start) * MILLISECONDS

        return interleave({"beside": beside, "alone": alone}, rounds)


def body(count: int, seed: int, first: int = 0) -> bytes:
    """Return the body of a call with one observation of each of so many series."""
    y = np.random.default_rng(seed).normal(100.0, 1.0, count).round(6).tolist()
    names = [f"series-{number}" for number in range(first, first + count)]
    return processes.encode({"unique_id": names, "y": y})

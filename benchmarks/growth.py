"""Row 4: does an observation cost more in a long series, or among many?

In process: the service and its store in memory, without HTTP. A series is walked to 10^2 and 10^4
observations; for 10^6 the one of 10^4 has its counters set forward, because a record holds nothing
else that grows, and walking there takes minutes.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np

from app.service import ForecastService
from app.store.memory import MemoryStore
from app.store.protocol import Changed
from benchmarks.measure import MICROSECONDS, Lines, interleave, row, timed
from benchmarks.model import NAME, Records, random_walk, warm_records, write_model
from forecaster import artifact
from forecaster.calendar import Clock
from forecaster.forecaster import Forecaster
from forecaster.model import Model

LENGTHS = (100, 10_000, 1_000_000)
SERIES = (100, 10_000, 1_000_000)
LENGTH = "observations before"
AMONG = "series in the store"
_WALKED = 10_000
_CALLS = 200
_CHUNK = 100_000


def run(folder: Path, *, quick: bool) -> Lines:
    """Return microseconds of one observation, by the series' length and by their number."""
    write_model(folder)
    model = artifact.load(folder / NAME)
    forecaster, rounds = model.forecaster, 5 if quick else 25
    with asyncio.Runner() as loop:
        aged = _aged(forecaster)
        lines = _by_length(loop, model, aged, rounds)
        y = np.array([100.0])
        lines += _rows(
            f"Forecaster.observe, {LENGTH}",
            {length: timed(partial(forecaster.observe, one, y)) for length, one in aged.items()},
            rounds,
        )
        lines += _by_number(loop, model, SERIES[:2] if quick else SERIES, rounds)
    return lines


def _by_length(loop: asyncio.Runner, model: Model, aged: dict[int, Records], rounds: int) -> Lines:
    service = _service(model)
    names = [f"aged-{length}" for length in aged]
    records = np.concatenate(list(aged.values()))

    def sampler(name: str) -> Callable[[], float]:
        def sample() -> float:
            # Each round begins at the same length.
            loop.run(_put(service, names, records))
            return loop.run(_observe(service, [name] * _CALLS))

        return sample

    samplers = {length: sampler(name) for length, name in zip(aged, names, strict=True)}
    return _rows(f"observe, {LENGTH}", samplers, rounds)


def _by_number(loop: asyncio.Runner, model: Model, numbers: tuple[int, ...], rounds: int) -> Lines:
    rng = np.random.default_rng(0)

    def sampler(number: int) -> Callable[[], float]:
        service = _service(model)
        for start in range(0, number, _CHUNK):
            count = min(_CHUNK, number - start)
            names = [f"series-{one}" for one in range(start, start + count)]
            loop.run(_put(service, names, warm_records(model.forecaster, count)))

        def sample() -> float:
            names = [f"series-{one}" for one in rng.integers(0, number, _CALLS)]
            return loop.run(_observe(service, names))

        return sample

    samplers = {number: sampler(number) for number in numbers}
    return _rows(f"observe, {AMONG}", samplers, rounds)


async def _put(service: ForecastService, names: list[str], records: Records) -> None:
    """Put records in the store, whatever it held."""
    await service.store.update(names, lambda _: Changed(records, None))


async def _observe(service: ForecastService, names: list[str]) -> float:
    """Observe each of these series and return the microseconds that one took."""
    start = perf_counter()
    for name in names:
        await service.observe(name, 100.0, 0, Clock.NONE)
    return (perf_counter() - start) / len(names) * MICROSECONDS


def _rows(what: str, samplers: dict[int, Callable[[], float]], rounds: int) -> Lines:
    """Return a row for each size, against the smallest."""
    for sample in samplers.values():  # one round to warm up
        sample()
    samples = interleave({f"{what}: {size:,}": one for size, one in samplers.items()}, rounds)
    first, *_ = samples
    lines: Lines = []
    for (name, some), size in zip(samples.items(), samplers, strict=True):
        against = {} if name == first else {f"{min(samplers):,}": samples[first]}
        lines.append(row("growth", name, "us", some, against=against, facts={"size": size}))
    return lines


def _aged(forecaster: Forecaster) -> dict[int, Records]:
    """Return the record of a series after so many observations, by their number."""
    aged = {}
    records = forecaster.new(1)
    for step, y in enumerate(random_walk(_WALKED), start=1):
        records = forecaster.observe(records, np.array([y]))
        if step in LENGTHS:
            aged[step] = records
    older = records.copy()
    older["step"] = LENGTHS[-1]
    older["scored"] = LENGTHS[-1] - forecaster.context
    aged[LENGTHS[-1]] = older
    return aged


def _service(model: Model) -> ForecastService:
    return ForecastService(model, MemoryStore(model.forecaster.dtype, max_series=2 * SERIES[-1]))

"""A process that does a known list of calls with a store, and says which of them were answered.

    python -m tests.crash.workload FOLDER SEED

Whoever knows the seed knows the list, and what the series are after each call.
"""

import asyncio
import os
import sqlite3
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Literal

from app import batch
from app.schemas import ObserveRequest, RowsBody, SeedRequest
from app.service import ForecastService
from app.services import Services, load_services
from app.settings import Settings
from app.store.sqlite import SqliteStore
from forecaster.cursor import OnGap
from forecaster.errors import ForecastError
from tests.crash.ledger import Call, Caller, Ledger
from tests.crash.place import Place

KEEP = 6
STEPS = 60
CALLERS = 3
SERIES = 2

NAMES = [[f"{number}-{name}" for name in range(SERIES)] for number in range(CALLERS)]


@dataclass(frozen=True)
class Step:
    """A part of the list.

    Args:
        kind: Calls, or something that a store does beside them.
        calls: What is called for at once.
        state: What the series are then: a number of `Script.states`.
    """

    kind: Literal["calls", "checkpoint", "wal", "reopen"]
    calls: Sequence[Call]
    state: int


@dataclass(frozen=True)
class Script:
    """What is done, and what comes of it.

    Args:
        steps: What is done.
        states: All that the series are, one after the other.
    """

    steps: list[Step]
    states: list[Ledger]


def write_script(place: Place, seed: str) -> Script:
    """Return the list of a seed."""
    random = Random(seed)
    callers = [
        Caller(Random(f"{seed}-{number}"), names, context=place.context, keep=place.keep)
        for number, names in enumerate(NAMES)
    ]
    ledgers: list[Ledger] = [{} for _ in callers]
    states: list[Ledger] = [{}]
    steps: list[Step] = []
    for number in range(STEPS):
        at_once = random.random() < 0.15
        chosen = range(CALLERS) if at_once else [random.randrange(CALLERS)]
        calls = []
        for one in chosen:
            call = _call(callers[one], ledgers[one], at_once=at_once)
            calls.append(call)
            for state in call.states[1:]:
                ledgers[one] = state
                states.append({name: known for each in ledgers for name, known in each.items()})
        steps.append(Step("calls", calls, len(states) - 1))
        if random.random() < 0.12:
            steps.append(Step("checkpoint", [], len(states) - 1))
        if number in (STEPS // 2, STEPS // 2 + 5):
            steps.append(Step("wal", [], len(states) - 1))
        if number == STEPS * 3 // 4:
            steps.append(Step("reopen", [], len(states) - 1))
    return Script(steps, states)


def _call(caller: Caller, ledger: Ledger, *, at_once: bool) -> Call:
    """Return a call that must succeed; of several at once, one that happens in its turn."""
    while True:
        call = caller.call(ledger)
        in_turn = call.with_others and len(call.states) == 2
        if not call.may_be_refused and (in_turn or not at_once):
            return call


def open_store(place: Place) -> Services:
    """Open a store that spills all but two series, and checkpoints only when told to."""
    record_bytes = place.model.forecaster.dtype.itemsize
    return load_services(
        Settings(
            models=place.models,
            store=f"sqlite:///{place.store}",
            start="empty",
            on_gap=OnGap.FILL,
            keep_observations=place.keep,
            recovery_seconds=1e9,
            max_memory_bytes=2 * record_bytes,
        )
    )


async def answer(service: ForecastService, call: Call) -> None:
    """Do what the routes would."""
    try:
        if call.method == "DELETE":
            await service.delete(call.path.removeprefix("/series/"))
        elif call.path == "/observe":
            one = ObserveRequest(**call.body)
            take = service.correct if one.correct else service.observe
            await take(one.unique_id, *one.observation(), one.expected_step)
        elif call.path == "/observe/batch":
            rows = RowsBody(**call.body)
            await batch.observe(service, rows.rows(1000, service.covariates), rows.ask())
        elif call.path == "/reset-state":
            await service.reset(call.body["unique_id"])
        else:
            seed = SeedRequest(**call.body)
            if seed.copy_from is None:
                await service.seed(seed.unique_id, seed.history(1000, service.covariates))
            else:
                await service.seed_from_series(seed.unique_id, seed.copy_from)
    except ForecastError:
        assert call.status == 409


async def work(place: Place, seed: str) -> None:
    """Do the list, and mark in `STORE.marks` what is begun and what is done."""
    marks = os.open(f"{place.store}.marks", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    services = open_store(place)
    for step in write_script(place, seed).steps:
        service = services.get()
        assert isinstance(service.store, SqliteStore)
        os.write(marks, b"begun %d" % step.state)
        if step.kind == "checkpoint":
            await service.store.checkpoint()
        elif step.kind == "wal":  # as SQLite does by itself after a thousand pages
            with sqlite3.connect(place.store) as connection:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            connection.close()
        elif step.kind == "reopen":
            await services.close()
            services = open_store(place)
        else:
            await asyncio.gather(*(answer(service, call) for call in step.calls))
        os.write(marks, b"done %d" % step.state)
    await services.close()
    os.close(marks)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    asyncio.run(work(Place(folder / "models", folder / "store.db", KEEP), sys.argv[2]))

"""Many callers of the same few series: what they were told could have been told one by one.

Every call is recorded with the times at which it was sent and answered, and each series' calls are
put into an order in which a model of a few lines answers the same; see `sequential`.
"""

import asyncio
import random
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.settings import Settings
from forecaster.forecaster import run
from forecaster.journal import is_after
from tests.app.running import running, serving
from tests.app.sequential import (
    NOTHING,
    Answer,
    Call,
    Ds,
    Model,
    NotSequentialError,
    Series,
    order,
    told,
)
from tests.app.wire import Wire
from tests.forecaster.fakes import write_model

CALLERS = 64
CALLS_EACH = 60
SEED = 4
# Two of them have no times.
NAMES = tuple(f"s{number}" for number in range(10))
BARE = NAMES[8:]
TEMPLATE = "template"
AGREE = 1e-6

MODEL = Model(context=2)
Effect = Callable[[Series], tuple[Series, Answer]]
# To the model: it knows nothing of states.
READS: tuple[Effect, ...] = (MODEL.status, MODEL.history, MODEL.forecast, MODEL.reset)


# The checker itself


def call(
    effect: Effect, began: float, ended: float, answer: Answer | None = None, shown: str = ""
) -> Call:
    return Call(effect, began, ended, answer, shown=shown)


def observed(y: float, ds: Ds, began: float, ended: float, answer: Answer | None = None) -> Call:
    return call(partial(MODEL.observe, y=y, ds=ds), began, ended, answer, f"observe {y} at {ds}")


def status(began: float, ended: float, answer: Answer) -> Call:
    return Call(MODEL.status, began, ended, answer, is_read=True, shown="status")


def test_calls_that_overlapped_may_have_come_in_either_order() -> None:
    one = observed(1.0, 1, 0, 10, Answer("applied", 2, 1))
    other = observed(5.0, 0, 1, 9, Answer("applied", 1, 0))

    assert order([one, other]).step == 2


@pytest.mark.parametrize(
    "calls",
    [
        # An answer that was given is forgotten.
        [
            observed(1.0, 1, 0, 1, Answer("applied", 1, 1)),
            status(2, 3, Answer("unknown-series")),
        ],
        # Two callers were both the first, with different values.
        [
            observed(1.0, 1, 0, 5, Answer("applied", 1, 1)),
            observed(2.0, 1, 0, 5, Answer("applied", 1, 1)),
        ],
        # One observation is taken twice.
        [
            observed(1.0, 1, 0, 1, Answer("applied", 1, 1)),
            observed(1.0, 1, 2, 3, Answer("applied", 2, 1)),
        ],
        # A reader sees the new, and a later one the old.
        [
            observed(1.0, 1, 0, 9, Answer("applied", 1, 1)),
            status(1, 2, Answer("ok", 1, 1)),
            status(3, 4, Answer("unknown-series")),
        ],
        # What nobody asked for is there.
        [status(0, 1, Answer("ok", 1, 1)), observed(1.0, 1, 2, 3)],
        # A correction that was told is not in the history.
        [
            observed(1.0, 1, 0, 1, Answer("applied", 1, 1)),
            call(partial(MODEL.correct, y=2.0, ds=1), 2, 3, Answer("applied", 1, 1)),
            observed(1.0, 1, 4, 5, Answer("duplicate", 1, 1)),
        ],
    ],
    ids=["lost", "two-firsts", "twice", "back-in-time", "from-nowhere", "not-corrected"],
)
def test_a_history_that_no_order_explains_is_refused(calls: list[Call]) -> None:
    with pytest.raises(NotSequentialError, match="nothing of this may follow"):
        order(calls)


def test_a_call_whose_answer_nobody_read_may_have_been_taken_late_or_never() -> None:
    unread = call(partial(MODEL.observe, y=1.0, ds=1), 0, float("inf"))

    late = [unread, status(1, 2, Answer("unknown-series")), status(3, 4, Answer("ok", 1, 1))]
    never = [unread, status(1, 2, Answer("unknown-series"))]

    assert order(late).step == 1
    assert order(never) == NOTHING


def test_a_call_that_would_change_nothing_now_may_be_needed_later() -> None:
    """The search once took the second seed right after the first, and then missed it."""
    seeding = partial(MODEL.seed, values=[1.0], times=[1])
    calls = [
        call(seeding, 0, 9, Answer("ok", 1, 1)),
        call(seeding, 0, 9, Answer("ok", 1, 1)),
        observed(2.0, 2, 0, 9, Answer("applied", 2, 2)),
        observed(3.0, 3, 0, 9, Answer("applied", 2, 3)),
    ]

    assert order(calls).step == 2


def test_a_long_history_of_many_callers_is_checked_in_time() -> None:
    """Calls that overlap may come in more orders than can be tried one by one."""
    calls = []
    for start in range(0, 400, 8):
        for ds in range(start, start + 8):
            began = start + (ds * 5 % 8) / 8
            calls.append(observed(1.0, ds, began, start + 10, Answer("applied", ds + 1, ds)))
    started = time.monotonic()

    assert order(calls).step == 400
    assert time.monotonic() - started < 10


# The service


@dataclass
class Record:
    """What callers did and were told, by series."""

    calls: dict[str, list[Call]] = field(default_factory=lambda: {name: [] for name in NAMES})
    cursors: dict[str, Any] = field(default_factory=lambda: dict.fromkeys(NAMES, 0))
    words: dict[str, int] = field(default_factory=dict)

    def note(
        self, name: str, effect: Effect, began: float, answer: Answer | None, shown: str
    ) -> None:
        ended = float("inf") if answer is None else time.perf_counter()
        word = "unread" if answer is None else answer.word
        self.words[word] = self.words.get(word, 0) + 1
        is_read = effect in READS
        self.calls[name].append(Call(effect, began, ended, answer, is_read, shown))
        if answer is not None and answer.ds is not None:
            self.cursors[name] = answer.ds


@dataclass(frozen=True)
class Doing:
    """A call to one series: how it is sent, and what it does to the model."""

    name: str
    method: str
    path: str
    body: dict[str, Any] | None
    effect: Effect


def draw(rng: random.Random, record: Record) -> Doing:
    """Return what a caller does next. Callers see each other's cursors, and so they collide."""
    name = rng.choice(NAMES)
    kind = rng.choices(
        ("observe", "correct", "status", "history", "forecast", "reset", "seed", "copy", "delete"),
        (60, 10, 7, 7, 3, 4, 3, 3, 3),
    )[0]
    y = rng.choice((1.0, 2.0, 3.5, None) if rng.random() < 0.2 else (1.0, 2.0))
    ds = None
    if (name not in BARE) != (rng.random() < 0.02):
        ds = record.cursors[name] + rng.choice((1, 1, 1, 1, 0, 0, -1, -4, 3))
    body: dict[str, Any] = {"unique_id": name, "y": y}
    if ds is not None:
        body["ds"] = ds
    if kind == "observe" or (kind == "correct" and ds is None):
        expected = rng.randrange(12) if rng.random() < 0.1 else None
        body |= {} if expected is None else {"expected_step": expected}
        effect = partial(MODEL.observe, y=y, ds=ds, expected_step=expected)
        return Doing(name, "POST", "/observe", body, effect)
    if kind == "correct":
        body |= {
            "ds": record.cursors[name] - rng.randrange(6),
            "correct": True,
            "y": 7.0 + (y or 0),
        }
        effect = partial(MODEL.correct, y=body["y"], ds=body["ds"])
        return Doing(name, "POST", "/observe", body, effect)
    if kind == "seed":
        values = [rng.choice((1.0, 2.0, 3.0)) for _ in range(rng.randint(1, 8))]
        times = [None if name in BARE else at + 1 for at in range(len(values))]
        body = {"unique_id": name, "y": values} | ({} if name in BARE else {"ds": times})
        seeding: Effect = partial(MODEL.seed, values=values, times=times)
        return Doing(name, "POST", "/seed-state", body, seeding)
    if kind == "copy":
        source = rng.choice((TEMPLATE, name))
        body = {"unique_id": name, "copy_from": source}
        return Doing(name, "POST", "/seed-state", body, copying if source == name else templated)
    effects: dict[str, tuple[str, str, Effect]] = {
        "status": ("GET", f"/series/{name}", MODEL.status),
        "history": ("GET", f"/series/{name}/history?limit=10000", MODEL.history),
        "forecast": ("POST", "/forecast", MODEL.forecast),
        "reset": ("POST", "/reset-state", MODEL.reset),
        "delete": ("DELETE", f"/series/{name}", MODEL.delete),
    }
    method, path, told_by = effects[kind]
    return Doing(name, method, path, {"unique_id": name} if method == "POST" else None, told_by)


def copying(series: Series) -> tuple[Series, Answer]:
    return MODEL.copy(series, series)


def templated(series: Series) -> tuple[Series, Answer]:
    return MODEL.copy(series, Series(3, 3, 1.5))


async def act(wire: Wire, doing: Doing, record: Record, *, waits: bool = True) -> None:
    """Make a call and note it."""
    shown = f"{doing.method} {doing.path} {doing.body}"
    began = time.perf_counter()
    if not waits:
        await wire.send(doing.method, doing.path, doing.body)
        await asyncio.sleep(0)
        wire.cut()
        record.note(doing.name, doing.effect, began, None, shown)
        return
    code, document = await wire.call(doing.method, doing.path, doing.body)
    assert code < 500, document
    if code == 409 and document["detail"].startswith("the series moved while"):
        return  # it gave up, and has to have changed nothing: the model never hears of it
    answer = told(document)
    if doing.path == "/forecast":
        answer = answer._replace(ds=None)
    record.note(doing.name, doing.effect, began, answer, shown)


async def act_on_many(wire: Wire, rng: random.Random, record: Record) -> None:
    """Observe several series in one call. To the model they are calls of their own."""
    names = rng.sample(NAMES, 4)
    values = [rng.choice((1.0, 2.0)) for _ in names]
    times = [None if name in BARE else record.cursors[name] + 1 for name in names]
    body = {"unique_id": names, "y": values, "ds": times}
    began = time.perf_counter()
    code, columns = await wire.call("POST", "/observe/batch", body)
    assert code == 200, columns
    for row, name in enumerate(names):
        step = columns["step"][row] or 0
        answer = Answer(columns["status"][row], step, columns["ds"][row])
        effect = partial(MODEL.observe, y=values[row], ds=times[row])
        record.note(name, effect, began, answer, f"row of {body}")


async def caller(url: str, number: int, record: Record) -> None:
    """Call, retry, and now and then hang up before the answer and try again."""
    rng, last = random.Random(f"{SEED}-{number}"), None
    async with Wire(url) as wire:
        for _ in range(CALLS_EACH):
            if rng.random() < 0.05:
                await act_on_many(wire, rng, record)
                continue
            doing = last if last is not None and rng.random() < 0.1 else draw(rng, record)
            if rng.random() < 0.02:
                await act(wire, doing, record, waits=False)
            await act(wire, doing, record)
            last = doing


async def callers(url: str) -> Record:
    """Have all callers call at once, and then look at each series once more."""
    record = Record()
    async with Wire(url) as wire:
        template = {"unique_id": TEMPLATE, "y": [1, 2, 1.5], "ds": [1, 2, 3]}
        await wire.call("POST", "/seed-state", template)
        async with asyncio.TaskGroup() as group:
            for number in range(CALLERS):
                group.create_task(caller(url, number, record))
    async with Wire(url) as wire:  # the one before may have been closed: it was idle
        for name in NAMES:
            path = f"/series/{name}"
            await act(wire, Doing(name, "GET", path, None, MODEL.status), record)
            doing = Doing(name, "GET", f"{path}/history?limit=10000", None, MODEL.history)
            await act(wire, doing, record)
    return record


@pytest.mark.parametrize("recovery_seconds", ["0.005", "5"], ids=["checkpoints", "one-log"])
def test_what_many_callers_are_told_could_have_been_told_one_by_one(
    tmp_path: Path, recovery_seconds: str
) -> None:
    folder = tmp_path / "models"
    write_model(folder / "plain")
    store = f"sqlite:///{tmp_path}/s.db"
    variables = {
        "STEPCAST_STORE": store,
        "STEPCAST_MODELS": str(folder),
        "STEPCAST_RECOVERY_SECONDS": recovery_seconds,
    }

    with serving(variables=variables) as process:
        record = asyncio.run(callers(process.url))
        assert process.stop() == 0
        assert "Traceback" not in process.log

    # Every answer that there is was given, so all of this was put to the test.
    assert record.words.keys() >= {
        *("ok", "applied", "duplicate", "unread", "unknown-series", "series-not-warm-yet"),
        *("conflicting-observation", "out-of-order", "unexpected-step", "another-kind-of-time"),
        "observation-not-kept",
    }
    ends = {name: order(record.calls[name]) for name in NAMES}
    check_records(folder, store, ends)
    check_nothing_is_left_over(tmp_path / "s.db")


def check_records(models: Path, store: str, ends: dict[str, Series]) -> None:
    """Check that each record is what a replay of its observations makes."""
    with running(models, store=store) as service:
        portal, plain = service.client.portal, service.services.get()
        assert portal is not None
        kept = set(portal.call(plain.store.ids))
        for name, series in ends.items():
            assert (name in kept) == (series.step > 0)
            if not series.step:
                continue
            record = portal.call(plain.store.read, [name])
            entries = portal.call(plain.store.history, name)
            base = portal.call(plain.store.base, name, series.step - len(series.past))
            assert base is not None
            later = entries[is_after(entries, base["step"])].copy()
            later["series"] = 0
            replayed = run(service.forecaster().replaying(base, later))
            for column in record.dtype.names or ():
                np.testing.assert_allclose(
                    record[column], replayed[column], rtol=AGREE, atol=AGREE, err_msg=column
                )


def check_nothing_is_left_over(path: Path) -> None:
    """Check that the file holds nothing of series that are gone."""
    connection = sqlite3.connect(path)
    for table in ("history", "bases"):
        query = f"SELECT count(*) FROM {table} WHERE series NOT IN (SELECT id FROM series)"
        (count,) = connection.execute(query).fetchone()
        assert count == 0, f"{count} rows of {table} are of no series"
    connection.close()


def test_settings_of_this_test_are_those_of_the_service() -> None:
    """The model of the service is told what the service is."""
    assert Settings.model_fields["keep_observations"].default >= CALLERS * CALLS_EACH / 10

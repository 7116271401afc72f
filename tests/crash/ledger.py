"""What a caller knows of its series, and whether a store agrees.

A caller alone writes to its series, one call after the other, so it knows what they must be; a call
that was not answered when the service was killed has happened wholly, or not at all.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.store.protocol import Records, SeriesStore
from forecaster.calendar import Clock
from forecaster.forecaster import Forecaster, run
from forecaster.journal import ENTRY, Entries, Mark, is_after

T = TypeVar("T")

# What callers observe lies between these.
LEAST, MOST = -4.0, 6.0

# A replay may differ by a millionth, of a number or of the range of values: it steps many series at
# once, which rounds otherwise, and a step that was left out feeds the difference back.
RELATIVE = 1e-6
ABSOLUTE = 1e-6 * (MOST - LEAST)


@dataclass(frozen=True)
class Event:
    """An observation, or a reset; `y` is NaN where it was missing."""

    ds: int = 0
    y: float = np.nan
    mark: Mark = Mark.OBSERVED


RESET = Event(mark=Mark.RESET)


@dataclass(frozen=True)
class Known:
    """A series.

    Args:
        events: All that happened to it, and before that to those that it is a copy of.
        copied: How many events were theirs.
    """

    events: tuple[Event, ...] = ()
    copied: int = 0

    @property
    def observed(self) -> list[Event]:
        """The events that are steps."""
        return [one for one in self.events if one.mark != Mark.RESET]

    @property
    def own(self) -> list[Event]:
        """The steps since it was copied."""
        return [one for one in self.events[self.copied :] if one.mark != Mark.RESET]

    @property
    def step(self) -> int:
        return len(self.observed)

    @property
    def ds(self) -> int:
        """The time of the last step."""
        return self.observed[-1].ds

    @property
    def y(self) -> float:
        return self.observed[-1].y

    def then(self, *events: Event) -> "Known":
        """Return the series after more events; a reset again is none."""
        now = list(self.events)
        now += [one for one in events if one != RESET or now[-1:] != [RESET] or self.is_copy_now]
        return replace(self, events=tuple(now))

    @property
    def is_copy_now(self) -> bool:
        """Whether nothing happened since it was copied."""
        return self.copied == len(self.events) > 0

    def corrected(self, ds: int, y: float) -> "Known":
        """Return the series with another value at a time."""
        return replace(
            self,
            events=tuple(
                replace(one, y=y, mark=Mark.OBSERVED if one.mark == Mark.FILLED else one.mark)
                if one.ds == ds and one.mark != Mark.RESET
                else one
                for one in self.events
            ),
        )


# The series of a caller that there are.
Ledger = Mapping[str, Known]


@dataclass(frozen=True)
class Call:
    """A call of a caller.

    Args:
        method: Of HTTP.
        path: Where it goes.
        body: What it brings.
        states: What the series may be if it is not answered: what they were, and what they are
            after each part that may happen without the others.
        status: What it is to be answered with; the series are the last of `states` then.
        told: What the answer is to say.
        may_be_refused: Whether 409 is an answer too, after which nothing moved.
        with_others: Whether calls of other callers may be on their way and still happen in order.
    """

    method: str
    path: str
    states: Sequence[Ledger]
    body: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    told: dict[str, Any] = field(default_factory=dict)
    may_be_refused: bool = False
    with_others: bool = False

    def after(self, status: int, answer: Any) -> Ledger:
        """Return what the series are after an answer.

        Raises:
            AssertionError: If the answer is wrong.
        """
        if status == 503 or (status == 409 and self.may_be_refused):
            return self.states[0]
        assert status == self.status, f"{self}: answered {status}: {answer}"
        for name, value in self.told.items():
            assert answer[name] == value, f"{self}: answered {answer}"
        return self.states[-1]


class Caller:
    """Thinks of calls.

    Args:
        random: Decides.
        names: The series that it owns.
        context: The observations that a forecast needs.
        keep: How many observations are kept of each.
        repeats: Whether a batch may hold several rows of a series, which are taken one by one.
    """

    def __init__(
        self,
        random: random.Random,
        names: Sequence[str],
        *,
        context: int,
        keep: int,
        repeats: bool = True,
    ) -> None:
        self.names = names
        self._random = random
        self._context = context
        self._keep = keep
        self._repeats = repeats
        self._kinds: list[tuple[Callable[[Ledger], Call | None], int]] = [
            (self.observe, 40),
            (self.observe_again, 6),
            (self.observe_too_late, 2),
            (self.batch, 16),
            (self.correct, 9),
            (self.seed, 5),
            (self.copy, 3),
            (self.reset, 5),
            (self.delete, 3),
        ]

    def call(self, ledger: Ledger) -> Call:
        """Return a call that makes sense now."""
        kinds, weights = zip(*self._kinds, strict=True)
        while True:
            (kind,) = self._random.choices(kinds, weights)
            call: Call | None = kind(ledger)
            if call is not None:
                return call

    def observe(self, ledger: Ledger) -> Call:
        name = self._random.choice(self.names)
        known = ledger.get(name, Known())
        events = self._next(known)
        after = {**ledger, name: known.then(*events)}
        body = {"unique_id": name, "ds": events[-1].ds, "y": _json(events[-1].y)}
        if self._random.random() < 0.2:
            body["expected_step"] = known.step
        told = {"status": "applied", "step": after[name].step}
        return Call("POST", "/observe", [ledger, after], body, told=told)

    def observe_again(self, ledger: Ledger) -> Call | None:
        """Send an observation once more that is kept, as one does that had no answer."""
        name = self._one_of(ledger)
        if name is None:
            return None
        known = ledger[name]
        one = known.observed[-1]
        recent = [one for one in known.own[-self._keep :] if one.mark != Mark.FILLED]
        if recent and self._random.random() < 0.5:
            one = self._random.choice(recent)
        body = {"unique_id": name, "ds": one.ds, "y": _json(one.y)}
        told = {"status": "duplicate", "step": known.step}
        return Call("POST", "/observe", [ledger], body, told=told)

    def observe_too_late(self, ledger: Ledger) -> Call | None:
        name = self._one_of(ledger)
        if name is None:
            return None
        body = {"unique_id": name, "ds": ledger[name].ds - 1, "y": 1.0}
        told = {"step": ledger[name].step, "ds": ledger[name].ds}
        return Call("POST", "/observe", [ledger], body, status=409, told=told)

    def batch(self, ledger: Ledger) -> Call:
        """Observe several series, some of them twice, some of them again."""
        names = self._random.sample(self.names, self._random.randint(1, len(self.names)))
        states = [ledger]
        rows: list[tuple[str, int, float | None]] = []
        statuses: list[str] = []
        steps: list[int] = []
        while names:
            now = dict(states[-1])
            for name in names:
                known = now.get(name, Known())
                if known.events and known.events[-1] != RESET and self._random.random() < 0.1:
                    statuses.append("duplicate")
                else:
                    known = now[name] = known.then(*self._next(known))
                    statuses.append("applied")
                rows.append((name, known.ds, _json(known.y)))
                steps.append(known.step)
            states.append(now)
            names = [name for name in names if self._repeats and self._random.random() < 0.2]
        ids, ds, y = zip(*rows, strict=True)
        body = {"unique_id": ids, "ds": ds, "y": y}
        told = {"status": statuses, "step": steps}
        return Call("POST", "/observe/batch", states, body, told=told, with_others=True)

    def correct(self, ledger: Ledger) -> Call | None:
        """Correct an observation: a recent one, or an older one that may not be kept any more."""
        name = self._one_of(ledger)
        if name is None:
            return None
        known = ledger[name]
        if not known.own:
            return None
        recent = known.own[-self._keep :]
        one = self._random.choice(known.own if self._random.random() < 0.1 else recent)
        ds, y = one.ds, self._value()
        after = {**ledger, name: known.corrected(ds, y)}
        body = {"unique_id": name, "ds": ds, "y": y, "correct": True}
        told = {"status": "applied", "step": known.step}
        return Call(
            "POST", "/observe", [ledger, after], body, told=told, may_be_refused=one not in recent
        )

    def seed(self, ledger: Ledger) -> Call:
        name = self._random.choice(self.names)
        known, ds = Known(), self._random.randrange(1000)
        for number in range(self._random.randint(1, 2 * self._keep)):
            is_missing = number >= self._context and self._random.random() < 0.1
            known = known.then(Event(ds + number, np.nan if is_missing else self._value()))
        body = {
            "unique_id": name,
            "ds": [one.ds for one in known.events],
            "y": [_json(one.y) for one in known.events],
        }
        return Call(
            "POST", "/seed-state", [ledger, {**ledger, name: known}], body, told={"ds": known.ds}
        )

    def copy(self, ledger: Ledger) -> Call | None:
        source, name = self._one_of(ledger), self._random.choice(self.names)
        if source is None or source == name:
            return None
        events = ledger[source].events
        after = {**ledger, name: Known(events, copied=len(events))}
        body = {"unique_id": name, "copy_from": source}
        return Call(
            "POST", "/seed-state", [ledger, after], body, told={"step": ledger[source].step}
        )

    def reset(self, ledger: Ledger) -> Call | None:
        name = self._one_of(ledger)
        if name is None:
            return None
        after = {**ledger, name: ledger[name].then(RESET)}
        body = {"unique_id": name}
        return Call("POST", "/reset-state", [ledger, after], body, with_others=True)

    def delete(self, ledger: Ledger) -> Call | None:
        name = self._one_of(ledger)
        if name is None:
            return None
        after = {other: known for other, known in ledger.items() if other != name}
        return Call("DELETE", f"/series/{name}", [ledger, after], status=204, with_others=True)

    def _one_of(self, ledger: Ledger) -> str | None:
        return self._random.choice(sorted(ledger)) if ledger else None

    def _value(self) -> float:
        return self._random.uniform(LEAST, MOST)

    def _next(self, known: Known) -> list[Event]:
        """Return the next observation, and before it the steps that it leaves out."""
        if not known.events:
            return [Event(self._random.randrange(1000), self._value())]
        is_warm = known.step >= self._context
        left_out = self._random.randint(1, 3) if is_warm and self._random.random() < 0.1 else 0
        filled = [Event(known.ds + 1 + n, mark=Mark.FILLED) for n in range(left_out)]
        y = np.nan if is_warm and self._random.random() < 0.1 else self._value()
        return [*filled, Event(known.ds + 1 + left_out, y)]


@dataclass(frozen=True)
class Content:
    """What a store holds of a series.

    Args:
        record: Shape `(1,)`.
        history: What is kept of what happened.
        base: The record that the replay of what must be kept begins with.
    """

    record: Records
    history: Entries
    base: Records | None


async def contents(store: SeriesStore, *, keep: int) -> dict[str, Content]:
    """Return all that a store holds.

    Args:
        store: The store.
        keep: How many observations it keeps of each series.
    """
    found = {}
    for name in await store.ids():
        record = await store.read([name])
        history = await store.history(name)
        step = int(record["step"][0])
        base = await store.base(name, max(step - keep, 0))
        if base is None:  # it is a copy, made since
            is_step = history["mark"] != Mark.RESET
            base = await store.base(name, step - int(np.count_nonzero(is_step)))
        found[name] = Content(record, history, base)
    return found


def settle(
    forecaster: Forecaster,
    found: Mapping[str, Content],
    callers: Sequence[tuple[Sequence[str], Sequence[Ledger]]],
    *,
    keep: int,
) -> list[int]:
    """Return which of the states that its series may be in each caller finds, the last that fits.

    Args:
        forecaster: Replays.
        found: What the store holds.
        callers: For each one the names of its series, and what they may be.
        keep: How many observations the store keeps of each series.

    Raises:
        AssertionError: If a caller's series are in none of those states; it says why.
    """
    owned = {name for names, _ in callers for name in names}
    assert found.keys() <= owned, f"nobody's: {sorted(found.keys() - owned)}"
    reasons: list[list[str | None]] = [
        [_difference(found, names, ledger, keep) for ledger in states] for names, states in callers
    ]
    # All that may be are replayed side by side: one pass, however many there are.
    todo = [
        (caller, number, name, known)
        for caller, (_, states) in enumerate(callers)
        for number, ledger in enumerate(states)
        if reasons[caller][number] is None
        for name, known in ledger.items()
    ]
    entries = [journal(known.events, row) for row, (*_, known) in enumerate(todo)]
    joined = np.concatenate([np.empty(0, ENTRY), *entries])
    records = run(forecaster.replaying(forecaster.new(len(todo)), joined))
    ends = np.cumsum([len(one) for one in entries], dtype=np.int64)
    for (caller, number, name, _), record, end in zip(
        todo, np.split(records, len(todo)) if todo else [], ends, strict=True
    ):
        history = found[name].history
        told = joined[end - len(history) : end]
        reason = unlike(found[name].record, record) or (
            None
            if np.allclose(told["stood"], history["stood"], RELATIVE, ABSOLUTE, equal_nan=True)
            else "the forecasts that stood are others, by as much as "
            f"{np.nanmax(np.abs(told['stood'] - history['stood']), initial=0.0)}"
        )
        if reason:
            reasons[caller][number] = f"{name}: not what a replay gives: {reason}"
    for caller, found_wrong in enumerate(reasons):
        assert None in found_wrong, f"caller {caller}: neither of {found_wrong}"
    _check_bases(forecaster, found)
    return [max(number for number, why in enumerate(one) if why is None) for one in reasons]


def journal(events: Iterable[Event], row: int = 0) -> Entries:
    """Return events as journal entries; `row` goes into `series`."""
    events = list(events)
    entries = np.zeros(len(events), ENTRY)
    entries["series"] = row
    entries["mark"] = [one.mark for one in events]
    is_step = entries["mark"] != Mark.RESET
    entries["step"] = np.cumsum(is_step)
    entries["ds"] = [one.ds for one in events]
    entries["y"] = [one.y for one in events]
    entries["y"][~is_step] = 0.0
    entries["clock"][is_step] = Clock.INTEGER
    entries["stood"][is_step] = np.nan
    return entries


def unlike(found: Records, expected: Records) -> str | None:
    """Return where two records differ, if they do: by whole numbers at all, by others too far."""
    if found.tobytes() == expected.tobytes():  # as it mostly is
        return None
    for name in found.dtype.names or ():
        one, other = found[name], expected[name]
        is_exact = one.dtype.kind != "f"
        same = (
            np.array_equal(one, other)
            if is_exact
            else np.allclose(one, other, RELATIVE, ABSOLUTE, equal_nan=True)
        )
        if not same:
            return f"{name}: expected {other.tolist()}, found {one.tolist()}"
    return None


def _difference(
    found: Mapping[str, Content], names: Sequence[str], ledger: Ledger, keep: int
) -> str | None:
    """Return how a store differs from what a caller knows, if it does, as far as lists tell."""
    for name in names:
        if name not in ledger or name not in found:
            if (name in ledger) != (name in found):
                return f"{name}: {'lost' if name in ledger else 'there again'}"
            continue
        history = found[name].history
        known = ledger[name]
        expected = journal(known.events)
        own = expected[known.copied :]
        if len(history) > len(own):
            return f"{name}: expected at most {len(own)} entries, found {len(history)}"
        last = own[len(own) - len(history) :]
        for column in ("step", "ds", "y", "clock", "mark"):
            if not np.array_equal(last[column], history[column], equal_nan=True):
                return (
                    f"{name}: {column}: expected {last[column].tolist()}, "
                    f"found {history[column].tolist()}"
                )
        count = np.count_nonzero(history["mark"] != Mark.RESET)
        if count < min(len(known.own), keep):
            return f"{name}: of {len(known.own)} observations {count} are kept"
        base, oldest = found[name].base, max(known.step - keep, known.step - len(known.own))
        if base is None or base["step"][0] > oldest:
            return f"{name}: expected a record at step {oldest} or before, to replay from"
        record = found[name].record
        if (int(record["step"][0]), int(record["ds"][0])) != (known.step, known.ds):
            return f"{name}: expected step {known.step}, found {record['step'].tolist()}"
    return None


def _check_bases(forecaster: Forecaster, found: Mapping[str, Content]) -> None:
    """Check that what a store keeps of each series leads to its record."""
    starts, entries = [forecaster.new(0)], [np.empty(0, ENTRY)]
    for row, (name, content) in enumerate(found.items()):
        assert content.base is not None, f"{name}: no record is kept that could be replayed from"
        starts.append(content.base)
        later = content.history[is_after(content.history, content.base["step"])]
        later["series"] = row
        entries.append(later)
    records: NDArray[np.void] = run(
        forecaster.replaying(np.concatenate(starts), np.concatenate(entries))
    )
    for (name, content), record in zip(
        found.items(), np.split(records, len(found)) if found else [], strict=True
    ):
        reason = unlike(content.record, record)
        assert reason is None, f"{name}: what is kept of it does not lead to it: {reason}"


def _json(y: float) -> float | None:
    return None if np.isnan(y) else y

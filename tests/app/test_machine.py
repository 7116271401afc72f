"""Any calls in any order, between restarts and checkpoints: the service says what its model says.

The model knows observations and nothing else (`sequential`). Hypothesis draws the calls, and makes
those that end in a difference as few as it can.
"""

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from app.store.sqlite import SqliteStore
from forecaster.forecaster import run
from forecaster.journal import is_after
from tests.app.running import Service, running
from tests.app.sequential import NOTHING, Answer, Ds, Model, Series, read_ds, told, write_ds
from tests.forecaster.fakes import write_model

AGREE = 1e-6
# In memory, where there is such a folder: no power fails here, and a disk takes half of the time.
QUICK = next((folder for folder in ("/dev/shm",) if Path(folder).is_dir()), None)
PLENTY = 1000

NAMES = st.sampled_from(["a", "b", "c/d", "ü"])
VALUES = st.sampled_from([1.0, 2.0, -3.5, 1.0, 2.0, None, 1.1e300])
CORRECTED = st.sampled_from([1.0, 7.0, -8.25, None, 7.0])
# In halves of a step, from the cursor on. Most come next; an odd one is between two steps.
STRIDES = st.sampled_from([2, 2, 2, 2, 2, 2, 0, 0, -2, -6, 4, 8, 1, 3])
STEPS_BACK = st.integers(0, 12)
EXPECTED = st.sampled_from([None, None, None, None, None, None, 0, 1, 5])
KINDS = st.sampled_from(["own", "own", "own", "own", "own", "own", "none", "integer", "time"])

FIRST = datetime(2024, 2, 27, tzinfo=UTC)  # of a leap year
HALF_DAY = timedelta(hours=12)


@dataclass(frozen=True)
class Variant:
    """A service that the model is held against.

    Args:
        freq: The frequency of the service's model, if it has one.
        on_gap: What becomes of a gap.
        keep: How many observations are kept.
        recovery_seconds: How long recovery may take; next to none, and a checkpoint is always due.
    """

    freq: Literal["D", "1"] | None = None
    on_gap: Literal["reject", "skip", "fill"] = "reject"
    keep: int = PLENTY
    recovery_seconds: float = 5.0

    @property
    def model(self) -> Model:
        """The model of it."""
        freqs: dict[str | None, timedelta | int | None] = {"D": timedelta(1), "1": 2, None: None}
        return Model(freq=freqs[self.freq], on_gap=self.on_gap)


VARIANTS = {
    "bare": Variant(),
    "daily-reject": Variant(freq="D"),
    "daily-skip": Variant(freq="D", on_gap="skip", recovery_seconds=1e-9),
    "daily-fill": Variant(freq="D", on_gap="fill"),
    "filled-and-packed": Variant(freq="D", on_gap="fill", recovery_seconds=1e-9),
    "counted": Variant(freq="1", on_gap="skip"),
    "few-kept": Variant(keep=3, recovery_seconds=1e-9),
    "few-kept-and-filled": Variant(freq="D", on_gap="fill", keep=4, recovery_seconds=1e-9),
    "none-kept": Variant(keep=0, recovery_seconds=1e-9),
}


class Machine(RuleBasedStateMachine):
    """A service with a file, and the model of it."""

    variant: Variant
    models: Path

    def __init__(self) -> None:
        super().__init__()
        self.model = self.variant.model
        self.series: dict[str, Series] = {}
        self.closing = ExitStack()
        self.folder = Path(self.closing.enter_context(tempfile.TemporaryDirectory(dir=QUICK)))
        self.opened = ExitStack()
        self.service = self.open()

    def open(self, **chosen: Any) -> Service:
        """Open the file."""
        variant = self.variant
        told_so = {"keep_observations": variant.keep, "recovery_seconds": variant.recovery_seconds}
        return self.opened.enter_context(
            running(
                self.models,
                **{"store": f"sqlite:///{self.folder}/s.db", "on_gap": variant.on_gap}
                | told_so
                | chosen,
            )
        )

    def teardown(self) -> None:
        try:
            self.check_records()
        finally:
            self.opened.close()
            self.closing.close()

    # What is called

    @initialize(count=st.integers(0, 8))
    def begin(self, count: int) -> None:
        for name in ("a", "b") if count else ():
            self.observe_many(name, count)

    @rule(
        drawn=st.lists(st.tuples(NAMES, VALUES, STRIDES, KINDS, EXPECTED), min_size=1, max_size=8)
    )
    def observe(self, drawn: list[tuple[str, float | None, int, str, int | None]]) -> None:
        for name, y, stride, kind, expected in drawn:
            ds = self.ds(name, stride, kind)
            answers = self.observed(name, y, ds, expected)
            body = {"unique_id": name, "y": y, "ds": write_ds(ds), "expected_step": expected}
            self.agree("/observe", body, *answers)

    @rule(name=NAMES, back=STEPS_BACK, expected=EXPECTED)
    def send_again(self, name: str, back: int, expected: int | None) -> None:
        """An observation once more: a retry."""
        series = self.at(name)
        known = [one for one in series.past if one.ds is not None and one.mark != "filled"]
        if known:
            one = known[-1 - back % len(known)]
            answers = self.observed(name, one.y, one.ds, expected)
            body = {"unique_id": name, "y": one.y, "ds": write_ds(one.ds)}
            assert answers[0] == Answer("duplicate", series.step, series.ds)
            self.agree("/observe", body | {"expected_step": expected}, *answers)

    @rule(name=NAMES, count=st.integers(1, 9))
    def send_many_again(self, name: str, count: int) -> None:
        """The last observations once more, in one call: a batch whose answer was lost."""
        series = self.at(name)
        known = [one for one in series.past if one.ds is not None and one.mark != "filled"]
        known = known[max(len(known) - count, 0) :]
        if known:
            expected = [self.observed(name, one.y, one.ds, None) for one in known]
            answers = self.service.post(
                "/observe/batch",
                unique_id=[name] * len(known),
                y=[one.y for one in known],
                ds=[write_ds(one.ds) for one in known],
            )
            for found, may_be in zip(rows(answers), expected, strict=True):
                assert found in [(one.word, one.step, one.ds) for one in may_be]

    @rule(name=NAMES, count=st.integers(1, 9))
    def observe_many(self, name: str, count: int) -> None:
        """Rows of one series in one call, so that retention has something to let go of."""
        before = self.at(name)
        ids, values, times, words = [], [], [], []
        for at in range(count):
            ds = self.ds(name, 2, "own")
            self.series[name], answer = self.model.observe(self.at(name), float(at), ds)
            ids.append(name)
            values.append(float(at))
            times.append(write_ds(ds))
            words.append((answer.word, answer.step, answer.ds))
        answers = self.service.post("/observe/batch", unique_id=ids, y=values, ds=times)
        assert rows(answers) == words, before

    @rule(
        drawn=st.lists(st.tuples(NAMES, VALUES, STRIDES), min_size=1, max_size=6),
        seeds=st.booleans(),
    )
    def batch(self, drawn: list[tuple[str, float | None, int]], seeds: bool) -> None:
        """Rows of many series, to be observed or to begin them anew."""
        ids = [name for name, _, _ in drawn]
        values = [y for _, y, _ in drawn]
        if seeds:
            times = [self.first_ds(at) for at in range(len(drawn))]
            expected = []
            for name in dict.fromkeys(ids):
                at = [row for row, one in enumerate(ids) if one == name]
                self.series[name], answer = self.model.seed(
                    self.at(name), [values[row] for row in at], [times[row] for row in at]
                )
                applied = answer.word == "ok"
                told_so = ("applied", answer.step, answer.ds) if applied else (answer.word, 0, None)
                expected.append([told_so])
            path = "/seed-state/batch"
        else:
            times, expected = [], []
            path = "/observe/batch"
            for name, y, stride in drawn:
                ds = self.ds(name, stride, "own")
                answers = self.observed(name, y, ds, None)
                times.append(ds)
                cursor = self.at(name)
                expected.append([(one.word, cursor.step, cursor.ds) for one in answers])
        sent = {"unique_id": ids, "y": values, "ds": [write_ds(ds) for ds in times]}
        for found, may_be in zip(rows(self.service.post(path, **sent)), expected, strict=True):
            assert found in may_be

    @rule(
        drawn=st.lists(
            st.tuples(NAMES, CORRECTED, STEPS_BACK, KINDS, EXPECTED), min_size=1, max_size=5
        )
    )
    def correct(self, drawn: list[tuple[str, float | None, int, str, int | None]]) -> None:
        for name, y, back, kind, expected in drawn:
            series, ds = self.at(name), self.ds(name, -2 * back, kind)
            known = [one for one in series.past if one.ds is not None]
            if known and kind == "own" and back < 10:
                ds = known[-1 - back % len(known)].ds
            if ds is None:
                continue  # refused before anything is looked at
            after, answer = self.model.correct(series, y, ds, expected)
            body = {"unique_id": name, "y": y, "ds": write_ds(ds), "correct": True}
            found = self.call("POST", "/observe", body | {"expected_step": expected})
            newest = series.past[max(len(series.past) - self.variant.keep, 0) :]
            is_old = all(one.ds != ds for one in newest)
            if found.word == "observation-not-kept" and is_old:
                continue  # it was let go of: nothing changed
            assert found == answer
            self.series[name] = after

    @rule(
        name=NAMES,
        drawn=st.lists(st.tuples(VALUES, st.sampled_from([2, 2, 2, 2, 4, 1, 0])), max_size=12),
        has_times=st.booleans(),
    )
    def seed(self, name: str, drawn: list[tuple[float | None, int]], has_times: bool) -> None:
        values = [y for y, _ in drawn] or [1.0]
        places = np.cumsum([0, *(stride for _, stride in drawn[1:])]).tolist()
        times = [self.first_ds(at, half=True) if has_times else None for at in places]
        self.series[name], answer = self.model.seed(self.at(name), values, times)
        body: dict[str, Any] = {"unique_id": name, "y": values}
        self.agree(
            "/seed-state", body | ({"ds": list(map(write_ds, times))} if has_times else {}), answer
        )

    @rule(name=NAMES, source=NAMES, way=st.sampled_from(["copy", "reset", "reset-all", "delete"]))
    def meddle(self, name: str, source: str, way: str) -> None:
        if way == "copy":
            self.series[name], answer = self.model.copy(self.at(name), self.at(source))
            self.agree("/seed-state", {"unique_id": name, "copy_from": source}, answer)
        elif way == "reset":
            _, answer = self.model.reset(self.at(name))
            self.agree("/reset-state", {"unique_id": name}, answer)
        elif way == "reset-all":
            there = sum(1 for one in self.series.values() if one.step)
            assert self.service.post("/reset-state", all=True) == {"reset": there}
        else:
            self.series[name], answer = self.model.delete(self.at(name))
            assert self.call("DELETE", path_of(name)) == answer

    @rule()
    def restart(self) -> None:
        """Close the file and open it: all is as it was."""
        before = self.service.records()
        self.opened.close()
        self.service = self.open()
        after = self.service.records()
        assert after.keys() == before.keys()
        dtype = self.service.forecaster().dtype
        for key in before:
            agree(np.frombuffer(before[key], dtype), np.frombuffer(after[key], dtype))

    @rule()
    def checkpoint(self) -> None:
        """Write all records, and take what was logged into the histories."""
        portal, store = self.service.client.portal, self.service.services.get().store
        assert portal is not None
        assert isinstance(store, SqliteStore)
        portal.call(store.checkpoint)

    # What is looked at

    @invariant()
    def lists_the_same_series(self) -> None:
        found = self.service.client.get("/series").json()["series"]
        cursors = {one["unique_id"]: (one["step"], read_ds(one["ds"])) for one in found}
        assert cursors == {
            name: (one.step, one.ds) for name, one in self.series.items() if one.step
        }

    @rule(name=NAMES)
    def forecasts_from_the_same_step(self, name: str) -> None:
        _, answer = self.model.forecast(self.at(name))
        self.agree("/forecast", {"unique_id": name, "h": 2}, answer)

    @rule(name=NAMES)
    def tells_the_same_history(self, name: str) -> None:
        series = self.at(name)
        _, answer = self.model.history(series)
        found = self.call("GET", f"{path_of(name)}/history?limit=10000")
        assert found.word == answer.word
        count = len(found.past)
        assert count >= min(self.variant.keep, len(series.past))
        assert found.past == series.past[len(series.past) - count :]

    def check_records(self) -> None:
        """Check that each record is what a replay makes of the last one kept."""
        portal = self.service.client.portal
        assert portal is not None
        store = self.service.services.get().store
        for name in portal.call(store.ids):
            series, entries = self.at(name), portal.call(store.history, name)
            begun = series.step - (len(series.past) if self.variant.keep >= PLENTY else 0)
            base = portal.call(store.base, name, begun)
            if base is None:
                assert self.variant.keep == 0
                continue
            later = entries[is_after(entries, base["step"])].copy()
            later["series"] = 0
            replayed = run(self.service.forecaster().replaying(base, later))
            agree(portal.call(store.read, [name]), replayed)

    # In short

    def at(self, name: str) -> Series:
        return self.series.get(name, NOTHING)

    def observed(
        self, name: str, y: float | None, ds: Ds, expected_step: int | None
    ) -> list[Answer]:
        """Observe in the model, and return what may be answered: only what is kept is known."""
        series = self.at(name)
        kept = series.newest(self.variant.keep)
        answers = [self.model.observe(one, y, ds, expected_step)[1] for one in (series, kept)]
        self.series[name], _ = self.model.observe(series, y, ds, expected_step)
        return answers

    def ds(self, name: str, stride: int, kind: str) -> Ds:
        """Return a time, some halves of a step from the cursor, of the series' own kind or not."""
        last = self.at(name)
        if kind == "own" and last.step:
            if isinstance(last.ds, datetime):
                return last.ds + stride * HALF_DAY
            return None if last.ds is None else last.ds + stride
        if kind == "time" or (kind == "own" and self.variant.freq == "D"):
            return FIRST + stride * HALF_DAY
        return None if kind == "none" else stride

    def first_ds(self, at: int, *, half: bool = False) -> Ds:
        """Return the time of a row of a history, so many (half) steps on."""
        halves = at if half else 2 * at
        return FIRST + halves * HALF_DAY if self.variant.freq == "D" else halves

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
        """Return what a call is answered."""
        answer = self.service.client.request(method, path, json=body)
        assert answer.status_code < 500, answer.text
        return told(answer.json() if answer.content else None)

    def agree(self, path: str, body: dict[str, Any], *expected: Answer) -> None:
        """Call, and check that the answer is one that the model gives."""
        found = self.call("POST", path, body)
        assert found in expected


def path_of(name: str) -> str:
    return f"/series/{quote(name, safe='')}"


def rows(columns: dict[str, list[Any]]) -> list[tuple[str, int, Ds]]:
    """Return what a batch says of each row."""
    told_so = zip(columns["status"], columns["step"], columns["ds"], strict=True)
    return [(word, step or 0, read_ds(ds)) for word, step, ds in told_so]


def agree(records: np.ndarray[Any, Any], others: np.ndarray[Any, Any]) -> None:
    for column in records.dtype.names or ():
        np.testing.assert_allclose(
            records[column], others[column], rtol=AGREE, atol=AGREE, err_msg=column
        )


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> dict[str | None, Path]:
    """A folder of one model, for each frequency."""
    folder = tmp_path_factory.mktemp("machine")
    freqs: tuple[str | None, ...] = (None, "D", "1")
    for number, freq in enumerate(freqs):
        write_model(folder / str(number) / "m", freq="2" if freq == "1" else freq)
    return {freq: folder / str(number) for number, freq in enumerate(freqs)}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_service_says_what_the_model_says(served: dict[str | None, Path], variant: str) -> None:
    class Held(Machine):
        pass

    Held.variant, Held.models = VARIANTS[variant], served[VARIANTS[variant].freq]
    chosen = settings(max_examples=8, stateful_step_count=40, derandomize=True, deadline=None)

    run_state_machine_as_test(Held, settings=chosen)

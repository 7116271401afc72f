"""Wherever a process is cut off, what it leaves opens to one of the states that it went through.

A process does a known list of calls with a store while every change to its files is written down.
From that the files are made as they were before each change, in the middle of each, and after a
power cut, and every time the store is opened and looked at.
"""

import asyncio
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest

from app.store.database import Database
from app.store.recovery import recover
from app.store.sqlite import SqliteStore
from tests.app.running import ROOT, environment
from tests.crash import workload
from tests.crash.disk import Change, Disk, File, Image, build, read_trace, write_image
from tests.crash.ledger import Content, Ledger, contents, settle
from tests.crash.place import Place, make_place
from tests.crash.workload import write_script

SEED = os.environ.get("CRASH_SEED", "1")

# Of a log of SQLite's: see "The WAL Format" in https://sqlite.org/fileformat2.html.
WAL_HEAD_BYTES = 32
FRAME_HEAD_BYTES = 24


@dataclass(frozen=True)
class Recording:
    """What a process did.

    Args:
        place: Where.
        states: What its series were, one after the other.
        changes: Every change to its files.
    """

    place: Place
    states: list[Ledger]
    changes: list[Change]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    folder = tmp_path_factory.mktemp("torn").resolve()
    library = build(folder)
    place = make_place(folder, keep=workload.KEEP)
    trace = folder / "trace"
    preload = {
        "LD_PRELOAD": str(library),
        "FAULTS_STORE": str(place.store),
        "FAULTS_TRACE": str(trace),
    }
    subprocess.run(
        [sys.executable, "-m", "tests.crash.workload", folder, SEED],
        check=True,
        cwd=ROOT,
        env=environment(preload),
        timeout=120,
    )
    return Recording(place, write_script(place, SEED).states, list(read_trace(trace)))


@dataclass(frozen=True)
class Moment:
    """A moment between two changes.

    Args:
        disk: The files.
        change: The change that comes next.
        done: The last state that was acknowledged.
        begun: The last state that was called for.
    """

    disk: Disk
    change: Change
    done: int
    begun: int


def moments(recording: Recording) -> Iterator[Moment]:
    """Yield every moment; what it holds is only valid until the next."""
    disk, done, begun = Disk(), 0, 0
    for change in recording.changes:
        yield Moment(disk, change, done, begun)
        if change.file != File.MARKS:
            disk.apply(change)
            continue
        word, state = change.content.split()
        begun = int(state)
        done = begun if word == b"done" else done


class Reader:
    """Opens files as a store.

    Args:
        recording: Whose files.
        folder: Where to put them.
    """

    def __init__(self, recording: Recording, folder: Path) -> None:
        self._recording = recording
        self._store = folder / "store.db"
        self._model = recording.place.model
        self._loop = asyncio.new_event_loop()  # one for all: `asyncio.run` takes a millisecond
        self.count = 0

    def close(self) -> None:
        self._loop.close()

    def state(self, image: Image, earliest: int, latest: int) -> int:
        """Return which state files are in, out of those from the earliest to the latest.

        Raises:
            AssertionError: If they are in none.
        """
        self.count += 1
        write_image(image, self._store)
        found = self._loop.run_until_complete(self._read())
        names = [name for names in workload.NAMES for name in names]
        states = self._recording.states[earliest : latest + 1]
        forecaster = self._model.forecaster
        (number,) = settle(forecaster, found, [(names, states)], keep=workload.KEEP)
        return earliest + number

    async def _read(self) -> dict[str, Content]:
        database = Database(self._store)
        try:
            store = SqliteStore(
                database,
                self._model.forecaster.dtype,
                recover(database, self._model, max_bytes=10**9),
                max_series=1000,
                max_bytes=10**9,
                keep_observations=workload.KEEP,
                recovery_seconds=1e9,
            )
            return await contents(store, keep=workload.KEEP)
        finally:
            database.release()


@pytest.fixture
def reader(recording: Recording, tmp_path: Path) -> Iterator[Reader]:
    # In memory where that can be: what is looked at need not be safe, and there is a lot of it.
    shared = Path("/dev/shm")
    with (
        TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else tmp_path) as folder,
        closing(Reader(recording, Path(folder))) as reader,
    ):
        yield reader


def test_a_process_that_is_killed_before_any_write_leaves_a_legal_state(
    recording: Recording, reader: Reader
) -> None:
    state, image = 0, None
    for at in moments(recording):
        if image == at.disk.files:  # a mark, or a sync: the files are the same
            assert state >= at.done
            continue
        image = at.disk.image()

        now = reader.state(image, at.done, at.begun)

        assert now >= state, "it went back"
        state = now
    assert state == len(recording.states) - 1
    assert reader.count > 300


def test_a_write_that_is_done_in_part_leaves_a_legal_state(
    recording: Recording, reader: Reader
) -> None:
    """One of three: there are many, and most are alike."""
    random = Random(SEED)
    for at in moments(recording):
        is_write = at.change.kind == "w" and at.change.file != File.MARKS
        if is_write and random.random() < 1 / 3:
            reader.state(at.disk.after(at.change.torn(random)), at.done, at.begun)


def test_a_power_cut_takes_nothing_that_was_acknowledged(
    recording: Recording, reader: Reader
) -> None:
    """Of what was not synced, none is left, or some: a disk writes in the order it likes."""
    random = Random(SEED)
    for at in moments(recording):
        if at.change.file == File.MARKS:
            reader.state(at.disk.after_power_cut(), at.done, at.begun)
        elif at.change.kind == "s":
            reader.state(at.disk.after_power_cut(random), at.done, at.begun)


def test_a_log_that_is_cut_off_at_or_within_any_frame_leaves_a_legal_state(
    recording: Recording, reader: Reader
) -> None:
    # The longest log of which nothing is in the store's own file yet.
    at = next(
        at
        for at in moments(recording)
        if at.change.kind == "w" and at.change.file == File.STORE and File.WAL in at.disk.files
    )
    image, done = at.disk.image(), at.done
    wal = image[File.WAL]
    (page_bytes,) = struct.unpack(">I", wal[8:12])
    frame_bytes = FRAME_HEAD_BYTES + page_bytes
    assert len(wal) > WAL_HEAD_BYTES + 50 * frame_bytes
    random, state = Random(SEED), 0
    for start in range(WAL_HEAD_BYTES, len(wal), frame_bytes):
        length = start + random.choice([0, random.randrange(frame_bytes)])

        now = reader.state({**image, File.WAL: wal[:length]}, state, done)

        assert now >= state, "it went back"
        state = now
    assert reader.state(image, state, done) == done

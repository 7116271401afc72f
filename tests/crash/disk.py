"""A disk that can be watched, and told to fail: `faults.c`, preloaded into a process."""

import errno
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from random import Random

import pytest

SOURCE = Path(__file__).with_name("faults.c")

# As `struct change` in faults.c.
_HEAD = struct.Struct("=cB6xqq")


class File(IntEnum):
    """Whose change it is, as in faults.c."""

    STORE = 0
    WAL = 1
    JOURNAL = 2
    MARKS = 3


_ENDS = {File.STORE: "", File.WAL: "-wal", File.JOURNAL: "-journal"}


def build(folder: Path) -> Path:
    """Return the library that is to be preloaded; skip the test where there can be none."""
    if sys.platform != "linux":
        pytest.skip("only Linux preloads libraries and tells which file a descriptor is")
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler, which builds the disk that can fail")
    library = folder / "faults.so"
    flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread"]
    subprocess.run([compiler, *flags, "-o", library, SOURCE, "-ldl"], check=True, timeout=60)
    return library


@dataclass(frozen=True)
class FailingDisk:
    """A disk that fails on demand.

    Args:
        library: What `build` returned.
        store: The store, whose files alone are on it.
    """

    library: Path
    store: Path

    @property
    def _control(self) -> Path:
        return self.store.with_name("disk")

    def variables(self) -> dict[str, str]:
        """Return what a process needs in its environment to have this disk."""
        return {
            "LD_PRELOAD": str(self.library),
            "FAULTS_STORE": str(self.store.resolve()),
            "FAULTS_CONTROL": str(self._control.resolve()),
        }

    def break_down(self, fault: str) -> None:
        """Have calls fail from now on: `write ENOSPC`, `sync EIO`."""
        call, name = fault.split()
        fresh = self._control.with_name("disk.new")
        fresh.write_text(f"{call[0]}{getattr(errno, name)}")
        fresh.replace(self._control)

    def mend(self) -> None:
        self._control.unlink(missing_ok=True)

    @contextmanager
    def broken(self, fault: str) -> Iterator[None]:
        """Have calls fail until the block ends."""
        self.break_down(fault)
        try:
            yield
        finally:
            self.mend()


@dataclass(frozen=True)
class Change:
    """A change to a file.

    Args:
        kind: `w`rite, `t`runcate, `s`ync or `u`nlink.
        file: Which one.
        offset: Where it is written.
        length: How much, or to what the file is truncated.
        content: What is written.
    """

    kind: str
    file: File
    offset: int
    length: int
    content: bytes

    def torn(self, random: Random) -> "Change":
        """Return the beginning of this write."""
        length = random.randrange(self.length)
        return Change("w", self.file, self.offset, length, self.content[:length])


def read_trace(path: Path) -> Iterator[Change]:
    """Yield what a process did to its files, in order."""
    with path.open("rb") as file:
        while head := file.read(_HEAD.size):
            kind, number, offset, length = _HEAD.unpack(head)
            content = file.read(length) if kind == b"w" else b""
            yield Change(kind.decode(), File(number), offset, length, content)


Image = dict[File, bytes]


@dataclass
class Disk:
    """The files that a process made, up to some change.

    A power cut takes what was not synced, or some of it. That a file is there or not is taken to
    be safe at once.
    """

    files: dict[File, bytearray] = field(default_factory=dict)
    _synced: Image = field(default_factory=dict)
    _unsynced: list[Change] = field(default_factory=list)

    def apply(self, change: Change) -> None:
        _apply(self.files, change)
        if change.kind == "s":
            self._synced[change.file] = bytes(self.files.get(change.file, b""))
        if change.kind == "u":
            self._synced.pop(change.file, None)
        if change.kind in "su":
            self._unsynced = [one for one in self._unsynced if one.file != change.file]
        else:
            self._unsynced.append(change)

    def image(self) -> Image:
        """Return the files as they are: what a killed process leaves."""
        return {file: bytes(content) for file, content in self.files.items()}

    def after(self, change: Change) -> Image:
        """Return the files as they would be after one more change."""
        files = {file: bytearray(content) for file, content in self.files.items()}
        _apply(files, change)
        return {file: bytes(content) for file, content in files.items()}

    def after_power_cut(self, random: Random | None = None) -> Image:
        """Return the files with none of what was not synced, or with some of it."""
        files = {file: bytearray(content) for file, content in self._synced.items()}
        for change in self._unsynced:
            if random is not None and random.random() < 0.5:
                _apply(files, change)
        return {file: bytes(content) for file, content in files.items()}


def write_image(image: Image, store: Path) -> None:
    """Write files as those of a store, in the place of what there is of it."""
    for old in store.parent.glob(f"{store.name}*"):
        old.unlink()
    for file, content in image.items():
        store.with_name(store.name + _ENDS[file]).write_bytes(content)


def _apply(files: dict[File, bytearray], change: Change) -> None:
    if change.kind == "u":
        files.pop(change.file, None)
        return
    content = files.setdefault(change.file, bytearray())
    if change.kind == "t":
        del content[change.length :]
        content.extend(bytes(change.length - len(content)))
    elif change.kind == "w":
        content.extend(bytes(max(0, change.offset - len(content))))
        content[change.offset : change.offset + change.length] = change.content

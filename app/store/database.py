"""An SQLite file with one owner, written by one thread, many changes to a commit.

A change is answered when the commit that holds it is on the disk (WAL, synchronous FULL). Changes
that arrive while a commit is under way wait for it, and share the next.
"""

import asyncio
import fcntl
import logging
import os
import sqlite3
import stat
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from contextvars import Context
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from prometheus_client import Counter, Histogram

from forecaster.errors import StoreOpenError, StoreUnavailableError

logger = logging.getLogger(__name__)

# An SQL statement and the parameters of each time it is to be executed.
Statement = tuple[str, Sequence[tuple[Any, ...]]]

# What takes a file from each version of its schema to the next.
MIGRATIONS = (
    """
    -- The models whose series are kept, and what made their records.
    CREATE TABLE models (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        fingerprint TEXT NOT NULL,
        started TEXT, -- the fingerprint and the layout whose training series were put
        layout TEXT NOT NULL -- of a record
    );
    -- A series has another id when it begins anew, so whatever else names the old one is void.
    CREATE TABLE series (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        model INTEGER NOT NULL REFERENCES models (id),
        unique_id TEXT NOT NULL,
        step INTEGER NOT NULL, -- of the record
        record BLOB, -- as it was at its last checkpoint; none before the first
        UNIQUE (model, unique_id)
    );
    -- What happened since the last checkpoint, in the order in which it did.
    CREATE TABLE log (
        seq INTEGER PRIMARY KEY,
        model INTEGER NOT NULL REFERENCES models (id),
        entries BLOB NOT NULL
    );
    -- What happened before, by series. Positions are those of `forecaster.journal`.
    CREATE TABLE history (
        series INTEGER NOT NULL REFERENCES series (id),
        first INTEGER NOT NULL, -- the position of the first entry
        last INTEGER NOT NULL,
        entries BLOB NOT NULL,
        PRIMARY KEY (series, first)
    ) WITHOUT ROWID;
    -- Former records, from which history is replayed.
    CREATE TABLE bases (
        series INTEGER NOT NULL REFERENCES series (id),
        step INTEGER NOT NULL,
        record BLOB NOT NULL,
        PRIMARY KEY (series, step)
    );
    """,
)

# Upper bounds of what is told of commits, in seconds. One waits two seconds at most for another
# process, and as long as it takes for the disk.
_COMMIT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

# How long a commit waits for another process that holds the file, as a copy being made does.
_BUSY_MS = 2000

_LONGEST_PID = 20

# What reading a file may raise: the second, where the text of an error is damaged too.
READ_ERRORS = (sqlite3.Error, UnicodeDecodeError)

_BROKEN = (
    "the service must be restarted: what it keeps in memory is not what is in its file; what was "
    "sent last may have been made durable, so send it again, with its ds, after that"
)


@dataclass(frozen=True)
class _Work:
    """Statements that belong together.

    Args:
        statements: What is to be executed.
        publish: Called when they are durable.
        withdraw: Called if they cannot be.
        done: Its caller waits for this.
    """

    statements: Sequence[Statement]
    publish: Callable[[], None]
    withdraw: Callable[[], None]
    done: asyncio.Future[None]


class Database:
    """An SQLite file.

    Args:
        path: The file. It is made, and its folder, if there is none.
        migrations: What takes a file from each version to the next.

    Raises:
        StoreOpenError: If another process owns it, or it cannot be opened.
    """

    def __init__(self, path: Path, migrations: Sequence[str] = MIGRATIONS) -> None:
        with ExitStack() as opening:
            try:
                self.path = _without_links(path)
                self.path.parent.mkdir(parents=True, exist_ok=True)
                _own(self.path, opening)
            except (OSError, RuntimeError) as error:  # the second is that of links in a circle
                raise StoreOpenError(f"store {path}: cannot be opened: {error}") from error
            try:
                self._connection = self._connect(opening)
                self._migrate(migrations)
                self._reading = self._connect(opening)
                # AUTOINCREMENT remembers the ids of series that are gone.
                self._last_series: int
                self._last_entry: int
                ((self._last_series,),) = self.rows(
                    "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'series'"
                )
                ((self._last_entry,),) = self.rows("SELECT coalesce(max(seq), 0) FROM log")
            except READ_ERRORS as error:
                remedy = "put back a copy of it, or move it away to begin with an empty store"
                if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
                    remedy = "another program uses it, or it is on a network file system"
                raise StoreOpenError(
                    f"store {self.path}: cannot be opened as an SQLite file: {error}; {remedy}"
                ) from error
            self._held = opening.pop_all()
        self._is_broken = False
        self._writer = ThreadPoolExecutor(1, "store-writer")
        self._reader = ThreadPoolExecutor(1, "store-reader")
        self._queue: list[_Work] = []
        self._draining: asyncio.Task[None] | None = None
        # Metrics that nobody asks for, until they are registered.
        self.commit_seconds = Histogram(
            "stepcast_store_commit_seconds",
            "How long a commit took until it was on the disk.",
            buckets=_COMMIT_SECONDS,
            registry=None,
        )
        self.failed_commits = Counter(
            "stepcast_store_commit_failures", "Commits that failed.", registry=None
        )

    @property
    def waiting(self) -> int:
        """How many changes wait for the next commit."""
        return len(self._queue)

    def execute(self, statements: Iterable[Statement]) -> None:
        """Make statements durable, all or nothing, before anyone is served.

        They may come out of what `rows` finds, which is how things were before them all.

        Raises:
            sqlite3.Error: If that is not possible.
        """
        self._commit(statements)

    def rows(self, sql: str, *parameters: object) -> Iterator[tuple[Any, ...]]:
        """Yield what a query finds, before anyone is served.

        Raises:
            sqlite3.Error, UnicodeDecodeError: If that is not possible.
        """
        yield from self._reading.execute(sql, parameters)

    def allot_series(self, count: int) -> range:
        """Return so many ids that no series ever had."""
        first = self._last_series + 1
        self._last_series += count
        return range(first, first + count)

    def allot_entry(self) -> int:
        """Return the next position in the log."""
        self._last_entry += 1
        return self._last_entry

    def submit(
        self,
        statements: Sequence[Statement],
        publish: Callable[[], None] = lambda: None,
        withdraw: Callable[[], None] = lambda: None,
    ) -> asyncio.Future[None]:
        """Have statements made durable, all or nothing, after those submitted before.

        Args:
            statements: What is to be executed. None at all are done when those before them are.
            publish: Called when they are durable, in the order of submission.
            withdraw: Called if they are not, and never will be.

        Returns:
            A future that raises `StoreUnavailableError` if they could not be made durable. Then
            neither could any that were submitted since: they may build on them.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(_Work(statements, publish, withdraw, done))
        if self._draining is None:
            # Of no one request: it commits what all of them submit.
            self._draining = asyncio.create_task(self._drain(), context=Context())
        return done

    async def fetch(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Return what a query finds among all that is durable.

        Whatever it finds has been published by then.

        Raises:
            StoreUnavailableError: If the file cannot be read.
        """

        def read() -> list[tuple[Any, ...]]:
            return self._reading.execute(sql, parameters).fetchall()

        try:
            rows = await asyncio.get_running_loop().run_in_executor(self._reader, read)
        except READ_ERRORS as error:
            raise StoreUnavailableError(f"the store cannot be read just now: {error}") from error
        if self._draining is not None:
            with suppress(StoreUnavailableError):
                await self.submit([])
        self.check()
        return rows

    def check(self) -> None:
        """Do nothing, if what was published is all that is durable.

        Raises:
            StoreUnavailableError: If publishing failed once.
        """
        if self._is_broken:
            raise StoreUnavailableError(_BROKEN)

    async def close(self) -> None:
        """Wait for what was submitted, and let go of the file."""
        while self._draining is not None:
            await self._draining
        self.release()

    def release(self) -> None:
        """Let go of the file."""
        self._writer.shutdown()
        self._reader.shutdown()
        self._reading.close()
        with suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._held.close()

    async def _drain(self) -> None:
        """Commit what is submitted, all that waits in one commit, until nothing does."""
        loop = asyncio.get_running_loop()
        while self._queue:
            works, self._queue = self._queue, []
            statements = [one for work in works for one in work.statements]
            failure: Exception | None = None
            try:
                if statements and not self._is_broken:
                    start = perf_counter()
                    await loop.run_in_executor(self._writer, self._commit, statements)
                    self.commit_seconds.observe(perf_counter() - start)
            except Exception as error:
                logger.error("the store could not commit: %s", error)
                failure = error
                self.failed_commits.inc()
                works += self._queue
                self._queue = []
            self._end(works, failure)
        self._draining = None

    def _end(self, works: list[_Work], failure: Exception | None) -> None:
        """Publish or withdraw what was submitted, and have nobody wait for it any more."""
        try:
            for work in [] if self._is_broken else works:
                if failure is None:
                    work.publish()
                else:
                    work.withdraw()
        except Exception as error:
            self._is_broken = True
            logger.error(
                "the service must be restarted, its store could not take over what it made durable:"
                " %s\n%s",
                type(error).__qualname__,  # its message may be the name of a series
                "".join(traceback.format_tb(error.__traceback__)).rstrip(),
            )
        for work in works:
            if work.done.done():
                continue
            if self._is_broken:
                work.done.set_exception(StoreUnavailableError(_BROKEN))
            elif failure is not None:
                refusal = StoreUnavailableError(
                    f"the store cannot make anything durable just now ({failure}): nothing moved; "
                    "send it again"
                )
                refusal.__cause__ = failure
                work.done.set_exception(refusal)
            else:
                work.done.set_result(None)

    def _commit(self, statements: Iterable[Statement]) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            for sql, parameters in statements:
                connection.executemany(sql, parameters)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # SQLite itself rolls back after some faults
                connection.execute("ROLLBACK")
            self._overwrite()
            raise

    def _overwrite(self) -> None:
        """Write what changes nothing to where the last commit is that failed.

        If only its sync did, it is in the log all the same: SQLite writes the next one over it, but
        a process that is killed before that would leave it to be found.
        """
        with suppress(sqlite3.Error):
            self._connection.execute("UPDATE models SET name = name")

    def _connect(self, opening: ExitStack) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        opening.callback(connection.close)
        connection.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
        (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        if mode != "wal":
            raise StoreOpenError(
                f"store {self.path}: expected journal_mode 'wal', found {mode!r}, as where SQLite "
                "has no shared memory (on a network file system); put the file on a local disk"
            )
        connection.execute("PRAGMA synchronous=FULL")
        return connection

    def _migrate(self, migrations: Sequence[str]) -> None:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version > len(migrations):
            raise StoreOpenError(
                f"store {self.path}: expected a schema of version {len(migrations)} at most, "
                f"found {version}: a newer Stepcast made it; serve it with that"
            )
        for number, script in enumerate(migrations[version:], start=version + 1):
            self._connection.executescript(
                f"BEGIN IMMEDIATE; {script}; PRAGMA user_version={number}; COMMIT"
            )


def _without_links(path: Path) -> Path:
    """Return the one path of a file, after which SQLite names its logs.

    Raises:
        StoreOpenError: If there is something else, or there are other such paths.
    """
    if str(path) == ":memory:":
        raise StoreOpenError(
            f"store {path}: expected a file; STEPCAST_STORE=memory keeps series in memory alone"
        )
    path = path.resolve()
    if not path.exists():
        return path
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise StoreOpenError(
            f"store {path}: expected a file, found what is no regular file; name one that is, or "
            "that is still to be made (STEPCAST_STORE)"
        )
    if found.st_nlink > 1:
        raise StoreOpenError(
            f"store {path}: expected a file of one name, found {found.st_nlink} hard links, each "
            "of which would have a log of its own; make the others copies, or remove them"
        )
    return path


def _own(path: Path, held: ExitStack) -> None:
    """Have this process alone own a file until `held` ends, or the process, however it does.

    There are two locks. That of `FILE.lock` comes first, and tells whose it is. It is lost if that
    file is removed, so the file itself is locked too. SQLite's own locks (POSIX) would be gone as
    soon as this process closed any descriptor of the file: so that is done when SQLite has closed
    its own. They know nothing of this one (flock), on Linux: on other systems the two exclude each
    other, and on its network file systems, where SQLite then finds the file locked.

    Raises:
        StoreOpenError: If another process owns it.
    """
    named = _opened(path.with_name(f"{path.name}.lock"), held)
    if not _locked(named):
        holder = os.pread(named, _LONGEST_PID, 0).decode(errors="replace").strip()
        raise _owned(path, f"process {holder or 'unknown'}")
    os.ftruncate(named, 0)
    os.write(named, str(os.getpid()).encode())
    if sys.platform == "linux" and not _locked(_opened(path, held)):
        os.ftruncate(named, 0)
        raise _owned(path, "another process")


def _opened(path: Path, held: ExitStack) -> int:
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    held.callback(os.close, file)
    return file


def _locked(file: int) -> bool:
    """Lock a file, and say whether nobody else had."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _owned(path: Path, holder: str) -> StoreOpenError:
    return StoreOpenError(
        f"store {path}: {holder} owns it; stop that one, or give this one a store of its own "
        "(STEPCAST_STORE)"
    )

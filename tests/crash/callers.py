"""Callers of a service that may end at any moment."""

import asyncio
import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import numpy as np

from tests.crash.ledger import Call, Caller, Ledger, journal

# No answer takes so long, however busy the machine is.
_ANSWER_SECONDS = 30.0


class NoAnswerError(Exception):
    """The connection ended before the answer did."""


@dataclass(frozen=True)
class Answer:
    """An answer; header names are in lower case."""

    status: int
    headers: dict[str, str]
    content: bytes

    def json(self) -> Any:
        return json.loads(self.content)


class Connection:
    """A connection to a service: HTTP with nothing on the way, for there are thousands of calls.

    Args:
        url: Where it listens.
    """

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url)

    async def __aenter__(self) -> Self:
        try:
            self._reader, self._writer = await asyncio.open_connection(
                self._address.hostname, self._address.port
            )
        except OSError as error:
            raise NoAnswerError from error
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()

    async def send(self, method: str, path: str, body: object = None) -> Answer:
        """Return the answer to a call.

        Raises:
            NoAnswerError: If there is none, or not all of it.
        """
        content = b"" if not body else json.dumps(body).encode()
        head = (
            f"{method} {path} HTTP/1.1\r\nhost: {self._address.netloc}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
        )
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                self._writer.write(head.encode() + content)
                return await self._read()
        except (OSError, asyncio.IncompleteReadError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise NoAnswerError from error

    async def _read(self) -> Answer:
        first, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = (line.split(": ", 1) for line in lines if line)
        headers = {name.lower(): value for name, value in pairs}
        content = await self._reader.readexactly(int(headers.get("content-length", 0)))
        return Answer(int(first.split()[1]), headers, content)


@dataclass
class Load:
    """What callers did.

    Args:
        callers: Who.
        ledgers: What each one's series are, as far as it was told.
        pending: What they may be too, if a call was not answered.
        calls: How many calls were answered.
        refused: How many of them with 503.
    """

    callers: list[Caller]
    ledgers: list[Ledger]
    pending: dict[int, Call] = field(default_factory=dict)
    calls: int = 0
    refused: int = 0

    async def run(self, url: str, ready: asyncio.Event | None = None) -> None:
        """Call until the service ends, or this is cancelled; first see that it holds what it must.

        Args:
            url: Where the service listens.
            ready: Set once all have seen that.
        """
        seen = asyncio.Barrier(len(self.callers))

        async def call_on(number: int) -> None:
            try:
                async with Connection(url) as connection:
                    await check_series(connection, self.callers[number].names, self.ledgers[number])
                    await seen.wait()
                    if ready is not None:
                        ready.set()
                    while True:
                        await self.call(connection, number)
            except NoAnswerError:
                return

        async with asyncio.TaskGroup() as group:
            for number in range(len(self.callers)):
                group.create_task(call_on(number))

    async def call(self, connection: Connection, number: int) -> None:
        """Have a caller call once.

        Raises:
            NoAnswerError: If there is no answer.
        """
        ledger = self.ledgers[number]
        call = self.callers[number].call(ledger)
        self.pending[number] = call
        answer = await connection.send(call.method, call.path, call.body)
        if answer.status == 503:
            assert answer.headers["content-type"] == "application/problem+json"
            assert int(answer.headers["retry-after"]) > 0
            self.refused += 1
        self.ledgers[number] = call.after(answer.status, answer.json() if answer.content else None)
        del self.pending[number]
        self.calls += 1

    def states(self) -> list[tuple[list[str], list[Ledger]]]:
        """Return for each caller its series, and what they may be."""
        found = []
        for number, caller in enumerate(self.callers):
            call = self.pending.get(number)
            states = [self.ledgers[number]] if call is None else list(call.states)
            found.append((list(caller.names), states))
        return found

    def settle(self, numbers: Iterable[int]) -> None:
        """Take note of which of `states` each caller's series are in."""
        for caller, ((_, states), number) in enumerate(zip(self.states(), numbers, strict=True)):
            self.ledgers[caller] = states[number]
        self.pending.clear()


def make_load(
    seed: str, *, callers: int, series: int, context: int, keep: int, repeats: bool = True
) -> Load:
    """Return callers who have not called yet.

    Args:
        seed: Decides what they will do.
        callers: How many.
        series: How many series each one owns.
        context: The observations that a forecast needs.
        keep: How many observations the service keeps of each series.
        repeats: Whether a batch may hold several rows of a series.
    """
    found = [
        Caller(
            Random(f"{seed}-{number}"),
            [f"{number}-{name}" for name in range(series)],
            context=context,
            keep=keep,
            repeats=repeats,
        )
        for number in range(callers)
    ]
    return Load(found, [{} for _ in found])


async def check_series(connection: Connection, names: Iterable[str], ledger: Ledger) -> None:
    """Check that a service says of series what their caller knows.

    Raises:
        AssertionError: If it does not.
        NoAnswerError: If there is no answer.
    """
    for name in names:
        status = await connection.send("GET", f"/series/{name}")
        known = ledger.get(name)
        if known is None:
            assert status.status == 404, f"{name}: there again: {status.content!r}"
            continue
        assert status.status == 200, f"{name}: lost: {status.content!r}"
        found = status.json()
        assert (found["step"], found["ds"]) == (known.step, known.ds), name
        past = (await connection.send("GET", f"/series/{name}/history?limit=10000")).json()
        history = past["history"]
        expected = journal(known.own)[len(known.own) - len(history) :]
        assert [one["ds"] for one in history] == expected["ds"].tolist(), name
        values = [np.nan if one["y"] is None else one["y"] for one in history]
        assert np.array_equal(values, expected["y"], equal_nan=True), name
        steps = range(known.step - len(history) + 1, known.step + 1)
        assert [one["step"] for one in history] == list(steps), name

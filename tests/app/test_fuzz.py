"""No bytes at all in a body are the service's fault, move anything, or leave anything behind."""

import gzip
import http.client
import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.app.raw import Answer, Raw, connected, eventually, request
from tests.app.running import Process, serving
from tests.forecaster.fakes import write_model

EXAMPLES = 400
# From so many calls on, nothing is done for the first time.
WARM_UP = 600
# About one call in ten brings 50 kB: if they were kept, it would be ten times as much.
MOST_GROWTH_MB = 5.0

# In most bodies, and never to be in the log.
MARKER = "marker-7f3c"
# All that is logged of a request that ends within its body: uvicorn's.
NOT_HTTP = "Invalid HTTP request received."
# The times that the series of each model begin with.
MODELS = {"daily": ["2024-01-01", "2024-01-02", "2024-01-03"], "counted": [1, 2, 3]}
SERIES = (MARKER, "kept")
# More than these, and those that are not of `SERIES` are deleted again.
MOST_SERIES = 30

OBSERVATIONS: list[dict[str, object]] = [
    {"unique_id": MARKER, "y": 1.5},
    {"unique_id": MARKER, "y": 2, "ds": "2024-01-04", "expected_step": 3},
    {"unique_id": MARKER, "y": 3.5, "ds": "2024-01-02", "correct": True},
    {"unique_id": "kept", "y": None, "ds": 4, "model": "counted"},
]
ROWS: list[dict[str, object]] = [
    {"unique_id": [MARKER, "kept", MARKER], "y": [1, None, 2.5]},
    {"unique_id": ["kept", "new"], "y": [1, 2], "ds": ["2024-01-04", "2024-01-05T00:00:00Z"]},
    {"unique_id": [MARKER, "b"], "y": [1.5, 2], "ds": [1, 2], "level": [80], "model": "counted"},
]
DOCUMENTS: dict[str, list[dict[str, object]]] = {
    "/observe": OBSERVATIONS,
    "/forecast": [
        {"unique_id": MARKER, "h": 2, "level": [80, 95], "quantiles": [0.1]},
        {"y": [1, 2.5, None, 4], "ds": [1, 2, 3, 4], "model": "counted"},
        {"y": [1, 2.5, 4], "ds": ["2024-01-01", "2024-01-02", "2024-01-03"], "h": 3},
    ],
    "/seed-state": [
        {"unique_id": MARKER, "y": [1, 2, 3]},
        {"unique_id": "kept", "y": [1, 2, 3.5], "ds": [1, 2, 3], "model": "counted"},
        {"unique_id": "copy", "copy_from": MARKER},
        {"unique_id": "trained", "from": "training"},
    ],
    "/reset-state": [{"unique_id": MARKER}, {"all": True, "model": "counted"}],
    "/observe/batch": ROWS,
    "/forecast/batch": [
        {"unique_id": [MARKER, "kept"], "h": 2, "level": [80], "quantiles": [0.5]},
        {"unique_id": ["kept", "nobody"], "model": "counted"},
    ],
    "/seed-state/batch": ROWS,
}

ODD = [
    *(b"NaN", b"-Infinity", b"1e999", b"-1e999", b"1e308", b"5e-324", b"1e-999", b"-0", b"-0.0"),
    *(b"9223372036854775808", b"-4611686018427387905", b"18446744073709551617"),
    *(b"01", b"+1", b".5", b"0x10", b"1_000", b"null", b"true", b"[]", b"{}", b'""', b"'a'"),
    *(rb'"\ud800"', rb'"\udc00\ud800"', rb'"\u0000"', rb'"\ud83d\ude00"', b'"\x1f"', rb'"\x"'),
    *(b"\xef\xbb\xbf", b"\x00", b"\xff\xfe", b"\xc3("),
    *(b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0"),
    *(b"[[[[]]]]", b"}", b"]"),
    *(b'"../%2e%2f/history"', '"\u202e\U0010ffff"'.encode()),
    *(b'"0000-01-01"', b'"0001-01-01T00:00:00+23:59"', b'"9999-12-31T23:59:59-12:00"'),
    *(b'"2024-02-30"', b'"2024-01-04T24:00:00"', b'"1e3"', b"1704326400.5", b"/**/", b"\\", b'"'),
    *(b'"y": 1, "y": 2,', b'"__proto__": {},', b","),
]
MANY = [
    *((b"9", 5000), (b"[", 100), (b"[", 300), (b"[", 100_000), (b'{"y":', 500), (b"[]", 300)),
    *((b"a", 300), (b" ", 50_000), (b"x", 50_000), (b"1,", 25_000), (b"\xff", 60_000)),
    *((b'"a",', 2000), (b"null,", 2000)),
]
_VALUE = re.compile(rb'"[^"]*"|-?[\d.]+|null|true|[\[\]{}:,]')


@dataclass(frozen=True)
class Edit:
    """Damage to a body.

    Args:
        kind: What is done.
        at: Where: a byte or, for `value`, one of the values; counted round and round.
        length: Of how many bytes.
        token: What is put there, and how often.
    """

    kind: str
    at: int
    length: int
    token: tuple[bytes, int]

    def done(self, body: bytes) -> bytes:
        """Return a body after it."""
        at = self.at % (len(body) + 1)
        end = at + self.length
        token = self.token[0] * self.token[1]
        match self.kind:
            case "value":
                spans = [found.span() for found in _VALUE.finditer(body)] or [(0, 0)]
                begin, end = spans[self.at % len(spans)]
                return body[:begin] + token + body[end:]
            case "flip":
                flipped = bytes(one ^ self.length for one in body[at : at + 1])
                return body[:at] + flipped + body[at + 1 :]
            case "insert":
                return body[:at] + token + body[at:]
            case "delete":
                return body[:at] + body[end:]
            case "repeat":
                return body[:end] + body[at:]
            case "truncate":
                return body[:at]
        raise AssertionError(self.kind)


@dataclass(frozen=True)
class Call:
    """A call with any body.

    Args:
        kind: The headers that say what the body is.
        way: How it is sent: with its length, in chunks, or with a length that is not its own.
        start: The body before it is damaged.
        edits: The damage.
        coding: What is done to it then, whatever the headers say.
    """

    kind: tuple[bytes, ...]
    way: str
    start: bytes
    edits: tuple[Edit, ...] = ()
    coding: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether the body ends where it is said to."""
        return self.way in ("whole", "in chunks")

    @property
    def body(self) -> bytes:
        """The bytes that are sent."""
        body = self.start
        for edit in self.edits:
            body = edit.done(body)
        match self.coding:
            case "gzip":
                return gzip.compress(body, 1, mtime=0)
            case "utf-16":
                return body.decode("latin-1").encode("utf-16")
        return body

    def request(self, path: str) -> bytes:
        """Return the whole request."""
        body = self.body
        lines = [b"POST %s HTTP/1.1" % path.encode(), b"Host: localhost", *self.kind]
        if self.way == "in chunks":
            middle = len(body) // 2
            chunks = [*filter(None, (body[:middle], body[middle:])), b""]
            body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
            lines.append(b"Transfer-Encoding: chunked")
        else:
            more = {"whole": 0, "too long": 7, "too short": -min(7, len(body))}[self.way]
            lines.append(b"Content-Length: %d" % (len(body) + more))
        return b"\r\n".join([*lines, b"", body])


JSON = (b"Content-Type: application/json",)
KINDS = st.sampled_from(
    [
        *40 * [JSON],
        (b"Content-Type: APPLICATION/json ; charset=utf-16",),
        (*JSON, b"Content-Encoding: gzip"),
        (*JSON, b"Content-Encoding: br, \xff"),
        (b"Content-Type: application/json, text/plain",),
        (b"Content-Type: \xff\xfe",),
        (b"Content-Type:",),
        (*JSON, b"Content-Type: text/plain"),
        (),
    ]
)
WAYS = st.sampled_from([*20 * ["whole"], "in chunks", "too short", "too long"])
EDITS = st.builds(
    Edit,
    kind=st.sampled_from(
        ["value", "value", "value", "flip", "insert", "delete", "repeat", "truncate"]
    ),
    at=st.integers(0, 400),
    length=st.integers(1, 40),
    token=st.tuples(st.sampled_from(ODD) | st.binary(min_size=1, max_size=4), st.just(1))
    | st.sampled_from(MANY),
)
CODINGS = st.sampled_from([*20 * [""], "gzip", "utf-16"])


def calls(path: str) -> st.SearchStrategy[Call]:
    """Return calls whose bodies are any bytes, or those of a right one, damaged."""
    right = st.sampled_from([json.dumps(one).encode() for one in DOCUMENTS[path]])
    edits = st.lists(EDITS, max_size=3).map(tuple)
    damaged = st.builds(Call, KINDS, WAYS, right, edits, CODINGS)
    return damaged | st.builds(Call, KINDS, WAYS, st.binary(max_size=60))


class Fuzzed:
    """A service to send anything to.

    Args:
        process: The service.
    """

    def __init__(self, process: Process) -> None:
        self.process = process
        self.log = process.log
        self.calls = 0
        self.statuses: dict[int, int] = {}
        self.warm_mb = 0.0
        self._stack = ExitStack()
        self._reader = self._stack.enter_context(connected(process.url))
        self._fuzz = ExitStack()
        self._writer: Raw | None = None
        for model, ds in MODELS.items():
            for name in SERIES:
                body = {"unique_id": name, "y": [1, 2, 4], "ds": ds, "model": model}
                self._reader.send(request("POST", "/seed-state", json.dumps(body).encode()))
                assert self._reader.answer().status == 200
        self.state = self.read()
        self.open_files = open_files(process)

    def send(self, path: str, call: Call) -> list[Answer]:
        """Return what is said to a call: nothing, perhaps, to one whose body does not end."""
        self.calls += 1
        if self.calls == WARM_UP:
            self.warm_mb = resident_mb(self.process)
        if self._writer is None:
            self._writer = self._fuzz.enter_context(connected(self.process.url))
        self._writer.send(call.request(path))
        if call.way == "too long":
            self._writer.socket.shutdown(socket.SHUT_WR)
            answers = list(answers_of(self._writer))
        else:
            answers = [self._writer.answer()]
        if not call.is_whole or answers[-1].is_last:
            self.hang_up()
        for answer in answers:
            self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
        return answers

    def read(self) -> list[bytes]:
        """Return what every series is, and what is kept of the one that most calls name."""
        paths = [f"/series?limit=1000&model={model}" for model in MODELS]
        paths += [f"/series/{MARKER}/history?model={model}" for model in MODELS]
        return [answer.content for answer in self._ask("GET", paths)]

    def settle(self) -> None:
        """Take note of what an accepted call made of the series, and forget those it made."""
        self.state = self.read()
        for model, listed in zip(MODELS, self.state[: len(MODELS)], strict=True):
            names = [one["unique_id"] for one in json.loads(listed)["series"]]
            if len(names) > MOST_SERIES:
                others = [quote(name, safe="") for name in names if name not in SERIES]
                self._ask("DELETE", [f"/series/{name}?model={model}" for name in others])
                self.state = self.read()

    def hang_up(self) -> None:
        self._fuzz.close()
        self._writer = None

    def check_what_is_left(self) -> None:
        """Check that the calls left nothing behind, except in the store."""
        self.hang_up()
        eventually(lambda: open_files(self.process) == self.open_files, "files are left open")
        log = self.process.log
        assert MARKER not in log
        assert log.startswith(self.log)
        assert all(NOT_HTTP in line for line in log[len(self.log) :].splitlines())
        if self.calls < WARM_UP:
            return
        growth = resident_mb(self.process) - self.warm_mb
        counts = ", ".join(f"{count} of {status}" for status, count in self.statuses.items())
        print(  # noqa: T201 (see `pytest -rP`)
            f"{self.calls} calls, answers: {counts}; memory {self.warm_mb:.1f} {growth:+.1f} MB"
        )
        assert growth < MOST_GROWTH_MB

    def close(self) -> None:
        self.hang_up()
        self._stack.close()

    def _ask(self, method: str, paths: list[str]) -> list[Answer]:
        """Return the answers to calls that succeed, sent all at once."""
        self._reader.send(b"".join(request(method, path) for path in paths))
        answers = [self._reader.answer() for _ in paths]
        assert {answer.status for answer in answers} <= {200, 204}
        return answers


def answers_of(connection: Raw) -> Iterator[Answer]:
    """Yield all answers until the connection ends."""
    with suppress(http.client.RemoteDisconnected, ConnectionError):
        while True:
            yield connection.answer()


def resident_mb(process: Process) -> float:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))


def open_files(process: Process) -> int:
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))


def no_constant(name: str) -> Any:
    raise AssertionError(f"{name} is not JSON")


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzzed]:
    """A real service, which is to be in the end what it was after its first calls."""
    folder = tmp_path_factory.mktemp("fuzz")
    write_model(folder / "models" / "daily", freq="D", states={"trained": [3.0, 4.0, 2.5, 3.5]})
    write_model(folder / "models" / "counted", freq="1", seed=1)
    variables = {
        "STEPCAST_MODELS": str(folder / "models"),
        "STEPCAST_MODEL": "daily",
        "STEPCAST_STORE": f"sqlite:///{folder}/s.db",
        "STEPCAST_KEEP_OBSERVATIONS": "20",
        "STEPCAST_MAX_BODY_BYTES": "150000",
    }
    with serving(variables=variables) as process:
        fuzzed = Fuzzed(process)
        try:
            yield fuzzed
            fuzzed.check_what_is_left()
        finally:
            fuzzed.close()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks into /proc")
@pytest.mark.parametrize("path", DOCUMENTS)
def test_no_bytes_are_the_services_fault(fuzzed: Fuzzed, path: str) -> None:
    @settings(max_examples=EXAMPLES, database=None, suppress_health_check=list(HealthCheck))
    @given(calls(path))
    def check(call: Call) -> None:
        answers = fuzzed.send(path, call)

        for answer in answers:
            assert answer.status < 500
            document = json.loads(answer.content, parse_constant=no_constant)
            if answer.status != 200:
                assert answer.headers["content-type"] == "application/problem+json"
                assert {"type", "title", "status", "detail"} <= document.keys()
                assert document["status"] == answer.status
        if all(answer.status != 200 for answer in answers) or path.startswith("/forecast"):
            before, fuzzed.state = fuzzed.state, fuzzed.read()
            assert fuzzed.state == before
        else:
            fuzzed.settle()

    check()

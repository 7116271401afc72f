"""What is too much is refused at once, and who is too slow is cut off."""

import json
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from app.errors import STATUS
from app.hot import HotCalls
from app.schemas import Body
from app.settings import Settings
from forecaster.errors import ForecastError, StoreFullError, StoreUnavailableError
from tests.app.raw import Raw, connected, eventually, request
from tests.app.running import Process, Service, running, serving

# The calls are about its series.
SHAMPOO = {"STEPCAST_MODEL": "shampoo"}

JSON = {"content-type": "application/json"}
OBSERVATION = b'{"unique_id": "a", "y": 1}'
FORECAST = b'{"unique_id": "shampoo"}'
# Megabytes, which no system keeps for a client that does not read them.
LONG_FORECAST = json.dumps(
    {"unique_id": "shampoo", "h": 1000, "quantiles": [n / 101 for n in range(1, 101)]}
).encode()


# Sizes


@pytest.fixture(scope="module")
def small(models: Path) -> Iterator[Service]:
    """A service with low limits."""
    limits = {"max_horizon": 10, "max_history": 20, "max_rows": 30, "max_body_bytes": 70_000}
    with running(models, model="plain", start="empty", **limits) as service:
        service.post("/seed-state", unique_id="kept", y=[1.0, 2.0, 3.0])
        yield service


@pytest.mark.parametrize(
    ("path", "body", "over"),
    [
        ("/forecast", {"unique_id": "kept", "h": 10}, {"h": 11}),
        ("/forecast", {"y": 20 * [1.0]}, {"y": 21 * [1.0]}),
        ("/seed-state", {"unique_id": "b", "y": 20 * [1.0]}, {"y": 21 * [1.0]}),
        (
            "/observe/batch",
            {"unique_id": 30 * ["c"], "y": 30 * [1.0]},
            {"unique_id": 31 * ["c"], "y": 31 * [1.0]},
        ),
        (
            "/seed-state/batch",
            {"unique_id": 30 * ["c"], "y": 30 * [1.0]},
            {"unique_id": 31 * ["c"], "y": 31 * [1.0]},
        ),
        ("/forecast/batch", {"unique_id": 30 * ["kept"]}, {"unique_id": 31 * ["kept"]}),
        ("/forecast/batch", {"unique_id": 10 * ["kept"], "h": 3}, {"h": 4}),
        ("/observe", {"unique_id": 256 * "a", "y": 1.0}, {"unique_id": 257 * "a"}),
    ],
)
def test_a_limit_lets_through_what_just_fits_and_no_more(
    small: Service, path: str, body: dict[str, Any], over: dict[str, Any]
) -> None:
    small.post(path, **body)

    problem = small.refused(path, 422, **body | over)

    assert any(word in problem["detail"] for word in ("at most", "more than 30 rows"))


@pytest.mark.parametrize(("path", "most_bytes"), [("/observe", 64_000), ("/observe/batch", 70_000)])
def test_a_body_may_be_as_long_as_is_said_and_no_longer(
    small: Service, path: str, most_bytes: int
) -> None:
    body: dict[str, object] = {"unique_id": "long", "y": 1.0}
    if path.endswith("batch"):
        body = {name: [value] for name, value in body.items()}
    content = json.dumps(body).encode().ljust(most_bytes)

    fits = small.client.post(path, content=content, headers=JSON)
    too_long = small.client.post(path, content=content + b" ", headers=JSON)

    assert fits.status_code == 200
    problem = small.problem(too_long, 413)
    assert problem["detail"] == f"the body may have at most {most_bytes} bytes; split the call"


def many(item: bytes, count: int) -> bytes:
    return b"[" + (count - 1) * (item + b",") + item + b"]"


def unknown_fields(count: int) -> bytes:
    return b",".join(b'"field-%d": 1' % number for number in range(count))


BOMBS = {
    "fields": (b'{"unique_id": ["a"], "y": [1], ' + unknown_fields(800_000) + b"}", 422),
    "fields-below-the-others": (b'{"unique_id": "a", ' + unknown_fields(800_000) + b"}", 422),
    "bad-times": (
        b'{"unique_id": ["a"], "y": [1], "ds": ' + many(b'"a"', 900_000) + b"}",
        422,
    ),
    "bad-names": (b'{"y": [1], "unique_id": ' + many(b'""', 900_000) + b"}", 422),
    "objects": (b'{"unique_id": ["a"], "y": ' + many(b"{}", 4_000_000) + b"}", 413),
    "objects-in-a-list": (b'{"unique_id": ["a"], "y": [' + many(b"{}", 4_000_000) + b"]}", 413),
    "numbers": (b'{"unique_id": ["a"], "y": ' + many(b"1", 7_000_000) + b"}", 413),
    "depth": (b'{"unique_id": ["a"], "y": ' + 8_000_000 * b"[" + b"}", 413),
    "depth-below-the-others": (b'{"y": ' + 900_000 * b"[" + 900_000 * b"]" + b"}", 422),
    "digits": (b'{"unique_id": ["a"], "y": [' + 8_000_000 * b"1" + b"]}", 422),
}


@pytest.mark.parametrize("path", ["/observe/batch", "/seed-state/batch", "/seed-state"])
@pytest.mark.parametrize("name", BOMBS)
def test_a_body_of_a_million_faults_is_soon_refused(service: Service, name: str, path: str) -> None:
    """They took up to 14 seconds of processor time and 3 GB, and nobody else was served."""
    content, status = BOMBS[name]
    started = time.process_time()

    answer = service.client.post(path, content=content, headers=JSON)

    seconds = time.process_time() - started
    problem = service.problem(answer, status)
    assert len(answer.content) < 10_000, problem
    assert seconds < 1.5


def test_of_very_many_unknown_fields_one_is_named(service: Service) -> None:
    content = b'{"unique_id": "a", "y": [1], ' + unknown_fields(200_000) + b"}"

    answer = service.client.post("/seed-state", content=content, headers=JSON)

    (fault,) = service.problem(answer, 422)["errors"]
    assert fault["field"] == "field-0"
    assert fault["message"] == "Extra inputs are not permitted"


def test_a_body_of_all_the_rows_that_may_be_is_taken(service: Service) -> None:
    count = 100_000
    body = {
        "unique_id": [f"series, [{number}]" for number in range(count)],
        "y": count * [1.5],
        "ds": count * ["2024-01-01"],
        "level": [80],
    }

    answer = service.client.post("/observe/batch", json=body)

    assert answer.status_code == 200
    assert set(answer.json()["status"]) == {"applied"}


# Heads, against a process


@pytest.fixture(scope="module")
def process() -> Iterator[Process]:
    """A service that soon loses patience."""
    patience = {
        "STEPCAST_HEAD_TIMEOUT_SECONDS": "0.5",
        "STEPCAST_BODY_TIMEOUT_SECONDS": "1",
        "STEPCAST_WRITE_TIMEOUT_SECONDS": "1",
    }
    with serving(variables=SHAMPOO | patience) as process:
        yield process
        assert "Traceback" not in process.log
        assert process.stop() == 0


def drip(connection: Raw, content: bytes) -> None:
    """Send the same byte, or bytes, over and over until something is said to it."""
    while not connection.is_answered(0.05):
        connection.send(content)


def test_who_says_nothing_is_cut_off(process: Process) -> None:
    with connected(process.url) as connection:
        assert connection.is_closed()


@pytest.mark.parametrize("calls_before", [0, 1])
def test_a_head_that_comes_in_drops_is_cut_off(process: Process, calls_before: int) -> None:
    with connected(process.url) as connection:
        for _ in range(calls_before):
            connection.send(request("GET", "/health/live"))
            assert connection.answer().status == 200
        connection.send(b"GET /health/live HTTP/1.1\r\nX-Slow: ")
        drip(connection, b"a")

        answer = connection.answer()

        assert answer.status == 408
        assert answer.document["type"] == "urn:stepcast:request-timeout"
        assert answer.is_last
        assert connection.is_closed()


def test_line_ends_between_requests_do_not_keep_a_connection(process: Process) -> None:
    """They stop uvicorn's own timer of idle connections."""
    with connected(process.url) as connection:
        connection.send(request("GET", "/health/live"))
        assert connection.answer().status == 200
        connection.send(b"\r\n")

        assert connection.is_closed()


@pytest.mark.parametrize("kind", ["header", "many-headers", "path", "query"])
@pytest.mark.parametrize("way", ["at-once", "in-pieces"])
def test_a_head_that_is_too_large_is_not_kept(process: Process, kind: str, way: str) -> None:
    long = 70_000 * b"a"
    head = {
        "header": b"GET / HTTP/1.1\r\nx: " + long + b"\r\n\r\n",
        "many-headers": b"GET / HTTP/1.1\r\n" + 9000 * b"x: abc\r\n" + b"\r\n",
        "path": b"GET /" + long + b" HTTP/1.1\r\n\r\n",
        "query": b"GET /?" + long + b" HTTP/1.1\r\n\r\n",
    }[kind]
    with connected(process.url) as connection:
        if way == "at-once":
            connection.send(head)
        for start in range(0, len(head), 1000) if way == "in-pieces" else ():
            if connection.is_answered():
                break
            connection.send(head[start : start + 1000])

        answer = connection.answer()

        assert answer.status == 431
        assert answer.is_last


def test_a_head_may_be_nearly_as_large(process: Process) -> None:
    with connected(process.url) as connection:
        connection.send(request("GET", "/health/live", x=60_000 * "a"))

        assert connection.answer().status == 200


def test_a_head_of_a_hundred_megabytes_takes_no_memory(process: Process) -> None:
    before = resident_mb(process)

    with connected(process.url) as connection:
        connection.send(b"GET / HTTP/1.1\r\nx: ")
        with pytest.raises(ConnectionError):
            connection.send(100_000_000 * b"a")

    assert resident_mb(process) - before < 20


def test_what_follows_a_body_is_no_way_around_it(process: Process) -> None:
    before = resident_mb(process)

    with connected(process.url) as connection:
        head = "POST /observe HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        connection.send(f"{head}Transfer-Encoding: chunked\r\n\r\n0\r\n".encode())
        with pytest.raises(ConnectionError):
            connection.send(100_000 * (b"x: " + 1000 * b"a" + b"\r\n"))

    assert resident_mb(process) - before < 20


def resident_mb(process: Process) -> float:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


# Bodies


@pytest.mark.parametrize("path", ["/observe", "/series"])
@pytest.mark.parametrize("drops", [b"", b" "])
def test_a_body_that_does_not_come_is_cut_off(process: Process, path: str, drops: bytes) -> None:
    """`/series` takes no POST, and is answered before."""
    with connected(process.url) as connection:
        connection.send(request("POST", path, b"{", length=50_000))
        first = connection.answer() if path == "/series" else None
        if drops:
            drip(connection, drops)

        if first is None:
            answer = connection.answer()
            assert answer.status == 408
            assert answer.document["detail"] == (
                "the body of the request did not arrive within 1 seconds"
            )
            assert answer.is_last
        assert connection.is_closed()


def test_a_body_in_pieces_is_taken(process: Process) -> None:
    whole = request("POST", "/forecast", FORECAST)

    with connected(process.url) as connection:
        for _ in range(2):
            for start in range(0, len(whole), 7):
                connection.send(whole[start : start + 7])

            assert connection.answer().status == 200


@pytest.mark.parametrize(
    "rest", [b"zz\r\n", b"GET / HTTP/1.1\r\n\r\n"], ids=["no-chunk", "another-request"]
)
def test_a_body_that_is_none_is_refused(process: Process, rest: bytes) -> None:
    head = "POST /observe HTTP/1.1\r\nContent-Type: application/json\r\n"
    with connected(process.url) as connection:
        connection.send(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + rest)

        answer = connection.answer()

        assert answer.status == 400
        assert answer.document["type"] == "urn:stepcast:bad-request"


def test_requests_sent_at_once_are_answered_in_order(process: Process) -> None:
    asked = list(range(1, 21))
    bodies = [json.dumps({"unique_id": "shampoo", "h": h}).encode() for h in asked]

    with connected(process.url) as connection:
        connection.send(b"".join(request("POST", "/forecast", body) for body in bodies))
        answers = [connection.answer() for _ in asked]

    assert [len(answer.document["forecasts"]) for answer in answers] == asked


def test_nonsense_after_a_request_does_not_take_its_answer(process: Process) -> None:
    """A 400 in the place of the answer would be taken for it, though the call was done."""
    with connected(process.url) as connection:
        connection.send(request("POST", "/forecast", LONG_FORECAST) + b"\x00\x00\r\n\r\n")

        answer = connection.answer()

        assert answer.status == 200
        assert answer.is_last
        assert connection.is_closed()


def test_of_very_many_requests_sent_at_once_some_are_answered(process: Process) -> None:
    with connected(process.url) as connection:
        connection.send(200 * request("GET", "/health/live"))

        answers = [connection.answer()]
        while not answers[-1].is_last:
            answers.append(connection.answer())

    assert {answer.status for answer in answers} == {200}
    assert 10 < len(answers) < 100


# Answers


def open_files(process: Process) -> int:
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))


def test_who_does_not_read_an_answer_is_cut_off(process: Process) -> None:
    with connected(process.url, receive_bytes=4096) as connection:
        connection.send(request("POST", "/forecast", LONG_FORECAST))
        assert connection.is_answered(20)
        before = open_files(process)

        eventually(lambda: open_files(process) < before, "the connection is still open")


def test_who_reads_slowly_gets_all(process: Process) -> None:
    with connected(process.url, receive_bytes=4096) as connection:
        connection.send(request("POST", "/forecast", LONG_FORECAST))
        started, content = time.monotonic(), b""
        while not content.endswith(b"}}]}") and (piece := connection.socket.recv(20_000)):
            content += piece
            time.sleep(0.004)  # a slow reader

        assert time.monotonic() - started > 2
        assert json.loads(content.partition(b"\r\n\r\n")[2])["step"] == 24


# Very many numbers, and a table of them of about six megabytes.
NUMBERS = {"level": [50, 80, 90, 95]}
TABLE = json.dumps({"unique_id": 30_000 * ["shampoo"], **NUMBERS}).encode()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/forecast/batch", {"unique_id": 30 * ["kept"]}),
        ("/forecast/batch", {"unique_id": 3 * ["kept"], "h": 10}),
        ("/observe/batch", {"unique_id": 30 * ["kept"], "y": 30 * [1.0]}),
        ("/seed-state/batch", {"unique_id": 30 * ["c"], "y": 30 * [1.0]}),
    ],
)
def test_an_answer_may_have_ten_numbers_a_row(
    small: Service, path: str, body: dict[str, Any]
) -> None:
    """A megabyte of names once made an answer of 81."""
    small.post(path, **body, **NUMBERS)

    problem = small.refused(path, 422, **body, level=[50, 60, 70, 80, 90])

    assert problem["detail"] == (
        "level, quantiles: 11 numbers in each of 30 rows are more than 300; split the call, or ask "
        "for fewer"
    )


def test_answers_that_nobody_reads_take_no_memory_but_of_one() -> None:
    """Fourteen of them once took a gigabyte, and each gave back its place before it was read."""
    limits = {"STEPCAST_MAX_BYTES_IN_FLIGHT": "10000000", "STEPCAST_WRITE_TIMEOUT_SECONDS": "6"}
    with (
        serving(variables=SHAMPOO | limits) as process,
        ExitStack() as stack,
        httpx.Client(base_url=process.url, headers=JSON) as others,
    ):
        whole = others.post("/forecast/batch", content=TABLE)
        before = resident_mb(process)
        unread = stack.enter_context(connected(process.url, receive_bytes=4096))
        unread.send(request("POST", "/forecast/batch", TABLE))
        assert unread.is_answered(20)

        refused = []
        for _ in range(11):
            connection = stack.enter_context(connected(process.url, receive_bytes=4096))
            connection.send(request("POST", "/forecast/batch", TABLE))
            assert connection.is_answered(20)
            refused.append(connection)
        taken = others.post("/observe", content=OBSERVATION)
        more_mb = resident_mb(process) - before
        answers = [connection.answer() for connection in refused]

        assert len(whole.content) > 5_000_000
        assert more_mb < 20
        assert taken.status_code == 200
        for answer in answers:
            assert answer.status == 503
            assert answer.headers["retry-after"] == "1"
            assert answer.document["type"] == "urn:stepcast:busy"
        eventually(lambda: others.post("/forecast/batch", content=TABLE).status_code == 200)
        assert process.stop() == 0
        assert "Traceback" not in process.log


@pytest.mark.parametrize(
    ("end", "seconds"), [("is-read", "60"), ("is-left", "60"), ("is-given-up", "2")]
)
def test_an_answer_keeps_its_place_until_it_is_read_or_given_up(end: str, seconds: str) -> None:
    limits = {"STEPCAST_MAX_CONCURRENCY": "1", "STEPCAST_WRITE_TIMEOUT_SECONDS": seconds}
    with (
        serving(variables=SHAMPOO | limits) as process,
        connected(process.url, receive_bytes=4096) as unread,
        httpx.Client(base_url=process.url) as others,
    ):
        unread.send(request("POST", "/forecast", LONG_FORECAST))
        assert unread.is_answered(20)

        refused = others.get("/models")
        if end == "is-read":
            assert unread.answer().status == 200
        elif end == "is-left":
            unread.socket.close()

        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        eventually(lambda: others.get("/models").status_code == 200)


def test_a_long_history_is_sent_no_faster_than_it_is_read(tmp_path: Path) -> None:
    """It takes no body, so that its answer is made before there is known to be room for it."""
    limits = {
        "STEPCAST_STORE": f"sqlite:///{tmp_path}/s.db",
        "STEPCAST_KEEP_OBSERVATIONS": "10000",
        "STEPCAST_MAX_BYTES_IN_FLIGHT": "1",
    }
    past = json.dumps({"unique_id": "a", "y": [n % 7 for n in range(10_000)]}).encode()
    with (
        serving(variables=SHAMPOO | limits) as process,
        connected(process.url, receive_bytes=4096) as unread,
        httpx.Client(base_url=process.url) as others,
    ):
        assert others.post("/seed-state", content=past, headers=JSON).status_code == 200
        unread.send(request("GET", "/series/a/history?limit=10000"))
        assert unread.is_answered(20)

        refused = others.get("/series/a/history?limit=10000")
        short = others.get("/series/a/history?limit=10")
        answer = unread.answer()
        whole = others.get("/series/a/history?limit=10000")

        assert refused.status_code == 503
        assert refused.json()["type"] == "urn:stepcast:busy"
        assert refused.headers["retry-after"] == "1"
        assert short.status_code == 200
        assert len(answer.document["history"]) == 10_000
        assert whole.json() == answer.document
        assert "Traceback" not in process.log


# How many at once


def test_a_caller_who_goes_away_gives_its_place_back(tmp_path: Path) -> None:
    """Its observation waits for the store, which another process has locked."""
    limits = {"STEPCAST_MAX_CONCURRENCY": "1", "STEPCAST_STORE": f"sqlite:///{tmp_path}/s.db"}
    with (
        serving(variables=SHAMPOO | limits) as process,
        closing(sqlite3.connect(tmp_path / "s.db", isolation_level=None)) as other,
        httpx.Client(base_url=process.url) as others,
    ):
        other.execute("BEGIN IMMEDIATE")
        with connected(process.url) as gone:
            gone.send(request("POST", "/observe", OBSERVATION))
            eventually(lambda: others.get("/models").status_code == 503)
        left = time.monotonic()
        eventually(lambda: others.get("/models").status_code == 200)

        assert time.monotonic() - left < 1  # the store gives up after two seconds
        assert process.stop() == 0
        assert "Traceback" not in process.log
        assert "ASGI" not in process.log


def test_a_step_beyond_64_bits_keeps_nobody_waiting() -> None:
    """It once left every observation that came with it without an answer, and in its place."""
    poison = b'{"unique_id": "a", "y": 1, "expected_step": 99999999999999999999999}'
    with (
        serving(variables=SHAMPOO | {"STEPCAST_MAX_CONCURRENCY": "16"}) as process,
        httpx.Client(base_url=process.url, headers=JSON, timeout=10) as client,
        ThreadPoolExecutor(16) as callers,
    ):
        bodies = 20 * [poison, OBSERVATION]
        answers = list(callers.map(lambda body: client.post("/observe", content=body), bodies))

        assert [answer.status_code for answer in answers] == 20 * [422, 200]
        assert client.post("/observe", content=OBSERVATION).status_code == 200


def test_more_calls_than_may_be_in_flight_are_told_to_come_again() -> None:
    with (
        serving(variables=SHAMPOO | {"STEPCAST_MAX_CONCURRENCY": "1"}) as process,
        connected(process.url) as first,
        httpx.Client(base_url=process.url) as others,
    ):
        whole = request("POST", "/forecast", FORECAST)
        first.send(whole[:-1])

        eventually(lambda: others.get("/models").status_code == 503)
        hot, cold = others.post("/forecast", content=FORECAST, headers=JSON), others.get("/series")
        probes = [others.get(f"/health/{one}") for one in ("live", "ready")]
        first.send(whole[-1:])

        for refused in (hot, cold):
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "1"
            assert refused.headers["content-type"] == "application/problem+json"
            assert refused.json()["type"] == "urn:stepcast:busy"
        assert [probe.status_code for probe in probes] == [200, 200]
        assert first.answer().status == 200
        assert others.get("/models").status_code == 200


def test_bodies_together_have_a_limit() -> None:
    limits = {"STEPCAST_MAX_BODY_BYTES": "300000", "STEPCAST_MAX_BYTES_IN_FLIGHT": "1"}
    body = FORECAST.ljust(200_000)
    with (
        serving(variables=SHAMPOO | limits) as process,
        connected(process.url) as first,
        httpx.Client(base_url=process.url) as others,
    ):
        whole = request("POST", "/forecast", body)
        first.send(whole[:-1])

        eventually(lambda: others.post("/forecast", content=body, headers=JSON).status_code == 503)
        refused = others.post("/forecast", content=body, headers=JSON)
        small = others.post("/forecast", content=FORECAST, headers=JSON)
        first.send(whole[-1:])

        assert refused.json()["type"] == "urn:stepcast:busy"
        assert refused.headers["retry-after"] == "1"
        assert small.status_code == 200
        assert first.answer().status == 200
        assert others.post("/forecast", content=body, headers=JSON).status_code == 200


def test_more_connections_than_may_be_are_told_so() -> None:
    with (
        serving(variables=SHAMPOO | {"STEPCAST_MAX_CONNECTIONS": "3"}) as process,
        ExitStack() as stack,
    ):
        kept = [stack.enter_context(connected(process.url)) for _ in range(3)]
        for connection in kept:
            connection.send(request("GET", "/health/live"))
            assert connection.answer().status == 200

        with connected(process.url) as one_more:
            refused = one_more.answer()
            assert one_more.is_closed()
        kept[0].socket.close()

        assert refused.status == 503
        assert refused.headers["retry-after"] == "1"
        assert refused.document["type"] == "urn:stepcast:busy"
        eventually(lambda: is_served(process))


def is_served(process: Process) -> bool:
    with connected(process.url) as connection:
        connection.send(request("GET", "/health/live"))
        return connection.answer().status == 200


def test_many_callers_at_once_are_all_answered(service: Service) -> None:
    service.post("/seed-state", unique_id="a", y=[1.0, 2.0, 3.0])

    with ThreadPoolExecutor(16) as callers:
        answers = list(
            callers.map(
                lambda _: service.client.post("/forecast", json={"unique_id": "a"}), range(64)
            )
        )

    assert {answer.status_code for answer in answers} == {200}


# When to come again


class _Body(Body):
    unique_id: str = "a"


@pytest.mark.parametrize(
    ("error", "status", "seconds"),
    [(StoreFullError("full"), 429, "60"), (StoreUnavailableError("disk full"), 503, "1")],
)
def test_who_is_to_come_again_is_told_when(
    service: Service, error: ForecastError, status: int, seconds: str
) -> None:
    async def fail(body: _Body, services: object, settings: object) -> _Body:
        raise error

    def fail_too() -> None:
        raise error

    service.app.add_api_route("/fault", fail_too)
    hot = TestClient(HotCalls(Starlette(), {"/x": fail}, {}, frozenset(), Settings()))
    hot.app_state.update(services=None, settings=Settings())

    answers = [service.client.get("/fault"), hot.post("/x", json={})]

    for answer in answers:
        problem = service.problem(answer, status)
        assert problem["title"] == STATUS[type(error)][1]
        assert answer.headers["retry-after"] == seconds

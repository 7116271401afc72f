"""A process that is told to stop finishes what it began, takes nothing more, and ends in time."""

import signal
import subprocess
import sys
import time
from contextlib import ExitStack

import httpx
import pytest

from tests.app.raw import Raw, connected, eventually, request
from tests.app.running import ROOT, Process, serving

OBSERVATION = b'{"unique_id": "a", "y": 1}'
# What is allowed on top of a time-out: these machines are slow.
SLACK_SECONDS = 3.0


def begin(process: Process, connection: Raw) -> None:
    """Send the first half of an observation, and wait until it is taken up."""
    warm_up(connection)
    connection.send(request("POST", "/observe", OBSERVATION)[:-10])
    with connected(process.url) as other:
        warm_up(other)


def finish(connection: Raw) -> None:
    """Send the other half."""
    connection.send(OBSERVATION[-10:])


def begin_to_stop(process: Process, kind: signal.Signals = signal.SIGTERM) -> None:
    process.tell(kind)
    eventually(lambda: "Stopping: " in process.log, "did not begin to stop")


def warm_up(connection: Raw) -> None:
    """Make a call, after which the connection stays open."""
    connection.send(request("GET", "/health/ready"))
    assert connection.answer().status == 200


def test_a_call_in_flight_is_answered_and_others_are_refused() -> None:
    with serving() as process, ExitStack() as stack:
        calls, ready, live, begun = (stack.enter_context(connected(process.url)) for _ in range(4))
        for connection in (calls, ready, live):
            warm_up(connection)
        begin(process, begun)

        begin_to_stop(process)
        calls.send(request("POST", "/observe", OBSERVATION))
        ready.send(request("GET", "/health/ready"))
        live.send(request("GET", "/health/live"))
        refused, unready, alive = (one.answer() for one in (calls, ready, live))
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{process.url}/health/live")
        finish(begun)
        answered = begun.answer()
        status = process.wait()

    assert refused.status == unready.status == 503
    assert refused.document["type"] == "urn:stepcast:stopping"
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["retry-after"] == "1"
    assert refused.is_last
    assert alive.status == 200
    assert answered.status == 200
    assert answered.is_last
    assert answered.document["step"] == 1
    assert status == 0


def test_a_client_that_hangs_does_not_keep_the_process() -> None:
    with (
        serving(variables={"STEPCAST_STOP_TIMEOUT_SECONDS": "2"}) as process,
        connected(process.url) as silent,
        connected(process.url) as hung,
    ):
        silent.send(b"POST /observe HTTP/1.1\r\n")
        begin(process, hung)
        started = time.monotonic()

        begin_to_stop(process)
        refused = hung.answer()
        status = process.wait()

        assert time.monotonic() - started < 2 + SLACK_SECONDS
        assert status == 0
        assert refused.status == 503
        assert refused.is_last
        assert "Traceback" not in process.log
        assert "Application shutdown complete" in process.log


def test_a_client_that_does_not_read_does_not_keep_the_process() -> None:
    with (
        serving(variables={"STEPCAST_STOP_TIMEOUT_SECONDS": "2"}) as process,
        connected(process.url, receive_bytes=4096) as idle,
    ):
        many = b'{"unique_id": "shampoo", "h": 1000, "quantiles": [%s]}'
        levels = b",".join(b"0.%03d" % number for number in range(1, 101))
        for _ in range(8):
            idle.send(request("POST", "/forecast", many % levels))
        eventually(idle.is_answered)
        started = time.monotonic()

        status = process.stop()

        assert time.monotonic() - started < 2 + SLACK_SECONDS
        assert status == 0


def test_told_twice_it_ends_at_once() -> None:
    with (
        serving(variables={"STEPCAST_STOP_TIMEOUT_SECONDS": "600"}) as process,
        connected(process.url) as hung,
    ):
        begin(process, hung)
        begin_to_stop(process)

        process.tell(signal.SIGTERM)

        assert process.wait() == 128 + signal.SIGTERM


def test_an_interrupt_is_a_stop_like_any_other() -> None:
    with serving() as process, connected(process.url) as begun:
        begin(process, begun)

        begin_to_stop(process, signal.SIGINT)
        finish(begun)

        assert begun.answer().status == 200
        assert process.wait() == 0
        assert "Traceback" not in process.log


NEVER_ENDS = """
import asyncio, os, signal, threading
import uvicorn
from app.gate import Traffic
from app.server import Server

async def app(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    await send({"type": "lifespan.startup.complete"})
    threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGTERM]).start()
    await receive()
    await asyncio.Event().wait()

Server(uvicorn.Config(app, port=0), Traffic(), stop_seconds=0.5).run()
"""


def test_a_store_that_does_not_close_is_no_reason_to_stay() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", NEVER_ENDS], capture_output=True, cwd=ROOT, timeout=20, check=False
    )

    assert ended.returncode == 1
    assert b"did not stop within 0.5 seconds" in ended.stderr

"""`stepcast serve` as a process: quick to start, small, and ended by a signal."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import pytest

from tests.app.running import Process, serving

# Generous: some machines are slow. Measured on two cores: 0.6 s and 70 MB.
START_SECONDS = 10.0
RESIDENT_MB = 150.0


def resident_mb(process: Process) -> float:
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


def test_the_bundled_model_forecasts_soon_after_the_command(process: Process) -> None:
    answer = httpx.post(
        f"{process.url}/forecast", json={"unique_id": "shampoo", "model": "shampoo", "h": 2}
    )

    print(f"answered after {process.start_seconds:.2f} s")  # noqa: T201 (seen with `pytest -rP`)
    assert answer.status_code == 200
    assert [one["ds"][:7] for one in answer.json()["forecasts"]] == ["1903-01", "1903-02"]
    assert process.start_seconds < START_SECONDS


@pytest.fixture(scope="module")
def process() -> Iterator[Process]:
    with serving() as process:
        yield process


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_service_without_tensorflow_is_small(process: Process) -> None:
    with httpx.Client(base_url=process.url) as client:
        for y in range(100):
            client.post("/observe", json={"unique_id": "a", "y": y}).raise_for_status()

    resident = resident_mb(process)

    print(f"resident: {resident:.0f} MB")  # noqa: T201 (seen with `pytest -rP`)
    assert resident < RESIDENT_MB


def test_a_stop_that_was_asked_for_is_no_failure() -> None:
    """The process once ended by the signal itself, which supervisors take for a crash."""
    with serving() as process:
        status = process.stop()

        assert status == 0
        assert "Traceback" not in process.log
        with pytest.raises(httpx.ConnectError, match="refused"):
            httpx.get(f"{process.url}/health/live")


@pytest.mark.parametrize("unique_id", ["a/b", "/a/", "a%2Fb", "100%", "a b?c=d#e", "東京", "%ff"])
def test_a_name_survives_the_way_through_a_url(process: Process, unique_id: str) -> None:
    path = f"{process.url}/series/{quote(unique_id, safe='')}"
    httpx.post(f"{process.url}/observe", json={"unique_id": unique_id, "y": 1.0})

    found = httpx.get(path)
    forgotten = httpx.delete(path)

    assert found.json()["unique_id"] == unique_id
    assert forgotten.status_code == 204


def send(process: Process, head: bytes) -> bytes:
    """Send the head of a request, and nothing after it, and return the first of the answer."""
    address = urlsplit(process.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(head + b"\r\n\r\n")
        return connection.recv(1000)


@pytest.mark.parametrize(
    "head",
    [
        b"\x00",
        b"GET /%zz HTTP/1.1",
        b"GET /series/\xff HTTP/1.1",
        b"GET /series/%ff%00 HTTP/1.1",
        *(
            b"POST /observe HTTP/1.1\r\nContent-Length: " + length
            for length in (b"-1", b"1e3", 30 * b"9", 5000 * b"9")
        ),
    ],
)
def test_what_is_hardly_http_is_no_fault_of_the_service(process: Process, head: bytes) -> None:
    answer = send(process, head)

    assert answer.startswith(b"HTTP/1.1 4")
    assert "Traceback" not in process.log


def test_a_body_that_is_declared_too_large_is_refused_before_it_comes(process: Process) -> None:
    head = b"POST /observe HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 16000001"
    answer = send(process, head)

    assert answer.startswith(b"HTTP/1.1 413")

"""Servers as real processes: each on a free port of this machine, each ended by its own pid."""

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import machine

HOST = "127.0.0.1"
_START_SECONDS = 180.0
_STOP_SECONDS = 10.0
_CALL_SECONDS = 120.0
_LONGEST_SHOWN = 2000


@dataclass(frozen=True)
class Server:
    """A process that answers HTTP.

    Args:
        process: The process.
        port: Where it listens.
        started: When it was started, on the clock of `time.perf_counter`.
    """

    process: subprocess.Popen[bytes]
    port: int
    started: float

    def call(self, path: str, body: Mapping[str, object] | bytes) -> tuple[int, Any]:
        """POST a body over a connection of its own and return status and parsed answer."""
        connection = self.connect()
        try:
            return call(connection, path, body)
        finally:
            connection.close()

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection that stays open from call to call."""
        return http.client.HTTPConnection(HOST, self.port, timeout=_CALL_SECONDS)

    def cpu_seconds(self) -> float:
        """Return the processor time that the process has used, in user and in kernel mode."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mb(self) -> float:
        """Return the resident memory, in megabytes."""
        return self._status_mb("VmRSS")

    def peak_mb(self) -> float:
        """Return the most resident memory that there has been, in megabytes."""
        return self._status_mb("VmHWM")

    def _status_mb(self, field: str) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith(field))
        return int(line.split()[1]) * 1024 / 1e6

    def wait_until_idle(self) -> None:
        """Wait until calls whose callers went away are worked off."""
        used = self.cpu_seconds()
        for _ in range(600):
            time.sleep(0.1)
            before, used = used, self.cpu_seconds()
            if used - before < 0.02:
                return


def call(
    connection: http.client.HTTPConnection, path: str, body: Mapping[str, object] | bytes
) -> tuple[int, Any]:
    """POST a body and return status and parsed answer."""
    status, content = exchange(connection, path, encode(body))
    return status, json.loads(content)


def exchange(connection: http.client.HTTPConnection, path: str, body: bytes) -> tuple[int, bytes]:
    """POST bytes and return status and bytes."""
    connection.request("POST", path, body, {"content-type": "application/json"})
    answer = connection.getresponse()
    return answer.status, answer.read()


def encode(body: Mapping[str, object] | bytes) -> bytes:
    """Return a body as JSON."""
    return body if isinstance(body, bytes) else json.dumps(body).encode()


@contextmanager
def stepcast(models: Path, store: Path | None = None) -> Iterator[Server]:
    """Run `stepcast serve` on a folder of models.

    Args:
        models: The folder.
        store: The file that series are kept in; by default they are kept in memory.
    """
    kept = "memory" if store is None else f"sqlite:///{store}"
    environment = {"STEPCAST_MODELS": str(models), "STEPCAST_STORE": kept}
    # A million series take more memory than the service allows them by default.
    environment["STEPCAST_MAX_MEMORY_BYTES"] = str(4 * 10**9)
    with _serving(["stepcast.cli", "serve", "--port"], environment) as server:
        yield server


@contextmanager
def comparison(name: str, *arguments: str) -> Iterator[Server]:
    """Run one of the services in `benchmarks.servers`."""
    with _serving([f"benchmarks.servers.{name}", *arguments], {}) as server:
        yield server


@contextmanager
def _serving(command: list[str], environment: dict[str, str]) -> Iterator[Server]:
    """Run a module that takes a port as its last argument, until the block ends."""
    port = _free_port()
    own = {name: value for name, value in os.environ.items() if not name.startswith("STEPCAST_")}
    with tempfile.TemporaryFile() as said:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", *command, str(port)],
            env=own | machine.ONE_THREAD | environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
        try:
            machine.pin_server(process.pid)
            if not _is_listening(process, port):
                said.seek(0)
                end = said.read().decode(errors="replace")[-_LONGEST_SHOWN:]
                raise RuntimeError(f"{' '.join(command)} does not answer; it said:\n{end}")
            yield Server(process, port, started)
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _is_listening(process: subprocess.Popen[bytes], port: int) -> bool:
    """Wait for the port, which uvicorn opens once the application has started."""
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            time.sleep(0.005)
        else:
            return True
    return False

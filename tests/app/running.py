"""A service under test: in this process through a test client, or as a process of its own."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.main import create_app
from app.services import Services, load_services
from app.settings import Settings
from forecaster.forecaster import Forecaster

ROOT = Path(__file__).parents[2]

_STEPCAST = [sys.executable, "-m", "stepcast.cli"]
_START_SECONDS = 60.0
_STOP_SECONDS = 20.0


@dataclass(frozen=True)
class Service:
    """A service in this process.

    Args:
        client: Talks to it.
        app: The application.
        services: What the application was made with.
    """

    client: TestClient
    app: FastAPI
    services: Services

    def post(self, path: str, **body: object) -> Any:
        """Return the answer to a call that must succeed."""
        answer = self.client.post(path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refused(self, path: str, status: int, **body: object) -> Any:
        """Return the problem document of a call that must be refused, and change nothing."""
        before = self.records()
        answer = self.client.post(path, json=body)
        assert self.records() == before
        return self.problem(answer, status)

    def problem(self, answer: httpx.Response, status: int) -> Any:
        """Return a problem document, after checking what every one has to be."""
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        document = answer.json()
        assert {"type", "title", "status", "detail"} <= document.keys()
        assert document["type"].startswith("urn:stepcast:")
        assert document["status"] == status
        assert document["detail"]
        assert "Traceback" not in answer.text
        assert ".py" not in answer.text
        return document

    def records(self) -> dict[tuple[str, str], bytes]:
        """Return every record that is kept, by model and name, to the last bit."""
        assert self.client.portal is not None
        found = {}
        for service in self.services:
            ids = self.client.portal.call(service.store.ids)
            records = self.client.portal.call(service.store.read, ids)
            for unique_id, record in zip(ids, records, strict=True):
                found[service.model.name, unique_id] = record.tobytes()
        return found

    def forecaster(self, model: str | None = None) -> Forecaster:
        """Return what does the steps of a model."""
        return self.services.get(model).model.forecaster


@contextmanager
def running(models: Path, **settings: Any) -> Iterator[Service]:
    """Yield a service of these models; `settings` are those of `Settings`."""
    chosen = Settings(models=models, **{"store": "memory"} | settings)
    services = load_services(chosen)
    app = create_app(chosen, services)
    with TestClient(app, "http://localhost", raise_server_exceptions=False) as client:
        yield Service(client, app, services)


@dataclass(frozen=True)
class Process:
    """A `stepcast serve` that listens.

    Args:
        url: Where.
        start_seconds: How long it took until it answered.
    """

    url: str
    start_seconds: float
    _popen: subprocess.Popen[bytes]
    _log: Path

    @cached_property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def log(self) -> str:
        """What it wrote so far."""
        return self._log.read_text()

    def tell(self, kind: signal.Signals) -> None:
        """Send it a signal."""
        self._popen.send_signal(kind)

    def wait(self) -> int:
        """Return its exit status, once it has ended."""
        return self._popen.wait(_STOP_SECONDS)

    def stop(self) -> int:
        """Tell it to stop and return its exit status."""
        self.tell(signal.SIGTERM)
        return self.wait()


@contextmanager
def serving(*flags: str, variables: Mapping[str, str] | None = None) -> Iterator[Process]:
    """Run `stepcast serve` on a free port of this machine, until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as file:
            started = time.monotonic()
            popen = subprocess.Popen(
                [*_STEPCAST, "serve", "--port", "0", *flags],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env=environment(variables),
            )
        try:
            url = _wait_for_url(popen, log)
            httpx.get(f"{url}/health/ready").raise_for_status()
            yield Process(url, time.monotonic() - started, popen, log)
        finally:
            if popen.poll() is None:
                popen.kill()
                popen.wait(_STOP_SECONDS)


def stepcast(
    *arguments: str, variables: Mapping[str, str] | None = None, folder: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, in the root of the repository or in another folder."""
    return subprocess.run(
        [*_STEPCAST, *arguments],
        capture_output=True,
        check=False,
        cwd=folder,
        encoding="utf-8",
        env=environment(variables),
        stdin=subprocess.DEVNULL,
        timeout=120,
    )


def environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment, with these settings of Stepcast and no others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STEPCAST_")}
    return kept | {"STEPCAST_STORE": "memory"} | dict(variables or {})


def _wait_for_url(popen: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        match = re.search(r"running on (http://\S+)", log.read_text())
        if match:
            return match[1]
        assert popen.poll() is None, f"ended before it listened:\n{log.read_text()}"
        time.sleep(0.02)
    raise AssertionError(f"did not listen within {_START_SECONDS} s:\n{log.read_text()}")

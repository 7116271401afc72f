"""The images, and the service as `docker compose` runs it in a folder of its own."""

import json
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from tests.app.running import ROOT

# What a build may take where nothing of it is in the cache.
BUILD_SECONDS = 1800.0
_COMMAND_SECONDS = 300.0
_PATIENCE_SECONDS = 60.0

# The user that writes models where the compose file is told of no other.
TRAINER = 1000

_OVERRIDE = """\
services:
  service: {{image: "{images.service}", healthcheck: {{interval: 1s, retries: 2}}}}
  train: {{image: "{images.training}"}}
"""


def docker(
    *arguments: str,
    folder: Path = ROOT,
    variables: Mapping[str, str] | None = None,
    timeout_seconds: float = _COMMAND_SECONDS,
) -> subprocess.CompletedProcess[str]:
    """Run a command of Docker to its end, with these settings of Stepcast and no others."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("STEPCAST_", "COMPOSE_"))
    }
    return subprocess.run(
        ["docker", *arguments],
        capture_output=True,
        check=False,
        cwd=folder,
        encoding="utf-8",
        env=kept | dict(variables or {}),
        stdin=subprocess.DEVNULL,
        timeout=timeout_seconds,
    )


def done(ended: subprocess.CompletedProcess[str]) -> str:
    """Return what a command that must succeed wrote to standard output."""
    assert ended.returncode == 0, (
        f"{shlex.join(ended.args)}: status {ended.returncode}\n"
        f"{ended.stdout[-2000:]}{ended.stderr[-4000:]}"
    )
    return ended.stdout.strip()


def eventually(claim: Callable[[], bool], message: str) -> None:
    """Wait until a claim is true."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not claim():
        assert time.monotonic() < deadline, message
        time.sleep(0.2)


def inspect(container: str) -> Any:
    """Return what the engine knows of a container."""
    return json.loads(done(docker("inspect", container)))[0]


@dataclass(frozen=True)
class Images:
    """The names of what was built.

    Args:
        service: The image to serve with.
        training: The image to train with.
    """

    service: str
    training: str


@dataclass(frozen=True)
class Project:
    """A folder with the compose file, models and examples, as a user has it.

    Args:
        folder: The folder.
        name: Of containers and volumes, so that they are told from a user's.
        variables: Set for each command.
    """

    folder: Path
    name: str
    variables: Mapping[str, str]

    def compose(
        self, *arguments: str, variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of Docker Compose to its end."""
        return docker(
            *("compose", "--project-name", self.name, *arguments),
            folder=self.folder,
            variables=dict(self.variables) | dict(variables or {}),
        )

    def up(self, variables: Mapping[str, str] | None = None) -> None:
        """Start the service, and wait until it is healthy."""
        done(self.compose("up", "--detach", "--no-build", "--wait", variables=variables))

    def down(self, *flags: str) -> None:
        """Remove containers; the volume too, with the flag `--volumes`."""
        done(self.compose("--profile", "*", "down", *flags))

    def client(self, key: str | None = None) -> httpx.Client:
        """Return what talks to the service."""
        address = done(self.compose("port", "service", "8000"))
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        return httpx.Client(base_url=f"http://{address}", headers=headers, trust_env=False)

    def post(self, path: str, **body: object) -> Any:
        """Return the answer to a call that must succeed."""
        with self.client() as client:
            return answer_of(client.post(path, json=body))

    def get(self, path: str) -> Any:
        """Return the answer to a call that must succeed."""
        with self.client() as client:
            return answer_of(client.get(path))

    def log(self) -> str:
        """Return what the service wrote."""
        ended = self.compose("logs", "--no-color", "service")
        return done(ended) + ended.stderr

    def run_in(self, *command: str, user: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command in the container of the service."""
        as_user = () if user is None else ("--user", user)
        return self.compose("exec", "-T", *as_user, "service", *command)

    def inspect(self) -> Any:
        """Return what the engine knows of the service's container."""
        return inspect(done(self.compose("ps", "--all", "--quiet", "service")))


@contextmanager
def project_in(folder: Path, images: Images) -> Iterator[Project]:
    """Yield a new folder as a clone has it, and end what runs in it.

    It takes the images under test, asks for health every second, and serves on a free port.
    """
    folder.mkdir()
    shutil.copy(ROOT / "docker-compose.yml", folder)
    for name in ("examples", "models"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "docker-compose.override.yml").write_text(_OVERRIDE.format(images=images))
    variables = {"STEPCAST_PORT": "0"}
    if os.getuid() == 0:
        os.chown(folder / "models", TRAINER, TRAINER)
    else:
        variables |= {"STEPCAST_UID": str(os.getuid()), "STEPCAST_GID": str(os.getgid())}
    project = Project(folder, f"stepcast-test-{uuid4().hex[:12]}", variables)
    try:
        yield project
    finally:
        project.down("--volumes", "--timeout", "1")


def answer_of(answer: httpx.Response) -> Any:
    """Return the document of an answer that must be no refusal."""
    assert answer.status_code == 200, answer.text
    return answer.json()

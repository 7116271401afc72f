"""The README's calls, made in order against a real service, give the answers printed there."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.app.running import serving

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text()
CALLS = re.findall(r"```sh\n(curl .*?)\n```\n.*?```json\n(.*?)```", README, re.DOTALL)

# The README shortens numbers to three decimals.
SHORTENED = 6e-4


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """Run what `make run` runs, and yield its address."""
    with serving() as process:
        yield process.url
        assert process.stop() == 0


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
    assert len(CALLS) == 7

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

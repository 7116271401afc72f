"""Serving loads no training library: it starts in a moment and stays small."""

import subprocess
import sys

import pytest

HEAVY = ("tensorflow", "keras", "pandas", "sklearn", "scipy", "matplotlib", "httpx")


@pytest.mark.parametrize("module", ["app.main", "app.server", "stepcast.cli"])
def test_serving_imports_no_training_library(module: str) -> None:
    program = f"import sys, {module}; print(*sorted(set(sys.modules) & set({HEAVY!r})))"

    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, encoding="utf-8"
    )

    assert ended.stdout.split() == []


def test_importing_the_application_has_no_effect() -> None:
    program = "import app.main, asyncio, threading; print(threading.active_count())"

    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, encoding="utf-8"
    )

    assert (ended.stdout, ended.stderr) == ("1\n", "")

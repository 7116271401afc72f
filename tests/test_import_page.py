"""The example of docs/import.md: fitted, imported, and served."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import joblib
import pytest

from tests.app.running import ROOT, serving, stepcast

PAGE = (ROOT / "docs" / "import.md").read_text()

pytestmark = pytest.mark.slow

AGREE = 1e-5


def block(kind: str, folder: Path) -> str:
    """Return the page's code of a kind, with what it writes in a folder."""
    found: str
    (found,) = re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)
    for name in ("model.keras", "scaler.joblib"):
        found = found.replace(name, str(folder / name))
    return found


def told_scaler() -> str:
    """Return what the page says in place of the example's joblib file."""
    (found,) = re.findall(r'`(\{"data_min".+?\})`', PAGE)
    return str(found)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the page's network was fitted."""
    folder = tmp_path_factory.mktemp("own")
    program = [sys.executable, "-c", block("python", folder)]
    subprocess.run(program, check=True, cwd=ROOT, capture_output=True)
    return folder


def test_the_example_is_served_as_it_was_scored(folder: Path) -> None:
    _, *command = shlex.split(block("sh", folder))

    ended = stepcast(*command, "--models", str(folder / "models"), "--json")

    assert ended.returncode == 0, ended.stderr
    scores = json.loads(ended.stdout)
    assert re.match(
        r"warning: .+scaler\.joblib: a \.joblib file is code, which runs now", ended.stderr
    )
    with serving("--models", str(folder / "models")) as process:
        walk = ("walk", "examples/shampoo.csv", "--test", "12", "--url", process.url, "--json")
        walked = stepcast(*walk)
    assert json.loads(walked.stdout)["model"]["rmse"] == pytest.approx(
        scores["model"]["rmse"], abs=AGREE
    )


def test_the_numbers_of_the_page_say_what_its_scaler_says(folder: Path) -> None:
    """They were those of another series."""
    fitted = joblib.load(folder / "scaler.joblib")

    told = json.loads(told_scaler())

    assert told == pytest.approx(
        {"data_min": fitted.data_min_[0], "data_max": fitted.data_max_[0]}, abs=1e-9
    )


def test_an_import_is_read_by_people_too(folder: Path) -> None:
    (folder / "scaler.json").write_text(told_scaler())
    _, *command = shlex.split(block("sh", folder))
    command[3] = str(folder / "scaler.json")

    ended = stepcast(*command, "--models", str(folder / "more"))

    assert ended.returncode == 0, ended.stderr
    assert "code" not in ended.stderr
    assert "own over the last 12 observations of examples/shampoo.csv" in ended.stdout
    assert re.search(r"It is your network to \de-\d+, with the policy carry\.", ended.stdout)


def test_what_cannot_be_served_is_refused_in_one_line() -> None:
    flags = ("--scaler", "s.json", "--data", "examples/shampoo.csv", "--name", "x")

    ended = stepcast("import", "README.md", *flags)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        "error: README.md: expected a .keras file, as model.save('model.keras') writes, "
        "found another\n"
    )

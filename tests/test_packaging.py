"""What is installed: the locks hold what the project declares, and no address of an index."""

import re
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]

DECLARED = {
    "service": PROJECT["dependencies"],
    "training": PROJECT["dependencies"] + EXTRAS["client"] + EXTRAS["training"],
    "dev": PROJECT["dependencies"]
    + EXTRAS["client"]
    + EXTRAS["mlflow"]
    + EXTRAS["otel"]
    + EXTRAS["training"]
    + EXTRAS["dev"],
    "bench": [*PROJECT["dependencies"], *EXTRAS["bench"][1:], *EXTRAS["dev"][1:]],
    "peers": [*PROJECT["dependencies"], *EXTRAS["training"][1:], *EXTRAS["peers"][1:]],
    "docs": [*PROJECT["dependencies"], *EXTRAS["docs"]],
    "build": ["setuptools"],
}


def locked(name: str) -> dict[str, str]:
    """Return the versions in a lock file by package, each of which must have hashes."""
    text = (REPOSITORY / "requirements" / f"{name}.txt").read_text()
    entries = re.split(r"\n(?=[a-z])", text.strip())
    found = {}
    for entry in entries:
        match = re.match(r"([a-z0-9._-]+)==([^\s;]+)", entry)
        assert match, entry
        assert "--hash=sha256:" in entry
        found[match[1]] = match[2]
    return found


@pytest.mark.parametrize("name", DECLARED)
def test_a_lock_holds_every_declared_package(name: str) -> None:
    """A package added to pyproject.toml alone once left the image unable to start."""
    names = {re.split(r"[\[<>=;! ]", one)[0] for one in DECLARED[name]} - {"stepcast"}

    assert names <= locked(name).keys()


@pytest.mark.parametrize("name", DECLARED)
def test_a_lock_names_no_index(name: str) -> None:
    text = (REPOSITORY / "requirements" / f"{name}.txt").read_text()

    assert "://" not in text
    assert "--index" not in text


def test_serving_is_locked_to_the_versions_that_were_tested() -> None:
    tested = locked("dev")

    assert {name: tested.get(name) for name in locked("service")} == locked("service")


def test_serving_installs_no_training_library() -> None:
    heavy = {
        "tensorflow",
        "keras",
        "pandas",
        "scikit-learn",
        "scipy",
        "matplotlib",
        "pyarrow",
        "jinja2",
    }

    assert not heavy & locked("service").keys()


def test_the_readme_trains_in_docker_on_a_file_that_is_there() -> None:
    """The folder `./data` of the first images was in no clone."""
    compose = (REPOSITORY / "docker-compose.yml").read_text()
    folder = re.search(r"\$\{STEPCAST_DATA:-(.+?)\}", compose)
    file = re.search(r"docker compose run --rm train (\S+)", (REPOSITORY / "README.md").read_text())

    assert folder
    assert file
    assert (REPOSITORY / folder[1] / file[1]).is_file()


def test_what_the_containers_serve_by_default_is_the_universal_model() -> None:
    assert "{STEPCAST_MODEL:-universal}" in (REPOSITORY / "docker-compose.yml").read_text()

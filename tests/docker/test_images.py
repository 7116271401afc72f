"""What is in the images, and what is not."""

import re
from pathlib import Path

import pytest

from tests.app.running import ROOT
from tests.docker.engine import Images, docker, done

pytestmark = pytest.mark.docker

PACKAGES = ("app", "forecaster", "stepcast", "training")
README = (ROOT / "README.md").read_text()


@pytest.fixture(params=["service", "training"])
def image(request: pytest.FixtureRequest, images: Images) -> str:
    """Each image."""
    return str(getattr(images, request.param))


def run(image: str, *command: str, flags: tuple[str, ...] = ()) -> str:
    """Return what a command writes in a new container."""
    return done(docker("run", "--rm", *flags, "--entrypoint", command[0], image, *command[1:]))


def files_below(folder: Path) -> set[str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts}


def test_it_runs_as_a_user_of_its_own(image: str) -> None:
    assert run(image, "id").startswith("uid=10001(stepcast) gid=10001(stepcast)")


def test_that_user_owns_nothing_that_is_run(image: str) -> None:
    owned = run(image, "find", "/opt", "/srv/stepcast/models", "-user", "10001")

    assert owned == ""


def test_it_holds_every_file_of_the_packages(image: str) -> None:
    """Templates and pages are data, which a build leaves out unless it is told of them."""
    expected = set.union(*(files_below(ROOT / package) for package in PACKAGES))
    where = run(image, "python", "-c", "import stepcast; print(stepcast.__path__[0])")
    folder = str(Path(where).parent)

    found = run(image, "find", *(f"{folder}/{package}" for package in PACKAGES), "-type", "f")

    assert expected <= {line.removeprefix(f"{folder}/") for line in found.splitlines()}


def test_it_holds_the_bundled_models(image: str) -> None:
    found = run(image, "find", "models", "-type", "f").splitlines()

    assert set(found) >= files_below(ROOT / "models" / "universal")


def test_it_tells_nothing_of_where_packages_came_from(image: str) -> None:
    history = done(docker("history", "--no-trunc", image))
    configuration = done(docker("image", "inspect", image))

    assert "PIP_" not in history + configuration
    assert "index-url" not in history + configuration


def test_serving_needs_no_training_library(images: Images) -> None:
    names = ["tensorflow", "keras", "pandas", "scipy", "sklearn", "matplotlib", "pip"]
    code = f"from importlib.util import find_spec; print([n for n in {names} if find_spec(n)])"

    assert run(images.service, "python", "-c", code) == "[]"


def test_each_is_as_large_as_the_readme_says(images: Images) -> None:
    """What is put on the base image, to a tenth: other machines have another one."""
    printed = re.search(r"adds (\d+) MB,.*\badds (\d+) MB", README, re.DOTALL)
    folders = ("/opt/stepcast", "/srv/stepcast")

    assert printed
    for image, megabytes in zip((images.service, images.training), printed.groups(), strict=True):
        lines = run(image, "du", "--summarize", "--block-size=1", *folders).splitlines()
        assert sum(int(line.split()[0]) for line in lines) == pytest.approx(
            int(megabytes) * 1e6, rel=0.1
        )


def test_a_container_without_a_key_refuses_to_start(images: Images) -> None:
    ended = docker("run", "--rm", images.service)

    assert ended.returncode == 1
    assert ended.stderr.startswith("error: host '0.0.0.0' is open to others, and there are no API")
    assert "STEPCAST_ALLOW_ANONYMOUS=true" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["train", "import", "compare", "backtest", "inspect"])
def test_every_command_of_training_answers(images: Images, command: str) -> None:
    assert f"stepcast {command}" in run(images.training, "stepcast", command, "--help")


def test_a_report_is_made_of_what_is_in_the_image(images: Images) -> None:
    """As a user without rights, on a file system that cannot be written."""
    line = "stepcast compare /data/shampoo.csv --repeats 2 --epochs 1 --out /tmp/out && ls /tmp/out"
    mount = f"type=bind,source={ROOT / 'examples'},target=/data,readonly"
    flags = ("--read-only", "--tmpfs", "/tmp", "--network", "none", "--mount", mount)

    assert "index.html" in run(images.training, "sh", "-c", line, flags=flags).splitlines()

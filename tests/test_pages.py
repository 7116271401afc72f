"""Each call and command on these pages gives the answer printed there, and nothing is left out."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.main import create_app
from app.settings import Settings
from forecaster.spec import Covariate, Kind
from stepcast import client
from tests.app.running import ROOT
from tests.forecaster.fakes import write_model
from tests.pages import Reader
from tests.stepcast.test_cli import COMMANDS

RAIN = Covariate(name="rain", kind=Kind.PAST)
PROMO = Covariate(name="promo", kind=Kind.FUTURE)


@pytest.mark.parametrize(
    ("page", "kind", "least"),
    [
        ("README.md", "json", 8),
        ("docs/client.md", "pycon", 7),
        ("docs/http.md", "json", 29),
        pytest.param("docs/quickstart.md", "sh", 5, marks=pytest.mark.slow),
    ],
)
def test_a_page_says_what_happens(page: str, kind: str, least: int, tmp_path: Path) -> None:
    with Reader(tmp_path) as reader:
        if page == "docs/client.md":  # which has a model told of rain and of promotions
            write_model(tmp_path / "models/shops", freq="D", covariates=(RAIN, PROMO))
        counts = reader.follow(page)
        assert reader.service.stop() == 0

    assert counts[kind] >= least


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    with Reader(tmp_path_factory.mktemp("reader")) as reader:
        yield reader


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("```sh\nrm -r /\n```", "a reader has no rm"),
        ("```sh\nstepcast inspect none\n```", "error: models/none"),
        ("```sh\nstepcast --help\n```\n\n```text\nmakes tea\n```", "'makes tea' is not in"),
        ("```sh\ncurl -s localhost:8000/none\n```", "refused"),
        ("```sh\ncurl -s localhost:8000/none\ncurl -s localhost:8000/series\n```", "refused"),
        ("```sh\ncurl -s localhost:8000/series\n```\n\n```json\n{}\n```", "answered"),
        ("```sh\ncurl -s https://example.org\n```", "not at https://example.org"),
        ("```python\nraise SystemExit('broken')\n```", "broken"),
        ("```pycon\n>>> 1 + 1\n3\n```", "Expected"),
    ],
)
def test_a_page_that_says_otherwise_is_found_out(
    text: str, reason: str, reader: Reader, tmp_path: Path
) -> None:
    """Without this, what runs the pages might be a test that cannot fail."""
    page = tmp_path / "page.md"
    page.write_text(f"# A page\n\n{text}\n")

    with pytest.raises(AssertionError, match=rf"(?s)page\.md:\d.*{reason}"):
        reader.follow(str(page))


def test_the_page_on_http_has_every_call() -> None:
    page = (ROOT / "docs" / "http.md").read_text()

    for path, methods in create_app(Settings(store="memory")).openapi()["paths"].items():
        for method in methods:
            assert f"`{method.upper()} {path}`" in page


def test_the_page_on_the_client_has_every_call_and_error() -> None:
    page = (ROOT / "docs" / "client.md").read_text()
    calls = [name for name in vars(client.Client) if not name.startswith("_")]
    errors = [name for name in client.__all__ if name.endswith("Error")]

    for name in [*calls, *errors]:
        assert re.search(rf"\b{name}\b", page), name


def test_the_readme_has_every_command() -> None:
    readme = (ROOT / "README.md").read_text()

    for command in COMMANDS:
        assert f"| `stepcast {command}" in readme, command


def test_every_setting_is_told() -> None:
    pages = "".join((ROOT / page).read_text() for page in ("README.md", "docs/operations.md"))

    for name in Settings.model_fields:
        assert f"`STEPCAST_{name.upper()}`" in pages, name

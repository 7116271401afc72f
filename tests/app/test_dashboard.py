"""The dashboard: its page, the files that is made of, and the reports; and nothing beside them."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.raw import connected, request
from tests.app.running import ROOT, Service, running, serving
from tests.forecaster.fakes import write_model

KEY = "looking-0123456789"
FOLDER = ROOT / "app" / "dashboard"
FILES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a report, and a file beside it that its manifest does not name."""
    folder = tmp_path_factory.mktemp("reported") / "models"
    write_model(folder / "plain")
    (folder / "plain" / "report" / "notes.txt").write_text("not to be told")
    return folder


@pytest.fixture(scope="module")
def looked_at(reported: Path) -> Iterator[Service]:
    with running(reported, model="plain") as service:
        yield service


def report_of(models: Path) -> bytes:
    return (models / "plain" / "report" / "index.html").read_bytes()


def policy(header: str) -> dict[str, list[str]]:
    """Return what a Content-Security-Policy allows, by directive."""
    return {name: rest for name, *rest in (one.split() for one in header.split(";"))}


def test_the_page_runs_and_fetches_only_what_the_service_serves(looked_at: Service) -> None:
    answer = looked_at.client.get("/")

    allowed = policy(answer.headers["content-security-policy"])
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["x-frame-options"] == "DENY"
    assert allowed["default-src"] == ["'none'"]
    assert {tuple(sources) for sources in allowed.values()} == {("'none'",), ("'self'",)}
    assert not re.search(r"<style|style=|<script>| on\w+=|https?:", answer.text)


def test_every_file_of_the_page_is_served(looked_at: Service) -> None:
    for file in FILES:
        answer = looked_at.client.get(f"/dashboard/{file}")
        assert answer.content == (FOLDER / file).read_bytes()
        if file.endswith(".js"):
            assert answer.headers["content-type"].startswith("text/javascript")


def test_the_page_is_as_protected_as_a_file_of_its_folder(looked_at: Service) -> None:
    page = looked_at.client.get("/")
    file = looked_at.client.get("/dashboard/index.html")

    for name in ("content-security-policy", "x-frame-options", "referrer-policy", "cache-control"):
        assert file.headers[name] == page.headers[name]


def test_a_file_that_the_browser_has_is_not_sent_again(looked_at: Service) -> None:
    first = looked_at.client.get("/dashboard/main.js")
    again = looked_at.client.get(
        "/dashboard/main.js", headers={"if-none-match": first.headers["etag"]}
    )

    assert first.headers["cache-control"] == "no-cache"
    assert again.status_code == 304
    assert not again.content


def test_no_file_of_the_page_names_another_site() -> None:
    ours = [file for file in FILES if not file.startswith("vendor/")]

    for file in ours:
        text = (FOLDER / file).read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://", text), file


def test_what_others_made_comes_with_its_licence() -> None:
    licence = (FOLDER / "vendor" / "uplot" / "LICENSE").read_text()
    version = re.search(r"\(v([\d.]+)\)", (FOLDER / "vendor/uplot/uPlot.iife.min.js").read_text())

    assert "MIT License" in licence
    assert version is not None
    assert f"uPlot {version[1]} " in (FOLDER / "vendor" / "README.md").read_text()


OUTSIDE = [
    "../main.py",
    "..%2fmain.py",
    "%2e%2e/main.py",
    "%2e%2e%2fmain.py",
    "vendor/../../main.py",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "%00",
    "index.html%00.js",
    "vendor",
    "",
    ".",
    "..%5cmain.py",
    "x" * 5000,
]


@pytest.fixture(scope="module")
def address(reported: Path) -> Iterator[str]:
    with serving(variables={"STEPCAST_MODELS": str(reported)}) as process:
        yield process.url


@pytest.mark.parametrize("folder", ["/dashboard/", "/models/plain/report/"])
@pytest.mark.parametrize("path", OUTSIDE)
def test_nothing_beside_the_files_is_served(address: str, folder: str, path: str) -> None:
    if folder.endswith("report/") and not path:
        path = "../manifest.json"
    with connected(address) as connection:
        connection.send(request("GET", folder + path))
        answer = connection.answer()

    assert answer.status == 404
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/models/..", "/models/../report/", "/models/%2e%2e/report/"])
def test_a_path_in_place_of_a_model_has_no_report(address: str, path: str) -> None:
    with connected(address) as connection:
        connection.send(request("GET", path))

        assert connection.answer().status == 404


def test_what_was_put_beside_a_report_is_not_of_it(looked_at: Service) -> None:
    looked_at.problem(looked_at.client.get("/models/plain/report/notes.txt"), 404)


def test_a_report_styles_itself_and_runs_nothing(looked_at: Service, reported: Path) -> None:
    answer = looked_at.client.get("/models/plain/report/")

    allowed = policy(answer.headers["content-security-policy"])
    assert answer.content == report_of(reported)
    assert allowed["default-src"] == ["'none'"]
    assert allowed["style-src"] == ["'unsafe-inline'"]
    assert allowed["img-src"] == ["'self'", "data:"]
    assert "script-src" not in allowed
    assert "allow-scripts" not in allowed["sandbox"]
    assert "allow-same-origin" not in allowed["sandbox"]


def test_a_model_that_is_not_there_has_no_report(looked_at: Service) -> None:
    problem = looked_at.problem(looked_at.client.get("/models/none/report/"), 404)

    assert problem["type"] == "urn:stepcast:unknown-model"


def test_the_page_needs_no_key_and_all_that_it_shows_does(reported: Path) -> None:
    with running(reported, model="plain", api_keys=KEY) as service:
        page = [service.client.get(path).status_code for path in ("/", "/dashboard/main.js")]
        shown = [
            service.client.get(path).status_code
            for path in ("/models", "/models/plain/report/", "/series/a/events", "/dashboard")
        ]
        keyed = service.client.get(
            "/models/plain/report/", headers={"authorization": f"Bearer {KEY}"}
        )

    assert page == [200, 200]
    assert shown == [401] * 4
    assert keyed.content == report_of(reported)


@pytest.mark.parametrize("path", ["/", "/dashboard/main.js", "/models/plain/report/"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_the_page_and_its_files_are_only_read(looked_at: Service, method: str, path: str) -> None:
    answer = looked_at.client.request(method, path)

    looked_at.problem(answer, 405)
    assert answer.headers["allow"] == "GET"


def test_every_file_of_the_page_is_in_the_package() -> None:
    """Packages without modules are left out unless their files are declared as data."""
    declared = re.search(r"app = \[(.*)\]", (ROOT / "pyproject.toml").read_text())

    assert declared is not None
    assert '"dashboard/**/*"' in declared[1]

"""A real service, a real browser, and pages that may say nothing on their console."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from forecaster.spec import Covariate, Kind
from tests.app.running import ROOT, Process, serving
from tests.forecaster.fakes import write_model

READ = "reading-0123456789"
WRITE = "writing-0123456789"
COVARIATES = (
    Covariate(name="temp", kind=Kind.PAST),
    Covariate(name="wind", kind=Kind.FUTURE, categories=("north", "south")),
)

_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Chromium's own word on every answer above 399; the pages show what it says.
_REFUSED = "Failed to load resource: the server responded with a status of"
_PATIENCE_MS = 30_000


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if _CHROMIUM is None:
        skip = pytest.mark.skip(reason="needs Chromium: apt-get install chromium")
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(skip)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled models, and one with covariates."""
    folder = tmp_path_factory.mktemp("dashboard") / "models"
    shutil.copytree(ROOT / "models", folder)
    write_model(folder / "told", covariates=COVARIATES)
    return folder


@pytest.fixture(scope="module")
def process(models: Path) -> Iterator[Process]:
    """A service without keys that keeps histories."""
    store = f"sqlite:///{models.parent}/s.db"
    with serving(variables={"STEPCAST_MODELS": str(models), "STEPCAST_STORE": store}) as process:
        yield process


@pytest.fixture(scope="module")
def in_memory(models: Path) -> Iterator[Process]:
    """A service that keeps no history, and asks for a key."""
    variables = {"STEPCAST_MODELS": str(models), "STEPCAST_API_KEYS": f"read:{READ},{WRITE}"}
    with serving(variables=variables) as process:
        yield process


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Closed with its module: its event loop is in the way of tests that have one of their own.
    assert _CHROMIUM is not None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=_FLAGS)
        yield browser
        browser.close()


class Visit:
    """One tab of a browser at a service.

    Args:
        page: The tab.
        url: Where the service is.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.faults: list[str] = []
        self.requested: set[str] = set()
        page.set_default_timeout(_PATIENCE_MS)
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("request", lambda request: self.requested.add(request.url))

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(_REFUSED):
            self.faults.append(message.text)

    def open(self, address: str) -> Page:
        self.page.goto(f"{self.url}/{address}")
        return self.page

    def post(self, path: str, **body: object) -> Any:
        """Call the service as another client would."""
        headers = {"authorization": f"Bearer {WRITE}"}
        answer = httpx.post(self.url + path, json=body, headers=headers)
        return answer.raise_for_status().json()

    def get(self, path: str) -> Any:
        headers = {"authorization": f"Bearer {WRITE}"}
        return httpx.get(self.url + path, headers=headers).raise_for_status().json()


def _visit(browser: Browser, process: Process, **options: Any) -> Iterator[Visit]:
    page = browser.new_page(**options)
    visit = Visit(page, process.url)
    yield visit
    page.close()
    assert not visit.faults
    assert all(one.startswith((process.url, "blob:")) for one in visit.requested)


@pytest.fixture
def visit(browser: Browser, process: Process) -> Iterator[Visit]:
    """A tab that says nothing on its console, and fetches nothing from elsewhere."""
    yield from _visit(browser, process)


@pytest.fixture
def keyed_visit(browser: Browser, in_memory: Process) -> Iterator[Visit]:
    """The same at a service that keeps no history, and asks for a key."""
    yield from _visit(browser, in_memory)


@pytest.fixture(params=["light", "dark"])
def phone(browser: Browser, process: Process, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """The same on a phone, in each scheme."""
    size = {"width": 360, "height": 740}
    yield from _visit(browser, process, viewport=size, color_scheme=request.param)

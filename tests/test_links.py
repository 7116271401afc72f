"""Links between pages lead somewhere: to a file that is there, and to a heading that it has."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.running import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob(".github/**/*.md")])

_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def prose(page: Path) -> str:
    """Return a page without its blocks of code."""
    return _FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """Return what links to headings of a page are called, on GitHub and on the site alike."""
    titles = (re.sub(r"[^\w\s-]", "", title.lower()) for title in _HEADING.findall(prose(page)))
    return {re.sub(r"\s", "-", title.strip()) for title in titles}


def links() -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for link in _LINK.findall(prose(page)):
            if not re.match(r"[a-z]+:", link):
                yield page, link


@pytest.mark.parametrize(
    ("page", "link"), [pytest.param(*one, id=f"{one[0].name}-{one[1]}") for one in links()]
)
def test_a_link_leads_to_a_file_and_a_heading_that_are_there(page: Path, link: str) -> None:
    path, _, anchor = link.partition("#")

    target = (page.parent / path).resolve() if path else page

    assert target.exists()
    assert target.is_relative_to(ROOT)
    if anchor:
        assert anchor in anchors(target)


def test_links_are_found() -> None:
    assert (ROOT / "README.md", "docs/universal.md") in links()
    assert (ROOT / "README.md", "docs/training.md#covariates") in links()


def test_every_command_of_make_on_a_page_is_one() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        (page.name, target)
        for page in PAGES
        for target in re.findall(r"(?:`|^    |; )make ([a-z]+)", page.read_text(), re.MULTILINE)
    }

    assert {target for _, target in named} >= {"run", "setup", "test", "lint"}
    assert {one for one in named if one[1] not in targets} == set()


def test_every_page_is_linked_from_another() -> None:
    linked = {(page.parent / link.partition("#")[0]).resolve() for page, link in links()}

    assert set(ROOT.glob("docs/*.md")) <= linked


def test_every_page_is_in_the_site() -> None:
    """`make docs` refuses one that is not, and is not run with the tests."""
    nav = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    listed = set(re.findall(r"[\w/-]+\.md$", nav, re.MULTILINE))

    assert {str(page.relative_to(ROOT / "docs")) for page in ROOT.glob("docs/**/*.md")} <= listed

"""Take into the site what lies outside of `docs/`: pages of the repository, and files linked to.

Links stay as they are in the repository, where they work too, and are turned here. A page that
would fetch something from elsewhere is refused.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]

# Pages of the repository, and what they are in the site.
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}

_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")
_FETCHED = re.compile(
    r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=[\"']?(?:https?:)?//[^>]*>"
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the repository, and each file of it that a page links to."""
    for path, name in PAGES.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / path)))
    for file in list(files.documentation_pages()):
        for link in _LINK.findall(file.content_string):
            path = _in_repository(file.src_uri, link)
            outside = path not in PAGES and not path.startswith(("docs/", ".."))
            if outside and (ROOT / path).is_file() and path not in files.src_uris:
                files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links of the repository into links of the site."""
    here = posixpath.dirname(page.file.src_uri)

    def turned(found: re.Match[str]) -> str:
        path = _in_repository(page.file.src_uri, found[1])
        target = PAGES.get(path, path.removeprefix("docs/"))
        return posixpath.relpath(target, here or ".")

    return _LINK.sub(turned, markdown)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Refuse a page that fetches something from elsewhere."""
    if found := _FETCHED.search(output):
        raise PluginError(f"{page.file.src_uri} fetches something from elsewhere: {found[0]}")
    return output


def _in_repository(page: str, link: str) -> str:
    """Return where a link of a page of the site leads, from the root of the repository."""
    names = {name: path for path, name in PAGES.items()}
    source = names.get(page, f"docs/{page}")
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))

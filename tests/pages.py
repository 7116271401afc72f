"""Pages of Markdown, executed block by block as a reader would do what they say.

A block of `sh` holds calls by curl and commands of `stepcast`, one of `python` is a program, and
one of `pycon` is a session at the Python prompt. What follows a command is what it answers: a block
of `json` is the whole answer of a call, but for fields left out as `"...": "..."`; a block of
`text` has lines that the command prints. Other blocks, and indented ones, are not executed.
"""

import doctest
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import pytest

from tests.app.running import ROOT, Process, environment, serving, stepcast

_BLOCK = re.compile(r"^```(sh|json|text|python|pycon)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# Where pages say that the service is.
_ADDRESS = re.compile(r"(?:http://127\.0\.0\.1|localhost):8000")

# Pages shorten numbers to three decimals.
SHORTENED = 6e-4


@dataclass(frozen=True)
class Block:
    """A block of code of a page.

    Args:
        kind: Its language.
        text: What is in it.
        where: Page and line, as an editor finds it.
    """

    kind: str
    text: str
    where: str


def read(page: str) -> list[Block]:
    """Return the blocks of a page, which is named from the root of the repository."""
    text = (ROOT / page).read_text()
    return [
        Block(found[1], found[2], f"{page}:{text.count(chr(10), 0, found.start()) + 1}")
        for found in _BLOCK.finditer(text)
    ]


@dataclass
class Reader:
    """Somebody who does what a page says, in a folder with the examples and the bundled models.

    The service starts with the first block that calls it, with the models that are there by then.

    Args:
        folder: An empty folder to work in.
    """

    folder: Path
    _exits: ExitStack = field(default_factory=ExitStack)
    _said: str = ""
    _refused: str | None = None
    _names: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("examples", "models"):
            shutil.copytree(ROOT / name, self.folder / name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exits.close()

    @cached_property
    def service(self) -> Process:
        """What `make run` runs."""
        variables = {"STEPCAST_STORE": f"sqlite:///{self.folder}/series.db"}
        models = str(self.folder / "models")
        return self._exits.enter_context(serving("--models", models, variables=variables))

    def follow(self, page: str) -> dict[str, int]:
        """Do what a page says, in order, and return how many blocks of each kind it has.

        Raises:
            AssertionError: If a block does not do what the page says; the message says which.
        """
        counts: dict[str, int] = {}
        self._refused = None
        does: dict[str, Callable[[str], None]] = {
            "sh": self._run_shell,
            "json": self._compare_answer,
            "text": self._compare_lines,
            "python": self._run_program,
            "pycon": self._run_session,
        }
        for block in read(page):
            try:
                assert block.kind == "json" or not self._refused, f"refused: {self._refused}"
                does[block.kind](block.text)
            except AssertionError as error:
                raise AssertionError(f"{block.where}: {error}") from error
            counts[block.kind] = counts.get(block.kind, 0) + 1
        assert not self._refused, f"{block.where}: refused: {self._refused}"
        return counts

    def _run_shell(self, text: str) -> None:
        for command in _commands(text):
            words = shlex.split(command)
            assert not self._refused, f"refused: {self._refused}"
            if words[0] == "curl":
                self._said = self._call(words[1:])
            else:
                assert words[0] == "stepcast", f"a reader has no {words[0]}"
                ended = stepcast(*words[1:], folder=self.folder)
                assert ended.returncode == 0, ended.stderr
                self._said = ended.stdout

    def _call(self, words: list[str]) -> str:
        """Do what curl does with these words, of which it knows a few."""
        method, body, url, file = None, None, None, None
        rest = iter(words)
        for word in rest:
            if word == "-X":
                method = next(rest)
            elif word == "--json":
                body = next(rest)
                if body.startswith("@"):
                    body = (self.folder / body[1:]).read_text()
            elif word == "-o":
                file = self.folder / next(rest)
            elif word != "-s":
                assert url is None, f"curl is given more than one address: {word}"
                url = word
        assert url is not None, "curl is given no address"
        assert _ADDRESS.match(url), f"the service is on localhost:8000, not at {url}"
        answer = httpx.request(
            method or ("GET" if body is None else "POST"),
            _ADDRESS.sub(self.service.url, url, count=1),
            content=body,
            headers={} if body is None else {"Content-Type": "application/json"},
        )
        self._refused = answer.text if answer.is_error else None
        if file is not None:
            file.write_text(answer.text)
        return answer.text

    def _compare_answer(self, text: str) -> None:
        self._refused = None  # a refusal that is printed is meant
        try:
            assert_same(json.loads(self._said), json.loads(text))
        except AssertionError as error:
            raise AssertionError(f"answered {self._said}") from error

    def _compare_lines(self, text: str) -> None:
        for line in text.splitlines():
            assert line in self._said.splitlines(), f"{line!r} is not in\n{self._said}"

    def _run_program(self, text: str) -> None:
        program = [sys.executable, "-W", "error", "-c", text]
        ended = subprocess.run(
            program,
            capture_output=True,
            check=False,
            cwd=self.folder,
            encoding="utf-8",
            env=environment(),
        )
        assert ended.returncode == 0, ended.stderr
        self._said = ended.stdout

    def _run_session(self, text: str) -> None:
        text = _ADDRESS.sub(self.service.url, text)
        examples = doctest.DocTestParser().get_doctest(text, self._names, "page", None, 0)
        told: list[str] = []
        result = doctest.DocTestRunner(verbose=False).run(
            examples, out=told.append, clear_globs=False
        )
        self._names = examples.globs
        assert result.failed == 0, "".join(told)


def assert_same(found: Any, printed: Any) -> None:
    """Compare an answer with the one that a page prints."""
    if isinstance(printed, dict):
        expected = printed.keys() - {"..."}
        assert expected <= found.keys() if "..." in printed else expected == found.keys()
        for name in expected:
            assert_same(found[name], printed[name])
    elif isinstance(printed, list):
        assert len(found) == len(printed)
        for one, other in zip(found, printed, strict=True):
            assert_same(one, other)
    elif isinstance(printed, float):
        assert found == pytest.approx(printed, abs=SHORTENED)
    else:
        assert found == printed


def _commands(text: str) -> Iterator[str]:
    """Yield the commands of a script: an indented line goes on with the one before."""
    for command in re.split(r"\n(?=\S)", text.replace("\\\n", " ").strip()):
        if not command.startswith("#"):
            yield command

"""Names of series in paths.

A name may hold slashes, and they may stand in a path as they are: `/series/plant/line-1`. What is
part of the name and what comes after it is told apart before the path is decoded, so that
`/series/plant/history` is the history of `plant`, and `/series/plant%2Fhistory` is a series.
"""

from typing import Annotated
from urllib.parse import unquote

from fastapi import Path
from pydantic import BeforeValidator
from starlette.convertors import Convertor, register_url_convertor
from starlette.types import ASGIApp, Receive, Scope, Send

_PREFIX = "/series/"


def routed_path(scope: Scope) -> str:
    """Return the path of a request as routes see it: the names in it are still encoded."""
    path: str = scope["path"]
    return scope["raw_path"].decode("ascii", "replace") if path.startswith(_PREFIX) else path


class EncodedNames:
    """Middleware that leaves the names in paths percent-encoded, for `SeriesId` to decode.

    Args:
        app: Answers the requests.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "http" and scope["path"].startswith(_PREFIX):
            scope = {**scope, "path": routed_path(scope)}
        await self._app(scope, receive, send)


class _Name(Convertor[str]):
    """A name as it stands in a path: it ends in none of `/history`, `/events` and `/state`."""

    regex = (
        r"(?:.{0,5}|(?!/state).{6}|(?!/events|./state).{7}"
        r"|.*(?!/history|./events|../state).{8})"
    )

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("name", _Name())

SeriesId = Annotated[
    str, Path(min_length=1, max_length=256, examples=["shampoo"]), BeforeValidator(unquote)
]

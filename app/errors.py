"""Every refusal as `application/problem+json` (RFC 9457), its status out of one table."""

import logging
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Send

from forecaster import errors

logger = logging.getLogger(__name__)

# From kind of error to status and title. The first class that an error is an instance of counts.
STATUS: dict[type[errors.ForecastError], tuple[int, str]] = {
    errors.ModelNotFoundError: (404, "Unknown model"),
    errors.SeriesNotFoundError: (404, "Unknown series"),
    errors.OtherModelError: (409, "Another model"),
    errors.SeriesNotWarmError: (409, "Series not warm yet"),
    errors.OutOfOrderError: (409, "Out of order"),
    errors.ConflictError: (409, "Conflicting observation"),
    errors.GapError: (409, "Gap"),
    errors.ClockError: (409, "Another kind of time"),
    errors.NotKeptError: (409, "Observation not kept"),
    errors.TimeError: (409, "Not the next observation"),
    errors.StepMismatchError: (412, "Unexpected step"),
    errors.InvalidRequestError: (422, "Not valid"),
    errors.StoreFullError: (429, "Too many series"),
    errors.StoreUnavailableError: (503, "Store unavailable"),
    errors.StoreOpenError: (500, "Store cannot be opened"),
    errors.StoreDamagedError: (500, "Store damaged"),
    errors.StoreError: (500, "Store failed"),
    errors.ArtifactError: (500, "Model cannot be loaded"),
    errors.EngineUnavailableError: (500, "Engine not installed"),
}

MEDIA_TYPE = "application/problem+json"
# Python's own name of status 413 changed in 3.13.
TOO_LARGE = "Content Too Large"
BUSY = "Busy"
# Where a row of a batch is refused for what it holds.
NOT_VALID = "not-valid"
# When to try again, unless a refusal says so itself: an answer of either status always does.
RETRY_AFTER_SECONDS = {429: 60, 503: 1}
# How many faults of a body are listed, and how much is shown of what was found.
_MOST_FAULTS = 20
_LONGEST_SHOWN = 100


class Problem(BaseModel):
    """A refusal, as RFC 9457 writes it; more fields help: `step`, `ds`, `missing`, `errors`."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str


class BusyError(HTTPException):
    """There is too much to do just now; soon there will not be."""

    def __init__(self, detail: str) -> None:
        super().__init__(HTTPStatus.SERVICE_UNAVAILABLE, detail)


@dataclass(frozen=True)
class Refusal:
    """A problem document as it goes out.

    Args:
        status: The status.
        headers: All of them.
        content: The document.
    """

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    content: bytes

    async def send(self, send: Send) -> None:
        """Answer a call with it."""
        headers = list(self.headers)
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.content})


def refusal(problem: Mapping[str, object], headers: Mapping[str, str] | None = None) -> Refusal:
    """Return what answers a call with a problem document.

    Args:
        problem: The document.
        headers: Further headers.
    """
    status, content = problem["status"], to_json(problem)
    assert isinstance(status, int)
    told = {"content-type": MEDIA_TYPE, "content-length": str(len(content))}
    if status in RETRY_AFTER_SECONDS:
        told["retry-after"] = str(RETRY_AFTER_SECONDS[status])
    told |= {name.lower(): value for name, value in (headers or {}).items()}
    encoded = tuple((name.encode(), value.encode("latin-1")) for name, value in told.items())
    return Refusal(status, encoded, content)


def refusal_of(error: Exception) -> Refusal:
    """Return the answer to a call while which something was raised."""
    headers = error.headers if isinstance(error, HTTPException) else None
    return refusal(document_of(error), headers)


def document(status: int, title: str, detail: str, **facts: object) -> dict[str, object]:
    """Return a problem document."""
    kind = f"urn:stepcast:{_hyphened(title)}"
    return {"type": kind, "title": title, "status": status, "detail": detail} | facts


def slug(error: errors.ForecastError) -> str:
    """Return the last part of a refusal's `type`, as `out-of-order`."""
    return _hyphened(_row(error)[1])


def describe(error: errors.ForecastError) -> dict[str, object]:
    """Return the problem document of a refusal."""
    status, title = _row(error)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return document(status, title, "The service is not set up right; its log says more.")
    return document(status, title, str(error), **error.facts())


def document_of(error: Exception) -> dict[str, object]:
    """Return the problem document of anything that was raised while a call was answered."""
    if isinstance(error, errors.ForecastError):
        if _row(error)[0] == HTTPStatus.INTERNAL_SERVER_ERROR:
            logger.error("%s", error)
        return describe(error)
    if isinstance(error, RequestValidationError):
        faults = [_fault(one) for one in error.errors()[:_MOST_FAULTS]]
        detail = "; ".join(f"{one['field']}: {one['message']}" for one in faults[:3])
        return document(422, "Not valid", detail, errors=faults)
    if isinstance(error, BusyError):
        return document(error.status_code, BUSY, error.detail)
    if isinstance(error, HTTPException):
        status = HTTPStatus(error.status_code)
        title = TOO_LARGE if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE else status.phrase
        return document(error.status_code, title, str(error.detail))
    logger.error("unexpected fault: %s", frames(error))
    return document(500, "Internal error", "The service failed to answer; its log says more.")


def install(app: FastAPI) -> None:
    """Make every refusal of FastAPI's own a problem document; `HotCalls` makes the others."""
    for kind in (errors.ForecastError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _answer)


async def _answer(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException) and error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        error.headers = {"allow": ", ".join(_allowed(request))}
    found = refusal_of(error)
    response = Response(found.content, found.status)
    response.raw_headers = list(found.headers)
    return response


def _allowed(request: Request) -> list[str]:
    """Return the methods of a path, where Starlette knows those of its first route only."""
    return [
        method
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE")
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL
            for route in request.app.routes
        )
    ]


def frames(error: BaseException) -> str:
    """Return what kinds of error came one from the other, and where each was raised.

    Not their messages: `KeyError: 'some-series'`. What callers send stays out of the log.
    """
    told = ""
    found: BaseException | None = error
    while found is not None:
        told += type(found).__qualname__ + "\n" + "".join(traceback.format_tb(found.__traceback__))
        found = found.__cause__ or found.__context__
    return told.rstrip()


def _row(error: errors.ForecastError) -> tuple[int, str]:
    return next(row for kind, row in STATUS.items() if isinstance(error, kind))


def _hyphened(title: str) -> str:
    return title.lower().replace(" ", "-")


def _fault(fault: dict[str, Any]) -> dict[str, str]:
    """Return one fault of a body: where, what, and what was found.

    What was found is shown as text: it may be NaN, or deep, or long.
    """
    if fault["type"] == "json_invalid":
        return {"field": "body", "message": f"not JSON: {fault['ctx']['error']}", "found": ""}
    where = ".".join(str(part) for part in fault["loc"][1:])  # the first is body, query or path
    found = "" if fault["type"] == "missing" else repr(fault.get("input"))
    return {
        "field": _shortened(where) or "body",
        "message": fault["msg"].removeprefix("Value error, "),
        "found": _shortened(found).encode("utf-8", "backslashreplace").decode(),
    }


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "..."

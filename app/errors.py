"""Every refusal as `application/problem+json` (RFC 9457), its status out of one table."""

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from forecaster import errors

logger = logging.getLogger(__name__)

# From kind of error to status and title. The first class that an error is an instance of counts.
STATUS: dict[type[errors.ForecastError], tuple[int, str]] = {
    errors.ModelNotFoundError: (404, "Unknown model"),
    errors.SeriesNotFoundError: (404, "Unknown series"),
    errors.SeriesNotWarmError: (409, "Series not warm yet"),
    errors.OutOfOrderError: (409, "Out of order"),
    errors.ConflictError: (409, "Conflicting observation"),
    errors.GapError: (409, "Gap"),
    errors.ClockError: (409, "Another kind of time"),
    errors.TimeError: (409, "Not the next observation"),
    errors.StepMismatchError: (412, "Unexpected step"),
    errors.InvalidRequestError: (422, "Not valid"),
    errors.ArtifactError: (500, "Model cannot be loaded"),
    errors.EngineUnavailableError: (500, "Engine not installed"),
}

MEDIA_TYPE = "application/problem+json"
# Python's own name of status 413 changed in 3.13.
TOO_LARGE = "Content Too Large"
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
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
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
    if isinstance(error, HTTPException):
        status = HTTPStatus(error.status_code)
        title = TOO_LARGE if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE else status.phrase
        return document(error.status_code, title, str(error.detail))
    logger.error("unexpected fault", exc_info=error)
    return document(500, "Internal error", "The service failed to answer; its log says more.")


def install(app: FastAPI) -> None:
    """Make every error of the app a problem document."""
    for kind in (errors.ForecastError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, _answer)


async def _answer(_: Request, error: Exception) -> JSONResponse:
    body = document_of(error)
    headers = error.headers if isinstance(error, HTTPException) else None
    status = body["status"]
    assert isinstance(status, int)
    return JSONResponse(body, status_code=status, media_type=MEDIA_TYPE, headers=headers)


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
    where = [str(part) for part in fault["loc"][1:]]  # the first is body, query or path
    found = "" if fault["type"] == "missing" else repr(fault.get("input"))
    if len(found) > _LONGEST_SHOWN:
        found = found[:_LONGEST_SHOWN] + "..."
    return {
        "field": ".".join(where) or "body",
        "message": fault["msg"].removeprefix("Value error, "),
        "found": found.encode("utf-8", "backslashreplace").decode(),
    }

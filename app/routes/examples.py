"""Answers and refusals as OpenAPI shows them.

Refusals are made of the errors themselves, so they read as the service writes them.
"""

from typing import Any

from app.errors import MEDIA_TYPE, TOO_LARGE, Problem, describe, document
from forecaster.errors import (
    ClockError,
    ConflictError,
    ForecastError,
    GapError,
    ModelNotFoundError,
    OutOfOrderError,
    SeriesNotFoundError,
    SeriesNotWarmError,
    StepMismatchError,
)

Responses = dict[int | str, dict[str, Any]]

_PROBLEM = Problem.model_json_schema()

NEXT = {
    "step": 25,
    "ds": "1903-01-01T00:00:00Z",
    "mean": 377.6,
    "intervals": {"80": [266.1, 526.6], "95": [242.9, 557.3]},
    "quantiles": {},
}
SCORES = {
    "scored": 22,
    "mae": 62.1,
    "rmse": 79.4,
    "skill": 0.24,
    "coverage": {"80": 0.82, "95": 0.95},
}

UNKNOWN_MODEL = ModelNotFoundError("sales", ["shampoo"])
UNKNOWN_SERIES = SeriesNotFoundError("sensor-9")
NOT_WARM = SeriesNotWarmError(step=1, missing=1)
UNEXPECTED_STEP = StepMismatchError(expected=30, step=24)
ORDER = (
    OutOfOrderError(
        "1902-11-01T00:00:00Z is before the last observation, 1902-12-01T00:00:00Z",
        step=24,
        ds="1902-12-01T00:00:00Z",
    ),
    ConflictError("this time was observed with another value", step=24, ds="1902-12-01T00:00:00Z"),
    GapError(
        "1903-01-01T00:00:00Z comes next, this is 1903-03-01T00:00:00Z; "
        "observe null for what is missing",
        step=24,
        ds="1902-12-01T00:00:00Z",
    ),
    ClockError(
        "the series keeps dates and times as ds, this observation has no ds",
        step=24,
        ds="1902-12-01T00:00:00Z",
    ),
)


def responses(
    example: dict[str, Any] | None, *refusals: ForecastError, has_body: bool = True
) -> Responses:
    """Return the OpenAPI entries of a route.

    Args:
        example: An answer, if one says more than its schema.
        refusals: The errors it may raise.
        has_body: Whether it takes a body, which may be too large.
    """
    documents = [describe(error) for error in refusals]
    documents.append(
        document(
            422,
            "Not valid",
            "y: Input should be a finite number",
            errors=[{"field": "y", "message": "Input should be a finite number", "found": "nan"}],
        )
    )
    if has_body:
        detail = "the body may have at most 16000000 bytes; split the call"
        documents.append(document(413, TOO_LARGE, detail))
        detail = "send JSON, with the header content-type: application/json"
        documents.append(document(415, "Unsupported Media Type", detail))
    entries: Responses = {}
    if example is not None:
        entries[200] = {"content": {"application/json": {"example": example}}}
    for number, body in enumerate(documents):
        status = body["status"]
        assert isinstance(status, int)
        entry = entries.setdefault(
            status, {"content": {MEDIA_TYPE: {"schema": _PROBLEM, "examples": {}}}}
        )
        titles = [*entry.get("description", "").split(" · "), str(body["title"])]
        entry["description"] = " · ".join(dict.fromkeys(title for title in titles if title))
        entry["content"][MEDIA_TYPE]["examples"][f"{number}"] = {
            "summary": body["title"],
            "value": body,
        }
    return entries

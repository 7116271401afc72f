"""Answers and refusals as OpenAPI shows them.

Refusals are made of the errors themselves, so they read as the service writes them.
"""

from typing import Any

from app.errors import MEDIA_TYPE, TOO_LARGE, Problem, describe, document
from app.gate import BUSY_DOCUMENT, LIVE, PROBES, STOPPING_DOCUMENT
from app.security import NO_KEY, PUBLIC, READING_KEY, WRONG_KEY, may_change
from forecaster.errors import (
    ClockError,
    ConflictError,
    ForecastError,
    GapError,
    InvalidRequestError,
    ModelNotFoundError,
    NotKeptError,
    OtherModelError,
    OutOfOrderError,
    SeriesNotFoundError,
    SeriesNotWarmError,
    StepMismatchError,
    StoreFullError,
    StoreUnavailableError,
)

BODY_TOO_SLOW = document(408, "Request Timeout", "the body did not arrive within 30 seconds")

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
OTHER_MODEL = OtherModelError("shampoo", expected="5d0f3f2d0b9d6a11", found="41c02a95e7db8f36")
DAMAGED_STATE = InvalidRequestError(
    "record.h[3]: expected a float32 number or null, found 'x'; "
    "get the state again from the service that keeps the series"
)
NOT_WARM = SeriesNotWarmError(step=1, missing=1)
NOT_KEPT = NotKeptError(
    "no observation of 1901-02-01T00:00:00Z is kept that could be corrected",
    step=24,
    ds="1902-12-01T00:00:00Z",
)
FULL = StoreFullError(
    "the store keeps as many series as it may; delete some, or raise STEPCAST_MAX_SERIES"
)
UNAVAILABLE = StoreUnavailableError(
    "the store cannot make anything durable just now (database or disk is full): nothing moved; "
    "send it again"
)
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
        documents.append(BODY_TOO_SLOW)
    entries: Responses = {}
    if example is not None:
        entries[200] = {"content": {"application/json": {"example": example}}}
    return entries | _entries(documents)


def declare_what_all_answer(schema: dict[str, Any], *, has_keys: bool) -> None:
    """Add to an OpenAPI document what is answered before a call gets to its route.

    Args:
        schema: The document. A second time changes nothing.
        has_keys: Whether the service asks for keys.
    """
    if has_keys:
        scheme = {"type": "http", "scheme": "bearer", "description": "A key of this service."}
        schema.setdefault("components", {})["securitySchemes"] = {"key": scheme}
    for path, calls in schema["paths"].items():
        for method, call in calls.items():
            refusals = [] if path in PUBLIC else [NO_KEY, WRONG_KEY]
            if may_change(method.upper(), path):
                refusals.append(READING_KEY)
            if path not in PROBES:
                refusals.append(BUSY_DOCUMENT)
            if path != LIVE:
                refusals.append(STOPPING_DOCUMENT)
            for status, entry in _entries(refusals).items():
                _merge(call["responses"], str(status), entry)
            if has_keys and path not in PUBLIC:
                call["security"] = [{"key": []}]


def _merge(responses: dict[str, Any], status: str, entry: dict[str, Any]) -> None:
    """Add an entry to those of a route, which may have refusals of the same status."""
    there = responses.setdefault(status, entry)
    titles = [*there["description"].split(" · "), *entry["description"].split(" · ")]
    there["description"] = " · ".join(dict.fromkeys(titles))
    examples = there["content"][MEDIA_TYPE]["examples"]
    shown = [one["value"] for one in examples.values()]
    for example in entry["content"][MEDIA_TYPE]["examples"].values():
        if example["value"] not in shown:
            examples[f"{len(examples)}-all"] = example


def _entries(documents: list[dict[str, object]]) -> Responses:
    entries: Responses = {}
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

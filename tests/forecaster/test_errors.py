from pathlib import Path

import pytest

from forecaster import errors
from forecaster.errors import (
    ArtifactError,
    ClockError,
    ConflictError,
    EngineUnavailableError,
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
    StoreDamagedError,
    StoreError,
    StoreFullError,
    StoreOpenError,
    StoreUnavailableError,
    TimeError,
)

CASES: list[tuple[ForecastError, str, dict[str, object]]] = [
    (
        ArtifactError("models/a/weights", what="head/bias", expected=(1,), found=(2,)),
        "models/a/weights: head/bias: expected (1,), found (2,)",
        {},
    ),
    (
        ArtifactError(Path("models/a"), expected="a folder", found="none"),
        "models/a: expected a folder, found none",
        {},
    ),
    (EngineUnavailableError("needs Keras"), "needs Keras", {}),
    (
        ModelNotFoundError("b", ["a", "c"]),
        "no model 'b'; loaded: a, c",
        {"models": ["a", "c"]},
    ),
    (ModelNotFoundError("b", []), "no model 'b'; loaded: none", {"models": []}),
    (
        OtherModelError("a", expected="12", found="34"),
        "the state was made by model 34, and 'a' is 12 here; "
        "begin the series with its history, by /seed-state",
        {"fingerprint": "12"},
    ),
    (
        SeriesNotFoundError("x"),
        "no series 'x'; observe or seed it first",
        {"unique_id": "x"},
    ),
    (
        SeriesNotWarmError(step=1, missing=1),
        "no forecast yet: 1 more observation needed, 1 so far",
        {"step": 1, "missing": 1},
    ),
    (
        SeriesNotWarmError(step=0, missing=2),
        "no forecast yet: 2 more observations needed, 0 so far",
        {"step": 0, "missing": 2},
    ),
    (
        StepMismatchError(expected=4, step=3),
        "expected_step is 4, the series is at step 3",
        {"step": 3},
    ),
    *(
        (kind("too late", step=3, ds="2024-01-01Z"), "too late", {"step": 3, "ds": "2024-01-01Z"})
        for kind in (
            TimeError,
            OutOfOrderError,
            ConflictError,
            GapError,
            ClockError,
            NotKeptError,
        )
    ),
    *(
        (kind("no store of that name"), "no store of that name", {})
        for kind in (
            StoreError,
            StoreOpenError,
            StoreDamagedError,
            StoreFullError,
            StoreUnavailableError,
        )
    ),
    (InvalidRequestError("no such level"), "no such level", {}),
]


def every_kind(kind: type[ForecastError] = ForecastError) -> set[type[ForecastError]]:
    """Return a kind of error and all below it."""
    # Other packages add kinds of their own, which other tests may have imported.
    own = [below for below in kind.__subclasses__() if below.__module__ == kind.__module__]
    return {kind}.union(*(every_kind(below) for below in own))


@pytest.mark.parametrize(("error", "message", "facts"), CASES)
def test_an_error_says_what_is_wrong_and_what_helps(
    error: ForecastError, message: str, facts: dict[str, object]
) -> None:
    assert str(error) == message
    assert error.facts() == facts


def test_every_error_is_shown_here_and_drawn_in_the_tree() -> None:
    assert every_kind() == {type(error) for error, _, _ in CASES} | {ForecastError}
    for kind in every_kind():
        assert f" {kind.__name__}" in (errors.__doc__ or "")


def test_an_artifact_error_keeps_where_and_what() -> None:
    error = ArtifactError("models/a", expected=1, found=2)

    assert (error.path, error.expected, error.found) == (Path("models/a"), 1, 2)

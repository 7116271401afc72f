"""Every error has a status, and the OpenAPI document tells no lies about them."""

import json
import re
from collections.abc import Iterator
from typing import Any, get_type_hints

import pytest
from pydantic import TypeAdapter

from app.answers import (
    Forecasted,
    Observed,
    Past,
    Reset,
    Seeded,
    SeriesPage,
    SeriesState,
    SeriesStatus,
)
from app.batch import Columns
from app.errors import MEDIA_TYPE, STATUS, Problem, describe
from app.main import CALLS as MAIN_CALLS
from app.main import create_app
from app.routes.models import ModelList
from app.routes.series import put_state
from app.settings import Settings
from forecaster import errors
from tests.app.running import Service

# The answer of each call that shows an example of it.
ANSWERS: dict[str, Any] = {
    "POST /observe": Observed,
    "POST /forecast": Forecasted,
    "POST /seed-state": Seeded,
    "POST /reset-state": Reset,
    "POST /observe/batch": Columns,
    "POST /forecast/batch": Columns,
    "POST /seed-state/batch": Columns,
    "GET /series": SeriesPage,
    "GET /series/{unique_id}/history": Past,
    "GET /series/{unique_id}/state": SeriesState,
    "PUT /series/{unique_id}/state": Seeded,
    "GET /series/{unique_id}": SeriesStatus,
    "GET /models": ModelList,
}


def every_kind(kind: type[errors.ForecastError]) -> set[type[errors.ForecastError]]:
    """Return the kinds of error below one that `forecaster.errors` itself defines."""
    below = {one for one in kind.__subclasses__() if one.__module__ == errors.__name__}
    return below.union(*(every_kind(one) for one in below))


def documented() -> dict[str, dict[str, Any]]:
    """Return what OpenAPI says of each call."""
    return {
        f"{method.upper()} {path}": entry
        for path, methods in create_app(Settings()).openapi()["paths"].items()
        for method, entry in methods.items()
    }


def shown(entry: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Yield status, media type and value of every example of an answer."""
    for status, response in entry["responses"].items():
        for media_type, content in response.get("content", {}).items():
            if "example" in content:
                yield status, media_type, content["example"]
            for example in content.get("examples", {}).values():
                yield status, media_type, example["value"]


CALLS = documented()


@pytest.mark.parametrize("kind", sorted(every_kind(errors.ForecastError), key=str))
def test_every_error_has_a_status(kind: type[errors.ForecastError]) -> None:
    status, title = STATUS[kind]

    assert 400 <= status < 600
    assert title


def test_an_error_is_told_by_its_own_row_and_not_by_one_of_its_base() -> None:
    order = list(STATUS)

    for kind in order:
        assert not any(base in order[: order.index(kind)] for base in kind.__mro__[1:]), kind


def test_what_only_the_log_may_know_stays_there() -> None:
    error = errors.ArtifactError("models/secret", expected="this", found="that")

    problem = describe(error)

    assert problem["status"] == 500
    assert "secret" not in str(problem)


def test_an_unexpected_fault_is_told_without_its_insides(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says where it was raised, and not of which values."""

    def fail() -> None:
        try:
            float("the value")
        except ValueError as error:
            raise ZeroDivisionError("the insides") from error

    service.app.add_api_route("/fault", fail)

    answer = service.client.get("/fault")

    problem = service.problem(answer, 500)
    assert "insides" not in answer.text
    assert problem["title"] == "Internal error"
    assert "insides" not in caplog.text.replace('"the insides"', "")
    assert "the value" not in caplog.text.replace('"the value"', "")
    assert "ZeroDivisionError" in caplog.text
    assert "in fail" in caplog.text


@pytest.mark.parametrize("call", CALLS)
def test_every_example_is_what_the_service_would_answer(call: str) -> None:
    entry = CALLS[call]

    for status, media_type, example in shown(entry):
        if status == "200":
            answer = TypeAdapter(ANSWERS[call])

            assert answer.dump_python(answer.validate_python(example), mode="json") == example
        else:
            problem = Problem.model_validate(example)

            assert media_type == MEDIA_TYPE
            assert str(problem.status) == status
            assert problem.title in entry["responses"][status]["description"]


@pytest.mark.parametrize("call", CALLS)
def test_every_refusal_is_documented_as_a_problem_document(call: str) -> None:
    for status, response in CALLS[call]["responses"].items():
        if not status.startswith("2"):
            assert set(response["content"]) == {MEDIA_TYPE}
            schema = response["content"][MEDIA_TYPE]["schema"]
            assert {"type", "title", "status", "detail"} == set(schema["required"])


def test_a_call_that_answers_nothing_documents_no_answer() -> None:
    statuses = CALLS["DELETE /series/{unique_id}"]["responses"]

    assert {status for status in statuses if status.startswith("2")} == {"204"}


def test_problem_types_are_names_that_a_program_can_compare() -> None:
    examples = [example for entry in CALLS.values() for _, _, example in shown(entry)]

    types = {example["type"] for example in examples if "type" in example}

    assert all(re.fullmatch(r"urn:stepcast:[a-z-]+", one) for one in types)
    assert "urn:stepcast:series-not-warm-yet" in types


@pytest.mark.parametrize("call", [call for call in CALLS if call.startswith(("POST", "PUT"))])
def test_every_call_with_a_body_shows_one_that_is_valid(call: str) -> None:
    method, path = call.split()
    handler = MAIN_CALLS[path] if method == "POST" else put_state
    body = TypeAdapter(get_type_hints(handler)["body"])
    reference = CALLS[call]["requestBody"]["content"]["application/json"]["schema"]["$ref"]

    schema = create_app(Settings()).openapi()["components"]["schemas"][reference.split("/")[-1]]

    for example in schema["examples"]:
        body.validate_json(json.dumps(example))

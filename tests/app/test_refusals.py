"""What makes no sense is refused with the right status and a reason, and changes nothing."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.app.running import Service, running

VALID = {
    "/observe": '{"unique_id": "kept", "y": 4, "ds": 4}',
    "/forecast": '{"unique_id": "kept"}',
    "/seed-state": '{"unique_id": "new", "y": [1, 2]}',
    "/reset-state": '{"unique_id": "kept"}',
}
POSTS = tuple(VALID)
HISTORIES = ("/forecast", "/seed-state")
ID_FIELDS = [*((path, "unique_id") for path in POSTS), ("/seed-state", "copy_from")]
JSON = "application/json"

# As JSON texts: Python writes some of these in no other way.
NOT_VALUES = [
    "NaN",
    "Infinity",
    "-Infinity",
    "1e400",
    "-1e400",
    "1e301",
    "-1e301",
    "1" + 400 * "0",
    '"1"',
    "true",
    "[1]",
    "{}",
]
NOT_IDS = [
    '""',
    json.dumps(257 * "a"),
    '"\\u0000"',
    '"a\\n"',
    '"\\u007f"',
    '"\\ud800"',
    "1",
    "true",
    "[]",
    "{}",
]
NOT_TIMES = [
    "true",
    "1.5",
    "1.0",
    "1e3",
    f"{2**62 + 1}",
    f"{-(2**62) - 1}",
    "1" + 400 * "0",
    "[]",
    '""',
    '"5"',
    '"1.5"',
    '"now"',
    '"2024-02-30"',
    '"2024-01-01T24:00"',
    '"0000-01-01"',
    '"10000-01-01"',
    '"9999-12-31T23:59:59-00:01"',
    '"0001-01-01T00:00:00+00:01"',
    '" 2024-01-01"',
    '"\\uff12024-01-01"',
]
NOT_COUNTS = ["0", "-1", "1.5", "1.0", '"1"', "true", "[1]", "1" + 400 * "0"]


@pytest.fixture(scope="module")
def service(models: Path) -> Iterator[Service]:
    """A service of a few series, with low limits; only the last test changes it."""
    limits = {"max_horizon": 10, "max_history": 20, "max_body_bytes": 300_000}
    with running(models, model="plain", start="empty", **limits) as service:
        service.post("/seed-state", unique_id="kept", y=[1.0, 2.0, 3.0], ds=[1, 2, 3])
        service.post("/seed-state", unique_id="kept", y=[1.0, 2.0, 3.0], model="daily")
        service.post("/observe", unique_id="cold", y=1.0)
        yield service


def refuse(
    service: Service,
    status: int,
    path: str,
    body: str | bytes | Iterator[bytes] = "",
    *,
    method: str = "POST",
    content_type: str = JSON,
) -> Any:
    """Return the problem document of a call that changes nothing, documented as it is."""
    before = service.records()
    answer = service.client.request(
        method, path, content=body, headers={"content-type": content_type}
    )
    assert service.records() == before
    assert str(status) in documented(service, answer)
    return service.problem(answer, status)


def documented(service: Service, answer: httpx.Response) -> set[str]:
    """Return the statuses that OpenAPI promises for a call."""
    path, method = answer.request.url.path, answer.request.method.lower()
    for group, name in (("/series/", "{unique_id}"), ("/models/", "{name}")):
        if path.startswith(group):
            path = group + name
    statuses: dict[str, Any] = service.app.openapi()["paths"][path][method]["responses"]
    return set(statuses)


# Documents that are none


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"unique_id=kept",
        b'{"unique_id": "kept"',
        b"[]",
        b'[{"unique_id": "kept", "y": 1}]',
        b'"kept"',
        b"1",
        b"null",
        b'{"\\ud800": 1}',
        b'{"unique_id": "kept", "y": 1, "all": true, "colour": "red"}',
    ],
)
def test_a_body_that_is_no_object_of_known_fields_is_not_valid(
    service: Service, path: str, body: bytes
) -> None:
    refuse(service, 422, path, body)


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "body",
    [
        30_000 * b"[",
        30_000 * b"[" + 30_000 * b"]",
        b'{"unique_id": ' + 10_000 * b'{"a":' + b"1" + 10_000 * b"}" + b"}",
        b'{"unique_id": "kept", "y": 1' + 5_000 * b"0" + b"}",
        b'{"unique_id": "\xff", "y": 1}',
    ],
    ids=["open-brackets", "deep-array", "deep-object", "long-number", "not-utf-8"],
)
def test_a_body_that_cannot_be_read_is_not_valid(service: Service, path: str, body: bytes) -> None:
    refuse(service, 422, path, body)


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded"])
def test_a_body_has_to_be_declared_as_json(service: Service, path: str, content_type: str) -> None:
    refuse(service, 415, path, VALID[path], content_type=content_type)


def test_a_body_that_is_not_json_is_told_so(service: Service) -> None:
    problem = refuse(service, 422, "/observe", "not json")

    assert problem["detail"] == "body: not JSON: expected ident at line 1 column 2"


def test_a_fault_names_the_field_and_shows_what_was_found(service: Service) -> None:
    problem = refuse(service, 422, "/forecast", '{"y": [1, 2], "query": NaN, "level": [80, 100]}')

    assert [fault["field"] for fault in problem["errors"]] == ["level.1", "query"]
    assert [fault["found"] for fault in problem["errors"]] == ["100", "nan"]
    assert "level.1" in problem["detail"]


def test_what_was_found_is_shown_in_part_where_it_is_long(service: Service) -> None:
    problem = refuse(service, 422, "/observe", json.dumps({"unique_id": 10_000 * "a", "y": 1}))

    assert len(problem["errors"][0]["found"]) < 120


def test_of_a_long_list_the_first_fault_is_told(service: Service) -> None:
    """A body of a million faults once took ten seconds to be refused, and nobody else served."""
    problem = refuse(service, 422, "/seed-state", '{"unique_id": "a", "y": [1, "a", "b", "c"]}')

    assert [fault["field"] for fault in problem["errors"]] == ["y.1"]


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("way", ["declared", "chunked"])
def test_a_body_that_is_too_large_is_refused_unread(service: Service, path: str, way: str) -> None:
    whole = 400_000 * b" "
    chunks = (whole[start : start + 10_000] for start in range(0, len(whole), 10_000))

    problem = refuse(service, 413, path, whole if way == "declared" else chunks)

    assert problem["type"] == "urn:stepcast:content-too-large"
    most_bytes = 64_000 if path in ("/observe", "/reset-state") else 300_000
    assert f"at most {most_bytes} bytes" in problem["detail"]


# Fields that make no sense


@pytest.mark.parametrize("value", NOT_VALUES)
def test_a_value_is_a_finite_number(service: Service, value: str) -> None:
    refuse(service, 422, "/observe", f'{{"unique_id": "kept", "y": {value}, "ds": 4}}')
    refuse(service, 422, "/forecast", f'{{"y": [1, 2, {value}]}}')
    refuse(service, 422, "/seed-state", f'{{"unique_id": "kept", "y": [1, 2, {value}]}}')


@pytest.mark.parametrize("time", NOT_TIMES)
def test_a_time_is_a_whole_number_or_a_date(service: Service, time: str) -> None:
    refuse(service, 422, "/observe", f'{{"unique_id": "new", "y": 1, "ds": {time}}}')
    refuse(service, 422, "/forecast", f'{{"y": [1], "ds": [{time}]}}')
    refuse(service, 422, "/seed-state", f'{{"unique_id": "new", "y": [1], "ds": [{time}]}}')


@pytest.mark.parametrize(("path", "field"), ID_FIELDS)
@pytest.mark.parametrize("name", NOT_IDS)
def test_a_name_is_a_short_text_without_control_characters(
    service: Service, path: str, field: str, name: str
) -> None:
    rest = {"/observe": ', "y": 1', "/seed-state": ', "y": [1]'}.get(path, "")
    if field == "copy_from":
        rest = ', "unique_id": "new"'

    refuse(service, 422, path, f'{{"{field}": {name}{rest}}}')


@pytest.mark.parametrize("h", NOT_COUNTS)
def test_h_is_a_whole_number_from_1(service: Service, h: str) -> None:
    refuse(service, 422, "/forecast", f'{{"unique_id": "kept", "h": {h}}}')


def test_h_and_histories_have_a_limit(service: Service) -> None:
    too_far = refuse(service, 422, "/forecast", '{"unique_id": "kept", "h": 11}')
    too_long = [
        refuse(service, 422, path, json.dumps({"y": 21 * [1], **new}))
        for path, new in (("/forecast", {}), ("/seed-state", {"unique_id": "new"}))
    ]

    assert too_far["detail"] == "h: expected at most 10 steps, found 11"
    for problem in too_long:
        assert problem["detail"] == "y: expected at most 20 values, found 21"


@pytest.mark.parametrize(
    "step", ["-1", "0.0", '"0"', "true", "NaN", f"{2**62 + 1}", f"{2**63}", "1" + 400 * "0"]
)
def test_an_expected_step_is_a_whole_number(service: Service, step: str) -> None:
    refuse(service, 422, "/observe", f'{{"unique_id": "new", "y": 1, "expected_step": {step}}}')


@pytest.mark.parametrize(
    "level", ["[0]", "[100]", "[101]", "[-1]", "[NaN]", '["80"]', "[true]", "80", "[99.95]"]
)
def test_a_level_is_inside_0_and_100_and_not_in_the_far_tail(service: Service, level: str) -> None:
    refuse(service, 422, "/forecast", f'{{"unique_id": "kept", "level": {level}}}')


@pytest.mark.parametrize("level", ["[0]", "[1]", "[NaN]", '["0.5"]', "[true]", "0.5", "[1e-9]"])
def test_a_quantile_is_inside_0_and_1_and_not_in_the_far_tail(service: Service, level: str) -> None:
    refuse(service, 422, "/forecast", f'{{"unique_id": "kept", "quantiles": {level}}}')


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/forecast", {}),
        ("/forecast", {"unique_id": "kept", "y": [1, 2]}),
        ("/forecast", {"unique_id": "kept", "ds": [1, 2]}),
        ("/forecast", {"y": []}),
        ("/seed-state", {"unique_id": "new"}),
        ("/seed-state", {"y": [1, 2]}),
        ("/seed-state", {"unique_id": "new", "y": []}),
        ("/seed-state", {"unique_id": "new", "y": [1, 2], "copy_from": "kept"}),
        ("/seed-state", {"unique_id": "new", "y": [1, 2], "from": "training"}),
        ("/seed-state", {"unique_id": "new", "copy_from": "kept", "from": "training"}),
        ("/seed-state", {"unique_id": "new", "copy_from": "kept", "ds": [1]}),
        ("/seed-state", {"unique_id": "new", "from": "memory"}),
        ("/seed-state", {"unique_id": "new", "source": "training"}),
        ("/reset-state", {}),
        ("/reset-state", {"unique_id": "kept", "all": True}),
        ("/reset-state", {"unique_id": "kept", "all": False}),
        ("/reset-state", {"all": False}),
        ("/observe", {"unique_id": "kept"}),
        ("/observe", {"y": 1}),
    ],
)
def test_a_call_says_what_it_is_about_once(
    service: Service, path: str, body: dict[str, object]
) -> None:
    refuse(service, 422, path, json.dumps(body))


@pytest.mark.parametrize("path", HISTORIES)
@pytest.mark.parametrize(
    ("ds", "reason"),
    [
        ([], "ds: expected 2 times, one for each y, found 0"),
        ([1], "ds: expected 2 times, one for each y, found 1"),
        ([1, 2, 3], "ds: expected 2 times, one for each y, found 3"),
        ([1, "2024-01-01"], "ds: expected whole numbers or dates and times, found both"),
    ],
)
def test_a_history_has_one_time_of_one_kind_for_each_value(
    service: Service, path: str, ds: list[object], reason: str
) -> None:
    new = {"unique_id": "new"} if path == "/seed-state" else {}

    problem = refuse(service, 422, path, json.dumps({"y": [1, 2], "ds": ds, **new}))

    assert problem["detail"] == reason


# What is not there


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/observe", {"unique_id": "kept", "y": 1, "ds": 4, "model": "nope"}),
        ("POST", "/forecast", {"unique_id": "kept", "model": "nope"}),
        ("POST", "/forecast", {"y": [1, 2], "model": "nope"}),
        ("POST", "/seed-state", {"unique_id": "kept", "y": [1, 2], "model": "nope"}),
        ("POST", "/reset-state", {"unique_id": "kept", "model": "nope"}),
        ("POST", "/reset-state", {"all": True, "model": "nope"}),
        ("GET", "/series?model=nope", {}),
        ("GET", "/series/kept?model=nope", {}),
        ("DELETE", "/series/kept?model=nope", {}),
        ("GET", "/models/nope", {}),
    ],
)
def test_an_unknown_model_is_not_found(
    service: Service, method: str, path: str, body: dict[str, object]
) -> None:
    problem = refuse(service, 404, path, json.dumps(body), method=method)

    assert problem["type"] == "urn:stepcast:unknown-model"
    assert problem["models"] == ["counted", "daily", "plain"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/forecast", {"unique_id": "nope"}),
        ("POST", "/forecast", {"unique_id": "cold", "model": "daily"}),
        ("POST", "/seed-state", {"unique_id": "new", "copy_from": "nope"}),
        ("POST", "/reset-state", {"unique_id": "nope"}),
        ("GET", "/series/nope", {}),
        ("DELETE", "/series/nope", {}),
    ],
)
def test_an_unknown_series_is_not_found_and_not_created(
    service: Service, method: str, path: str, body: dict[str, object]
) -> None:
    problem = refuse(service, 404, path, json.dumps(body), method=method)

    assert problem["type"] == "urn:stepcast:unknown-series"


@pytest.mark.parametrize(
    "path",
    [
        "/series?limit=0",
        "/series?limit=1001",
        "/series?limit=ten",
        f"/series?limit={2**64}",
        f"/series?limit={5000 * '9'}",
        f"/series/kept/history?limit={2**64}",
        "/series/kept/history?limit=10001",
        "/series?limits=1",
        "/series/kept?limit=1",
        f"/series?prefix={257 * 'a'}",
        f"/series/{257 * 'a'}",
        "/series/",
        f"/models/{65 * 'a'}",
    ],
)
def test_a_query_that_makes_no_sense_is_not_valid(service: Service, path: str) -> None:
    refuse(service, 422, path, method="GET")


@pytest.mark.parametrize("path", ["/nope", "/health", "/observe/kept"])
def test_an_unknown_route_is_not_found(service: Service, path: str) -> None:
    answer = service.client.get(path)

    service.problem(answer, 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/observe", "POST"),
        ("PUT", "/forecast", "POST"),
        ("POST", "/series", "GET"),
        ("PUT", "/series/a", "GET, DELETE"),
        ("DELETE", "/series/a/history", "GET"),
    ],
)
def test_a_wrong_method_is_told_the_right_one(
    service: Service, method: str, path: str, allowed: str
) -> None:
    answer = service.client.request(method, path)

    service.problem(answer, 405)
    assert answer.headers["allow"] == allowed


# Anything at all

FIELDS = ["unique_id", "y", "ds", "h", "level", "quantiles", "model", "from", "copy_from", "all"]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=8)
    | st.sampled_from(["kept", "cold", "plain", "daily", "training", "2024-01-01", 4, 1e300])
)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("path", POSTS)
@settings(max_examples=150)
@given(document=DOCUMENTS | st.dictionaries(st.sampled_from(FIELDS), DOCUMENTS, max_size=4))
def test_no_document_is_the_services_fault(service: Service, path: str, document: object) -> None:
    before = service.records()

    answer = service.client.post(path, content=json.dumps(document), headers={"content-type": JSON})

    assert str(answer.status_code) in documented(service, answer)
    if answer.status_code != 200:
        service.problem(answer, answer.status_code)
        assert service.records() == before

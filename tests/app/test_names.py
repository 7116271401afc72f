"""A model's name in a call is looked up among those that are loaded, and is never a path."""

from urllib.parse import quote

import pytest

from tests.app.running import Service

PATHS = [
    "../plain",
    "../../etc/passwd",
    "..%2Fplain",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e",
    "%2e%2e%2fplain",
    "%2e",
    ".%2fplain",
    "plain%2f",
    "plain%2fmanifest.json",
    "plain%00",
    "%00",
    "plain%0a",
    "%0d%0aset-cookie:%20a=b",
    "%1b[2J",
    "%ff%fe",
    "%25%32%65",
    "..%5cplain",
    "C:%5cplain",
    "Plain",
    "%20plain",
    "*",
    "p?",
    "x" * 64,
    "%F0%9F%92%A9",
]
NAMES = ["..", "../plain", "/etc/passwd", "plain/", "plain\0", "\0", "plain\n", "\x1b[2J", "*", " "]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_in_place_of_a_name_is_no_model(service: Service, path: str) -> None:
    # The client would tidy `..` away; a byte string goes out as it is.
    url = service.client.base_url.copy_with(raw_path=f"/models/{path}".encode())

    problem = service.problem(service.client.get(url), 404)

    assert "passwd" not in problem["detail"] or "no model" in problem["detail"]
    assert problem["detail"].isprintable()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("query", ["/series?model={}", "/series/a?model={}"])
def test_a_path_in_a_query_is_no_model(service: Service, query: str, name: str) -> None:
    path, key = query.removesuffix("={}").split("?")

    problem = service.problem(service.client.get(path, params={key: name}), 404)

    assert problem["type"] == "urn:stepcast:unknown-model"
    assert problem["models"] == ["counted", "daily", "plain"]
    assert problem["detail"].isprintable()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("path", ["/observe", "/forecast", "/seed-state", "/reset-state"])
def test_a_path_in_a_body_is_no_model(service: Service, path: str, name: str) -> None:
    body = {"unique_id": "a", "model": name} | (
        {"y": 1.0} if path == "/observe" else {"y": [1.0]} if path == "/seed-state" else {}
    )

    problem = service.refused(path, 404, **body)

    assert problem["type"] == "urn:stepcast:unknown-model"
    assert problem["detail"].isprintable()


HARD = [
    "history",
    "events",
    "/events",
    "x/events",
    "x/history",
    "x/history/history",
    "state",
    "/state",
    "a/state",
    "ab/state",
    "x/state/state",
    "/history",
    "a/b//c",
    "%2F",
    "a%2Fhistory",
    "é/ü",
    "a?b#c",
    "./a",
]


@pytest.mark.parametrize("name", HARD)
def test_a_series_of_any_name_is_found_by_its_path(service: Service, name: str) -> None:
    service.post("/observe", unique_id=name, y=1.0)
    url = service.client.base_url.copy_with(raw_path=f"/series/{quote(name, safe='')}".encode())

    status = service.client.get(url)
    past = service.client.get(url.copy_with(raw_path=url.raw_path + b"/history"))
    state = service.client.get(url.copy_with(raw_path=url.raw_path + b"/state"))
    deleted = service.client.delete(url)

    assert state.json()["unique_id"] == name
    assert status.json()["unique_id"] == name
    service.problem(past, 422)  # this store keeps none
    assert deleted.status_code == 204
    service.problem(service.client.get(url), 404)


def test_slashes_of_a_name_may_stand_in_a_path_as_they_are(service: Service) -> None:
    service.post("/observe", unique_id="plant/line-1", y=1.0)

    assert service.client.get("/series/plant/line-1").json()["unique_id"] == "plant/line-1"
    assert service.client.delete("/series/plant/line-1").status_code == 204


def test_what_a_path_without_encoding_says_is_the_history(service: Service) -> None:
    service.post("/observe", unique_id="x/history", y=1.0)

    refused = service.problem(service.client.delete("/series/x/history"), 405)
    kept = service.client.get("/series/x%2Fhistory")

    assert kept.json()["unique_id"] == "x/history"
    assert refused["status"] == 405

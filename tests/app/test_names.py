"""A model's name in a call is looked up among those that are loaded, and is never a path."""

import pytest

from tests.app.running import Service

PATHS = [
    "..",
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

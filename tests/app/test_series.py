"""The series that are kept: listed a page at a time, looked at one by one, forgotten."""

from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from tests.app.running import Service

Y = [1.0, 2.5, 2.0, 4.0, 3.0]


def seed(service: Service, *ids: str, model: str | None = None) -> None:
    for unique_id in ids:
        service.post("/seed-state", unique_id=unique_id, y=Y, model=model)


def listed(service: Service, **query: str | int) -> tuple[list[str], str | None]:
    """Return the names on a page, and where the next one begins."""
    answer = service.client.get("/series", params=query)
    assert answer.status_code == 200
    page = answer.json()
    return [one["unique_id"] for one in page["series"]], page["after"]


# One series


def test_a_series_tells_its_cursor_and_the_forecast_that_stands(service: Service) -> None:
    days = [f"2024-01-0{day}" for day in range(1, 6)]
    seeded = service.post("/seed-state", unique_id="a", model="daily", y=Y, ds=days)

    status = service.client.get("/series/a?model=daily").json()

    assert (status["unique_id"], status["model"]) == ("a", "daily")
    assert (status["step"], status["ds"]) == (5, "2024-01-05T00:00:00Z")
    assert status["next"] == seeded["next"]


def test_a_series_is_scored_against_the_forecasts_that_stood(service: Service) -> None:
    errors = np.array(
        [service.post("/observe", unique_id="a", y=y)["error"] for y in Y][2:], np.float64
    )
    naive = np.abs(np.diff(Y[1:])).mean()

    scores = service.client.get("/series/a").json()["scores"]

    assert scores["scored"] == 3
    assert scores["mae"] == pytest.approx(np.abs(errors).mean())
    assert scores["rmse"] == pytest.approx(np.sqrt(np.square(errors).mean()))
    assert scores["skill"] == pytest.approx(1 - np.abs(errors).mean() / naive)
    assert scores["coverage"].keys() == {"80", "95"}


def test_a_cold_series_has_neither_forecast_nor_scores(service: Service) -> None:
    service.post("/observe", unique_id="a", y=1.0)

    status = service.client.get("/series/a").json()

    assert (status["step"], status["next"]) == (1, None)
    assert status["scores"] == {
        "scored": 0,
        "mae": None,
        "rmse": None,
        "skill": None,
        "coverage": {},
    }


@pytest.mark.parametrize(
    "unique_id",
    [
        "a/b",
        "/a",
        "a/",
        "a//b",
        "a b",
        " ",
        "100%",
        "a?b=c",
        "a#b",
        "a+b",
        "a&b",
        "ä",
        "東京",
        "\U0001f40e",
        "a\u0301",
        "<script>",
        '"',
        "\\",
        "[/]",
        256 * "ä",
    ],
)
def test_a_series_is_found_and_forgotten_under_any_name(service: Service, unique_id: str) -> None:
    seed(service, unique_id, "other")
    path = f"/series/{quote(unique_id, safe='')}"

    found = service.client.get(path)
    forgotten = service.client.delete(path)
    gone = service.client.get(path)

    assert found.json()["unique_id"] == unique_id
    assert (forgotten.status_code, forgotten.content) == (204, b"")
    service.problem(gone, 404)
    assert listed(service) == (["other"], None)


def test_a_forgotten_series_begins_anew(service: Service) -> None:
    first = service.post("/observe", unique_id="a", y=1.0)
    service.post("/observe", unique_id="a", y=2.0)
    service.client.delete("/series/a")

    again = service.post("/observe", unique_id="a", y=1.0)

    assert again == first


def test_looking_changes_nothing(service: Service) -> None:
    seed(service, "a", "b")
    records = service.records()

    for path in ("/series", "/series/a", "/models", "/models/plain", "/health/ready"):
        assert service.client.get(path).status_code == 200

    assert service.records() == records


# Pages


def test_series_are_listed_in_the_order_of_their_names(service: Service) -> None:
    seed(service, "b", "ä", "a", "B")

    assert listed(service) == (["B", "a", "b", "ä"], None)


def test_a_listed_series_says_what_it_says_alone(service: Service) -> None:
    seed(service, "a", "b")

    page: dict[str, Any] = service.client.get("/series").json()

    assert page["series"] == [service.client.get(f"/series/{one}").json() for one in "ab"]


def test_pages_hold_every_series_once(service: Service) -> None:
    names = [f"{number:03}" for number in range(25)]
    seed(service, *names)

    pages = []
    after: str | None = ""
    while after is not None:
        found, after = listed(service, limit=10, after=after)
        pages.append(found)

    assert [len(page) for page in pages] == [10, 10, 5]
    assert [name for page in pages for name in page] == names


def test_a_page_that_is_just_full_is_the_last(service: Service) -> None:
    seed(service, "a", "b")

    assert listed(service, limit=2) == (["a", "b"], None)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"prefix": "site/"}, ["site/1", "site/2"]),
        ({"prefix": "site/", "after": "site/1"}, ["site/2"]),
        ({"prefix": "100%"}, ["100%"]),
        ({"prefix": "東"}, ["東京"]),
        ({"prefix": "nope"}, []),
        ({"after": "東京"}, []),
    ],
)
def test_a_page_keeps_to_a_prefix(
    service: Service, query: dict[str, str], names: list[str]
) -> None:
    seed(service, "site/1", "site/2", "sites", "100%", "東京")

    assert listed(service, **query) == (names, None)


def test_each_model_lists_its_own_series(service: Service) -> None:
    seed(service, "a", "b")
    seed(service, "b", "c", model="daily")

    assert listed(service) == (["a", "b"], None)
    assert listed(service, model="daily") == (["b", "c"], None)
    assert listed(service, model="counted") == ([], None)


def test_a_series_is_forgotten_in_one_model_only(service: Service) -> None:
    seed(service, "a")
    seed(service, "a", model="daily")

    service.client.delete("/series/a?model=daily")

    assert listed(service) == (["a"], None)
    assert listed(service, model="daily") == ([], None)

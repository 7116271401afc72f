"""What `/metrics` tells: counted where it happens, and bounded whatever is sent."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from app.gate import Traffic
from app.main import create_app
from app.metrics import Answers
from app.settings import Settings
from app.tally import Tally
from tests.app.running import Service, running

KEY = "reading-0123456789"
TOLERANCE = 1e-12


def metrics(service: Service, query: str = "") -> dict[str, dict[tuple[str, ...], float]]:
    """Return each sample's value, by its name and the values of its labels in their order."""
    answer = service.client.get(f"/metrics{query}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def test_answers_are_counted_by_method_route_and_status(service: Service) -> None:
    service.post("/observe", unique_id="a", y=1.0)
    service.client.post("/observe", json={"unique_id": "a"})
    for name in ("a", "b", "plant%2Fline", "plant/line"):
        service.client.get(f"/series/{name}")
    service.client.get("/series/plant/line/history")
    service.client.get("/nothing/of/the/kind")
    service.client.request("BREW", "/observe")

    assert metrics(service)["stepcast_request_seconds_count"] == {
        ("POST", "/observe", "200"): 1,
        ("POST", "/observe", "422"): 1,
        ("GET", "/series/{unique_id}", "200"): 1,
        ("GET", "/series/{unique_id}", "404"): 3,
        ("GET", "/series/{unique_id}/history", "422"): 1,
        ("GET", "other", "404"): 1,
        ("other", "/observe", "405"): 1,
    }


def test_a_million_paths_are_one_label(service: Service) -> None:
    for number in range(100):
        service.client.get(f"/series/{number}")
        service.client.get(f"/{number}")

    assert metrics(service)["stepcast_request_seconds_count"] == {
        ("GET", "/series/{unique_id}", "404"): 100,
        ("GET", "other", "404"): 100,
    }


def test_observations_are_counted_by_what_became_of_them(service: Service) -> None:
    service.post("/observe", unique_id="a", model="counted", y=1.0, ds=1)
    service.post("/observe", unique_id="a", model="counted", y=1.0, ds=1)
    service.refused("/observe", 409, unique_id="a", model="counted", y=2.0, ds=1)
    service.refused("/observe", 409, unique_id="a", model="counted", y=2.0, ds=5)
    batch = {"unique_id": ["a", "a", "b"], "y": [2.0, None, "x"], "ds": [2, 9, 1]}
    service.post("/observe/batch", model="counted", **batch)

    found = metrics(service)["stepcast_observations_total"]

    told = {outcome: count for (model, outcome), count in found.items() if model == "counted"}
    assert told == {
        "applied": 2,
        "duplicate": 1,
        "conflicting-observation": 1,
        "gap": 2,
        "not-valid": 1,
    }


def test_a_model_is_scored_as_its_one_series_is(service: Service) -> None:
    for y in (3.0, 4.0, 2.5, 3.5, 9.0, 2.0):
        service.post("/observe", unique_id="a", y=y)

    found = metrics(service)
    scores = service.client.get("/series/a").json()["scores"]

    assert found["stepcast_scored_total"]["plain",] == scores["scored"]
    assert found["stepcast_mae"]["plain",] == pytest.approx(scores["mae"], rel=TOLERANCE)
    for level, share in scores["coverage"].items():
        assert found["stepcast_coverage"][level, "plain"] == share
        inside = found["stepcast_inside_total"][level, "plain"]
        assert inside == share * scores["scored"]


def test_missing_values_and_first_ones_are_not_scored(service: Service) -> None:
    for y in (3.0, 4.0, None):
        service.post("/observe", unique_id="a", y=y)

    found = metrics(service)

    assert found["stepcast_observations_total"]["plain", "applied"] == 3
    assert found["stepcast_scored_total"]["plain",] == 0
    assert math.isnan(found["stepcast_mae"]["plain",])
    assert math.isnan(found["stepcast_skill"]["plain",])


def test_series_are_counted_as_they_come_and_go(service: Service) -> None:
    for name in ("a", "b"):
        service.post("/observe", unique_id=name, y=1.0)
    service.client.delete("/series/a")

    assert metrics(service)["stepcast_series"] == {("plain",): 1, ("daily",): 0, ("counted",): 0}


def test_a_store_in_a_file_times_its_commits(models: Path, tmp_path: Path) -> None:
    with running(models, model="plain", start="empty", store=f"sqlite:///{tmp_path}/s.db") as one:
        before = metrics(one)["stepcast_store_commit_seconds_count"][()]
        one.post("/observe", unique_id="a", y=1.0)
        found = metrics(one)

    assert found["stepcast_store_commit_seconds_count"][()] == before + 1
    assert found["stepcast_store_commit_failures_total"][()] == 0
    assert found["stepcast_store_queue"][()] == 0


def test_every_model_says_what_it_is(service: Service) -> None:
    found = metrics(service)["stepcast_model_info"]

    manifest = service.client.get("/models/plain").json()
    assert found[manifest["fingerprint"], "plain", manifest["version"]] == 1
    assert len(found) == 3


def test_no_series_is_named_unless_it_is_asked_for(service: Service) -> None:
    for y in (3.0, 4.0, 2.5):
        service.post("/observe", unique_id='a "quoted" \\ name', y=y)

    assert "quoted" not in service.client.get("/metrics").text

    found = metrics(service, "?series=a %22quoted%22 \\ name&series=never-seen")
    assert found["stepcast_series_step"] == {("plain", 'a "quoted" \\ name'): 3}
    scores = service.client.get("/series/a%20%22quoted%22%20%5C%20name").json()["scores"]
    assert found["stepcast_series_mae"]["plain", 'a "quoted" \\ name'] == scores["mae"]


@pytest.mark.parametrize(
    "query",
    ["?serie=a", "?series=", "?" + "&".join(f"series={n}" for n in range(101)), "?series=a%00"],
)
def test_a_query_that_makes_no_sense_is_refused(service: Service, query: str) -> None:
    service.problem(service.client.get(f"/metrics{query}"), 422)


def test_a_series_of_a_model_that_is_not_there_is_refused(service: Service) -> None:
    service.problem(service.client.get("/metrics?series=a&model=nope"), 404)


def test_with_keys_metrics_are_read_with_one(models: Path) -> None:
    with running(models, model="plain", api_keys=f"read:{KEY}") as service:
        service.problem(service.client.get("/metrics"), 401)
        key = {"authorization": f"Bearer {KEY}"}
        told = service.client.get("/metrics", headers=key)

    assert 'route="/metrics",status="401"' in told.text


def test_open_metrics_still_name_no_series_without_a_key(models: Path) -> None:
    with running(models, model="plain", api_keys=f"read:{KEY}", metrics_public=True) as service:
        assert service.client.get("/metrics").status_code == 200
        service.problem(service.client.get("/metrics?series=trained"), 401)
        service.problem(service.client.get("/series"), 401)


def test_a_service_that_is_full_still_tells_its_metrics(models: Path) -> None:
    settings = Settings(models=models, model="plain", store="memory", max_concurrency=1)
    app = create_app(settings, traffic=Traffic(calls=1))
    with TestClient(app, "http://localhost") as client:
        assert client.get("/series").status_code == 503
        assert "stepcast_calls_in_flight 1.0" in client.get("/metrics").text


RECORD = np.dtype([("error", "<f8"), ("y", "<f8"), ("naive_mae", "<f8"), ("stood", "<f8", (5,))])
VALUES = st.floats(-1e6, 1e6, allow_subnormal=False)


@given(st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=1, max_size=20), st.floats(1e-3, 1e3))
def test_skill_knows_no_units(rows: list[tuple[float, float, float]], unit: float) -> None:
    tallies = []
    for scale in (1.0, unit):
        tally = Tally()
        for y, mean, last in rows:
            record = np.zeros(1, RECORD)
            record["y"], record["error"] = y * scale, (y - mean) * scale
            record["naive_mae"] = 2.5 * scale
            tally.add(np.arange(1), record, np.array([last * scale]), {})
        tallies.append(tally)

    one, other = tallies
    assert other.scaled_error == pytest.approx(one.scaled_error, rel=1e-6, abs=1e-6)
    assert other.scaled_change == pytest.approx(one.scaled_change, rel=1e-6, abs=1e-6)
    assert other.mae == pytest.approx(one.mae * unit, rel=1e-6, abs=1e-6)


@given(st.lists(st.floats(0, 100), max_size=50))
def test_every_answer_is_in_one_bucket(seconds: list[float]) -> None:
    answers = Answers()

    for one in seconds:
        answers.add(one)

    assert sum(answers.counts) == len(seconds)
    assert answers.counts[-1] == sum(one > 10.0 for one in seconds)
    assert answers.seconds == pytest.approx(sum(seconds))

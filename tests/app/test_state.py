"""A series is moved to another service, and goes on there as it would have gone on here."""

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forecaster.spec import Covariate, Kind, RunningScaler
from stepcast.client import Client, ConflictError, InvalidError
from tests.app.running import ROOT, Service, running, serving
from tests.app.test_fuzz import EDITS, Edit
from tests.forecaster.fakes import write_model

COVARIATES = (
    Covariate(name="temp", kind=Kind.PAST),
    Covariate(name="wind", kind=Kind.PAST, categories=("N", "S")),
    Covariate(name="promo", kind=Kind.FUTURE),
    Covariate(name="size", kind=Kind.STATIC, mean=10.0, scale=4.0),
)
# A model of each kind; the bundled one keeps seasons and is calibrated.
KINDS = ["plain", "told", "universal"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("moved") / "models"
    write_model(folder / "plain", scaler=RunningScaler(window=10))
    write_model(folder / "daily", freq="D", seed=1)
    write_model(folder / "told", covariates=COVARIATES, seed=2)
    shutil.copytree(ROOT / "models" / "universal", folder / "universal")
    return folder


@pytest.fixture(scope="module")
def here(models: Path) -> Iterator[Service]:
    with running(models, model="universal", start="empty") as service:
        yield service


@pytest.fixture(scope="module")
def there(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    store = f"sqlite:///{tmp_path_factory.mktemp('there')}/s.db"
    with running(models, model="universal", start="empty", store=store) as service:
        yield service


def state_of(service: Service, name: str, model: str | None = None) -> Any:
    answer = service.client.get(f"/series/{name}/state", params={"model": model} if model else {})
    assert answer.status_code == 200, answer.text
    return answer.json()


def seeded(service: Service) -> Any:
    """Return the state of a series of ten values."""
    service.post("/seed-state", unique_id="a", y=[3, 4, 2.5, 6, 1, 3, 4, 2, 5, 1], season=7)
    return state_of(service, "a")


y = st.floats(-1e3, 1e3) | st.sampled_from([1e300, -1e300, 1e-300, 0.0])
xs = st.fixed_dictionaries(
    {
        "temp": st.floats(-50, 50) | st.none(),
        "wind": st.sampled_from(["N", "S", None]),
        "promo": st.sampled_from([0, 1, None]),
        "size": st.floats(0, 100) | st.none(),
    }
)


@pytest.mark.parametrize("model", KINDS)
@pytest.mark.parametrize("clock", ["none", "integer", "time"])
def test_both_go_on_alike_to_the_last_bit(
    here: Service, there: Service, model: str, clock: str
) -> None:
    clocks: dict[str, list[Any]] = {
        "none": [None] * 40,
        "integer": list(range(-5, 35)),
        "time": [f"2024-{1 + day // 28:02d}-{1 + day % 28:02d}" for day in range(40)],
    }
    times = clocks[clock]

    @settings(max_examples=10, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(st.tuples(y, xs), min_size=2, max_size=25),
        st.lists(st.tuples(y | st.none(), xs), min_size=1, max_size=6),
        st.sampled_from([0, 4, [6, 2]]),
    )
    def check(before: list[Any], after: list[Any], season: Any) -> None:
        def extra(at: int, x: dict[str, Any]) -> dict[str, Any]:
            known = {} if model != "told" else {"x": x}
            return known | ({} if times[at] is None else {"ds": times[at]})

        columns = {key: [x[key] for _, x in before] for key in before[0][1]}
        body = {"y": [one for one, _ in before], "season": season}
        body |= {"x": columns} if model == "told" else {}
        body |= {} if clock == "none" else {"ds": times[: len(before)]}
        here.post("/seed-state", unique_id="s", model=model, **body)
        answer = there.client.put("/series/s/state", json=state_of(here, "s", model))
        assert answer.status_code == 200, answer.text

        assert answer.json()["next"] == here.client.get(f"/series/s?model={model}").json()["next"]
        for at, (value, x) in enumerate(after, len(before)):
            one, other = (
                service.post("/observe", unique_id="s", model=model, y=value, **extra(at, x))
                for service in (here, there)
            )
            assert one == other
        one, other = (
            service.post("/forecast", unique_id="s", model=model, h=3, quantiles=[0.1])
            for service in (here, there)
        )
        assert one == other
        assert state_of(here, "s", model) == state_of(there, "s", model)

    check()


def test_a_move_is_a_new_beginning(here: Service, there: Service) -> None:
    there.post("/observe", unique_id="b", y=1.0)

    answer = there.client.put("/series/b/state", json=seeded(here))

    assert answer.json()["unique_id"] == "b"
    assert answer.json()["step"] == 10
    assert answer.json()["next"] == here.client.get("/series/a").json()["next"]
    assert there.client.get("/series/b/history").json() == {"unique_id": "b", "history": []}
    there.post("/observe", unique_id="b", y=1.0)
    assert [one["y"] for one in there.client.get("/series/b/history").json()["history"]] == [1.0]


def test_what_is_told_moves_nothing(here: Service) -> None:
    seeded(here)
    before = here.records()

    assert state_of(here, "a") == state_of(here, "a")

    assert here.records() == before
    problem = here.problem(here.client.get("/series/nobody/state"), 404)
    assert problem["type"] == "urn:stepcast:unknown-series"


def test_the_name_is_that_of_the_path_and_may_be_any(here: Service, there: Service) -> None:
    state = seeded(here) | {"unique_id": "other"}

    for name in ("plant/line-1", "x%2Fstate", "caf%C3%A9"):
        told = there.client.put(f"/series/{name}/state", json=state)
        assert told.status_code == 200, told.text
        assert there.client.get(f"/series/{name}").json()["step"] == 10
    bad = there.problem(there.client.put("/series/a%0ab/state", json=state), 422)
    long = there.problem(there.client.put(f"/series/{'x' * 257}/state", json=state), 422)
    assert bad["detail"].startswith("unique_id:")
    assert long["detail"].startswith("unique_id:")


def test_a_model_may_be_called_something_else_there(here: Service, there: Service) -> None:
    state = seeded(here)
    left_out = {name: value for name, value in state.items() if name not in ("model", "unique_id")}

    assert there.client.put("/series/b/state", json=left_out).status_code == 200
    unknown = there.client.put("/series/b/state", json=state | {"model": "sales"})
    assert there.problem(unknown, 404)["type"] == "urn:stepcast:unknown-model"


def test_the_state_of_another_model_is_refused(here: Service, there: Service) -> None:
    state = seeded(here) | {"model": "plain"}
    before = there.records()

    problem = there.problem(there.client.put("/series/b/state", json=state), 409)

    assert problem["type"] == "urn:stepcast:another-model"
    assert state["fingerprint"] in problem["detail"]
    assert problem["fingerprint"] == there.services.get("plain").model.manifest.fingerprint
    assert "/seed-state" in problem["detail"]
    assert there.records() == before


def test_a_service_that_is_full_takes_no_more(here: Service, models: Path) -> None:
    with running(models, model="universal", start="empty", max_series=1) as full:
        full.post("/observe", unique_id="one", y=1.0)

        refused = full.client.put("/series/two/state", json=seeded(here))

        assert full.problem(refused, 429)["type"] == "urn:stepcast:too-many-series"
        assert full.client.put("/series/one/state", json=seeded(here)).status_code == 200


def test_a_body_is_held_to_the_limits_of_others(here: Service, models: Path) -> None:
    with running(models, model="universal", start="empty", max_body_bytes=5000) as small:
        large = small.client.put("/series/a/state", json=seeded(here))
        text = small.client.put("/series/a/state", content=b"{}")
        post = small.client.post("/series/a/state", json={})

    small.problem(large, 413)
    small.problem(text, 415)
    small.problem(post, 405)
    assert post.headers["allow"] == "GET, PUT"


def test_a_key_that_may_only_read_moves_nothing(here: Service, models: Path) -> None:
    keys = "write:a-key-that-may-write,read:a-key-that-may-read"
    reading = {"authorization": "Bearer a-key-that-may-read"}
    writing = {"authorization": "Bearer a-key-that-may-write"}
    with running(models, model="universal", start="empty", api_keys=keys) as service:
        refused = service.client.put("/series/a/state", json=seeded(here), headers=reading)
        taken = service.client.put("/series/a/state", json=seeded(here), headers=writing)
        told = service.client.get("/series/a/state", headers=reading)
        nobody = service.client.get("/series/a/state")
        metrics = service.client.get("/metrics", headers=reading).text

    service.problem(refused, 403)
    service.problem(nobody, 401)
    assert taken.status_code == 200
    assert told.json() == seeded(here)
    assert 'method="PUT",route="/series/{unique_id}/state",status="200"' in metrics


@pytest.mark.parametrize("model", KINDS)
def test_any_damage_to_a_document_is_refused_or_harmless(
    here: Service, there: Service, model: str
) -> None:
    x = {"x": {"temp": [1, 2], "wind": ["N", "S"], "promo": [0, 1]}} if model == "told" else {}
    here.post("/seed-state", unique_id="d", y=[3, 4], model=model, **x)
    state = state_of(here, "d", model)
    text = json.dumps(state).encode()
    # What is a name here, and may be another.
    checked = {name: value for name, value in state.items() if name not in ("unique_id", "model")}

    @settings(max_examples=300, suppress_health_check=list(HealthCheck))
    @given(st.lists(EDITS, min_size=1, max_size=3), st.integers(0, len(text)))
    def check(edits: list[Edit], start: int) -> None:
        body = text[start:]
        for edit in edits:
            body = edit.done(body)
        there.client.put("/series/d/state", json=state)
        before = there.records()

        answer = there.client.put(
            "/series/d/state",
            content=text[:start] + body,
            headers={"content-type": "application/json"},
        )

        assert answer.status_code < 500, answer.text
        if answer.status_code == 200:
            told = json.loads(text[:start] + body)
            assert told | checked == told
        else:
            there.problem(answer, answer.status_code)
            assert there.records() == before

    check()


def test_a_service_that_is_killed_goes_on_with_what_was_moved(models: Path, tmp_path: Path) -> None:
    flags = ["--models", str(models)]
    variables = {"STEPCAST_STORE": f"sqlite:///{tmp_path}/s.db"}
    with serving(*flags) as old, Client(old.url) as client:
        client.seed_one("plant/1", [3.0, 4.0, 2.5, 6.0] * 10, season=4)
        with serving(*flags, variables=variables) as new, Client(new.url) as other:
            state = client.get_state("plant/1")
            moved = other.put_state("plant/1", state)
            new.tell(signal.SIGKILL)
            new.wait()
        with serving(*flags, variables=variables) as again, Client(again.url) as other:
            assert moved.next == client.status("plant/1").next
            assert other.forecast_one("plant/1", 5) == client.forecast_one("plant/1", 5)
            for value in (3.5, None, 2.0):
                one = other.observe_one("plant/1", value)
                assert one == client.observe_one("plant/1", value)
            again.tell(signal.SIGKILL)
            again.wait()
        with serving(*flags, variables=variables) as again, Client(again.url) as other:
            assert other.get_state("plant/1") == client.get_state("plant/1")
            with pytest.raises(ConflictError, match="was made by model"):
                other.put_state("b", state | {"model": "plain"})
            with pytest.raises(InvalidError, match="checksum"):
                other.put_state("b", state | {"checksum": "0" * 64})
            assert httpx.get(f"{again.url}/series/b").status_code == 404

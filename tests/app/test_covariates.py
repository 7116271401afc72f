"""Covariates over HTTP: what is asked for, what it changes, and that nothing of it is lost."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forecaster import artifact
from forecaster.forecaster import Forecaster
from forecaster.spec import Covariate, Kind
from tests.app.running import Service, running
from tests.forecaster.fakes import write_model

TEMP = Covariate(name="temp", kind=Kind.PAST)
WIND = Covariate(name="wind", kind=Kind.PAST, categories=("N", "S"))
PROMO = Covariate(name="promo", kind=Kind.FUTURE)
SIZE = Covariate(name="size", kind=Kind.STATIC, mean=10.0, scale=4.0)
COVARIATES = (TEMP, WIND, PROMO, SIZE)

Y = [3.0, 4.0, 2.5, 3.5, 5.0, 4.5, 6.0, 5.5]
TEMPS = [20.5, None, 21.0, 19.0, 18.5, None, 17.0, 16.0]
WINDS = ["N", "S", None, "S", "N", "N", "S", "N"]
PROMOS = [0, 1, 0, None, 1, 0, 0, 1]
SIZES = [14.0, None, None, None, None, None, None, None]
COLUMNS: dict[str, list[Any]] = {"temp": TEMPS, "wind": WINDS, "promo": PROMOS, "size": SIZES}
X = np.array(
    [
        [np.nan if one is None else one for one in TEMPS],
        [np.nan if one is None else "-NS".index(one) for one in WINDS],
        [np.nan if one is None else one for one in PROMOS],
        [np.nan if one is None else one for one in SIZES],
    ]
).T


def row(at: int) -> dict[str, Any]:
    return {name: column[at] for name, column in COLUMNS.items()}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("covariates") / "models"
    write_model(folder / "told", covariates=COVARIATES)
    write_model(folder / "bare")
    return folder


@pytest.fixture(params=["memory", "sqlite"])
def service(models: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    store = "memory" if request.param == "memory" else f"sqlite:///{tmp_path / 'store.db'}"
    with running(models, model="told", store=store) as service:
        yield service


def expected(forecaster: Forecaster, steps: int) -> np.void:
    record: np.void = forecaster.seed([np.array(Y[:steps])], x=[X[:steps]])[0]
    return record


def check_next(told: dict[str, Any], record: np.void) -> None:
    np.testing.assert_allclose(told["mean"], record["forecast"][0], rtol=1e-6)


def test_observing_seeding_and_batches_say_the_same(service: Service) -> None:
    told = [
        service.post("/observe", unique_id="one", y=y, x=row(at))["next"] for at, y in enumerate(Y)
    ][-1]
    record = expected(service.forecaster(), len(Y))
    check_next(told, record)
    check_next(service.post("/seed-state", unique_id="two", y=Y, x=COLUMNS)["next"], record)
    check_next(service.post("/forecast", y=Y, x=COLUMNS)["forecasts"][0], record)
    table = {"unique_id": ["three"] * len(Y), "y": Y, "x": COLUMNS}
    batch = service.post("/observe/batch", **table)
    assert set(batch["status"]) == {"applied"}
    check_next({"mean": batch["mean"][-1]}, record)
    table["unique_id"] = ["four"] * len(Y)
    check_next({"mean": service.post("/seed-state/batch", **table)["mean"][-1]}, record)


def test_what_is_known_ahead_is_told_with_the_forecast_or_with_the_observation(
    service: Service,
) -> None:
    service.post("/seed-state", unique_id="a", y=Y[:-1], x={k: v[:-1] for k, v in COLUMNS.items()})
    plain = service.post("/forecast", unique_id="a", h=2)["forecasts"]
    future = {"promo": [PROMOS[-1], None]}
    known = service.post("/forecast", unique_id="a", h=2, x_future=future)["forecasts"]
    assert known[0]["mean"] != plain[0]["mean"]
    both = service.post(
        "/forecast/batch", unique_id=["a", "b", "a"], h=2, x_future={"promo": [[1, None]] * 3}
    )
    assert both["mean"][:2] == both["mean"][4:] == [one["mean"] for one in known]
    assert both["status"][2] == "unknown-series"
    last = service.post("/observe", unique_id="a", y=Y[-1], x=row(len(Y) - 1))
    assert last["error"] == pytest.approx(Y[-1] - known[0]["mean"])
    check_next(last["next"], expected(service.forecaster(), len(Y)))


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("/observe", {"unique_id": "a", "y": 1.0}, "'temp', 'wind' and 'promo' left out"),
        (
            "/observe",
            {"unique_id": "a", "y": 1.0, "x": {"temp": 1, "promo": 0}},
            "x: expected 'temp', 'wind', 'promo' and 'size', 'wind' left out",
        ),
        (
            "/observe",
            {"unique_id": "a", "y": 1.0, "x": row(0) | {"tmp": 1}},
            "found also 'tmp'",
        ),
        (
            "/observe",
            {"unique_id": "a", "y": 1.0, "x": row(0) | {"wind": "W"}},
            "x.wind: expected 'N' or 'S' or null, found 'W'",
        ),
        ("/seed-state", {"unique_id": "a", "y": Y, "x": {"temp": TEMPS}}, "left out"),
        (
            "/seed-state",
            {"unique_id": "a", "y": Y, "x": COLUMNS | {"temp": [1.0, 2.0]}},
            "x.temp: expected 8 values, one for each step, found 2",
        ),
        (
            "/seed-state",
            {"unique_id": "a", "y": Y, "x": COLUMNS | {"temp": [*TEMPS[:-1], "cold"]}},
            "x.temp: expected a number or null, found 'cold', in step 8",
        ),
        ("/forecast", {"unique_id": "kept", "x": {"temp": [1]}}, "x goes with y"),
        (
            "/forecast",
            {"unique_id": "kept", "h": 2, "x_future": {"promo": [1]}},
            "x_future.promo: expected 2 values, one for each step, found 1",
        ),
        (
            "/forecast",
            {"unique_id": "kept", "x_future": {"temp": [1]}},
            "x_future: expected 'promo', found also 'temp'",
        ),
        (
            "/forecast/batch",
            {"unique_id": ["kept"], "h": 2, "x_future": {"promo": [[1]]}},
            "x_future.promo: expected lists of 2 values, one for each step, found one of 1",
        ),
        (
            "/forecast/batch",
            {"unique_id": ["kept"], "x_future": {"promo": []}},
            "x_future.promo: expected 1 lists, one for each unique_id, found 0",
        ),
        ("/observe/batch", {"unique_id": ["a"], "y": [1.0]}, "left out"),
        (
            "/observe",
            {"unique_id": "a", "y": 1.0, "x": {"temp": 1}, "model": "bare"},
            "x: this model has no covariates; leave it out",
        ),
        (
            "/forecast",
            {"y": Y, "x_future": {"temp": [1]}, "model": "bare"},
            "x_future: this model has no covariates; leave it out",
        ),
    ],
)
def test_covariates_that_are_not_the_model_s_are_refused(
    service: Service, path: str, body: dict[str, Any], told: str
) -> None:
    service.post("/seed-state", unique_id="kept", y=Y, x=COLUMNS)
    problem = service.refused(path, 422, **body)
    assert told in problem["detail"] + str(problem.get("errors"))


def test_a_bad_row_does_not_spoil_the_others(service: Service) -> None:
    answer = service.post(
        "/observe/batch",
        unique_id=["a", "b", "c", "d"],
        y=[1.0, 2.0, 3.0, 4.0],
        x={
            "temp": [1.0, "hot", 2.0, True],
            "wind": ["N", "N", "W", "S"],
            "promo": [0, 0, 0, 1],
        },
    )
    assert answer["status"] == ["applied", "not-valid", "not-valid", "not-valid"]
    assert answer["detail"][1] == "x.temp: expected a number or null, found 'hot'"
    assert answer["detail"][2] == "x.wind: expected 'N' or 'S' or null, found 'W'"
    assert answer["detail"][3].startswith("x.temp:")


def test_static_ones_are_given_once(service: Service) -> None:
    service.post("/observe", unique_id="a", y=1.0, x=row(0))
    for y in (2.0, 3.0):
        service.post("/observe", unique_id="a", y=y, x={"temp": 1, "wind": "N", "promo": 0})
    (record,) = (
        np.frombuffer(one, service.forecaster().dtype)[0]
        for (_, name), one in service.records().items()
        if name == "a"
    )
    assert record["x.size"] == 14.0


def test_history_corrections_and_restarts_keep_covariates(models: Path, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'store.db'}"
    with running(models, model="told", store=store) as service:
        for at, y in enumerate(Y):
            service.post("/observe", unique_id="a", y=y, ds=at, x=row(at))
        forecaster = service.forecaster()
        kept = service.client.get("/series/a/history").json()["history"]
        assert [one["x"] for one in kept] == [row(at) for at in range(len(Y))]
    with running(models, model="told", store=store) as service:
        check_next(service.client.get("/series/a").json()["next"], expected(forecaster, len(Y)))
        wrong = row(3) | {"temp": -40.0}
        told = service.post("/observe", unique_id="a", y=Y[3], ds=3, x=wrong, correct=True)
        assert told["status"] == "applied"
        again = service.post("/observe", unique_id="a", y=Y[3], ds=3, x=wrong, correct=True)
        assert again == told | {"status": "duplicate"}
        kept = service.client.get("/series/a/history").json()["history"]
        assert kept[3]["x"]["temp"] == -40.0
        x = X.copy()
        x[3, 0] = -40.0
        check_next(told["next"], forecaster.seed([np.array(Y)], x=[x])[0])
        without = service.post("/observe", unique_id="a", y=9.0, ds=3, correct=True)
        corrected = np.array(Y)
        corrected[3] = 9.0
        check_next(without["next"], forecaster.seed([corrected], x=[x])[0])


def test_a_model_of_other_covariates_is_told_of_those_that_both_have(tmp_path: Path) -> None:
    models, store = tmp_path / "models", f"sqlite:///{tmp_path / 'store.db'}"
    write_model(models / "m", covariates=COVARIATES)
    with running(models, store=store) as service:
        for at, y in enumerate(Y):
            service.post("/observe", unique_id="a", y=y, ds=at, x=row(at))
    humid = Covariate(name="humid", kind=Kind.PAST)
    write_model(models / "m", covariates=(PROMO, humid, TEMP), replace=True, seed=5)
    with running(models, store=store) as service:
        told = service.client.get("/series/a").json()["next"]
        x = np.stack([X[:, 2], np.full(len(Y), np.nan), X[:, 0]], axis=1)
        check_next(told, service.forecaster().seed([np.array(Y)], x=[x])[0])
    write_model(models / "m", replace=True, seed=6)
    with running(models, store=store) as service:
        told = service.client.get("/series/a").json()["next"]
        check_next(told, service.forecaster().seed([np.array(Y)])[0])


def test_steps_that_were_left_out_have_no_covariates(tmp_path: Path) -> None:
    models = tmp_path / "models"
    write_model(models / "daily", covariates=COVARIATES, freq="D")
    days = [f"2024-01-{1 + at + (2 if at > 4 else 0):02d}" for at in range(len(Y))]
    with running(models, on_gap="fill", store=f"sqlite:///{tmp_path / 'store.db'}") as service:
        for at, y in enumerate(Y):
            told = service.post("/observe", unique_id="a", y=y, ds=days[at], x=row(at))
        seeded = service.post("/seed-state", unique_id="b", y=Y, ds=days, x=COLUMNS)
        assert told["step"] == seeded["step"] == len(Y) + 2
        np.testing.assert_allclose(told["next"]["mean"], seeded["next"]["mean"], rtol=1e-6)
        kept = service.client.get("/series/b/history").json()["history"]
        assert kept[5]["x"] == dict.fromkeys(COLUMNS)
        assert kept[7]["x"] == row(5)


def test_the_manifest_tells_what_there_is(service: Service, models: Path) -> None:
    told = service.client.get("/models/told").json()["covariates"]
    assert [(one["name"], one["kind"]) for one in told] == [
        ("temp", "past"), ("wind", "past"), ("promo", "future"), ("size", "static"),
    ]  # fmt: skip
    assert told[1]["categories"] == ["N", "S"]
    assert artifact.load(models / "told").manifest.covariates == COVARIATES


def test_words_stay_the_words_that_were_sent(tmp_path: Path) -> None:
    models, store = tmp_path / "models", f"sqlite:///{tmp_path / 'store.db'}"
    write_model(models / "m", covariates=(WIND, TEMP))
    with running(models, store=store) as service:
        for at, y in enumerate(Y):
            sent = {"wind": WINDS[at], "temp": TEMPS[at]}
            service.post("/observe", unique_id="a", y=y, ds=at, x=sent)
    more = WIND.model_copy(update={"categories": ("E", "N", "W")})
    written = TEMP.model_copy(update={"categories": ("hot", "cold")})
    write_model(models / "m", covariates=(written, more), replace=True, seed=5)
    with running(models, store=store) as service:
        kept = service.client.get("/series/a/history").json()["history"]
        # What is no word of this model, or was a number, is missing.
        words = [None if word == "S" else word for word in WINDS]
        assert [one["x"]["wind"] for one in kept] == words
        assert [one["x"]["temp"] for one in kept] == [None] * len(Y)
        codes = [np.nan if word is None else "-ENW".index(word) for word in words]
        x = np.stack([np.full(len(Y), np.nan), codes], axis=1)
        told = service.client.get("/series/a").json()["next"]
        check_next(told, service.forecaster().seed([np.array(Y)], x=[x])[0])


def test_static_ones_outlive_what_is_kept_and_corrections(tmp_path: Path) -> None:
    models, store = tmp_path / "models", f"sqlite:///{tmp_path / 'store.db'}"
    write_model(models / "m", covariates=(SIZE, TEMP))
    settings: dict[str, Any] = {"store": store, "keep_observations": 4}
    for begin in (0, 30, 60):
        with running(models, **settings) as service:
            for at in range(begin, begin + 30):
                x = {"temp": at} | ({} if at else {"size": 14.0})
                service.post("/observe", unique_id="a", y=float(at % 7), ds=at, x=x)
    with running(models, **settings) as service:
        service.post("/observe", unique_id="b", y=1.0, ds=0, x={"temp": 1, "size": 6.0})
        service.post("/observe", unique_id="b", y=2.0, ds=1, x={"temp": 1})
        service.post("/observe", unique_id="b", y=5.0, ds=0, x={"temp": 3}, correct=True)
        (first, _) = service.client.get("/series/b/history").json()["history"]
        assert first["x"] == {"size": 6.0, "temp": 3.0}
    write_model(models / "m", covariates=(TEMP, SIZE), replace=True, seed=5)
    with running(models, **settings) as service:
        dtype = service.forecaster().dtype
        records = {
            name: np.frombuffer(one, dtype)[0] for (_, name), one in service.records().items()
        }
        assert records["a"]["step"] < 90  # the beginning is not kept
        assert records["a"]["x.size"] == 14.0
        assert records["b"]["x.size"] == 6.0


def test_what_is_not_known_ahead_of_one_series_does_not_spoil_the_others(models: Path) -> None:
    with running(models, model="told") as service:
        for name in "ab":
            service.post("/seed-state", unique_id=name, y=Y, x=COLUMNS)
        ahead = {"promo": [[0, 1], [0, "much"]]}
        told = service.post("/forecast/batch", unique_id=["a", "b"], h=2, x_future=ahead)
        assert told["status"] == ["ok", "ok", "not-valid", "not-valid"]
        assert told["detail"][2] == (
            "x_future.promo: expected a number or null, found 'much', in step 2"
        )
        alone = service.post("/forecast", unique_id="a", h=2, x_future={"promo": [0, 1]})
        assert told["mean"][:2] == [one["mean"] for one in alone["forecasts"]]

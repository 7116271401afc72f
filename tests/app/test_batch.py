"""Batch calls: columns in, columns out, each row as if it had come alone."""

import asyncio
from itertools import count
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.answers import Observed
from app.service import History
from forecaster.calendar import Clock
from forecaster.errors import ConflictError
from tests.app.running import Service

AGREE = 1e-6
IDS = ["a", "b", "c"]
# Names that no run before used.
_runs = count()


def test_a_batch_answers_row_by_row_in_the_order_asked(service: Service) -> None:
    answer = service.post(
        "/observe/batch", unique_id=["b", "a", "b", "b"], y=[1.0, 5.0, 2.0, 4.0], level=[80]
    )

    assert answer["unique_id"] == ["b", "a", "b", "b"]
    assert answer["step"] == [1, 1, 2, 3]
    assert answer["status"] == ["applied"] * 4
    assert answer["mean"][:2] == [None, None]
    assert answer["error"][3] == pytest.approx(4.0 - answer["mean"][2], abs=AGREE)
    assert answer["lo_80"][3] < answer["mean"][3] < answer["hi_80"][3]
    assert answer["detail"] == [None] * 4


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(IDS),
            st.one_of(st.none(), st.floats(-100, 100), st.just(2e300)),
            st.one_of(st.none(), st.integers(0, 6)),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_a_batch_does_what_its_rows_would_do_one_by_one(
    service: Service, rows: list[tuple[str, float | None, int | None]]
) -> None:
    run = next(_runs)
    names = {one: f"{one}-{run}" for one in IDS}
    ids, y, ds = (list(column) for column in zip(*rows, strict=True))

    batch = service.post(
        "/observe/batch", unique_id=[f"batch:{names[one]}" for one in ids], y=y, ds=ds
    )

    for row, (unique_id, value, time) in enumerate(rows):
        body = {"unique_id": f"alone:{names[unique_id]}", "y": value, "ds": time}
        alone = service.client.post("/observe", json=body)
        told = alone.json()
        if alone.status_code == 200:
            assert batch["status"][row] == told["status"]
            assert batch["step"][row] == told["step"]
            assert batch["ds"][row] == told["ds"]
            assert batch["error"][row] == pytest.approx(told["error"], abs=AGREE)
            mean = told["next"] and told["next"]["mean"]
            # A batch tells where a series stands after its row, and so does a single answer.
            assert batch["mean"][row] == pytest.approx(mean, abs=AGREE)
        else:
            assert batch["status"][row] == told["type"].removeprefix("urn:stepcast:")
            assert batch["detail"][row] == told["detail"]
    for unique_id in IDS:
        both = [
            service.client.get(f"/series/{way}:{names[unique_id]}").json()
            for way in ("batch", "alone")
        ]
        assert both[0].get("step") == both[1].get("step")


def test_bad_rows_change_nothing_and_spoil_no_other(service: Service) -> None:
    before = service.records()

    answer = service.post(
        "/observe/batch",
        unique_id=["good", "text", "", "null", "good"],
        y=[1.0, "2", 3.0, None, 4.0],
    )

    assert answer["status"] == [
        "applied",
        "not-valid",
        "not-valid",
        "series-not-warm-yet",
        "applied",
    ]
    assert answer["detail"][1] == "y: Input should be a valid number"
    assert answer["step"] == [1, None, None, None, 2]
    assert answer["unique_id"] == ["good", "text", None, "null", "good"]
    assert {name for _, name in service.records().keys() - before.keys()} == {"good"}


def test_a_duplicate_in_a_batch_answers_as_before(service: Service) -> None:
    rows = {"unique_id": ["d", "d", "d"], "y": [1.0, 2.0, 4.0], "ds": [1, 2, 3]}
    first = service.post("/observe/batch", **rows)
    before = service.records()

    again = service.post("/observe/batch", unique_id=["d"], y=[4.0], ds=[3])

    assert again["status"] == ["duplicate"]
    assert again["mean"] == first["mean"][2:]
    assert again["error"] == first["error"][2:]
    assert service.records() == before


@pytest.mark.parametrize("path", ["/observe/batch", "/seed-state/batch"])
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"unique_id": ["a", "b"], "y": [1.0]}, "y: expected 2 items"),
        ({"unique_id": ["a"], "y": [1.0], "ds": [1, 2]}, "ds: expected 1 items"),
        ({"unique_id": [], "y": []}, "unique_id"),
        ({"unique_id": ["a"], "y": 1.0}, "y"),
        ({"unique_id": ["a"], "y": [1.0], "level": [0]}, "level"),
        ({"unique_id": ["a"] * 2001, "y": ["x"] * 2001}, "2001 items are of a wrong kind"),
        ({"unique_id": ["a"], "y": [1.0], "z": {}}, "z"),
    ],
)
def test_columns_that_are_no_table_are_refused_whole(
    service: Service, path: str, body: dict[str, Any], message: str
) -> None:
    problem = service.refused(path, 422, **body)

    assert message in problem["detail"]


def test_forecasts_of_a_batch_are_those_of_each_series(service: Service) -> None:
    for number, name in enumerate(["p", "q"]):
        service.post("/seed-state", unique_id=name, y=[1.0 + number, 2.0, 4.0, 3.0])
    service.post("/observe", unique_id="cold", y=1.0)
    before = service.records()

    answer = service.post(
        "/forecast/batch", unique_id=["q", "nobody", "p", "cold"], h=3, level=[80], quantiles=[0.9]
    )

    assert service.records() == before
    assert answer["unique_id"] == [name for name in ("q", "nobody", "p", "cold") for _ in range(3)]
    assert answer["status"][3:6] == ["unknown-series"] * 3
    assert answer["status"][9:] == ["series-not-warm-yet"] * 3
    assert answer["step"][3:6] == [None] * 3
    for first, name in ((0, "q"), (6, "p")):
        alone = service.post("/forecast", unique_id=name, h=3, level=[80], quantiles=[0.9])
        for t, step in enumerate(alone["forecasts"]):
            row = first + t
            assert answer["status"][row] == "ok"
            assert answer["step"][row] == step["step"]
            assert answer["mean"][row] == pytest.approx(step["mean"], abs=AGREE)
            assert answer["q_0.9"][row] == pytest.approx(step["quantiles"]["0.9"], abs=AGREE)
            bounds = [answer["lo_80"][row], answer["hi_80"][row]]
            assert bounds == pytest.approx(step["intervals"]["80"], abs=AGREE)


def test_seeding_a_batch_is_seeding_each_series_with_its_rows(service: Service) -> None:
    answer = service.post(
        "/seed-state/batch",
        unique_id=["s", "t", "s", "bad", "s", "t", "mixed", "mixed"],
        y=[1.0, 10.0, 2.0, "x", 4.0, 12.0, 1.0, 2.0],
        ds=[1, None, 2, None, 3, None, 1, "2024-01-01"],
    )

    assert answer["unique_id"] == ["s", "t", "bad", "mixed"]
    assert answer["status"] == ["applied", "applied", "not-valid", "not-valid"]
    assert answer["step"] == [3, 2, None, None]
    service.post("/seed-state", unique_id="alone", y=[1.0, 2.0, 4.0], ds=[1, 2, 3])
    alone = service.client.get("/series/alone").json()
    together = service.client.get("/series/s").json()
    assert together["next"]["mean"] == pytest.approx(alone["next"]["mean"], abs=AGREE)
    assert service.client.get("/series/bad").status_code == 404


def test_a_seeded_history_with_a_fault_leaves_its_series_as_it_was(service: Service) -> None:
    service.post("/seed-state", unique_id="u", y=[1.0, 2.0], ds=[1, 2])
    before = service.records()

    answer = service.post("/seed-state/batch", unique_id=["u", "u"], y=[5.0, 6.0], ds=[2, 1])

    assert answer["status"] == ["out-of-order"]
    assert service.records() == before


def test_many_series_go_through_more_than_one_block(service: Service) -> None:
    ids = [f"m{number}" for number in range(5000)]
    values = np.arange(5000.0).tolist()

    for step in (1, 2, 3):
        answer = service.post("/observe/batch", unique_id=ids, y=values)
        assert answer["step"] == [step] * 5000

    assert answer["unique_id"] == ids
    assert set(answer["status"]) == {"applied"}


def test_too_many_rows_are_refused(service: Service) -> None:
    problem = service.refused("/forecast/batch", 422, unique_id=["a"] * 200, h=1000)

    assert "split the call" in problem["detail"]


@pytest.mark.parametrize("path", ["/observe/batch", "/forecast/batch", "/seed-state/batch"])
@pytest.mark.parametrize("body", ["[1]", "5", "null", '"x"', '[["unique_id", ["a"]], ["y", [1]]]'])
def test_a_body_that_is_no_object_is_refused(service: Service, path: str, body: str) -> None:
    """Pairs were once taken for an object, and other bodies answered with 500."""
    before = service.records()

    answer = service.client.post(path, content=body, headers={"content-type": "application/json"})

    service.problem(answer, 422)
    assert service.records() == before


def test_a_name_that_is_none_is_nobodys(service: Service) -> None:
    """It was once given the name `-`, and answered with the forecast of the series of that name."""
    service.post("/seed-state", unique_id="-", y=[1.0, 2.0, 4.0])

    forecast = service.post("/forecast/batch", unique_id=[5, "-"])
    seeded = service.post("/seed-state/batch", unique_id=["-", 7, "-"], y=[1.0, 2.0, 3.0])

    assert forecast["status"] == ["not-valid", "ok"]
    assert forecast["unique_id"] == [None, "-"]
    assert seeded["status"] == ["applied", "not-valid"]
    assert seeded["step"] == [2, None]


def test_a_seed_never_erases_what_was_observed_meanwhile(service: Service) -> None:
    """A long seed gives way to others; one that landed late once overwrote what they had done."""
    history = History(np.arange(5000.0), np.zeros(5000, np.int64))
    short = History(np.array([1.0, 2.0, 3.0]), np.zeros(3, np.int64))
    plain = service.services.get("plain")

    async def race() -> tuple[object, Observed]:
        slow = asyncio.create_task(plain.seed("race", history))
        await asyncio.sleep(0)
        await plain.seed("race", short)
        observed = await plain.observe("race", 4.0, 0, Clock.NONE)
        return (await asyncio.gather(slow, return_exceptions=True))[0], observed

    assert service.client.portal is not None
    lost, observed = service.client.portal.call(race)

    assert isinstance(lost, ConflictError)
    assert observed.step == 4
    assert service.client.get("/series/race").json()["step"] == 4

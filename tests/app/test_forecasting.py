"""Observe, forecast, seed and reset over HTTP give what the `Forecaster` gives."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forecaster import artifact
from forecaster.forecaster import Forecaster
from forecaster.head import interval_levels
from tests.app.conftest import TRAINED
from tests.app.running import Service, running

Y = (1.0, 2.5, 2.0, 4.0, 3.0)
LEVELS = [bound for level in (80, 95) for bound in interval_levels(level)]

# What two engines may differ by after some steps, in the units of the values.
TOLERANCE = 1e-4


@pytest.fixture(params=["numpy", pytest.param("keras", marks=pytest.mark.slow)])
def any_engine(request: pytest.FixtureRequest, models: Path) -> Iterator[Service]:
    with running(models, model="plain", start="empty", engine=request.param) as service:
        yield service


@pytest.fixture(scope="session")
def reference(models: Path) -> Forecaster:
    """The plain model stepped by NumPy, without a service."""
    return artifact.load(models / "plain").forecaster


def observe_all(service: Service, unique_id: str, y: tuple[float, ...] = Y) -> Any:
    """Observe values one by one and return the last answer."""
    return [service.post("/observe", unique_id=unique_id, y=value) for value in y][-1]


def assert_is_next(step: Any, forecaster: Forecaster, y: tuple[float, ...]) -> None:
    """Check the forecast of the value after `y`."""
    expected = forecaster.forecast(forecaster.seed([np.array(y)]), levels=LEVELS)
    bounds = expected.quantiles[0, 0]
    assert step["step"] == len(y) + 1
    assert step["mean"] == pytest.approx(expected.mean[0, 0], abs=TOLERANCE)
    assert step["intervals"].keys() == {"80", "95"}
    assert step["intervals"]["80"] == pytest.approx(bounds[:2], abs=TOLERANCE)
    assert step["intervals"]["95"] == pytest.approx(bounds[2:], abs=TOLERANCE)
    assert step["quantiles"] == {}


# Observe


def test_an_observation_is_answered_with_the_forecast_of_the_next(
    any_engine: Service, reference: Forecaster
) -> None:
    for count in range(2, len(Y) + 1):
        answer = observe_all(any_engine, f"after-{count}", Y[:count])

        assert answer["unique_id"] == f"after-{count}"
        assert answer["step"] == count
        assert answer["status"] == "applied"
        assert_is_next(answer["next"], reference, Y[:count])


def test_the_error_is_the_actual_minus_the_forecast_that_stood(any_engine: Service) -> None:
    standing = observe_all(any_engine, "a")["next"]["mean"]

    answer = any_engine.post("/observe", unique_id="a", y=10.0)

    assert answer["error"] == 10.0 - standing


def test_a_series_has_neither_forecast_nor_error_until_it_is_warm(service: Service) -> None:
    first = service.post("/observe", unique_id="a", y=1.0)
    second = service.post("/observe", unique_id="a", y=2.0)

    assert (first["next"], first["error"]) == (None, None)
    assert second["error"] is None
    assert second["next"] is not None


def test_a_missing_value_steps_with_the_forecast_and_is_not_scored(service: Service) -> None:
    standing = observe_all(service, "a")["next"]["mean"]
    observe_all(service, "b")

    missing = service.post("/observe", unique_id="a", y=None)
    given = service.post("/observe", unique_id="b", y=standing)

    assert (missing["step"], missing["error"]) == (len(Y) + 1, None)
    assert missing["next"] == given["next"]
    scored = [service.client.get(f"/series/{one}").json()["scores"]["scored"] for one in "ab"]
    assert scored == [len(Y) - 2, len(Y) - 1]


def test_a_missing_value_before_the_first_forecast_is_refused(service: Service) -> None:
    new = service.refused("/observe", 409, unique_id="a", y=None)
    service.post("/observe", unique_id="a", y=1.0)
    cold = service.refused("/observe", 409, unique_id="a", y=None)

    assert (new["step"], new["missing"]) == (0, 2)
    assert (cold["step"], cold["missing"]) == (1, 1)


def test_the_same_observation_again_changes_nothing_and_answers_as_before(
    service: Service,
) -> None:
    for day, y in enumerate(Y, start=1):
        body = {"unique_id": "a", "model": "daily", "y": y, "ds": f"2024-01-0{day}"}
        first = service.post("/observe", **body)
    records = service.records()

    again = service.post("/observe", **body)
    late_retry = service.post("/observe", **body, expected_step=len(Y) - 1)

    assert again == first | {"status": "duplicate"}
    assert late_retry == again
    assert service.records() == records


def test_the_same_missing_value_again_is_a_duplicate(service: Service) -> None:
    for day, y in enumerate((1.0, 2.0, None), start=1):
        body = {"unique_id": "a", "model": "counted", "y": y, "ds": day}
        first = service.post("/observe", **body)

    again = service.post("/observe", **body)

    assert again == first | {"status": "duplicate"}


def test_without_ds_equal_values_are_observations_of_their_own(service: Service) -> None:
    service.post("/observe", unique_id="a", y=1.0)

    answer = service.post("/observe", unique_id="a", y=1.0)

    assert (answer["status"], answer["step"], answer["ds"]) == ("applied", 2, None)


def test_another_value_for_the_same_ds_is_a_conflict(service: Service) -> None:
    service.post("/observe", unique_id="a", y=1.0, ds="2024-01-01T00:00:00+02:00")

    other = service.refused("/observe", 409, unique_id="a", y=2.0, ds="2023-12-31T22:00:00Z")
    null = service.refused("/observe", 409, unique_id="a", y=None, ds="2023-12-31T22:00:00Z")

    assert other["type"] == null["type"] == "urn:stepcast:conflicting-observation"
    assert (other["step"], other["ds"]) == (1, "2023-12-31T22:00:00Z")


def test_an_older_observation_is_out_of_order(service: Service) -> None:
    service.post("/observe", unique_id="a", y=1.0, ds=7)

    problem = service.refused("/observe", 409, unique_id="a", y=1.0, ds=6)

    assert problem["type"] == "urn:stepcast:out-of-order"
    assert (problem["step"], problem["ds"]) == (1, 7)


@pytest.mark.parametrize("ds", [None, "2024-01-02"])
def test_a_series_keeps_its_kind_of_time(service: Service, ds: str | None) -> None:
    service.post("/observe", unique_id="a", y=1.0, ds=1)

    problem = service.refused("/observe", 409, unique_id="a", y=1.0, ds=ds)

    assert problem["type"] == "urn:stepcast:another-kind-of-time"


def test_expected_step_holds_an_observation_to_one_place(service: Service) -> None:
    service.post("/observe", unique_id="a", y=1.0, expected_step=0)

    problem = service.refused("/observe", 412, unique_id="a", y=2.0, expected_step=0)
    answer = service.post("/observe", unique_id="a", y=2.0, expected_step=1)

    assert problem["step"] == 1
    assert answer["step"] == 2


# Gaps against the model's freq


def observe_around_a_gap(service: Service) -> Any:
    """Observe three days, leave two out, and return the answer to the sixth."""
    for day, y in enumerate(Y[:3], start=1):
        service.post("/observe", unique_id="a", model="daily", y=y, ds=f"2024-01-0{day}")
    return service.client.post(
        "/observe", json={"unique_id": "a", "model": "daily", "y": 4.0, "ds": "2024-01-06"}
    )


def test_a_gap_is_refused_by_default(service: Service) -> None:
    answer = observe_around_a_gap(service)

    problem = service.problem(answer, 409)
    assert problem["type"] == "urn:stepcast:gap"
    assert (problem["step"], problem["ds"]) == (3, "2024-01-03T00:00:00Z")
    assert "2024-01-04T00:00:00Z comes next" in problem["detail"]


def test_a_skipped_gap_is_taken_as_the_next_step(models: Path) -> None:
    with running(models, model="daily", start="empty", on_gap="skip") as service:
        answer = observe_around_a_gap(service).json()

        assert (answer["step"], answer["ds"]) == (4, "2024-01-06T00:00:00Z")
        assert answer["next"]["ds"] == "2024-01-07T00:00:00Z"
        assert_is_next(answer["next"], service.forecaster(), (*Y[:3], 4.0))


def test_a_filled_gap_is_stepped_with_the_models_own_forecasts(models: Path) -> None:
    with running(models, model="daily", start="empty", on_gap="fill") as service:
        answer = observe_around_a_gap(service).json()

        assert (answer["step"], answer["ds"]) == (6, "2024-01-06T00:00:00Z")
        nan = float("nan")
        assert_is_next(answer["next"], service.forecaster(), (*Y[:3], nan, nan, 4.0))


# Forecast


def test_a_forecast_is_the_one_that_stands(any_engine: Service, reference: Forecaster) -> None:
    standing = observe_all(any_engine, "a")["next"]

    answer = any_engine.post("/forecast", unique_id="a")

    assert answer == {"unique_id": "a", "step": len(Y), "model": "plain", "forecasts": [standing]}
    assert_is_next(standing, reference, Y)


def test_forecasting_moves_nothing(any_engine: Service) -> None:
    observe_all(any_engine, "a")
    records = any_engine.records()

    answers = [any_engine.post("/forecast", unique_id="a", h=3) for _ in range(3)]

    assert answers[0] == answers[1] == answers[2]
    assert any_engine.records() == records


def test_several_steps_are_forecast_with_the_levels_and_quantiles_asked_for(
    any_engine: Service, reference: Forecaster
) -> None:
    observe_all(any_engine, "a")
    expected = reference.forecast(
        reference.seed([np.array(Y)]), 6, [*interval_levels(50), *interval_levels(99.5), 0.9, 0.1]
    )

    answer = any_engine.post(
        "/forecast", unique_id="a", h=6, level=[50, 99.5], quantiles=[0.9, 0.1]
    )

    forecasts = answer["forecasts"]
    assert [one["step"] for one in forecasts] == [6, 7, 8, 9, 10, 11]
    for t, one in enumerate(forecasts):
        quantiles = expected.quantiles[0, t]
        assert one["mean"] == pytest.approx(expected.mean[0, t], abs=TOLERANCE)
        assert one["intervals"]["50"] == pytest.approx(quantiles[:2], abs=TOLERANCE)
        assert one["intervals"]["99.5"] == pytest.approx(quantiles[2:4], abs=TOLERANCE)
        assert one["quantiles"]["0.9"] == pytest.approx(quantiles[4], abs=TOLERANCE)
        assert one["quantiles"]["0.1"] == pytest.approx(quantiles[5], abs=TOLERANCE)


def test_every_level_is_answered_under_its_own_name(service: Service) -> None:
    """Names were once rounded to six digits, so close levels took each other's place."""
    answer = service.post(
        "/forecast", y=Y, level=[80.0, 80.00001], quantiles=[0.5, 0.12345678, 0.001]
    )

    assert answer["forecasts"][0]["intervals"].keys() == {"80", "80.00001"}
    assert answer["forecasts"][0]["quantiles"].keys() == {"0.5", "0.12345678", "0.001"}


def test_no_intervals_come_where_none_are_asked_for(service: Service) -> None:
    answer = service.post("/forecast", y=Y, level=[])

    assert answer["forecasts"][0]["intervals"] == {}


def test_a_forecast_of_a_cold_series_says_how_many_observations_are_missing(
    service: Service,
) -> None:
    service.post("/observe", unique_id="a", y=1.0)

    problem = service.refused("/forecast", 409, unique_id="a")

    assert problem["type"] == "urn:stepcast:series-not-warm-yet"
    assert (problem["step"], problem["missing"]) == (1, 1)


@pytest.mark.parametrize(
    ("model", "first", "following"),
    [
        ("plain", ["2024-02-27", "2024-02-28"], [None, None, None]),
        ("plain", [10, 20], [None, None, None]),
        (
            "daily",
            ["2024-02-27T18:00:00+03:00", "2024-02-28T15:00:00Z"],
            ["2024-02-29T15:00:00Z", "2024-03-01T15:00:00Z", "2024-03-02T15:00:00Z"],
        ),
        ("counted", [-1, 0], [1, 2, 3]),
    ],
)
def test_forecasts_have_a_ds_where_the_model_has_a_freq(
    service: Service, model: str, first: list[str | int], following: list[str | int | None]
) -> None:
    answer = service.post("/forecast", model=model, y=[1.0, 2.0], ds=first, h=3)

    assert [one["ds"] for one in answer["forecasts"]] == following


def test_a_series_without_ds_has_none_even_where_the_model_has_a_freq(service: Service) -> None:
    answer = service.post("/seed-state", unique_id="a", model="daily", y=Y)

    assert answer["ds"] is None
    assert answer["next"]["ds"] is None


def test_a_history_that_is_sent_along_is_forecast_and_not_stored(any_engine: Service) -> None:
    observe_all(any_engine, "a")
    stored = any_engine.post("/forecast", unique_id="a", h=5)
    records = any_engine.records()

    inline = any_engine.post("/forecast", y=Y, h=5)

    assert inline["unique_id"] is None
    for ours, theirs in zip(inline["forecasts"], stored["forecasts"], strict=True):
        assert ours["mean"] == pytest.approx(theirs["mean"], abs=TOLERANCE)
    assert any_engine.records() == records


# Seed


def test_seeding_is_observing_one_by_one(any_engine: Service, reference: Forecaster) -> None:
    observed = observe_all(any_engine, "observed")

    seeded = any_engine.post("/seed-state", unique_id="seeded", y=Y)

    assert (seeded["unique_id"], seeded["step"], seeded["ds"]) == ("seeded", len(Y), None)
    assert seeded["next"]["mean"] == pytest.approx(observed["next"]["mean"], abs=TOLERANCE)
    assert_is_next(seeded["next"], reference, Y)


def test_seeding_with_times_is_observing_with_them(service: Service) -> None:
    days = [f"2024-01-0{day}" for day in range(1, 6)]
    for ds, y in zip(days, Y, strict=True):
        observed = service.post("/observe", unique_id="observed", model="daily", y=y, ds=ds)

    seeded = service.post("/seed-state", unique_id="seeded", model="daily", y=Y, ds=days)

    assert seeded["ds"] == "2024-01-05T00:00:00Z"
    assert seeded["next"] == observed["next"]
    records = service.records()
    assert records["daily", "seeded"] == records["daily", "observed"]


def test_seeding_begins_a_series_anew(service: Service) -> None:
    service.post("/seed-state", unique_id="a", y=[9.0, 8.0, 7.0], ds=[1, 2, 3])
    service.post("/seed-state", unique_id="new", y=Y)

    answer = service.post("/seed-state", unique_id="a", y=Y)

    assert answer["step"] == len(Y)
    records = service.records()
    assert records["plain", "a"] == records["plain", "new"]


def test_a_seed_may_have_missing_values_once_it_is_warm(service: Service) -> None:
    answer = service.post("/seed-state", unique_id="a", y=[1.0, 2.0, None, 3.0])
    problem = service.refused("/seed-state", 409, unique_id="a", y=[1.0, None, 3.0])

    assert_is_next(answer["next"], service.forecaster(), (1.0, 2.0, float("nan"), 3.0))
    assert problem["missing"] == 1


@pytest.mark.parametrize(
    ("ds", "kind"),
    [
        ([1, 2, 1], "out-of-order"),
        ([1, 2, 2], "out-of-order"),
        ([1, 2, 4], "gap"),
        (["2024-01-01", "2024-01-02", "2024-01-03"], "another-kind-of-time"),
    ],
)
def test_a_seed_is_held_to_the_rules_of_observations(
    service: Service, ds: list[int | str], kind: str
) -> None:
    problem = service.refused(
        "/seed-state", 409, unique_id="a", model="counted", y=[1.0, 2.0, 3.0], ds=ds
    )

    assert problem["type"] == f"urn:stepcast:{kind}"


def test_a_copy_goes_its_own_way(any_engine: Service) -> None:
    original = observe_all(any_engine, "a")
    copy = any_engine.post("/seed-state", unique_id="b", copy_from="a")
    records = any_engine.records()

    any_engine.post("/observe", unique_id="b", y=-3.0)

    assert copy["next"] == original["next"]
    assert records["plain", "a"] == records["plain", "b"]
    assert any_engine.records()["plain", "a"] == records["plain", "a"]


def test_a_series_starts_where_training_left_it(service: Service) -> None:
    answer = service.post("/seed-state", unique_id="trained", model="daily", **{"from": "training"})

    assert (answer["step"], answer["ds"]) == (len(TRAINED), "2020-01-04T00:00:00Z")
    assert_is_next(answer["next"], service.forecaster("daily"), TRAINED)
    problem = service.refused("/seed-state", 422, unique_id="a", **{"from": "training"})
    assert "was not trained on a series 'a'" in problem["detail"]


# Reset


def test_reset_zeroes_the_state_and_keeps_the_tail(
    any_engine: Service, reference: Forecaster
) -> None:
    observe_all(any_engine, "a")
    expected = reference.forecast(reference.reset(reference.seed([np.array(Y)])))

    answer = any_engine.post("/reset-state", unique_id="a")

    assert answer == {"reset": 1}
    forecast = any_engine.post("/forecast", unique_id="a")
    assert forecast["step"] == len(Y)
    assert forecast["forecasts"][0]["mean"] == pytest.approx(expected.mean[0, 0], abs=TOLERANCE)
    assert any_engine.post("/observe", unique_id="a", y=1.0)["step"] == len(Y) + 1


def test_reset_leaves_other_series_alone(service: Service) -> None:
    observe_all(service, "a")
    observe_all(service, "b")
    records = service.records()

    service.post("/reset-state", unique_id="a")

    after = service.records()
    assert after["plain", "a"] != records["plain", "a"]
    assert after["plain", "b"] == records["plain", "b"]


def test_all_series_of_a_model_are_reset_at_once(service: Service) -> None:
    for unique_id in ("alone", "a", "b", "cold"):
        observe_all(service, unique_id, Y[:1] if unique_id == "cold" else Y)
    other = service.post("/seed-state", unique_id="a", model="daily", y=Y)
    service.post("/reset-state", unique_id="alone")

    answer = service.post("/reset-state", all=True)

    assert answer == {"reset": 4}
    records = service.records()
    assert records["plain", "a"] == records["plain", "b"] == records["plain", "alone"]
    forecast = service.post("/forecast", unique_id="a", model="daily")
    assert forecast["forecasts"] == [other["next"]]


def test_resetting_all_of_no_series_resets_none(service: Service) -> None:
    assert service.post("/reset-state", all=True) == {"reset": 0}


# Many series


def test_interleaving_series_changes_nothing(service: Service) -> None:
    for number in range(5):
        observe_all(service, f"alone-{number}", tuple(y * number for y in Y))

    for y in Y:
        for number in range(5):
            service.post("/observe", unique_id=f"mixed-{number}", y=y * number)

    records = service.records()
    for number in range(5):
        assert records["plain", f"mixed-{number}"] == records["plain", f"alone-{number}"]


def test_models_keep_series_of_the_same_name_apart(service: Service) -> None:
    observe_all(service, "a")
    records = service.records()

    service.post("/observe", unique_id="a", model="daily", y=1.0)

    after = service.records()
    assert after["plain", "a"] == records["plain", "a"]
    assert after.keys() == {("plain", "a"), ("daily", "a")}


def test_series_are_as_many_as_are_observed(service: Service) -> None:
    """The 65th series once met a store that had room for 64 and did not look again."""
    for number in range(200):
        service.post("/observe", unique_id=f"{number}", y=float(number))

    assert len(service.records()) == 200

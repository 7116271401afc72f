"""Times over HTTP: zones, calendars over their edges, and what is left out of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.app.running import Service, running
from tests.forecaster.fakes import write_model


@contextmanager
def serving(folder: Path, freq: str | None, **settings: Any) -> Iterator[Service]:
    """Yield a service of one model with this frequency."""
    write_model(folder / "models" / "timed", freq=freq)
    with running(folder / "models", start="empty", **settings) as service:
        yield service


def observe(service: Service, *times: str, y: float = 1.0) -> Any:
    """Observe a value at each time, one more each, and return the last answer."""
    return [
        service.post("/observe", unique_id="a", y=y + number, ds=ds)
        for number, ds in enumerate(times)
    ][-1]


# Zones


@pytest.mark.parametrize(
    ("ds", "shown"),
    [
        ("2024-01-01", "2024-01-01T00:00:00Z"),
        ("2024-01-01T06:30", "2024-01-01T06:30:00Z"),
        ("2024-01-01 06:30:00", "2024-01-01T06:30:00Z"),
        ("2024-01-01T06:30:00Z", "2024-01-01T06:30:00Z"),
        ("2024-01-01T06:30:00z", "2024-01-01T06:30:00Z"),
        ("2024-01-01T06:30:00+00:00", "2024-01-01T06:30:00Z"),
        ("2024-01-01T06:30:00-00:00", "2024-01-01T06:30:00Z"),
        ("2024-01-01T01:30:00+02:00", "2023-12-31T23:30:00Z"),
        ("2023-12-31T23:30:00-02:30", "2024-01-01T02:00:00Z"),
        ("2024-01-01T06:30:00+05:45", "2024-01-01T00:45:00Z"),
        ("2024-01-01T14:00:00+1400", "2024-01-01T00:00:00Z"),
        ("2024-02-29T23:59:59.999999-12:00", "2024-03-01T11:59:59.999999Z"),
        ("1969-12-31T23:00:00.25-01:00", "1970-01-01T00:00:00.250000Z"),
        ("0001-01-01", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59.999999", "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_a_time_is_kept_and_answered_in_utc(service: Service, ds: str, shown: str) -> None:
    answer = observe(service, ds)

    assert answer["ds"] == shown
    assert service.client.get("/series/a").json()["ds"] == shown


def test_the_same_instant_in_another_zone_is_a_duplicate(service: Service) -> None:
    first = service.post("/observe", unique_id="a", y=1.0, ds="2024-03-31T02:30:00+02:00")

    for ds in ("2024-03-31T00:30:00Z", "2024-03-31T00:30", "2024-03-30T19:30:00-05:00"):
        assert service.post("/observe", unique_id="a", y=1.0, ds=ds) == first | {
            "status": "duplicate"
        }


def test_order_is_that_of_instants_and_not_of_clocks_on_walls(service: Service) -> None:
    observe(service, "2024-01-01T12:00:00+00:00")

    service.refused("/observe", 409, unique_id="a", y=2.0, ds="2024-01-01T13:00:00+02:00")
    answer = service.post("/observe", unique_id="a", y=2.0, ds="2024-01-01T11:00:00-02:00")

    assert (answer["step"], answer["ds"]) == (2, "2024-01-01T13:00:00Z")


def test_the_hour_that_comes_twice_in_autumn_is_two_hours(tmp_path: Path) -> None:
    with serving(tmp_path, "h") as service:
        answer = observe(
            service,
            "2024-10-27T01:00:00+02:00",
            "2024-10-27T02:00:00+02:00",
            "2024-10-27T02:00:00+01:00",
            "2024-10-27T03:00:00+01:00",
        )

        assert (answer["step"], answer["ds"]) == (4, "2024-10-27T02:00:00Z")
        assert answer["next"]["ds"] == "2024-10-27T03:00:00Z"


def test_the_hour_that_is_left_out_in_spring_is_no_gap(tmp_path: Path) -> None:
    with serving(tmp_path, "h") as service:
        answer = observe(service, "2024-03-31T01:00:00+01:00", "2024-03-31T03:00:00+02:00")

        assert (answer["step"], answer["next"]["ds"]) == (2, "2024-03-31T02:00:00Z")


def test_a_day_of_23_hours_is_no_step_of_days(tmp_path: Path) -> None:
    """Midnights of a place that shifts its clocks are no days in UTC; dates alone are."""
    with serving(tmp_path, "D") as service:
        observe(service, "2024-03-30T00:00:00+01:00", "2024-03-31T00:00:00+01:00")

        body = {"unique_id": "a", "y": 3.0, "ds": "2024-04-01T00:00:00+02:00"}
        problem = service.refused("/observe", 409, **body)

        assert problem["detail"] == (
            "2024-03-31T22:00:00Z is between two steps; the next is 2024-03-31T23:00:00Z"
        )


def test_the_end_of_a_month_is_that_of_utc(tmp_path: Path) -> None:
    with serving(tmp_path, "ME") as service:
        body = {"unique_id": "a", "y": 1.0, "ds": "2024-01-31T00:00:00+02:00"}
        problem = service.refused("/observe", 409, **body)
        answer = service.post("/observe", **body | {"ds": "2024-02-01T00:00:00+02:00"})

        assert "2024-01-30T22:00:00Z is between two steps" in problem["detail"]
        assert answer["ds"] == "2024-01-31T22:00:00Z"


# Calendars

SERIES = {
    "ME over February in a leap year": ("ME", ["2024-01-31", "2024-02-29", "2024-03-31"]),
    "ME over February": ("ME", ["2023-01-31", "2023-02-28", "2023-03-31"]),
    "ME over February of 1900": ("ME", ["1900-01-31", "1900-02-28", "1900-03-31"]),
    "ME over new year": ("ME", ["2023-11-30", "2023-12-31", "2024-01-31"]),
    "2ME": ("2ME", ["2023-12-31", "2024-02-29", "2024-04-30"]),
    "MS": ("MS", ["2024-01-01", "2024-02-01", "2024-03-01"]),
    "B over a weekend": ("B", ["2024-02-29", "2024-03-01", "2024-03-04"]),
    "B over new year": ("B", ["2022-12-29", "2022-12-30", "2023-01-02"]),
    "15min over midnight and new year": (
        "15min",
        ["2023-12-31T23:30", "2023-12-31T23:45", "2024-01-01T00:00"],
    ),
    "D over February in a leap year": ("D", ["2024-02-28", "2024-02-29", "2024-03-01"]),
    "W-SUN over new year": ("W-SUN", ["2023-12-24", "2023-12-31", "2024-01-07"]),
    "W from a Wednesday": ("W", ["2023-12-27", "2024-01-03", "2024-01-10"]),
    "QE-FEB": ("QE-FEB", ["2023-11-30", "2024-02-29", "2024-05-31"]),
    "QS from February": ("QS", ["2023-11-01", "2024-02-01", "2024-05-01"]),
    "YE-FEB": ("YE-FEB", ["2023-02-28", "2024-02-29", "2025-02-28"]),
    "YS before 1970": ("YS", ["1968-01-01", "1969-01-01", "1970-01-01"]),
}


def shown(ds: str) -> str:
    return f"{ds}:00Z" if "T" in ds else f"{ds}T00:00:00Z"


@pytest.fixture(params=list(SERIES.values()), ids=list(SERIES))
def series(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_each_time_is_the_one_that_was_forecast(
    series: tuple[str, list[str]], tmp_path: Path
) -> None:
    freq, times = series
    with serving(tmp_path, freq) as service:
        for step, ds in enumerate(times[:2], start=1):
            answer = service.post("/observe", unique_id="a", y=1.0 * step, ds=ds)
        ahead = service.post("/forecast", unique_id="a", h=2)
        inline = service.post("/forecast", y=[1.0, 2.0], ds=times[:2], h=2)
        last = service.post("/observe", unique_id="a", y=3.0, ds=times[2])

        assert answer["next"]["ds"] == shown(times[2])
        assert [one["ds"] for one in ahead["forecasts"]] == [shown(times[2]), last["next"]["ds"]]
        assert inline["forecasts"] == ahead["forecasts"]
        assert (last["step"], last["ds"]) == (3, shown(times[2]))


@pytest.mark.parametrize(("on_gap", "step"), [("reject", None), ("skip", 4), ("fill", 5)])
def test_a_time_left_out_is_told_from_one_that_was_not_due(
    series: tuple[str, list[str]], tmp_path: Path, on_gap: str, step: int | None
) -> None:
    """A weekend is no gap in business days, and a business day left out is one."""
    freq, times = series
    with serving(tmp_path, freq, on_gap=on_gap) as service:
        last = observe(service, *times)
        due = last["next"]["ds"]
        late = service.post("/forecast", unique_id="a", h=2)["forecasts"][1]["ds"]
        answer = service.client.post("/observe", json={"unique_id": "a", "y": 4.0, "ds": late})

        if step is None:
            detail = service.problem(answer, 409)["detail"]
            assert detail.startswith(f"{due} comes next, this is {late}")
        else:
            assert (answer.status_code, answer.json()["step"]) == (200, step)
            assert answer.json()["ds"] == late


def test_a_history_may_come_in_one_piece(series: tuple[str, list[str]], tmp_path: Path) -> None:
    freq, times = series
    with serving(tmp_path, freq) as service:
        observed = observe(service, *times)
        seeded = service.post("/seed-state", unique_id="b", y=[1.0, 2.0, 3.0], ds=times)
        batch = service.post(
            "/observe/batch", unique_id=["c"] * 3, y=[1.0, 2.0, 3.0], ds=times, level=[80]
        )

        assert seeded["ds"] == observed["ds"]
        assert seeded["next"] == observed["next"]
        assert batch["status"] == ["applied"] * 3
        assert batch["ds"] == [shown(ds) for ds in times]


@pytest.mark.parametrize(
    ("freq", "ds"),
    [
        ("ME", "2024-02-28"),
        ("ME", "2023-02-27"),
        ("MS", "2024-02-02"),
        ("B", "2024-03-02"),
        ("W-SUN", "2024-03-06"),
        ("QE-FEB", "2024-03-31"),
        ("QS-FEB", "2024-01-01"),
        ("YS-APR", "2024-01-01"),
        ("YE-JUN", "2024-12-31"),
    ],
)
def test_a_series_does_not_begin_between_two_steps(tmp_path: Path, freq: str, ds: str) -> None:
    with serving(tmp_path, freq) as service:
        problem = service.refused("/observe", 409, unique_id="a", y=1.0, ds=ds)

        assert problem["type"] == "urn:stepcast:gap"
        assert "is between two steps of the model's freq" in problem["detail"]


# The ends of time


@pytest.mark.parametrize(
    ("freq", "times"),
    [
        ("D", ["9999-12-30", "9999-12-31"]),
        ("B", ["9999-12-30", "9999-12-31"]),
        ("W-FRI", ["9999-12-24", "9999-12-31"]),
        ("ME", ["9999-11-30", "9999-12-31"]),
        ("QE", ["9999-09-30", "9999-12-31"]),
        ("YE", ["9998-12-31", "9999-12-31"]),
        ("999999YE", ["9998-12-31", "9999-12-31"]),
        ("999999D", ["9999-12-30", "9999-12-31"]),
        ("999999B", ["9999-12-30", "9999-12-31"]),
    ],
)
def test_a_forecast_past_year_9999_has_no_time(tmp_path: Path, freq: str, times: list[str]) -> None:
    """Years of five digits are no ISO 8601, and nothing could be observed there."""
    with serving(tmp_path, freq, on_gap="skip") as service:
        observed = observe(service, *times)
        kept = service.post("/forecast", unique_id="a", h=3)
        batch = service.post("/forecast/batch", unique_id=["a"], h=3)
        inline = service.post("/forecast", y=[1.0, 2.0], ds=times, h=1000)

        assert (observed["ds"], observed["next"]["ds"]) == ("9999-12-31T00:00:00Z", None)
        assert [one["ds"] for one in kept["forecasts"]] == batch["ds"] == [None] * 3
        assert {one["ds"] for one in inline["forecasts"]} == {None}


def test_an_observation_after_the_last_step_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path, "ME") as service:
        observe(service, "9999-11-30", "9999-12-31")

        service.refused("/observe", 409, unique_id="a", y=3.0, ds="9999-12-31T12:00")


@pytest.mark.parametrize(
    "ds",
    [
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "10000-01-01",
        "0000-01-01",
        "-0001-01-01",
        "2023-02-29",
        "1900-02-29",
        "2024-04-31",
        "2024-13-01",
        "2024-01-01T25:00",
        "2024-01-01T00:00:60",
        "2024-01-01T00:00+24:00",
        "2024-01-01T00:00:00[Europe/Berlin]",
        "2024-W01-1",
        "2024-01",
    ],
)
def test_a_time_that_is_none_or_of_another_age_is_not_valid(service: Service, ds: str) -> None:
    service.refused("/observe", 422, unique_id="a", y=1.0, ds=ds)

"""The client against a service that runs as a process of its own."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from inspect import signature
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecaster.spec import Covariate, Kind
from stepcast.client import (
    AsyncClient,
    Client,
    ConflictError,
    InvalidError,
    NotAllowedError,
    NotFoundError,
    PreconditionFailedError,
    Retries,
    UnreachableError,
)
from stepcast.client.calls import Calls
from stepcast.client.frames import columns_of
from tests.app.running import Process, serving
from tests.forecaster.fakes import write_model

TODAY = datetime(2024, 1, 2, tzinfo=UTC)
# What the model `told` knows besides the values; one is called as a column of histories is.
COVARIATES = (
    Covariate(name="temp", kind=Kind.PAST),
    Covariate(name="wind", kind=Kind.PAST, categories=("N", "S")),
    Covariate(name="promo", kind=Kind.FUTURE),
    Covariate(name="open", kind=Kind.FUTURE, categories=("False", "True")),
    Covariate(name="step", kind=Kind.STATIC, mean=10.0, scale=4.0),
)
NAMES = [one.name for one in COVARIATES]
# Names that a path has other meanings for.
ODD_NAMES = [".", "..", "a/b", "a/history", "a?b#c", "100%", "ä 漢"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of every day and of no frequency; a forecast needs two observations."""
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / "daily", freq="D", states={"trained": (3.0, 4.0, 2.5, 3.5)})
    write_model(folder / "plain", seed=1)
    write_model(folder / "told", freq="D", covariates=COVARIATES, seed=2)
    return folder


@pytest.fixture(scope="module")
def process(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    store = tmp_path_factory.mktemp("store") / "series.db"
    variables = {"STEPCAST_STORE": f"sqlite:///{store}", "STEPCAST_MODEL": "daily"}
    with serving("--models", str(models), variables=variables) as process:
        yield process


@pytest.fixture
def client(process: Process) -> Iterator[Client]:
    """A client of a service that keeps nothing."""
    with Client(process.url) as client:
        for model in ("daily", "plain", "told"):
            with Client(process.url, model=model) as cleaner:
                for one in cleaner.series().series:
                    cleaner.delete(one.unique_id)
        yield client


def table(count: int = 5) -> pd.DataFrame:
    """Two series of so many days."""
    days = pd.date_range("2024-01-01", periods=count)
    return pd.DataFrame(
        {
            "unique_id": ["a", "b"] * count,
            "ds": days.repeat(2),
            "y": np.sin(np.arange(2 * count)) + 10,
        }
    )


class Cutting(httpx.HTTPTransport):
    """Sends calls, and loses the answers to the first of them.

    Args:
        lost: How many answers are lost.
    """

    def __init__(self, lost: int = 1) -> None:
        super().__init__()
        self._lost = lost

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = super().handle_request(request)
        if self._lost:
            self._lost -= 1
            answer.read()
            raise httpx.ReadError("the connection broke", request=request)
        return answer


# One series


def test_an_observation_is_answered_with_the_next_forecast(client: Client) -> None:
    first = client.observe_one("a", 3.0, "2024-01-01")
    second = client.observe_one("a", 3.5, date(2024, 1, 2))

    assert (first.status, first.step, first.next) == ("applied", 1, None)
    assert (second.ds, second.step) == (TODAY, 2)
    assert second.next is not None
    assert second.next.ds == datetime(2024, 1, 3, tzinfo=UTC)
    low, high = second.next.intervals["80"]
    assert low < second.next.mean < high


def test_a_forecast_has_what_was_asked_for(client: Client) -> None:
    client.seed_one("a", [3.0, 4.0, 2.5], season=0)

    found = client.forecast_one("a", 2, level=[90], quantiles=np.array([0.9]))

    assert [step.step for step in found.forecasts] == [4, 5]
    assert list(found.forecasts[0].intervals) == ["90"]
    assert list(found.forecasts[0].quantiles) == ["0.9"]
    assert (
        client.forecast_values([3.0, 4.0, 2.5], h=2, season=0).forecasts[0]
        == (client.forecast_one("a").forecasts[0])
    )


def test_a_missing_value_is_one(client: Client) -> None:
    client.seed_one("a", [3.0, 4.0, float("nan"), None])
    client.observe_one("a", np.float64("nan"))

    assert client.observe_one("a", None).step == 6
    assert client.history("a")["y"].isna().tolist() == [False, False, True, True, True, True]


def test_a_series_may_begin_in_every_way(client: Client) -> None:
    days = [date(2024, 1, day) for day in (1, 2, 3)]

    seeded = client.seed_one("a", [1.0, 2.0, 3.0], days)

    assert (seeded.step, seeded.ds) == (3, datetime(2024, 1, 3, tzinfo=UTC))
    assert client.seed_one("b", copy_from="a").next == seeded.next
    assert client.seed_one("trained", from_training=True).step == 4


def test_a_past_value_may_be_corrected(client: Client) -> None:
    for day, y in enumerate([1.0, 2.0, 9.0, 4.0], start=1):
        client.observe_one("a", y, date(2024, 1, day))

    client.observe_one("a", 3.0, date(2024, 1, 3), correct=True)

    assert client.history("a")["y"].tolist() == [1.0, 2.0, 3.0, 4.0]


def test_a_series_may_be_reset_and_deleted(client: Client) -> None:
    client.seed_one("a", [1.0, 2.0, 3.0])
    client.seed_one("b", [1.0, 2.0, 3.0])

    client.reset("a")
    assert client.reset_all() == 2
    client.delete("a")

    assert [one.unique_id for one in client.series().series] == ["b"]
    with pytest.raises(NotFoundError):
        client.status("a")


@pytest.mark.parametrize("name", ODD_NAMES)
def test_any_name_is_that_of_its_own_series(client: Client, name: str) -> None:
    client.observe_one("a", 1.0)
    client.observe_one(name, 1.0)

    assert client.status(name).unique_id == name
    assert client.history(name)["unique_id"].tolist() == [name]
    client.delete(name)
    assert [one.unique_id for one in client.series().series] == ["a"]


def test_series_come_in_pages(client: Client) -> None:
    for name in ("a1", "a2", "a3", "b"):
        client.observe_one(name, 1.0)

    first = client.series(prefix="a", limit=2)
    assert first.after is not None
    second = client.series(prefix="a", limit=2, after=first.after)

    assert [one.unique_id for one in first.series] == ["a1", "a2"]
    assert [one.unique_id for one in second.series] == ["a3"]
    assert second.after is None


def test_a_status_has_scores(client: Client) -> None:
    client.seed(table(8))

    status = client.status("a")

    assert (status.model, status.step, status.scores.scored) == ("daily", 8, 6)
    assert status.scores.mae is not None
    assert status.scores.coverage.keys() == {"80", "95"}


def test_the_service_tells_of_its_models(client: Client) -> None:
    assert client.health().models == ("daily", "plain", "told")
    assert client.models().default == "daily"
    assert [one["freq"] for one in client.models().models] == ["D", None, "D"]


def test_a_client_of_a_model_asks_for_that_one(client: Client, process: Process) -> None:
    with Client(process.url, model="plain") as other:
        other.observe_one("a", 1.0)
        other.observe(pd.DataFrame({"unique_id": ["b"], "y": [1.0]}))

        assert [one.model for one in other.series().series] == ["plain", "plain"]
        assert other.history("a")["step"].tolist() == [1]
        other.delete("a")
    assert client.series().series == ()


# Refusals


def test_a_conflict_says_where_the_series_is(client: Client) -> None:
    client.observe_one("a", 1.0, "2024-01-02")

    with pytest.raises(ConflictError) as caught:
        client.observe_one("a", 1.0, "2024-01-01")

    problem = caught.value.problem
    assert problem is not None
    assert (problem.type, problem.title) == ("urn:stepcast:out-of-order", "Out of order")
    assert (problem.step, problem.ds) == (1, "2024-01-02T00:00:00Z")
    assert str(caught.value).startswith("POST /observe: 409 2024-01-01T00:00:00Z is before")


def test_a_cold_series_says_what_is_missing(client: Client) -> None:
    client.observe_one("a", 1.0)

    with pytest.raises(ConflictError) as caught:
        client.forecast_one("a")

    assert caught.value.problem is not None
    assert caught.value.problem.missing == 1


def test_each_kind_of_refusal_is_an_error_of_its_own(client: Client) -> None:
    client.observe_one("a", 1.0)

    with pytest.raises(NotFoundError, match="no series 'b'"):
        client.forecast_one("b")
    with pytest.raises(PreconditionFailedError, match="the series is at step 1"):
        client.observe_one("a", 1.0, expected_step=7)
    with pytest.raises(InvalidError, match="y: Input should be a finite number"):
        client.observe_one("a", float("inf"))
    with pytest.raises(InvalidError, match="give exactly one of y, copy_from and from"):
        client.seed_one("a")


def test_a_key_is_asked_for(models: Path) -> None:
    key = "0123456789abcdef"
    flags = ("--models", str(models))
    with serving(*flags, variables={"STEPCAST_API_KEYS": f"read:{key}"}) as process:
        with Client(process.url) as client, pytest.raises(NotAllowedError, match="401"):
            client.models()
        with Client(process.url, api_key=key) as client:
            assert client.models().models
            with pytest.raises(NotAllowedError, match="403"):
                client.observe_one("a", 1.0)


# Frames


def test_a_frame_is_taken_as_its_rows_are(client: Client, process: Process) -> None:
    frame = table()

    found = client.observe(frame, level=[80])

    with Client(process.url, model="plain") as other:
        rows: list[Any] = list(frame.itertuples())
        one_by_one = [other.observe_one(row.unique_id, row.y, row.ds) for row in rows]
        together = other.observe(frame, level=[80])
    assert found["status"].tolist() == ["applied"] * 10
    assert found["ds"].tolist() == frame["ds"].dt.tz_localize("UTC").tolist()
    assert together["status"].tolist() == ["duplicate"] * 10
    assert found["step"].tolist() == [one.step for one in one_by_one]
    assert found["mean"].isna().tolist() == [one.next is None for one in one_by_one]


def test_answers_stand_beside_their_rows(client: Client) -> None:
    frame = table().set_axis(pd.Index(range(100, 110)), axis=0)

    found = client.observe(frame, level=[80])

    assert frame.assign(step=found["step"])["step"].tolist() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert (found["lo_80"] < found["hi_80"])[2:].all()
    assert list(found.columns) == [
        *("unique_id", "step", "ds", "status", "error", "mean", "lo_80", "hi_80", "detail")
    ]


def test_a_row_that_cannot_be_taken_says_why(client: Client) -> None:
    frame = pd.DataFrame(
        {
            "unique_id": ["a", "a", "a", "a", None],
            "ds": ["2024-01-01", "2024-01-02", "2024-01-04", "2024-01-02", "2024-01-01"],
            "y": [1.0, "two", 3.0, 2.0, 1.0],
        }
    )

    found = client.observe(frame)

    assert found["status"].tolist() == ["applied", "not-valid", "gap", "applied", "not-valid"]
    assert "y: Input should be a valid number" in found["detail"][1]
    assert found["detail"].isna().tolist() == [True, False, False, True, False]
    assert client.status("a").step == 2


@pytest.mark.parametrize("chunk_rows", [1, 3, 1000])
def test_the_size_of_chunks_changes_nothing(
    client: Client, process: Process, chunk_rows: int
) -> None:
    expected = client.observe(table(), level=[80])
    seeded = client.seed(table(), level=[80])
    forecast = client.forecast(["a", "b"], 3, [80])

    with Client(process.url, model="plain", chunk_rows=chunk_rows) as chunked:
        chunked.observe(table())
    with Client(process.url, chunk_rows=chunk_rows) as chunked:
        for name in ("a", "b"):
            chunked.delete(name)
        pd.testing.assert_frame_equal(chunked.observe(table(), level=[80]), expected)
        pd.testing.assert_frame_equal(chunked.seed(table(), level=[80]), seeded)
        pd.testing.assert_frame_equal(chunked.forecast(["a", "b"], 3, [80]), forecast)


def test_a_forecast_of_many_is_that_of_each(client: Client) -> None:
    client.seed(table())

    found = client.forecast(["b", "zz", "a"], 2, [80], quantiles=[0.9])

    one = client.forecast_one("a", 2, [80], quantiles=[0.9]).forecasts
    assert found["unique_id"].tolist() == ["b", "b", "zz", "zz", "a", "a"]
    assert found["status"].tolist() == ["ok", "ok", *["unknown-series"] * 2, "ok", "ok"]
    assert found["mean"].tolist()[4:] == pytest.approx([step.mean for step in one])
    assert found["q_0.9"].tolist()[4:] == pytest.approx([step.quantiles["0.9"] for step in one])
    assert [when.to_pydatetime() for when in found["ds"][4:]] == [step.ds for step in one]


def test_one_name_is_one_series(client: Client) -> None:
    client.seed(table())

    assert client.forecast("a")["unique_id"].tolist() == ["a"]


def test_whole_numbers_are_names_too(client: Client) -> None:
    frame = pd.DataFrame({"unique_id": [7, 7, 8], "y": [1.0, 2.0, 3.0]})

    assert client.observe(frame)["unique_id"].tolist() == ["7", "7", "8"]
    assert client.forecast(frame["unique_id"].unique())["status"].tolist() == [
        "ok",
        "series-not-warm-yet",
    ]


@pytest.mark.parametrize("dtype", ["int64", "Int64", "object", "category", "int64[pyarrow]"])
def test_whole_numbers_are_names_in_every_kind_of_column(dtype: str) -> None:
    frame = pd.DataFrame({"unique_id": pd.Series([7, 8, 7], dtype=dtype), "y": [1.0, 2.0, 3.0]})

    assert columns_of(frame)["unique_id"] == ["7", "8", "7"]


def test_what_is_no_name_goes_as_it_is_for_the_service_to_refuse() -> None:
    frame = pd.DataFrame({"unique_id": pd.Series([True, 1.5, None], dtype="object"), "y": 1.0})

    assert columns_of(frame)["unique_id"] == [True, 1.5, None]


def test_times_may_be_whole_numbers(process: Process, client: Client) -> None:
    frame = pd.DataFrame({"unique_id": ["n"] * 3, "ds": [5, 6, 9], "y": [1.0, 2.0, 3.0]})

    with Client(process.url, model="plain") as plain:
        found = plain.observe(frame)

        assert found["ds"].tolist() == [5, 6, 9]
        assert found["ds"].dtype == "Int64"
        of_numpy: Any = np.int64(10)
        assert plain.observe_one("n", np.float64(4.0), of_numpy).ds == 10


def test_times_with_a_zone_are_told_in_utc(client: Client) -> None:
    frame = table().assign(ds=lambda one: one["ds"].dt.tz_localize("Etc/GMT-2"))

    found = client.seed(frame)

    assert found["ds"].tolist() == [pd.Timestamp("2024-01-04T22:00Z")] * 2


def test_a_frame_without_rows_changes_nothing(client: Client) -> None:
    assert client.observe(table()[:0]).empty
    assert client.seed(table()[:0]).empty
    assert client.forecast([]).empty
    assert client.series().series == ()


def test_a_frame_without_a_column_names_it(client: Client) -> None:
    with pytest.raises(InvalidError, match="expected a column 'y', found 'unique_id', 'value'"):
        client.observe(pd.DataFrame({"unique_id": ["a"], "value": [1.0]}))


@pytest.mark.parametrize("index", ["ds", ["ds", "unique_id"]])
def test_times_in_the_index_are_not_left_out_unseen(index: str | list[str]) -> None:
    frame = table().set_index(index, drop=False).drop(columns="ds")

    with pytest.raises(InvalidError, match=r"ds is the frame's index: .+ frame\.reset_index"):
        columns_of(frame)


ARROW: dict[str, tuple[pa.DataType, str]] = {
    "dates": (pa.date32(), "2024-01-31T00:00:00.000000"),
    "nanoseconds": (pa.timestamp("ns"), "2024-01-31T00:00:00.000000"),
    "with a zone": (pa.timestamp("us", "Europe/Berlin"), "2024-01-30T23:00:00.000000Z"),
}


@pytest.mark.parametrize("kind", ARROW)
def test_times_of_arrow_go_out_as_others_do(kind: str) -> None:
    dtype, expected = ARROW[kind]
    day = pd.Timestamp("2024-01-31", tz=getattr(dtype, "tz", None))
    column = pd.Series([day.date() if kind == "dates" else day, None], dtype=pd.ArrowDtype(dtype))

    assert columns_of(pd.DataFrame({"unique_id": "a", "y": 1.0, "ds": column}))["ds"] == [
        expected,
        None,
    ]


def test_columns_of_a_frame_are_histories_too(client: Client) -> None:
    """Their values as NumPy or pandas has them, with its own mark of what is missing."""
    frame = pd.DataFrame(
        {"ds": pd.date_range("2024-01-01", periods=4, unit="ns"), "y": [3, 4, 5, None]}
    )

    seeded = client.seed_one("a", frame["y"].astype("Int64"), frame["ds"].to_numpy())

    assert seeded.ds == datetime(2024, 1, 4, tzinfo=UTC)
    assert client.history("a")["y"].isna().tolist() == [False, False, False, True]
    assert client.observe_one("a", Decimal("4.5"), np.datetime64("2024-01-05")).step == 5  # type: ignore[arg-type]


def test_a_history_is_a_frame(client: Client) -> None:
    frame = table()
    client.observe(frame)

    found = client.history("a", limit=3)

    rows = frame[frame["unique_id"] == "a"].tail(3)
    assert found["y"].tolist() == rows["y"].tolist()
    assert found["ds"].tolist() == rows["ds"].dt.tz_localize("UTC").tolist()
    assert found["mark"].tolist() == ["observed"] * 3
    assert (found["lo_95"] < found["mean"]).all()


# Covariates


@pytest.fixture
def told(client: Client, process: Process) -> Iterator[Client]:
    """A client of a model that has covariates, of a service that keeps nothing."""
    with Client(process.url, model="told") as told:
        yield told


def known_table(count: int = 5) -> pd.DataFrame:
    """Two series of so many days, with covariates of every kind, some of them missing."""
    rows = np.arange(2 * count)
    return table(count).assign(
        temp=np.where(rows % 5 == 2, np.nan, 20.0 + rows),
        wind=pd.Series(np.array(["N", "S", None], object)[rows % 3]),
        promo=pd.array((rows % 4 == 0).tolist(), "Int64"),
        open=rows % 3 > 0,
        step=np.where(rows < 2, 12.0, np.nan),
    )


def known_ahead(h: int = 2) -> pd.DataFrame:
    """What is known of the `h` days after such a table of five."""
    return pd.DataFrame(
        {
            "unique_id": ["a"] * h + ["b"] * h,
            "ds": [*pd.date_range("2024-01-06", periods=h)] * 2,
            "promo": np.arange(2 * h) % 2,
            "open": [None, *[True] * (2 * h - 1)],
        }
    )


def columns_of_one(frame: pd.DataFrame, unique_id: str) -> dict[str, list[Any]]:
    """Return the covariates of a series as calls for one series have them."""
    rows = frame[frame["unique_id"] == unique_id]
    plain = rows.astype({"open": "str"}).astype(object)
    return {name: plain[name].where(plain[name].notna(), None).tolist() for name in NAMES}


def test_covariates_go_with_every_call_of_one_series(told: Client) -> None:
    rows = known_table()[lambda one: one["unique_id"] == "a"]
    x = columns_of_one(known_table(), "a")
    y, days = rows["y"].tolist(), [day.date() for day in rows["ds"]]
    future: dict[str, Any] = {"promo": np.array([1, 0]), "open": ["True", None]}

    for number, (value, day) in enumerate(zip(y, days, strict=True)):
        told.observe_one("a", value, day, x={name: column[number] for name, column in x.items()})
    told.seed_one("b", y, days, x=x)

    one_by_one = told.forecast_one("a", 2, x_future=future).forecasts
    assert told.forecast_one("b", 2, x_future=future).forecasts == one_by_one
    assert told.forecast_values(y, days, x=x, h=2, x_future=future).forecasts == one_by_one
    assert told.forecast_one("a", 2).forecasts != one_by_one


def test_a_covariate_that_is_no_number_is_missing(told: Client) -> None:
    rest: dict[str, Any] = {"wind": None, "promo": 0, "open": "True"}

    told.observe_one("a", 1.0, x={"temp": float("nan")} | rest)
    told.seed_one("b", [1.0], x={"temp": [None]} | {name: [x] for name, x in rest.items()})

    assert told.history("a")["temp"].isna().all()
    told.observe_one("a", 2.0, x={"temp": 3} | rest)
    told.observe_one("b", 2.0, x={"temp": 3.0} | rest)
    assert told.status("a").next == told.status("b").next


@pytest.mark.parametrize("chunk_rows", [3, 1000])
def test_columns_of_a_frame_are_covariates(told: Client, process: Process, chunk_rows: int) -> None:
    frame, future = known_table(), known_ahead()

    with Client(process.url, model="told", chunk_rows=chunk_rows) as client:
        observed = client.observe(frame, x=NAMES)
        forecast = client.forecast(["b", "a", "b"], 2, x_future=future)
        past = client.history("a")
        seeded = client.seed(frame, x=NAMES)
        again = client.forecast(["b", "a", "b"], 2, x_future=future)

    assert observed["status"].tolist() == ["applied"] * 10
    assert seeded["mean"].tolist() == pytest.approx(observed["mean"].tolist()[-2:])
    pd.testing.assert_frame_equal(forecast, again)
    for name, mean in (("b", forecast["mean"][:2]), ("a", forecast["mean"][2:4])):
        rows = future[future["unique_id"] == name]
        x_future = {
            "promo": rows["promo"].tolist(),
            "open": [None if one is None else str(one) for one in rows["open"]],
        }
        one = told.forecast_one(name, 2, x_future=x_future).forecasts
        assert mean.tolist() == pytest.approx([step.mean for step in one])
        x = columns_of_one(frame, name)
        y = frame[frame["unique_id"] == name]["y"].tolist()
        values = told.forecast_values(y, x=x, h=2, x_future=x_future).forecasts
        assert mean.tolist() == pytest.approx([step.mean for step in values])
    assert forecast["mean"].tolist()[:2] == forecast["mean"].tolist()[4:]
    assert past["step"].tolist() == [1, 2, 3, 4, 5]
    expected = columns_of_one(frame, "a")
    for name, column in {one: "x.step" if one == "step" else one for one in NAMES}.items():
        given = past[column].astype(object).where(past[column].notna(), None).tolist()
        assert given == expected[name], name


def test_a_history_can_be_seeded_again(told: Client) -> None:
    told.seed(known_table(), x=NAMES)
    before = told.forecast("a")
    past = told.history("a").drop(columns="step").rename(columns={"x.step": "step"})

    told.seed(past, x=NAMES)

    pd.testing.assert_frame_equal(told.forecast("a"), before)


def test_one_name_is_one_column(told: Client) -> None:
    with pytest.raises(InvalidError, match=r"expected 'temp', .* and 'open' left out; null is"):
        told.observe(known_table(), x="temp")


def test_a_row_with_a_covariate_that_cannot_be_says_why(told: Client) -> None:
    frame = known_table().assign(wind=["N", "W", *["S"] * 8])

    found = told.observe(frame, x=NAMES)

    assert found["status"].tolist()[:3] == ["applied", "not-valid", "applied"]
    assert found["detail"][1] == "x.wind: expected 'N' or 'S' or null, found 'W'"


@pytest.mark.parametrize(
    ("h", "future", "told_so"),
    [
        (2, known_ahead(3), "expected 2 rows of series 'a', one for each step, found 3"),
        (2, known_ahead()[:3], "expected 2 rows of series 'b', one for each step, found 1"),
        (0, known_ahead(), "h: expected 1 or more steps, found 0"),
        (2, known_ahead().drop(columns="unique_id"), "x_future: expected a column 'unique_id'"),
        (
            2,
            known_ahead()[["unique_id", "ds"]],
            "expected a column for each covariate that is known ahead, found 'unique_id', 'ds'",
        ),
        (2, known_ahead().drop(columns="open"), "x_future: expected .*, 'open' left out"),
        (2, known_ahead().assign(temp=1.0), "x_future: expected .*, found also 'temp'"),
        (
            2,
            known_ahead()[::-1],
            "2024-01-06 00:00:00 comes after 2024-01-07 00:00:00 in series 'a': expected each "
            "series in order of time",
        ),
        (
            2,
            known_ahead().assign(ds=[6, 7, 7, 7]),
            "x_future: 7 comes after 7 in series 'b'",
        ),
        (
            2,
            known_ahead().assign(
                ds=pd.array(["2024-01-06", pd.NA, "2024-01-06", "2024-01-08"], "string")
            ),
            "expected 2024-01-07 00:00:00\\+00:00 in series 'b', the time that is forecast, found "
            "2024-01-08",
        ),
        (
            2,
            known_ahead().assign(ds=[6, 7] * 2),
            "expected 2024-01-06 00:00:00\\+00:00 in series 'a', the time that is forecast, "
            "found 6",
        ),
        (
            2,
            pd.concat([known_ahead(), known_ahead()[["promo"]]], axis=1),
            "x_future: expected one column 'promo', found 2",
        ),
    ],
)
def test_what_is_known_ahead_has_a_row_for_each_step(
    told: Client, h: int, future: pd.DataFrame, told_so: str
) -> None:
    told.seed(known_table(), x=NAMES)

    with pytest.raises(InvalidError, match=told_so):
        told.forecast(["a", "b"], h, x_future=future)


def test_what_is_known_of_other_series_is_left_out(told: Client) -> None:
    told.seed(known_table(), x=NAMES)
    of_both = told.forecast(["a", "b"], 2, x_future=known_ahead())

    found = told.forecast("b", 2, x_future=known_ahead())

    assert found["mean"].tolist() == pytest.approx(of_both["mean"].tolist()[2:])


def test_a_column_that_is_not_there_is_named(told: Client) -> None:
    with pytest.raises(InvalidError, match=r"expected a column 'tmp', .*; x names others"):
        told.observe(known_table(), x=["tmp"])
    with pytest.raises(InvalidError, match=r"x_future.promo: expected a list .* found 1"):
        told.forecast_one("a", x_future={"promo": 1})  # type: ignore[dict-item]


@given(st.lists(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)) | st.none(), min_size=1))
def test_times_of_a_frame_go_out_to_the_microsecond(times: list[datetime | None]) -> None:
    column = pd.Series(np.array(times, "datetime64[us]"))
    frame = pd.DataFrame({"unique_id": "a", "y": 1.0, "ds": column})

    sent = columns_of(frame)["ds"]

    assert [None if one is None else datetime.fromisoformat(one) for one in sent] == times


# Calls whose answers are lost


def test_what_was_taken_and_not_answered_is_taken_once(process: Process, client: Client) -> None:
    with Client(process.url, transport=Cutting(lost=2)) as cut:
        observed = cut.observe_one("a", 1.0, "2024-01-01")

    assert observed.status == "duplicate"
    assert client.status("a").step == 1


def test_what_could_be_taken_twice_is_sent_once(process: Process, client: Client) -> None:
    with Client(process.url, transport=Cutting()) as cut, pytest.raises(UnreachableError):
        cut.observe_one("a", 1.0)

    assert client.status("a").step == 1


def test_an_expected_step_tells_that_the_first_try_was_taken(
    process: Process, client: Client
) -> None:
    cut = Client(process.url, transport=Cutting())
    with cut, pytest.raises(PreconditionFailedError) as caught:
        cut.observe_one("a", 1.0, expected_step=0)

    assert caught.value.attempts == 2
    assert caught.value.problem is not None
    assert caught.value.problem.step == client.status("a").step == 1


def test_a_frame_that_was_not_answered_is_taken_once(process: Process, client: Client) -> None:
    with Client(process.url, transport=Cutting(), chunk_rows=4) as cut:
        found = cut.observe(table())

    assert found["status"].tolist() == ["duplicate"] * 4 + ["applied"] * 6
    assert client.status("a").step == 5


def test_a_client_lives_through_a_kill_of_the_service(models: Path, tmp_path: Path) -> None:
    count = 300
    variables = {"STEPCAST_STORE": f"sqlite:///{tmp_path}/series.db", "STEPCAST_MODEL": "plain"}
    patient = Retries(times=1000, first_seconds=0.05, most_seconds=0.1)
    with serving("--models", str(models), variables=variables) as first:
        client = Client(first.url, retries=patient)

        def observe() -> list[int]:
            return [client.observe_one("a", float(n), n).step for n in range(count)]

        with client, ThreadPoolExecutor(1) as pool:
            steps = pool.submit(observe)
            while client.series().series == ():
                assert not steps.done()
            first.tell(signal.SIGKILL)
            first.wait()
            port = first.url.rsplit(":", 1)[1]
            with serving("--models", str(models), "--port", port, variables=variables):
                assert steps.result() == list(range(1, count + 1))
                assert client.history("a", limit=count)["y"].tolist() == list(range(count))


# Both clients


def test_both_clients_have_every_call() -> None:
    calls = {name for name in vars(Calls) if not name.startswith("_")}

    for kind in (Client, AsyncClient):
        assert calls <= vars(kind).keys()
        for name in calls:
            call = getattr(kind, name)
            assert call.__doc__
            assert signature(call).parameters == signature(getattr(Calls, name)).parameters
            assert "Generator" not in str(signature(call))


def test_calls_that_are_awaited_give_the_same(client: Client, process: Process) -> None:
    async def main() -> list[Any]:
        async with AsyncClient(process.url) as awaited:
            await awaited.observe(table())
            together = asyncio.gather(
                awaited.status("a"),
                awaited.forecast(["a", "b"], 2),
                awaited.history("b"),
                awaited.observe_one("c", 1.0, "2024-01-01"),
                awaited.forecast_one("b"),
            )
            return [*(await together), await awaited.reset_all(), await awaited.health()]

    found = asyncio.run(main())

    assert found[3].status == "applied"
    assert found[5] == 3
    assert found[6] == client.health()
    client.delete("c")
    client.seed(table())
    assert found[0].next == client.status("a").next
    pd.testing.assert_frame_equal(found[1], client.forecast(["a", "b"], 2))
    assert found[2]["y"].tolist() == client.history("b")["y"].tolist()
    assert found[4] == client.forecast_one("b")


# What it needs


def test_the_client_loads_no_service_and_no_training() -> None:
    heavy = ("app", "fastapi", "keras", "numpy", "pandas", "starlette", "tensorflow", "training")
    program = f"import sys, stepcast.client; print(*sorted(set(sys.modules) & set({heavy!r})))"

    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, encoding="utf-8"
    )

    assert ended.stdout.split() == []


def test_calls_for_one_series_need_no_pandas(process: Process) -> None:
    program = (
        "import sys; sys.modules['pandas'] = None\n"
        "from stepcast.client import Client\n"
        f"with Client({process.url!r}) as client:\n"
        "    client.seed_one('a', [1.0, 2.0])\n"
        "    print(client.observe_one('a', 3.0).step, client.forecast_one('a', 2).step)\n"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, encoding="utf-8"
    )

    assert ended.stdout == "3 3\n"

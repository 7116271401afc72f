"""The client against a service that runs as a process of its own."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from inspect import signature
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
# Names that a path has other meanings for.
ODD_NAMES = [".", "..", "a/b", "a/history", "a?b#c", "100%", "ä 漢"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of every day and of no frequency; a forecast needs two observations."""
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / "daily", freq="D", states={"trained": (3.0, 4.0, 2.5, 3.5)})
    write_model(folder / "plain", seed=1)
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
        for model in ("daily", "plain"):
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
    assert client.health().models == ("daily", "plain")
    assert client.models().default == "daily"
    assert [one["freq"] for one in client.models().models] == ["D", None]


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


def test_a_history_is_a_frame(client: Client) -> None:
    frame = table()
    client.observe(frame)

    found = client.history("a", limit=3)

    rows = frame[frame["unique_id"] == "a"].tail(3)
    assert found["y"].tolist() == rows["y"].tolist()
    assert found["ds"].tolist() == rows["ds"].dt.tz_localize("UTC").tolist()
    assert found["mark"].tolist() == ["observed"] * 3
    assert (found["lo_95"] < found["mean"]).all()


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

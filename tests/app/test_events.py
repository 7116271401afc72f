"""What happens to a series is told to those who listen, and to nobody else."""

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.errors import BusyError
from app.feed import MOST_WAITING, Feed
from tests.app.running import Process, serving
from tests.forecaster.fakes import write_model

KEY = "listening-0123456789"

# Feeds


def test_a_listener_hears_what_happens_to_its_series_alone() -> None:
    async def hear() -> list[int | None]:
        feed: Feed[int] = Feed(most=2)
        with feed.listening("a") as listener:
            feed.tell("a", 1)
            feed.tell("b", 2)
            feed.tell("a", 3)
            return await listener.hear(60)

    assert asyncio.run(hear()) == [1, 3]


def test_one_who_falls_behind_is_told_to_look_again() -> None:
    async def hear() -> list[int | None]:
        feed: Feed[int] = Feed(most=1)
        with feed.listening("a") as listener:
            for number in range(MOST_WAITING + 2):
                feed.tell("a", number)
            return await listener.hear(60)

    assert asyncio.run(hear()) == [None, MOST_WAITING + 1]


def test_to_look_again_stands_for_all_that_was_not_heard_yet() -> None:
    async def hear() -> list[int | None]:
        feed: Feed[int] = Feed(most=1)
        with feed.listening("a") as listener:
            feed.tell("a", 1)
            feed.tell_again(["b", "a"])
            return await listener.hear(60)

    assert asyncio.run(hear()) == [None]


def test_where_nothing_happens_nothing_is_heard() -> None:
    async def hear() -> list[int | None]:
        with Feed[int](most=1).listening("a") as listener:
            return await listener.hear(0)

    assert asyncio.run(hear()) == []


def test_no_more_may_listen_than_may() -> None:
    feed: Feed[int] = Feed(most=1)

    with (
        feed.listening("a"),
        pytest.raises(BusyError, match=r"already do \(1\).*STEPCAST_MAX_LISTENERS"),
        feed.listening("b"),
    ):
        pass
    with feed.listening("b"):
        assert feed.listeners.keys() == {"b"}

    assert not feed.listeners


def test_a_feed_that_is_closed_lets_everyone_go() -> None:
    async def hear() -> bool:
        feed: Feed[int] = Feed(most=2)
        with feed.listening("a") as early:
            feed.close()
            with feed.listening("a") as late:
                heard = await early.hear(60) + await late.hear(60)
                return early.is_closed and late.is_closed and not heard

    assert asyncio.run(hear())


# Over HTTP


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("events")
    write_model(folder / "models" / "plain", freq="1")
    variables = {
        "STEPCAST_MODELS": str(folder / "models"),
        "STEPCAST_STORE": f"sqlite:///{folder}/s.db",
        "STEPCAST_API_KEYS": f"read:{KEY},{KEY[::-1]}",
        "STEPCAST_MAX_LISTENERS": "2",
        "STEPCAST_ON_GAP": "fill",
    }
    with serving(variables=variables) as process:
        yield process


@pytest.fixture
def client(process: Process) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {KEY[::-1]}"}
    with httpx.Client(base_url=process.url, headers=headers) as client:
        yield client


class Events:
    """A stream of events, read one by one."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.iter_lines()

    def next(self) -> tuple[str, Any]:
        name, data, empty = (next(self._lines) for _ in range(3))
        assert not empty
        return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))

    def is_over(self) -> bool:
        return next(self._lines, None) is None


@contextmanager
def listening(client: httpx.Client, path: str, key: str = KEY) -> Iterator[Events]:
    headers = {"authorization": f"Bearer {key}"}
    with client.stream("GET", path, headers=headers) as response:
        yield Events(response)


def post(client: httpx.Client, path: str, **body: object) -> Any:
    return client.post(path, json=body).raise_for_status().json()


def test_an_observation_is_told_with_the_forecast_that_stood(client: httpx.Client) -> None:
    post(client, "/seed-state", unique_id="a", y=[1.0, 2.0, 3.0], ds=[1, 2, 3])

    with listening(client, "/series/a/events") as events:
        begun = events.next()
        post(client, "/observe", unique_id="a", y=4.5, ds=4)
        post(client, "/observe", unique_id="a", y=4.5, ds=4)  # a duplicate moves nothing
        post(client, "/observe", unique_id="b", y=7.0)
        post(client, "/observe/batch", unique_id=["b", "a"], y=[1.0, None], ds=[None, 5])
        told = [events.next(), events.next()]

    past = client.get("/series/a/history").json()["history"]
    status = client.get("/series/a").json()
    assert begun[0] == "series"
    assert begun[1]["step"] == 3
    assert [name for name, _ in told] == ["observation"] * 2
    assert [data["observation"] for _, data in told] == past[-2:]
    assert told[1][1]["series"] == status
    assert events.response.headers["content-type"].startswith("text/event-stream")
    assert events.response.headers["cache-control"] == "no-store"


def test_all_else_that_moves_a_series_tells_where_it_stands(client: httpx.Client) -> None:
    post(client, "/seed-state", unique_id="c", y=[1.0, 2.0, 3.0], ds=[1, 2, 3])

    with listening(client, "/series/c/events") as events:
        told = [events.next()]
        for path, body in (
            ("/reset-state", {"unique_id": "c"}),
            ("/reset-state", {"all": True}),
            ("/observe", {"unique_id": "c", "ds": 3, "y": 5.0, "correct": True}),
            ("/seed-state", {"unique_id": "c", "y": [1.0, 2.0]}),
            ("/seed-state/batch", {"unique_id": ["c"], "y": [1.0]}),
        ):
            post(client, path, **body)
            told.append(events.next())
        client.delete("/series/c")
        is_over = events.is_over()

    assert [name for name, _ in told] == ["series"] * 6
    assert [data["step"] for _, data in told] == [3, 3, 3, 3, 2, 1]
    assert is_over


@pytest.mark.parametrize("name", ["events", "x/events", "/events", "a b/ü"])
def test_a_series_of_any_name_is_listened_to(client: httpx.Client, name: str) -> None:
    post(client, "/observe", unique_id=name, y=1.0)
    path = "/series/" + "".join(f"%{byte:02X}" for byte in name.encode())

    with listening(client, f"{path}/events") as events:
        assert events.next()[1]["unique_id"] == name
    assert client.get(path).json()["unique_id"] == name


def test_what_is_refused_is_refused_before_the_stream(client: httpx.Client) -> None:
    post(client, "/observe", unique_id="d", y=1.0)

    unknown = client.get("/series/nobody/events")
    model = client.get("/series/d/events?model=none")
    other = client.get("/series/d/events?limit=1")
    keyless = client.get("/series/d/events", headers={"authorization": "Bearer none"})

    assert unknown.json()["type"] == "urn:stepcast:unknown-series"
    assert model.json()["type"] == "urn:stepcast:unknown-model"
    assert [one.status_code for one in (unknown, model, other, keyless)] == [404, 404, 422, 401]


def test_one_listener_too_many_is_told_to_come_again(client: httpx.Client) -> None:
    post(client, "/observe", unique_id="e", y=1.0)

    with (
        listening(client, "/series/e/events") as first,
        listening(client, "/series/e/events") as second,
    ):
        first.next(), second.next()
        refused = client.get("/series/e/events")

    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["type"] == "urn:stepcast:busy"


def test_a_stop_ends_the_streams_at_once(tmp_path: Path) -> None:
    write_model(tmp_path / "models" / "plain")
    variables = {
        "STEPCAST_MODELS": str(tmp_path / "models"),
        "STEPCAST_STOP_TIMEOUT_SECONDS": "600",  # a stream that stayed would hold the stop
    }
    with serving(variables=variables) as process, httpx.Client(base_url=process.url) as client:
        post(client, "/observe", unique_id="a", y=1.0)
        with listening(client, "/series/a/events") as events:
            events.next()

            status = process.stop()

            assert events.is_over()
        assert status == 0
        assert re.search("Stopping: [01] calls in flight", process.log)

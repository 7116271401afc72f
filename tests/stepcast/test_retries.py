"""When the client sends a call again, by what answers it: no service is needed for this."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
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
    StepcastError,
    UnavailableError,
    UnreachableError,
)
from stepcast.client.retries import Plan, Request, Wait, send

AT_ONCE = Retries(times=3, first_seconds=0.0)
TAKEN = {"unique_id": "a", "step": 1, "ds": 1, "status": "applied", "error": None, "next": None}

Answer = httpx.Response | type[httpx.TransportError]
Call = Callable[[Any], Any]

NOT_SENT: list[type[httpx.TransportError]] = [
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
]
NOT_ANSWERED: list[type[httpx.TransportError]] = [
    httpx.ReadTimeout,
    httpx.WriteTimeout,
    httpx.ReadError,
    httpx.WriteError,
    httpx.RemoteProtocolError,
]


class Server:
    """Answers calls with what it is given, in order.

    Args:
        answers: Responses, or what is raised in the place of one.
    """

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers.pop(0)
        if isinstance(answer, httpx.Response):
            # A new one: the clients change what they get.
            return httpx.Response(
                answer.status_code, headers=answer.headers, content=answer.content
            )
        raise answer("it broke", request=request)


def plainly(server: Server, call: Call, **options: Any) -> Any:
    """Make a call with the client for plain code."""
    transport = httpx.MockTransport(server)
    with Client(transport=transport, **{"retries": AT_ONCE} | options) as client:
        return call(client)


def awaiting(server: Server, call: Call, **options: Any) -> Any:
    """Make a call with the client for code that awaits."""

    async def main() -> Any:
        transport = httpx.MockTransport(server)
        async with AsyncClient(transport=transport, **{"retries": AT_ONCE} | options) as client:
            return await call(client)

    return asyncio.run(main())


both = pytest.mark.parametrize("make", [plainly, awaiting])


def taken() -> httpx.Response:
    return httpx.Response(200, json=TAKEN)


def refused(status: int, kind: str, **headers: str) -> httpx.Response:
    problem = {"type": f"urn:stepcast:{kind}", "title": "T", "status": status, "detail": "why"}
    return httpx.Response(status, json=problem, headers=headers)


def broken(status: int) -> httpx.Response:
    """Return what a proxy says."""
    return httpx.Response(status, text="<html>no</html>")


def with_ds(client: Any) -> Any:
    return client.observe_one("a", 1.0, 1)


def with_step(client: Any) -> Any:
    return client.observe_one("a", 1.0, expected_step=0)


def bare(client: Any) -> Any:
    return client.observe_one("a", 1.0)


UNSURE: list[Answer] = [*NOT_ANSWERED, broken(502), broken(503), broken(504)]
UNSURE.append(refused(503, "store-unavailable"))
UNTOUCHED: list[Answer] = [*NOT_SENT, refused(429, "too-many-series"), refused(503, "busy")]
UNTOUCHED.append(refused(503, "stopping"))


# What is sent again


@both
@pytest.mark.parametrize("failure", [*UNSURE, *UNTOUCHED], ids=str)
@pytest.mark.parametrize("call", [with_ds, with_step])
def test_what_cannot_be_taken_twice_is_sent_again(
    make: Callable[..., Any], call: Call, failure: Answer
) -> None:
    server = Server(failure, failure, taken())

    observed = make(server, call)

    assert observed.status == "applied"
    assert len({request.content for request in server.requests}) == 1
    assert len(server.requests) == 3


@both
@pytest.mark.parametrize("failure", UNSURE, ids=str)
def test_an_observation_that_could_count_twice_is_not_sent_again(
    make: Callable[..., Any], failure: Answer
) -> None:
    server = Server(failure)

    with pytest.raises(UnavailableError) as caught:
        make(server, bare)

    assert caught.value.attempts == len(server.requests) == 1


@both
@pytest.mark.parametrize("failure", UNTOUCHED, ids=str)
def test_what_the_service_never_looked_at_is_sent_again(
    make: Callable[..., Any], failure: Answer
) -> None:
    server = Server(failure, taken())

    assert make(server, bare).status == "applied"


@both
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 413, 422, 500])
def test_what_would_be_refused_again_is_not_sent_again(
    make: Callable[..., Any], status: int
) -> None:
    server = Server(refused(status, "any"))

    with pytest.raises(StepcastError):
        make(server, with_ds)

    assert len(server.requests) == 1


@both
def test_a_client_gives_up_in_the_end(make: Callable[..., Any]) -> None:
    server = Server(*[httpx.ReadTimeout] * 4)

    with pytest.raises(
        UnreachableError, match=r"no answer from http://127\.0\.0\.1:8000"
    ) as caught:
        make(server, with_ds)

    assert caught.value.attempts == 4
    assert caught.value.problem is None
    assert isinstance(caught.value.__cause__, httpx.ReadTimeout)


def test_a_client_may_be_told_never_to_send_again() -> None:
    with pytest.raises(UnreachableError):
        plainly(Server(httpx.ConnectError), with_ds, retries=Retries(times=0))


def test_whether_a_service_is_there_is_asked_once() -> None:
    with pytest.raises(UnreachableError):
        plainly(Server(httpx.ConnectError), lambda client: client.health())


def test_an_expected_step_that_the_first_try_took_is_told() -> None:
    server = Server(httpx.ReadError, refused(412, "unexpected-step"))

    with pytest.raises(PreconditionFailedError) as caught:
        plainly(server, with_step)

    assert caught.value.attempts == 2


@pytest.mark.parametrize(
    ("frame", "is_sent_again"),
    [
        ({"unique_id": ["a", "b"], "y": [1.0, 2.0], "ds": [1, 1]}, True),
        ({"unique_id": ["a", "b"], "y": [1.0, 2.0], "ds": ["2024-01-01", None]}, False),
        ({"unique_id": ["a", "b"], "y": [1.0, 2.0]}, False),
    ],
)
def test_a_frame_is_sent_again_where_each_row_has_a_time(
    frame: dict[str, list[Any]], is_sent_again: bool
) -> None:
    columns = {"unique_id": ["a", "b"], "step": [1, 1], "ds": [1, 1], "status": ["applied"] * 2}
    server = Server(httpx.ReadError, httpx.Response(200, json=columns))

    if is_sent_again:
        plainly(server, lambda client: client.observe(pd.DataFrame(frame)))
    else:
        with pytest.raises(UnreachableError):
            plainly(server, lambda client: client.observe(pd.DataFrame(frame)))

    assert len(server.requests) == (2 if is_sent_again else 1)


def test_a_frame_that_fails_on_the_way_tells_how_far_it_got() -> None:
    columns = {"unique_id": ["a"], "step": [1], "ds": [None], "status": ["applied"]}
    server = Server(httpx.Response(200, json=columns), httpx.ReadError)
    frame = pd.DataFrame({"unique_id": ["a"] * 6, "y": range(6)})

    with pytest.raises(UnreachableError) as caught:
        plainly(server, lambda client: client.observe(frame), chunk_rows=2)

    assert caught.value.rows_answered == 2


def test_a_deletion_sent_again_is_done_when_nothing_is_left() -> None:
    server = Server(httpx.ReadError, refused(404, "unknown-series"))

    plainly(server, lambda client: client.delete("a"))

    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "answers",
    [[refused(404, "unknown-series")], [httpx.ReadError, refused(404, "unknown-model")]],
)
def test_a_deletion_of_nothing_is_refused(answers: list[Answer]) -> None:
    with pytest.raises(NotFoundError):
        plainly(Server(*answers), lambda client: client.delete("a"))


# How long is waited


def waits(plan: Plan[Any], answer: Callable[[], httpx.Response]) -> list[float]:
    """Return how long a plan waits, where every request has this answer."""
    found = []
    outcome = None
    try:
        while True:
            todo = plan.send(outcome)
            outcome = None if isinstance(todo, Wait) else answer()
            if isinstance(todo, Wait):
                found.append(todo.seconds)
            elif outcome is not None:
                outcome.request = httpx.Request(todo.method, f"http://service{todo.path}")
    except StepcastError:
        return found


@given(
    times=st.integers(0, 12),
    first=st.floats(0.0, 10.0),
    most=st.floats(0.0, 100.0),
)
def test_waits_grow_to_a_limit(times: int, first: float, most: float) -> None:
    retries = Retries(times=times, first_seconds=first, most_seconds=most)

    found = waits(send(Request("GET", "/models"), retries), lambda: broken(503))

    assert len(found) == times
    for number, seconds in enumerate(found):
        assert 0.0 <= seconds <= min(first * 2**number, most)


def test_waits_differ_from_call_to_call() -> None:
    found = {
        waits(send(Request("GET", "/models"), Retries(times=1)), lambda: broken(503))[0]
        for _ in range(10)
    }

    assert len(found) == 10


@pytest.mark.parametrize("status", [429, 503])
def test_what_the_service_asks_for_is_waited(status: int) -> None:
    answer = {"retry-after": "7"}

    found = waits(
        send(Request("GET", "/models"), Retries(times=2, first_seconds=1.0)),
        lambda: refused(status, "busy", **answer),
    )

    assert len(found) == 2
    assert all(7.0 <= seconds <= 8.0 for seconds in found)


def test_a_time_to_come_back_at_is_waited_for() -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)

    found = waits(
        send(Request("GET", "/models"), Retries(times=1, first_seconds=1.0)),
        lambda: refused(503, "busy", **{"retry-after": until}),
    )

    assert 10.0 < found[0] <= 21.0


@pytest.mark.parametrize("told", ["soon", "", "-1", "Wed, 99 Foo"])
def test_a_time_that_is_none_counts_for_nothing(told: str) -> None:
    found = waits(
        send(Request("GET", "/models"), Retries(times=1, first_seconds=0.0)),
        lambda: refused(503, "busy", **{"retry-after": told}),
    )

    assert found == [0.0]


def test_who_would_wait_too_long_is_told_at_once() -> None:
    server = Server(refused(429, "too-many-series", **{"retry-after": "60"}))

    with pytest.raises(UnavailableError) as caught:
        plainly(server, with_ds)

    assert caught.value.retry_after_seconds == 60.0
    assert len(server.requests) == 1


# What refusals become


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidError),
        (401, NotAllowedError),
        (403, NotAllowedError),
        (404, NotFoundError),
        (409, ConflictError),
        (412, PreconditionFailedError),
        (413, InvalidError),
        (422, InvalidError),
        (429, UnavailableError),
        (500, StepcastError),
        (503, UnavailableError),
    ],
)
def test_a_refusal_is_raised_as_its_kind(status: int, kind: type[StepcastError]) -> None:
    with pytest.raises(StepcastError, match=f"^POST /observe: {status} why$") as caught:
        plainly(Server(refused(status, "x")), with_ds, retries=Retries(times=0))

    assert type(caught.value) is kind
    assert caught.value.problem is not None
    assert (caught.value.problem.type, caught.value.problem.status) == ("urn:stepcast:x", status)


def test_a_refusal_that_is_no_problem_document_is_told_as_it_is() -> None:
    with pytest.raises(UnavailableError, match="502 <html>no</html>") as caught:
        plainly(Server(broken(502)), with_ds, retries=Retries(times=0))

    assert caught.value.problem is not None
    assert caught.value.problem.type == "about:blank"


@pytest.mark.parametrize("text", ["<html>hello</html>", "{}", "[]", ""])
def test_an_answer_that_is_not_the_services_is_named(text: str) -> None:
    with pytest.raises(StepcastError, match="POST /observe: this is no answer of Stepcast's"):
        plainly(Server(httpx.Response(200, text=text)), with_ds)


def test_a_redirection_is_no_answer() -> None:
    server = Server(httpx.Response(307, headers={"location": "http://elsewhere/observe"}))

    with pytest.raises(StepcastError, match="307"):
        plainly(server, with_ds)


# What is sent


def keys(server: Server) -> list[str | None]:
    return [request.headers.get("authorization") for request in server.requests]


@both
def test_a_key_is_sent_along(make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STEPCAST_API_KEY", raising=False)
    server = Server(taken(), taken(), taken())

    make(server, with_ds)
    monkeypatch.setenv("STEPCAST_API_KEY", "from-the-environment")
    make(server, with_ds)
    make(server, with_ds, api_key="given")

    assert keys(server) == [None, "Bearer from-the-environment", "Bearer given"]


def test_the_line_end_of_a_file_is_no_part_of_a_key() -> None:
    server = Server(taken())

    plainly(server, with_ds, api_key="from-a-file\n")

    assert keys(server) == ["Bearer from-a-file"]


@pytest.mark.parametrize("key", ["se\ncret", "se cret", "sécret"])
def test_a_key_that_is_none_is_refused_and_not_told(key: str) -> None:
    with pytest.raises(InvalidError, match="api_key: expected visible ASCII") as refused:
        Client(api_key=key)

    assert "cret" not in str(refused.value)


def test_no_history_is_sent_in_two_parts() -> None:
    ids = ["a", "b", "a", "c", "b", "a", "d"]
    frame = pd.DataFrame({"unique_id": ids, "y": range(7)})
    columns = {"unique_id": ["x"], "step": [1], "ds": [None], "status": ["applied"]}
    server = Server(*[httpx.Response(200, json=columns)] * 3)

    plainly(server, lambda client: client.seed(frame), chunk_rows=3)

    sent = [json.loads(request.content) for request in server.requests]
    assert [body["unique_id"] for body in sent] == [["a", "a", "a"], ["b", "b", "c"], ["d"]]
    assert [body["y"] for body in sent] == [[0, 2, 5], [1, 4, 3], [6]]


@pytest.mark.parametrize("url", ["nowhere", "ftp://host", "http://", "http://[::1"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidError, match="is no URL"):
        Client(url)


def test_a_chunk_of_no_rows_is_refused() -> None:
    with pytest.raises(InvalidError, match="chunk_rows: expected 1 or more, found 0"):
        Client(chunk_rows=0)


def test_no_password_of_an_address_is_told() -> None:
    with pytest.raises(UnreachableError) as caught:
        plainly(Server(httpx.ReadError), bare, url="http://me:secret@host:8000")

    assert "no answer from http://host:8000 " in str(caught.value)
    assert "secret" not in str(caught.value)


def test_what_json_cannot_hold_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(InvalidError, match="1j cannot be sent: expected a number"):
        plainly(Server(), lambda client: client.forecast_one("a", level=[1j]))

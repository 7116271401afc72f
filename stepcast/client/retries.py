"""When a call is sent again, worked out without any input or output.

What goes on is a generator that yields what is to be done, a request to send or a time to wait,
and is sent what came of it. `Client` and `AsyncClient` do these things, each in its way.
"""

import random
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

import httpx

from stepcast.client.errors import StepcastError, UnreachableError, refusal

T = TypeVar("T")

# Nothing was sent yet.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
# The service, or what stands between, went away before it answered.
_NOT_ANSWERED = (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError)
# Refusals before anything of the body was looked at.
_UNTOUCHED = ("urn:stepcast:busy", "urn:stepcast:stopping")


@dataclass(frozen=True)
class Request:
    """A call to send.

    Args:
        method: Of HTTP.
        path: After the address of the service.
        params: The query.
        content: JSON, if anything is sent.
        is_repeatable: Whether to do it twice is the same as to do it once.
    """

    method: str
    path: str
    params: dict[str, Any] = field(default_factory=dict)
    content: bytes | None = None
    is_repeatable: bool = True


@dataclass(frozen=True)
class Wait:
    """A time to wait."""

    seconds: float


# What came of a request, and nothing of a wait.
Outcome: TypeAlias = httpx.Response | httpx.TransportError | None
Plan: TypeAlias = Generator[Request | Wait, Outcome, T]


@dataclass(frozen=True)
class Retries:
    """How often calls are sent again, and how long is waited before.

    Waits grow exponentially, and are drawn at random from zero to their length so that callers who
    were refused together do not come back together. A `Retry-After` is waited for in full.

    Args:
        times: How often a call is sent again at most; 0: never.
        first_seconds: The longest wait before the first time; then twice that, and so on.
        most_seconds: The longest wait. Who is asked to wait longer is told so instead.
    """

    times: int = 5
    first_seconds: float = 0.25
    most_seconds: float = 30.0

    def wait(self, number: int, retry_after_seconds: float | None) -> Wait | None:
        """Return how long to wait before sending a call again; None for too long.

        Args:
            number: How often it was sent again already.
            retry_after_seconds: What the service asked for.
        """
        if retry_after_seconds is None:
            longest = min(self.first_seconds * 2.0**number, self.most_seconds)
            return Wait(random.uniform(0.0, longest))
        if retry_after_seconds > self.most_seconds:
            return None
        return Wait(retry_after_seconds + random.uniform(0.0, self.first_seconds))


def send(request: Request, retries: Retries) -> Plan[httpx.Response]:
    """Send a request, and again where that is safe, until it succeeds.

    Whatever says for certain that the service did nothing is sent again: no connection, a 429, a
    refusal of a service that is busy or stopping. After anything else that may pass, as a
    connection that broke, a time-out, or a 502, 503 or 504, the service may have done it or not:
    only what is repeatable is sent again.

    Raises:
        StepcastError: If it does not succeed.
    """
    number = 0
    while True:
        outcome = yield request
        assert outcome is not None
        if isinstance(outcome, httpx.Response) and outcome.is_success:
            return outcome
        error = _error(outcome, attempts=number + 1)
        if number >= retries.times or not _may_be_repeated(request, outcome, error):
            raise error
        wait = retries.wait(number, error.retry_after_seconds)
        if wait is None:
            raise error
        yield wait
        number += 1


def _error(outcome: httpx.Response | httpx.TransportError, attempts: int) -> StepcastError:
    if isinstance(outcome, httpx.Response):
        return refusal(outcome, attempts)
    url = outcome.request.url
    address = f"{url.scheme}://{url.netloc.decode()}"  # without what it may hold of a password
    reason = str(outcome) or type(outcome).__name__
    error = UnreachableError(
        f"no answer from {address} ({reason}): is `stepcast serve` running?", attempts=attempts
    )
    error.__cause__ = outcome
    return error


def _may_be_repeated(
    request: Request, outcome: httpx.Response | httpx.TransportError, error: StepcastError
) -> bool:
    if isinstance(outcome, httpx.TransportError):
        is_passing = isinstance(outcome, _NOT_ANSWERED) and request.is_repeatable
        return is_passing or isinstance(outcome, _NOT_SENT)
    if outcome.status_code == httpx.codes.TOO_MANY_REQUESTS:
        return True
    if outcome.status_code not in (502, 503, 504):
        return False
    assert error.problem is not None
    return request.is_repeatable or error.problem.type in _UNTOUCHED

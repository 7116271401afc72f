"""What a call to a service can end in, besides an answer.

    StepcastError
    ├── InvalidError             400, 413, 422: the call makes no sense as it is
    ├── NotAllowedError          401, 403: no key, a wrong one, or one that may only read
    ├── NotFoundError            404: no such series or model
    ├── ConflictError            409: not the next observation, or too few of them for a forecast
    ├── PreconditionFailedError  412: the series is not at `expected_step`
    └── UnavailableError         429, 502, 503, 504: not now
        └── UnreachableError     no answer came

What has none of these classes is the service's own fault (500), or comes from no Stepcast.
"""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from forecaster.errors import ForecastError

_LONGEST_SHOWN = 200


class Problem(BaseModel):
    """A refusal as the service wrote it: RFC 9457, and facts that help.

    Args:
        type: What kind of refusal, as `urn:stepcast:gap`.
        title: The same for people.
        status: The HTTP status.
        detail: What is wrong, and what to do about it.
        step: How many observations the series has taken.
        ds: The time of the last of them.
        missing: How many more are needed for a forecast.

    Other facts are attributes too.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    type: str
    title: str
    status: int
    detail: str
    step: int | None = None
    ds: int | str | None = None
    missing: int | None = None


class StepcastError(ForecastError):
    """The base of every error that a client raises.

    Args:
        message: What went wrong.
        problem: The service's own words; None where no service said anything.
        attempts: How often the call was sent.
        retry_after_seconds: When to come again, if the service said so.
    """

    # Rows of a frame that were answered before the call that failed: those before this position.
    rows_answered: int = 0

    def __init__(
        self,
        message: str,
        *,
        problem: Problem | None = None,
        attempts: int = 1,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.problem = problem
        self.attempts = attempts
        self.retry_after_seconds = retry_after_seconds


class InvalidError(StepcastError):
    """The call makes no sense as it is; the message names field and value."""


class NotAllowedError(StepcastError):
    """The service asks for a key, or for another one."""


class NotFoundError(StepcastError):
    """There is no such series or model, and none was created."""


class ConflictError(StepcastError):
    """The observation is not the next of its series, or a forecast needs more of them."""


class PreconditionFailedError(StepcastError):
    """The series is not at the step that was expected; `problem.step` is where it is."""


class UnavailableError(StepcastError):
    """The service cannot do it now."""


class UnreachableError(UnavailableError):
    """No answer came. Whether the service took the call is not known."""


_KINDS: dict[int, type[StepcastError]] = {
    400: InvalidError,
    401: NotAllowedError,
    403: NotAllowedError,
    404: NotFoundError,
    409: ConflictError,
    412: PreconditionFailedError,
    413: InvalidError,
    422: InvalidError,
    429: UnavailableError,
    502: UnavailableError,
    503: UnavailableError,
    504: UnavailableError,
}


def refusal(response: httpx.Response, attempts: int) -> StepcastError:
    """Return what an answer that is none is raised as."""
    problem = _problem(response)
    path = response.request.url.path
    kind = _KINDS.get(response.status_code, StepcastError)
    return kind(
        f"{response.request.method} {path}: {response.status_code} {problem.detail}",
        problem=problem,
        attempts=attempts,
        retry_after_seconds=_retry_after(response),
    )


def _problem(response: httpx.Response) -> Problem:
    try:
        return Problem.model_validate_json(response.content)
    except ValidationError:  # a proxy's own page, or no Stepcast
        return Problem(
            type="about:blank",
            title=response.reason_phrase,
            status=response.status_code,
            detail=response.text[:_LONGEST_SHOWN] or response.reason_phrase,
        )


def _retry_after(response: httpx.Response) -> float | None:
    """Return the seconds in `Retry-After`, which may be a number or a time (RFC 9110, 10.2.3)."""
    told = response.headers.get("retry-after", "")
    if told.isdecimal():
        return float(told)
    try:
        until = parsedate_to_datetime(told)
    except ValueError:
        return None
    return max((until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds(), 0)

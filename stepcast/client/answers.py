"""What single calls are answered with."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, RootModel


class Answer(BaseModel):
    """A frozen value. Fields that a later service adds are left out."""

    model_config = ConfigDict(frozen=True)


class ForecastStep(Answer):
    """The forecast of one step, in the series' own units.

    Args:
        step: Which step of the series it is.
        ds: Its time, where the model knows the distance of observations.
        mean: The forecast.
        intervals: Lower and upper bound, by the level as text: `intervals["80"]`.
        quantiles: By the level as text: `quantiles["0.9"]`.
    """

    step: int
    ds: int | datetime | None
    mean: float
    intervals: dict[str, tuple[float, float]]
    quantiles: dict[str, float]


class Observed(Answer):
    """What became of an observation.

    Args:
        unique_id: The series.
        step: How many observations it has taken.
        ds: The time of the last of them.
        status: `applied`, or `duplicate` where it had been taken before.
        error: The actual minus the forecast that stood for it; None if there was none.
        next: The forecast of the next step; None while there are too few observations for one.
    """

    unique_id: str
    step: int
    ds: int | datetime | None
    status: str
    error: float | None
    next: ForecastStep | None


class Forecasted(Answer):
    """Forecasts of a series at a step; `unique_id` is None for a history that is not kept."""

    unique_id: str | None
    step: int
    model: str
    forecasts: tuple[ForecastStep, ...]


class Seeded(Answer):
    """A series that was begun anew, and the forecast of its next step."""

    unique_id: str
    step: int
    ds: int | datetime | None
    next: ForecastStep | None


class Scores(Answer):
    """How one-step forecasts of a series have gone; None where nothing was scored yet.

    Args:
        scored: How many there were.
        mae: Mean absolute error, in the series' own units.
        rmse: Root mean square error.
        skill: 1 - mae / mae of the last value as forecast.
        coverage: The share of actuals inside each interval, by the level as text.
    """

    scored: int
    mae: float | None
    rmse: float | None
    skill: float | None
    coverage: dict[str, float]


class SeriesStatus(Answer):
    """Where a series stands."""

    unique_id: str
    step: int
    ds: int | datetime | None
    model: str
    next: ForecastStep | None
    scores: Scores


class SeriesPage(Answer):
    """Series in the order of their names; `after` asks for the next page, if there is one."""

    series: tuple[SeriesStatus, ...]
    after: str | None


class PastStep(Answer):
    """A step that a series took, as a row of its history; `ds` as the service writes it.

    `x` is what was given of the model's covariates.
    """

    step: int
    ds: int | str | None
    y: float | None
    mark: str
    mean: float | None
    intervals: dict[str, tuple[float, float]]
    x: dict[str, float | str | None] = {}


class Past(Answer):
    """The last steps of a series, oldest first."""

    unique_id: str
    history: tuple[PastStep, ...]


class Table(RootModel[dict[str, list[Any]]]):
    """Columns of one length: the answer for many series."""


class State(RootModel[dict[str, Any]]):
    """The state of a series, as `put_state` takes it."""


class Reset(Answer):
    """How many series were reset."""

    reset: int


class Models(Answer):
    """The loaded models: their manifests, and the name of the one that calls without one go to."""

    models: tuple[dict[str, Any], ...]
    default: str | None


class Health(Answer):
    """A service that is ready, and the models that it serves."""

    status: str
    models: tuple[str, ...]

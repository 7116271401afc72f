"""How a forecast is asked for, and what the service answers, free of HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from app.intake import Status
from forecaster.covariates import Value
from forecaster.head import interval_levels
from forecaster.scores import LEVELS, RunningScores


@dataclass(frozen=True)
class Ask:
    """How a forecast is to be told.

    Args:
        h: Steps ahead.
        level: Central intervals, in percent.
        quantiles: Quantile levels.
    """

    h: int = 1
    level: tuple[float, ...] = LEVELS
    quantiles: tuple[float, ...] = ()

    @cached_property
    def levels(self) -> tuple[float, ...]:
        """All quantile levels: both bounds of each interval, then the quantiles."""
        bounds = [bound for percent in self.level for bound in interval_levels(percent)]
        return (*bounds, *self.quantiles)

    @cached_property
    def names(self) -> tuple[list[str], list[str]]:
        """Intervals and quantiles as the caller wrote them: `80` for 80.0, and no digit less."""
        return [_name(percent) for percent in self.level], [_name(q) for q in self.quantiles]

    @cached_property
    def columns(self) -> list[str]:
        """A column for each of `levels`: `lo_80`, `hi_80`, ... `q_0.9`."""
        intervals, quantiles = self.names
        bounds = [f"{end}_{name}" for name in intervals for end in ("lo", "hi")]
        return bounds + [f"q_{name}" for name in quantiles]


@dataclass(frozen=True)
class ForecastStep:
    """The forecast of one step, in the series' own units."""

    step: int
    ds: int | str | None
    mean: float
    intervals: dict[str, tuple[float, float]]
    quantiles: dict[str, float]


@dataclass(frozen=True)
class Observed:
    """What became of an observation; `error` is the actual minus the forecast that stood."""

    unique_id: str
    step: int
    ds: int | str | None
    status: Status
    error: float | None
    next: ForecastStep | None


@dataclass(frozen=True)
class Forecasted:
    """Forecasts of a series at a step; no `unique_id` for a history that is not kept."""

    unique_id: str | None
    step: int
    model: str
    forecasts: list[ForecastStep]


@dataclass(frozen=True)
class Seeded:
    """A series that was begun anew."""

    unique_id: str
    step: int
    ds: int | str | None
    next: ForecastStep | None


@dataclass(frozen=True)
class SeriesState:
    """The state of a series as a document, for another service of the same model.

    `unique_id` and `model` are the names here; `forecaster.portable` has the rest.
    """

    format: int
    unique_id: str
    model: str
    fingerprint: str
    step: int
    ds: int | str | None
    record: Mapping[str, Any]
    checksum: str


@dataclass(frozen=True)
class Reset:
    """How many series were reset."""

    reset: int


@dataclass(frozen=True)
class SeriesStatus:
    """Where a series stands; `error` is that of its last observation, as in `Observed`."""

    unique_id: str
    step: int
    ds: int | str | None
    model: str
    error: float | None
    next: ForecastStep | None
    scores: RunningScores


@dataclass(frozen=True)
class PastStep:
    """A step that a series took, and the forecast that stood for it.

    `mark` is `observed`, `after-gap` if steps were left out before it, or `filled` if it was left
    out itself and the forecast stood in. `y` is null where it was missing, `mean` where there was
    no forecast. `x` is what was given of the model's covariates.
    """

    step: int
    ds: int | str | None
    y: float | None
    mark: Literal["observed", "after-gap", "filled"]
    mean: float | None
    intervals: dict[str, tuple[float, float]]
    x: dict[str, Value]


@dataclass(frozen=True)
class Past:
    """The last steps of a series, oldest first."""

    unique_id: str
    history: list[PastStep]


@dataclass(frozen=True)
class Moved:
    """An observation that a series took, and where the series stands after it."""

    observation: PastStep
    series: SeriesStatus


@dataclass(frozen=True)
class SeriesPage:
    """Series in the order of their names; `after` asks for the next page, if there is one."""

    series: list[SeriesStatus]
    after: str | None


def _name(level: float) -> str:
    """Return a level as its caller wrote it: `80` for 80.0, and no digit less."""
    return repr(float(level)).removesuffix(".0")

"""The contract's schemas of `/forecast` and `/observe`, written as an application would."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

UniqueId = Annotated[str, Field(min_length=1, max_length=256)]
Level = Annotated[float, Field(gt=0, lt=100)]
Quantile = Annotated[float, Field(gt=0, lt=1)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    model: Annotated[str, Field(max_length=64)] | None = None


class ForecastRequest(Body):
    unique_id: UniqueId | None = None
    y: list[float | None] | None = None
    ds: list[int | datetime] | None = None
    h: Annotated[int, Field(ge=1)] = 1
    level: list[Level] = [80, 95]
    quantiles: list[Quantile] = []


class ObserveRequest(Body):
    unique_id: UniqueId
    y: float | None
    ds: int | datetime | None = None
    expected_step: Annotated[int, Field(ge=0)] | None = None


class ForecastStep(BaseModel):
    step: int
    ds: int | str | None
    mean: float
    intervals: dict[str, tuple[float, float]]
    quantiles: dict[str, float]


class Forecasted(BaseModel):
    unique_id: str | None
    step: int
    model: str
    forecasts: list[ForecastStep]


class Observed(BaseModel):
    unique_id: str
    step: int
    ds: int | str | None
    status: Literal["applied", "duplicate"]
    error: float | None
    next: ForecastStep | None

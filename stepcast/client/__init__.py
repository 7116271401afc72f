"""A Python client of the service: `Client`, and `AsyncClient` for code that awaits.

Frames need pandas; calls for one series need httpx alone.
"""

from stepcast.client.answers import (
    Forecasted,
    ForecastStep,
    Health,
    Models,
    Observed,
    Scores,
    Seeded,
    SeriesPage,
    SeriesStatus,
)
from stepcast.client.client import AsyncClient, Client
from stepcast.client.errors import (
    ConflictError,
    InvalidError,
    NotAllowedError,
    NotFoundError,
    PreconditionFailedError,
    Problem,
    StepcastError,
    UnavailableError,
    UnreachableError,
)
from stepcast.client.retries import Retries

__all__ = [
    "AsyncClient",
    "Client",
    "ConflictError",
    "ForecastStep",
    "Forecasted",
    "Health",
    "InvalidError",
    "Models",
    "NotAllowedError",
    "NotFoundError",
    "Observed",
    "PreconditionFailedError",
    "Problem",
    "Retries",
    "Scores",
    "Seeded",
    "SeriesPage",
    "SeriesStatus",
    "StepcastError",
    "UnavailableError",
    "UnreachableError",
]

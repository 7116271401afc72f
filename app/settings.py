"""Settings of the service: `STEPCAST_*` variables, which flags of `stepcast serve` override."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from forecaster.cursor import OnGap
from forecaster.errors import InvalidRequestError
from forecaster.model import Engine


class Settings(BaseSettings):
    """What a service is told when it starts.

    Args:
        models: The folder of model folders. All of them are loaded.
        model: The default model; needed only where there is more than one.
        store: Where records are kept. `memory`: they end with the process.
        engine: What does the steps.
        host: Address to listen on.
        port: Port to listen on.
        on_gap: What becomes of an observation that leaves steps out; by default what the model's
            manifest says.
        start: `training`: a series that the model was trained on starts where training ended.
            `empty`: every series starts with its first observation.
        max_horizon: The most steps ahead one forecast may ask for.
        max_history: The most observations one seed or inline forecast may bring.
        max_rows: The most rows of one batch call, or of its answer.
        max_body_bytes: The largest request body.
    """

    model_config = SettingsConfigDict(env_prefix="STEPCAST_", frozen=True, env_ignore_empty=True)

    models: Path = Path("models")
    model: str | None = None
    store: Literal["memory"] = "memory"
    engine: Engine = Engine.NUMPY
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    on_gap: OnGap | None = None
    start: Literal["training", "empty"] = "training"
    max_horizon: int = Field(default=1000, ge=1)
    max_history: int = Field(default=100_000, ge=1)
    max_rows: int = Field(default=100_000, ge=1)
    max_body_bytes: int = Field(default=16_000_000, ge=1)


def read_settings(flags: dict[str, Any]) -> Settings:
    """Return the settings of the environment, with flags in their place.

    Raises:
        InvalidRequestError: If one is not valid; the message names it.
    """
    try:
        return Settings(**flags)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise InvalidRequestError(
            f"setting {name} (STEPCAST_{name.upper()}): {first['msg']}, found {first['input']!r}"
        ) from error

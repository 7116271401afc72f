"""Settings of the service: `STEPCAST_*` variables, which flags of `stepcast serve` override."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from forecaster.cursor import OnGap
from forecaster.errors import InvalidRequestError
from forecaster.model import Engine

LogFormat = Literal["console", "json"]
AccessLog = Literal["none", "failed", "all"]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _split(names: Any) -> Any:
    if not isinstance(names, str):
        return names
    return [name.strip() for name in names.split(",") if name.strip()]


# `*`, or what a browser sends: a scheme and a host, and no path.
Origin = Annotated[str, Field(pattern=r"^(\*|https?://[^/?#\s@]+)$")]
Origins = Annotated[tuple[Origin, ...], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """What a service is told when it starts.

    Args:
        models: The folder of model folders. All of them are loaded.
        model: The default model; by default `universal`, or the only one.
        store: Where series are kept. `sqlite:///FILE`: in a file, which outlives the process; four
            slashes for one that begins at the root. `memory`: they end with the process.
        max_series: The most series of one model.
        max_memory_bytes: The memory that the records of one model may take; the coldest beyond are
            left in the file until they are asked for.
        keep_observations: How many observations of each series the file keeps at least, and about
            twice as many at most: for its history, for corrections, and for a new model. 0: none.
        recovery_seconds: About how long a start may take to replay what came after the last
            checkpoint.
        engine: What does the steps.
        host: Address to listen on.
        port: Port to listen on.
        on_gap: What becomes of an observation that leaves steps out; by default what the model's
            manifest says.
        season: The season of series that begin without one: `24`, or `168,24` for one within
            another. By default what the model's manifest says.
        start: `training`: a series that the model was trained on starts where training ended.
            `empty`: every series starts with its first observation.
        max_horizon: The most steps ahead one forecast may ask for.
        max_history: The most observations one seed or inline forecast may bring.
        max_rows: The most rows of one batch call, or of its answer.
        max_body_bytes: The largest request body.
        max_bytes_in_flight: The most bytes of bodies that are held at once, and as many of answers;
            never less than one of the largest size.
        max_concurrency: The most calls in flight.
        max_connections: The most connections.
        max_listeners: The most streams of what happens to the series of one model.
        head_timeout_seconds: How long a client may take to send the head of a request.
        body_timeout_seconds: How long a client may take to send a body.
        write_timeout_seconds: How long a client may leave an answer unread.
        stop_timeout_seconds: How long the process may take to end once it is told to.
        api_keys: Keys, separated by commas: `read:KEY`, or `write:KEY`, or a bare key, which may
            write.
        api_keys_file: A file of such keys, one a line; lines that begin with `#` are none.
        allow_anonymous: Without keys, answer more than this machine.
        metrics_public: With keys, tell `/metrics` to callers without one; not of single series.
        log_format: How the log is written: `console`, for people, or `json`.
        log_level: The least of what is logged.
        access_log: Which answers have a line in the log: `none`, those that `failed` with a status
            of 400 or more, or `all`.
        cors_origins: Origins whose pages may call, separated by commas; none by default.
    """

    model_config = SettingsConfigDict(env_prefix="STEPCAST_", frozen=True, env_ignore_empty=True)

    models: Path = Path("models")
    model: str | None = None
    store: str = Field(default="sqlite:///var/stepcast.db", pattern=r"^(memory|sqlite:///.+)$")
    max_series: int = Field(default=1_000_000, ge=1)
    max_memory_bytes: int = Field(default=1_000_000_000, ge=1)
    keep_observations: int = Field(default=1000, ge=0)
    recovery_seconds: Seconds = 5.0
    engine: Engine = Engine.NUMPY
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    on_gap: OnGap | None = None
    season: str | None = None
    start: Literal["training", "empty"] = "training"
    max_horizon: int = Field(default=1000, ge=1)
    max_history: int = Field(default=100_000, ge=1)
    max_rows: int = Field(default=100_000, ge=1)
    max_body_bytes: int = Field(default=16_000_000, ge=1)
    max_bytes_in_flight: int = Field(default=64_000_000, ge=1)
    max_concurrency: int = Field(default=1000, ge=1)
    max_connections: int = Field(default=2000, ge=1)
    max_listeners: int = Field(default=100, ge=0)
    head_timeout_seconds: Seconds = 10.0
    body_timeout_seconds: Seconds = 30.0
    write_timeout_seconds: Seconds = 30.0
    stop_timeout_seconds: Seconds = 10.0
    api_keys: SecretStr | None = None
    api_keys_file: Path | None = None
    allow_anonymous: bool = False
    metrics_public: bool = False
    log_format: LogFormat = "console"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    access_log: AccessLog = "none"
    cors_origins: Origins = ()

    @property
    def store_path(self) -> Path | None:
        """The file that series are kept in, if they are kept in one."""
        return None if self.store == "memory" else Path(self.store.removeprefix("sqlite:///"))


def read_settings(flags: dict[str, Any]) -> Settings:
    """Return the settings of the environment, with flags in their place.

    Raises:
        InvalidRequestError: If one is not valid; the message names it.
    """
    try:
        return Settings(**flags)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0])
        raise InvalidRequestError(
            f"setting {name} (STEPCAST_{name.upper()}): {first['msg']}, found {first['input']!r}"
        ) from error

"""What a training run is made of, as flags or a TOML file say it."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from forecaster.cursor import OnGap
from forecaster.spec import QUANTILES, FreqText, HeadSpec, Name, Policy
from training.errors import DataError

Scale = Literal["auto", "minmax", "running"]
Optimizer = Literal["adam", "adamw", "nadam", "rmsprop", "sgd"]
Loss = Literal["quantiles", "mse", "mae", "huber"]


class Recipe(BaseModel):
    """How a network is made and fitted. Every field is a flag of `stepcast train`.

    Args:
        difference: Lag of the difference taken of each series; 0 for none.
        scale: `minmax`: one map to [-1, 1] for all series. `running`: each series by the running
            size of its own differences. `auto`: minmax for one series, running for several.
        units: LSTM units of each layer.
        policy: Whether state is carried from step to step, in training and in service.
        batch: Streams trained side by side, each with a state of its own.
        window: Steps through which the gradient runs. State is carried from window to window.
        epochs: Passes over the data, at most.
        optimizer: Which optimiser of Keras.
        learning_rate: Its step size.
        clip_norm: Largest norm of a gradient; 0 for no limit.
        loss: `quantiles` trains a mean and quantiles; the others a mean alone, and its intervals
            are those of its residuals.
        quantiles: The quantile levels.
        validation: Share of the training part, at its end, that is held back to stop by.
        patience: Epochs without improvement of the validation loss before the fit stops; the rate
            is halved after half of them.
        seed: Fixes the initial weights.
        repeats: Further seeds trained for the spread of the score: `seed + 1` and so on. The model
            kept is always that of `seed`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    difference: int = Field(default=1, ge=0)
    scale: Scale = "auto"
    units: tuple[Annotated[int, Field(ge=1, le=8192)], ...] = (32,)
    policy: Policy = Policy.CARRY
    batch: int = Field(default=32, ge=1)
    window: int = Field(default=24, ge=1)
    epochs: int = Field(default=200, ge=1)
    optimizer: Optimizer = "adam"
    learning_rate: float = Field(default=0.003, gt=0)
    clip_norm: float = Field(default=1.0, ge=0)
    loss: Loss = "quantiles"
    quantiles: tuple[float, ...] = QUANTILES
    validation: float = Field(default=0.2, ge=0, lt=1)
    patience: int = Field(default=20, ge=1)
    seed: int = Field(default=1, ge=0, lt=2**32)
    repeats: int = Field(default=0, ge=0)

    @field_validator("units")
    @classmethod
    def _check_units(cls, units: tuple[int, ...]) -> tuple[int, ...]:
        if not units:
            raise ValueError("at least one layer is needed")
        return units

    @field_validator("quantiles")
    @classmethod
    def _check_quantiles(cls, quantiles: tuple[float, ...]) -> tuple[float, ...]:
        return HeadSpec(kind="quantiles", quantiles=quantiles).quantiles

    @model_validator(mode="after")
    def _check_window(self) -> "Recipe":
        if self.policy is Policy.RESET_EACH_STEP and self.window != 1:
            raise ValueError("policy reset_each_step trains each step alone: it needs window 1")
        return self


class Job(BaseModel):
    """What to train on, and under which name.

    Args:
        file: CSV or Parquet, long format.
        name: The model's name, and that of its folder.
        test: Observations of each series held back for the final walk; by default a tenth of the
            shortest series.
        id_column: Column of the series' names, `unique_id` by default.
        time_column: Column of the times, `ds` by default.
        target_column: Column of the values, `y` by default.
        freq: Distance between observations; inferred by default.
        season: Season length for baselines and MASE; the usual one of the frequency by default.
        on_gap: What to do with gaps against the frequency.
        note: A sentence for the report: how the recipe was chosen.
        recipe: How the network is made and fitted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: Path
    name: Name
    test: int | None = Field(default=None, ge=1)
    id_column: str | None = None
    time_column: str | None = None
    target_column: str | None = None
    freq: FreqText = None
    season: int | None = Field(default=None, ge=1)
    on_gap: OnGap = OnGap.SKIP
    note: str = ""
    recipe: Recipe = Recipe()


def read_job(config: Path | None, changes: dict[str, Any], recipe: dict[str, Any]) -> Job:
    """Return the job of a TOML file, with changes from the command line.

    Args:
        config: The file, or `None`. Its `file` is relative to it.
        changes: Fields of `Job` to set.
        recipe: Fields of `Recipe` to set.

    Raises:
        DataError: If the file is not TOML, or a field is unknown or not valid.
    """
    fields: dict[str, Any] = {}
    if config is not None:
        try:
            fields = tomllib.loads(config.read_text())
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise DataError(f"{config}: expected a TOML file, found {error}") from error
        if isinstance(fields.get("file"), str):
            fields["file"] = config.parent / fields["file"]
    fields |= changes
    fields["recipe"] = fields.get("recipe", {}) | recipe
    try:
        return Job(**fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        source = config or "the command line"
        found = first.get("input")
        raise DataError(f"{source}: {where}: {first['msg']}, found {found!r}") from error

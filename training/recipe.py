"""What a training run is made of, as flags or a TOML file say it."""

import re
import tomllib
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from forecaster.cursor import OnGap
from forecaster.errors import InvalidRequestError
from forecaster.journal import Season
from forecaster.season import make_season, season_of_length
from forecaster.spec import (
    QUANTILES,
    Cycle,
    FreqText,
    HeadSpec,
    Name,
    Policy,
    UniversalTransformSpec,
)
from training.errors import DataError

Scale = Literal["auto", "minmax", "running"]
Optimizer = Literal["adam", "adamw", "nadam", "rmsprop", "sgd"]
Loss = Literal["quantiles", "mse", "mae", "huber"]
Method = Literal["auto", "universal", "tuned", "plain"]
Units = Annotated[tuple[Annotated[int, Field(ge=1, le=8192)], ...], Field(min_length=1)]
Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0)]
Columns = tuple[Annotated[str, Field(min_length=1)], ...]

# With fewer samples than this a large network learns the noise, and a plain one does better.
_MANY_SAMPLES = 400
# From so many on there is more to learn than to overfit to.
_VERY_MANY_SAMPLES = 20_000
# The textbook's for two years of months: 22 samples, 1000 epochs.
_PLAIN_UPDATES = 22_000
_MOST_PLAIN_EPOCHS = 1000


class Recipe(BaseModel):
    """How a network is made and fitted. Every field is a flag of `stepcast train`.

    Where a field may be `None`, that is the default, and `settle` chooses by the number of samples.

    Args:
        difference: Lag of the difference taken of each series; 0 for none.
        scale: `minmax`: one map to [-1, 1] for all series. `running`: each series by the running
            size of its own differences. `auto`: minmax for one series, running for several.
        units: LSTM units of each layer; `None` for 1, or 32 where there are many samples.
        policy: Whether state is carried from step to step, in training and in service. `auto`: as
            the end of the history tells, over several seeds.
        batch: Streams trained side by side, each with a state of its own; `None` for 1, or 32
            where there are many samples.
        window: Steps through which the gradient runs. State is carried from window to window.
            `None` for 1, or 24 where there are many samples and state is carried.
        epochs: Passes over the data, at most; `None` for those that make about 22,000 updates, at
            most 1000, or for 200 where there are many samples.
        optimizer: Which optimiser of Keras.
        learning_rate: Its step size; `None` for 0.001, or 0.003 where there are many samples.
        clip_norm: Largest norm of a gradient; 0 for no limit.
        loss: `quantiles` trains a mean and quantiles; the others a mean alone, and its intervals
            are those of its residuals. `None` for mse, or quantiles where there are many samples.
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
    units: Units | None = None
    policy: Policy | Literal["auto"] = Policy.CARRY
    batch: Count | None = None
    window: Count | None = None
    epochs: Count | None = None
    optimizer: Optimizer = "adam"
    learning_rate: Rate | None = None
    clip_norm: float = Field(default=1.0, ge=0)
    loss: Loss | None = None
    quantiles: tuple[float, ...] = QUANTILES
    validation: float = Field(default=0.2, ge=0, lt=1)
    patience: int = Field(default=20, ge=1)
    seed: int = Field(default=1, ge=0, lt=2**32)
    repeats: int = Field(default=0, ge=0)

    @field_validator("quantiles")
    @classmethod
    def _check_quantiles(cls, quantiles: tuple[float, ...]) -> tuple[float, ...]:
        return HeadSpec(kind="quantiles", quantiles=quantiles).quantiles

    @model_validator(mode="after")
    def _check_window(self) -> "Recipe":
        if self.policy is Policy.RESET_EACH_STEP and self.window not in (None, 1):
            raise ValueError("policy reset_each_step trains each step alone: it needs window 1")
        return self


class SettledRecipe(Recipe):
    """A recipe with nothing left to choose, as a fit takes it and a manifest tells it."""

    units: Units
    policy: Policy = Policy.CARRY
    batch: Count
    window: Count
    epochs: Count
    learning_rate: Rate
    loss: Loss


def settle(recipe: Recipe, samples: int) -> SettledRecipe:
    """Choose what a recipe leaves open.

    Below 400 samples that is the textbook's plain network of one unit, fed one step at a time;
    above, one that learns quantiles too.

    Args:
        recipe: What it names is kept. Its policy is not `auto`.
        samples: How many steps there are to learn from, validation included.
    """
    chosen: dict[str, Any]
    if samples < _MANY_SAMPLES:
        chosen = {"units": (1,), "batch": 1, "window": 1, "learning_rate": 0.001, "loss": "mse"}
    else:
        chosen = {
            "units": (32,),
            "batch": 32,
            "window": 1 if recipe.policy is Policy.RESET_EACH_STEP else 24,
            "epochs": 200,
            "learning_rate": 0.003,
            "loss": "quantiles",
        }
    chosen |= recipe.model_dump(exclude_none=True)
    if "epochs" not in chosen:
        updates = -(-samples // (chosen["batch"] * chosen["window"]))
        chosen["epochs"] = textbook_epochs(max(updates, 1))
    return SettledRecipe(**chosen)


def textbook_epochs(updates: int) -> int:
    """Return the epochs that make about as many updates as the textbook's, at most as many epochs.

    Args:
        updates: In an epoch.
    """
    return min(-(-_PLAIN_UPDATES // updates), _MOST_PLAIN_EPOCHS)


def _check_cycles(calendar: tuple[Cycle, ...]) -> tuple[Cycle, ...]:
    return UniversalTransformSpec(calendar=calendar).calendar


class TuneRecipe(BaseModel):
    """How the universal network goes on learning on series of a user's own.

    Args:
        calendar: Cycles of the calendar that it is told of; `None` for those that are longer than
            a step, whole in the history at least twice, and not what seasons are for.
        dropout: Share of the LSTM's outputs that the head does without, in training; `None` for
            0.4, or 0.2 where there are very many samples.
        learning_rate: AdamW's step size; `None` for 0.001, or 0.002 where there are very many.
        weight_decay: AdamW's.
        clip_norm: Largest norm of a gradient.
        batch: Pieces of history trained side by side.
        window: Steps of a piece that are scored.
        warmup: Steps before them, in which the state forms.
        updates: Updates in a round, after which validation looks; `None` for 20, or 100 where there
            are very many.
        rounds: Rounds, at most.
        patience: Rounds without a better validation loss before it stops.
        average: What a round leaves of the average of the weights before it.
        validation: Share of the history, at its end, by which rounds and models are judged.
        seed: Fixes what is drawn.
        repeats: Further seeds, for the spread of the score; the model kept is that of `seed`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    calendar: Annotated[tuple[Cycle, ...], AfterValidator(_check_cycles)] | None = None
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    learning_rate: Rate | None = None
    weight_decay: float = Field(default=0.01, ge=0)
    clip_norm: Rate = 1.0
    batch: Count = 64
    window: Count = 48
    warmup: int = Field(default=24, ge=0)
    updates: Count | None = None
    rounds: Count = 60
    patience: Count = 8
    average: float = Field(default=0.67, ge=0, lt=1)
    validation: float = Field(default=0.15, gt=0, lt=1)
    seed: int = Field(default=1, ge=0, lt=2**32)
    repeats: int = Field(default=0, ge=0)


class SettledTuneRecipe(TuneRecipe):
    """A recipe with nothing left to choose but the calendar, which the series tell."""

    dropout: Annotated[float, Field(ge=0, lt=1)]
    learning_rate: Rate
    updates: Count


def settle_tuning(recipe: TuneRecipe, samples: int) -> SettledTuneRecipe:
    """Choose what a recipe leaves open, by how many steps there are to learn from."""
    chosen: dict[str, Any] = {"dropout": 0.4, "learning_rate": 0.001, "updates": 20}
    if samples >= _VERY_MANY_SAMPLES:
        chosen = {"dropout": 0.2, "learning_rate": 0.002, "updates": 100}
    return SettledTuneRecipe(**chosen | recipe.model_dump(exclude_none=True))


@dataclass(frozen=True)
class Asked:
    """Columns that are to be covariates.

    Args:
        past: Those known with the observation of their row.
        future: Those known before it.
        static: A file with the name of each series; its other columns belong to the series.
    """

    past: tuple[str, ...] = ()
    future: tuple[str, ...] = ()
    static: Path | None = None


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
        season: The season, or one and a shorter one within it, as [168, 24]; by default the times
            of each series tell it. Baselines and MASE take the shorter one.
        past: Columns that are covariates, known with the observation of their row.
        future: Columns that are covariates, known before it.
        static: A file with a row for each series: its name, and what else is known of it.
        on_gap: What to do with gaps against the frequency: `skip`, `fill` or `refuse`.
        note: A sentence for the report: how the recipe was chosen.
        method: `universal`: the bundled model as it is. `tuned`: it goes on learning on these
            series. `plain`: a network of new weights, as `recipe` says. `auto`: the better of the
            first two, by the end of the history; it is the default where no `recipe` is given.
        budget: How long tuning may take for one seed, as 90s, 5m or 1h: half of it to find out for
            how long to tune. The fit of a plain network takes what its epochs take.
        tune: How the universal network is tuned.
        recipe: How a plain network is made and fitted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: Path
    name: Name
    test: int | None = Field(default=None, ge=1)
    id_column: str | None = None
    time_column: str | None = None
    target_column: str | None = None
    freq: FreqText = None
    season: Annotated[int, Field(ge=1)] | tuple[int, int] | None = None
    past: Columns = ()
    future: Columns = ()
    static: Path | None = None
    on_gap: OnGap = OnGap.SKIP
    note: str = ""
    method: Method = "auto"
    budget: timedelta | None = timedelta(minutes=10)
    tune: TuneRecipe = TuneRecipe()
    recipe: Recipe = Recipe()

    @model_validator(mode="before")
    @classmethod
    def _settle_method(cls, fields: Any) -> Any:
        # Who names what a plain network is made of wants one.
        if isinstance(fields, dict) and "recipe" in fields:
            return {"method": "plain"} | fields
        return fields

    @property
    def asked(self) -> Asked:
        """The columns that are to be covariates."""
        return Asked(self.past, self.future, self.static)

    @property
    def baseline_season(self) -> int | None:
        """The season of the seasonal naive forecast and of MASE, if one is named."""
        if isinstance(self.season, tuple):
            return self.season[1] or self.season[0]
        return self.season

    @property
    def told_season(self) -> Season | None:
        """What the universal model is told of every series, if one is named."""
        if isinstance(self.season, tuple):
            return make_season(*self.season)
        return None if self.season is None else season_of_length(self.season)

    @field_validator("budget", mode="before")
    @classmethod
    def _read_budget(cls, budget: object) -> object:
        if not isinstance(budget, str):
            return budget
        found = re.fullmatch(r"([0-9]{1,6})([smh])", budget)
        if found is None:
            raise ValueError("expected a time as 90s, 5m or 1h")
        return int(found[1]) * timedelta(seconds={"s": 1, "m": 60, "h": 3600}[found[2]])

    @field_validator("season", mode="before")
    @classmethod
    def _read_season(cls, season: object) -> object:
        if not isinstance(season, str):
            return season
        found = re.fullmatch(r"([0-9]{1,9})(?:,([0-9]{1,9}))?", season)
        if found is None:
            raise ValueError("expected a length, or two as 168,24")
        return int(found[1]) if found[2] is None else (int(found[1]), int(found[2]))

    @field_validator("season")
    @classmethod
    def _check_season(cls, season: int | tuple[int, int] | None) -> int | tuple[int, int] | None:
        if isinstance(season, tuple):
            try:
                make_season(*season)
            except InvalidRequestError as error:
                raise ValueError(str(error).removeprefix("season: ")) from error
        return season

    @field_validator("on_gap", mode="before")
    @classmethod
    def _read_on_gap(cls, on_gap: object) -> object:
        # As the flag: who trains refuses a file, the service rejects an observation.
        return OnGap.REJECT if on_gap == "refuse" else on_gap


def read_job(
    config: Path | None,
    changes: dict[str, Any],
    recipe: dict[str, Any],
    seeds: dict[str, Any] | None = None,
) -> Job:
    """Return the job of a TOML file, with changes from the command line.

    Args:
        config: The file, or `None`. Its `file` and `static` are relative to it.
        changes: Fields of `Job` to set.
        recipe: Fields of `Recipe` to set.
        seeds: `seed` and `repeats`, whichever recipe they are for.

    Raises:
        DataError: If the file is not TOML, or a field is unknown or not valid.
    """
    fields: dict[str, Any] = {}
    if config is not None:
        fields = read_toml(config)
        for name in ("file", "static"):
            if isinstance(fields.get(name), str):
                fields[name] = config.parent / fields[name]
    fields |= changes
    source = config or "the command line"
    tables = {"recipe": fields.pop("recipe", {}), "tune": fields.pop("tune", {})}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise DataError(f"{source}: {name}: expected a table [{name}], found {table!r}")
    tables["recipe"] |= recipe
    method = fields.get("method")
    if tables["recipe"] and method not in (None, "plain"):
        raise DataError(
            f"{source}: method {method}: expected nothing of a plain network beside it, "
            f"found {', '.join(tables['recipe'])}"
        )
    is_plain = tables["recipe"] or method == "plain"
    tables["recipe" if is_plain else "tune"] |= seeds or {}
    fields |= {name: table for name, table in tables.items() if table}
    try:
        return Job(**fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "missing":
            here = "here or " if config else ""
            raise DataError(f"{source}: {where}: needed, {here}{_FLAGS[where]}") from error
        problem, found = first["msg"].removeprefix("Value error, "), first["input"]
        if where == "name":
            problem = "expected up to 64 of a-z, 0-9, '_', '.' and '-', as sales-2024"
        if not isinstance(found, dict):  # a whole table says nothing
            problem += f", found {found!r}"
        raise DataError(f"{source}: {where}: {problem}") from error


def read_toml(path: Path) -> dict[str, Any]:
    """Return what a TOML file says.

    Raises:
        DataError: If it cannot be read as such.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"{path}: expected a TOML file, found {error}") from error


# What a job cannot do without, and how the command line gives it.
_FLAGS = {"file": "as the first argument", "name": "with --name"}

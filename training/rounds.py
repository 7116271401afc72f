"""Rounds of generated series, as the universal network sees them.

Here is no Keras: rounds are made in a process of their own, which is to start quickly.
"""

import signal
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from forecaster.universal import UniversalTransform
from training.errors import DataError
from training.prior import generate
from training.recipe import read_toml
from training.streams import Batches, Stream, pack, samples

# How many series a round has of each length: most are short, and most steps are of long ones.
_ROUND = {40: 256, 80: 320, 160: 320, 320: 256, 640: 128}
# A target further out is an outlier, and an error counts in full from the tenth step on.
_FURTHEST = 8.0
_EARLY = 10.0


class PretrainRecipe(BaseModel):
    """How the universal model is made, as `examples/recipes/universal.toml` says it.

    Args:
        units: LSTM units.
        rounds: How many rounds; the rate falls to nothing over them.
        series: How many series a round has of each length.
        batch: Streams trained side by side.
        window: Steps through which the gradient runs. State is carried from window to window.
        learning_rate: AdamW's step size at its highest.
        warmup: Updates until it is.
        weight_decay: AdamW's.
        clip_norm: Largest norm of a gradient.
        seed: Fixes the series and the initial weights.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    units: int = Field(default=64, ge=1, le=8192)
    rounds: int = Field(default=200, ge=1)
    series: dict[Annotated[int, Field(ge=3)], Annotated[int, Field(ge=1)]] = _ROUND
    batch: int = Field(default=128, ge=1)
    window: int = Field(default=40, ge=1)
    learning_rate: float = Field(default=0.003, gt=0)
    warmup: int = Field(default=100, ge=0)
    weight_decay: float = Field(default=0.001, ge=0)
    clip_norm: float = Field(default=1.0, gt=0)
    seed: int = Field(default=1, ge=0, lt=2**32)


def read_recipe(config: Path | None, changes: dict[str, Any]) -> PretrainRecipe:
    """Return the recipe of a TOML file, with changes from the command line.

    Raises:
        DataError: If the file is not TOML, or a field is unknown or not valid.
    """
    source = config or "the command line"
    fields = {} if config is None else read_toml(config)
    try:
        return PretrainRecipe.model_validate(fields | changes)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{source}: {where}: {first['msg']}, found {first['input']!r}") from error


def make_round(recipe: PretrainRecipe, seed: list[int]) -> Batches:
    """Return generated series as the network sees them; the seed fixes them."""
    rng = np.random.default_rng(seed)
    streams: list[Stream] = []
    for length, count in recipe.series.items():
        made = generate(rng, count, length)
        seasons = np.stack([made.season, made.second], axis=1)  # where 1 is none, as 0 is
        streams += [weighted(one) for one in samples(UniversalTransform(), list(made.y), seasons)]
    return pack(streams, batch=recipe.batch, window=recipe.window)


def ignore_interrupts() -> None:
    """Leave Ctrl-C to the process that waits for rounds."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def weighted(stream: Stream) -> Stream:
    """Weigh samples: little while a series is new, and nothing where it has no scale yet."""
    early = np.minimum(np.arange(1, len(stream) + 1) / _EARLY, 1.0)
    weights = stream.weights * early.astype(np.float32)
    targets = np.clip(stream.targets, -_FURTHEST, _FURTHEST)
    return Stream(stream.inputs, targets, weights)

"""What a comparison is made of, as the flags of `stepcast compare` say it."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from training.data import Panel, Series
from training.errors import DataError
from training.recipe import Count, Units, textbook_epochs

RecurrentActivation = Literal["sigmoid", "hard_sigmoid"]

_USUAL_TEST = 12
_USUAL_BATCH = 12
_FEWEST_SAMPLES = 2


class Settings(BaseModel):
    """What is compared. Where a field may be `None`, that is the default, and the series decides.

    Args:
        units: LSTM units of each layer.
        batch: Rows of the pair of conditions that trains with more than one; `None` for 12, or the
            samples there are.
        epochs: `None` for those that make about 22,000 updates of one sample, at most 1000.
        lag: How many of the last changes a network is shown at each step, as features of one time
            step.
        difference: Lag of the difference taken of the series; 0 for none.
        test: Steps walked at the end; `None` for a tenth of the series, but 12 at least, and a
            third at most.
        repeats: Networks trained for each condition.
        seed: Fixes initial weights and shuffles.
        recurrent_activation: Of the gates: `sigmoid`, or Keras 2's `hard_sigmoid`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    units: Units = (1,)
    batch: Count | None = None
    epochs: Count | None = None
    lag: Count = 1
    difference: int = Field(default=1, ge=0)
    test: Count | None = None
    repeats: int = Field(default=100, ge=2)
    seed: int = Field(default=1, ge=0, lt=2**32)
    recurrent_activation: RecurrentActivation = "sigmoid"


class SettledSettings(Settings):
    """Settings with nothing left to choose."""

    batch: Count
    epochs: Count
    test: Count


def read_settings(fields: dict[str, Any]) -> Settings:
    """Return the settings that the command line gives.

    Raises:
        DataError: If one is not valid.
    """
    try:
        return Settings.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = str(first["loc"][0])
        raise DataError(f"--{where}: {first['msg']}, found {first['input']!r}") from error


def pick(panel: Panel, name: str | None, file: Path) -> Series:
    """Return the series to compare on: the one named, or the only one.

    Raises:
        DataError: If there is none of that name, or more than one and none is named.
    """
    if name is None and len(panel) > 1:
        raise DataError(
            f"expected one series, found {len(panel)}; --series names the one to compare on, "
            f"as --series {panel.ids[0]}",
            path=file,
        )
    found = [one for one in panel.series if name in (None, one.unique_id)]
    if not found:
        raise DataError(
            f"--series: expected a series of the file, as {panel.ids[0]!r}, found {name!r}",
            path=file,
        )
    return found[0]


def settle(settings: Settings, series: Series) -> SettledSettings:
    """Choose what settings leave open, by the length of the series.

    Raises:
        DataError: If it is too short, or a value is missing.
    """
    missing = np.flatnonzero(np.isnan(series.y))
    if len(missing):
        raise DataError(
            f"series {series.unique_id!r}: observation {missing[0] + 1} is missing "
            f"({len(missing)} in all); a comparison needs every value"
        )
    count = len(series)
    fields = settings.model_dump(exclude_none=True)
    test = fields.setdefault("test", max(min(max(_USUAL_TEST, count // 10), count // 3), 1))
    samples = count - settings.difference - settings.lag - test
    if samples < _FEWEST_SAMPLES:
        raise DataError(
            f"series {series.unique_id!r}: expected {count - samples + _FEWEST_SAMPLES} or more "
            f"observations for a test of {test} with difference {settings.difference} and lag "
            f"{settings.lag}, found {count}"
        )
    if settings.batch is not None and settings.batch > samples:
        raise DataError(
            f"--batch: expected at most {samples}, which is how many samples come before the test, "
            f"found {settings.batch}"
        )
    fields.setdefault("batch", min(_USUAL_BATCH, samples))
    fields.setdefault("epochs", textbook_epochs(samples))
    return SettledSettings(**fields)

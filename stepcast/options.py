"""Flags that several commands share, and how their texts are read."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from forecaster.cursor import OnGap
from forecaster.spec import Policy


class GapChoice(StrEnum):
    """What to do where a file leaves steps out."""

    SKIP = "skip"
    FILL = "fill"
    REFUSE = "refuse"


class PolicyChoice(StrEnum):
    """What becomes of the state at each step."""

    CARRY = Policy.CARRY.value
    RESET_EACH_STEP = Policy.RESET_EACH_STEP.value
    AUTO = "auto"


class Gates(StrEnum):
    """The recurrent activation."""

    SIGMOID = "sigmoid"
    HARD_SIGMOID = "hard_sigmoid"


File = Annotated[Path, typer.Argument(help="CSV, .csv.gz or Parquet in long format.")]
Models = Annotated[
    Path, typer.Option(help="The folder of model folders.", envvar="STEPCAST_MODELS")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]
Id = Annotated[str | None, typer.Option("--id", help="Column of the names, if not unique_id.")]
Time = Annotated[str | None, typer.Option("--time", help="Column of the times, if not ds.")]
Target = Annotated[str | None, typer.Option("--target", help="Column of the values, if not y.")]
FreqOption = Annotated[
    str | None, typer.Option(help="Distance of observations, as MS, D, h, 15min; else inferred.")
]
Season = Annotated[
    str | None,
    typer.Option(help="The season's length, or 168,24 for one within another; times tell it else."),
]
Gap = Annotated[GapChoice, typer.Option(help="Where the file leaves steps out.")]
Static = Annotated[
    Path | None,
    typer.Option(help="A file with a row for each series: its name, and what else is known of it."),
]
WithPeers = Annotated[
    bool,
    typer.Option(
        "--peers",
        help="Fit AutoETS, AutoARIMA and AutoTheta to each series, or to 50 of more, and score "
        "them beside the model. May take a minute a series.",
    ),
]


def given(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that the caller gave."""
    return {name: value for name, value in fields.items() if value is not None}


def read_on_gap(choice: GapChoice) -> OnGap:
    """Return what a choice means: who trains refuses a file, the service an observation."""
    return OnGap.REJECT if choice is GapChoice.REFUSE else OnGap(choice.value)


def read_told_season(text: str | None) -> tuple[int, int] | None:
    """Return the season that a flag names; one that is too long is none."""
    if text is None:
        return None
    from forecaster.season import parse_season, season_of_length

    return season_of_length(int(text)) if text.isdecimal() else parse_season(text)


def read_baseline_season(text: str | None) -> int | None:
    """Return the shortest season that a flag names: that of baselines and of MASE."""
    told = read_told_season(text)
    if text is None or told is None:
        return None
    return told[1] or (int(text) if text.isdecimal() else told[0])


def read_numbers(text: str, kind: type[int] | type[float]) -> list[float | str]:
    """Return the numbers of a list; what is none is left for the recipe to refuse."""

    def read(part: str) -> float | str:
        try:
            return kind(part)
        except ValueError:
            return part

    return [read(part) for part in text.split(",")]


def read_columns(text: str) -> list[str]:
    """Return the names of a list."""
    return [name.strip() for name in text.split(",")]

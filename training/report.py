"""The report of a training run: two plots and one self-contained page."""

import base64
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure
from PIL import Image
from pydantic import JsonValue

from forecaster import scores as measures
from forecaster.network import Weights
from forecaster.spec import ModelSpec, UniversalTransformSpec
from training.backtest import Walk
from training.data import Panel
from training.fit import History
from training.recipe import Job

# Series drawn in the walk-forward plot, and values before the test drawn with them.
_MOST_DRAWN = 4
_HISTORY_DRAWN = 48

_NAMES = {
    "model": "model",
    "persistence": "persistence (the last value)",
    "seasonal_naive": "seasonal naive",
    "universal": "the universal model as it is",
}


@dataclass(frozen=True)
class Tried:
    """A model that there was to choose from.

    Args:
        name: What it is.
        loss: How it did on the part held back for choosing; `None` where that was not looked at.
        verdict: Whether it was kept, and why.
    """

    name: str
    loss: float | None
    verdict: str

    def summary(self) -> dict[str, JsonValue]:
        """Return it as a manifest has it."""
        return {"name": self.name, "loss": self.loss, "verdict": self.verdict}


@dataclass(frozen=True)
class Run:
    """One fit, from one seed, and how it did on the test part."""

    seed: int
    spec: ModelSpec
    weights: Weights
    history: History
    seconds: float
    parity: dict[str, float]
    walk: Walk

    @property
    def rmse(self) -> float:
        """RMSE of the walk, the mean over series."""
        return float(np.nanmean([row["rmse"] for row in self.walk.series_scores("model")]))


def render(
    job: Job,
    runs: tuple[Run, ...],
    history: Panel,
    results: dict[str, Any],
    recipe: dict[str, JsonValue],
    tried: tuple[Tried, ...] = (),
) -> dict[str, bytes]:
    """Return the report's files by their path inside the model folder.

    Args:
        job: What was asked for.
        runs: One for each seed, the kept one first.
        history: What was known before the test.
        results: As the manifest has them.
        recipe: How the model was made, as the manifest has it.
        tried: What there was to choose from.
    """
    kept = runs[0]
    is_fitted = bool(kept.history)
    compared = results.get("peers")
    training = _png(draw_training(runs)) if is_fitted else b""
    walk_forward = _png(draw_walk(kept.walk))
    page = _template().render(
        name=job.name,
        note=job.note,
        summary=_summary(job, kept, history),
        steps=kept.walk.steps,
        series=len(kept.walk.ids),
        levels=measures.LEVELS,
        methods=_rows(results, (*measures.METHODS, measures.UNIVERSAL)),
        compared=compared,
        peers=_rows(compared["methods"], compared["methods"]) if compared else [],
        walk_forward=_inline(walk_forward),
        training=_inline(training) if is_fitted else "",
        tried=[one.summary() | {"loss": _number(one.loss)} for one in tried],
        seeds=[
            {
                "seed": run.seed,
                "rmse": _number(run.rmse),
                "loss": _number(run.history["loss"][-1] if is_fitted else None),
                "epochs": len(run.history["loss"]) if is_fitted else 0,
                "seconds": f"{run.seconds:.1f}",
            }
            for run in runs
        ],
        mean=_number(results["seeds"]["mean"]),
        std=_number(results["seeds"]["std"]),
        parity="; ".join(f"{name} {value:.1g}" for name, value in kept.parity.items()),
        recipe=_toml(recipe),
    )
    files = {"report/index.html": page.encode(), "report/walk_forward.png": walk_forward}
    return files | ({"report/training.png": training} if is_fitted else {})


def draw_training(runs: tuple[Run, ...]) -> Figure:
    """Draw loss by epoch: the kept run bold, the other seeds faint behind it."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.add_subplot()
    for run in runs[:0:-1]:
        axes.plot(_epochs(run.history["loss"]), run.history["loss"], color="0.8", linewidth=0.8)
    is_tuned = isinstance(runs[0].spec.transform, UniversalTransformSpec)
    for name, label in (("loss", "training"), ("val_loss", "validation")):
        losses = runs[0].history.get(name)
        if losses:
            # Tuning is validated once before it begins.
            numbers = range(len(losses)) if is_tuned and name == "val_loss" else _epochs(losses)
            axes.plot(numbers, losses, label=label)
    axes.set(xlabel="epoch, or round of tuning", ylabel="loss, network units", yscale="log")
    axes.legend(frameon=False)
    return figure


def draw_walk(walk: Walk) -> Figure:
    """Draw actuals and forecasts over the test part, with the intervals as bands."""
    drawn = _drawn(walk)
    figure = Figure(figsize=(8, 3.2 * len(drawn)), layout="constrained")
    for place, (number, title) in enumerate(drawn.items(), start=1):
        axes = figure.add_subplot(len(drawn), 1, place)
        past = walk.histories[number][-_HISTORY_DRAWN:]
        steps = np.arange(1, walk.steps + 1)
        axes.plot(np.arange(1 - len(past), 2), [*past, walk.y[number, 0]], color="0.6", linewidth=1)
        for level, bounds in sorted(walk.intervals.items(), reverse=True):
            low, high = bounds[number, :, 0], bounds[number, :, 1]
            axes.fill_between(
                steps, low, high, color="C0", alpha=0.15, linewidth=0, label=f"{level}% interval"
            )
        axes.plot(steps, walk.forecasts["model"][number], color="C0", label="forecast")
        axes.plot(
            steps, walk.forecasts["persistence"][number], "--", color="0.6", label="persistence"
        )
        axes.plot(steps, walk.y[number], color="black", linewidth=1, marker=".", label="actual")
        axes.set(title=title, xlabel="step of the test")
    figure.axes[0].legend(frameon=False, fontsize="small", ncols=5)
    return figure


def _drawn(walk: Walk) -> dict[int, str]:
    """Return the rows to draw, with titles: all, or of many the best and the worst by MASE."""
    if len(walk.ids) <= _MOST_DRAWN:
        return dict(enumerate(walk.ids))
    mase = np.array([row["mase"] for row in walk.series_scores("model")])
    known = mase[~np.isnan(mase)]  # a series that stood still has none
    middle = np.median(known) if len(known) else 0.0
    order = np.argsort(np.where(np.isnan(mase), middle, mase), kind="stable")
    half = _MOST_DRAWN // 2
    ends = [(row, "best") for row in order[:half]] + [(row, "worst") for row in order[-half:]]
    return {
        int(row): f"{walk.ids[row]}, among the {which} forecast: MASE {mase[row]:.3g}"
        for row, which in ends
    }


def _rows(scores: dict[str, Any], methods: Iterable[str]) -> list[dict[str, Any]]:
    """Return the rows of a table of scores; what a method has not is a dash."""
    return [
        {
            "name": _NAMES.get(method, method),
            "cells": [
                *(_number(found.get(name)) for name in (*measures.MEASURES, "pinball")),
                *(_percent(found.get("coverage", {}).get(str(level))) for level in measures.LEVELS),
            ],
        }
        for method in methods
        if (found := scores.get(method))
    ]


def _summary(job: Job, kept: Run, history: Panel) -> str:
    count = len(history.series)
    observations = sum(len(series.y) for series in history.series)
    units = " and ".join(str(units) for units in kept.spec.network.units)
    made = f"A stateful LSTM of {units} units, trained on"
    if isinstance(kept.spec.transform, UniversalTransformSpec):
        how = "tuned to" if kept.history else "as it is, for"
        made = f"The universal model, {how}"
    return (
        f"{made} {observations:,} observations of {count:,} series of {job.file.name}"
        f"{', freq ' + history.freq if history.freq else ''}; policy {kept.spec.policy.value}."
    )


def _epochs(losses: list[float]) -> range:
    return range(1, len(losses) + 1)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.4g}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(buffer, dpi=110, format="png", metadata={"Software": None})
    # A palette of 64 colours: a third of the size, and no difference to see.
    reduced = io.BytesIO()
    Image.open(buffer).convert("RGB").quantize(64).save(reduced, "png", optimize=True)
    return reduced.getvalue()


def _inline(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _toml(fields: dict[str, Any]) -> str:
    """Return the fields as lines of TOML; JSON's strings, numbers and lists are TOML's."""
    return "\n".join(f"{name} = {json.dumps(value)}" for name, value in fields.items())


def _template() -> Any:
    environment = Environment(
        loader=PackageLoader("training", "."), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template("report.html")

"""The report of a training run: its plots and one self-contained page."""

import base64
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter
from PIL import Image
from pydantic import JsonValue

from forecaster import scores as measures
from forecaster.network import Weights
from forecaster.spec import QUANTILES, ModelSpec, UniversalTransformSpec
from training.backtest import Walk
from training.data import Panel
from training.fit import History
from training.recipe import Job

# Series drawn in the walk-forward plot, and values before the test drawn with them.
_MOST_DRAWN = 4
_HISTORY_DRAWN = 48
_MOST_DOTS = 100
# Steps ahead that are drawn: a season, within these.
_LEAST_AHEAD, _MOST_AHEAD = 12, 24
# A series' coverage is held where it is this near; the rest is for 0.85 - 0.8, which is more.
_NEAR = 0.05 + 1e-9

# Of Okabe and Ito (2008), for eyes that tell fewer colours apart.
_MODEL, _SECOND, _QUIET = "#0072B2", "#D55E00", "0.6"
# Of the bands of intervals, from the outermost in.
_BANDS = ("#d9e8f2", "#a6cae2")

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
        runs: The losses of several seeds, of which `loss` is the mean.
    """

    name: str
    loss: float | None
    verdict: str
    runs: tuple[float, ...] = ()

    def summary(self) -> dict[str, JsonValue]:
        """Return it as a manifest has it."""
        runs: dict[str, JsonValue] = {"runs": list(self.runs)} if self.runs else {}
        return {"name": self.name, "loss": self.loss, "verdict": self.verdict, **runs}


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
    figures = {"walk_forward": draw_walk(kept.walk), "calibration": draw_calibration(kept.walk)}
    if kept.walk.ahead is not None and len(kept.walk.ahead) > 1:
        figures["ahead"] = draw_ahead(kept.walk)
    if is_fitted:
        figures["training"] = draw_training(runs)
    plots = {name: encode_png(figure) for name, figure in figures.items()}
    page = _template().render(
        name=job.name,
        note=job.note,
        summary=_summary(job, kept, history, recipe),
        steps=kept.walk.steps,
        series=len(kept.walk.ids),
        levels=measures.LEVELS,
        methods=_rows(results, (*measures.METHODS, measures.UNIVERSAL)),
        compared=compared,
        peers=_rows(compared["methods"], compared["methods"]) if compared else [],
        walk_forward=inline_png(plots["walk_forward"]),
        calibration=inline_png(plots["calibration"]),
        held=", ".join(
            f"{_percent(share)} for the {level}% interval"
            for level, share in held_coverage(kept.walk).items()
        ),
        ahead=inline_png(plots["ahead"]) if "ahead" in plots else "",
        training=inline_png(plots["training"]) if "training" in plots else "",
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
    return {"report/index.html": page.encode()} | {
        f"report/{name}.png": png for name, png in plots.items()
    }


def draw_training(runs: tuple[Run, ...]) -> Figure:
    """Draw loss by epoch: the kept run bold, the other seeds faint behind it."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.add_subplot()
    for run in runs[:0:-1]:
        axes.plot(_epochs(run.history["loss"]), run.history["loss"], color="0.8", linewidth=0.8)
    is_tuned = isinstance(runs[0].spec.transform, UniversalTransformSpec)
    for name, label, color in (
        ("loss", "training", _MODEL),
        ("val_loss", "validation", _SECOND),
    ):
        losses = runs[0].history.get(name)
        if losses:
            # Tuning is validated once before it begins.
            numbers = range(len(losses)) if is_tuned and name == "val_loss" else _epochs(losses)
            axes.plot(numbers, losses, color=color, label=label)
    axes.set(xlabel="epoch, or round of tuning", ylabel="loss, network units", yscale="log")
    axes.yaxis.set_major_formatter("{x:g}")
    low, high = axes.get_ylim()
    # Within a decade the minor ticks are all there is; beyond, their labels would overlap.
    axes.yaxis.set_minor_formatter("{x:.3g}" if high < 10 * low else NullFormatter())
    axes.legend(frameon=False)
    return figure


def draw_calibration(walk: Walk) -> Figure:
    """Draw how often actuals fell below each quantile, and for a panel how series differ."""
    is_panel = len(walk.ids) > 1
    figure = Figure(figsize=(8 if is_panel else 4.2, 3.6), layout="constrained")
    axes = figure.add_subplot(1, 2 if is_panel else 1, 1)
    known = ~np.isnan(walk.y)
    below = (walk.y[known][:, None] <= walk.quantiles[known]).mean(axis=0)
    levels = np.array(QUANTILES)
    spread = 1.96 * np.sqrt(levels * (1.0 - levels) / known.sum())
    axes.fill_between(
        100 * levels,
        100 * np.clip(levels - spread, 0, 1),
        100 * np.clip(levels + spread, 0, 1),
        color="0.9",
        linewidth=0,
        label="chance, 95%",
    )
    axes.plot([0, 100], [0, 100], color=_QUIET, linewidth=1, label="as it should be")
    axes.plot(100 * levels, 100 * below, "o-", color=_MODEL, markersize=4, label="model")
    axes.set(
        title="actuals below each quantile",
        xlabel="quantile, %",
        ylabel="actuals below it, %",
        xlim=(0, 100),
        ylim=(0, 100),
    )
    axes.set_aspect("equal")
    axes.legend(frameon=False, fontsize="small", loc="upper left")
    if is_panel:
        axes = figure.add_subplot(1, 2, 2)
        shares = [100 * walk.series_coverage(level) for level in measures.LEVELS]
        low = 10 * int(np.nanmin(shares) // 10)
        for level, share, color in zip(measures.LEVELS, shares, (_MODEL, _SECOND), strict=True):
            bins = [*range(low, 101, 5)]
            axes.hist(share[~np.isnan(share)], bins, color=color, alpha=0.5, label=f"{level}%")
            axes.axvline(level, color=color, linestyle="--", linewidth=1)
        axes.set(
            title="coverage of each series",
            xlabel="actuals inside the interval, %",
            ylabel="series",
            xlim=(low, 100),
        )
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(frameon=False, fontsize="small", loc="upper left", title="interval")
    return figure


def draw_ahead(walk: Walk) -> Figure:
    """Draw the error of forecasts by how many steps ahead they were made."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.add_subplot()
    for (method, errors), color, style in zip(
        walk.errors_ahead().items(),
        (_MODEL, _QUIET, _SECOND),
        ("o-", "--", ":"),
        strict=True,
    ):
        axes.plot(
            range(1, len(errors) + 1),
            errors,
            style,
            color=color,
            markersize=4,
            label=_NAMES[method],
        )
    mean = ", mean over series" if len(walk.ids) > 1 else ""
    axes.set(xlabel="steps ahead", ylabel=f"RMSE{mean}")
    axes.set_ylim(bottom=0)
    axes.set_xlim(0.5, None)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize="small")
    return figure


def reported_horizon(test: Panel, season: int) -> int:
    """Return how many steps ahead a report shows: a season, within 12 and 24, and half the test.

    Beyond that too few of the actuals were forecast from so far.
    """
    wanted = max(_LEAST_AHEAD, min(season, _MOST_AHEAD))
    return max(min(wanted, len(test.series[0]) // 2), 1)


def held_coverage(walk: Walk) -> dict[int, float | None]:
    """Return the share of series whose coverage is within 5 points, by level in percent."""
    found: dict[int, float | None] = {}
    for level in measures.LEVELS:
        share = walk.series_coverage(level)
        apart = np.abs(share[~np.isnan(share)] - level / 100.0)
        found[level] = float(np.mean(apart <= _NEAR)) if len(apart) else None
    return found


def draw_walk(walk: Walk) -> Figure:
    """Draw actuals and forecasts over the test part, with the intervals as bands."""
    drawn = _drawn(walk)
    figure = Figure(figsize=(8, 3.2 * len(drawn)), layout="constrained")
    for place, (number, title) in enumerate(drawn.items(), start=1):
        axes = figure.add_subplot(len(drawn), 1, place)
        past = walk.histories[number][-_HISTORY_DRAWN:]
        steps = np.arange(1, walk.steps + 1)
        axes.plot(np.arange(1 - len(past), 2), [*past, walk.y[number, 0]], color="0.6", linewidth=1)
        for (level, bounds), color in zip(
            sorted(walk.intervals.items(), reverse=True), _BANDS, strict=True
        ):
            low, high = bounds[number, :, 0], bounds[number, :, 1]
            name = f"{level}% interval"
            axes.fill_between(steps, low, high, color=color, linewidth=0, label=name)
        axes.plot(steps, walk.forecasts["model"][number], color=_MODEL, label="forecast")
        axes.plot(
            steps, walk.forecasts["persistence"][number], "--", color=_QUIET, label="persistence"
        )
        marker = "." if walk.steps <= _MOST_DOTS else ""
        axes.plot(steps, walk.y[number], color="black", linewidth=1, marker=marker, label="actual")
        axes.set(title=title, xlabel="step of the test")
    # Above the plots, where it hides nothing.
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper center", frameon=False, fontsize="small", ncols=5
    )
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


def _summary(job: Job, kept: Run, history: Panel, recipe: dict[str, JsonValue]) -> str:
    count = len(history.series)
    observations = sum(len(series.y) for series in history.series)
    units = " and ".join(str(units) for units in kept.spec.network.units)
    made = f"A stateful LSTM of {units} units, trained on"
    if isinstance(kept.spec.transform, UniversalTransformSpec):
        how = "tuned to" if kept.history else "as it is, for"
        made = f"The universal model, {how}"
    elif recipe.get("method") in measures.METHODS:
        name = _NAMES[str(recipe["method"])].capitalize()
        made = f"{name}, which did better at the end of the history, with intervals from"
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


def encode_png(figure: Figure) -> bytes:
    """Return a figure as a small PNG."""
    buffer = io.BytesIO()
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(buffer, dpi=110, format="png", metadata={"Software": None})
    # A palette of 64 colours: a third of the size, and no difference to see.
    reduced = io.BytesIO()
    Image.open(buffer).convert("RGB").quantize(64).save(reduced, "png", optimize=True)
    return reduced.getvalue()


def inline_png(png: bytes) -> str:
    """Return a PNG as an address that a page can hold."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _toml(fields: dict[str, Any]) -> str:
    """Return the fields as lines of TOML; JSON's strings, numbers and lists are TOML's."""
    return "\n".join(f"{name} = {json.dumps(value)}" for name, value in fields.items())


def _template() -> Any:
    environment = Environment(
        loader=PackageLoader("training", "."), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template("report.html")

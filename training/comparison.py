"""A comparison as files: a page with everything, its box plot, and a table of all runs."""

import csv
import io
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure
from pydantic import JsonValue

from training.compare import CONDITIONS, Comparison
from training.report import encode_png, inline_png
from training.verdicts import Interval, Verdict, shown, shown_p


def render(comparison: Comparison, verdicts: Sequence[Verdict]) -> dict[str, bytes]:
    """Return the files of a report by their names."""
    plot = encode_png(draw(comparison))
    environment = Environment(
        loader=PackageLoader("training", "."), autoescape=True, undefined=StrictUndefined
    )
    page = environment.get_template("comparison.html").render(
        name=comparison.name,
        settings=comparison.settings,
        observations=comparison.observations,
        is_whole=comparison.is_whole,
        persistence=shown(comparison.persistence),
        verdicts=[_cells(verdict) for verdict in verdicts],
        columns=columns(comparison),
        rows=rows(comparison),
        conditions=[
            {"name": comparison.label(name), "how": condition}
            for name, condition in CONDITIONS.items()
        ],
        plot=inline_png(plot),
    )
    return {"index.html": page.encode(), "runs.csv": _csv(comparison), "runs.png": plot}


def tell(comparison: Comparison, verdicts: Sequence[Verdict]) -> dict[str, JsonValue]:
    """Return a comparison as `--json` prints it."""
    return {
        "series": comparison.name,
        "settings": comparison.settings.model_dump(mode="json"),
        "is_whole": comparison.is_whole,
        "persistence": comparison.persistence,
        "conditions": {
            name: {"label": comparison.label(name), **summary}
            for name, summary in comparison.summary().items()
        },
        "claims": [
            {
                "claim": verdict.claim.what,
                "doing": verdict.claim.doing,
                "without": verdict.claim.without,
                "outcome": verdict.outcome.value,
                "sentence": verdict.sentence,
                "p": verdict.p,
                "p_holm": verdict.p_holm,
                "difference": _numbers(verdict.difference),
                "chance": _numbers(verdict.chance),
            }
            for verdict in verdicts
        ],
    }


def columns(comparison: Comparison) -> list[str]:
    """Return the headings of the table of conditions."""
    return ["RMSE", *next(iter(comparison.summary().values()))]


def rows(comparison: Comparison) -> list[list[str]]:
    """Return the table of conditions, a row each, as text."""
    return [
        [
            comparison.label(name),
            *(str(value) if column == "count" else shown(value) for column, value in cells.items()),
        ]
        for name, cells in comparison.summary().items()
    ]


def draw(comparison: Comparison) -> Figure:
    """Draw a box for each condition, with its mean, and runs far out as points."""
    figure = Figure(figsize=(8, 0.6 + 0.36 * len(comparison.rmse)), layout="constrained")
    axes = figure.add_subplot()
    axes.boxplot(
        list(comparison.rmse.values()),
        tick_labels=[comparison.label(name) for name in comparison.rmse],
        orientation="horizontal",
        showmeans=True,
        flierprops={"marker": ".", "markersize": 3},
        medianprops={"color": "C0"},
        meanprops={"marker": "d", "markerfacecolor": "black", "markeredgecolor": "none"},
    )
    axes.axvline(comparison.persistence, color="0.6", linestyle="--", label="persistence")
    axes.invert_yaxis()
    axes.set(xlabel="test RMSE, units of the data")
    axes.legend(frameon=False, fontsize="small")
    return figure


def _cells(verdict: Verdict) -> dict[str, Any]:
    sentence = verdict.sentence
    return {
        "sentence": sentence[0].upper() + sentence[1:] + ".",
        "outcome": verdict.outcome.value,
        "what": verdict.claim.what,
        "difference": _between(verdict.difference),
        "chance": _between(verdict.chance, percent=True),
        "p": shown_p(verdict.p_holm),
    }


def _between(interval: Interval, *, percent: bool = False) -> str:
    values = (interval.estimate, interval.low, interval.high)
    estimate, low, high = (f"{value:.0%}" if percent else f"{value:,.3g}" for value in values)
    return f"{estimate} ({low} to {high})"


def _numbers(interval: Interval) -> dict[str, JsonValue]:
    return {"estimate": interval.estimate, "low": interval.low, "high": interval.high}


def _csv(comparison: Comparison) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["condition", "repeat", "rmse"])
    for name, rmse in comparison.rmse.items():
        writer.writerows((name, number, value) for number, value in enumerate(rmse.tolist(), 1))
    return text.getvalue().encode()

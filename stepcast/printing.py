"""What commands print: results to standard output, all else to standard error."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from forecaster import scores as measures
from forecaster.cursor import OnGap
from forecaster.spec import Covariate, Manifest

if TYPE_CHECKING:
    from training.data import Panel
    from training.job import Trained

# What a command reports goes to standard output; progress and errors do not mix with it.
output = Console()
# A file of its own, so that it can be seen while TensorFlow's greeting on standard error cannot.
messages = Console(file=os.fdopen(os.dup(2), "w"))


def print_refusal(reason: str) -> None:
    """Say why a command did nothing."""
    messages.print(f"[bold red]error:[/] {escape(reason)}", highlight=False, soft_wrap=True)


_SHOWN = 10  # of columns in a warning


def described(covariate: Covariate) -> str:
    """Return name, kind and words of a covariate."""
    words = f": {', '.join(covariate.categories)}" if covariate.categories else ""
    return f"{covariate.name} ({covariate.kind}{words})"


@contextmanager
def loading_tensorflow() -> Iterator[None]:
    """Show that TensorFlow loads, and hide what it writes to standard error meanwhile.

    Its libraries greet there with notes on processors and drivers that no setting turns off; what
    matters comes as an exception.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with messages.status("Loading TensorFlow"), Path(os.devnull).open("w") as nowhere:
        standard_error = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(standard_error, 2)
            os.close(standard_error)


def print_ahead(ahead: list[dict[str, Any]]) -> None:
    """Print how far forecasts did, a line for each step ahead."""
    table = Table(title="by steps ahead")
    for column in ("h", "RMSE", "MAE", *(f"{level}% covers" for level in measures.LEVELS)):
        table.add_column(column, justify="right")
    for row in ahead:
        covered = [row["coverage"].get(str(level)) for level in measures.LEVELS]
        table.add_row(
            str(row["h"]),
            *("-" if row[name] is None else f"{row[name]:,.4f}" for name in ("rmse", "mae")),
            *("-" if share is None else f"{share:.0%}" for share in covered),
        )
    output.print(table)


def print_json(value: Any) -> None:
    """Print a value as JSON, which has no NaN."""
    print(json.dumps(value, allow_nan=False))


def print_scores(scores: dict[str, Any], title: str) -> None:
    """Print a row for each method, and what the model's intervals cover."""
    table = Table(
        "",
        *(name.upper() for name in measures.MEASURES),
        title=escape(title),
        title_justify="left",
    )
    for column in table.columns[1:]:
        column.justify = "right"
    # A model that was not trained here may tell less.
    for method in (*measures.METHODS, measures.UNIVERSAL):
        if method == measures.UNIVERSAL and method not in scores:
            continue
        cells = (scores.get(method, {}).get(name) for name in measures.MEASURES)
        table.add_row(method, *("-" if cell is None else _shown(cell) for cell in cells))
    output.print(table)
    coverage = scores.get("model", {}).get("coverage", {})
    if coverage:
        inside = (
            f"{level}%: {'-' if share is None else f'{share:.0%}'}"
            for level, share in coverage.items()
        )
        output.print(f"Share of actuals inside the model's intervals: {', '.join(inside)}")


def _shown(value: float) -> str:
    """Return a score as a table has it, short where it is large or next to nothing."""
    is_usual = value == 0 or 1e-3 <= abs(value) < 1e6
    return f"{value:,.4f}" if is_usual else f"{value:.4g}"


def print_peers(scores: dict[str, Any]) -> None:
    """Print the model beside fitted peers, where they were asked for."""
    if "peers" not in scores:
        return
    peers = scores["peers"]
    which = "all series" if peers["series"] == peers["of"] else "a sample of the series"
    table = Table(title=f"beside fitted peers, on {which}: {peers['series']} of {peers['of']}")
    table.add_column("")
    names = (*measures.MEASURES, "pinball")
    for column in (*map(str.upper, names), *(f"in {level}%" for level in measures.LEVELS)):
        table.add_column(column, justify="right")
    for method, found in peers["methods"].items():
        covered = [found.get("coverage", {}).get(str(level)) for level in measures.LEVELS]
        table.add_row(
            method,
            *("-" if found.get(name) is None else f"{found[name]:,.4g}" for name in names),
            *("-" if share is None else f"{share:.0%}" for share in covered),
        )
    output.print(table)
    for name, count in peers["failed"].items():
        if count:
            output.print(f"{name} could not be fitted to {count} series; persistence stands in.")


def print_seeds(trained: "Trained") -> None:
    """Print what further seeds scored, if there were any."""
    spread = trained.scores["seeds"]
    if isinstance(spread, dict) and len(trained.runs) > 1:
        output.print(
            f"Over {len(trained.runs)} seeds the test RMSE is {spread['mean']:,.4f} "
            f"with a standard deviation of {spread['std']:,.4f}."
        )


def warn(what: str) -> None:
    """Print a warning."""
    messages.print(f"[yellow]warning:[/] {escape(what)}", highlight=False, soft_wrap=True)


def warn_of_gaps(gaps: tuple[Any, ...], on_gap: OnGap) -> None:
    """Say where a file leaves steps out, and what became of them."""
    if not gaps:
        return
    first = gaps[0]
    taken = "taken as if nothing were missing" if on_gap is OnGap.SKIP else "filled"
    warn(
        f"{len(gaps)} gaps against freq, {taken}; the first is in {first.unique_id!r} "
        f"between {first.after} and {first.before}"
    )


def warn_of_columns(unused: tuple[str, ...], remedy: str) -> None:
    """Say so where a file has columns that nothing was read from."""
    if unused:
        shown = [repr(name) for name in unused[:_SHOWN]]
        more = [f"{len(unused) - _SHOWN} more"] if len(unused) > _SHOWN else []
        warn(f"columns that are not used: {', '.join(shown + more)}; {remedy}")


def warn_of_baselines(scores: dict[str, Any]) -> None:
    """Say so where the best baseline forecasts better than the model."""
    methods = (*measures.METHODS, measures.UNIVERSAL)
    known = {method: scores[method]["rmse"] for method in methods if method in scores}
    rmse = {method: value for method, value in known.items() if value is not None}
    best = min(rmse, key=lambda method: rmse[method], default="model")
    if "model" in rmse and rmse[best] < rmse["model"]:
        name = best.replace("_", " ")
        if best == measures.UNIVERSAL:
            name = "the universal model as it is"
        warn(
            f"{name} does better on the held-back part: "
            f"an RMSE of {rmse[best]:,.4g} against {rmse['model']:,.4g}"
        )


def warn_of_data_trained_on(manifest: Manifest, panel: "Panel", test: int) -> None:
    """Say so where a walk begins before the part that training held back."""
    if panel.fingerprint != manifest.data.get("sha256"):
        return
    held_back = manifest.data.get("test")
    if isinstance(held_back, int) and test > held_back:
        warn(
            f"the model was trained on the first {test - held_back} of these {test} steps; "
            f"it has not seen the last {held_back}"
        )

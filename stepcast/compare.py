"""What `stepcast compare` writes and prints."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from training.compare import Comparison
from training.comparison import columns, render, rows
from training.verdicts import Outcome, Verdict, shown

_COLOURS = {Outcome.HELPS: "green", Outcome.HURTS: "red", Outcome.MIXED: "yellow"}


def write(comparison: Comparison, verdicts: Sequence[Verdict], folder: Path) -> None:
    """Write page, plot and table of all runs into a folder, over those of a run before."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in render(comparison, verdicts).items():
        (folder / name).write_bytes(content)


def print_comparison(
    comparison: Comparison, verdicts: Sequence[Verdict], folder: Path, output: Console
) -> None:
    """Print the table of conditions, a sentence for each claim, and where the report is."""
    settings = comparison.settings
    table = Table(
        *columns(comparison),
        title=escape(f"{comparison.name}: test RMSE over the last {settings.test} observations"),
        title_justify="left",
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows(comparison):
        table.add_row(*row)
    table.add_section()
    table.add_row("persistence", "", shown(comparison.persistence))
    output.print(table)
    for verdict in verdicts:
        colour = _COLOURS.get(verdict.outcome, "default")
        output.print(f"[{colour}]{verdict.sentence}[/]", highlight=False, soft_wrap=True)
    output.print(
        f"The report is {escape(str(folder / 'index.html'))}; beside it are all runs.",
        soft_wrap=True,
    )

"""Measures what `docs/performance.md` claims: `python -m benchmarks`, or `make bench`."""

import argparse
import importlib
import json
import os
import signal
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from time import perf_counter

from rich.console import Console
from rich.table import Table

from benchmarks import machine
from benchmarks.measure import Lines, Note, Row, Spread

# In the order of the table. A module is imported when its turn comes: some need much.
GROUPS = (
    "http",
    "step",
    "batch",
    "durable",
    "growth",
    "memory",
    "peers",
    "universal",
    "training",
    "compare",
)


def main() -> None:
    """Measure, print the table, and after a full run write results and charts."""
    options = _options()
    # A stop that is asked for ends every server on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    os.environ.update(machine.ONE_THREAD)
    facts = machine.facts()
    machine.pin_callers()
    console = Console(stderr=True)
    lines: Lines = []
    for group in options.only:
        start = perf_counter()
        with console.status(f"{group} ..."), tempfile.TemporaryDirectory() as folder:
            run = importlib.import_module(f"benchmarks.{group}").run
            lines += run(Path(folder), quick=options.quick)
        console.print(f"{group}: {perf_counter() - start:.0f} seconds")
    Console(width=None if sys.stdout.isatty() else 190).print(_table(lines))
    results = {
        "machine": facts,
        "quick": options.quick,
        "rows": [asdict(line) for line in lines if isinstance(line, Row)],
        "notes": [asdict(line) for line in lines if isinstance(line, Note)],
    }
    is_full = tuple(options.only) == GROUPS and not options.quick
    if options.out or is_full:
        from benchmarks import charts

        out = options.out or charts.RESULTS
        out.write_text(json.dumps(_rounded(results), indent=1) + "\n")
        if is_full:
            charts.draw(results)
    else:
        console.print("Not a full run: nothing is written. --out FILE keeps its figures.")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only",
        type=_groups,
        default=list(GROUPS),
        metavar="GROUPS",
        help=f"measure these alone, with commas between them: {', '.join(GROUPS)}",
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds and smaller sizes")
    parser.add_argument("--out", type=Path, help="write the figures to this file")
    return parser.parse_args()


def _groups(text: str) -> list[str]:
    asked = text.split(",")
    if unknown := set(asked) - set(GROUPS):
        raise argparse.ArgumentTypeError(f"expected some of {', '.join(GROUPS)}, found {unknown}")
    return [group for group in GROUPS if group in asked]


def _table(lines: Lines) -> Table:
    table = Table()
    for column in ("", "what"):
        table.add_column(column)
    for column in ("median", "quartiles"):
        table.add_column(column, justify="right")
    for column in ("unit", "ratio (quartiles) to", "more"):
        table.add_column(column)
    group = ""
    for line in lines:
        if line.group != group:
            table.add_section()
        shown, group = "" if line.group == group else line.group, line.group
        if isinstance(line, Note):
            table.add_row(shown, line.text)
            continue
        ratios = [f"{_ratio(ratio)} {name}" for name, ratio in line.ratios.items()]
        more = [f"{name} {_number(value)}" for name, value in line.facts.items()]
        table.add_row(
            shown,
            line.name,
            _number(line.value.median),
            f"{_number(line.value.low)} - {_number(line.value.high)}",
            line.unit,
            "\n".join(ratios),
            ", ".join(more),
        )
    return table


def _ratio(ratio: Spread) -> str:
    return f"{_number(ratio.median)} ({_number(ratio.low)} - {_number(ratio.high)})"


def _number(value: float) -> str:
    """Return three digits, or all those before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _rounded(value: object) -> object:
    """Return results with four significant digits, which is more than they are worth."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return value


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)

"""What `stepcast train` makes of each data set, beside the universal model and fitted peers.

    python -m benchmarks.trained [--data FOLDER] [--only SETS]

Each set is trained by its recipe in examples/recipes, which fixes the test and, where times tell
none, the season, and scored as `benchmarks.skill` scores: one step ahead, once, after all is
chosen. The table goes into docs/training.md: means over three seeds where something was tuned.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.skill import DATA, ROOT, SETS, DataSet, panels, write
from forecaster import scores
from training.backtest import Walk
from training.data import read_panel
from training.job import train
from training.recipe import read_job
from training.standing import BUNDLED, walk_as_it_is

PAGE = ROOT / "docs" / "training.md"
BEGIN, END = "<!-- trained: begin -->", "<!-- trained: end -->"
RECIPES = ROOT / "examples" / "recipes"


@dataclass(frozen=True)
class Result:
    """How a data set was forecast.

    Args:
        found: RMSE, of m4_hourly MASE, by seed.
        universal: The same of the universal model as it is.
        coverage: Of the first seed's intervals.
        kept: What was.
        seconds: That all took.
    """

    found: tuple[float, ...]
    universal: float
    coverage: tuple[float, float]
    kept: str
    seconds: float


def measure(data: DataSet, folder: Path) -> Result:
    """Train on one data set and score the test."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as models:
        file = {"file": folder / data.file, "name": data.name}
        # The recipe of the worked example is that of a plain network.
        recipe = RECIPES / f"{data.name}.toml"
        job = read_job(recipe if data.name != "shampoo" else None, file | {"test": data.test}, {})
        trained = train(job, Path(models))
    seconds = time.perf_counter() - started
    known = np.concatenate([mask for _, _, mask in panels(data, folder)])
    order = np.concatenate([rows for rows, _, _ in panels(data, folder)])
    known = known[np.argsort(order)]
    walk = trained.runs[0].walk
    inside = [
        float(((bounds[..., 0] <= walk.y) & (walk.y <= bounds[..., 1]))[known].mean())
        for bounds in walk.intervals.values()
    ]
    kept = next(one for one in trained.tried if one.verdict.startswith("kept"))
    found = tuple(_error(run.walk, known, data) for run in trained.runs)
    history, test = read_panel(job.file).split(data.test)
    beside = walk_as_it_is(BUNDLED, history, test, walk.season, job.told_season)
    universal = found[0] if beside is None else _error(beside, known, data)
    return Result(found, universal, (inside[0], inside[1]), kept.name, seconds)


def _error(walk: Walk, known: np.ndarray, data: DataSet) -> float:
    """Return RMSE, or for a panel of many units MASE; the mean over series."""
    each = []
    for row, which in enumerate(known):
        actual, told = walk.y[row][which], walk.forecasts["model"][row][which]
        if data.every > 1:
            history = walk.histories[row]
            each.append(scores.mase(actual, told, history=history, season=data.scale))
        else:
            each.append(scores.rmse(actual, told))
    return float(np.mean(each))


def table(results: dict[str, tuple[DataSet, Result]]) -> str:
    """Return the table of the page, in Markdown."""
    lines = [
        "| data set (test) | trained | universal | by seed | kept "
        "| 80% covers | 95% covers | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, (data, result) in results.items():
        measure_of = " MASE" if data.every > 1 else ""
        cells = [
            f"{name} ({data.test}){measure_of}",
            f"**{np.mean(result.found):.4g}**",
            f"{result.universal:.4g}",
            ", ".join(f"{one:.4g}" for one in result.found) if len(result.found) > 1 else "",
            result.kept,
            *(f"{100.0 * one:.1f}%" for one in result.coverage),
            f"{result.seconds:.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Train on each set, and write the table into the page after a full run."""
    parser = argparse.ArgumentParser(description="Score what `stepcast train` makes.")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    parser.add_argument("--only", default="", help="some of the sets, with commas between them")
    options = parser.parse_args()
    asked = [data for data in SETS if not options.only or data.name in options.only.split(",")]
    results = {}
    for data in asked:
        results[data.name] = (data, measure(data, options.data))
        print(f"{data.name}: {results[data.name][1]}", flush=True)
    print(table(results))
    if len(asked) == len(SETS):
        write(table(results), BEGIN, END, PAGE)


if __name__ == "__main__":
    main()

"""Row 8: a step of the bundled universal model, alone, beside others, and behind `/observe`."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import processes, wrk
from benchmarks.http import CALLERS, DO_NOTHING, compare, warm_up
from benchmarks.measure import Lines, Note, interleave, row, timed
from benchmarks.model import make_forecaster
from benchmarks.processes import Server
from benchmarks.wrk import Kind
from forecaster import artifact
from forecaster.forecaster import Forecaster

BUNDLED = Path(__file__).parents[1] / "models" / "universal"
COUNTS = (1, 64, 1024, 8192)
SEASON = (24, 0)
# Observations of each series before: two seasons, so that all that there is to a step is done.
_WARM = 60


def run(folder: Path, *, quick: bool) -> Lines:
    """Return microseconds a step and a series, and requests a second."""
    lines = _steps(5 if quick else 25)
    if not wrk.is_installed():
        return [*lines, Note("universal", wrk.MISSING)]
    shutil.copytree(BUNDLED, folder / BUNDLED.name)
    with processes.stepcast(folder) as ours, processes.comparison("do_nothing") as nothing:
        targets: dict[str, tuple[Server, Kind]] = {
            "stepcast /observe": (ours, "observe"),
            f"{DO_NOTHING} /observe": (nothing, "observe"),
        }
        warm_up(ours)
        for callers in CALLERS:
            seconds, rounds = (1, 2) if quick else (2, 7)
            lines += compare("universal", targets, callers, seconds=seconds, rounds=rounds)
    return lines


def _steps(rounds: int) -> Lines:
    """Measure `Forecaster.observe`: transform, network, scores, intervals, and a copy."""
    bundled = artifact.load(BUNDLED).forecaster
    models = {"universal": bundled, "plain, 32 units": make_forecaster()}
    lines: Lines = []
    for count in COUNTS:
        samples = interleave(
            {name: _per_series(one, count) for name, one in models.items()}, rounds
        )
        for name, some in samples.items():
            against = {} if name != "universal" else {"plain": samples["plain, 32 units"]}
            text = f"{name}, K = {count}"
            facts = {"record_bytes": float(models[name].dtype.itemsize)}
            lines.append(row("universal", text, "us/series", some, against=against, facts=facts))
    return lines


def _per_series(forecaster: Forecaster, count: int) -> Callable[[], float]:
    records = forecaster.new(count)
    records["season"] = SEASON
    rng = np.random.default_rng(0)
    y = rng.normal(100.0, 1.0, (_WARM + 1, count))
    for row_of_y in y[:_WARM]:
        forecaster.observe_in_place(records, row_of_y)
    sample = timed(partial(forecaster.observe, records, y[_WARM]))
    return lambda: sample() / count

"""Row 8: a step of the bundled universal model, alone, beside others, and behind `/observe`.

Also its forecasts of many steps ahead, with sampled intervals and without.
"""

import shutil
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from benchmarks import processes, wrk
from benchmarks.http import CALLERS, DO_NOTHING, compare, warm_up
from benchmarks.measure import Lines, Note, interleave, row, timed
from benchmarks.model import make_forecaster
from benchmarks.processes import Server
from benchmarks.wrk import Kind
from forecaster import artifact
from forecaster.forecaster import Forecaster
from forecaster.head import Head
from forecaster.model import Model
from forecaster.network import NumpyNetwork

BUNDLED = Path(__file__).parents[1] / "models" / "universal"
COUNTS = (1, 64, 1024, 8192)
SEASON = (24, 0)
FAR = 24
Floats = NDArray[np.float64]
Records = NDArray[np.void]
Step = Callable[[Records, Floats], None]

# Observations of each series before: two seasons, so that all that there is to a step is done.
_WARM = 60


def run(folder: Path, *, quick: bool) -> Lines:
    """Return microseconds a step and a series, and requests a second."""
    lines = _steps(5 if quick else 25) + _far(5 if quick else 25)
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
    """Measure steps of records in place: transform, network, scores and intervals."""
    bundled, plain = artifact.load(BUNDLED), make_forecaster()
    forecaster = bundled.forecaster
    facts = {"record_bytes": float(forecaster.dtype.itemsize)}
    lines: Lines = []
    for count in COUNTS:
        contestants = {
            "universal": _per_series(
                bundled.forecaster, bundled.forecaster.observe_in_place, count
            ),
            "its step alone": _per_series(forecaster, _step_of(bundled), count),
            "plain, 32 units": _per_series(plain, plain.observe_in_place, count),
        }
        samples = interleave(contestants, rounds)
        for name, some in samples.items():
            against = {"plain": samples["plain, 32 units"]} if name == "universal" else {}
            more = facts if name == "universal" else {}
            text = f"{name}, K = {count}"
            lines.append(row("universal", text, "us/series", some, against=against, facts=more))
    return lines


def _far(rounds: int) -> Lines:
    """Measure forecasts of one series, a day of hours ahead."""
    forecaster = artifact.load(BUNDLED).forecaster
    rng = np.random.default_rng(0)
    records = forecaster.seed([rng.normal(100.0, 1.0, 10 * FAR)], seasons=[SEASON])
    contestants = {
        "with intervals": timed(lambda: forecaster.forecast(records, FAR, (0.1, 0.9))),
        "means alone": timed(lambda: forecaster.forecast(records, FAR)),
    }
    samples = interleave(contestants, rounds)
    return [
        row("universal", f"{FAR} steps ahead, {name}", "us/series", some)
        for name, some in samples.items()
    ]


def _step_of(model: Model) -> Step:
    """Return transform, network and head, without scores and calibration."""
    transform, head = model.forecaster.transform, Head(model.manifest.head)
    weights = safetensors.numpy.load((BUNDLED / artifact.WEIGHTS).read_bytes())
    network = NumpyNetwork(model.manifest.network, weights)

    def step(records: Records, y: Floats) -> None:
        transform.observe(records, y)
        records["step"] += 1
        outputs, h, c = network.step(transform.inputs(records), records["h"], records["c"])
        records["h"], records["c"] = h, c
        records["forecast"] = transform.unscale(records, head.read(outputs))

    return step


def _per_series(forecaster: Forecaster, take: Step, count: int) -> Callable[[], float]:
    records = forecaster.new(count)
    records["season"] = SEASON
    rng = np.random.default_rng(0)
    values = cycle(rng.normal(100.0, 1.0, (_WARM, count)))

    def step() -> None:
        take(records, next(values))

    for _ in range(_WARM):
        step()
    sample = timed(step)
    return lambda: sample() / count

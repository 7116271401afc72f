"""Row 6: a step of River's online forecasters beside ours, on the same series.

A step is what an online forecaster is for: learn one value, forecast the next.
"""

import importlib
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import Lines, Note, interleave, row, timed
from benchmarks.model import make_forecaster, random_walk, warm_records

_SEASON = 12
_AT_ONCE = 8192
_LEARNT_BEFORE = 200


def run(folder: Path, *, quick: bool) -> Lines:
    """Return microseconds to learn one value and forecast the next."""
    steps = _ours()
    try:
        steps |= _river()
    except ImportError as error:
        return [Note("peers", f"River: {error}")]
    calls: dict[str, Callable[[], float]] = {name: timed(step) for name, step in steps.items()}
    samples = interleave(calls, 3 if quick else 15)
    batched = f"stepcast, {_AT_ONCE:,} series at once, each"
    samples[batched] = [one / _AT_ONCE for one in samples[batched]]
    single = "stepcast, one series"
    lines: Lines = []
    for name, some in samples.items():
        against = {single: samples[single]} if name != single else {}
        lines.append(row("peers", name, "us", some, against=against))
    return lines


def _ours() -> dict[str, Callable[[], object]]:
    forecaster = make_forecaster()
    levels = (0.1, 0.9)

    def stepping(count: int) -> Callable[[], object]:
        records = warm_records(forecaster, count)
        values = cycle([np.full(count, y) for y in random_walk(100)])

        def step() -> object:
            nonlocal records
            records = forecaster.observe(records, next(values))
            return forecaster.forecast(records, 1, levels)

        return step

    return {
        "stepcast, one series": stepping(1),
        f"stepcast, {_AT_ONCE:,} series at once, each": stepping(_AT_ONCE),
    }


def _river() -> dict[str, Callable[[], object]]:
    time_series: Any = importlib.import_module("river.time_series")  # typed only in part

    def stepping(model: Any) -> Callable[[], object]:
        values = cycle(random_walk(1000).tolist())
        for _ in range(_LEARNT_BEFORE):
            model.learn_one(next(values))

        def step() -> object:
            model.learn_one(next(values))
            return model.forecast(1)

        return step

    snarimax = time_series.SNARIMAX(p=1, d=1, q=1, m=_SEASON, sp=1, sq=1)
    smoothing = time_series.HoltWinters(alpha=0.3, beta=0.1, gamma=0.1, seasonality=_SEASON)
    return {"River SNARIMAX": stepping(snarimax), "River HoltWinters": stepping(smoothing)}

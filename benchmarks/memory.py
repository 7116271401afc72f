"""Row 5: memory of many series, and the time to a first forecast.

Everything is asked of the real service over HTTP, and its memory is the resident set that the
kernel reports.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter

from benchmarks import batch, processes
from benchmarks.measure import Lines, Note, Samples, middle, row
from benchmarks.model import make_forecaster, write_model
from benchmarks.processes import Server

SERIES = (1_000, 100_000, 1_000_000)
_IN_A_CALL = 10_000
_KERAS = "Keras predict"
# Enough for a forecast, in place of a series that is kept.
_HISTORY: dict[str, object] = {"y": [100.0, 101.0, 100.5]}
_ONE = {"unique_id": "series-0", "y": 100.0}


def run(folder: Path, *, quick: bool) -> Lines:
    """Return seconds to a first forecast, and bytes for each series."""
    numbers = SERIES[:2] if quick else SERIES
    return _starts(folder, numbers, 1 if quick else 3) + _kept(folder, numbers)


def _starts(folder: Path, numbers: tuple[int, ...], rounds: int) -> Lines:
    """Start with no series, and with so many that the model was trained on."""
    folders = {number: folder / str(number) for number in (0, *numbers)}
    for number, models in folders.items():
        write_model(models, trained_on=number)
    seconds: dict[str, Samples] = {}
    memory: dict[str, Samples] = {}

    def answered(name: str, server: Server, path: str, body: Mapping[str, object]) -> None:
        status, answer = server.call(path, body)
        if status != 200:
            raise RuntimeError(f"{path} answered {status}: {answer}")
        seconds.setdefault(name, []).append(perf_counter() - server.started)
        memory.setdefault(name, []).append(server.rss_mb())

    for _ in range(rounds):
        for number, models in folders.items():
            with processes.stepcast(models) as server:
                body: dict[str, object] = {"unique_id": f"series-{number - 1}"}
                answered(_start_name(number), server, "/forecast", body if number else _HISTORY)
        with processes.comparison("keras_service", "predict") as server:
            answered(f"start to first forecast, {_KERAS}", server, "/observe", _ONE)
    for models in folders.values():
        shutil.rmtree(models)
    *ours, keras = seconds
    lines: Lines = []
    for name in (*ours, keras):
        against = {} if name == keras else {_KERAS: seconds[keras]}
        facts = {"rss_mb": middle(memory[name])}
        lines.append(row("memory", name, "s", seconds[name], against=against, facts=facts))
    return lines


def _start_name(number: int) -> str:
    return f"start to first forecast, {number:,} series"


def _kept(folder: Path, numbers: tuple[int, ...]) -> Lines:
    """Bring so many series into an empty service, in calls of 10,000."""
    models = folder / "kept"
    write_model(models)
    record = float(make_forecaster().dtype.itemsize)
    lines: Lines = []
    for number in numbers:
        with processes.stepcast(models) as server:
            _fill(server, 1)
            empty = server.rss_mb()
            start = perf_counter()
            if not _fill(server, number):
                return [Note("memory", f"{batch.PATH}: this service has no such endpoint")]
            filled = perf_counter() - start
            status, answer = server.call("/forecast", {"unique_id": f"series-{number - 1}"})
            if status != 200:
                raise RuntimeError(f"/forecast answered {status}: {answer}")
            rss = server.rss_mb()
            facts = {"rss_mb": rss, "peak_mb": server.peak_mb(), "filled_s": filled}
        each = (rss - empty) * 1e6 / number
        lines.append(
            row(
                "memory",
                f"memory of each series, {number:,} kept",
                "bytes",
                [each],
                against={"its record": [record]},
                facts=facts,
            )
        )
    return lines


def _fill(server: Server, number: int) -> bool:
    """Observe so many series twice, so that each has a forecast; say whether that is possible."""
    connection = server.connect()
    for start in range(0, number, _IN_A_CALL):
        count = min(_IN_A_CALL, number - start)
        for seed in range(2):
            status, _ = processes.exchange(connection, batch.PATH, batch.body(count, seed, start))
            if status == 404:
                return False
            if status != 200:
                raise RuntimeError(f"{batch.PATH} answered {status}")
    return True

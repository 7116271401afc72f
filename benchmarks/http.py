"""Row 1: `/forecast` and `/observe` against services that do nothing, or as people write them."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from benchmarks import processes, wrk
from benchmarks.measure import Lines, Note, interleave, middle, row
from benchmarks.model import write_model
from benchmarks.processes import Server
from benchmarks.wrk import Kind, Load

CALLERS = (1, 8, 64)
DO_NOTHING = "do-nothing FastAPI"
# Name in the table, and the argument of `servers.keras_service`.
KERAS = {
    "Keras predict": "predict",
    "Keras model(x)": "call",
    "Keras tf.function": "function",
}


def run(folder: Path, *, quick: bool) -> Lines:
    """Return requests per second of each service, with 1, 8 and 64 callers."""
    if not wrk.is_installed():
        return [Note("http", wrk.MISSING)]
    write_model(folder)
    with ExitStack() as running:
        ours = running.enter_context(processes.stepcast(folder))
        nothing = running.enter_context(processes.comparison("do_nothing"))
        targets: dict[str, tuple[Server, Kind]] = {
            "stepcast /forecast": (ours, "forecast"),
            f"{DO_NOTHING} /forecast": (nothing, "forecast"),
            "stepcast /observe": (ours, "observe"),
            f"{DO_NOTHING} /observe": (nothing, "observe"),
        }
        for name, how in KERAS.items():
            server = running.enter_context(processes.comparison("keras_service", how))
            targets[name] = (server, "observe")
        warm_up(ours)
        lines: Lines = []
        for callers in CALLERS:
            lines += compare(
                "http", targets, callers, seconds=1 if quick else 2, rounds=2 if quick else 5
            )
        return lines


def warm_up(ours: Server) -> None:
    """Bring every series that will be asked for to its first forecast."""
    for number in range(max(CALLERS)):
        for y in (100.0, 101.0, 100.5):
            status, answer = ours.call("/observe", {"unique_id": f"series-{number}", "y": y})
            if status != 200:
                raise RuntimeError(f"/observe answered {status}: {answer}")


def compare(
    group: str,
    targets: dict[str, tuple[Server, Kind]],
    callers: int,
    *,
    seconds: int,
    rounds: int,
) -> Lines:
    """Return requests per second of each target, and of ours against the others' that run."""
    loads: dict[str, list[Load]] = {name: [] for name in targets}
    # A slow service takes seconds to work off its queue once.
    seconds = max(seconds, callers // 16)

    def sampler(name: str) -> Callable[[], float]:
        server, kind = targets[name]

        def sample() -> float:
            loads[name].append(wrk.load(server, kind, callers=callers, seconds=seconds))
            return loads[name][-1].per_second

        return sample

    samples = interleave({name: sampler(name) for name in targets}, rounds)
    lines: Lines = []
    for name, (_, kind) in targets.items():
        against = {}
        if name.startswith("stepcast"):
            against = {DO_NOTHING: samples[f"{DO_NOTHING} /{kind}"]}
            against |= {one: samples[one] for one in KERAS if one in samples}
        facts = {
            "p50_ms": middle([load.p50_ms for load in loads[name]]),
            "p99_ms": middle([load.p99_ms for load in loads[name]]),
            "cpu_us": middle([load.cpu_us for load in loads[name]]),
        }
        text = f"{name}, {callers} caller{'s' if callers > 1 else ''}"
        lines.append(row(group, text, "requests/s", samples[name], against=against, facts=facts))
    return lines

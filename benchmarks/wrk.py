"""Load from wrk, a closed loop: each caller sends its next request when the last is answered."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.processes import HOST, Server

Kind = Literal["forecast", "observe"]

MISSING = (
    "wrk is not installed: apt-get install wrk (Debian, Ubuntu), brew install wrk, "
    "or https://github.com/wg/wrk"
)
_SCRIPT = Path(__file__).with_suffix(".lua")
_MARK = "figures: "


@dataclass(frozen=True)
class Load:
    """What came of some seconds of load.

    Args:
        per_second: Requests answered a second.
        p50_ms: The median latency, in milliseconds.
        p99_ms: The latency that one request in a hundred exceeded.
        cpu_us: Processor time of the server for one request, in microseconds.
    """

    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


def is_installed() -> bool:
    """Say whether there is a wrk."""
    return shutil.which("wrk") is not None


def load(server: Server, kind: Kind, *, callers: int, seconds: int) -> Load:
    """Put load on a server for some seconds.

    Raises:
        RuntimeError: If a request failed.
    """
    used = server.cpu_seconds()
    said = subprocess.run(
        [
            *("wrk", "--threads", "1", "--connections", str(callers)),
            *("--duration", f"{seconds}s", "--timeout", "60s", "--script", str(_SCRIPT)),
            *(f"http://{HOST}:{server.port}/{kind}", "--", kind, str(callers)),
        ],
        capture_output=True,
        text=True,
        timeout=seconds + 120,
        check=True,
    ).stdout
    used = server.cpu_seconds() - used
    line = next(line for line in said.splitlines() if line.startswith(_MARK))
    figures = json.loads(line.removeprefix(_MARK))
    if figures["failed"] or not figures["requests"]:
        raise RuntimeError(
            f"/{kind}, {callers} callers: {figures['requests']} answers in {seconds} seconds, "
            f"{figures['failed']} failures"
        )
    server.wait_until_idle()
    return Load(
        per_second=figures["requests"] / figures["duration"] * 1e6,
        p50_ms=figures["p50"] / 1e3,
        p99_ms=figures["p99"] / 1e3,
        cpu_us=used / figures["requests"] * 1e6,
    )

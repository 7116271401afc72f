"""What the figures were taken on, and which core does what. Linux only."""

import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_LIBRARIES = (
    "numpy",
    "pydantic",
    "fastapi",
    "starlette",
    "uvicorn",
    "uvloop",
    "httptools",
    "keras",
    "tensorflow",
    "onnxruntime",
    "torch",
    "river",
)

# One thread for everything that computes: rows compare what a core does.
ONE_THREAD = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "KERAS_BACKEND": "tensorflow",
}


_CORES = sorted(os.sched_getaffinity(0))
# Servers get the first core; callers, and whatever runs in this process, get the last.
_SERVER_CORE, _CALLER_CORE = _CORES[0], _CORES[-1]


def pin_callers() -> None:
    """Keep this process, and those it starts, on the callers' core."""
    os.sched_setaffinity(0, {_CALLER_CORE})


def pin_server(pid: int) -> None:
    """Keep a process that has just started, and the threads it will have, on the servers' core."""
    os.sched_setaffinity(pid, {_SERVER_CORE})


def facts() -> dict[str, object]:
    """Return what the figures were taken on."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gb": _memory_gb(),
        "os": f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}",
        "python": platform.python_version(),
        "libraries": {name: found for name in _LIBRARIES if (found := _version(name))},
        "wrk": _wrk(),
        "cores_used": len({_SERVER_CORE, _CALLER_CORE}),
        "load_before": [round(load, 2) for load in os.getloadavg()],
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")),
        platform.processor(),
    )


def _memory_gb() -> float:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _wrk() -> str | None:
    if shutil.which("wrk") is None:
        return None
    # It prints its version with its usage, and calls that a failure.
    said = subprocess.run(["wrk", "--version"], capture_output=True, text=True, check=False).stdout
    return said.split("\n", 1)[0].split(" [")[0].removeprefix("wrk ").strip()

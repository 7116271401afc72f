"""A service that is killed again and again loses nothing that it acknowledged, and doubles nothing.

`make crash` does so for longer, and with another seed every time.
"""

import asyncio
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from random import Random

import pytest

from tests.app.running import ROOT, Process, environment, serving
from tests.crash.callers import make_load
from tests.crash.place import Place, make_place

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills processes")

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "50"))
SEED = os.environ.get("CRASH_SEED", "1")

CALLERS = 8
SERIES = 4
# Most series are spilled in half of the rounds.
SMALL_MEMORY_BYTES = 3000

# When a service is killed, counted from the first call.
EARLIEST_KILL_SECONDS, LATEST_KILL_SECONDS = 0.003, 0.4
# The same for one that is killed while it starts, which takes about half a second, or stops.
LATEST_START_SECONDS, LATEST_STOP_SECONDS = 0.8, 0.05


class Rounds:
    """A service that is started, called and killed, round after round.

    Args:
        place: Where it keeps its series.
        scratch: A folder for copies.
        seed: Decides what callers do, and how long the service lives.
    """

    def __init__(self, place: Place, scratch: Path, seed: str) -> None:
        self._place = place
        self._scratch = scratch
        self._random = Random(seed)
        context = place.context
        self.load = make_load(
            seed, callers=CALLERS, series=SERIES, context=context, keep=place.keep
        )
        self.kills = 0

    def run(self, count: int) -> None:
        with ThreadPoolExecutor(1) as pool:
            for number in range(count):
                try:
                    self._run_one(pool)
                except BaseException as error:
                    error.add_note(f"in round {number} of CRASH_SEED={SEED}")
                    raise
        self._place.settle(self.load)

    def _run_one(self, pool: ThreadPoolExecutor) -> None:
        """Look at what the last round left, while the service starts on it, and kill it again."""
        memory_bytes = self._random.choice([10**9, SMALL_MEMORY_BYTES])
        variables = self._place.variables(memory_bytes=memory_bytes)
        left = self._place.copy(self._scratch)
        if self._random.random() < 0.1:
            self._kill_at_start(variables)
        with ExitStack() as stack:
            starting = pool.submit(stack.enter_context, serving(variables=variables))
            try:
                left.settle(self.load)
            finally:
                process = starting.result()
            asyncio.run(self._call_and_kill(process))
            assert "Traceback" not in process.log, process.log
            assert "[error" not in process.log, process.log

    async def _call_and_kill(self, process: Process) -> None:
        ready = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            calling = group.create_task(self.load.run(process.url, ready))
            waiting = group.create_task(ready.wait())
            await asyncio.wait([calling, waiting], return_when=asyncio.FIRST_COMPLETED)
            assert not calling.done(), process.log
            await asyncio.sleep(self._a_while(LATEST_KILL_SECONDS))
            if self._random.random() < 0.1:
                process.tell(signal.SIGTERM)
                if self._random.random() < 0.5:
                    assert await asyncio.to_thread(process.wait) == 0
                    return
                await asyncio.sleep(self._a_while(LATEST_STOP_SECONDS))
            process.tell(signal.SIGKILL)
            self.kills += 1

    def _kill_at_start(self, variables: dict[str, str]) -> None:
        command = [sys.executable, "-m", "stepcast.cli", "serve", "--port", "0"]
        with subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as popen:
            with suppress(subprocess.TimeoutExpired):
                popen.wait(self._a_while(LATEST_START_SECONDS))
            assert popen.poll() is None, "it ended by itself"
            popen.kill()
            self.kills += 1

    def _a_while(self, latest: float) -> float:
        """Return a time, with many short ones among them: at the beginning all is new."""
        if self._random.random() < 0.5:
            return self._random.uniform(EARLIEST_KILL_SECONDS, latest)
        share: float = (latest / EARLIEST_KILL_SECONDS) ** self._random.random()
        return EARLIEST_KILL_SECONDS * share


def test_a_service_that_is_killed_loses_and_doubles_nothing(tmp_path: Path) -> None:
    rounds = Rounds(make_place(tmp_path), tmp_path / "copy", SEED)

    rounds.run(ROUNDS)

    calls = rounds.load.calls
    print(f"{ROUNDS} rounds, {rounds.kills} kills, {calls} calls")  # noqa: T201 (see `pytest -rP`)
    assert calls > 10 * ROUNDS

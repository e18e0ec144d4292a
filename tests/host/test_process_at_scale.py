"""Many plugin runs: all at once, and one after another for long."""

from __future__ import annotations

import gc
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from attrs import define, field

from acni.host.process import Executables
from acni.spec.names import PluginType
from acni.spec.plugin import Caps, Ending, Plugin, Request, Response

MIB = 1 << 20

AT_ONCE = 1000
# A pidfd, both outputs and what waits for all three of a slow plugin.
DESCRIPTORS_EACH = 4

SECOND_LONG = '#!/bin/sh\necho "$NUMBER"\nexec sleep 1\n'
QUICK_IN_C = "int main(void) { return 0; }\n"


@define(eq=False)
class Runs:
    """Runs one plugin many times with one runner.

    Attributes:
        path: Where the plugin lies.
        answers: What was answered, by the number that a run was given.
    """

    path: Path
    answers: dict[int, Response] = field(factory=dict[int, Response])
    _runner: Executables = field(factory=Executables, init=False)

    async def run(self, number: int) -> None:
        kind = PluginType(self.path.name)
        self.answers[number] = await self._runner.run(
            Plugin(type=kind, path=str(self.path), identity="", runner="executable"),
            Request(environment={"NUMBER": str(number), "PATH": "/usr/bin:/bin"}, stdin=b"{}"),
            deadline=anyio.current_time() + 60,
            caps=Caps(),
        )

    async def one_after_another(self, runs: int) -> None:
        for _ in range(runs):
            await self.run(0)
            assert self.answers[0].ending is Ending.EXITED, self.answers[0]


@define(eq=False)
class Tick:
    """Turns with the loop and keeps what is highest: descriptors, threads, its own waiting.

    Attributes:
        descriptors: Of this process.
        threads: Of this process.
        lag_seconds: Between two of its turns.
    """

    descriptors: int = 0
    threads: int = 0
    lag_seconds: float = 0.0

    async def go_on(self) -> None:
        last = time.monotonic()
        while True:
            await anyio.sleep(0.01)
            self.lag_seconds = max(self.lag_seconds, time.monotonic() - last - 0.01)
            self.descriptors = max(self.descriptors, _descriptors())
            self.threads = max(self.threads, _threads())
            last = time.monotonic()


@pytest.fixture
def second_long(tmp_path: Path) -> Runs:
    """Print their number and take a second."""
    program = tmp_path / "second-long"
    program.write_text(SECOND_LONG)
    program.chmod(0o755)
    return Runs(program)


@pytest.fixture(scope="module")
def quick_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a program that does nothing: in C where there is a compiler, the shell's otherwise."""
    program = tmp_path_factory.mktemp("quick") / "quick"
    if compiler := shutil.which("cc"):
        source = program.with_suffix(".c")
        source.write_text(QUICK_IN_C)
        subprocess.run([compiler, "-o", program, source], check=True)
    else:
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    return program


@pytest.mark.deep
@pytest.mark.anyio
async def test_a_thousand_runs_at_once_take_no_thread_and_four_descriptors_each(
    second_long: Runs,
) -> None:
    await second_long.run(-1)
    tick = Tick()
    descriptors, threads = _descriptors(), _threads()
    with _limit_of_descriptors(AT_ONCE * DESCRIPTORS_EACH + 500):
        async with anyio.create_task_group() as ticking:
            ticking.start_soon(tick.go_on)
            async with anyio.create_task_group() as runs:
                for number in range(AT_ONCE):
                    runs.start_soon(second_long.run, number)
            ticking.cancel_scope.cancel()
    for number in range(AT_ONCE):
        response = second_long.answers[number]
        assert (response.ending, response.status) == (Ending.EXITED, 0), response
        assert response.stdout == b"%d\n" % number, "each has its own answer"
    assert tick.threads <= threads  # one that an earlier test left idle may end meanwhile
    assert tick.descriptors - descriptors <= AT_ONCE * DESCRIPTORS_EACH + 1  # the looking itself
    # A machine that stands still is part of it; tests/host/test_process.py counts the turns.
    assert tick.lag_seconds < 20, "other tasks had their turns"


@pytest.mark.deep
@pytest.mark.anyio
async def test_thousands_of_runs_one_after_another_leave_nothing(quick_program: Path) -> None:
    runs = Runs(quick_program)
    await runs.one_after_another(500)
    gc.collect()
    descriptors, resident = _descriptors(), _resident_bytes()
    await runs.one_after_another(2000)
    gc.collect()
    assert _descriptors() == descriptors
    assert _resident_bytes() - resident <= MIB


_BESIDE_A_HOST = """
import os, resource, sys
import anyio
from acni.host.process import Executables
from acni.spec.names import PluginType
from acni.spec.plugin import Caps, Ending, Plugin, Request

async def main(path):
    plugin = Plugin(type=PluginType("p"), path=path, identity="", runner="executable")
    runner = Executables()
    endings = []

    async def run():
        response = await runner.run(
            plugin,
            Request(environment={"PATH": "/usr/bin:/bin"}, stdin=b"{}"),
            deadline=anyio.current_time() + 45,
            caps=Caps(),
        )
        endings.append((response.ending, response.status))

    async with anyio.create_task_group() as tasks:
        for _ in range(64):
            tasks.start_soon(run)
    assert endings == [(Ending.EXITED, 0)] * 64, endings

resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
own = [os.open("/dev/null", os.O_RDONLY) for _ in range(500)]
anyio.run(main, sys.argv[1], backend=sys.argv[2])
print("all is well")
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_64_runs_at_once_fit_beside_a_host_program_with_500_descriptors(
    second_long: Runs, backend: str
) -> None:
    program = [sys.executable, "-c", _BESIDE_A_HOST, str(second_long.path), backend]
    done = subprocess.run(program, check=False, capture_output=True, text=True, timeout=200)
    assert done.stdout == "all is well\n", done.stderr


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@contextmanager
def _limit_of_descriptors(number: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < number:
        pytest.skip(f"this machine allows {hard} descriptors, {number} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, number), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

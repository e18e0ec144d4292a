"""What an ADD and a DEL cost, in what a busy machine does not change: tasks, waits for threads,
syncs, calls of the kernel and of functions; and in processor time, beside a C program that only
spawns, with room for a busy machine.

A figure that is reached with room to spare is made tighter here; one that grows has to be worth it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.crash.forkserver import CHECKOUT
from tests.crash.sabotages import Sabotage, run_against

pytestmark = [pytest.mark.deep, pytest.mark.netns, pytest.mark.timeout(600)]

LOOPS: Final = pytest.mark.parametrize("loop", ["asyncio", "trio"])
FEW, MANY = 20, 60

# For an ADD and a DEL of one plugin.
MOST_CALLS: Final = {"asyncio": 3400, "trio": 3500}
MOST_SYSTEM_CALLS: Final = 222
MOST_OF_FLOOR: Final = 40.0

# How often a thread waits for another one is the scheduler's affair, and so is how often glibc is
# told numbers of descriptors that are new to it: each time it looks at the limit of them.
_BY_CHANCE: Final = frozenset(("futex", "sched_yield", "prlimit64"))
# The kernel's calls between fork and exec are the child's, and so are those of the plugin.
_CALL: Final = re.compile(r"^(\d+) +([a-z0-9_]+)\(|^(\d+) <\.\.\. ([a-z0-9_]+) resumed>")

Costs = Mapping[str, float]


@pytest.fixture(scope="module")
def plugin_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a plugin that does nothing."""
    directory = tmp_path_factory.mktemp("plugins")
    source = CHECKOUT / "benchmarks" / "plugins" / "noop.c"
    compile_it = ["cc", "-O2", "-o", str(directory / "noop"), str(source)]
    subprocess.run(compile_it, check=True, timeout=60)
    return directory


def counted(loop: str, durability: str, count: int, plugin_dir: Path, **changes: str) -> Costs:
    """Run the program that counts."""
    program = (sys.executable, "-m", "tests.costs.counted")
    done = subprocess.run(
        [*program, loop, durability, str(count), str(plugin_dir)],
        env=os.environ | changes,
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=True,
        timeout=250,
    )
    figures: Costs = json.loads(done.stdout)
    return figures


def costs(loop: str, durability: str, plugin_dir: Path, **changes: str) -> Costs:
    """Count for one pair: what many cost more than few, without what only begins and ends."""
    few, many = (counted(loop, durability, count, plugin_dir, **changes) for count in (FEW, MANY))
    return {name: (many[name] - few[name]) / (MANY - FEW) for name in many}


def require_cheap(loop: str, found: Costs) -> None:
    assert found["tasks"] == 0
    assert found["waits"] == 0
    assert found["calls"] < MOST_CALLS[loop]


@LOOPS
def test_nothing_is_started_and_no_thread_is_waited_for(loop: str, plugin_dir: Path) -> None:
    require_cheap(loop, costs(loop, "process", plugin_dir, ACNI_COSTS="profile"))


@LOOPS
def test_of_a_pair_one_sync_is_waited_for_where_it_is_to_survive_the_power(
    loop: str, plugin_dir: Path
) -> None:
    found = costs(loop, "power", plugin_dir, ACNI_COSTS="profile")
    assert found["tasks"] == 0
    assert 0 < found["waits"] <= 10  # how often a coroutine goes on that waits once


def system_calls(durability: str, count: int, plugin_dir: Path, log: Path) -> Mapping[str, int]:
    """Count the kernel's calls of the runtime, its own threads included, by name."""
    program = [sys.executable, "-m", "tests.costs.counted", "asyncio", durability, str(count)]
    subprocess.run(
        ["strace", "-f", "-qq", "-o", str(log), *program, str(plugin_dir)],
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=500,
    )
    threads: set[str] = set()
    found: dict[str, int] = {}
    for line in log.read_text(errors="replace").splitlines():
        match = _CALL.match(line)
        if match is None or match[3]:
            continue
        pid, name = match[1], match[2]
        if not threads or (name == "rseq" and pid not in threads):
            threads.add(pid)
        if pid in threads:
            found[name] = found.get(name, 0) + 1
    return found


@pytest.mark.skipif(shutil.which("strace") is None, reason="cannot run here: no strace")
@pytest.mark.parametrize(("durability", "syncs"), [("process", 0), ("power", 1)])
def test_the_kernel_is_called_so_often_and_syncs_once(
    durability: str, syncs: int, plugin_dir: Path, tmp_path: Path
) -> None:
    few, many = (
        system_calls(durability, count, plugin_dir, tmp_path / f"{count}") for count in (FEW, MANY)
    )
    pair = {name: (many[name] - few.get(name, 0)) / (MANY - FEW) for name in many}
    assert pair.get("fdatasync", 0) + pair.get("fsync", 0) == syncs
    if durability == "process":
        calls = sum(count for name, count in pair.items() if name not in _BY_CHANCE)
        assert calls < MOST_SYSTEM_CALLS, sorted(pair.items())


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_processor_time_stays_within_bounds(loop: str, plugin_dir: Path, tmp_path: Path) -> None:
    """Beside a program that spawns as often, in turns; the best of some, for others are at work."""
    floor = tmp_path / "floor"
    source = CHECKOUT / "benchmarks" / "peers" / "spawn_floor.c"
    subprocess.run(["cc", "-O2", "-o", str(floor), str(source)], check=True, timeout=60)
    ratios: list[float] = []
    for _ in range(3):
        least = 2 * floor_microseconds(floor, plugin_dir / "noop")
        ratios.append(costs(loop, "process", plugin_dir)["own_us"] / least)
    assert min(ratios) < MOST_OF_FLOOR, ratios


def floor_microseconds(floor: Path, plugin: Path) -> float:
    """Return what starting a plugin and waiting for it costs at least."""
    done = subprocess.run(
        [floor, "200", "1", plugin], input=b"{}", stdout=subprocess.PIPE, check=True, timeout=60
    )
    return float(json.loads(done.stdout)["own_us"])


# --- and would be noticed

SABOTAGES: Final = {
    "one more thread is waited for": (
        "acni/engine/add.py",
        "                    ground = look_at_ground(",
        "                    await engine.in_thread(lambda: None)\n"
        "                    ground = look_at_ground(",
        "nothing_is_started",
    ),
    "one more sync": (
        "acni/store/journal.py",
        "            self._append(end_facts(operation, outcome))",
        "            self._append(end_facts(operation, outcome))\n"
        "            os.fdatasync(self._active.fd)",
        "kernel_is_called",
    ),
    "one more task a run": (
        "acni/host/process.py",
        "        await turns.wait()\n",
        "        async with anyio.create_task_group() as tasks:\n"
        "            tasks.start_soon(anyio.sleep, 0)\n"
        "        await turns.wait()\n",
        "nothing_is_started",
    ),
}


@pytest.mark.parametrize("name", SABOTAGES)
def test_what_costs_more_is_noticed(name: str, tmp_path: Path) -> None:
    """These tests run against a changed copy of the sources."""
    file, before, after, finds = SABOTAGES[name]
    change = [{"file": file, "before": before, "after": after}]
    sabotage = Sabotage(name=name, sweep="", change=change)
    printed = run_against(sabotage, finds, __file__, tmp_path)
    assert re.search("assert .* (<|==) [0-9]", printed), printed

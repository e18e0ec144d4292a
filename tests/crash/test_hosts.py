"""A chain of built-in plugins that is struck at any call leaves the host as it was: links,
addresses, routes, leases, settings, what the firewall is told and the connections that it leads are
as before once somebody has recovered.

As for plugins that are executables (test_kill, test_errno, test_power_cut), but each run has a host
with links of its own, and what is compared is what the kernel has. The calls that are struck are
those of the plugins, too: each message to the kernel and each answer, each file of a lease.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import mkdtemp

import pytest
from attrs import evolve

from tests.crash.conftest import Compiled, MakeSweep, warm
from tests.crash.disks import Disk, another_boot
from tests.crash.forkserver import LOOPS, ForkServer, serving
from tests.crash.hosts import Host, HostLane
from tests.crash.sabotages import SABOTAGES, changed_sources
from tests.crash.scenarios import Ground
from tests.crash.sweeps import HOST_CASES, Sample, Sweep
from tests.crash.world import make_ground

pytestmark = [pytest.mark.crash, pytest.mark.netns, pytest.mark.timeout(3600)]

# What `--crash sample` strikes of each case.
KILLS = Sample(4)
FAILURES = Sample(6)
CUTS = Sample(3)
PAUSES = Sample(4)

# Of the longest chain a sample is what undoes, deletes and collects: the others do no more.
SAMPLED = ("ports: failed add", "ports: gc", "ports: delete, then the namespace is gone")
ONLY_WHOLE = {case for case in HOST_CASES if case.startswith("ports")}.difference(SAMPLED)
# On one loop each, in turn: what a plugin does in its thread is the same on both.
each_case = pytest.mark.parametrize(
    ("case", "loop"),
    [
        pytest.param(case, LOOPS[n % 2], marks=[pytest.mark.crash(only_whole=case in ONLY_WHOLE)])
        for n, case in enumerate(HOST_CASES)
    ],
)


@each_case
def test_killed_at_any_call(
    case: str,
    loop: str,
    make_host_sweep: MakeSweep,
    how_much: Callable[[Sample], Sample],
    require_sound: Callable[[Sweep], None],
) -> None:
    sweep = make_host_sweep(case, loop)
    sweep.kill(how_much(KILLS))
    require_sound(sweep)


def test_killed_at_any_call_on_uvloop(
    make_host_sweep: MakeSweep,
    how_much: Callable[[Sample], Sample],
    require_sound: Callable[[Sweep], None],
) -> None:
    """It makes other calls than asyncio's own loop, and tells of children in another way."""
    pytest.importorskip("uvloop", reason="cannot run here: no uvloop")
    sweep = make_host_sweep("built-in: add, delete", "uvloop")
    sweep.kill(how_much(KILLS))
    require_sound(sweep)


@each_case
def test_any_call_fails(
    case: str,
    loop: str,
    make_host_sweep: MakeSweep,
    how_much: Callable[[Sample], Sample],
    require_sound: Callable[[Sweep], None],
) -> None:
    sweep = make_host_sweep(case, loop)
    sweep.fail(how_much(FAILURES))
    require_sound(sweep)


@pytest.mark.parametrize(
    ("case", "loop"), [("built-in: add, delete", "asyncio"), ("ports: add, delete", "trio")]
)
def test_stopped_at_any_call_while_another_one_works(
    case: str,
    loop: str,
    make_host_sweep: MakeSweep,
    how_much: Callable[[Sample], Sample],
    require_sound: Callable[[Sweep], None],
) -> None:
    """As by Ctrl-Z or a debugger. It may have the lock of the leases, or be the first on the
    network: whoever works meanwhile does not wait for longer than it may.
    """
    sweep = make_host_sweep(case, loop)
    sweep.pause(how_much(PAUSES))
    require_sound(sweep)


@pytest.mark.parametrize("case", ["ports: add, delete", "built-in: failed add", "built-in: gc"])
def test_power_cut_at_any_call(
    case: str,
    disk: Disk,
    server: ForkServer,
    room: Path,
    ground: Ground,
    how_much: Callable[[Sample], Sample],
    require_sound: Callable[[Sweep], None],
) -> None:
    """Leases and records are on the disk; the next boot has neither links nor namespaces."""
    on_disk = evolve(
        ground,
        state_dir=disk.path / "state",
        leases=disk.path / "leases",
        host="crash",
        chain=HOST_CASES[case].chain,
    )
    prepared = make_ground(Path(mkdtemp(dir=room)), room / "plugin")
    sweep = Sweep(case, "asyncio", [HostLane(server, on_disk, prepared)], settle=disk.sync)
    try:
        sweep.prepare()
        sweep.cut(how_much(CUTS), disk.cut, partial(another_boot, room))
    finally:
        Host("crash").remove()
    require_sound(sweep)


@pytest.mark.parametrize("name", [each.name for each in SABOTAGES.values() if each.sweep == "host"])
def test_what_keeps_this_is_missed_when_it_is_gone(
    name: str, compiled: Compiled, room: Path, ground: Ground, tmp_path: Path
) -> None:
    case = SABOTAGES[name].case
    sources = changed_sources(SABOTAGES[name], tmp_path)
    with serving(compiled.shim, tmp_path / "log", sources=sources) as server:
        warm(server, ground, room, loops=["asyncio"], chains=[HOST_CASES[case].chain])
        prepared = make_ground(Path(mkdtemp(dir=room)), room / "plugin")
        struck = evolve(ground, host="crash", chain=HOST_CASES[case].chain)
        lane = HostLane(server, struck, prepared)
        sweep = Sweep(case, "asyncio", [lane], enough=1)
        try:
            sweep.prepare()
            sweep.kill(KILLS)
        finally:
            lane.host.remove()
    assert sweep.findings, str(sweep)

"""The sweeps find what they are for: each piece that keeps an attachment is missed when it is gone.

A sweep runs against a changed copy of the sources, and has to find something.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from tempfile import mkdtemp

import pytest
from attrs import evolve

from tests.crash.conftest import Compiled, warm
from tests.crash.disks import Disk, another_boot
from tests.crash.forkserver import serving
from tests.crash.sabotages import SABOTAGES, changed_sources
from tests.crash.scenarios import Ground
from tests.crash.sweeps import WHOLE, Lane, Sweep
from tests.crash.world import make_ground

pytestmark = [pytest.mark.crash, pytest.mark.netns, pytest.mark.timeout(600)]


@pytest.mark.parametrize(
    "name", [each.name for each in SABOTAGES.values() if each.sweep in ("kill", "fail")]
)
def test_a_kill_or_a_failure_finds(
    name: str, compiled: Compiled, room: Path, ground: Ground, tmp_path: Path
) -> None:
    sources = changed_sources(SABOTAGES[name], tmp_path)
    with serving(compiled.shim, tmp_path / "log", sources=sources) as server:
        warm(server, ground, room)
        prepared = make_ground(Path(mkdtemp(dir=room)), room / "plugin")
        sabotage = SABOTAGES[name]
        lane = Lane(server, ground, prepared)
        sweep = Sweep(sabotage.case, "asyncio", [lane], enough=1, at=sabotage.at)
        sweep.prepare()
        (sweep.kill if sabotage.sweep == "kill" else sweep.fail)(WHOLE)
    _require_found(sweep)


@pytest.mark.parametrize("name", [each.name for each in SABOTAGES.values() if each.sweep == "cut"])
def test_a_power_cut_finds(
    name: str, compiled: Compiled, room: Path, ground: Ground, disk: Disk, tmp_path: Path
) -> None:
    sources = changed_sources(SABOTAGES[name], tmp_path)
    with serving(compiled.shim, tmp_path / "log", sources=sources) as server:
        warm(server, ground, room)
        on_disk = evolve(ground, state_dir=disk.path / "state")
        prepared = make_ground(Path(mkdtemp(dir=room)), room / "plugin")
        sabotage = SABOTAGES[name]
        sweep = Sweep(
            sabotage.case,
            "asyncio",
            [Lane(server, on_disk, prepared)],
            settle=disk.sync,
            enough=1,
            at=sabotage.at,
        )
        sweep.prepare()
        sweep.cut(WHOLE, disk.cut, partial(another_boot, room))
    _require_found(sweep)


def _require_found(sweep: Sweep) -> None:
    """Require a finding that needed a fault: without one the changed sources work."""
    assert sweep.findings, str(sweep)
    assert all(finding.fault is not None for finding in sweep.findings), str(sweep.findings[0])

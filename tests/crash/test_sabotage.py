"""The sweeps find what they are for: each piece that keeps an attachment is missed when it is gone.

A sweep runs against a changed copy of the sources, and has to find something.
"""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

import pytest
from attrs import evolve, frozen

from tests.crash.conftest import HERE, Compiled, warm
from tests.crash.disks import Disk, another_boot
from tests.crash.forkserver import CHECKOUT, serving
from tests.crash.scenarios import Ground
from tests.crash.sweeps import WHOLE, Lane, Sweep
from tests.crash.world import make_ground

pytestmark = [pytest.mark.crash, pytest.mark.netns, pytest.mark.timeout(600)]


@frozen(kw_only=True)
class Sabotage:
    """A change of the sources, and who has to find it.

    Attributes:
        name: What is taken away.
        sweep: "kill", "fail" or "cut".
        case: The case of the sweep.
        at: The points that are struck, around what is taken away.
        change: The files, and what takes the place of what.
    """

    name: str
    sweep: str
    case: str
    at: Sequence[str]
    change: Sequence[Mapping[str, str]]

    def apply(self, sources: Path) -> None:
        """Change a copy of the sources."""
        for change in self.change:
            path = sources / change["file"]
            text = path.read_text()
            assert text.count(change["before"]) == 1, f"{path.name} has it once: {change['before']}"
            path.write_text(text.replace(change["before"], change["after"]))


def _read() -> tuple[Sabotage, ...]:
    document = tomllib.loads((HERE / "sabotages.toml").read_text())
    return tuple(Sabotage(**sabotage) for sabotage in document["sabotage"])


SABOTAGES: Final = {sabotage.name: sabotage for sabotage in _read()}


@pytest.mark.parametrize("name", [each.name for each in SABOTAGES.values() if each.sweep != "cut"])
def test_a_kill_or_a_failure_finds(
    name: str, compiled: Compiled, room: Path, ground: Ground, tmp_path: Path
) -> None:
    sources = _changed(SABOTAGES[name], tmp_path)
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
    sources = _changed(SABOTAGES[name], tmp_path)
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


def _changed(sabotage: Sabotage, directory: Path) -> Path:
    sources = directory / "src"
    shutil.copytree(CHECKOUT / "src", sources)
    sabotage.apply(sources)
    return sources

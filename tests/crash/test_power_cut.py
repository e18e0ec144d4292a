"""Power that is lost at any call leaves nothing held that is not noted: the next boot lets go of
all of it.

"a full segment" is one ADD eighteen times: of each pair of a call and what it touches the first,
the middle and the last time are struck, and so all of what is done once, for the segment. How many
that leaves out is printed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import mkdtemp

import pytest
from attrs import evolve

from tests.crash.conftest import CUTS
from tests.crash.disks import Disk, another_boot
from tests.crash.forkserver import LOOPS, ForkServer
from tests.crash.scenarios import Ground
from tests.crash.sweeps import CUT_CASES, Lane, Sample, Sweep
from tests.crash.world import make_ground

pytestmark = [pytest.mark.crash, pytest.mark.netns, pytest.mark.timeout(1800)]

CUT = (
    "add",
    "add, delete",
    "failed add",
    "failed delete",
    "recovery of a delete",
    "gc",
    *CUT_CASES,
)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("case", CUT)
def test_power_cut_at_any_call(
    case: str,
    loop: str,
    disk: Disk,
    server: ForkServer,
    room: Path,
    ground: Ground,
    how_much: Callable[[Sample], Sample],
    require_sound: Callable[[Sweep], None],
) -> None:
    """What plugins hold outlives the power here, as an address in a file does."""
    on_disk = evolve(ground, state_dir=disk.path / "state")
    prepared = make_ground(Path(mkdtemp(dir=room)), room / "plugin")
    sweep = Sweep(case, loop, [Lane(server, on_disk, prepared)], settle=disk.sync)
    sweep.prepare()
    sweep.cut(how_much(CUTS), disk.cut, partial(another_boot, room))
    require_sound(sweep)

"""A runtime that is killed at any call leaves nothing held that is not noted, and whoever recovers
undoes or keeps all of it; recovery itself may be killed, too.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.crash.conftest import KILLS, MakeSweep
from tests.crash.forkserver import LOOPS
from tests.crash.sweeps import CASES, Sample, Sweep

pytestmark = [pytest.mark.crash, pytest.mark.netns, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("case", CASES)
def test_killed_at_any_call(
    case: str,
    loop: str,
    make_sweep: MakeSweep,
    how_much: Callable[[Sample], Sample],
    require_sound: Callable[[Sweep], None],
) -> None:
    sweep = make_sweep(case, loop)
    sweep.kill(how_much(KILLS))
    require_sound(sweep)

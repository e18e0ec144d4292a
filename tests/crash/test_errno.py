"""A call that fails, once or from there on, is a typed error or none at all: what a caller is told
is so, nothing is held and unknown, and nothing is left lying about.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.crash.conftest import FAILURES, MakeSweep
from tests.crash.forkserver import LOOPS
from tests.crash.sweeps import CASES, Sample, Sweep

# Only with the whole sweeps: which of its points a sample strikes is another matter each time, and
# some still have findings (docs/concepts/promises.md).
pytestmark = [pytest.mark.crash(only_whole=True), pytest.mark.netns, pytest.mark.timeout(3600)]

# The others differ in what plugins do, which is all one to a call that fails.
QUICK = [case for case in CASES if case not in ("slow plugins", "a daemon")]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("case", QUICK)
def test_any_call_fails(
    case: str,
    loop: str,
    make_sweep: MakeSweep,
    how_much: Callable[[Sample], Sample],
    require_sound: Callable[[Sweep], None],
) -> None:
    sweep = make_sweep(case, loop)
    sweep.fail(how_much(FAILURES))
    require_sound(sweep)

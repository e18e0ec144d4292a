"""A call that fails, once or from there on, is a typed error or none at all: what a caller is told
is so, nothing is held and unknown, and nothing is left lying about.

Not every error at every point, which would take an hour and a half. Every pair of a call and what
it touches fails with all eight errors, once and from there on, the first time that a session meets
it, on either loop where it touches no file of the state directory. Each further time that it is
met, in this case and in the others, it fails with a fifth of that, in turn; and no more often than
40 times a case. Left out, and counted, is what lets an event loop be woken: trio is lost without.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.crash.conftest import FAILURES, MakeSweep
from tests.crash.forkserver import LOOPS
from tests.crash.sweeps import CASES, Sample, Sweep

pytestmark = [pytest.mark.crash, pytest.mark.netns, pytest.mark.timeout(1800)]

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

"""Several runtimes on one state directory, killed at random moments: never two plugins at once for
one container, nothing held that is not noted, and in the end nothing is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import SystemRandom
from typing import Final

import pytest

from acni import netns
from tests.crash.conftest import Compiled
from tests.crash.killing import Plan, carry_out
from tests.crash.sabotages import SABOTAGES, changed_sources
from tests.crash.scenarios import Ground
from tests.crash.workers import CONTAINERS, netns_of

pytestmark = [pytest.mark.crash, pytest.mark.netns, pytest.mark.timeout(900)]

# How many are killed, in how many seconds at most, and after how many everything is looked at.
SAMPLE: Final = (60, 8.0, 10)
WHOLE: Final = (1000, 600.0, 50)
UNTIL_FOUND: Final = (5000, 500.0, 10)
# It must have looked at what it is for.
WANTED: Final = ("add: done", "delete: done")
# What is taken away may be found by whatever plugins and the world show: chance, and how busy the
# machine is, decide what comes first. A worker that fails for another reason does not find it.
SHOWN: Final = (
    "at once, ",
    "ADD of what is held: ",
    "CheckFailed: ",
    "held and noted nowhere: ",
    "held and not attached: ",
    "attached and not held: ",
    "still held: ",
)

MakePlan = Callable[..., Plan]


@pytest.fixture(autouse=True)
def nothing_left_open() -> Iterator[None]:
    """In place of the room's one: no fork server is needed here."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    yield
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.fixture(scope="module", autouse=True)
def namespaces() -> Iterator[None]:
    """A network namespace for each container."""
    names = [Path(netns_of(container)).name for container in CONTAINERS]
    for name in names:
        netns.create(name).close()
    yield
    for name in names:
        netns.delete(name)


@pytest.fixture
def make_plan(ground: Ground, compiled: Compiled, pytestconfig: pytest.Config) -> MakePlan:
    """Make a plan for so many workers; the seed is new, or the one that was asked for."""
    asked = pytestconfig.getoption("--crash-seed")

    def make(workers: int, size: tuple[int, float, int], wanted: Sequence[str] = WANTED) -> Plan:
        kills, seconds, pause = size
        return Plan(
            ground=ground,
            linger=compiled.linger,
            workers=workers,
            kills=kills,
            seconds=seconds,
            pause=pause,
            seed=SystemRandom().getrandbits(32) if asked is None else asked,
            wanted=wanted,
        )

    return make


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_killed_at_random_moments(
    workers: int,
    make_plan: MakePlan,
    pytestconfig: pytest.Config,
    count: Callable[[object], None],
    tmp_path: Path,
) -> None:
    is_whole = pytestconfig.getoption("--crash") == "whole"
    wanted = (*WANTED, "gc: done") if is_whole else WANTED
    plan = make_plan(workers, WHOLE if is_whole else SAMPLE, wanted)
    report = carry_out(plan, tmp_path / "log")
    told = f"seed {plan.seed}: {report}"
    count(told)
    assert not report.complaints, "\n    ".join((told, *report.complaints))
    assert report.at_work, told
    assert report.pauses, told
    assert report.outcomes.keys() >= set(wanted), told


@pytest.mark.parametrize(
    "name", [each.name for each in SABOTAGES.values() if each.sweep == "random"]
)
def test_random_moments_find(
    name: str, make_plan: MakePlan, count: Callable[[object], None], tmp_path: Path
) -> None:
    sabotage = SABOTAGES[name]
    sources = changed_sources(sabotage, tmp_path)
    plan = make_plan(sabotage.workers, UNTIL_FOUND)
    report = carry_out(plan, tmp_path / "log", sources=sources)
    told = f"seed {plan.seed}: {report}"
    count(told)
    found = "\n    ".join((told, *report.complaints))
    finds = (*SHOWN, *sabotage.finds)
    assert any(part in told for part in finds for told in report.complaints), found

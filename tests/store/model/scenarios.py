"""What is searched: small worlds in which little may happen, each of it at any moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.store.model.world import Left, Scenario


def scenario(
    *,
    containers: tuple[int, ...] = (0,),
    namespaces: tuple[int, ...] | None = None,
    addresses: int = 2,
    chain: int = 2,
    runtimes: int = 1,
    releases: str = "container",
    loses_leases: bool = False,
    seed: tuple[int, ...] = (),
    left_open: tuple[int, ...] = (),
    left_verb: str = "add",
    dies_slowly: bool = False,
    **left: int,
) -> Scenario:
    """Make a scenario; what else is given may happen so often."""
    return Scenario(
        left=Left(**left),
        containers=containers,
        namespaces=namespaces or tuple(range(len(containers))),
        addresses=addresses,
        chain=chain,
        runtimes=runtimes,
        releases=releases,
        loses_leases=loses_leases,
        seed=seed,
        left_open=left_open,
        left_verb=left_verb,
        dies_slowly=dies_slowly,
    )


TWO: Final = (0, 1)
SAME: Final = (0, 0)

# All of these in less than a minute.
QUICK: Final[Mapping[str, Scenario]] = {
    "two on one interface": scenario(containers=TWO, namespaces=SAME, runtimes=2, adds=2, kills=1),
    "one added, one deleted on one interface": scenario(
        containers=TWO, namespaces=SAME, runtimes=2, adds=1, dels=1
    ),
    "two of one container, a daemon": scenario(containers=SAME, adds=2, kills=1, daemons=1),
    "two of one container": scenario(containers=SAME, runtimes=2, adds=2, kills=1),
    "a chain of three, power cut": scenario(chain=3, adds=2, dels=1, cuts=1, fails=1),
    "a chain of three, killed": scenario(chain=3, adds=1, dels=1, kills=2, fails=2, disk=1),
    "killed again and again": scenario(runtimes=2, adds=1, dels=1, kills=3),
    "a full disk": scenario(containers=TWO, addresses=1, adds=2, dels=1, disk=2, kills=1),
    "two power cuts": scenario(adds=2, dels=1, cuts=2, releases="operation"),
    "libcni": scenario(adds=2, dels=1, foreign=3, cuts=1),
    "libcni deletes what is owed": scenario(
        containers=TWO, addresses=1, adds=2, dels=1, fails=1, foreign=1
    ),
    "libcni deletes what was just recorded": scenario(
        containers=TWO, addresses=1, adds=2, kills=1, foreign=1
    ),
    "segments, killed": scenario(containers=TWO, addresses=1, adds=2, kills=2, segments=1),
    "segments, power cut": scenario(adds=1, dels=1, cuts=1, kills=1, segments=1),
    "of an earlier boot, one address": scenario(
        containers=TWO, addresses=1, seed=TWO, loses_leases=True, adds=2, dels=1, kills=1
    ),
    "gc, leases lost": scenario(containers=TWO, loses_leases=True, adds=2, gcs=1, cuts=1, fails=1),
    "gc and libcni": scenario(containers=TWO, adds=1, gcs=1, foreign=1, kills=1),
    "an owed delete, killed": scenario(
        containers=TWO, addresses=1, adds=2, dels=1, fails=1, kills=1
    ),
    "of an earlier boot, both add": scenario(containers=TWO, runtimes=2, seed=TWO, adds=2),
    "gc and recovery": scenario(runtimes=2, seed=(0,), gcs=1, fails=1),
    "killed slowly, one container": scenario(
        containers=SAME, runtimes=2, adds=2, kills=1, dies_slowly=True
    ),
    "killed slowly, one interface": scenario(
        containers=TWO, namespaces=SAME, runtimes=2, adds=2, kills=1, dies_slowly=True
    ),
    "killed slowly, gc": scenario(runtimes=2, seed=(0,), kills=1, gcs=1, dies_slowly=True),
    "left open by a living runtime, one interface": scenario(
        containers=TWO, namespaces=SAME, addresses=1, runtimes=2, adds=2, fails=2, disk=1
    ),
    "two left open by a dead runtime": scenario(
        containers=TWO, left_open=TWO, runtimes=2, adds=1, kills=1
    ),
    "two left open by a dead runtime, gc": scenario(
        containers=TWO, left_open=TWO, runtimes=2, kills=1, gcs=1
    ),
    "a delete left open, a full disk": scenario(
        containers=TWO, addresses=1, left_open=(0,), left_verb="del", adds=1, disk=4
    ),
    "an ADD left open, a full disk": scenario(
        containers=TWO, addresses=1, left_open=(0,), adds=1, disk=2, fails=1, kills=1
    ),
}

# Some minutes in all.
WHOLE: Final[Mapping[str, Scenario]] = {
    **QUICK,
    "left open by a living runtime": scenario(
        containers=TWO, addresses=1, runtimes=2, adds=3, fails=2, disk=1
    ),
    "left open by a living runtime, one container": scenario(
        containers=SAME, runtimes=2, adds=2, fails=2, disk=1, kills=1
    ),
    "left open by a living runtime, killed slowly": scenario(
        containers=TWO,
        namespaces=SAME,
        runtimes=2,
        adds=2,
        fails=1,
        disk=1,
        kills=1,
        dies_slowly=True,
    ),
    "killed slowly again and again": scenario(
        containers=SAME, runtimes=2, adds=2, kills=2, dies_slowly=True
    ),
    "killed slowly, gc and a delete": scenario(
        runtimes=2, adds=1, dels=1, kills=1, gcs=1, dies_slowly=True
    ),
    "killed slowly, power cut": scenario(
        runtimes=2, adds=1, dels=1, kills=1, cuts=1, dies_slowly=True
    ),
    "two left open by a dead runtime, one container": scenario(
        containers=SAME, left_open=TWO, runtimes=2, adds=1, kills=2, fails=1
    ),
    "two left open by a dead runtime, power cut": scenario(
        containers=TWO, left_open=TWO, runtimes=2, kills=1, cuts=1
    ),
    "two left open by a dead runtime, full disk": scenario(
        containers=TWO, addresses=2, left_open=TWO, runtimes=2, adds=1, kills=1, disk=2
    ),
    "one address": scenario(containers=TWO, addresses=1, adds=2, dels=1, kills=2, fails=1),
    "one address, two runtimes": scenario(
        containers=TWO, addresses=1, runtimes=2, adds=2, dels=1, kills=2
    ),
    "power cut, killed": scenario(adds=2, dels=1, cuts=1, kills=1, fails=1),
    "two power cuts, two deletes": scenario(adds=2, dels=2, cuts=2, releases="operation"),
    "two power cuts, killed": scenario(adds=2, dels=1, cuts=2, kills=1),
    "full disk, power cut": scenario(adds=2, dels=1, kills=1, disk=1, cuts=1),
    "full disk, one address": scenario(
        containers=TWO, addresses=1, adds=2, dels=1, disk=1, kills=1, fails=1
    ),
    "of an earlier boot": scenario(containers=TWO, seed=TWO, adds=1, dels=1, fails=1, cuts=1),
    "of an earlier boot, two runtimes": scenario(
        containers=TWO, addresses=1, runtimes=2, seed=TWO, loses_leases=True, adds=2, kills=1
    ),
    "of an earlier boot, libcni": scenario(
        containers=TWO,
        addresses=1,
        runtimes=2,
        seed=(0,),
        loses_leases=True,
        adds=2,
        kills=1,
        foreign=1,
    ),
    "segments": scenario(adds=2, dels=1, cuts=1, kills=1, segments=1, releases="operation"),
    "segments, full disk": scenario(adds=1, dels=1, kills=1, fails=1, disk=1, segments=1),
    "segments, leases lost": scenario(
        containers=TWO, addresses=1, loses_leases=True, adds=2, cuts=1, segments=1
    ),
    "two of one container, killed twice": scenario(
        containers=SAME, runtimes=2, adds=2, dels=1, kills=2
    ),
    "libcni, killed": scenario(adds=2, dels=1, foreign=2, cuts=1, kills=1, releases="operation"),
    "libcni, leases lost": scenario(
        containers=TWO, addresses=1, loses_leases=True, adds=1, dels=1, foreign=2, cuts=1
    ),
    "gc, libcni, full disk": scenario(
        containers=TWO, adds=1, dels=1, gcs=1, foreign=1, kills=1, disk=1, fails=1
    ),
    "gc, two runtimes": scenario(containers=TWO, addresses=1, runtimes=2, adds=2, gcs=1, kills=1),
    "one interface, power cut": scenario(
        containers=TWO, namespaces=SAME, adds=2, dels=1, cuts=1, fails=1
    ),
    "one interface, full disk": scenario(
        containers=TWO, namespaces=SAME, adds=2, dels=1, kills=1, fails=1, disk=1
    ),
    "killed, power cut, two runtimes": scenario(runtimes=2, adds=1, cuts=1, kills=2, fails=1),
}

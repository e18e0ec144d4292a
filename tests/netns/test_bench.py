"""Debian's plugins measured, and the race of its firewall plugins found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from acni import open_runtime
from acni.bench.lanes import QUEUE, READ, RUN, SPAWN
from acni.bench.measuring import Tally, Workload, measure, warm_up
from acni.bench.pool import made_pool
from acni.bench.race import Hunt, fire_in_process, hunt
from acni.bench.report import Step
from acni.bench.stopwatch import Stopwatch
from acni.bench.volley import Volley
from tests.netns.conftest import PLUGINS
from tests.netns.test_plugins import BANDWIDTH, BRIDGE, FIREWALL, MASQUERADED, PORTMAP, TUNING

if TYPE_CHECKING:
    from tests.netns.conftest import Host

pytestmark = [pytest.mark.anyio, pytest.mark.netns]

CHAIN: Final = (MASQUERADED, TUNING, BANDWIDTH, PORTMAP, FIREWALL)
# One volley of twenty meets the race; of so many all miss it once in some hundred thousand runs.
VOLLEYS: Final = 240
MOST_OTHER: Final = 0.05


async def measured(host: Host) -> Step:
    workload = Workload(network=host.network(*CHAIN), count=10)
    stopwatch, tally = Stopwatch(), Tally(at_once=1, count=10)
    with made_pool(2, tally.namespaces) as pool:
        async with open_runtime(
            state_dir=host.state_dir, plugin_dirs=[PLUGINS], observers=[stopwatch]
        ) as runtime:
            await warm_up(runtime, workload, pool.paths)
            await measure(
                runtime, stopwatch, workload, pool=pool, tally=tally, progress=lambda _: None
            )
    return tally.step()


async def test_the_lanes_explain_the_time_of_five_plugins(host: Host) -> None:
    step = await measured(host)
    for _ in range(2):  # a machine that stands still meanwhile explains nothing
        if all(verb.other_share <= MOST_OTHER for verb in step.verbs):
            break
        step = await measured(host)
    assert step.failures == ()
    add, delete = step.verbs
    types = [str(plugin["type"]) for plugin in CHAIN]
    for verb, order in ((add, types), (delete, types[::-1])):
        names = [lane.name for lane in verb.waterfall.lanes]
        assert [name for name in names if name in types] == order
        least = {(phase.lane, phase.phase): phase.seconds.least for phase in verb.phases}
        for plugin in types:
            assert {(plugin, phase) for phase in (QUEUE, READ)} <= set(least)
            assert least[plugin, SPAWN] > 0
            assert least[plugin, RUN] > 0
        assert verb.other_share <= MOST_OTHER
        whole = sum(lane.seconds for lane in verb.waterfall.lanes)
        assert whole == pytest.approx(verb.waterfall.seconds, rel=1e-3)


def firewall_volley(host: Host, *, first_add_alone: bool) -> Volley:
    return Volley(
        network=host.network(BRIDGE, FIREWALL).effective(),
        plugin_dirs=(PLUGINS,),
        at_once=4,
        first_add_alone=first_add_alone,
    )


async def volleys(volley: Volley, count: int) -> Hunt:
    """Fire volleys until a race is found, so many at most."""
    found = Hunt()
    for _ in range(count):
        await hunt(volley, [4], 1, fire=fire_in_process, found=found, progress=lambda *_: None)
        if found.races():
            break
    return found


# Processes of their own: the loop of the test only waits for them.
@pytest.mark.deep
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.timeout(900)
async def test_the_race_of_firewall_plugins_is_found(host: Host) -> None:
    found = await volleys(firewall_volley(host, first_add_alone=False), VOLLEYS)
    assert {race.failure.plugin for race in found.races()} == {"firewall"}
    assert "exists" in found.races()[0].failure.message


@pytest.mark.deep
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.timeout(900)
async def test_a_first_add_alone_does_not_race(host: Host) -> None:
    found = await volleys(firewall_volley(host, first_add_alone=True), 40)
    assert found.races() == ()
    assert sum(step.adds for step in found.steps) == 160

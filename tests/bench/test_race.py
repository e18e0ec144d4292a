"""What is said of plugins that fail when many containers are attached at once."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from acni import PluginFailed
from acni.bench.failures import Failure, failure_of
from acni.bench.race import Hunt, VolleyFailed, fire_in_process, hunt, steps_up_to
from acni.bench.volley import Outcome, Volley, fire
from acni.testing import Behaviour, RecordingPlugins, ScriptedRunner
from tests.bench.conftest import NETWORK

pytestmark = [pytest.mark.anyio, pytest.mark.netns]

VOLLEY = Volley(
    network=NETWORK.effective(), plugin_dirs=("/plugins",), at_once=1, first_add_alone=False
)


def failed(plugin: str, msg: str = "exists") -> Failure:
    return failure_of("ADD", PluginFailed("it failed", plugin=plugin, msg=msg))


async def hunted(failures: dict[int, list[Failure]], *, most: int = 8, rounds: int = 2) -> Hunt:
    """Hunt where each volley of so many fails so."""

    async def fire_so(volley: Volley) -> Outcome:  # noqa: ASYNC124 (as a real one)
        told = tuple(failures.get(volley.at_once, ()))
        return Outcome(adds=volley.at_once, failures=told)

    found, seen = Hunt(), list[tuple[int, int]]()
    await hunt(
        VOLLEY,
        steps_up_to(most),
        rounds,
        fire=fire_so,
        found=found,
        progress=lambda at_once, number: seen.append((at_once, number)),
    )
    assert len(seen) == len(found.steps) * rounds
    return found


@pytest.mark.parametrize(
    ("most", "steps"),
    [
        pytest.param(1, [1], id="one"),
        pytest.param(8, [1, 2, 4, 8], id="a-power"),
        pytest.param(11, [1, 2, 4, 8, 11], id="none"),
    ],
)
def test_steps_double(most: int, steps: list[int]) -> None:
    assert list(steps_up_to(most)) == steps


async def test_a_race_is_told_with_how_many_it_was_seen_first() -> None:
    found = await hunted({2: [failed("b")], 4: [failed("b"), failed("a"), failed("b")]})
    assert found.fails_alone == ()
    assert [
        (race.failure.plugin, race.at_once, race.count, race.adds, race.failure.count)
        for race in found.races()
    ] == [("b", 2, 2, 4, 6), ("a", 4, 2, 8, 2)]
    assert [step.adds for step in found.steps] == [2, 4, 8, 16]


async def test_what_fails_alone_is_no_race_and_ends_the_hunt() -> None:
    found = await hunted({1: [failed("a")], 2: [failed("a")]})
    assert [failure.count for failure in found.fails_alone] == [2]
    assert [step.at_once for step in found.steps] == [1]


async def test_nothing_fails() -> None:
    assert (await hunted({})).races() == ()


async def test_a_volley_attaches_all_and_detaches_them(
    scripted: ScriptedRunner, state_dir: Path
) -> None:
    volley = Volley(
        network=NETWORK.effective(), plugin_dirs=("/p",), at_once=4, first_add_alone=False
    )
    outcome = await fire(volley, str(state_dir), scripted)
    assert outcome == Outcome(adds=4, failures=())
    called = [str(call) for call in scripted.calls]
    assert called[:8] == ["ADD first"] * 4 + ["ADD second"] * 4
    assert sorted(called[8:]) == ["DEL first"] * 4 + ["DEL second"] * 4
    assert scripted.held == set()


async def test_a_volley_with_its_first_add_alone_begins_with_one(
    scripted: ScriptedRunner, state_dir: Path
) -> None:
    volley = Volley(
        network=NETWORK.effective(), plugin_dirs=("/p",), at_once=4, first_add_alone=True
    )
    with anyio.fail_after(15):  # less than a container is waited for
        outcome = await fire(volley, str(state_dir), scripted)
    assert outcome.failures == ()
    assert [str(call) for call in scripted.calls][:2] == ["ADD first", "ADD second"]


async def test_a_volley_counts_what_fails(scripted: ScriptedRunner, state_dir: Path) -> None:
    volley = Volley(
        network=NETWORK.effective(), plugin_dirs=("/p",), at_once=2, first_add_alone=False
    )
    scripted.tell("second", "ADD", Behaviour.failing(msg="exists"))
    outcome = await fire(volley, str(state_dir), scripted)
    assert [(one.plugin, one.message) for one in outcome.failures] == [("second", "exists")] * 2
    assert scripted.held == set()


async def test_a_cancelled_volley_leaves_nothing(scripted: ScriptedRunner, state_dir: Path) -> None:
    volley = Volley(
        network=NETWORK.effective(), plugin_dirs=("/p",), at_once=3, first_add_alone=False
    )
    async with anyio.create_task_group() as tasks:
        with scripted.paused("second", "ADD") as reached:
            tasks.start_soon(fire, volley, str(state_dir), scripted)
            await reached.wait()
            tasks.cancel_scope.cancel()
    assert scripted.held == set()


async def test_a_volley_has_a_process_and_a_host_of_its_own(plugins: RecordingPlugins) -> None:
    volley = Volley(
        network=NETWORK.effective(),
        plugin_dirs=(plugins.directory,),
        at_once=3,
        first_add_alone=False,
    )
    plugins.tell("second", "ADD", Behaviour.failing(msg="exists"))
    outcome = await fire_in_process(volley)
    assert outcome.adds == 3
    assert [(one.plugin, one.message) for one in outcome.failures] == [("second", "exists")] * 3


async def test_a_process_without_an_outcome_says_why() -> None:
    volley = Volley(network="{}", plugin_dirs=(), at_once=1, first_add_alone=False)
    with pytest.raises(VolleyFailed, match="name"):
        await fire_in_process(volley)

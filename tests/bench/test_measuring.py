"""Attaching and detaching again and again: what is counted, and that nothing stays."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from attrs import evolve

from acni import PluginFailed, Runtime
from acni.bench.lanes import RUN, RUNTIME
from acni.bench.measuring import Tally, Workload, measure, warm_up
from acni.bench.pool import Pool, made_pool
from acni.bench.report import Phase
from acni.bench.stopwatch import Stopwatch
from acni.host import netns
from acni.testing import Behaviour, ScriptedRunner, look_for_leftovers
from tests.bench.conftest import OpenRuntime, until

pytestmark = [pytest.mark.anyio, pytest.mark.netns]


async def measured(
    runtime: Runtime, stopwatch: Stopwatch, workload: Workload, pool: Pool, tally: Tally
) -> list[int]:
    ended: list[int] = []
    await measure(runtime, stopwatch, workload, pool=pool, tally=tally, progress=ended.append)
    return ended


async def test_every_cycle_is_an_add_and_a_del(
    opened: OpenRuntime, workload: Workload, pool: Pool, scripted: ScriptedRunner
) -> None:
    stopwatch, tally = Stopwatch(), Tally(at_once=3, count=6)
    for command in ("ADD", "DEL"):
        scripted.tell("second", command, Behaviour(seconds=0.03))
    async with opened(observers=[stopwatch]) as runtime:
        await warm_up(runtime, workload, pool.paths)
        assert tally.ended == 0
        assert sorted(await measured(runtime, stopwatch, workload, pool, tally)) == [*range(1, 7)]
    assert tally.is_complete
    assert len(scripted.calls) == 2 * 2 * (6 + 2)
    assert scripted.held == set()
    step = tally.step()
    assert (step.at_once, step.cycles, step.failures) == (3, 6, ())
    assert step.seconds > 0.06
    add, delete = step.verbs
    assert (add.command, add.seconds.count, delete.command) == ("ADD", 6, "DEL")
    for verb in (add, delete):
        names = [lane.name for lane in verb.waterfall.lanes]
        assert {"first", "second", "before the plugins", "after the plugins", "other"} <= set(names)
        second = next(p for p in verb.phases if (p.lane, p.phase) == ("second", RUN))
        assert second.seconds.least >= 0.03 * 0.99
        assert any(p.lane == "first" and p.phase == RUNTIME for p in verb.phases)
        assert verb.seconds.least >= second.seconds.least


async def test_as_many_are_under_way_as_was_asked_for(
    opened: OpenRuntime, workload: Workload, pool: Pool, scripted: ScriptedRunner
) -> None:
    stopwatch, tally = Stopwatch(), Tally(at_once=3, count=6)
    async with opened(observers=[stopwatch]) as runtime:
        await warm_up(runtime, workload, pool.paths)
        scripted.calls.clear()
        async with anyio.create_task_group() as tasks:
            with scripted.paused("second", "ADD"):
                tasks.start_soon(measured, runtime, stopwatch, workload, pool, tally)
                await until(lambda: len(scripted.calls) == 6)
                await anyio.wait_all_tasks_blocked()
                assert len(scripted.calls) == 6
    assert tally.is_complete


async def test_failures_are_counted_and_the_rest_is_measured(
    opened: OpenRuntime, workload: Workload, pool: Pool, scripted: ScriptedRunner
) -> None:
    stopwatch, tally = Stopwatch(), Tally(at_once=2, count=6)
    async with opened(observers=[stopwatch]) as runtime:
        scripted.tell("second", "ADD", Behaviour.failing(msg="chain CNI-17c3d4e5 exists"))
        await measured(runtime, stopwatch, workload, pool, tally)
        step = tally.step()
        (failure,) = step.failures
        assert (failure.count, failure.plugin, failure.verb) == (6, "second", "ADD")
        assert (step.verbs, step.cycles, tally.owed) == ((), 6, False)
        with pytest.raises(PluginFailed):
            await warm_up(runtime, workload, pool.paths)


async def test_a_namespace_that_holds_what_is_owed_is_not_used_again(
    opened: OpenRuntime, workload: Workload, pool: Pool, scripted: ScriptedRunner
) -> None:
    stopwatch, tally = Stopwatch(), Tally(at_once=1, count=6)
    scripted.tell("first", "DEL", Behaviour.failing())
    async with opened(observers=[stopwatch]) as runtime:
        await measured(runtime, stopwatch, workload, pool, tally)
        assert len(await runtime.debts()) == 1
    assert tally.owed
    assert (tally.ended, tally.is_complete) == (1, False)
    assert [failure.verb for failure in tally.step().failures] == ["DEL"]


async def test_others_take_their_turn_in_between(
    opened: OpenRuntime, workload: Workload, pool: Pool
) -> None:
    stopwatch, tally = Stopwatch(), Tally(at_once=2, count=6, limit=4)
    async with opened(observers=[stopwatch]) as runtime:
        assert await measured(runtime, stopwatch, workload, pool, tally) == [1, 2, 3, 4]
        assert (tally.ended, tally.is_complete) == (4, False)
        taken = tally.step().seconds
        with tally.turn():  # one without a cycle
            pass
        assert tally.step().seconds == taken
        tally.limit = 6
        assert await measured(runtime, stopwatch, workload, pool, tally) == [5, 6]
    assert tally.is_complete
    assert tally.step().seconds > taken


async def test_without_a_namespace_that_is_free_a_turn_is_over(
    opened: OpenRuntime, workload: Workload, pool: Pool, scripted: ScriptedRunner
) -> None:
    stopwatch, tally = Stopwatch(), Tally(at_once=3, count=6)
    scripted.tell("first", "DEL", Behaviour.failing())
    async with opened(observers=[stopwatch]) as runtime:
        await measured(runtime, stopwatch, workload, pool, tally)
        assert (tally.ended, pool.free) == (3, 0)
        assert await measured(runtime, stopwatch, workload, pool, tally) == []


@pytest.mark.parametrize("command", ["ADD", "DEL"])
async def test_a_cancellation_detaches_and_keeps_what_was_measured(
    command: str,
    opened: OpenRuntime,
    workload: Workload,
    pool: Pool,
    scripted: ScriptedRunner,
    state_dir: Path,
) -> None:
    stopwatch, tally = Stopwatch(), Tally(at_once=3, count=1000)
    workload = evolve(workload, count=1000)
    async with opened(observers=[stopwatch]) as runtime:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(measured, runtime, stopwatch, workload, pool, tally)
            await until(lambda: tally.ended >= 5)
            with scripted.paused("second", command) as reached:
                await reached.wait()
                tasks.cancel_scope.cancel()
        assert await runtime.attachments() == ()
        assert await runtime.debts() == ()
    assert scripted.held == set()
    assert 5 <= tally.step().cycles < 1000
    assert tally.step().verbs[0].command == "ADD"


async def test_namespaces_are_made_timed_and_deleted() -> None:  # noqa: ASYNC124 (blocks)
    before = look_for_leftovers()
    phases: list[Phase] = []
    with made_pool(3, phases) as pool:
        assert len(pool.paths) == 3
        first = pool.take()
        with netns.open(first) as namespace:
            assert namespace.call(lambda: Path("/proc/net/if_inet6").exists())
            assert "UP" in netns.run(namespace, ["ip", "link"], timeout=20).stdout.decode()
        pool.give_back(first)
        assert [pool.take() for _ in range(3)] == [*pool.paths[1:], first]
    assert [(phase.phase, phase.seconds.count) for phase in phases] == [
        ("make", 3),
        ("loopback up", 3),
        ("delete", 3),
    ]
    assert look_for_leftovers().beyond(before) == []

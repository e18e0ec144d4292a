"""The gate: gc alone, everything else together, and nobody kept waiting for long."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import pytest

from acni import Busy
from acni.engine.gate import TURN_SECONDS, Gate


@asynccontextmanager
async def working(gate: Gate, seconds: float, count: int) -> AsyncGenerator[list[float]]:
    """Let workers go in and out without a pause, ``seconds`` each time; yield how long they stood
    before the gate.
    """
    waits: list[float] = []

    async def work(number: int) -> None:
        await anyio.sleep(seconds * number / count)
        while True:
            asked = anyio.current_time()
            async with gate.shared(60, who=f"add of c{number}/eth0"):
                waits.append(anyio.current_time() - asked)
                await anyio.sleep(seconds)

    async with anyio.create_task_group() as tasks:
        for number in range(count):
            tasks.start_soon(work, number)
        await anyio.sleep(2 * seconds)
        yield waits
        tasks.cancel_scope.cancel()


@pytest.mark.rule("R27")
@pytest.mark.trio
async def test_gc_waits_for_those_inside_and_nobody_goes_in_beside_it(
    autojump_clock: object,
) -> None:
    gate = Gate()
    seen: list[str] = []

    async def go_in(name: str) -> None:
        async with gate.shared(60, who=name):
            seen.append(name)
            await anyio.sleep(0.5)
            seen.append(f"{name} ends")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(go_in, "first")
        tasks.start_soon(go_in, "second")
        await anyio.wait_all_tasks_blocked()
        assert sorted(seen) == ["first", "second"]
        tasks.start_soon(_be_alone, gate, seen)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(go_in, "third")
    assert sorted(seen[2:4]) == ["first ends", "second ends"]
    assert seen[4:] == ["gc", "gc ends", "third", "third ends"]


async def _be_alone(gate: Gate, seen: list[str]) -> None:
    async with gate.exclusive(10, who="gc"):
        seen.append("gc")
        await anyio.sleep(3)
        seen.append("gc ends")


@pytest.mark.trio
async def test_gc_comes_in_while_64_workers_go_in_and_out(autojump_clock: object) -> None:
    gate = Gate()
    async with working(gate, 0.2, 64) as waits:
        asked = anyio.current_time()
        async with gate.exclusive(10, who="gc"):
            assert anyio.current_time() - asked <= 0.21
        await anyio.sleep(0.5)
    assert max(waits) <= 0.21


@pytest.mark.trio
async def test_a_gc_that_does_not_come_in_keeps_nobody_out_for_more_than_a_moment(
    autojump_clock: object,
) -> None:
    gate = Gate()
    async with working(gate, 3.0, 8) as waits:
        asked = anyio.current_time()
        with pytest.raises(Busy, match=r"in the way for 10 s: add of c\d/eth0, .* and \d more"):
            async with gate.exclusive(10, who="gc"):
                pytest.fail("it came in")
        assert anyio.current_time() - asked == pytest.approx(10)
        async with gate.shared(0, who="add"):  # it is open again
            pass
    assert TURN_SECONDS / 2 <= max(waits) <= TURN_SECONDS + 0.01


@pytest.mark.trio
async def test_who_waits_for_a_gc_waits_no_longer_than_it_says_and_is_told_for_whom(
    autojump_clock: object,
) -> None:
    gate = Gate()
    async with gate.exclusive(10, who="gc of network net"):
        asked = anyio.current_time()
        with pytest.raises(Busy, match="gc of network net went on for 7 s"):
            async with gate.shared(7, who="add"):
                pytest.fail("it came in")
        assert anyio.current_time() - asked == pytest.approx(7)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_be_refused, gate)


async def _be_refused(gate: Gate) -> None:
    with pytest.raises(Busy, match="gc of network net"):
        async with gate.exclusive(7, who="another gc"):
            pytest.fail("it came in")


@pytest.mark.anyio
async def test_two_gcs_come_one_after_the_other() -> None:
    gate, seen = Gate(), list[str]()

    async def be_alone(name: str) -> None:
        async with gate.exclusive(10, who=name):
            seen.append(name)
            await anyio.sleep(0.01)
            seen.append(name)

    async with anyio.create_task_group() as tasks:
        for name in ("a", "b"):
            tasks.start_soon(be_alone, name)
    assert seen in (["a", "a", "b", "b"], ["b", "b", "a", "a"])


@pytest.mark.anyio
async def test_a_gc_that_is_cancelled_leaves_the_gate_open() -> None:
    gate = Gate()
    async with gate.shared(1, who="add"):
        with anyio.move_on_after(0.01) as scope:
            async with gate.exclusive(10, who="gc"):
                pass
        assert scope.cancelled_caught
        async with gate.shared(0, who="another"):
            pass
    with anyio.move_on_after(0.01):
        async with gate.exclusive(10, who="gc"):
            await anyio.sleep(10)
    async with gate.shared(0, who="add"), anyio.create_task_group() as tasks:
        tasks.cancel_scope.cancel()
    async with gate.exclusive(0.1, who="gc"):
        pass

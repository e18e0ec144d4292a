"""The gate: operations together, a garbage collection alone, and neither waits for ever.

Two gates in this process have descriptions of their own, so the kernel takes them for two
processes.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import anyio
import pytest
from attrs import define, field

from acni import Busy
from acni.host.locks import is_held
from acni.store.gate import CLOSED, COLLECTION, COLLECTION_SECONDS, GATE, WAITING, Gate
from acni.store.lockfiles import GATE_FILE
from acni.store.locks import open_locks
from acni.testing import cancelled_at
from tests.host.asking import Counted
from tests.store.lock_processes import lock_process

BYTES: Final = (GATE, CLOSED, WAITING, COLLECTION)


@pytest.fixture
def gates(state_dir: Path) -> Iterator[list[Gate]]:
    with ExitStack() as stack:
        yield [stack.enter_context(open_locks(state_dir)).gate for _ in range(3)]


async def is_open(gate: Gate) -> bool:
    """Tell whether an operation could pass at once."""
    try:
        async with gate.shared(until=anyio.current_time()):
            return True
    except Busy:
        return False


async def is_empty(gate: Gate) -> bool:
    """Tell whether a collection could pass at once."""
    try:
        async with gate.exclusive(until=anyio.current_time()):
            return True
    except Busy:
        return False


def held(state_dir: Path) -> list[int]:
    with (state_dir / "acni/lock" / GATE_FILE).open("rb") as looked_at:
        return [byte for byte in BYTES if is_held(looked_at.fileno(), byte)]


def nobody_is_left(gate: Gate, state_dir: Path) -> bool:
    users = [each.users for each in gate._files._open]
    return (
        not any(users)
        and not gate._inside
        and not gate._waiting
        and not gate._queues
        and gate._pace.waiting == 0
        and held(state_dir) == []
    )


# --- who excludes whom


@pytest.mark.anyio
async def test_operations_pass_together_and_keep_collections_out(gates: list[Gate]) -> None:
    one, other, third = gates
    async with one.shared(until=0):
        async with one.shared(until=0), other.shared(until=0):
            assert not await is_empty(third)
        # The runtime's other operation has left with the lock of neither.
        assert not await is_empty(third)
        assert not await is_empty(one)
    assert await is_empty(third)
    assert await is_empty(one)


@pytest.mark.anyio
async def test_a_collection_keeps_operations_and_collections_out(gates: list[Gate]) -> None:
    one, other, _ = gates
    async with one.exclusive(until=0):
        for gate in (one, other):
            assert not await is_open(gate)
            assert not await is_empty(gate)
    assert await is_open(one)
    assert await is_empty(other)


@pytest.mark.anyio
async def test_a_free_gate_is_passed_without_a_checkpoint(gates: list[Gate]) -> None:
    async def passes() -> None:
        async with gates[0].shared(until=0):
            pass

    assert await cancelled_at(1, passes()) == (0, False)


@pytest.mark.anyio
async def test_busy_says_who_is_in_the_way(gates: list[Gate]) -> None:
    one, other, _ = gates
    async with one.shared(until=0):
        with pytest.raises(Busy, match=r"operations went on for 0\.0 s: process 17"):
            async with other.exclusive(until=0, describe=lambda: "process 17"):
                pass
    async with one.exclusive(until=0):
        with pytest.raises(Busy, match=r"collection went on for 0\.0 s: process 18") as caught:
            async with other.shared(until=0, describe=lambda: "process 18"):
                pass
    assert caught.value.retryable


# --- a collection that waits


@define(eq=False)
class Newcomers:
    """Operations that come ten times a second, and how long each waited at the gate."""

    gate: Gate
    seconds: float = 0.0
    waited: list[float] = field(factory=list, init=False)

    async def come(self) -> None:
        async with anyio.create_task_group() as tasks:
            while True:
                tasks.start_soon(self._passes)
                await anyio.sleep(0.1)

    async def _passes(self) -> None:
        begun = anyio.current_time()
        async with self.gate.shared(until=math.inf):
            self.waited.append(anyio.current_time() - begun)
            await anyio.sleep(self.seconds)


@pytest.mark.trio
@pytest.mark.parametrize("is_same_runtime", [False, True])
async def test_it_closes_the_gate_for_a_second_and_opens_it_for_as_long_and_gives_up(
    is_same_runtime: bool, gates: list[Gate], autojump_clock: object
) -> None:
    one, other, third = gates
    newcomers = Newcomers(one if is_same_runtime else third)
    async with anyio.create_task_group() as tasks, other.shared(until=0):
        tasks.start_soon(newcomers.come)
        begun = anyio.current_time()
        with pytest.raises(Busy):
            async with one.exclusive(until=begun + COLLECTION_SECONDS):
                pass
        assert anyio.current_time() - begun == pytest.approx(10, abs=0.1)
        await anyio.sleep(1.5)
        tasks.cancel_scope.cancel()
    assert len(newcomers.waited) > 100
    assert 0.9 < max(newcomers.waited) <= 1.1
    # Closed in the first second, the third, …
    at_once = sum(waited < 0.01 for waited in newcomers.waited)
    assert at_once == pytest.approx(len(newcomers.waited) - 50, abs=10)


@pytest.mark.trio
async def test_it_comes_to_its_turn_between_operations_that_never_leave_the_gate_alone(
    gates: list[Gate], autojump_clock: object
) -> None:
    one, other, third = gates
    async with anyio.create_task_group() as tasks:
        for gate in (one, other, third):
            tasks.start_soon(Newcomers(gate, seconds=0.3).come)
        await anyio.sleep(2)
        begun = anyio.current_time()
        async with one.exclusive(until=begun + COLLECTION_SECONDS):
            assert anyio.current_time() - begun < 0.4
        tasks.cancel_scope.cancel()


@pytest.mark.trio
async def test_operations_come_to_their_turn_between_collections_that_follow_each_other(
    gates: list[Gate], autojump_clock: object
) -> None:
    one, other, third = gates
    newcomers = Newcomers(third)

    async def collects(gate: Gate) -> None:
        while True:
            async with gate.exclusive(until=math.inf):
                await anyio.sleep(0.5)

    async with anyio.create_task_group() as tasks:
        for gate in (one, one, other, other):
            tasks.start_soon(collects, gate)
        tasks.start_soon(newcomers.come)
        await anyio.sleep(20)
        tasks.cancel_scope.cancel()
    assert len(newcomers.waited) > 150
    assert max(newcomers.waited) < 0.6


@pytest.mark.trio
async def test_all_who_wait_in_a_runtime_pass_before_the_next_collection_closes_the_gate(
    gates: list[Gate], autojump_clock: object
) -> None:
    one, other, third = gates
    passed = 0

    async def passes() -> None:
        nonlocal passed
        async with third.shared(until=math.inf):
            passed += 1

    async with anyio.create_task_group() as tasks:
        async with one.exclusive(until=0):
            for _ in range(1000):
                tasks.start_soon(passes)
            await anyio.sleep(0.1)
        async with other.exclusive(until=math.inf):
            assert passed == 1000


# --- who is cancelled or ends


@pytest.mark.anyio
async def test_an_operation_that_is_cancelled_anywhere_leaves_nothing(
    gates: list[Gate], state_dir: Path
) -> None:
    one, other, _ = gates

    async def use() -> None:
        async with other.shared(until=math.inf):
            await anyio.sleep(0.001)

    async def collects(taken: anyio.Event, pace: Counted) -> None:
        async with one.exclusive(until=0):
            taken.set()
            await pace.has_asked(4)

    outcomes = set[bool]()
    point, suspensions = 0, 0
    while suspensions >= point:
        point += 1
        other._pace = pace = Counted()
        async with anyio.create_task_group() as tasks:
            taken = anyio.Event()
            tasks.start_soon(collects, taken, pace)
            await taken.wait()
            suspensions, was_cancelled = await cancelled_at(point, use())
            outcomes.add(was_cancelled)
            tasks.cancel_scope.cancel()
        assert nobody_is_left(other, state_dir)
    assert outcomes == {False, True}
    assert point > 4


@pytest.mark.anyio
async def test_a_collection_that_is_cancelled_anywhere_leaves_nothing(
    gates: list[Gate], state_dir: Path
) -> None:
    """It waits for another collection, for who waited behind that, and for operations."""
    one, other, third = gates
    other.closed_seconds = 0.003
    for gate in gates:
        assert await is_open(gate)  # their descriptions are open from now on

    async def use() -> None:
        async with other.exclusive(until=math.inf):
            await anyio.sleep(0.001)

    async def collects(taken: anyio.Event, pace: Counted) -> None:
        async with one.exclusive(until=0):
            taken.set()
            await pace.has_asked(3)

    async def operates(pace: Counted) -> None:
        async with third.shared(until=math.inf):
            await pace.has_asked(6)

    outcomes = set[bool]()
    point, suspensions = 0, 0
    while suspensions >= point:
        point += 1
        other._pace = pace = Counted()
        async with anyio.create_task_group() as tasks:
            taken = anyio.Event()
            tasks.start_soon(collects, taken, pace)
            await taken.wait()
            tasks.start_soon(operates, pace)
            suspensions, was_cancelled = await cancelled_at(point, use())
            outcomes.add(was_cancelled)
            tasks.cancel_scope.cancel()
        assert nobody_is_left(other, state_dir)
        assert [each.users for each in other._files._open] == [0]
    assert outcomes == {False, True}
    assert point > 6


@pytest.mark.anyio
async def test_a_killed_collection_that_had_closed_the_gate_opens_it(
    gates: list[Gate], state_dir: Path
) -> None:
    one, other, _ = gates
    async with one.shared(until=0):
        with lock_process(state_dir, "collection", waits=True) as process:
            with anyio.fail_after(30):
                while CLOSED not in held(state_dir):  # noqa: ASYNC110 (another process does)
                    await anyio.sleep(0.001)
            assert not await is_open(other)
            process.kill()
            async with other.shared(until=anyio.current_time() + 10):
                pass


@pytest.mark.anyio
async def test_a_killed_operation_is_out(gates: list[Gate], state_dir: Path) -> None:
    with lock_process(state_dir, "operation") as process:
        assert not await is_empty(gates[0])
        process.kill()
        async with gates[0].exclusive(until=anyio.current_time() + 10):
            pass


@pytest.mark.anyio
async def test_a_collection_lets_go_though_a_child_has_a_copy_of_its_descriptor(
    gates: list[Gate], state_dir: Path
) -> None:
    """One that was forked by a library in C, or is about to execute a program."""
    one, other, _ = gates
    other.closed_seconds = 600
    copies = list[int]()

    async def copy() -> None:
        await anyio.wait_all_tasks_blocked()
        (alone,) = other._files._open
        copies.append(os.dup(alone.fd))
        assert held(state_dir) == [GATE, CLOSED, COLLECTION]
        tasks.cancel_scope.cancel()

    async with one.shared(until=0):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(copy)
            async with other.exclusive(until=math.inf):
                pass
        assert held(state_dir) == [GATE]
    async with other.exclusive(until=0):
        (alone,) = other._files._open
        copies.append(os.dup(alone.fd))
        assert held(state_dir) == [GATE, CLOSED, COLLECTION]
    assert held(state_dir) == []
    for fd in copies:
        os.close(fd)


# --- a file that is removed


@pytest.mark.anyio
async def test_who_comes_after_a_removal_meets_who_comes_then_too(
    gates: list[Gate], state_dir: Path
) -> None:
    one, other, _ = gates
    async with one.shared(until=0):
        shutil.rmtree(state_dir)
        async with one.shared(until=0):
            assert not await is_empty(other)
        assert await is_empty(other)
        shutil.rmtree(state_dir)
        async with one.exclusive(until=0):
            assert not await is_open(other)
    assert await is_open(one)
    assert len(one._files._open) == 1


@pytest.mark.anyio
async def test_a_collection_that_waited_at_a_removed_gate_goes_to_the_new_one(
    gates: list[Gate], state_dir: Path
) -> None:
    one, other, third = gates

    async def remove_and_leave() -> None:
        async with one.shared(until=0):
            await anyio.wait_all_tasks_blocked()
            shutil.rmtree(state_dir)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(remove_and_leave)
        await anyio.wait_all_tasks_blocked()
        async with other.exclusive(until=anyio.current_time() + 10):
            assert not await is_open(third)

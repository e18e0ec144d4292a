"""What the locks of a state directory exclude, between runtimes and within one.

Two sets of locks in this process have descriptions of their own, so the kernel takes them for two
processes.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack
from pathlib import Path
from typing import Literal, Protocol

import anyio
import anyio.lowlevel
import pytest

from acni import Busy
from acni.host.locks import STAGES, is_held, place_of, try_lock
from acni.store.locks import Locks, open_locks
from acni.testing import cancelled_at
from tests.host.asking import Counted
from tests.store.lock_processes import lock_process

pytestmark = pytest.mark.anyio


class Take(Protocol):
    def __call__(self, locks: Locks, *, until: float) -> AbstractAsyncContextManager[None]: ...


LOCKS: dict[str, Take] = {
    "container": lambda locks, *, until: locks.container("c1", until=until),
    "first ADD": lambda locks, *, until: locks.first_add("net", until=until),
}
EACH = pytest.mark.parametrize("take", LOCKS.values(), ids=LOCKS)


@pytest.fixture
def runtimes(state_dir: Path) -> Iterator[list[Locks]]:
    with ExitStack() as stack:
        yield [stack.enter_context(open_locks(state_dir)) for _ in range(3)]


async def is_free(take: Take, locks: Locks) -> bool:
    """Tell whether a lock could be had at once."""
    try:
        async with take(locks, until=anyio.current_time()):
            return True
    except Busy:
        return False


# --- who excludes whom


@EACH
async def test_a_lock_excludes_other_runtimes_until_it_is_let_go_of(
    take: Take, runtimes: list[Locks]
) -> None:
    one, other, _ = runtimes
    async with take(one, until=0):
        assert not await is_free(take, other)
    assert await is_free(take, other)


@EACH
async def test_a_lock_excludes_other_tasks_of_its_runtime(
    take: Take, runtimes: list[Locks]
) -> None:
    """Of the kernel each would get it, and the first to let go would take it from both."""
    one, other, _ = runtimes
    async with take(one, until=0):
        assert not await is_free(take, one)
        assert not await is_free(take, other)
    assert await is_free(take, one)


async def test_locks_of_other_names_and_kinds_are_free(runtimes: list[Locks]) -> None:
    one, other, _ = runtimes
    async with (
        one.container("same", until=0),
        one.first_add("net", until=0),
        other.container("net", until=0),
        other.first_add("same", until=0),
        other.first_add("bridge", until=0),
    ):
        assert one.plugin_type("bridge", 1).try_take(goes_first=False) == 0
        assert other.plugin_type("net", 1).try_take(goes_first=False) == 0


@pytest.mark.parametrize("kind", ["record", "interface"])
async def test_who_comes_late_to_claim_a_name_is_told(
    kind: Literal["record", "interface"], runtimes: list[Locks]
) -> None:
    one, other, _ = runtimes
    async with one.claim(kind, "same", seconds=5) as is_ours:
        assert is_ours
        async with one.claim(kind, "same", seconds=5) as is_late:
            assert not is_late
        async with other.claim(kind, "same", seconds=0.01) as is_late:
            assert not is_late
        async with other.claim(kind, "another", seconds=0) as is_another:
            assert is_another
        async with other.container("same", until=0):
            pass
    async with other.claim(kind, "same", seconds=0) as is_free_again:
        assert is_free_again


async def test_a_claim_of_another_runtime_that_goes_is_waited_for(runtimes: list[Locks]) -> None:
    one, other, _ = runtimes
    order: list[str] = []

    async def claim() -> None:
        async with other.claim("record", "same", seconds=5) as is_ours:
            assert is_ours
            order.append("other")

    async with anyio.create_task_group() as tasks, one.claim("record", "same", seconds=0):
        tasks.start_soon(claim)
        await anyio.sleep(0.02)
        order.append("one")
    assert order == ["one", "other"]


async def test_a_lock_that_stays_excludes_other_runtimes_and_not_its_own(
    runtimes: list[Locks],
) -> None:
    one, other, _ = runtimes
    stays = True
    for _ in range(2):
        async with one.container("c1", until=0, stays=lambda: stays):
            pass
        with pytest.raises(Busy):
            async with other.container("c1", until=0):
                pass
    stays = False
    async with one.container("c1", until=0, stays=lambda: stays):
        pass
    async with other.container("c1", until=0):
        pass


async def test_two_containers_in_one_file_share_a_description_and_no_lock(
    runtimes: list[Locks],
) -> None:
    one, other, _ = runtimes
    same = [name for name in map(str, range(1000)) if place_of("container", name).file == "07"]
    first, second = same[:2]
    before = descriptors()
    async with one.container(first, until=0):
        async with one.container(second, until=0):
            assert descriptors() == before + 1
        with pytest.raises(Busy):
            async with other.container(first, until=0):
                pass
        async with other.container(second, until=0):
            pass


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


# --- waiting


@EACH
async def test_waiting_is_bounded_and_busy_says_for_whom(take: Take, runtimes: list[Locks]) -> None:
    one, other, _ = runtimes
    async with take(one, until=0):
        for waiting in (other, one):
            begun = anyio.current_time()
            with pytest.raises(Busy) as caught:
                async with take(waiting, until=begun + 0.05):
                    pass
            assert 0.05 <= anyio.current_time() - begun < 10
            assert "another runtime, or another operation" in caught.value.message
    assert await is_free(take, other)


async def test_busy_names_who_the_caller_knows_to_be_in_the_way(runtimes: list[Locks]) -> None:
    one, other, _ = runtimes
    async with one.container("c1", until=0):
        with pytest.raises(Busy, match=r"container went on for 0\.0 s: process 17") as caught:
            async with other.container("c1", until=0, describe=lambda: "process 17"):
                pass
    assert caught.value.retryable
    assert caught.value.container_id == "c1"


async def test_a_free_lock_is_had_when_the_time_to_wait_is_over(runtimes: list[Locks]) -> None:
    async with runtimes[0].container("c1", until=-math.inf):
        pass


async def test_a_free_lock_is_had_without_a_checkpoint(runtimes: list[Locks]) -> None:
    async def take() -> None:
        async with runtimes[0].container("c1", until=0):
            pass

    assert await cancelled_at(1, take()) == (0, False)


@EACH
async def test_runtimes_and_tasks_that_wait_are_served_in_order(
    take: Take, runtimes: list[Locks]
) -> None:
    order: list[int] = []

    async def use(locks: Locks, number: int) -> None:
        async with take(locks, until=math.inf):
            order.append(number)
            await anyio.sleep(0.005)

    async with anyio.create_task_group() as tasks, take(runtimes[0], until=0):
        for number, locks in enumerate((runtimes[1], runtimes[2], runtimes[0], runtimes[1])):
            tasks.start_soon(use, locks, number)
            await anyio.sleep(0.01)  # it stands in line by then
        assert order == []
    assert order == [0, 1, 2, 3]


@EACH
async def test_who_is_cancelled_anywhere_holds_nothing(take: Take, runtimes: list[Locks]) -> None:
    one, other, looker = runtimes

    async def use() -> None:
        async with take(other, until=math.inf):
            await anyio.lowlevel.checkpoint()

    outcomes = set[bool]()
    point, suspensions = 0, 0
    while suspensions >= point:
        point += 1
        other._pace = pace = Counted()
        async with anyio.create_task_group() as tasks:
            taken = anyio.Event()
            tasks.start_soon(hold_for_a_while, take, one, taken, pace)
            await taken.wait()
            suspensions, was_cancelled = await cancelled_at(point, use())
            outcomes.add(was_cancelled)
            tasks.cancel_scope.cancel()
        assert await is_free(take, looker)
        assert await is_free(take, other)
        assert not other._queues
        assert other._pace.waiting == 0
        assert all(each.users == 0 for each in other._files._open)
    assert outcomes == {False, True}
    assert point > 4


async def hold_for_a_while(take: Take, locks: Locks, taken: anyio.Event, pace: Counted) -> None:
    async with take(locks, until=0):
        taken.set()
        await pace.has_asked(4)


@pytest.mark.deep
async def test_a_thousand_who_wait_have_few_descriptors(
    runtimes: list[Locks],
) -> None:
    one, other, _ = runtimes
    before = descriptors()

    async def wait_for(name: str) -> None:
        async with other.gate.shared(until=math.inf), other.container(name, until=math.inf):
            pass

    async with anyio.create_task_group() as tasks, AsyncExitStack() as held_by_one:
        for number in range(1000):
            await held_by_one.enter_async_context(one.container(f"c{number}", until=0))
        held = descriptors()
        for number in range(1000):
            tasks.start_soon(wait_for, f"c{number}")
        # Not until all are blocked: on a busy machine some of a thousand are always asking.
        while other._pace.waiting < 1000:  # noqa: ASYNC110 (they are asking)
            await anyio.sleep(0.01)
        assert descriptors() - held <= 70
        assert held - before <= 70
        tasks.cancel_scope.cancel()


# --- runtimes that end


async def test_a_killed_runtime_lets_go(state_dir: Path, runtimes: list[Locks]) -> None:
    with lock_process(state_dir, "container") as process:
        assert not await is_free(LOCKS["container"], runtimes[0])

        async def kill() -> None:
            await anyio.wait_all_tasks_blocked()
            process.kill()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(kill)
            async with runtimes[0].container("c1", until=anyio.current_time() + 10):
                pass


async def test_a_killed_runtime_that_waited_is_not_waited_for(
    state_dir: Path, runtimes: list[Locks]
) -> None:
    one, other, _ = runtimes
    async with one.container("c1", until=0):
        with lock_process(state_dir, "container", waits=True) as process:
            place = place_of("container", "c1")
            assert place.stages is not None
            with (
                Path(state_dir, "acni/lock", place.file).open("rb") as looked_at,
                anyio.fail_after(30),
            ):
                while not is_held(looked_at.fileno(), place.stages, STAGES):  # noqa: ASYNC110
                    await anyio.sleep(0.001)
            process.kill()
            process.wait(timeout=30)
    assert await is_free(LOCKS["container"], other)


def test_a_guard_is_seen_as_long_as_a_plugin_holds_it(
    runtimes: list[Locks], state_dir: Path
) -> None:
    one, _, _ = runtimes
    assert not one.is_guarded("gate/gc")
    place = place_of("guard", "gate/gc")
    fd = os.open(state_dir / "acni" / "lock" / place.file, os.O_RDWR)
    assert try_lock(fd, place.byte, shared=True)
    assert one.is_guarded("gate/gc")
    assert not one.is_guarded("another")
    os.close(fd)
    assert not one.is_guarded("gate/gc")

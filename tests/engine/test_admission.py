"""How many plugins run at once, who goes before whom, and who is refused."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from acni import Busy, Limits, StoreError
from acni.engine.admission import Admission
from acni.engine.lines import Urgency
from acni.host.locks import place_of, try_lock
from acni.spec.names import PluginType, parse_plugin_type
from acni.store.locks import Locks, open_locks

pytestmark = pytest.mark.anyio

BRIDGE = parse_plugin_type("bridge")
OTHER = parse_plugin_type("other")


@pytest.fixture
def locks(state_dir: Path) -> Iterator[list[Locks]]:
    """Those of two runtimes: each has descriptions of its own."""
    with ExitStack() as stack:
        yield [stack.enter_context(open_locks(state_dir)) for _ in range(2)]


async def is_admitted(
    admission: Admission, urgency: Urgency, plugin_type: PluginType = BRIDGE
) -> bool:
    """Tell whether a place could be had at once."""
    try:
        async with admission.place(plugin_type, urgency, until=anyio.current_time()):
            return True
    except Busy:
        return False


async def test_what_adds_and_what_deletes_have_places_of_their_own_and_an_undo_needs_none() -> None:
    admission = Admission(Limits(plugins=1))
    until = anyio.current_time() + 60
    async with admission.place(BRIDGE, Urgency.NEW, until=until):
        assert not await is_admitted(admission, Urgency.NEW, OTHER)
        assert not await is_admitted(admission, Urgency.BEGUN, OTHER)
        async with admission.place(BRIDGE, Urgency.DELETE, until=until):
            assert not await is_admitted(admission, Urgency.DELETE, OTHER)
            assert await is_admitted(admission, Urgency.UNDO)
    assert await is_admitted(admission, Urgency.NEW)
    assert await is_admitted(admission, Urgency.DELETE)


async def order_of(admission: Admission, arrivals: list[Urgency]) -> list[Urgency]:
    """Return in which order those get a type's place that arrive while it is taken."""
    order: list[Urgency] = []
    until = anyio.current_time() + 60

    async def use(urgency: Urgency) -> None:
        async with admission.place(BRIDGE, urgency, until=until):
            order.append(urgency)
            await anyio.wait_all_tasks_blocked()

    first = admission.place(BRIDGE, Urgency.NEW, until=until)
    async with anyio.create_task_group() as tasks, first:
        for urgency in arrivals:
            tasks.start_soon(use, urgency)
            await anyio.wait_all_tasks_blocked()
        assert order == []
    return order


async def test_who_has_begun_goes_before_who_has_not() -> None:
    order = await order_of(Admission(Limits(plugins=1)), [Urgency.NEW, Urgency.BEGUN])
    assert order == [Urgency.BEGUN, Urgency.NEW]


async def test_of_a_limited_type_what_undoes_goes_first() -> None:
    admission = Admission(Limits(per_type={"bridge": 1}))
    order = await order_of(admission, [Urgency.NEW, Urgency.BEGUN, Urgency.DELETE, Urgency.UNDO])
    assert order == sorted(Urgency)


async def test_who_waits_for_a_type_keeps_no_place_from_others() -> None:
    admission = Admission(Limits(plugins=2, per_type={"bridge": 1}))
    until = anyio.current_time() + 60

    async def use() -> None:
        async with admission.place(BRIDGE, Urgency.NEW, until=until):
            pass

    first = admission.place(BRIDGE, Urgency.NEW, until=until)
    async with anyio.create_task_group() as tasks, first:
        for _ in range(5):
            tasks.start_soon(use)
        await anyio.wait_all_tasks_blocked()
        assert await is_admitted(admission, Urgency.NEW, OTHER)


async def test_who_waits_for_a_place_keeps_no_type_from_others(locks: list[Locks]) -> None:
    limits = Limits(plugins=1, per_type={"bridge": 1})
    one, other = (Admission(limits, each) for each in locks)
    until = anyio.current_time() + 60

    async def use() -> None:
        async with one.place(BRIDGE, Urgency.NEW, until=until):
            pass

    async with anyio.create_task_group() as tasks, one.place(OTHER, Urgency.NEW, until=until):
        tasks.start_soon(use)
        await anyio.wait_all_tasks_blocked()
        assert await is_admitted(other, Urgency.NEW)
        assert await is_admitted(one, Urgency.UNDO)
        assert await is_admitted(one, Urgency.DELETE)


async def test_an_undo_goes_before_an_add_of_its_runtime_that_waits_for_another_one(
    locks: list[Locks],
) -> None:
    limits = Limits(per_type={"bridge": 1})
    one, other = (Admission(limits, each) for each in locks)
    until = anyio.current_time() + 60
    order: list[Urgency] = []

    async def use(urgency: Urgency) -> None:
        async with one.place(BRIDGE, urgency, until=until):
            order.append(urgency)
            await anyio.lowlevel.checkpoint()

    running = other.place(BRIDGE, Urgency.NEW, until=until)
    async with anyio.create_task_group() as tasks, running:
        for urgency in (Urgency.NEW, Urgency.UNDO):
            tasks.start_soon(use, urgency)
            await anyio.sleep(0.02)  # it asks again and again
    assert order == [Urgency.UNDO, Urgency.NEW]


async def test_an_undo_goes_before_all_the_adds_of_other_runtimes(locks: list[Locks]) -> None:
    """Each of these begins when the one before it ends, and never leaves the type free for long."""
    limits = Limits(per_type={"bridge": 1})
    one, other = (Admission(limits, each) for each in locks)
    until = anyio.current_time() + 60
    runs, most = 0, 200

    async def add_again_and_again() -> None:
        nonlocal runs
        for _ in range(most):
            async with other.place(BRIDGE, Urgency.NEW, until=until):
                runs += 1
                await anyio.sleep(0.001)

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(add_again_and_again)
        await anyio.sleep(0.005)
        for _ in range(10):
            before = runs
            async with one.place(BRIDGE, Urgency.UNDO, until=until):
                # That one which ran, and one that was let in just before the sign was put up.
                assert runs - before <= 2
            await anyio.sleep(0.003)
        tasks.cancel_scope.cancel()
    assert runs > 0


@pytest.mark.parametrize("number", [1, 3])
async def test_a_type_is_limited_for_all_runtimes_together(number: int, locks: list[Locks]) -> None:
    limits = Limits(per_type={"bridge": number})
    admissions = [Admission(limits, each) for each in locks]
    until = anyio.current_time() + 60
    running, most = 0, 0

    async def use(admission: Admission) -> None:
        nonlocal running, most
        async with admission.place(BRIDGE, Urgency.NEW, until=until):
            running += 1
            most = max(most, running)
            await anyio.sleep(0.001)
            running -= 1

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            for admission in admissions:
                tasks.start_soon(use, admission)
    assert most == number


async def test_of_a_limited_type_what_undoes_does_not_stand_in_line_behind_other_runtimes(
    locks: list[Locks], state_dir: Path
) -> None:
    admission = Admission(Limits(per_type={"bridge": 1}), locks[0])
    place = place_of("plugin type", "bridge")
    assert await is_admitted(admission, Urgency.NEW)
    fd = os.open(state_dir / "acni" / "lock" / place.file, os.O_RDWR)
    try:
        assert try_lock(fd, place.stages)  # an ADD of another runtime that is about to be let in
        assert not await is_admitted(admission, Urgency.NEW)
        assert await is_admitted(admission, Urgency.UNDO)
        assert await is_admitted(admission, Urgency.DELETE)
    finally:
        os.close(fd)


async def test_who_is_cancelled_while_waiting_has_nothing_and_is_in_nobody_s_way(
    locks: list[Locks],
) -> None:
    one, other = (Admission(Limits(plugins=1, per_type={"bridge": 1}), each) for each in locks)
    until = anyio.current_time() + 60
    for first in (one, other):  # by its own runtime, and by another one
        async with first.place(BRIDGE, Urgency.NEW, until=until):
            for urgency in Urgency:
                with anyio.move_on_after(0.005) as scope:
                    async with one.place(BRIDGE, urgency, until=until):
                        raise AssertionError("admitted")
                assert scope.cancelled_caught
        for each in (one, other):
            for urgency in Urgency:
                assert await is_admitted(each, urgency)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_who_is_cancelled_with_a_place_in_hand_hands_it_on() -> None:
    """As asyncio itself does it; cancel scopes leave alone who was woken already."""
    admission = Admission(Limits(plugins=1))
    until = anyio.current_time() + 60

    async def use() -> None:
        async with admission.place(BRIDGE, Urgency.NEW, until=until):
            raise AssertionError("admitted")

    async with admission.place(BRIDGE, Urgency.NEW, until=until):
        waiting = asyncio.get_running_loop().create_task(use())
        await anyio.wait_all_tasks_blocked()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await is_admitted(admission, Urgency.NEW)


async def test_what_cannot_be_locked_is_told_to_who_asked_and_to_nobody_else(
    locks: list[Locks],
) -> None:
    one, other = (Admission(Limits(per_type={"bridge": 1}), each) for each in locks)
    until = anyio.current_time() + 60
    told: list[type[Exception]] = []

    async def use() -> None:
        try:
            async with one.place(BRIDGE, Urgency.NEW, until=until):
                raise AssertionError("admitted")
        except StoreError as error:
            told.append(type(error))

    async with other.place(BRIDGE, Urgency.NEW, until=until), anyio.create_task_group() as tasks:
        tasks.start_soon(use)
        await anyio.sleep(0.005)
        (description,) = locks[0]._files._open
        whole, description.fd = description.fd, os.open(os.devnull, os.O_RDONLY)
        async with one.place(OTHER, Urgency.NEW, until=until):
            pass
    os.close(description.fd)
    description.fd = whole
    assert told == [StoreError]
    assert await is_admitted(one, Urgency.NEW)


async def test_waiting_ends_with_an_error_that_says_which_limit_it_was() -> None:
    admission = Admission(Limits(plugins=2, per_type={"other": 1}))
    until = anyio.current_time()
    async with admission.place(OTHER, Urgency.NEW, until=until):
        async with admission.place(BRIDGE, Urgency.NEW, until=until):
            with pytest.raises(Busy, match=r"every place .* taken for .*limits\.plugins is 2"):
                async with admission.place(BRIDGE, Urgency.NEW, until=until):
                    raise AssertionError("admitted")
        with pytest.raises(Busy, match=r"other ran for .*limits\.per_type is 1"):
            async with admission.place(OTHER, Urgency.NEW, until=until):
                raise AssertionError("admitted")
    assert await is_admitted(admission, Urgency.NEW, OTHER)


def test_the_line_is_so_long_and_what_undoes_is_not_in_it() -> None:
    admission = Admission(Limits(queue=1))
    with admission.line("add"):
        for verb in ("add", "check", "status"):
            with pytest.raises(Busy, match="1 operations wait already"), admission.line(verb):
                raise AssertionError("let in")
        for verb in ("delete", "gc", "recover", "settle"):
            with admission.line(verb):
                assert admission.waiting == 1
    with admission.line("add"):
        pass

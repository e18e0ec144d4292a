"""How many plugins run at once, who goes before whom, and who is refused."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import anyio
import pytest

from acni import Busy, Limits
from acni.engine.admission import Admission, Urgency
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
    place = place_of("plugin type", "bridge 0")
    assert await is_admitted(admission, Urgency.NEW)
    fd = os.open(state_dir / "acni" / "lock" / place.file, os.O_RDWR)
    try:
        assert place.stages is not None
        assert try_lock(fd, place.stages)  # an ADD of another runtime that is about to be let in
        assert not await is_admitted(admission, Urgency.NEW)
        assert await is_admitted(admission, Urgency.UNDO)
        assert await is_admitted(admission, Urgency.DELETE)
    finally:
        os.close(fd)


async def test_waiting_ends_with_an_error_that_says_which_limit_it_was() -> None:
    admission = Admission(Limits(plugins=1, per_type={"other": 1}))
    until = anyio.current_time()
    async with admission.place(OTHER, Urgency.NEW, until=until):
        with pytest.raises(Busy, match=r"limits\.plugins is 1"):
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

"""A runtime with limits: what waits, what is refused, and that nothing is in the way of an undo."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from attrs import Factory, define, evolve

from acni import (
    Attachment,
    Busy,
    CleanupIncomplete,
    Limits,
    NetworkConfig,
    PluginOverflow,
    Runtime,
    Timeouts,
    netns,
    open_runtime,
)
from acni.engine.admission import Admission
from acni.engine.lines import Urgency
from acni.events import Event, LockWaited, PluginStarted
from acni.testing import Behaviour, ScriptedRunner
from tests.engine.conftest import make_network

pytestmark = [pytest.mark.anyio, pytest.mark.netns]

Open = Callable[..., AbstractAsyncContextManager[Runtime]]


@pytest.fixture
def boxes() -> Iterator[list[Attachment]]:
    """Attachments of ten containers, each with a namespace of its own."""
    with ExitStack() as stack:
        spaces = [stack.enter_context(netns.anonymous()) for _ in range(10)]
        yield [
            Attachment(container_id=f"c{number}", netns=space.path)
            for number, space in enumerate(spaces)
        ]


@pytest.fixture
def limited(state_dir: Path, scripted: ScriptedRunner, events: list[Event]) -> Open:
    """Open a runtime with limits; the first attachments are not kept apart."""

    def open_it(*, wait: float = 60, **limits: Any) -> AbstractAsyncContextManager[Runtime]:
        return open_runtime(
            state_dir=state_dir,
            plugin_dirs=["/plugins"],
            runner=scripted,
            limits=Limits(**({"first_add_alone": False} | limits)),
            timeouts=Timeouts(wait=wait),
            observers=[events.append],
            recover=False,
        )

    return open_it


@define(eq=False)
class Arrivals:
    """An observer that tells when the so-and-so-many-th plugin of a type was started."""

    plugin: str
    count: int
    come: anyio.Event = Factory(anyio.Event)

    def __call__(self, event: Event) -> None:
        if isinstance(event, PluginStarted) and event.plugin == self.plugin:
            self.count -= 1
            if not self.count:
                self.come.set()

    async def wait(self) -> None:
        with anyio.fail_after(60):
            await self.come.wait()


def watched(runtime: Runtime, plugin: str, count: int) -> Arrivals:
    """Tell when so many plugins of a type were started from now on."""
    arrivals = Arrivals(plugin, count)
    runtime._engine = evolve(runtime._engine, observers=(arrivals,))
    return arrivals


async def add_all(runtime: Runtime, network: NetworkConfig, boxes: list[Attachment]) -> None:
    async with anyio.create_task_group() as tasks:
        for attachment in boxes:
            tasks.start_soon(runtime.add, network, attachment)


# --- places


async def test_so_many_plugins_run_at_once_and_all_have_their_turn(
    limited: Open, scripted: ScriptedRunner, network: NetworkConfig, boxes: list[Attachment]
) -> None:
    at_once, most = 0, 0
    three = anyio.Event()

    class Counting(ScriptedRunner):
        async def run(self, *args: Any, **bounds: Any) -> Any:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            if at_once == 3:
                three.set()
            try:
                return await scripted.run(*args, **bounds)
            finally:
                at_once -= 1

    async with limited(plugins=3) as runtime:
        runtime._engine.runner = Counting()
        for command, first in (("ADD", "first"), ("DEL", "third")):
            three, most = anyio.Event(), 0
            async with anyio.create_task_group() as tasks:
                with scripted.paused(first, command):
                    for attachment in boxes:
                        if command == "ADD":
                            tasks.start_soon(runtime.add, network, attachment)
                        else:
                            tasks.start_soon(runtime.delete, attachment.id)
                    await three.wait()
            assert most == 3
    assert scripted.held == set()


async def test_of_those_who_wait_a_chain_that_has_begun_goes_before_one_that_has_not(
    limited: Open, scripted: ScriptedRunner, network: NetworkConfig, boxes: list[Attachment]
) -> None:
    async with limited(plugins=1) as runtime:
        await add_all(runtime, network, boxes)
    begun: set[str] = set()
    for call in scripted.calls:
        container = call.environment["CNI_CONTAINERID"]
        begun.add(container)
        # One that was let in when the other one's plugin had just ended, and not one more.
        assert len(begun) <= 2
        if call.plugin == "third":
            begun.remove(container)


async def test_what_waits_for_its_first_place_has_noted_nothing_and_is_refused_with_nothing_run(
    limited: Open,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    boxes: list[Attachment],
    events: list[Event],
) -> None:
    async with limited(plugins=1, wait=0.2) as runtime, anyio.create_task_group() as tasks:
        with scripted.paused("first", "ADD") as reached:
            tasks.start_soon(runtime.add, network, boxes[0])
            await reached.wait()
            with pytest.raises(Busy, match=r"limits\.plugins is 1") as caught:
                await runtime.add(network, boxes[1])
            journal = runtime._engine.store.require_journal()
            assert [one.container_id for one in journal.intents.values()] == ["c0"]
        assert caught.value.rollback is None
    assert {call.environment["CNI_CONTAINERID"] for call in scripted.calls} == {"c0"}
    waited = {
        event.container_id
        for event in events
        if isinstance(event, LockWaited) and event.what == "place"
    }
    assert waited == {"c1"}


async def test_what_finds_no_place_amid_its_chain_is_undone(
    limited: Open, scripted: ScriptedRunner, network: NetworkConfig, boxes: list[Attachment]
) -> None:
    caught: list[Busy] = []
    undone = anyio.Event()

    async def add() -> None:
        try:
            await runtime.add(network, boxes[0])
        except Busy as error:
            caught.append(error)
        undone.set()

    async def hold() -> None:
        admission = runtime._engine.admission
        async with admission.place(network.plugins[0].type, Urgency.NEW, until=math.inf):
            await undone.wait()

    async with limited(plugins=1, wait=0.5) as runtime, anyio.create_task_group() as tasks:
        with scripted.paused("first", "ADD") as reached:
            tasks.start_soon(add)
            await reached.wait()
            tasks.start_soon(hold)
            await anyio.wait_all_tasks_blocked()
    assert [str(call) for call in scripted.calls] == [
        "ADD first",
        "DEL third",
        "DEL second",
        "DEL first",
    ]
    assert caught[0].rollback is not None
    assert caught[0].debt is None
    assert scripted.held == set()


async def test_what_undoes_and_deletes_does_not_wait_for_adds_that_hang(
    limited: Open, scripted: ScriptedRunner, network: NetworkConfig, boxes: list[Attachment]
) -> None:
    hanging = make_network("hanging")
    async with limited(plugins=1) as runtime, anyio.create_task_group() as tasks:
        await runtime.add(network, boxes[0])
        with scripted.paused("first", "ADD") as reached:
            tasks.start_soon(runtime.add, hanging, boxes[1])
            await reached.wait()
            with anyio.fail_after(10):
                await runtime.delete(boxes[0].id)
                await runtime.gc(make_network("third"), keep=[], dry_run=True)
            tasks.cancel_scope.cancel()
    assert scripted.held == set()


# --- the queue


async def test_one_more_than_may_wait_is_refused_and_a_delete_is_not(
    limited: Open, scripted: ScriptedRunner, network: NetworkConfig, boxes: list[Attachment]
) -> None:
    async with limited(queue=2) as runtime, anyio.create_task_group() as tasks:
        with scripted.paused("first", "ADD") as reached:
            tasks.start_soon(runtime.add, network, boxes[0])
            await reached.wait()
            tasks.start_soon(runtime.delete, boxes[0].id)
            for name in ("other", "third"):
                tasks.start_soon(runtime.add, make_network(name), boxes[0])
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(Busy, match="2 operations wait already"):
                await runtime.add(make_network("fourth"), boxes[0])
            tasks.cancel_scope.cancel()
    assert scripted.held == set()


async def test_what_waits_for_its_first_place_stands_in_line_whatever_its_verb(
    limited: Open,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    boxes: list[Attachment],
    events: list[Event],
) -> None:
    network = make_network(version="1.1.0")
    async with limited(plugins=1, queue=2) as runtime, anyio.create_task_group() as tasks:
        await runtime.add(network, boxes[0])
        with scripted.paused("first", "ADD") as reached:
            tasks.start_soon(runtime.add, network, boxes[1])
            await reached.wait()
            tasks.start_soon(runtime.check, boxes[0].id)
            tasks.start_soon(runtime.status, network)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(Busy, match="2 operations wait already"):
                await runtime.status(network)
            with pytest.raises(Busy, match="2 operations wait already"):
                await runtime.add(network, boxes[2])
    waits = [event.verb for event in events if isinstance(event, LockWaited)]
    assert sorted(waits) == ["check", "status"]


async def test_a_delete_without_a_place_is_owed_and_no_attempt_of_a_plugin(
    limited: Open, scripted: ScriptedRunner, network: NetworkConfig, boxes: list[Attachment]
) -> None:
    async with limited(plugins=1, wait=0.1) as runtime, anyio.create_task_group() as tasks:
        for attachment in boxes[:2]:
            await runtime.add(network, attachment)
        with scripted.paused("third", "DEL") as reached:
            tasks.start_soon(runtime.delete, boxes[0].id)
            await reached.wait()
            for _ in range(3):
                with pytest.raises(CleanupIncomplete, match=r"limits\.plugins is 1"):
                    await runtime.delete(boxes[1].id)
        (debt,) = await runtime.debts()
        (found,) = runtime._engine.store.records.find(boxes[1].id).records
        assert found.owed is not None
        assert found.owed.attempts == 1
        await runtime.settle(debt)


async def test_who_finds_all_free_is_in_no_line(
    limited: Open, scripted: ScriptedRunner, network: NetworkConfig, boxes: list[Attachment]
) -> None:
    async with limited(queue=0) as runtime:
        await add_all(runtime, network, boxes)
        for attachment in boxes:
            await runtime.check(attachment.id)
    assert len(scripted.held) == 3 * len(boxes)


async def test_what_is_settled_before_an_add_takes_the_places_of_deletes(
    limited: Open, scripted: ScriptedRunner, network: NetworkConfig, boxes: list[Attachment]
) -> None:
    async with limited() as runtime:
        await add_all(runtime, network, boxes[:2])
        scripted.tell("third", "DEL", Behaviour.failing())
        for attachment in boxes[:2]:
            with pytest.raises(CleanupIncomplete):
                await runtime.delete(attachment.id)
        scripted.tell("third", "DEL", Behaviour())
        runtime._engine.admission = Admission(Limits(plugins=1, first_add_alone=False))
        scripted.calls.clear()
        async with anyio.create_task_group() as tasks:
            with scripted.paused("third", "DEL") as reached:
                for attachment in boxes[:2]:
                    tasks.start_soon(runtime.add, network, attachment)
                await reached.wait()
                await anyio.wait_all_tasks_blocked()
                assert [str(call) for call in scripted.calls] == ["DEL third"]


# --- output


async def test_output_is_taken_up_to_the_limit(
    limited: Open, scripted: ScriptedRunner, network: NetworkConfig, boxes: list[Attachment]
) -> None:
    scripted.tell("second", "ADD", Behaviour(stdout="x" * 101, stderr="y" * 99))
    async with limited(stdout_bytes=100, stderr_bytes=10) as runtime:
        with pytest.raises(PluginOverflow) as caught:
            await runtime.add(network, boxes[0])
    assert caught.value.stderr == "y" * 10
    assert scripted.held == set()


# --- first attachments


async def test_the_first_add_to_a_network_runs_alone_and_then_all_the_others_at_once(
    limited: Open, scripted: ScriptedRunner, network: NetworkConfig, boxes: list[Attachment]
) -> None:
    async with limited(first_add_alone=True) as runtime, anyio.create_task_group() as tasks:
        *crowd, alone = boxes
        seen = watched(runtime, "first", 10)
        with ExitStack() as later:
            with scripted.paused("second", "ADD") as reached:
                for attachment in crowd:
                    tasks.start_soon(runtime.add, network, attachment)
                await reached.wait()
                # Another network is not held up; meanwhile all of the others come.
                await runtime.add(make_network("other").up_to(0), alone)
                assert seen.count == 10 - 2
                later.enter_context(scripted.paused("first", "ADD"))
            await seen.wait()


async def test_after_a_failed_first_add_the_next_one_runs_alone_too(
    limited: Open, scripted: ScriptedRunner, network: NetworkConfig, boxes: list[Attachment]
) -> None:
    scripted.tell("second", "ADD", Behaviour.failing())
    failures: list[Exception] = []

    async def add(attachment: Attachment) -> None:
        try:
            await runtime.add(network, attachment)
        except Exception as error:  # noqa: BLE001 (counted below)
            failures.append(error)

    async with limited(first_add_alone=True) as runtime:
        async with anyio.create_task_group() as tasks:
            for attachment in boxes[:4]:
                tasks.start_soon(add, attachment)
        assert len(failures) == 4
        seen = [call.environment["CNI_CONTAINERID"] for call in scripted.calls]
        # One after the other: its undo is over before the next one begins.
        assert seen == [each for each in dict.fromkeys(seen) for _ in range(seen.count(each))]
        assert not runtime._engine.firsts.is_over("net")


async def test_another_runtime_knows_of_the_first_add_and_waits_for_it(
    limited: Open, scripted: ScriptedRunner, network: NetworkConfig, boxes: list[Attachment]
) -> None:
    async with AsyncExitStack() as stack:
        one, other = [
            await stack.enter_async_context(limited(first_add_alone=True, wait=0.2))
            for _ in range(2)
        ]
        async with anyio.create_task_group() as tasks:
            with scripted.paused("first", "ADD") as reached:
                tasks.start_soon(one.add, network, boxes[0])
                await reached.wait()
                with pytest.raises(Busy, match="first attachment was being made") as caught:
                    await other.add(network, boxes[1])
                assert caught.value.network == "net"
        both = watched(other, "first", 1)
        with scripted.paused("first", "ADD") as reached:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(one.add, network, boxes[2])
                await reached.wait()
                tasks.start_soon(other.add, network, boxes[1])
                await both.wait()
                tasks.cancel_scope.cancel()


async def test_the_adds_of_a_container_end_in_order_of_arrival(
    limited: Open, scripted: ScriptedRunner, boxes: list[Attachment]
) -> None:
    names = [f"net{number}" for number in range(64)]
    async with limited() as runtime, anyio.create_task_group() as tasks:
        for number, name in enumerate(names):
            attachment = evolve(boxes[0], ifname=f"eth{number}")
            tasks.start_soon(runtime.add, make_network(name).up_to(0), attachment)
            await anyio.lowlevel.checkpoint()
    assert [call.config["name"] for call in scripted.calls] == names

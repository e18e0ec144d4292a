"""Each plugin of a chain begins for all containers at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress

import anyio
import pytest

from acni import Attachment, Limits, NetworkConfig, PluginFailed, Runtime, netns
from acni.bench.together import Together
from acni.testing import Behaviour, ScriptedRunner
from tests.bench.conftest import OpenRuntime, until

pytestmark = [pytest.mark.anyio, pytest.mark.netns]

NAMES = ("a", "b", "c")


@pytest.fixture
def attachments() -> Iterator[list[Attachment]]:
    with ExitStack() as stack:
        boxes = [stack.enter_context(netns.anonymous()) for _ in NAMES]
        yield [
            Attachment(container_id=name, netns=box.path)
            for name, box in zip(NAMES, boxes, strict=True)
        ]


async def attach(
    runtime: Runtime, network: NetworkConfig, attachment: Attachment, together: Together
) -> None:
    try:
        with suppress(PluginFailed):
            await runtime.add(network, attachment)
    finally:
        together.end(attachment.container_id)


async def test_no_plugin_runs_before_all_containers_have_come_to_it(
    opened: OpenRuntime,
    network: NetworkConfig,
    attachments: list[Attachment],
    scripted: ScriptedRunner,
) -> None:
    together = Together(scripted, frozenset(NAMES))
    limits = Limits(first_add_alone=False)
    async with (
        opened(runner=together, limits=limits) as runtime,
        anyio.create_task_group() as tasks,
    ):
        for attachment in attachments[:2]:
            tasks.start_soon(attach, runtime, network, attachment, together)
        await until(lambda: together._reached == {"a": 1, "b": 1})
        await anyio.wait_all_tasks_blocked()
        assert scripted.calls == []
        tasks.start_soon(attach, runtime, network, attachments[2], together)
    assert [str(call) for call in scripted.calls] == ["ADD first"] * 3 + ["ADD second"] * 3


async def test_an_undo_waits_for_nobody(
    opened: OpenRuntime,
    network: NetworkConfig,
    attachments: list[Attachment],
    scripted: ScriptedRunner,
) -> None:
    together = Together(scripted, frozenset(NAMES))
    limits = Limits(first_add_alone=False)
    with anyio.fail_after(15):  # less than a container is waited for
        async with (
            opened(runner=together, limits=limits) as runtime,
            anyio.create_task_group() as tasks,
        ):
            with scripted.paused("first", "ADD") as reached:
                for attachment in attachments:
                    tasks.start_soon(attach, runtime, network, attachment, together)
                await reached.wait()
                scripted.tell("second", "ADD", Behaviour.failing())
            with scripted.paused("second", "DEL") as reached:
                await reached.wait()
    assert scripted.held == set()
    assert [str(call) for call in scripted.calls].count("DEL first") == 3


async def test_nobody_waits_for_one_that_has_ended(
    opened: OpenRuntime,
    network: NetworkConfig,
    attachments: list[Attachment],
    scripted: ScriptedRunner,
) -> None:
    together = Together(scripted, frozenset(NAMES))
    limits = Limits(first_add_alone=False)
    together.end("c")
    with anyio.fail_after(15):
        async with (
            opened(runner=together, limits=limits) as runtime,
            anyio.create_task_group() as tasks,
        ):
            for attachment in attachments[:2]:
                tasks.start_soon(attach, runtime, network, attachment, together)
    assert [str(call) for call in scripted.calls] == ["ADD first"] * 2 + ["ADD second"] * 2


async def test_nobody_waits_while_it_is_off(
    opened: OpenRuntime,
    network: NetworkConfig,
    attachments: list[Attachment],
    scripted: ScriptedRunner,
) -> None:
    together = Together(scripted, frozenset(NAMES), is_on=False)
    async with opened(runner=together) as runtime:
        with anyio.fail_after(15):
            await runtime.add(network, attachments[0])
    assert [str(call) for call in scripted.calls] == ["ADD first", "ADD second"]

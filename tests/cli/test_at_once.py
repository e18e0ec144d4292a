"""Many commands at once on one state directory, and commands beside a service."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import anyio
import pytest

import acni as library
from acni import netns
from acni.events import Event, PluginStarted
from acni.host.locks import is_held
from acni.testing import Behaviour, RecordingPlugins
from tests.commands import all_at_once

pytestmark = pytest.mark.netns

Run = Callable[..., subprocess.CompletedProcess[str]]

AT_ONCE = 100


@pytest.fixture
def boxes() -> Iterator[list[netns.Namespace]]:
    with ExitStack() as stack:
        yield [stack.enter_context(netns.anonymous()) for _ in range(AT_ONCE)]


def held_locks(state_dir: Path) -> list[str]:
    held: list[str] = []
    for path in (state_dir / "acni" / "lock").iterdir():
        fd = os.open(path, os.O_RDONLY)
        if is_held(fd, 0, (1 << 62) - 1):
            held.append(path.name)
        os.close(fd)
    return held


@pytest.mark.deep
def test_a_hundred_adds_on_a_fresh_state_directory_all_attach_and_leave_no_lock(
    acni: Run, environment: dict[str, str], boxes: list[netns.Namespace]
) -> None:
    state_dir = Path(environment["ACNI_STATE_DIR"])
    adds = [
        ["add", "net", box.path, "--container-id", f"c{number}"] for number, box in enumerate(boxes)
    ]
    done = all_at_once(adds, environment)
    assert [(status, said) for status, said in done if status] == []
    listed = json.loads(acni("ls", "-o", "json").stdout)
    assert {(row["container_id"], row["state"]) for row in listed} == {
        (f"c{number}", "attached") for number in range(AT_ONCE)
    }
    assert held_locks(state_dir) == []
    slots = [path for path in (state_dir / "acni" / "journal").iterdir() if path.suffix != ".1"]
    assert len(slots) <= AT_ONCE
    deletes = [["del", "--container-id", f"c{number}"] for number in range(0, AT_ONCE, 10)]
    done = all_at_once(deletes, environment)
    assert [(status, said) for status, said in done if status] == []
    assert len(json.loads(acni("ls", "-o", "json").stdout)) == AT_ONCE - len(deletes)
    assert [path for path in (state_dir / "acni" / "journal").iterdir() if path.suffix != ".1"]


@pytest.mark.anyio
async def test_what_only_looks_is_answered_beside_a_service_that_is_at_work(
    acni: Run, environment: dict[str, str], box: netns.Namespace, plugins: RecordingPlugins
) -> None:
    """And an operation on a container that the service has its hands on waits for that."""
    plugins.tell("first", "DEL", Behaviour.failing(7, "not yet"))
    acni("add", "net", box.path, "--container-id", "owed")
    assert acni("del", "--container-id", "owed").returncode == 5
    network = library.load_network(environment["NETCONFPATH"], "net")
    reached = anyio.Event()

    def look(event: Event) -> None:
        if isinstance(event, PluginStarted) and event.plugin == "second":
            reached.set()

    async with (
        library.open_runtime(
            state_dir=environment["ACNI_STATE_DIR"],
            plugin_dirs=[environment["CNI_PATH"]],
            recover=False,
            observers=[look],
        ) as service,
        anyio.create_task_group() as tasks,
    ):

        async def ask(*arguments: str) -> subprocess.CompletedProcess[str]:
            return await anyio.to_thread.run_sync(lambda: acni(*arguments))

        async def delete() -> None:
            assert (await ask("del", "--container-id", "c1")).returncode == 0

        with netns.anonymous() as other:
            attachment = library.Attachment(container_id="c1", netns=other.path)
            async with anyio.create_task_group() as deleting:
                with plugins.paused("second", "ADD"):
                    tasks.start_soon(service.add, network, attachment)
                    with anyio.fail_after(20):
                        await reached.wait()
                    listed = json.loads((await ask("ls", "-o", "json")).stdout)
                    assert {row["container_id"]: row["state"] for row in listed} == {
                        "c1": "adding",
                        "owed": "owed",
                    }
                    assert "owed" in (await ask("debt", "list")).stdout
                    assert (await ask("inspect", "owed")).returncode == 0
                    assert {"first/owed/eth0", "first/c1/eth0"} <= plugins.held
                    plugins.tell("first", "DEL", Behaviour())
                    assert (await ask("recover")).returncode == 0
                    assert [held for held in plugins.held if "/owed/" in held] == []
                    # It waits until the service is done, and then deletes what that made.
                    deleting.start_soon(delete)
                    await anyio.sleep(1)
                    assert "first/c1/eth0" in plugins.held
            assert plugins.held == set()
            assert await service.attachments() == ()

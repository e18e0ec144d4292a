"""A namespace with an address for as long as a block lasts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from acni import NetworkConfig, PluginFailed, RuntimeClosed
from acni.testing import Behaviour, ScriptedRunner
from tests.another_user import as_another_user

pytestmark = [pytest.mark.anyio, pytest.mark.netns]


@pytest.mark.rule("R30")
async def test_the_block_has_a_result_and_runs_programs_inside(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, state_dir: Path
) -> None:
    async with opened() as runtime, runtime.attached(network, "job-1") as box:
        assert str(box.result.ipv4) == "192.0.2.7"
        listed = await box.run(["ip", "-o", "link", "show", "up"], timeout=10)
        assert listed.returncode == 0
        assert b"lo:" in listed.stdout
        assert listed.stdout.count(b"\n") == 1
        failed = await box.run(["false"], timeout=10)
        assert failed.returncode == 1
        with pytest.raises(TimeoutError):
            await box.run(["sleep", "30"], timeout=0.2)
        assert len(list((state_dir / "results").iterdir())) == 1
    assert [str(call) for call in scripted.calls][-1] == "DEL first"
    assert list((state_dir / "results").iterdir()) == []


async def test_a_cancelled_or_failing_block_is_detached_too(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, state_dir: Path
) -> None:
    async with opened() as runtime:
        with anyio.move_on_after(0.1) as scope:
            async with runtime.attached(network, "job-1"):
                await anyio.sleep(30)
        assert scope.cancelled_caught
        with pytest.raises(ValueError, match="the body's"):
            async with runtime.attached(network, "job-1"):
                raise ValueError("the body's")
    assert scripted.held == set()
    assert list((state_dir / "results").iterdir()) == []


async def test_a_failed_add_never_enters_the_block(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig
) -> None:
    scripted.tell("second", "ADD", Behaviour.failing())
    async with opened() as runtime:
        with pytest.raises(PluginFailed):
            async with runtime.attached(network, "job-1"):
                raise AssertionError("entered")
    assert scripted.held == set()


async def test_a_block_whose_runtime_is_left_ends_and_is_detached(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, state_dir: Path
) -> None:
    entered = anyio.Event()
    closed: list[RuntimeClosed] = []

    async def use() -> None:
        try:
            async with runtime.attached(network, "job-1"):
                entered.set()
                await anyio.sleep_forever()
        except RuntimeClosed as error:
            closed.append(error)

    async with anyio.create_task_group() as tasks, opened() as runtime:
        tasks.start_soon(use)
        await entered.wait()
    assert len(closed) == 1
    assert scripted.held == set()
    assert list((state_dir / "results").iterdir()) == []


async def test_draining_waits_for_a_block_and_its_delete(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig
) -> None:
    entered, leave = anyio.Event(), anyio.Event()

    async def use() -> None:
        async with runtime.attached(network, "job-1"):
            entered.set()
            await leave.wait()

    async with anyio.create_task_group() as tasks, opened() as runtime:
        tasks.start_soon(use)
        await entered.wait()
        assert not await runtime.drain(0.01)
        assert scripted.held
        leave.set()
        assert await runtime.drain(60)
        assert scripted.held == set()


async def test_the_interface_inside_can_be_named(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig
) -> None:
    async with opened() as runtime:
        async with runtime.attached(network, "job-1", ifname="net7"):
            assert {held.split("/")[-1] for held in scripted.held} == {"net7"}
        assert scripted.held == set()


_WITHOUT_ROOT = """
import sys
import anyio, acni
from acni.testing import enter_private_host

async def main(runner):
    plugin = {"type": "bridge", "bridge": "br0", "isGateway": True,
              "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.7.0.0/24"}]]}}
    network = acni.networks.from_plugins("jobs", plugin)
    async with acni.open_runtime(state_dir="/var/lib/cni", runner=runner) as runtime:
        attached = runtime.attached
        async with attached(network, "job-1") as one, attached(network, "job-2") as two:
            program = "import socket; print([name for _, name in socket.if_nameindex()])"
            done = await one.run([sys.executable, "-c", program], timeout=200)
            print(one.result.ipv4, two.result.ipv4, done.stdout.decode().strip())
        print(await runtime.attachments())

enter_private_host()
with acni.BuiltIns() as runner:
    anyio.run(main, runner, backend=sys.argv[1])
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_without_root_and_without_executables_it_is_attached_all_the_same(backend: str) -> None:
    argv = as_another_user(sys.executable, "-c", _WITHOUT_ROOT, backend)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["10.7.0.2 10.7.0.3 ['lo', 'eth0']", "()"]

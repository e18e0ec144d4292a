"""Operations are noted in a state directory that still stands: one that somebody removed under the
runtime is made anew, with what is under way.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

import acni
from acni import Attachment, AttachmentId, NetworkConfig, StoreError, netns
from acni.events import Event, StateRemade
from acni.host.libc import MNT_DETACH, mount, unmount
from acni.testing import Behaviour, ScriptedRunner
from tests.engine.conftest import make_network

pytestmark = [pytest.mark.anyio, pytest.mark.netns]

MS_RDONLY, MS_REMOUNT = 1, 32


@pytest.fixture(params=["power", "process"])
def open_it(
    request: pytest.FixtureRequest, state_dir: Path, scripted: ScriptedRunner, events: list[Event]
) -> Callable[[], Any]:
    return lambda: acni.open_runtime(
        state_dir=state_dir,
        plugin_dirs=["/plugins"],
        runner=scripted,
        observers=[events.append],
        recover=False,
        durability=request.param,
    )


def remade(events: list[Event]) -> int:
    return sum(isinstance(event, StateRemade) for event in events)


@pytest.mark.parametrize("part", ["", "results", "acni", "acni/journal", "acni/spare", "acni/lock"])
async def test_an_add_makes_anew_what_was_removed(
    part: str,
    open_it: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
    state_dir: Path,
    events: list[Event],
) -> None:
    async with open_it() as runtime:
        shutil.rmtree(state_dir / part)
        await runtime.add(network, attachment)
        assert (state_dir / "results" / "net-c1-eth0").is_file()
        assert remade(events) == 1
    async with open_it() as runtime:
        await runtime.delete(attachment.id)
    assert scripted.held == set()
    assert (state_dir / "acni" / "FORMAT").is_file()
    assert remade(events) == 1


async def test_what_was_under_way_is_noted_again_and_its_file_is_nobody_else_s(
    open_it: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
    state_dir: Path,
) -> None:
    other = make_network("other")
    with netns.anonymous() as box:
        async with open_it() as runtime, anyio.create_task_group() as tasks:
            with scripted.paused("third", "ADD") as reached:
                tasks.start_soon(runtime.add, network, attachment)
                await reached.wait()
                shutil.rmtree(state_dir)
                with scripted.paused("second", "ADD") as second:
                    tasks.start_soon(
                        runtime.add, other, Attachment(container_id="c2", netns=box.path)
                    )
                    await second.wait()
                    slots = (state_dir / "acni" / "journal").iterdir()
                    journal = b"".join(segment.read_bytes() for segment in slots)
                    assert b"c1" in journal
                    assert b"c2" in journal
        for name, container in (("net-c1-eth0", "c1"), ("other-c2-eth0", "c2")):
            assert container in (state_dir / "results" / name).read_text()
        async with open_it() as runtime:
            for container in ("c1", "c2"):
                await runtime.delete(AttachmentId(container))
    assert scripted.held == set()


async def test_what_cannot_be_made_anew_runs_no_plugin(
    open_it: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
    state_dir: Path,
) -> None:
    async with open_it() as runtime:
        shutil.rmtree(state_dir)
        state_dir.touch()
        with pytest.raises(StoreError, match="cannot be opened"):
            await runtime.add(network, attachment)
        assert scripted.calls == []
        # And it works again once what stood in the way is gone.
        state_dir.unlink()
        await runtime.add(network, attachment)


@pytest.fixture
def disk(state_dir: Path) -> Any:
    state_dir.mkdir(0o700)
    mount("none", str(state_dir), "tmpfs", options="mode=0700")
    yield lambda flags: mount("none", str(state_dir), "", MS_REMOUNT | flags)
    unmount(str(state_dir), MNT_DETACH)


async def test_on_a_read_only_disk_a_delete_runs_and_stays_owed_and_an_add_runs_nothing(
    disk: Any,
    open_it: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
) -> None:
    async with open_it() as runtime:
        await runtime.add(network, attachment)
        scripted.tell("second", "DEL", Behaviour.failing(5, "not yet"))
        with pytest.raises(acni.CleanupIncomplete):
            await runtime.delete(attachment.id)
    scripted.tell("second", "DEL", Behaviour())
    disk(MS_RDONLY)
    async with open_it() as runtime:
        with netns.anonymous() as box, pytest.raises(StoreError, match="takes nothing: Read-only"):
            await runtime.add(network, Attachment(container_id="c2", netns=box.path))
        with pytest.raises(StoreError, match="cannot be removed"):
            await runtime.delete(attachment.id)
        assert [debt.plugin for debt in await runtime.debts()] == ["second"]
    assert scripted.held == set()
    disk(0)
    async with open_it() as runtime:
        await runtime.recover()
        assert await runtime.debts() == ()


@pytest.mark.parametrize("part", ["results", "acni", "acni/lock", "acni/journal"])
async def test_a_part_that_others_may_write_to_is_refused(
    part: str, open_it: Any, state_dir: Path
) -> None:
    async with open_it():
        pass
    (state_dir / part).chmod(0o777)
    with pytest.raises(StoreError, match="others may write to it") as caught:
        async with open_it():
            pass
    assert str(caught.value.place).endswith(part)

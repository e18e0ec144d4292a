"""Real disks that are full, without inodes, shut down, or whose files may not be changed: an ADD
runs no plugin or all of it, a delete runs and what it cannot write stays owed; nothing is lost.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

import acni
import acni.testing
from acni import AcniError, Attachment, AttachmentId, NetworkConfig, netns
from acni.host.libc import MNT_DETACH, mount, unmount
from acni.testing import ScriptedRunner
from tests.crash.disks import Disk, NoDiskError, mounted

pytestmark = [pytest.mark.anyio, pytest.mark.netns]

Open = Callable[[], Any]


@pytest.fixture
def open_it(state_dir: Path, scripted: ScriptedRunner) -> Open:
    return lambda: acni.open_runtime(
        state_dir=state_dir, plugin_dirs=["/plugins"], runner=scripted, recover=False
    )


@pytest.fixture
def boxes() -> Iterator[Callable[[], Attachment]]:
    """Make as many containers as are asked for."""
    with ExitStack() as stack:
        made: list[str] = []

        def make() -> Attachment:
            box = stack.enter_context(netns.anonymous())
            made.append(f"c{len(made) + 1}")
            return Attachment(container_id=made[-1], netns=box.path)

        yield make


@contextmanager
def tmpfs(state_dir: Path, options: str) -> Iterator[None]:
    state_dir.mkdir(0o700)
    mount("none", str(state_dir), "tmpfs", options=f"mode=0700,{options}")
    try:
        yield
    finally:
        unmount(str(state_dir), MNT_DETACH)


def fill(directory: Path) -> Path:
    """Leave no room."""
    filler = directory / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return filler


async def add_until_refused(runtime: Any, network: NetworkConfig, boxes: Any) -> list[str]:
    """Add till the disk takes no more; what was refused ran no plugin."""
    made: list[str] = []
    for _ in range(8):
        attachment = boxes()
        try:
            await runtime.add(network, attachment)
        except acni.StoreError as error:
            assert error.rollback is None, "a plugin ran"  # noqa: PT017
            return made
        made.append(attachment.container_id)
    raise AssertionError("it was never refused")


async def test_on_a_disk_that_was_always_too_small_an_add_runs_nothing(
    open_it: Open, scripted: ScriptedRunner, network: NetworkConfig, boxes: Any, state_dir: Path
) -> None:
    with tmpfs(state_dir, "size=64k"):
        async with open_it() as runtime:
            made = await add_until_refused(runtime, network, boxes)
        assert scripted.held == {
            f"{p}/{c}/eth0" for c in made for p in ("first", "second", "third")
        }
        async with open_it() as runtime:
            for container in made:
                await runtime.delete(AttachmentId(container))
    assert scripted.held == set()


async def test_on_a_disk_that_is_full_what_is_attached_can_be_deleted(
    open_it: Open, scripted: ScriptedRunner, network: NetworkConfig, boxes: Any, state_dir: Path
) -> None:
    with tmpfs(state_dir, "size=4m"):
        async with open_it() as runtime:
            await runtime.add(network, boxes())
            filler = fill(state_dir)
            made = ["c1", *await add_until_refused(runtime, network, boxes)]
            scripted.tell("second", "DEL", acni.testing.Behaviour.failing(5, "not yet"))
            with pytest.raises(acni.CleanupIncomplete):
                await runtime.delete(AttachmentId("c1"))
            scripted.tell("second", "DEL", acni.testing.Behaviour())
            assert [debt.container_id for debt in await runtime.debts()] == ["c1"]
        # Another runtime finds what is owed, on a disk that is still full.
        async with open_it() as runtime:
            for container in made:
                await runtime.delete(AttachmentId(container))
            assert scripted.held == set()
            filler.unlink()
            await runtime.recover()
            assert await runtime.debts() == ()
            assert await runtime.attachments() == ()


async def test_on_a_disk_without_inodes_nothing_runs_that_cannot_be_recorded(
    open_it: Open, scripted: ScriptedRunner, network: NetworkConfig, boxes: Any, state_dir: Path
) -> None:
    with tmpfs(state_dir, "size=16m,nr_inodes=10"), pytest.raises(acni.StoreError):
        async with open_it() as runtime:
            await runtime.add(network, boxes())
    assert scripted.calls == []
    state_dir.rmdir()
    with tmpfs(state_dir, "size=16m,nr_inodes=82"):
        async with open_it() as runtime:
            made = await add_until_refused(runtime, network, boxes)
            assert made
            for container in made:
                await runtime.delete(AttachmentId(container))
    assert scripted.held == set()


@pytest.fixture(params=["ext4", "xfs"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    try:
        with mounted(request.param, tmp_path) as disk:
            yield disk
    except NoDiskError as error:
        pytest.skip(f"cannot run here: {error}")


@pytest.fixture
def on_disk(disk: Disk, scripted: ScriptedRunner) -> Open:
    return lambda: acni.open_runtime(
        state_dir=disk.path / "state", plugin_dirs=["/plugins"], runner=scripted, recover=False
    )


async def test_a_file_system_that_is_shut_down_under_a_runtime_takes_no_add_and_loses_nothing(
    on_disk: Open, disk: Disk, scripted: ScriptedRunner, network: NetworkConfig, boxes: Any
) -> None:
    async with on_disk() as runtime:
        await runtime.add(network, boxes())
        disk.sync()
        disk.shut_down()
        before = len(scripted.calls)
        with pytest.raises(acni.StoreError):
            await runtime.add(network, boxes())
        assert len(scripted.calls) == before
        with pytest.raises(AcniError):
            await runtime.delete(AttachmentId("c1"))
    disk.mount_again()
    async with on_disk() as runtime:
        await runtime.delete(AttachmentId("c1"))
    assert scripted.held == set()


def chattr(change: str, path: Path) -> None:
    if shutil.which("chattr") is None:
        pytest.skip("cannot run here: no chattr")
    subprocess.run(["chattr", change, path], check=True, timeout=20)


@pytest.mark.parametrize(
    "place",
    [
        "results",
        "results/net-c1-eth0",
        "acni/journal",
        "acni/journal/000",
        "acni/spare/000",
        "acni/lock",
        "acni/quarantine",
    ],
)
async def test_what_may_not_be_changed_is_a_typed_error_and_nothing_is_lost(
    place: str,
    on_disk: Open,
    disk: Disk,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    boxes: Any,
) -> None:
    attachment, other = boxes(), boxes()
    async with on_disk() as runtime:
        await runtime.add(network, attachment)
    path = disk.path / "state" / place
    chattr("+i", path)
    failed: list[AcniError] = []
    try:
        async with on_disk() as runtime:
            try:
                await runtime.add(network, other)
            except AcniError as error:
                failed.append(error)
            for each in (attachment, other):
                try:
                    await runtime.delete(each.id, missing_ok=True)
                except AcniError as error:
                    failed.append(error)
    except AcniError as error:
        failed.append(error)
    finally:
        chattr("-i", path)
    # No name is made or removed in these: their files are there.
    assert failed or place in ("acni/quarantine", "acni/journal", "acni/lock")
    async with on_disk() as runtime:
        await runtime.recover()
        for each in (attachment, other):
            await runtime.delete(each.id, missing_ok=True)
        assert await runtime.attachments() == ()
    assert scripted.held == set()

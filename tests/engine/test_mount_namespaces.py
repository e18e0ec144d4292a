"""Containers with a /run and /tmp of their own share a state directory, and its locks."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from acni import Attachment, AttachmentId, Busy, NetworkConfig, Timeouts, netns, open_runtime
from acni.host.libc import CLONE_NEWNS, MS_BIND, MS_PRIVATE, MS_REC, mount, unshare
from acni.testing import ScriptedRunner

pytestmark = pytest.mark.netns

ELSEWHERE = "/mnt"


def in_another_mount_namespace(state_dir: Path, work: Callable[[str], object]) -> object:
    """Do something in a process whose /run and /tmp are its own, and which knows the state
    directory by another path; return what it says of it.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            unshare(CLONE_NEWNS)
            mount("none", "/", flags=MS_REC | MS_PRIVATE)
            mount(str(state_dir), ELSEWHERE, flags=MS_BIND)
            for path in ("/run", "/tmp"):
                mount("none", path, "tmpfs")
            assert not state_dir.exists()
            os.write(write, json.dumps(work(ELSEWHERE)).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read) as said:
        text = said.read()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    return json.loads(text)


@pytest.mark.anyio
async def test_a_container_that_is_being_worked_on_is_busy_in_another_mount_namespace(
    state_dir: Path, network: NetworkConfig, scripted: ScriptedRunner
) -> None:
    elsewhere = ScriptedRunner()

    def delete(path: str) -> object:
        async def main() -> list[str]:
            async with open_runtime(
                state_dir=path,
                plugin_dirs=["/plugins"],
                runner=elsewhere,
                timeouts=Timeouts(wait=0.2),
                recover=False,
            ) as runtime:
                try:
                    await runtime.delete(AttachmentId("c1"))
                except Busy as error:
                    return [error.message, *map(str, elsewhere.calls)]
                return list(map(str, elsewhere.calls))

        return asyncio.run(main())  # trio runs in no child of its own threads

    with netns.anonymous() as box:
        async with (
            open_runtime(
                state_dir=state_dir, plugin_dirs=["/plugins"], runner=scripted, recover=False
            ) as runtime,
            anyio.create_task_group() as tasks,
        ):
            with scripted.paused("third", "ADD") as reached:
                tasks.start_soon(
                    runtime.add, network, Attachment(container_id="c1", netns=box.path)
                )
                await reached.wait()
                said = await anyio.to_thread.run_sync(in_another_mount_namespace, state_dir, delete)
                assert isinstance(said, list)
                assert said == [said[0]]
                assert f"process {os.getpid()} is adding it" in said[0]
        said = await anyio.to_thread.run_sync(in_another_mount_namespace, state_dir, delete)
        assert said == ["DEL third", "DEL second", "DEL first"]

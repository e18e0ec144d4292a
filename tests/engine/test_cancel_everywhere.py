"""Cancelled at any suspension, an operation leaves everything undone, done or owed: never held and
unknown.

The operation runs as a coroutine whose suspensions are counted; it is cancelled at the first, then
at the second, and so on, until it ends before the next one is reached.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from acni import (
    Attachment,
    AttachmentId,
    Executables,
    NetworkConfig,
    Runtime,
    netns,
    open_runtime,
)
from acni.engine.runner import Runner
from acni.testing import Behaviour, RecordingPlugins, ScriptedRunner, cancelled_at

pytestmark = [pytest.mark.anyio, pytest.mark.netns, pytest.mark.timeout(120)]


async def sweep(
    operation: str,
    runner: Runner,
    directory: str,
    tmp_path: Path,
    network: NetworkConfig,
    held: Any,
) -> tuple[int, int]:
    """Return how many suspensions there were, and at how many something stayed owed."""
    owed = 0
    for k in range(1, 500):
        state_dir = tmp_path / f"state-{operation}-{k}"
        with netns.anonymous() as box:
            attachment = Attachment(container_id=f"c{k}", netns=box.path)
            async with open_runtime(
                state_dir=state_dir, plugin_dirs=[directory], runner=runner
            ) as runtime:
                if operation == "delete":
                    await runtime.add(network, attachment)
                call = _call(runtime, operation, network, attachment)
                seen, _ = await cancelled_at(k, call)
                records = list((state_dir / "results").iterdir())
                assert bool(held()) <= bool(records), f"held and unknown after suspension {k}"
                is_owed = any('"state":"debt"' in record.read_text() for record in records)
                owed += is_owed
                if records:
                    await runtime.delete(AttachmentId(f"c{k}"))
                assert not held(), f"not deletable after suspension {k}"
        if seen < k:
            return k - 1, owed
    raise AssertionError("the operation never ended")


def _call(
    runtime: Runtime, operation: str, network: NetworkConfig, attachment: Attachment
) -> Coroutine[Any, Any, Any]:
    if operation == "add":
        return runtime.add(network, attachment)
    return runtime.delete(attachment.id)


@pytest.mark.rule("R28")
@pytest.mark.parametrize("operation", ["add", "delete"])
async def test_with_the_double(
    operation: str, scripted: ScriptedRunner, tmp_path: Path, network: NetworkConfig
) -> None:
    for kind in ("first", "second", "third"):
        scripted.tell(kind, "ADD", Behaviour(seconds=0.001))
    count, owed = await sweep(
        operation, scripted, "/plugins", tmp_path, network, lambda: scripted.held
    )
    assert count >= 4
    # Nothing hinders the undo of an ADD: it is undone. A delete that is cut short is owed.
    assert owed == 0 if operation == "add" else owed > 0


@pytest.mark.parametrize("operation", ["add", "delete"])
async def test_with_real_processes(
    operation: str, plugins: RecordingPlugins, tmp_path: Path, network: NetworkConfig
) -> None:
    count, owed = await sweep(
        operation, Executables(), plugins.directory, tmp_path, network, lambda: plugins.held
    )
    assert count >= 4
    assert owed == 0 if operation == "add" else owed > 0


@pytest.mark.parametrize("anyio_backend", [pytest.param("asyncio", id="asyncio")])
async def test_a_native_cancellation_of_the_record_s_write_brings_nothing_back(
    scripted: ScriptedRunner, tmp_path: Path, network: NetworkConfig
) -> None:
    """It leaves the writing thread behind, which asyncio cannot stop."""
    state_dir = tmp_path / "state"
    with netns.anonymous() as box:
        attachment = Attachment(container_id="c1", netns=box.path)
        async with open_runtime(
            state_dir=state_dir, plugin_dirs=["/plugins"], runner=scripted
        ) as runtime:
            for _ in range(30):
                task = asyncio.create_task(runtime.add(network, attachment))
                for _ in range(200):
                    await anyio.lowlevel.checkpoint()
                    if len(scripted.calls) == 3:
                        break
                await anyio.sleep(0.0001)
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                if list((state_dir / "results").iterdir()):
                    await runtime.delete(attachment.id)
                assert scripted.held == set()
                scripted.calls.clear()
        assert list((state_dir / "results").iterdir()) == []
    assert scripted.held == set()

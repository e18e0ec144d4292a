"""Waiting for plugins of a dead runtime before what they do is undone.

A plugin lives on when its runtime is killed: an ADD would finish behind the DEL that undoes it (12
of 74 kill points leaked so). Each holds its container's guard byte as long as it runs. A GC goes by
what was valid when it began, and would free what is attached since: it holds a byte of the gate.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Iterable
from typing import Final

from acni.engine.engine import Operation
from acni.errors import Busy
from acni.events import OrphanWaited
from acni.host import orphans
from acni.host.files import close_all
from acni.host.locks import byte_of
from acni.store.directory import store_failure
from acni.store.record import Record

# Whose guard a GC plugin holds; no container can have that name.
GC_GUARD: Final = "gate/gc"

# Looking at a free guard takes some microseconds.
_NOTABLE_SECONDS: Final = 0.001
# Nobody knows how much time a GC had left; the next one does what it did not come to.
_GC_SECONDS: Final = 10.0


async def wait_for_orphans(operation: Operation, record: Record, *, until: float) -> None:
    """Wait until no plugin of a dead runtime runs for a container any more.

    Args:
        operation: Who waits.
        record: The attachment; its plugins are ended, other processes are not.
        until: When they are out of time and ended, in seconds on CLOCK_BOOTTIME.

    Raises:
        Busy: one of them cannot be ended.
        StoreError: the guard cannot be looked at.
    """
    paths = _paths_of(record)
    lock = operation.engine.store.look_at_lock(record.container_id)
    if lock is not None:
        await _wait(operation, lock, record.container_id, until, paths)


async def wait_for_gc_orphans(operation: Operation) -> None:
    """Wait until no GC plugin of a dead runtime runs any more. None begins as long as one is in the
    gate.

    Raises:
        Busy: one of them cannot be ended.
        StoreError: the guard cannot be looked at.
    """
    engine = operation.engine
    if not engine.turns.is_guarded(GC_GUARD):
        return
    lock = engine.store.look_at_lock(GC_GUARD)
    if lock is not None:
        until = time.clock_gettime(time.CLOCK_BOOTTIME) + _GC_SECONDS
        await _wait(operation, lock, GC_GUARD, until, _plugins_in(engine.plugin_dirs))


def _paths_of(record: Record) -> frozenset[str]:
    """List the executables of a chain, and those that its built-in plugins delegate to: they end
    with their process, and what they started does not.
    """
    provenance = record.provenance
    if provenance is None:
        return frozenset()
    of_chain = {plugin.path for plugin in provenance.plugins if plugin.path}
    delegates = {
        f"{directory}/{kind}"
        for found, plugin in zip(provenance.plugins, record.network.plugins, strict=False)
        if not found.path and (kind := plugin.delegate) is not None
        for directory in provenance.plugin_dirs
    }
    return frozenset(of_chain | delegates)


def _plugins_in(directories: Iterable[str]) -> frozenset[str]:
    """List whatever may be a plugin: of which network the GC was, nobody noted."""
    paths: set[str] = set()
    for directory in directories:
        with contextlib.suppress(OSError):
            paths.update(f"{directory}/{name}" for name in os.listdir(directory))
    return frozenset(paths)


async def _wait(
    operation: Operation, lock: int, name: str, until: float, plugins: Collection[str]
) -> None:
    grace = operation.engine.timeouts.grace
    try:
        found = await orphans.wait_for_orphans(
            lock, byte_of("guard", name), until=until, plugins=plugins, grace_seconds=grace
        )
    except OSError as error:
        raise store_failure("acni/lock", "cannot be looked at", error) from error
    finally:
        close_all(lock)
    if found.ended or found.daemons or found.stuck or found.waited_seconds > _NOTABLE_SECONDS:
        operation.notify(
            OrphanWaited,
            seconds=found.waited_seconds,
            ended=tuple(process.pid for process in found.ended),
            daemons=tuple(process.pid for process in found.daemons),
        )
    if found.stuck:
        raise Busy(
            f"process {found.stuck[0].pid}, a plugin of a runtime that is gone, cannot be ended",
            expected="that it ends: what it does cannot be undone before",
        )

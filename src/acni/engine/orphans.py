"""Waiting for plugins of a dead runtime before what they do is undone.

A plugin lives on when its runtime is killed: an ADD would finish behind the DEL that undoes it (12
of 74 kill points leaked so). Each holds its container's guard byte as long as it runs.
"""

from __future__ import annotations

from typing import Final

from acni.engine.engine import Operation
from acni.errors import Busy
from acni.events import OrphanWaited
from acni.host import orphans
from acni.host.files import close_all
from acni.host.locks import byte_of
from acni.store.directory import store_failure
from acni.store.record import Record

# Looking at a free guard takes some microseconds.
_NOTABLE_SECONDS: Final = 0.001


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
    engine = operation.engine
    paths = [plugin.path for plugin in record.provenance.plugins] if record.provenance else []
    lock = engine.store.look_at_lock(record.container_id)
    if lock is None:
        return
    try:
        found = await orphans.wait_for_orphans(
            lock,
            byte_of("guard", record.container_id),
            until=until,
            plugins=paths,
            grace_seconds=engine.timeouts.grace,
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
            container_id=record.container_id,
            expected="that it ends: what it does cannot be undone before",
        )

"""An operation's turn: its container is its own, and no gc is under way.

In the order in which all locks are taken: the container's queue, then the gate. Nobody goes in
beside a GC plugin either that outlived its runtime: it still goes by what was valid then.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio

from acni.engine.engine import Operation
from acni.engine.orphans import wait_for_gc_orphans
from acni.spec.names import ContainerId


@asynccontextmanager
async def turn(operation: Operation, container_id: ContainerId) -> AsyncGenerator[None]:
    """Wait for a container's turn, and for the end of a gc, and hold both off.

    Raises:
        Busy: they went on for all of the time that an operation waits.
        StoreError: nobody can tell whether a GC plugin is left.
    """
    engine = operation.engine
    wait = engine.timeouts.wait
    deadline = anyio.current_time() + wait
    async with engine.queues.turn(container_id, wait):
        left = max(deadline - anyio.current_time(), 0.0)
        async with engine.gate.shared(left, who=f"{operation.verb} of {operation.id}"):
            await wait_for_gc_orphans(operation)
            yield

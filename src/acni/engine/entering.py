"""An operation's turn: its container is its own, and no gc is under way.

Nobody goes in beside a GC plugin either that outlived its runtime: it still goes by what was valid
then.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from acni.engine.engine import Operation
from acni.engine.orphans import wait_for_gc_orphans
from acni.spec.names import ContainerId


@asynccontextmanager
async def turn(operation: Operation, container_id: ContainerId) -> AsyncGenerator[None]:
    """Wait for a container's turn, and for the end of a gc, and hold both off.

    Raises:
        Busy: they went on for all of the time that an operation waits.
        StoreError: the state directory cannot be locked, or looked at.
    """
    async with operation.engine.turns.of_container(container_id):
        await wait_for_gc_orphans(operation)
        yield

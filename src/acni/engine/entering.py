"""An operation's turn: its container is its own, and no gc is under way; and the first ADD's, where
nothing was attached to its network in this boot.

Nobody goes in beside a GC plugin either that outlived its runtime: it still goes by what was valid
then.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import partial

from acni.engine.engine import Operation
from acni.engine.orphans import wait_for_gc_orphans
from acni.spec.names import ContainerId


@asynccontextmanager
async def turn(operation: Operation, container_id: ContainerId) -> AsyncGenerator[float]:
    """Wait for a container's turn, and for the end of a gc, and hold both off.

    Yields:
        When the operation's waiting ends, on the event loop's clock.

    Raises:
        Busy: they went on for all of the time that an operation waits, or too many wait.
        StoreError: the state directory cannot be locked, or looked at.
    """
    watch = partial(operation.waiting, "container")
    async with operation.engine.turns.of_container(container_id, watch) as until:
        await wait_for_gc_orphans(operation)
        yield until


def first_add(operation: Operation, until: float) -> AbstractAsyncContextManager[None]:
    """Hold off other ADDs to a network, as long as none has succeeded in this boot.

    Args:
        operation: The ADD.
        until: When its waiting ends, on the event loop's clock.

    Raises:
        Busy: the one before it went on until then, or too many wait.
        StoreError: the state directory cannot be locked.
    """
    engine, network = operation.engine, operation.network
    if not engine.admission.limits.first_add_alone or engine.firsts.is_over(network):
        return nullcontext()
    return _alone(operation, until)


@asynccontextmanager
async def _alone(operation: Operation, until: float) -> AsyncGenerator[None]:
    engine, network = operation.engine, operation.network
    watch = partial(operation.waiting, "first add")
    async with engine.turns.first_add(network, engine.firsts.is_over, until, watch):
        yield
        refusal = engine.firsts.end(network)
        if refusal is not None:
            engine.warn([f"others make their first ADD to a network alone: {refusal}"])

"""One operation at a time for each container, in order of arrival (specification, section 3,
"Lifecycle & Ordering": "must not invoke parallel operations for the same container"; rules R26,
R47).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from attrs import Factory, define

from acni.errors import Busy
from acni.spec.names import ContainerId


@define(eq=False)
class _Queue:
    lock: anyio.Lock = Factory(anyio.Lock)
    users: int = 0


@define(eq=False)
class ContainerQueues:
    """The queues of the containers that have operations; a container without any costs nothing."""

    _queues: dict[ContainerId, _Queue] = Factory(dict[ContainerId, _Queue])

    @asynccontextmanager
    async def turn(self, container_id: ContainerId, wait_seconds: float) -> AsyncGenerator[None]:
        """Wait for the container's turn and hold it.

        ``anyio.Lock`` hands over first come, first served.

        Raises:
            Busy: the turn did not come within ``wait_seconds``.
        """
        queue = self._queues.setdefault(container_id, _Queue())
        queue.users += 1
        try:
            await _acquire(queue.lock, container_id, wait_seconds)
            try:
                yield
            finally:
                queue.lock.release()
        finally:
            queue.users -= 1
            if queue.users == 0:
                del self._queues[container_id]


async def _acquire(lock: anyio.Lock, container_id: ContainerId, wait_seconds: float) -> None:
    try:
        with anyio.fail_after(wait_seconds):
            await lock.acquire()
    except TimeoutError:
        raise Busy(
            f"another operation on the container went on for {wait_seconds:g} s",
            container_id=container_id,
            expected="the container to be free",
        ) from None

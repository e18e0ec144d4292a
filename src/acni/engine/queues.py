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
from acni.host.queues import Queues
from acni.spec.names import ContainerId


@define(eq=False)
class ContainerQueues:
    """The queues of the containers that have operations; a container without any costs nothing."""

    _queues: Queues[ContainerId] = Factory(Queues[ContainerId])

    @asynccontextmanager
    async def turn(self, container_id: ContainerId, wait_seconds: float) -> AsyncGenerator[None]:
        """Wait for the container's turn and hold it.

        Raises:
            Busy: the turn did not come within ``wait_seconds``.
        """
        try:
            with anyio.fail_after(wait_seconds):
                await self._queues.take(container_id)
        except TimeoutError:
            raise Busy(
                f"another operation on the container went on for {wait_seconds:g} s",
                container_id=container_id,
                expected="the container to be free",
            ) from None
        try:
            yield
        finally:
            self._queues.give_back(container_id)

"""Timing operations of a runtime, many at once: an observer, and what its caller saw."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from attrs import Factory, define

from acni.bench.lanes import Waterfall, waterfall_of
from acni.events import Event


@define(eq=False)
class Stopwatch:
    """An observer that keeps what the operations tell that it times; each is on a container of its
    own.
    """

    _events: dict[str, list[Event]] = Factory(dict[str, list[Event]])

    def __call__(self, event: Event) -> None:
        """Take in an event."""
        if event.container_id in self._events:
            self._events[event.container_id].append(event)

    async def time(self, container_id: str, operation: Callable[[], Awaitable[Any]]) -> Waterfall:
        """Do an operation on a container and say where its time went; what it raises is raised."""
        events = self._events[container_id] = []
        try:
            begun = time.monotonic()
            await operation()
            return waterfall_of(events, begun, time.monotonic())
        finally:
            del self._events[container_id]

"""The gate between gc and everything else that touches attachments (specification, section 3,
"Lifecycle & Ordering": "must exclusively execute either gc or add and delete"; rule R27).

Rule 1: whatever touches an attachment goes in with others; gc goes in alone.
Rule 2: a gc that waits closes the gate for a moment only, so that those inside come to an end and
    nobody stands before it for long; then it stays open as long, and so on until the wait is over.
Rule 3: the container's turn comes before the gate, and whoever is inside alone takes no turn: who
    waits before the gate holds one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final

import anyio
from attrs import Factory, define, field

from acni.errors import Busy

# How long a gc that waits keeps others out, and then lets them in.
TURN_SECONDS: Final = 1.0
# More names are of no help to whoever is refused.
_MOST_NAMED: Final = 3


@define(eq=False)
class Gate:
    """The gate of one runtime.

    Attributes:
        is_clear: No GC plugin is left of a runtime that is dead: as long as nobody has looked, one
            may be.
    """

    is_clear: bool = field(default=False, init=False)
    _inside: dict[object, str] = field(factory=dict[object, str], init=False)
    _closed_by: str | None = field(default=None, init=False)
    _alone: anyio.Lock = field(default=Factory(anyio.Lock), init=False)
    _changed: anyio.Event = field(default=Factory(anyio.Event), init=False)

    @asynccontextmanager
    async def shared(self, wait_seconds: float, *, who: str) -> AsyncGenerator[None]:
        """Be inside with others.

        Args:
            wait_seconds: How long to wait for a gc to be over.
            who: What a gc that is kept waiting says of it.

        Raises:
            Busy: a gc went on for ``wait_seconds``.
        """
        deadline = anyio.current_time() + wait_seconds
        if not self._is_open() and not await self._until(self._is_open, deadline):
            raise Busy(
                f"{self._closed_by} went on for {wait_seconds:g} s",
                expected="that it ends: nothing is attached or detached beside it",
            )
        token = object()
        self._inside[token] = who
        try:
            yield
        finally:
            del self._inside[token]
            if not self._inside:
                self._tell()

    @asynccontextmanager
    async def exclusive(self, wait_seconds: float, *, who: str) -> AsyncGenerator[None]:
        """Be inside alone.

        Args:
            wait_seconds: How long to wait for those inside.
            who: What those say that are kept waiting.

        Raises:
            Busy: somebody was still inside after ``wait_seconds``.
        """
        deadline = anyio.current_time() + wait_seconds
        with anyio.CancelScope(deadline=deadline) as scope:
            await self._alone.acquire()
        if scope.cancelled_caught:
            raise self._busy(wait_seconds, [self._closed_by or "another gc"])
        try:
            if not await self._empty(deadline, who):
                raise self._busy(wait_seconds, [*self._inside.values()])
            yield
        finally:
            self._open()
            self._alone.release()

    async def _empty(self, deadline: float, who: str) -> bool:
        """Close until nobody is inside, open, and so on; tell whether it is empty, and closed."""
        while True:
            self._closed_by = who
            if await self._until(self._is_empty, min(deadline, _in_a_turn())):
                return True
            self._open()
            if anyio.current_time() >= deadline:
                return False
            await self._until(self._is_empty, min(deadline, _in_a_turn()))

    async def _until(self, condition: Callable[[], bool], deadline: float) -> bool:
        with anyio.CancelScope(deadline=deadline):
            while not condition():
                await self._changed.wait()
        return condition()

    def _is_open(self) -> bool:
        return self._closed_by is None

    def _is_empty(self) -> bool:
        return not self._inside

    def _open(self) -> None:
        self._closed_by = None
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    def _busy(self, wait_seconds: float, inside: list[str]) -> Busy:
        named = ", ".join(inside[:_MOST_NAMED])
        more = len(inside) - _MOST_NAMED
        return Busy(
            f"in the way for {wait_seconds:g} s: {named}" + (f" and {more} more" * (more > 0)),
            expected="a moment in which nothing is attached or detached",
        )


def _in_a_turn() -> float:
    return anyio.current_time() + TURN_SECONDS

"""Asynchronous blocks that are entered a thousand times a second."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from attrs import define, field

T = TypeVar("T")


@define(eq=False, repr=False)
class Block(Generic[T]):
    """An asynchronous context manager of two functions: how it is entered, and how it is left.

    What `contextlib` makes of a generator costs four times as much: event loops keep a list of all
    asynchronous generators there are.
    """

    _enter: Callable[[], Awaitable[T]]
    _leave: Callable[[], object]
    _is_inside: bool = field(default=False, init=False)

    async def __aenter__(self) -> T:
        value = await self._enter()
        self._is_inside = True
        return value

    async def __aexit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Leave it now; its end finds nothing to do then."""
        if self._is_inside:
            self._is_inside = False
            self._leave()

"""A number of places, for the tasks of one process: who waits for one is let in by rank, and within
a rank in order of arrival.
"""

from __future__ import annotations

from collections import deque

import anyio
from attrs import define, field


@define(eq=False)
class _Waiting:
    """Who waits; told of a place by the event."""

    told: anyio.Event = field(factory=anyio.Event)
    place: int | None = None


@define(eq=False)
class Places:
    """The places, numbered from 0.

    Attributes:
        number: How many there are.
        ranks: How many ranks there are; rank 0 goes first.
    """

    number: int
    ranks: int
    _used: int = field(default=0, init=False)
    _free: list[int] = field(factory=list[int], init=False)
    _waiting: tuple[deque[_Waiting], ...] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._waiting = tuple(deque[_Waiting]() for _ in range(self.ranks))

    def try_take(self) -> int | None:
        """Take a place; None where all are taken."""
        if self._free:
            return self._free.pop()
        if self._used == self.number:
            return None
        self._used += 1
        return self._used - 1

    async def take(self, rank: int) -> int:
        """Wait for a place, behind those of the same rank and of earlier ones, and take it; no
        checkpoint where one is free.
        """
        place = self.try_take()
        if place is not None:
            return place
        own = _Waiting()
        self._waiting[rank].append(own)
        try:
            await own.told.wait()
        except BaseException:
            if own.place is None:
                self._waiting[rank].remove(own)
            else:
                self.give_back(own.place)
            raise
        if own.place is None:
            raise AssertionError("who is told has been given a place")
        return own.place

    def give_back(self, place: int) -> None:
        """Hand a place over to who waits first."""
        for waiting in self._waiting:
            if waiting:
                first = waiting.popleft()
                first.place = place
                first.told.set()
                return
        self._free.append(place)

"""One task at a time for each key, first come, first served, within one process.

Locks of descriptions exclude processes, never the tasks of one, which share the description.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

import anyio
from attrs import Factory, define

Key = TypeVar("Key", bound=Hashable)


@define(eq=False, repr=False)
class Queues(Generic[Key]):
    """The queues of the keys that somebody has taken; another one costs nothing."""

    # None where nobody waits: a deque takes 700 bytes, and each operation takes four keys.
    _waiting: dict[Key, deque[anyio.Event] | None] = Factory(dict[Key, "deque[anyio.Event] | None"])

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, key: Key) -> bool:
        """Tell whether somebody has a key."""
        return key in self._waiting

    def try_take(self, key: Key) -> bool:
        """Take a key that nobody has; False where somebody has it."""
        if key in self._waiting:
            return False
        self._waiting[key] = None
        return True

    async def take(self, key: Key) -> None:
        """Wait for a key, behind those who wait already, and take it; a checkpoint where it is
        free.
        """
        turn = anyio.Event()
        if self.try_take(key):
            turn.set()
        else:
            self._line(key).append(turn)
        try:
            await turn.wait()
        except BaseException:
            if turn.is_set():
                self.give_back(key)
            else:
                self._line(key).remove(turn)
            raise

    def give_back(self, key: Key) -> None:
        """Hand a key over to who waits first."""
        waiting = self._waiting[key]
        if waiting:
            waiting.popleft().set()
        else:
            del self._waiting[key]

    def _line(self, key: Key) -> deque[anyio.Event]:
        line = self._waiting[key]
        if line is None:
            line = self._waiting[key] = deque()
        return line

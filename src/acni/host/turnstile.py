"""A fair lock between processes out of byte locks that are asked for again and again.

A process that only asks again and again is passed by whoever asks at the right moment: of four
processes with turns of 5 ms one waited 936 ms. So who finds the lock taken stands in line, on
stages, which are byte locks too: it moves from the last stage to the first and on to the lock, and
lets go of a stage when it holds the next. Who comes while somebody stands there goes to the end of
the line. As long as the line has room it is first come, first served.

Rule 1: nobody waits in the kernel, so every wait can be cancelled at once; what was held of the
    line is let go of.
Rule 2: who dies in line leaves it, for the kernel takes its bytes.
Rule 3: at most one task of a description stands in one line: the kernel does not tell two apart.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

import anyio
from attrs import define, field

from acni.host.locks import STAGES, is_held, try_lock, unlock

# Asking costs 1 µs, and waking up on the loop 8 to 20.
_FIRST_PAUSE: Final = 0.0005
_LONGEST_PAUSE: Final = 0.003
# A thousand who ask at every turn would take a processor for themselves; so they take a tenth.
_PAUSE_FOR_EACH: Final = 0.0002

T = TypeVar("T")


@define(eq=False, repr=False)
class Pace:
    """How often the tasks of one process ask for what others hold: the more tasks, the more seldom
    each of them.

    Attributes:
        waiting: How many tasks ask.
    """

    waiting: int = 0

    async def ask(self, attempt: Callable[[], T | None]) -> T:
        """Call a function until it returns something true, and return that.

        No checkpoint where the first answer is true, and none behind the last one.
        """
        self.waiting += 1
        try:
            for pause in self.pauses():
                if answer := attempt():
                    return answer
                await anyio.sleep(pause)
            raise AssertionError("there is always another pause")
        finally:
            self.waiting -= 1

    def pauses(self) -> Iterator[float]:
        """Iterate over the pauses between two times that one asks, without end, in seconds."""
        pause = _FIRST_PAUSE
        while True:
            yield pause
            pause = min(pause * 2, max(_LONGEST_PAUSE, self.waiting * _PAUSE_FOR_EACH))


@define(eq=False, repr=False)
class Line:
    """Somebody's place in the line before a lock.

    Attributes:
        fd: A descriptor of the description, which is open for writing.
        stages: The first of the bytes of the line.
    """

    fd: int
    stages: int
    _stage: int | None = field(default=None, init=False)

    def advance(self) -> bool:
        """Go on as far as there is room, from the end; tell whether nobody is before us.

        Raises:
            OSError: there are no locks to be had.
        """
        while self._stage != self.stages:
            behind = self._stage
            before = (self.stages + STAGES if behind is None else behind) - 1
            if not try_lock(self.fd, before):
                return False
            self._stage = before
            if behind is not None:
                unlock(self.fd, behind)
        return True

    def leave(self) -> None:
        """Stand there no longer."""
        stage, self._stage = self._stage, None
        if stage is not None:
            with contextlib.suppress(OSError):
                unlock(self.fd, stage)


def is_line_empty(fd: int, stages: int) -> bool:
    """Tell whether nobody stands in a line, but for the description behind ``fd``.

    Raises:
        OSError: that cannot be told.
    """
    return not is_held(fd, stages, STAGES)


def try_pass(fd: int, lock: int, stages: int) -> bool:
    """Take a lock if it is free and nobody stands in the line before it.

    Args:
        fd: A descriptor of the description, which is open for writing.
        lock: The byte that one holds at a time.
        stages: The first of the bytes of the line.

    Raises:
        OSError: there are no locks to be had.
    """
    return is_line_empty(fd, stages) and try_lock(fd, lock)


async def pass_through(fd: int, lock: int, stages: int, pace: Pace) -> None:
    """Take a lock, behind those who wait for it already.

    No checkpoint where it is free. Whoever is cancelled holds nothing; who returns has the lock,
    and nothing of the line.

    Args:
        fd: A descriptor of the description, which is open for writing.
        lock: The byte that one holds at a time.
        stages: The first of the bytes of the line.
        pace: How often it is asked for.

    Raises:
        OSError: there are no locks to be had; nothing is held.
    """
    if try_pass(fd, lock, stages):
        return
    line = Line(fd, stages)
    try:
        await pace.ask(lambda: line.advance() and try_lock(fd, lock))
    finally:
        line.leave()

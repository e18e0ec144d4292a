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
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, TypeVar

import anyio
from attrs import define, frozen

from acni.host.locks import STAGES, is_held, try_lock, unlock

# Asking costs 1 µs, and waking up on the loop 8 to 20.
_FIRST_PAUSE: Final = 0.0005
_LONGEST_PAUSE: Final = 0.003
# A thousand who ask at every turn would take a processor for themselves; so they take a tenth.
_PAUSE_FOR_EACH: Final = 0.0002

T = TypeVar("T")


@define(eq=False)
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
            pause = _FIRST_PAUSE
            while not (answer := attempt()):
                await anyio.sleep(pause)
                longest = max(_LONGEST_PAUSE, self.waiting * _PAUSE_FOR_EACH)
                pause = min(pause * 2, longest)
            return answer
        finally:
            self.waiting -= 1


@frozen
class Turnstile:
    """A lock and the line before it, seen by one description.

    Attributes:
        fd: A descriptor of the description, which is open for writing.
        lock: The byte that one holds at a time.
        stages: The first of the bytes of the line; None for who goes before all that stand there.
    """

    fd: int
    lock: int
    stages: int | None

    def try_pass(self) -> bool:
        """Take the lock if it is free and nobody is before us.

        Raises:
            OSError: there are no locks to be had.
        """
        is_first = self.stages is None or not is_held(self.fd, self.stages, STAGES)
        return is_first and try_lock(self.fd, self.lock)

    async def pass_through(self, pace: Pace) -> None:
        """Take the lock, behind those who wait for it already.

        No checkpoint where it is free. Whoever is cancelled holds nothing; who returns has the
        lock, and nothing of the line.

        Raises:
            OSError: there are no locks to be had; nothing is held.
        """
        if self.try_pass():
            return
        held: list[int] = []
        try:
            for byte in (*self._line(), self.lock):
                await pace.ask(partial(try_lock, self.fd, byte))
                held.append(byte)
                if len(held) > 1:
                    unlock(self.fd, held[0])
                    del held[0]
        except BaseException:
            for byte in held:
                with contextlib.suppress(OSError):
                    unlock(self.fd, byte)
            raise

    def _line(self) -> Iterable[int]:
        if self.stages is None:
            return ()
        return reversed(range(self.stages, self.stages + STAGES))

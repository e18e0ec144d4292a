"""Operations that begin together, one after the other: an event loop runs all tasks that are ready
before it looks at anything else, and an operation does not let go of it before its first plugin
runs. A thousand ADDs that were started together kept it for a quarter of a second.
"""

from __future__ import annotations

from collections import deque
from time import perf_counter
from typing import Final

import anyio
import anyio.lowlevel
from attrs import Factory, define, field

# So long may some begin in one turn of the loop. Who comes later and finds the loop idle waits for
# a turn of it as well, which takes some microseconds. With built-in plugins an operation takes as
# long as two or three of these: whoever shares the loop is kept waiting no longer than by one.
_SECONDS: Final = 0.001


@define(eq=False, repr=False)
class Beginnings:
    """Who begins when, in one runtime: in order of arrival, and once some have begun in a turn of
    the loop, each other one in a turn of its own.
    """

    # None is who came first, and lets a turn of the loop pass.
    _waiting: deque[anyio.Event | None] = Factory(deque[anyio.Event | None])
    _since: float = field(default=0.0, init=False)

    async def wait(self) -> None:
        """Wait until one may begin; no checkpoint where it is alone."""
        if not self._waiting and perf_counter() - self._since < _SECONDS:
            return
        own = anyio.Event() if self._waiting else None
        self._waiting.append(own)
        try:
            if own is None:
                await anyio.lowlevel.checkpoint()
            else:
                await own.wait()
        finally:
            self._waiting.remove(own)
            if self._waiting and self._waiting[0] is not None:
                self._waiting[0].set()
        self._since = perf_counter()

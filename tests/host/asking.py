"""How often somebody has asked for what others hold: a clock that no busy machine puts wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio
from attrs import define

from acni.host.turnstile import Pace

T = TypeVar("T")


@define(eq=False)
class Counted(Pace):
    """A pace that counts.

    Attributes:
        in_vain: How many answers were no.
    """

    in_vain: int = 0

    async def ask(self, attempt: Callable[[], T | None]) -> T:
        def counted() -> T | None:
            answer = attempt()
            self.in_vain += not answer
            return answer

        return await super().ask(counted)

    async def has_asked(self, times: int) -> None:
        """Wait until so many answers were no."""
        while self.in_vain < times:  # noqa: ASYNC110 (it is the turns of the loop that count)
            await anyio.sleep(0.001)

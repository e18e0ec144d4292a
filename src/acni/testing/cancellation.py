"""Cancelling a coroutine at each of its suspensions, on any loop, by public means."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any

import anyio
from attrs import define


async def cancelled_at(point: int, coroutine: Coroutine[Any, Any, object]) -> tuple[int, bool]:
    """Run a coroutine to its end and cancel it just before it suspends for the ``point``-th time.

    To try every suspension, call it with 1, 2, 3, … and a new coroutine each time, until fewer
    suspensions than ``point`` were seen. How many there are differs between loops.

    Args:
        point: The suspension, from 1.
        coroutine: What is run.

    Returns:
        How often it suspended, and whether the cancellation ended it.

    Example:
        >>> async def add(point):
        ...     async with runtime_over(scripted) as runtime:
        ...         return await testing.cancelled_at(point, runtime.add(network, attachment))
        >>> suspensions, was_cancelled = anyio.run(add, 1)
        >>> was_cancelled, scripted.held
        (True, set())
    """
    scope = anyio.CancelScope()
    suspensions = _Suspensions(coroutine, point, scope)
    with scope:
        await suspensions
    return suspensions.count, scope.cancelled_caught


@define(eq=False)
class _Suspensions:
    """Drives a coroutine, counts its suspensions and cancels a scope at one of them."""

    coroutine: Coroutine[Any, Any, object]
    point: int
    scope: anyio.CancelScope
    count: int = 0

    def __await__(self) -> Generator[Any, Any, object]:
        sent: Any = None
        thrown: BaseException | None = None
        while True:
            try:
                step = self.coroutine
                suspended = step.send(sent) if thrown is None else step.throw(thrown)
            except StopIteration as end:
                returned: object = end.value
                return returned
            self.count += 1
            if self.count == self.point:
                self.scope.cancel()
            sent, thrown = None, None
            try:
                sent = yield suspended
            except BaseException as error:  # noqa: ASYNC103, BLE001 (handed on into the coroutine)
                thrown = error

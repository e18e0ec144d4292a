"""Running a verb so that a signal undoes it: SIGINT and SIGTERM cancel, and the exit status says
which it was.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable

import anyio

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run_cancellable(verb: Callable[[], Awaitable[int]]) -> int:
    """Run a verb on asyncio; on a signal cancel it, wait for its undo, and return 128 plus the
    signal's number.
    """
    return anyio.run(_run, verb)


async def _run(verb: Callable[[], Awaitable[int]]) -> int:
    received: list[signal.Signals] = []
    status = 0
    with anyio.open_signal_receiver(*SIGNALS) as signals:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_cancel_on_signal, signals, tasks.cancel_scope, received)
            status = await verb()
            tasks.cancel_scope.cancel()
    return 128 + received[0] if received else status


async def _cancel_on_signal(
    signals: AsyncIterator[signal.Signals],
    scope: anyio.CancelScope,
    received: list[signal.Signals],
) -> None:
    async for number in signals:
        received.append(number)
        scope.cancel()

"""Running a verb so that a signal undoes it: SIGINT and SIGTERM cancel, and the exit status says
which it was.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable

import anyio

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run_cancellable(verb: Callable[[], Awaitable[int]]) -> tuple[int, int | None]:
    """Run a verb on asyncio; on a signal cancel it and wait for its undo.

    Returns:
        The verb's exit status and None; or, where a signal ended it before it was done, 0 and the
        signal's number.
    """
    return anyio.run(_run, verb)


async def _run(verb: Callable[[], Awaitable[int]]) -> tuple[int, int | None]:
    received: list[signal.Signals] = []
    finished: list[int] = []
    failed: list[Exception] = []
    with anyio.open_signal_receiver(*SIGNALS) as signals:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_cancel_on_signal, signals, tasks.cancel_scope, received)
            try:
                finished.append(await verb())
            except Exception as error:  # noqa: BLE001 (raised below: a task group would wrap it)
                failed.append(error)
            tasks.cancel_scope.cancel()
    if failed:
        raise failed[0]
    return (finished[0], None) if finished else (0, received[0])


async def _cancel_on_signal(
    signals: AsyncIterator[signal.Signals],
    scope: anyio.CancelScope,
    received: list[signal.Signals],
) -> None:
    async for number in signals:
        received.append(number)
        scope.cancel()

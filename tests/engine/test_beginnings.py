"""Operations that begin together, one after the other."""

from __future__ import annotations

import time

import anyio
import anyio.lowlevel
import pytest

from acni.engine.beginnings import Beginnings
from acni.testing import cancelled_at

pytestmark = pytest.mark.anyio


async def test_who_is_alone_begins_without_a_checkpoint() -> None:
    beginnings = Beginnings()
    beginnings._since = time.perf_counter() + 60  # this machine may stand still meanwhile
    assert await cancelled_at(1, beginnings.wait()) == (0, False)


async def test_of_many_that_come_together_one_begins_in_a_turn_of_the_loop_and_in_order() -> None:
    beginnings = Beginnings()
    order: list[int] = []
    most = 0

    async def begin(number: int) -> None:
        await beginnings.wait()
        order.append(number)
        time.sleep(0.01)  # noqa: ASYNC251 (this is what an operation does to the loop)

    async with anyio.create_task_group() as tasks:
        await begin(0)
        for number in range(1, 20):
            tasks.start_soon(begin, number)
            await anyio.lowlevel.checkpoint()
        begun = len(order)
        while len(order) < 20:
            await anyio.lowlevel.checkpoint()
            most = max(most, len(order) - begun)
            begun = len(order)
    assert order == list(range(20))
    assert most <= 2  # one, and on asyncio one that this task saw a turn later


async def test_who_is_cancelled_while_waiting_keeps_nobody_waiting() -> None:
    for cancelled in range(3):
        beginnings = Beginnings()
        order: list[int] = []
        scopes = [anyio.CancelScope() for _ in range(3)]

        async def begin(number: int, beginnings: Beginnings, scope: anyio.CancelScope) -> None:
            with scope:
                await beginnings.wait()
                order.append(number)  # noqa: B023 (they end in this round)

        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                for number, scope in enumerate(scopes):
                    tasks.start_soon(begin, number, beginnings, scope)
                scopes[cancelled].cancel()
        assert {0, 1, 2} - {cancelled} <= set(order)  # a loop may be too late for that one
        assert not beginnings._waiting

"""One task at a time for each key, first come, first served."""

from __future__ import annotations

import anyio
import pytest

from acni.host.queues import Queues
from acni.testing import cancelled_at

pytestmark = pytest.mark.anyio


async def test_a_key_is_handed_over_in_order_of_arrival() -> None:
    queues = Queues[str]()
    order: list[int] = []

    async def use(number: int) -> None:
        await queues.take("a")
        order.append(number)
        await anyio.wait_all_tasks_blocked()
        queues.give_back("a")

    assert queues.try_take("a")
    async with anyio.create_task_group() as tasks:
        for number in range(4):
            tasks.start_soon(use, number)
            await anyio.wait_all_tasks_blocked()
        assert order == []
        queues.give_back("a")
    assert order == [0, 1, 2, 3]
    assert not queues


async def test_keys_do_not_wait_for_each_other() -> None:
    queues = Queues[str]()
    assert queues.try_take("a")
    assert not queues.try_take("a")
    await queues.take("b")
    assert len(queues) == 2


async def test_who_is_cancelled_with_the_key_in_hand_hands_it_on() -> None:
    queues = Queues[str]()
    _, was_cancelled = await cancelled_at(1, queues.take("a"))
    assert was_cancelled
    assert not queues
    assert queues.try_take("a")
    taken = anyio.Event()

    async def use(scope: anyio.CancelScope) -> None:
        with scope:
            await queues.take("a")
            queues.give_back("a")  # one loop or the other comes so far

    async def take() -> None:
        await queues.take("a")
        taken.set()

    async with anyio.create_task_group() as tasks:
        scope = anyio.CancelScope()
        tasks.start_soon(use, scope)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(take)
        await anyio.wait_all_tasks_blocked()
        queues.give_back("a")
        scope.cancel()
        with anyio.fail_after(5):
            await taken.wait()
    queues.give_back("a")
    assert not queues


async def test_who_is_cancelled_while_waiting_leaves_the_queue() -> None:
    queues = Queues[str]()
    assert queues.try_take("a")
    with anyio.move_on_after(0.01) as scope:
        await queues.take("a")
    assert scope.cancelled_caught
    queues.give_back("a")
    assert not queues

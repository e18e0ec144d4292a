"""A number of places: by rank, then in order of arrival."""

from __future__ import annotations

import anyio
import pytest

from acni.host.places import Places
from acni.testing import cancelled_at

pytestmark = pytest.mark.anyio


async def test_as_many_have_one_as_there_are_places_each_another_one() -> None:
    places = Places(3, ranks=1)
    assert {await places.take(0) for _ in range(3)} == {0, 1, 2}
    assert places.try_take() is None
    places.give_back(1)
    assert places.try_take() == 1


async def test_who_waits_is_let_in_by_rank_and_then_in_order_of_arrival() -> None:
    places = Places(1, ranks=3)
    order: list[tuple[int, int]] = []

    async def use(rank: int, number: int) -> None:
        place = await places.take(rank)
        order.append((rank, number))
        await anyio.wait_all_tasks_blocked()
        places.give_back(place)

    place = await places.take(0)
    async with anyio.create_task_group() as tasks:
        for number, rank in enumerate((2, 1, 2, 0, 1)):
            tasks.start_soon(use, rank, number)
            await anyio.wait_all_tasks_blocked()
        assert order == []
        places.give_back(place)
    assert order == [(0, 3), (1, 1), (1, 4), (2, 0), (2, 2)]
    assert places.try_take() == 0


async def test_a_free_place_is_taken_without_a_checkpoint() -> None:
    assert await cancelled_at(1, Places(1, ranks=1).take(0)) == (0, False)


async def test_who_is_cancelled_while_waiting_has_no_place_and_is_in_nobody_s_way() -> None:
    places = Places(1, ranks=1)
    place = await places.take(0)
    with anyio.move_on_after(0) as scope:
        await places.take(0)
    assert scope.cancelled_caught
    places.give_back(place)
    assert places.try_take() == place


async def test_who_is_cancelled_with_a_place_in_hand_hands_it_on() -> None:
    places = Places(1, ranks=1)
    place = await places.take(0)
    waiting = anyio.CancelScope()

    async def use(scope: anyio.CancelScope) -> None:
        with scope:
            places.give_back(await places.take(0))  # one loop or the other comes so far

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(use, waiting)
        await anyio.wait_all_tasks_blocked()
        places.give_back(place)
        waiting.cancel()
    assert places.try_take() == place

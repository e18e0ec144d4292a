"""One operation at a time for each container, in order of arrival."""

from __future__ import annotations

import anyio
import pytest
from acni.engine.queues import ContainerQueues

from acni import Busy
from acni.spec.names import ContainerId

C1, C2 = ContainerId("c1"), ContainerId("c2")


@pytest.mark.rule("R26", "R47")
@pytest.mark.trio
async def test_turns_come_in_order_of_arrival_and_waiting_is_bounded(
    autojump_clock: object,
) -> None:
    queues = ContainerQueues()
    order: list[int] = []
    busy: list[tuple[int, float]] = []

    async def use(number: int, wait_seconds: float) -> None:
        try:
            async with queues.turn(C1, wait_seconds):
                order.append(number)
                await anyio.sleep(10)
        except Busy:
            busy.append((number, anyio.current_time() - started))

    started = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        for number, wait in enumerate((100, 15, 5, 100)):
            tasks.start_soon(use, number, wait)
            await anyio.wait_all_tasks_blocked()
    assert order == [0, 1, 3]
    assert [number for number, _ in busy] == [2]
    assert busy[0][1] == pytest.approx(5)
    assert anyio.current_time() - started == pytest.approx(30)


@pytest.mark.anyio
async def test_containers_do_not_wait_for_each_other_and_leave_nothing() -> None:
    queues = ContainerQueues()
    async with queues.turn(C1, 1), queues.turn(C2, 1):
        pass
    async with anyio.create_task_group() as tasks, queues.turn(C1, 1):
        tasks.start_soon(give_up_waiting, queues)
        await anyio.wait_all_tasks_blocked()
        await anyio.sleep(0.05)
    assert not queues._queues


async def give_up_waiting(queues: ContainerQueues) -> None:
    with pytest.raises(Busy):
        async with queues.turn(C1, 0.01):
            pass
    with anyio.move_on_after(0.01) as scope:
        async with queues.turn(C1, 10):
            pass
    assert scope.cancelled_caught

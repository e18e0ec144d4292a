"""One operation at a time for each container, in order of arrival, whichever runtimes there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from acni import Attachment, AttachmentExists, Busy, NetnsInUse, NetworkConfig, netns, open_runtime
from acni.engine.turns import Turns
from acni.host.netns import NetnsIdentity
from acni.host.queues import Queues
from acni.spec.names import ContainerId, IfName
from acni.store.locks import open_locks
from acni.testing import ScriptedRunner, cancelled_at

C1, C2 = ContainerId("c1"), ContainerId("c2")
HERE, ETH0 = NetnsIdentity("id", "7"), IfName("eth0")


@pytest.mark.rule("R26", "R47")
@pytest.mark.trio
async def test_turns_come_in_order_of_arrival_and_waiting_is_bounded(
    autojump_clock: object,
) -> None:
    queues = Queues[ContainerId]()
    order: list[int] = []
    busy: list[tuple[int, float]] = []

    async def use(number: int, wait_seconds: float) -> None:
        try:
            async with Turns(None, wait_seconds, queues=queues).of_container(C1):
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


@pytest.fixture
def runtimes(state_dir: Path) -> Iterator[Callable[..., Turns]]:
    """Make the turns of as many runtimes as are asked for."""
    with ExitStack() as stack:
        yield lambda wait_seconds, **options: Turns(
            stack.enter_context(open_locks(state_dir)), wait_seconds, **options
        )


@pytest.mark.anyio
async def test_containers_do_not_wait_for_each_other_and_leave_nothing(runtimes: Any) -> None:
    turns = runtimes(1)
    impatient = Turns(turns.locks, 0.01, queues=turns._queues)
    async with turns.of_container(C1), turns.of_container(C2):
        pass
    async with turns.of_container(C1):
        with pytest.raises(Busy):
            async with impatient.of_container(C1):
                pass
        with anyio.move_on_after(0.01) as scope:
            async with turns.of_container(C1):
                pass
        assert scope.cancelled_caught
    assert not len(turns._queues)


@pytest.mark.anyio
async def test_a_free_container_is_had_without_a_turn_of_the_loop_and_by_nobody_who_is_cancelled(
    runtimes: Any,
) -> None:
    turns = runtimes(1)
    assert await cancelled_at(1, enter(turns, C1)) == (0, False)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await enter(turns, C1)
    assert scope.cancelled_caught
    assert not len(turns._queues)


async def enter(turns: Turns, container_id: ContainerId) -> None:
    async with turns.of_container(container_id):
        pass


@pytest.mark.rule("R26", "R58")
@pytest.mark.anyio
async def test_runtimes_wait_for_each_other_and_say_for_whom(runtimes: Any) -> None:
    one, other = runtimes(5), runtimes(0.02, describe=lambda container: f"somebody at {container}")
    order: list[str] = []

    async def use() -> None:
        async with one.of_container(C1):
            order.append("one")

    async with anyio.create_task_group() as tasks:
        async with one.of_container(C2):
            with pytest.raises(Busy, match="somebody at c2"):
                async with other.of_container(C2):
                    pass
        async with other.of_container(C1):
            tasks.start_soon(use)
            await anyio.sleep(0.05)
            order.append("other")
    assert order == ["other", "one"]


@pytest.mark.anyio
async def test_what_a_runtime_could_not_bring_to_an_end_keeps_its_container_from_others(
    runtimes: Any,
) -> None:
    is_open = {"c1"}
    one, other = runtimes(1, is_open=is_open.__contains__), runtimes(0.02)
    async with one.of_container(C1), one.of_container(C2):
        pass
    async with other.of_container(C2):
        pass
    with pytest.raises(Busy):
        async with other.of_container(C1):
            pass
    async with one.of_container(C1):
        is_open.clear()
    async with other.of_container(C1):
        pass


@pytest.mark.anyio
async def test_a_claim_that_somebody_has_is_refused(runtimes: Any) -> None:
    one, other = runtimes(5), runtimes(0.01)
    async with one.claim_record("net-a-c1-eth0", C1), one.claim_interface(HERE, ETH0, C1):
        for late in (one, other):
            with pytest.raises(AttachmentExists):
                async with late.claim_record("net-a-c1-eth0", C1):
                    pass
            with pytest.raises(NetnsInUse):
                async with late.claim_interface(HERE, ETH0, C1):
                    pass
            async with (
                late.claim_interface(HERE, IfName("eth1"), C1),
                late.claim_record("other", C1),
            ):
                pass
    async with other.claim_record("net-a-c1-eth0", C1), other.claim_interface(HERE, ETH0, C1):
        pass


@pytest.mark.anyio
async def test_what_a_runtime_could_not_bring_to_an_end_keeps_its_claims_from_others(
    runtimes: Any,
) -> None:
    is_open = {"c1"}
    one, other = runtimes(1, is_open=is_open.__contains__), runtimes(0.02)
    async with one.of_container(C1), one.claim_interface(HERE, ETH0, C1):
        pass
    with pytest.raises(NetnsInUse):
        async with other.claim_interface(HERE, ETH0, C2):
            pass
    async with one.of_container(C1), one.claim_interface(HERE, ETH0, C1):
        is_open.clear()
    async with other.claim_interface(HERE, ETH0, C2):
        pass


@pytest.mark.anyio
@pytest.mark.netns
async def test_of_two_runtimes_each_does_what_the_other_is_not_doing(
    state_dir: Path, network: NetworkConfig
) -> None:
    """Two runtimes of one process have locks of their own, as two processes do."""
    first, second = ScriptedRunner(), ScriptedRunner()

    def opened(runner: ScriptedRunner) -> Any:
        return open_runtime(state_dir=state_dir, plugin_dirs=["/plugins"], runner=runner)

    with netns.anonymous() as box:
        attachment = Attachment(container_id="c1", netns=box.path)
        async with (
            opened(first) as one,
            opened(second) as other,
            anyio.create_task_group() as tasks,
        ):
            with first.paused("third", "ADD") as reached:
                tasks.start_soon(one.add, network, attachment)
                await reached.wait()
                tasks.start_soon(other.delete, attachment.id)
                (listed,) = await other.attachments()
                assert listed.state == "adding"
                await anyio.sleep(0.05)
                assert second.calls == []
            await anyio.lowlevel.checkpoint()
        assert [str(call) for call in second.calls] == ["DEL third", "DEL second", "DEL first"]
        async with opened(first) as again:
            assert await again.attachments() == ()
    assert sorted(path.name for path in (state_dir / "acni" / "journal").iterdir()) == [
        "000",
        "000.1",
        "001",
        "001.1",
    ]

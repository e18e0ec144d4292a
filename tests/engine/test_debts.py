"""What is owed: listed, settled, given up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from acni import (
    Attachment,
    AttachmentId,
    AttachmentNotFound,
    CleanupIncomplete,
    NetworkConfig,
)
from acni.events import DebtForgotten, DebtSettled, Event
from acni.testing import Behaviour, ScriptedRunner

pytestmark = [pytest.mark.anyio, pytest.mark.netns]

C1 = AttachmentId("c1")


@pytest.fixture(params=["in its place", "aside"])
def place(request: pytest.FixtureRequest) -> str:
    """Where the debt lies: in results/, or aside because a bad file stands there."""
    where: str = request.param
    return where


async def owe(
    runtime: Any, network: NetworkConfig, attachment: Attachment, place: str, state_dir: Path
) -> Any:
    if place == "aside":
        (state_dir / "results" / "net-c1-eth0").write_bytes(b"")
    else:
        await runtime.add(network, attachment)
    with pytest.raises(CleanupIncomplete) as caught:
        await runtime.delete(attachment, network=network)
    (debt,) = await runtime.debts()
    assert debt == caught.value.debt
    return debt


async def test_a_debt_is_listed_and_settled_where_it_halted(
    place: str,
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
    state_dir: Path,
    events: list[Event],
) -> None:
    scripted.tell("second", "DEL", Behaviour.failing())
    async with opened() as runtime:
        debt = await owe(runtime, network, attachment, place, state_dir)
        scripted.calls.clear()
        with pytest.raises(CleanupIncomplete):
            await runtime.settle(debt)
        scripted.tell("second", "DEL", Behaviour())
        await runtime.settle(debt)
        assert await runtime.debts() == ()
        await runtime.settle(debt)
    assert [str(call) for call in scripted.calls] == ["DEL second", "DEL second", "DEL first"]
    assert [type(event) for event in events if isinstance(event, DebtSettled)] == [DebtSettled]
    assert list((state_dir / "results").iterdir()) == []


async def test_a_debt_is_forgotten_by_a_person_s_word_and_no_plugin_runs(
    place: str,
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
    state_dir: Path,
    events: list[Event],
) -> None:
    scripted.tell("second", "DEL", Behaviour.failing())
    async with opened() as runtime:
        debt = await owe(runtime, network, attachment, place, state_dir)
        scripted.calls.clear()
        await runtime.forget(debt, reason="node replaced")
        assert await runtime.debts() == ()
        with pytest.raises(AttachmentNotFound):
            await runtime.forget(debt, reason="again")
    assert scripted.calls == []
    told = [event for event in events if isinstance(event, DebtForgotten)]
    assert [(event.debt, event.reason) for event in told] == [(debt, "node replaced")]


async def test_what_is_attached_can_be_neither_settled_nor_forgotten(
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
    state_dir: Path,
) -> None:
    scripted.tell("second", "DEL", Behaviour.failing())
    async with opened() as runtime:
        debt = await owe(runtime, network, attachment, "in its place", state_dir)
        scripted.tell("second", "DEL", Behaviour())
        await runtime.add(network, attachment)
        scripted.calls.clear()
        await runtime.settle(debt)
        with pytest.raises(AttachmentNotFound):
            await runtime.forget(debt, reason="no")
        listed = await runtime.attachments(container_id="c1", network="net")
        assert [record.state for record in listed] == ["attached"]
        assert await runtime.attachments(container_id="c2") == ()
    assert scripted.calls == []

"""Checking an attachment: everything comes from the record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from acni import (
    Attachment,
    AttachmentId,
    AttachmentNotFound,
    CheckFailed,
    CleanupIncomplete,
    NetnsChanged,
    NetworkConfig,
    PluginTimeout,
    TryAgain,
    VersionUnsupported,
    netns,
    parse_network,
)
from acni.testing import Behaviour, Call, ScriptedRunner

pytestmark = [pytest.mark.anyio, pytest.mark.netns]

C1 = AttachmentId("c1")


@pytest.mark.rule("R19", "R20", "R35")
async def test_every_plugin_is_asked_in_order_with_the_final_result(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, attachment: Attachment
) -> None:
    """R19, R20, R35; what a plugin prints on CHECK is not read."""
    scripted.tell("first", "CHECK", Behaviour(stdout="Azure prints something here"))
    async with opened() as runtime:
        result = await runtime.add(network, attachment)
        scripted.calls.clear()
        await runtime.check(attachment)
        await runtime.check(C1, network="net")
    assert [str(call) for call in scripted.calls] == [
        "CHECK first",
        "CHECK second",
        "CHECK third",
    ] * 2
    for call in scripted.calls:
        assert call.config["prevResult"] == json.loads(result.raw)
        assert call.environment["CNI_NETNS"] == attachment.netns


@pytest.mark.rule("R20")
async def test_its_parameters_are_those_of_the_add_whatever_the_caller_says(
    opened: Any, scripted: ScriptedRunner, box: netns.Namespace
) -> None:
    network = parse_network(
        b'{"cniVersion":"1.0.0","name":"net","plugins":['
        b'{"type":"first","capabilities":{"mac":true}},{"type":"second"}]}'
    )
    attachment = Attachment(
        container_id="c1",
        netns=box.path,
        cni_args={"K": "V"},
        args={"cni": {"ips": ["x"]}},
        capability_args={"mac": "y"},
    )
    async with opened() as runtime:
        await runtime.add(network, attachment)
        await runtime.check(Attachment(container_id="c1", netns="/x", cni_args={"K": "other"}))
        await runtime.delete(Attachment(container_id="c1", netns="/x", cni_args={"K": "other"}))
    added, checked, deleted = (
        [_asked(call) for call in scripted.calls[at : at + 2]] for at in (0, 2, 4)
    )
    assert added == checked == deleted[::-1]


def _asked(call: Call) -> tuple[dict[str, str], dict[str, Any]]:
    """Return what a plugin was asked, but for the verb and the result."""
    config = {key: value for key, value in call.config.items() if key != "prevResult"}
    return {**call.environment, "CNI_COMMAND": ""}, config


@pytest.mark.rule("R58")
async def test_a_check_waits_for_its_turn_as_every_operation_does(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, attachment: Attachment
) -> None:
    other = Attachment(container_id="c1", netns=attachment.netns, ifname="eth1")
    async with opened() as runtime:
        await runtime.add(network, attachment)
        scripted.calls.clear()
        async with anyio.create_task_group() as tasks:
            with scripted.paused("second", "ADD") as reached:
                tasks.start_soon(runtime.add, network, other)
                await reached.wait()
                tasks.start_soon(runtime.check, attachment.id)
                await anyio.wait_all_tasks_blocked()
                assert [str(call) for call in scripted.calls] == ["ADD first", "ADD second"]
        with scripted.paused("second", "CHECK") as reached:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(runtime.check, attachment.id)
                await reached.wait()
                scripted.calls.clear()
                tasks.start_soon(runtime.delete, other.id)
                await anyio.wait_all_tasks_blocked()
                assert scripted.calls == []
                tasks.cancel_scope.cancel()


@pytest.mark.rule("R21", "R35")
@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        pytest.param(Behaviour.failing(7), CheckFailed, id="finds a difference"),
        pytest.param(Behaviour.failing(11), TryAgain, id="says not now"),
        pytest.param(Behaviour(seconds=60), PluginTimeout, id="hangs"),
    ],
)
async def test_a_check_halts_at_the_first_error_and_changes_nothing(
    behaviour: Behaviour,
    expected: type[Exception],
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
    state_dir: Path,
) -> None:
    scripted.tell("second", "CHECK", behaviour)
    async with opened(check=1.0 if behaviour.seconds else 60.0) as runtime:
        await runtime.add(network, attachment)
        before = (state_dir / "results" / "net-c1-eth0").read_bytes()
        scripted.calls.clear()
        with pytest.raises(expected):
            await runtime.check(C1)
    assert [str(call) for call in scripted.calls] == ["CHECK first", "CHECK second"]
    assert (state_dir / "results" / "net-c1-eth0").read_bytes() == before


@pytest.mark.rule("R18")
async def test_what_was_never_added_or_was_deleted_cannot_be_checked(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, attachment: Attachment
) -> None:
    async with opened() as runtime:
        with pytest.raises(AttachmentNotFound):
            await runtime.check(C1)
        await runtime.add(network, attachment)
        with pytest.raises(AttachmentNotFound):
            await runtime.check(C1, network="other")
        await runtime.delete(C1)
        with pytest.raises(AttachmentNotFound):
            await runtime.check(C1)
    assert all(call.command != "CHECK" for call in scripted.calls)


@pytest.mark.rule("R18")
async def test_a_debt_cannot_be_checked(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, attachment: Attachment
) -> None:
    scripted.tell("first", "DEL", Behaviour.failing())
    async with opened() as runtime:
        await runtime.add(network, attachment)
        with pytest.raises(CleanupIncomplete):
            await runtime.delete(C1)
        with pytest.raises(AttachmentNotFound, match="owed"):
            await runtime.check(C1)


@pytest.mark.rule("R2")
async def test_disabled_checks_succeed_and_run_nothing(
    opened: Any, scripted: ScriptedRunner, attachment: Attachment
) -> None:
    """R2: before the version is looked at."""
    network = parse_network(
        b'{"cniVersion":"0.3.1","name":"net","disableCheck":"true","plugins":[{"type":"first"}]}'
    )
    async with opened() as runtime:
        await runtime.add(network, attachment)
        await runtime.check(C1)
    assert [call.command for call in scripted.calls] == ["ADD"]


@pytest.mark.rule("R57")
async def test_a_version_without_check_is_refused(
    opened: Any, scripted: ScriptedRunner, attachment: Attachment
) -> None:
    network = parse_network(b'{"cniVersion":"0.3.1","name":"net","plugins":[{"type":"first"}]}')
    async with opened() as runtime:
        await runtime.add(network, attachment)
        with pytest.raises(VersionUnsupported):
            await runtime.check(C1)
    assert [call.command for call in scripted.calls] == ["ADD"]


@pytest.mark.rule("R20")
async def test_another_namespace_behind_the_path_is_a_typed_error(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, clean_host: None
) -> None:
    async with opened() as runtime:
        with netns.create("box") as box:
            await runtime.add(network, Attachment(container_id="c1", netns=box.path))
        with pytest.raises(NetnsChanged):
            await runtime.check(C1)
        with netns.create("box"), pytest.raises(NetnsChanged):
            await runtime.check(C1)
    assert all(call.command == "ADD" for call in scripted.calls)

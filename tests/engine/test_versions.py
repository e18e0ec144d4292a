"""Where a configuration offers more than one version, its plugins decide (R9)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from acni import (
    Attachment,
    AttachmentId,
    CleanupIncomplete,
    NetworkConfig,
    PluginKilled,
    PluginProtocolError,
    PluginTimeout,
    Runtime,
    VersionUnsupported,
    netns,
    parse_network,
)
from acni.events import Event, PluginFinished
from acni.testing import Behaviour, ScriptedRunner

pytestmark = [pytest.mark.anyio, pytest.mark.netns]

Read = Callable[[str], dict[str, Any]]

OFFERING = b"""{"cniVersion":"0.4.0","cniVersions":["1.0.0","1.1.0"],"name":"net",
    "plugins":[{"type":"first"},{"type":"second"}]}"""


def supporting(*versions: str) -> Behaviour:
    return Behaviour(stdout=json.dumps({"cniVersion": "1.1.0", "supportedVersions": versions}))


def said(scripted: ScriptedRunner) -> list[str]:
    return [f"{call} {call.config['cniVersion']}" for call in scripted.calls]


@pytest.fixture
def offering() -> NetworkConfig:
    return parse_network(OFFERING)


@pytest.mark.rule("R9")
async def test_the_highest_version_that_all_plugins_support_is_used_and_recorded(
    opened: Any,
    scripted: ScriptedRunner,
    offering: NetworkConfig,
    attachment: Attachment,
    read: Read,
) -> None:
    scripted.tell("second", "VERSION", supporting("0.4.0", "1.0.0"))
    async with opened() as runtime:
        result = await runtime.add(offering, attachment)
        config = json.loads(base64.b64decode(read("net-c1-eth0")["config"]))
        await runtime.delete(attachment.id)
    assert result.cni_version == "1.0.0"
    assert config["cniVersion"] == "1.0.0"
    assert "cniVersions" not in config
    assert said(scripted) == [
        "VERSION first 1.1.0",
        "VERSION second 1.1.0",
        "ADD first 1.0.0",
        "ADD second 1.0.0",
        "DEL second 1.0.0",
        "DEL first 1.0.0",
    ]


@pytest.mark.rule("R9")
async def test_a_plugin_is_asked_once_for_as_long_as_it_is_the_same(
    opened: Any, scripted: ScriptedRunner, offering: NetworkConfig, box: netns.Namespace
) -> None:
    async with opened() as runtime:
        for number in range(3):
            named = Attachment(container_id="c1", netns=box.path, ifname=f"eth{number}")
            await runtime.add(offering, named)
        asked = [str(call) for call in scripted.calls if call.command == "VERSION"]
        assert asked == ["VERSION first", "VERSION second"]
        scripted.calls.clear()
        scripted.tell("first", "VERSION", supporting("0.4.0"))
        named = Attachment(container_id="c1", netns=box.path, ifname="eth3")
        assert (await runtime.add(offering, named)).cni_version == "0.4.0"
        assert str(scripted.calls[0]) == "VERSION first"
        assert [call.command for call in scripted.calls].count("VERSION") == 1


async def test_of_many_that_begin_at_once_one_asks(
    opened: Any, scripted: ScriptedRunner, offering: NetworkConfig, box: netns.Namespace
) -> None:
    async with opened() as runtime, anyio.create_task_group() as tasks:
        with scripted.paused("first", "VERSION") as reached:
            for number in range(10):
                named = Attachment(container_id=f"c{number}", netns=box.path, ifname=f"e{number}")
                tasks.start_soon(runtime.add, offering, named)
            await reached.wait()
            await anyio.wait_all_tasks_blocked()
    commands = [call.command for call in scripted.calls]
    assert commands.count("VERSION") == 2
    assert commands.count("ADD") == 20


async def test_a_single_version_asks_nobody(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, attachment: Attachment
) -> None:
    scripted.tell("first", "VERSION", supporting("0.1.0"))
    async with opened() as runtime:
        await runtime.add(network, attachment)
    assert [call.command for call in scripted.calls] == ["ADD"] * 3


@pytest.mark.rule("R9")
async def test_no_version_in_common_runs_nothing_and_says_who_supports_what(
    opened: Any, scripted: ScriptedRunner, offering: NetworkConfig, attachment: Attachment
) -> None:
    scripted.tell("first", "VERSION", supporting("1.1.0"))
    scripted.tell("second", "VERSION", supporting("0.3.1", "1.0.0"))
    async with opened() as runtime:
        with pytest.raises(VersionUnsupported):
            await runtime.status(offering)
        with pytest.raises(VersionUnsupported) as caught:
            await runtime.add(offering, attachment)
        validation = await runtime.validate(offering)
        assert await runtime.attachments() == ()
    assert caught.value.message == (
        "the network offers 0.4.0, 1.0.0, 1.1.0; supported are, "
        "of first: 1.1.0; second: 0.3.1, 1.0.0"
    )
    (failure,) = validation.failures
    assert (failure.message, failure.plugin) == (caught.value.message, None)
    assert validation.cni_version is None
    assert {call.command for call in scripted.calls} == {"VERSION"}


@pytest.mark.rule("R9")
async def test_validate_tells_which_version_an_add_would_run_in(
    opened: Any, scripted: ScriptedRunner, offering: NetworkConfig
) -> None:
    scripted.tell("second", "VERSION", supporting("0.4.0"))
    async with opened() as runtime:
        assert (await runtime.validate(offering)).cni_version == "0.4.0"


@pytest.mark.rule("R57")
async def test_status_runs_only_in_a_version_that_has_it(
    opened: Any, scripted: ScriptedRunner, offering: NetworkConfig
) -> None:
    async with opened() as runtime:
        await runtime.status(offering)
        assert "STATUS first 1.1.0" in said(scripted)
        scripted.calls.clear()
        scripted.tell("second", "VERSION", supporting("1.0.0"))
        await runtime.status(offering)
    assert said(scripted) == ["VERSION second 1.1.0"]


async def test_an_answer_that_is_none_decides_nothing_and_fails_the_validation(
    opened: Any, scripted: ScriptedRunner, offering: NetworkConfig, attachment: Attachment
) -> None:
    scripted.tell("first", "VERSION", supporting("0.4.0", "1.0.0"))
    scripted.tell("second", "VERSION", Behaviour(status=1, stdout="usage: second ADD|DEL"))
    async with opened() as runtime:
        assert (await runtime.add(offering, attachment)).cni_version == "1.0.0"
        await runtime.delete(attachment.id)
        await runtime.add(offering, attachment)
        assert [call.command for call in scripted.calls].count("VERSION") == 2
        validation = await runtime.validate(offering)
    (failure,) = validation.failures
    assert validation.cni_version == "1.0.0"
    assert isinstance(failure, PluginProtocolError)
    assert failure.plugin == "second"


async def test_waiting_for_an_answer_has_a_bound(
    opened: Any, scripted: ScriptedRunner, offering: NetworkConfig, box: netns.Namespace
) -> None:
    """A plugin that hangs on VERSION holds up each ADD for one answer's time, not one after
    another.
    """
    scripted.tell("first", "VERSION", Behaviour(seconds=60))
    failures: list[Exception] = []

    async def add(runtime: Runtime, number: int) -> None:
        try:
            named = Attachment(container_id=f"c{number}", netns=box.path, ifname=f"e{number}")
            await runtime.add(offering, named)
        except PluginTimeout as error:
            failures.append(error)

    async with opened(version=0.4) as runtime:
        with anyio.fail_after(30):  # each for itself would take 40 s
            async with anyio.create_task_group() as tasks:
                for number in range(100):
                    tasks.start_soon(add, runtime, number)
    assert len(failures) == 100
    assert {call.command for call in scripted.calls} == {"VERSION"}


async def test_a_delete_that_no_record_knows_is_negotiated_too(
    opened: Any, scripted: ScriptedRunner, offering: NetworkConfig, attachment: Attachment
) -> None:
    scripted.tell("second", "VERSION", supporting("0.4.0", "1.0.0"))
    async with opened() as runtime:
        await runtime.delete(attachment, network=offering)
    assert said(scripted)[-2:] == ["DEL second 1.0.0", "DEL first 1.0.0"]


async def test_what_hinders_the_answer_hinders_no_delete(
    opened: Any,
    scripted: ScriptedRunner,
    offering: NetworkConfig,
    attachment: Attachment,
    read: Read,
) -> None:
    scripted.remove("first")
    async with opened() as runtime:
        with pytest.raises(CleanupIncomplete):
            await runtime.delete(attachment, network=offering)
        assert [debt.plugin for debt in await runtime.debts()] == ["first"]
    assert said(scripted) == ["DEL second 0.4.0"]
    config = json.loads(base64.b64decode(read("net-c1-eth0")["config"]))
    assert config["cniVersion"] == "0.4.0"


async def test_a_record_of_another_writer_is_deleted_in_the_highest_version_it_offers(
    opened: Any,
    scripted: ScriptedRunner,
    offering: NetworkConfig,
    attachment: Attachment,
    state_dir: Any,
) -> None:
    """That is what libcni runs; nobody is asked."""
    scripted.tell("first", "VERSION", supporting("0.4.0"))
    record = {
        "kind": "cniCacheV1",
        "containerId": "c1",
        "config": base64.b64encode(OFFERING).decode(),
        "ifName": "eth0",
        "networkName": "net",
        "netns": attachment.netns,
        "result": {"cniVersion": "1.1.0", "ips": [{"address": "10.0.0.2/24"}]},
    }
    async with opened() as runtime:
        (state_dir / "results" / "net-c1-eth0").write_text(json.dumps(record))
        await runtime.check(AttachmentId("c1"))
        await runtime.delete(AttachmentId("c1"))
    assert said(scripted) == [
        "CHECK first 1.1.0",
        "CHECK second 1.1.0",
        "DEL second 1.1.0",
        "DEL first 1.1.0",
    ]


async def test_a_plugin_that_was_killed_while_it_answered_is_asked_again(
    opened: Any,
    scripted: ScriptedRunner,
    offering: NetworkConfig,
    attachment: Attachment,
    events: list[Event],
) -> None:
    """Being killed says nothing of what it supports."""
    scripted.tell("second", "VERSION", Behaviour(signal=9))
    async with opened() as runtime:
        with pytest.raises(PluginKilled) as caught:
            await runtime.add(offering, attachment)
        assert (caught.value.verb, caught.value.plugin) == ("add", "second")
        scripted._behaviours["second", "VERSION"] = supporting("1.0.0")  # the same executable
        assert (await runtime.add(offering, attachment)).cni_version == "1.0.0"
    asked = [e for e in events if isinstance(e, PluginFinished) and e.command == "VERSION"]
    assert [(e.plugin, e.error) for e in asked] == [
        ("first", None),
        ("second", "PluginKilled"),
        ("second", None),
    ]


@pytest.mark.rule("R26", "R47")
async def test_an_operation_keeps_its_place_while_plugins_are_asked(
    opened: Any, scripted: ScriptedRunner, offering: NetworkConfig, attachment: Attachment
) -> None:
    async with opened() as runtime, anyio.create_task_group() as tasks:
        with scripted.paused("first", "VERSION") as reached:
            tasks.start_soon(runtime.add, offering, attachment)
            await reached.wait()
            tasks.start_soon(runtime.delete, attachment.id)
            await anyio.wait_all_tasks_blocked()
    commands = [call.command for call in scripted.calls if call.command != "VERSION"]
    assert commands == ["ADD", "ADD", "DEL", "DEL"]
    assert scripted.held == set()


async def test_status_asks_nobody_where_no_version_on_offer_has_it(
    opened: Any, scripted: ScriptedRunner
) -> None:
    network = parse_network(OFFERING.replace(b',"1.1.0"', b""))
    assert network.versions == ("0.4.0", "1.0.0")
    scripted.remove("second")
    async with opened() as runtime:
        await runtime.status(network)
    assert scripted.calls == []


@pytest.mark.rule("R17", "R19")
async def test_a_record_of_another_writer_runs_in_the_version_of_its_result(
    opened: Any, scripted: ScriptedRunner, attachment: Attachment, state_dir: Any
) -> None:
    """libcni 1.1 does not know cniVersions, so it ran cniVersion."""
    record = {
        "kind": "cniCacheV1",
        "containerId": "c1",
        "config": base64.b64encode(OFFERING).decode(),
        "ifName": "eth0",
        "networkName": "net",
        "netns": attachment.netns,
        "result": {"cniVersion": "0.4.0", "ips": [{"version": "4", "address": "10.0.0.2/24"}]},
    }
    async with opened() as runtime:
        (state_dir / "results" / "net-c1-eth0").write_text(json.dumps(record))
        await runtime.check(AttachmentId("c1"))
        await runtime.delete(AttachmentId("c1"))
    assert {line.split()[-1] for line in said(scripted)} == {"0.4.0"}

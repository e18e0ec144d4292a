"""Adding an attachment: the whole way, and every way out of it."""

from __future__ import annotations

import base64
import errno
import json
import logging
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import evolve

from acni import (
    AcniError,
    Attachment,
    AttachmentExists,
    AttachmentId,
    Busy,
    CleanupIncomplete,
    HostChanged,
    InvalidName,
    NetnsInUse,
    NetworkConfig,
    PluginFailed,
    PluginKilled,
    PluginNotFound,
    PluginOverflow,
    PluginProtocolError,
    PluginTimeout,
    Result,
    StoreError,
    TryAgain,
    netns,
    parse_network,
)
from acni.events import (
    DebtRecorded,
    DebtSettled,
    Event,
    OperationFinished,
    PluginFinished,
    RollbackFinished,
)
from acni.spec.plugin import Caps, Plugin, Request, Response, Times
from acni.testing import Behaviour, ScriptedRunner

pytestmark = [pytest.mark.anyio, pytest.mark.netns]

Read = Callable[[str], dict[str, Any]]


def make_network(name: str) -> NetworkConfig:
    document = {"cniVersion": "1.0.0", "name": name, "plugins": [{"type": "first"}]}
    return parse_network(json.dumps(document).encode())


def said(runner: ScriptedRunner) -> list[str]:
    return [str(call) for call in runner.calls]


DELETES = ["DEL third", "DEL second", "DEL first"]


@pytest.mark.rule("R32", "R39")
async def test_a_chain_runs_in_order_and_each_gets_its_predecessors_result(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, attachment: Attachment
) -> None:
    scripted.tell("second", "ADD", Behaviour(stdout='{"cniVersion":"1.0.0","x":1e2}'))
    async with opened() as runtime:
        result = await runtime.add(network, attachment)
    assert said(scripted) == ["ADD first", "ADD second", "ADD third"]
    first, second, third = scripted.calls
    assert "prevResult" not in first.config
    assert second.config["prevResult"]["ips"][0]["address"] == "192.0.2.7/24"
    assert b'"prevResult":{"cniVersion":"1.0.0","x":1e2}' in third.stdin
    assert result.cni_version == "1.0.0"


@pytest.mark.parametrize("version", ["0.2.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])
async def test_a_container_on_two_networks_has_a_result_of_each(
    version: str, opened: Any, scripted: ScriptedRunner, box: netns.Namespace, state_dir: Path
) -> None:
    added: list[Result] = []
    async with opened() as runtime:
        for ifname, kind in (("eth0", "first"), ("eth1", "second")):
            address = f"192.0.2.{len(added)}/24"
            members = {"ip4": {"ip": address}} if version == "0.2.0" else _listed(ifname, address)
            printed = json.dumps({"cniVersion": version, **members})
            scripted.tell(kind, "ADD", Behaviour(stdout=printed))
            chain = {"cniVersion": version, "name": f"on-{kind}", "plugins": [{"type": kind}]}
            attachment = Attachment(container_id="c1", netns=box.path, ifname=ifname)
            added.append(await runtime.add(parse_network(json.dumps(chain).encode()), attachment))
        listed = await runtime.attachments(container_id="c1")
        if version >= "0.4.0":
            for ifname in ("eth0", "eth1"):
                await runtime.check(AttachmentId("c1", ifname))
        for ifname in ("eth0", "eth1"):
            await runtime.delete(AttachmentId("c1", ifname))
    assert [ip.address for result in added for ip in result.ips] == ["192.0.2.0/24", "192.0.2.1/24"]
    names = [interface.name for result in added for interface in result.interfaces]
    assert names == ([] if version == "0.2.0" else ["eth0", "eth1"])
    assert [row.addresses for row in listed] == [("192.0.2.0/24",), ("192.0.2.1/24",)]
    verbs = ["ADD", "CHECK", "DEL"] if version >= "0.4.0" else ["ADD", "DEL"]
    assert [
        (call.command, call.plugin, call.environment["CNI_IFNAME"]) for call in scripted.calls
    ] == [(verb, *one) for verb in verbs for one in (("first", "eth0"), ("second", "eth1"))]
    assert list((state_dir / "results").iterdir()) == []


def _listed(ifname: str, address: str) -> dict[str, object]:
    ip = {"version": "4", "address": address, "interface": 0}
    return {"interfaces": [{"name": ifname, "sandbox": "/n"}], "ips": [ip]}


@pytest.mark.rule("R33")
async def test_the_record_is_libcnis_with_one_key_more(
    opened: Any, network: NetworkConfig, box: netns.Namespace, read: Read, state_dir: Path
) -> None:
    attachment = Attachment(
        container_id="c1",
        netns=box.path,
        cni_args={"K": "V"},
        capability_args={"mac": "0a:00:00:00:00:01"},
    )
    async with opened() as runtime:
        result = await runtime.add(network, attachment)
    record = read("net-c1-eth0")
    ours = record.pop("acni")
    config = json.loads(base64.b64decode(record.pop("config")))
    assert config["plugins"] == [{"type": "first"}, {"type": "second"}, {"type": "third"}]
    assert config["loadOnlyInlinedPlugins"] is True
    assert record == {
        "kind": "cniCacheV1",
        "containerId": "c1",
        "ifName": "eth0",
        "networkName": "net",
        "netns": box.path,
        "cniArgs": [["K", "V"]],
        "capabilityArgs": {"mac": "0a:00:00:00:00:01"},
        "result": json.loads(result.raw),
    }
    assert ours["format"] == 1
    assert ours["state"] == "attached"
    assert len(ours["operation"]) == 32
    assert ours["netns"] == {"kind": box.identity().kind, "id": box.identity().id}
    assert [plugin["runner"] for plugin in ours["plugins"]] == ["scripted"] * 3
    assert (state_dir / "acni" / "FORMAT").read_text() == "1\n"
    assert list((state_dir / "acni" / "spare" / "000").iterdir()) == []
    assert (state_dir / "results" / "net-c1-eth0").stat().st_mode & 0o777 == 0o600


@pytest.mark.rule("R32")
async def test_every_executable_is_looked_for_before_anything_runs(
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
    state_dir: Path,
) -> None:
    scripted.remove("third")
    async with opened() as runtime:
        with pytest.raises(PluginNotFound) as caught:
            await runtime.add(network, attachment)
    assert caught.value.plugin == "third"
    assert caught.value.container_id == "c1"
    assert scripted.calls == []
    assert list((state_dir / "results").iterdir()) == []


@pytest.mark.rule("R28", "R32", "R44", "R46")
@pytest.mark.parametrize("failing", ["first", "second", "third"])
@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        pytest.param(Behaviour.failing(7, "no"), PluginFailed, id="fails"),
        pytest.param(Behaviour.failing(3, "who?"), PluginFailed, id="R44 knows no container"),
        pytest.param(Behaviour.failing(11, "later"), TryAgain, id="says later"),
        pytest.param(Behaviour(stdout="rubbish"), PluginProtocolError, id="prints rubbish"),
        pytest.param(Behaviour(stdout=""), PluginProtocolError, id="prints nothing"),
        pytest.param(Behaviour(signal=signal.SIGKILL), PluginKilled, id="is killed"),
        pytest.param(Behaviour(seconds=60), PluginTimeout, id="hangs"),
        pytest.param(Behaviour(stdout="x" * (1 << 21)), PluginOverflow, id="floods"),
    ],
)
async def test_a_failure_undoes_the_whole_chain_in_reverse(
    failing: str,
    behaviour: Behaviour,
    expected: type[AcniError],
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
    state_dir: Path,
) -> None:
    """R44, R46: plugins that never ran are deleted too, whatever the code says of one of them."""
    scripted.tell(failing, "ADD", behaviour)
    async with opened(add=1.0 if behaviour.seconds else 60.0) as runtime:
        with pytest.raises(expected) as caught:
            await runtime.add(network, attachment)
    assert caught.value.plugin == failing
    assert said(scripted)[-3:] == DELETES
    assert caught.value.rollback is not None
    assert caught.value.rollback.deleted == ("third", "second", "first")
    assert caught.value.debt is None
    assert scripted.held == set()
    assert list((state_dir / "results").iterdir()) == []


@pytest.mark.rule("R28", "R46")
async def test_the_undo_gets_the_last_good_result(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, attachment: Attachment
) -> None:
    scripted.tell("first", "ADD", Behaviour(stdout='{"cniVersion":"1.0.0","of":"first"}'))
    scripted.tell("second", "ADD", Behaviour.failing())
    async with opened() as runtime:
        with pytest.raises(PluginFailed):
            await runtime.add(network, attachment)
    deletes = [call for call in scripted.calls if call.command == "DEL"]
    assert [call.config["prevResult"]["of"] for call in deletes] == ["first"] * 3
    assert {call.environment["CNI_NETNS"] for call in deletes} == {attachment.netns}


@pytest.mark.rule("R28", "R33")
async def test_a_record_that_cannot_be_written_is_a_failed_add(
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
    state_dir: Path,
) -> None:
    caught: list[StoreError] = []

    async def add() -> None:
        with pytest.raises(StoreError) as error:
            await runtime.add(network, attachment)
        caught.append(error.value)

    async with opened() as runtime, anyio.create_task_group() as tasks:
        with scripted.paused("third", "ADD") as reached:
            tasks.start_soon(add)
            await reached.wait()
            (state_dir / "results" / "net-c1-eth0").mkdir()
    assert said(scripted)[3:] == DELETES
    assert caught[0].rollback is not None
    assert scripted.held == set()


def refuse_after_adds(
    monkeypatch: pytest.MonkeyPatch, function: str, scripted: ScriptedRunner
) -> None:
    """Let a disk refuse a call that names the record, between the last ADD and the first DEL."""
    real = getattr(os, function)
    name = "net-c1-eth0"

    def refusing(*arguments: Any, **options: Any) -> Any:
        if name in arguments and len(scripted.calls) == 3:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), name)
        return real(*arguments, **options)

    monkeypatch.setattr(os, function, refusing)


async def test_where_no_record_may_be_yet_the_undo_asks_for_none(
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scripted.tell("third", "ADD", Behaviour.failing())
    async with opened() as runtime:
        with monkeypatch.context() as patched:
            refuse_after_adds(patched, "open", scripted)
            with pytest.raises(PluginFailed) as caught:
                await runtime.add(network, attachment)
    assert said(scripted)[3:] == DELETES
    assert caught.value.debt is None
    assert scripted.held == set()


async def test_where_the_record_cannot_be_retired_nothing_is_undone_and_all_of_it_is_owed(
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with opened() as runtime:
        with monkeypatch.context() as patched:
            refuse_after_adds(patched, "rename", scripted)
            refuse_after_adds(patched, "open", scripted)
            with pytest.raises(StoreError) as caught:
                await runtime.add(network, attachment)
        assert caught.value.debt is not None
        assert len(scripted.held) == 3
        assert said(scripted)[3:] == []
        await runtime.settle(caught.value.debt)
    assert said(scripted)[3:] == DELETES
    assert scripted.held == set()


async def test_without_a_file_for_the_record_no_plugin_runs(
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
    state_dir: Path,
) -> None:
    async with opened() as runtime:
        shutil.rmtree(state_dir / "acni" / "spare" / "000")
        (state_dir / "acni" / "spare" / "000").touch()
        with pytest.raises(StoreError, match="cannot be opened as a state directory"):
            await runtime.add(network, attachment)
    assert said(scripted) == []


@pytest.mark.rule("R28")
async def test_what_the_undo_cannot_delete_is_owed_and_the_first_error_stays(
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
    read: Read,
    events: list[Event],
) -> None:
    scripted.tell("third", "ADD", Behaviour.failing(7, "the first error"))
    scripted.tell("second", "DEL", Behaviour.failing(5, "the undo's"))
    async with opened() as runtime:
        with pytest.raises(PluginFailed) as caught:
            await runtime.add(network, attachment)
    assert caught.value.msg == "the first error"
    assert caught.value.debt is not None
    assert caught.value.debt.plugin == "second"
    assert "the undo" in "".join(caught.value.__notes__)
    ours = read("net-c1-eth0")["acni"]
    assert (ours["state"], ours["next"], ours["origin"], ours["attempts"]) == ("debt", 1, "add", 1)
    config = json.loads(base64.b64decode(read("net-c1-eth0")["config"]))
    assert [plugin["type"] for plugin in config["plugins"]] == ["first", "second"]
    assert [type(e) for e in events if isinstance(e, DebtRecorded)] == [DebtRecorded]
    assert scripted.held == {"first/c1/eth0", "second/c1/eth0"}


@pytest.mark.rule("R15", "R28")
async def test_an_add_over_a_debt_resumes_it_first(
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
    events: list[Event],
) -> None:
    scripted.tell("third", "ADD", Behaviour.failing())
    scripted.tell("second", "DEL", Behaviour.failing())
    async with opened() as runtime:
        with pytest.raises(PluginFailed):
            await runtime.add(network, attachment)
        scripted.calls.clear()
        with pytest.raises(CleanupIncomplete) as caught:
            await runtime.add(network, attachment)
        assert said(scripted) == ["DEL second"]
        assert caught.value.debt is not None
        scripted.calls.clear()
        scripted.tell("third", "ADD", Behaviour())
        scripted.tell("second", "DEL", Behaviour())
        await runtime.add(network, attachment)
    assert said(scripted) == ["DEL second", "DEL first", "ADD first", "ADD second", "ADD third"]
    assert any(isinstance(event, DebtSettled) for event in events)


@pytest.mark.rule("R15")
async def test_a_second_add_is_refused_and_runs_nothing(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, attachment: Attachment
) -> None:
    """R15: identity is container and interface, over all networks."""
    other = parse_network(b'{"cniVersion":"1.0.0","name":"other","plugins":[{"type":"first"}]}')
    async with opened() as runtime:
        await runtime.add(network, attachment)
        scripted.calls.clear()
        for again in (network, other):
            with pytest.raises(AttachmentExists):
                await runtime.add(again, attachment)
    assert scripted.calls == []


async def test_two_attachments_with_one_file_name_are_not_mixed_up(
    opened: Any, scripted: ScriptedRunner, box: netns.Namespace, state_dir: Path
) -> None:
    one = parse_network(b'{"cniVersion":"1.0.0","name":"a-b","plugins":[{"type":"first"}]}')
    other = parse_network(b'{"cniVersion":"1.0.0","name":"a","plugins":[{"type":"first"}]}')
    async with opened() as runtime:
        await runtime.add(one, Attachment(container_id="c", netns=box.path))
        with netns.anonymous() as another, pytest.raises(AttachmentExists, match="file"):
            await runtime.add(other, Attachment(container_id="b-c", netns=another.path))
        with pytest.raises(AttachmentExists, match="file"):
            await runtime.delete(AttachmentId("b-c"), network=other)
    assert said(scripted) == ["ADD first"]
    assert [path.name for path in (state_dir / "results").iterdir()] == ["a-b-c-eth0"]


async def test_an_interface_that_another_container_holds_is_refused(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, attachment: Attachment
) -> None:
    async with opened() as runtime:
        await runtime.add(network, attachment)
        scripted.calls.clear()
        with pytest.raises(NetnsInUse, match="c1"):
            await runtime.add(network, Attachment(container_id="c2", netns=attachment.netns))
        assert scripted.calls == []
        await runtime.add(
            network, Attachment(container_id="c2", netns=attachment.netns, ifname="eth1")
        )


async def test_of_two_containers_that_claim_an_interface_at_once_one_is_refused(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, attachment: Attachment
) -> None:
    refused: list[str] = []

    async def add(container_id: str) -> None:
        try:
            await runtime.add(
                network, Attachment(container_id=container_id, netns=attachment.netns)
            )
        except NetnsInUse:
            refused.append(container_id)

    async with opened() as runtime, anyio.create_task_group() as tasks:
        with scripted.paused("first", "ADD") as reached:
            tasks.start_soon(add, "c1")
            await reached.wait()
            await add("c2")
    assert refused == ["c2"]
    assert [call.command for call in scripted.calls] == ["ADD"] * 3


async def test_of_two_attachments_that_claim_a_file_name_at_once_one_is_refused(
    opened: Any, scripted: ScriptedRunner, box: netns.Namespace, state_dir: Path
) -> None:
    one = parse_network(b'{"cniVersion":"1.0.0","name":"a-b","plugins":[{"type":"first"}]}')
    other = parse_network(b'{"cniVersion":"1.0.0","name":"a","plugins":[{"type":"first"}]}')
    with netns.anonymous() as another:
        async with (
            opened() as runtime,
            anyio.create_task_group() as tasks,
        ):
            with scripted.paused("first", "ADD") as reached:
                tasks.start_soon(runtime.add, one, Attachment(container_id="c", netns=box.path))
                await reached.wait()
                colliding = Attachment(container_id="b-c", netns=another.path)
                with pytest.raises(AttachmentExists, match="just being given"):
                    await runtime.add(other, colliding)
                with pytest.raises(AttachmentExists, match="just being given"):
                    await runtime.delete(colliding, network=other)
    assert scripted.held == {"first/c/eth0"}
    assert [path.name for path in (state_dir / "results").iterdir()] == ["a-b-c-eth0"]


async def test_a_delete_by_the_callers_word_leaves_an_interface_that_is_being_made(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, attachment: Attachment
) -> None:
    stranger = Attachment(container_id="c2", netns=attachment.netns)
    async with opened() as runtime, anyio.create_task_group() as tasks:
        with scripted.paused("first", "ADD") as reached:
            tasks.start_soon(runtime.add, network, attachment)
            await reached.wait()
            await runtime.delete(stranger, network=make_network("other"))
    deletes = [call for call in scripted.calls if call.command == "DEL"]
    assert {call.environment["CNI_NETNS"] for call in deletes} == {""}


async def test_an_interface_that_a_record_of_libcnis_holds_is_refused(
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
    state_dir: Path,
) -> None:
    adjusting = Attachment(container_id="c2", netns=attachment.netns, existing="adjust")
    async with opened() as runtime:
        await runtime.add(network, attachment)
        path = state_dir / "results" / "net-c1-eth0"
        record = json.loads(path.read_text())
        del record["acni"]
        path.write_text(json.dumps(record))
        scripted.calls.clear()
        with pytest.raises(NetnsInUse, match="c1"):
            await runtime.add(network, adjusting)
        assert scripted.calls == []
        await runtime.delete(adjusting, network=make_network("other"))
    assert {call.environment["CNI_NETNS"] for call in scripted.calls} == {""}


async def test_an_interface_that_merely_exists_is_refused(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, box: netns.Namespace
) -> None:
    # lo exists in every namespace; renamed, it is an interface somebody made.
    netns.run(box, ["ip", "link", "set", "lo", "name", "eth0"], timeout=10)
    attachment = Attachment(container_id="c1", netns=box.path)
    adjusting = Attachment(container_id="c1", netns=box.path, existing="adjust")
    async with opened() as runtime:
        with pytest.raises(NetnsInUse, match="exists"):
            await runtime.add(network, attachment)
        assert scripted.calls == []
        await runtime.add(network, adjusting)


@pytest.mark.parametrize("ifname", ["lo", "eth0"])
async def test_an_undo_keeps_plugins_from_an_interface_that_was_there(
    ifname: str,
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    box: netns.Namespace,
    read: Read,
) -> None:
    if ifname == "eth0":
        netns.run(box, ["ip", "link", "set", "lo", "name", "eth0"], timeout=10)
    scripted.tell("second", "ADD", Behaviour.failing())
    scripted.tell("first", "DEL", Behaviour.failing())
    attachment = Attachment(container_id="c1", netns=box.path, ifname=ifname, existing="adjust")
    async with opened() as runtime:
        with pytest.raises(PluginFailed):
            await runtime.add(network, attachment)
        with pytest.raises(CleanupIncomplete):
            await runtime.delete(attachment.id)
    deletes = [call for call in scripted.calls if call.command == "DEL"]
    assert {call.environment["CNI_NETNS"] for call in deletes} == {""}
    assert read(f"net-c1-{ifname}")["netns"] == ""


@pytest.mark.rule("R25")
async def test_a_namespace_that_is_none_is_refused_before_anything_runs(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, tmp_path: Path
) -> None:
    regular = tmp_path / "file"
    regular.touch()
    wrong = [
        "/nowhere",
        str(regular),
        str(tmp_path),
        "/dev/null",
        "/proc/self/ns/mnt",
        "/proc/self/ns/net",
    ]
    async with opened() as runtime:
        for path in wrong:
            with pytest.raises(InvalidName) as caught:
                await runtime.add(network, Attachment(container_id="c1", netns=path))
            assert caught.value.place == "netns"
            assert path in str(caught.value)
    assert scripted.calls == []


async def test_a_record_of_another_host_of_this_boot_is_left_alone(
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
    state_dir: Path,
) -> None:
    async with opened() as runtime:
        await runtime.add(network, attachment)
        path = state_dir / "results" / "net-c1-eth0"
        record = json.loads(path.read_text())
        record["acni"]["host_netns"]["id"] = "1"
        path.write_text(json.dumps(record))
        scripted.calls.clear()
        with pytest.raises(HostChanged):
            await runtime.add(network, attachment)
        with pytest.raises(HostChanged):
            await runtime.delete(attachment.id)
        with pytest.raises(HostChanged):
            await runtime.check(attachment.id)
    assert scripted.calls == []


async def test_what_an_earlier_boot_left_is_deleted_first_without_namespace_and_result(
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
    state_dir: Path,
) -> None:
    async with opened() as runtime:
        await runtime.add(network, attachment)
        path = state_dir / "results" / "net-c1-eth0"
        record = json.loads(path.read_text())
        record["acni"]["boot"] = "another"
        path.write_text(json.dumps(record))
        scripted.calls.clear()
        await runtime.add(network, attachment)
    assert said(scripted) == [*DELETES, "ADD first", "ADD second", "ADD third"]
    for call in scripted.calls[:3]:
        assert call.environment["CNI_NETNS"] == ""
        assert "prevResult" not in call.config


@pytest.mark.rule("R26", "R47")
async def test_operations_on_one_container_take_turns_in_order_of_arrival(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, box: netns.Namespace
) -> None:
    """R26, R47: over all of the container's networks and interfaces."""
    order: list[str] = []

    async def add(ifname: str) -> None:
        await runtime.add(network, Attachment(container_id="c1", netns=box.path, ifname=ifname))
        order.append(ifname)

    names = [f"eth{number}" for number in range(5)]
    async with opened() as runtime, anyio.create_task_group() as tasks:
        with scripted.paused("first", "ADD") as reached:
            for name in names:
                tasks.start_soon(add, name)
                await reached.wait()
                await anyio.wait_all_tasks_blocked()
    assert order == names
    assert said(scripted) == ["ADD first", "ADD second", "ADD third"] * 5


@pytest.mark.rule("R26")
async def test_a_container_that_stays_busy_is_a_typed_error(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, attachment: Attachment
) -> None:
    scripted.tell("first", "ADD", Behaviour(seconds=30))
    async with opened(wait=0.1) as runtime, anyio.create_task_group() as tasks:
        tasks.start_soon(runtime.add, network, attachment)
        await anyio.wait_all_tasks_blocked()  # its turn is taken before anything else
        with pytest.raises(Busy) as caught:
            await runtime.delete(attachment.id)
        assert caught.value.retryable
        tasks.cancel_scope.cancel()


@pytest.mark.rule("R52")
async def test_args_reach_every_plugin_and_the_record(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, box: netns.Namespace, read: Read
) -> None:
    labels = {"cni": {"labels": [{"key": "app", "value": "web"}]}}
    async with opened() as runtime:
        await runtime.add(network, Attachment(container_id="c1", netns=box.path, args=labels))
        config = json.loads(base64.b64decode(read("net-c1-eth0")["config"]))
        await runtime.delete(AttachmentId("c1"))
    assert all(call.config["args"] == labels for call in scripted.calls)
    assert all(plugin["args"] == labels for plugin in config["plugins"])


@pytest.mark.rule("R63")
async def test_args_and_cni_args_can_be_given_together(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, box: netns.Namespace
) -> None:
    attachment = Attachment(
        container_id="c1", netns=box.path, cni_args={"A": "1"}, args={"cni": {"ips": ["x"]}}
    )
    async with opened() as runtime:
        await runtime.add(network, attachment)
        await runtime.check(attachment.id)
        await runtime.delete(attachment.id)
    assert len(scripted.calls) == 9
    for call in scripted.calls:
        assert call.environment["CNI_ARGS"] == "A=1"
        assert call.config["args"] == {"cni": {"ips": ["x"]}}


async def test_no_event_shows_what_a_plugin_printed_besides_its_error_object(
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
    events: list[Event],
    read: Read,
) -> None:
    scripted.tell("second", "DEL", Behaviour(status=1, stdout="key=s3cret", stderr="key=s3cret"))
    async with opened() as runtime:
        await runtime.add(network, attachment)
        with pytest.raises(CleanupIncomplete):
            await runtime.delete(attachment.id)
    assert "s3cret" not in "".join(map(str, events))
    assert read("net-c1-eth0")["acni"]["cause"] == "PluginProtocolError second"


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO])
async def test_what_a_plugin_writes_aside_is_in_its_event_and_in_the_log_for_debugging_only(
    level: int,
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
    events: list[Event],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(level, "acni.engine")
    scripted.tell("second", "ADD", Behaviour(stderr="key=s3cret\x1b[2J"))
    async with opened() as runtime:
        await runtime.add(network, attachment)
    finished = [event for event in events if isinstance(event, PluginFinished)]
    assert [event.stderr for event in finished] == ["", "key=s3cret\x1b[2J", ""]
    assert "s3cret" not in str(events)
    # asyncio tells of whatever was slow.
    ours = (record for record in caplog.records if record.name.startswith("acni"))
    logged = [record.getMessage() for record in ours]
    assert logged == (["ADD second wrote: key=s3cret\\x1b[2J"] if level == logging.DEBUG else [])


async def test_events_tell_the_story(
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
    events: list[Event],
) -> None:
    scripted.tell("third", "ADD", Behaviour.failing())
    async with opened() as runtime:
        with pytest.raises(PluginFailed) as caught:
            await runtime.add(network, attachment)
    finished = [event for event in events if isinstance(event, PluginFinished)]
    assert [(e.command, e.plugin, e.error) for e in finished] == [
        ("ADD", "first", None),
        ("ADD", "second", None),
        ("ADD", "third", "PluginFailed"),
        ("DEL", "third", None),
        ("DEL", "second", None),
        ("DEL", "first", None),
    ]
    assert [event for event in events if isinstance(event, RollbackFinished)] == [
        caught.value.rollback
    ]
    last = events[-1]
    assert isinstance(last, OperationFinished)
    assert last.error == "PluginFailed"
    assert all((event.verb, event.container_id) == ("add", "c1") for event in events)


@pytest.mark.rule("R57")
async def test_of_an_older_version_no_result_is_sent_with_the_undo(
    opened: Any, scripted: ScriptedRunner, attachment: Attachment
) -> None:
    network = parse_network(
        b'{"cniVersion":"0.3.1","name":"net","plugins":[{"type":"first"},{"type":"second"}]}'
    )
    scripted.tell("second", "ADD", Behaviour.failing())
    async with opened() as runtime:
        with pytest.raises(PluginFailed):
            await runtime.add(network, attachment)
    deletes = [call for call in scripted.calls if call.command == "DEL"]
    assert all("prevResult" not in call.config for call in deletes)


async def test_what_one_plugin_waits_for_its_start_is_charged_to_none(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, attachment: Attachment
) -> None:
    deadlines: list[float] = []

    class Queueing(ScriptedRunner):
        async def run(
            self,
            plugin: Plugin,
            request: Request,
            *,
            deadline: float,
            caps: Caps,
            guard: int | None = None,
        ) -> Response:
            deadlines.append(deadline)
            response = await scripted.run(plugin, request, deadline=deadline, caps=caps)
            return evolve(response, times=Times(queue=100.0))

    async with opened() as runtime:
        evolved = evolve(runtime._engine, runner=Queueing())
        runtime._engine = evolved
        await runtime.add(network, attachment)
    first, second, third = deadlines
    # Of the loop's clock, which goes on meanwhile, while the machine may stand still.
    assert (second - first, third - second) == pytest.approx((100.0, 100.0), abs=30)

"""Deleting an attachment: from the record, halting, resuming."""

from __future__ import annotations

import base64
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from acni import (
    Attachment,
    AttachmentId,
    AttachmentNotFound,
    CleanupIncomplete,
    NetnsInUse,
    NetworkConfig,
    PluginFailed,
    PluginNotFound,
    StoreError,
    netns,
    parse_network,
)
from acni.events import Event, RecordQuarantined
from acni.testing import Behaviour, ScriptedRunner

pytestmark = [pytest.mark.anyio, pytest.mark.netns]

Read = Callable[[str], dict[str, Any]]
C1 = AttachmentId("c1")


def said(runner: ScriptedRunner) -> list[str]:
    return [str(call) for call in runner.calls]


@pytest.mark.rule("R17", "R29", "R48")
async def test_a_delete_uses_what_the_record_holds_not_what_is_configured_now(
    opened: Any, scripted: ScriptedRunner, box: netns.Namespace, state_dir: Path
) -> None:
    network = parse_network(
        b'{"cniVersion":"1.0.0","name":"net","plugins":['
        b'{"type":"first","capabilities":{"mac":true},"of":"then"},{"type":"second"}]}'
    )
    changed = parse_network(b'{"cniVersion":"1.0.0","name":"net","plugins":[{"type":"third"}]}')
    attachment = Attachment(
        container_id="c1", netns=box.path, cni_args={"K": "V"}, capability_args={"mac": "x"}
    )
    async with opened() as runtime:
        result = await runtime.add(network, attachment)
        scripted.calls.clear()
        await runtime.delete(C1, network=changed)
    assert said(scripted) == ["DEL second", "DEL first"]
    second, first = scripted.calls
    assert first.config["of"] == "then"
    assert first.config["runtimeConfig"] == {"mac": "x"}
    assert "runtimeConfig" not in second.config
    for call in scripted.calls:
        assert call.environment["CNI_ARGS"] == "K=V"
        assert call.environment["CNI_NETNS"] == box.path
        assert call.config["prevResult"] == json.loads(result.raw)
    assert list((state_dir / "results").iterdir()) == []


@pytest.mark.rule("R17", "R29", "R34", "R48")
async def test_a_delete_halts_at_the_plugin_that_fails_and_resumes_there(
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
    read: Read,
    state_dir: Path,
) -> None:
    """R34; what already let go is not asked again."""
    scripted.tell("second", "DEL", Behaviour.failing(5, "not now"))
    async with opened() as runtime:
        result = await runtime.add(network, attachment)
        scripted.calls.clear()
        with pytest.raises(CleanupIncomplete):
            await runtime.delete(C1)
        assert read("net-c1-eth0")["acni"]["attempts"] == 1
        with pytest.raises(CleanupIncomplete) as caught:
            await runtime.delete(C1)
        assert read("net-c1-eth0")["acni"]["attempts"] == 2
        assert isinstance(caught.value.__cause__, PluginFailed)
        assert caught.value.debt is not None
        assert caught.value.debt.plugin == "second"
        assert "not now" in caught.value.debt.cause
        assert read("net-c1-eth0")["acni"]["origin"] == "delete"
        scripted.tell("second", "DEL", Behaviour())
        await runtime.delete(C1)
    assert said(scripted) == ["DEL third", "DEL second", "DEL second", "DEL second", "DEL first"]
    assert scripted.calls[-1].config["prevResult"] == json.loads(result.raw)
    assert list((state_dir / "results").iterdir()) == []


@pytest.mark.rule("R34")
async def test_a_delete_halts_at_a_plugin_that_is_missing(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, attachment: Attachment
) -> None:
    async with opened() as runtime:
        await runtime.add(network, attachment)
        scripted.calls.clear()
        scripted.remove("second")
        with pytest.raises(CleanupIncomplete) as caught:
            await runtime.delete(C1)
    assert isinstance(caught.value.__cause__, PluginNotFound)
    assert caught.value.plugin == "second"
    assert caught.value.debt is not None
    assert said(scripted) == ["DEL third"]


async def test_a_delete_out_of_time_is_owed(
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
    read: Read,
) -> None:
    scripted.tell("third", "DEL", Behaviour(seconds=60))
    async with opened(delete=1.0) as runtime:
        await runtime.add(network, attachment)
        with pytest.raises(CleanupIncomplete, match="ran out of time"):
            await runtime.delete(C1)
    assert read("net-c1-eth0")["acni"]["next"] == 2


async def test_a_cancelled_delete_is_owed(
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
    read: Read,
) -> None:
    scripted.tell("second", "DEL", Behaviour(seconds=60))
    async with opened() as runtime:
        await runtime.add(network, attachment)
        with anyio.move_on_after(0.1) as scope:
            await runtime.delete(C1)
        assert scope.cancelled_caught
        assert read("net-c1-eth0")["acni"]["next"] == 1
        scripted.tell("second", "DEL", Behaviour())
        await runtime.delete(C1)
    assert scripted.held == set()


async def test_a_debt_that_cannot_be_recorded_stays_open_in_the_journal(
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
    state_dir: Path,
) -> None:
    scripted.tell("third", "DEL", Behaviour.failing())
    async with opened() as runtime:
        await runtime.add(network, attachment)

        caught: list[CleanupIncomplete] = []

        async def delete() -> None:
            with pytest.raises(CleanupIncomplete, match="recorded as owed") as error:
                await runtime.delete(C1)
            caught.append(error.value)

        async with anyio.create_task_group() as tasks:
            with scripted.paused("third", "DEL") as reached:
                tasks.start_soon(delete)
                await reached.wait()
                (state_dir / "results" / "net-c1-eth0").unlink()
                (state_dir / "results" / "net-c1-eth0").mkdir()
        assert caught[0].debt is not None
        assert "could not be recorded" in str(getattr(caught[0].__cause__, "__notes__", ()))
    async with opened() as runtime:
        (owed,) = await runtime.debts()
        assert (owed.container_id, owed.plugin) == ("c1", "third")
        scripted.tell("third", "DEL", Behaviour())
        await runtime.settle(owed)
    assert scripted.held == set()


async def test_nothing_more_is_deleted_until_what_let_go_can_be_noted(
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A plugin that let go may hold something for somebody else by the time it is asked again: the
    journal says how far a delete came before another plugin is asked.
    """
    write = os.pwrite

    def full(fd: int, data: bytes, offset: int) -> int:
        if said(scripted)[-1].startswith("DEL"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(fd, data, offset)

    async with opened() as runtime:
        await runtime.add(network, attachment)
        with monkeypatch.context() as patched:
            patched.setattr(os, "pwrite", full)
            with pytest.raises(CleanupIncomplete) as caught:
                await runtime.delete(C1)
            assert caught.value.debt is not None
            with pytest.raises(StoreError):
                await runtime.settle(caught.value.debt)
        assert said(scripted)[3:] == ["DEL third"]
        await runtime.settle(caught.value.debt)
    assert said(scripted)[3:] == ["DEL third", "DEL second", "DEL first"]
    assert scripted.held == set()


async def test_what_no_record_knows_is_not_found(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig
) -> None:
    async with opened() as runtime:
        with pytest.raises(AttachmentNotFound):
            await runtime.delete(C1)
        with pytest.raises(AttachmentNotFound):
            await runtime.delete(C1, network="net")
    assert scripted.calls == []


async def test_what_no_record_knows_is_deleted_with_the_callers_word(
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
    state_dir: Path,
) -> None:
    async with opened() as runtime:
        await runtime.delete(attachment, network=network)
        await runtime.delete(C1, network=network)
    assert said(scripted) == ["DEL third", "DEL second", "DEL first"] * 2
    paths = [call.environment["CNI_NETNS"] for call in scripted.calls]
    assert paths == [attachment.netns] * 3 + [""] * 3
    assert all("prevResult" not in call.config for call in scripted.calls)
    assert list((state_dir / "results").iterdir()) == []


async def test_a_delete_by_the_callers_word_that_fails_is_owed(
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
    read: Read,
) -> None:
    scripted.tell("third", "DEL", Behaviour.failing())
    async with opened() as runtime:
        with pytest.raises(CleanupIncomplete):
            await runtime.delete(attachment, network=network)
    assert read("net-c1-eth0")["acni"]["origin"] == "caller"


async def test_the_callers_word_passes_no_namespace_in_which_another_holds_the_interface(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, attachment: Attachment
) -> None:
    async with opened() as runtime:
        await runtime.add(network, attachment)
        scripted.calls.clear()
        stranger = Attachment(container_id="c2", netns=attachment.netns)
        await runtime.delete(stranger, network=network)
    assert {call.environment["CNI_NETNS"] for call in scripted.calls} == {""}


async def test_an_attachment_of_another_network_is_not_touched(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, attachment: Attachment
) -> None:
    other = parse_network(b'{"cniVersion":"1.0.0","name":"other","plugins":[{"type":"first"}]}')
    async with opened() as runtime:
        await runtime.add(network, attachment)
        scripted.calls.clear()
        with pytest.raises(AttachmentNotFound, match="attached to network net"):
            await runtime.delete(attachment, network=other)
    assert scripted.calls == []


async def test_a_namespace_that_is_gone_or_another_is_never_passed(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, clean_host: None
) -> None:
    async with opened() as runtime:
        with netns.create("box") as box:
            await runtime.add(network, Attachment(container_id="c1", netns=box.path))
        with netns.create("box") as box:
            await runtime.add(network, Attachment(container_id="c2", netns=box.path))
        scripted.calls.clear()
        await runtime.delete(AttachmentId("c1"))
        with netns.create("box"):
            await runtime.delete(AttachmentId("c2"))
    assert len(scripted.calls) == 6
    assert {call.environment["CNI_NETNS"] for call in scripted.calls} == {""}
    assert all("prevResult" in call.config for call in scripted.calls)


@pytest.mark.rule("R47")
async def test_of_two_networks_the_one_that_was_attached_last_is_deleted_first(
    opened: Any, scripted: ScriptedRunner, attachment: Attachment, state_dir: Path, read: Read
) -> None:
    """Only another writer puts one interface on two networks; its records may sort either way."""
    async with opened() as runtime:
        await runtime.add(make("net"), attachment)
        record = read("net-c1-eth0")
        for network, kind, sequence in (("a", "second", -1), ("z", "third", 1)):
            chain = {"cniVersion": "1.0.0", "name": network, "plugins": [{"type": kind}]}
            document = record | {
                "networkName": network,
                "config": base64.b64encode(json.dumps(chain).encode()).decode(),
                "acni": record["acni"] | {"sequence": record["acni"]["sequence"] + sequence},
            }
            (state_dir / "results" / f"{network}-c1-eth0").write_text(json.dumps(document))
        scripted.calls.clear()
        await runtime.delete(C1)
    assert said(scripted) == ["DEL third", "DEL first", "DEL second"]
    assert list((state_dir / "results").iterdir()) == []


BAD = {
    "empty": b"",
    "NULs": b"\0\0\0",
    "half": b'{"kind":"cniCacheV1","containerId":"c1","conf',
    "another kind": b'{"kind":"x"}',
}


@pytest.mark.parametrize("bad", BAD)
async def test_a_file_that_is_no_record_stops_no_delete_that_has_a_configuration(
    bad: str,
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
    state_dir: Path,
    events: list[Event],
) -> None:
    async with opened() as runtime:
        path = state_dir / "results" / "net-c1-eth0"
        path.write_bytes(BAD[bad])
        for name in (None, "net"):
            with pytest.raises(StoreError, match="results/net-c1-eth0"):
                await runtime.delete(C1, network=name)
        with pytest.raises(StoreError, match="results/net-c1-eth0"):
            await runtime.check(C1)
        assert path.read_bytes() == BAD[bad]
        assert scripted.calls == []
        await runtime.delete(attachment, network=network)
    assert said(scripted) == ["DEL third", "DEL second", "DEL first"]
    assert not path.exists()
    (kept,) = (state_dir / "acni" / "quarantine").iterdir()
    assert kept.read_bytes() == BAD[bad]
    told = [event for event in events if isinstance(event, RecordQuarantined)]
    assert [event.name for event in told] == ["net-c1-eth0"]


async def test_a_debt_whose_place_a_bad_file_takes_is_kept_aside_and_resumed(
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
    state_dir: Path,
) -> None:
    scripted.tell("second", "DEL", Behaviour.failing())
    path = state_dir / "results" / "net-c1-eth0"
    async with opened() as runtime:
        path.write_bytes(b"")
        with pytest.raises(CleanupIncomplete):
            await runtime.delete(attachment, network=network)
        assert path.read_bytes() == b""
        assert len(list((state_dir / "acni" / "debts").iterdir())) == 1
        scripted.calls.clear()
        scripted.tell("second", "DEL", Behaviour())
        await runtime.delete(C1)
    assert said(scripted) == ["DEL second", "DEL first"]
    assert not path.exists()
    assert list((state_dir / "acni" / "debts").iterdir()) == []


def make(name: str) -> NetworkConfig:
    document = {"cniVersion": "1.0.0", "name": name, "plugins": [{"type": "first"}]}
    return parse_network(json.dumps(document).encode())


async def test_debts_of_two_attachments_with_one_file_name_are_kept_apart(
    opened: Any, scripted: ScriptedRunner, state_dir: Path
) -> None:
    scripted.tell("first", "DEL", Behaviour.failing())
    one, other = AttachmentId("a-b"), AttachmentId("b")
    async with opened() as runtime:
        (state_dir / "results" / "n-a-b-eth0").write_bytes(b"")
        for identity, network in ((one, make("n")), (other, make("n-a"))):
            with pytest.raises(CleanupIncomplete):
                await runtime.delete(identity, network=network)
        assert {debt.container_id for debt in await runtime.debts()} == {"a-b", "b"}
        scripted.tell("first", "DEL", Behaviour())
        await runtime.delete(other)
        assert {debt.container_id for debt in await runtime.debts()} == {"a-b"}


async def test_a_record_that_took_a_bad_file_s_place_is_left_where_it_is(
    opened: Any, scripted: ScriptedRunner, attachment: Attachment, state_dir: Path
) -> None:
    scripted.tell("first", "DEL", Behaviour.failing())
    path = state_dir / "results" / "n-a-b-eth0"
    async with opened() as runtime:
        path.write_bytes(b"")
        with pytest.raises(CleanupIncomplete):
            await runtime.delete(AttachmentId("a-b"), network=make("n"))
        path.unlink()
        await runtime.add(make("n-a"), Attachment(container_id="b", netns=attachment.netns))
        scripted.tell("first", "DEL", Behaviour())
        await runtime.delete(AttachmentId("a-b"))
        assert path.exists()
        await runtime.delete(AttachmentId("b"))
    assert scripted.held == set()


async def test_a_debt_aside_holds_its_interface(
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
    state_dir: Path,
) -> None:
    scripted.tell("third", "DEL", Behaviour.failing())
    async with opened() as runtime:
        (state_dir / "results" / "net-c1-eth0").write_bytes(b"")
        with pytest.raises(CleanupIncomplete):
            await runtime.delete(attachment, network=network)
        (state_dir / "acni" / "debts" / "rubbish").write_bytes(b"")
        with pytest.raises(NetnsInUse, match="c1"):
            await runtime.add(network, Attachment(container_id="c2", netns=attachment.netns))
        assert len(await runtime.debts()) == 1


async def test_a_record_of_libcnis_without_a_namespace_gets_the_callers_only_if_it_is_free(
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
    state_dir: Path,
) -> None:
    async with opened() as runtime:
        await runtime.add(network, attachment)
        record = json.loads((state_dir / "results" / "net-c1-eth0").read_text())
        del record["acni"]
        record |= {"containerId": "c2", "netns": ""}
        (state_dir / "results" / "net-c2-eth0").write_text(json.dumps(record))
        scripted.calls.clear()
        await runtime.delete(Attachment(container_id="c2", netns=attachment.netns))
    assert {call.environment["CNI_NETNS"] for call in scripted.calls} == {""}


async def test_an_add_over_a_debt_of_another_network_keeps_a_bad_file_too(
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
    state_dir: Path,
) -> None:
    scripted.tell("first", "DEL", Behaviour.failing())
    async with opened() as runtime:
        with pytest.raises(CleanupIncomplete):
            await runtime.delete(attachment, network=make("other"))
        (state_dir / "results" / "net-c1-eth0").write_bytes(b"rubbish")
        scripted.tell("first", "DEL", Behaviour())
        await runtime.add(network, attachment)
    (kept,) = (state_dir / "acni" / "quarantine").iterdir()
    assert kept.read_bytes() == b"rubbish"


async def test_an_add_over_a_file_that_is_no_record_deletes_first(
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
    state_dir: Path,
) -> None:
    async with opened() as runtime:
        (state_dir / "results" / "net-c1-eth0").write_bytes(b"")
        await runtime.add(network, attachment)
    assert said(scripted)[:3] == ["DEL third", "DEL second", "DEL first"]
    assert len(list((state_dir / "acni" / "quarantine").iterdir())) == 1


async def test_a_bare_result_as_libcni_once_wrote_it_is_the_result(
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
    state_dir: Path,
) -> None:
    bare = '{"cniVersion":"1.0.0","ips":[{"address":"192.0.2.9/24"}]}'
    async with opened() as runtime:
        (state_dir / "results" / "net-c1-eth0").write_text(bare)
        await runtime.delete(attachment, network=network)
    assert {call.config["prevResult"]["ips"][0]["address"] for call in scripted.calls} == {
        "192.0.2.9/24"
    }
    assert list((state_dir / "results").iterdir()) == []
    assert list((state_dir / "acni" / "quarantine").iterdir()) == []


async def test_what_another_writer_recorded_of_a_container_is_found_and_deleted_as_recorded(
    opened: Any, scripted: ScriptedRunner, state_dir: Path
) -> None:
    """Nothing but the container's ID is known, and no network of these names is configured."""
    async with opened() as runtime:
        for network, ifname, kind in (("a", "eth0", "first"), ("b", "eth1", "second")):
            config = {"cniVersion": "0.4.0", "name": network, "type": kind, "of": network}
            record = {
                "kind": "cniCacheV1",
                "containerId": "c1",
                "config": base64.b64encode(json.dumps(config).encode()).decode(),
                "ifName": ifname,
                "networkName": network,
                "result": {"cniVersion": "0.4.0"},
            }
            path = state_dir / "results" / f"{network}-c1-{ifname}"
            path.write_text(json.dumps(record))
        for row in await runtime.attachments(container_id="c1"):
            await runtime.delete(AttachmentId(row.container_id, row.ifname))
    assert [
        (str(call), call.environment["CNI_IFNAME"], call.config["name"], call.config["of"])
        for call in scripted.calls
    ] == [("DEL first", "eth0", "a", "a"), ("DEL second", "eth1", "b", "b")]
    assert list((state_dir / "results").iterdir()) == []


async def test_a_record_of_libcnis_is_deleted_and_its_debt_is_ours(
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
    state_dir: Path,
    read: Read,
) -> None:
    async with opened() as runtime:
        await runtime.add(network, attachment)
        path = state_dir / "results" / "net-c1-eth0"
        record = json.loads(path.read_text())
        del record["acni"]
        path.write_text(json.dumps(record))
        scripted.calls.clear()
        scripted.tell("second", "DEL", Behaviour.failing())
        with pytest.raises(CleanupIncomplete):
            await runtime.delete(C1)
        assert read("net-c1-eth0")["acni"]["next"] == 1
        scripted.tell("second", "DEL", Behaviour())
        await runtime.delete(C1)
    assert {call.environment["CNI_NETNS"] for call in scripted.calls} == {attachment.netns}
    assert scripted.held == set()

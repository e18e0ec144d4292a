"""What libcni tests and no other test of acni proves; ``docs/peer-tests.toml`` names each."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from acni import (
    AcniError,
    Attachment,
    AttachmentId,
    AttachmentNotFound,
    CleanupIncomplete,
    GCReport,
    InvalidName,
    NetworkConfig,
    NetworkNotFound,
    PluginFailed,
    PluginNotFound,
    PluginTimeout,
    Runtime,
    StoreError,
    Timeouts,
    netns,
    open_runtime,
    parse_network,
)
from acni.host.configurations import load_network
from acni.spec.names import parse_plugin_type
from acni.testing import Behaviour, ScriptedRunner
from tests.libcni.conftest import Judge

pytestmark = [pytest.mark.anyio, pytest.mark.netns]

CHAIN = ("first", "second", "third")
C1 = AttachmentId("c1")


def make_network(version: str = "1.0.0", **members: object) -> NetworkConfig:
    document = {"cniVersion": version, "name": "net", "plugins": [{"type": t} for t in CHAIN]}
    return parse_network(json.dumps(document | members).encode())


@pytest.fixture
def attachment() -> Iterator[Attachment]:
    with netns.anonymous() as box:
        yield Attachment(container_id="c1", netns=box.path)


@pytest.fixture
async def runtime(state_dir: Path, scripted: ScriptedRunner) -> AsyncIterator[Runtime]:
    async with open_runtime(
        state_dir=state_dir, plugin_dirs=["/plugins"], runner=scripted
    ) as opened:
        yield opened


def said(runner: ScriptedRunner) -> list[str]:
    return [str(call) for call in runner.calls]


@pytest.fixture
def record(state_dir: Path) -> Callable[..., None]:
    """Change members of the record of c1."""

    def change(**members: object) -> None:
        path = state_dir / "results" / "net-c1-eth0"
        path.write_text(json.dumps(json.loads(path.read_text()) | members))

    return change


async def test_a_state_directory_whose_results_are_a_file_is_refused(
    state_dir: Path, scripted: ScriptedRunner
) -> None:
    """libcni runs the plugins first."""
    state_dir.mkdir(mode=0o700)
    (state_dir / "results").write_text("")
    with pytest.raises(StoreError, match="state directory"):
        async with open_runtime(state_dir=state_dir, plugin_dirs=["/plugins"], runner=scripted):
            pytest.fail("it was opened")
    assert scripted.calls == []


async def test_results_that_become_a_file_undo_an_add(
    runtime: Runtime, scripted: ScriptedRunner, attachment: Attachment, state_dir: Path
) -> None:
    """libcni undoes nothing."""
    (state_dir / "results").rmdir()
    (state_dir / "results").write_text("")
    with pytest.raises(StoreError):
        await runtime.add(make_network(), attachment)
    assert scripted.held == set()


async def test_a_check_names_the_plugin_that_is_missing(
    runtime: Runtime, scripted: ScriptedRunner, attachment: Attachment
) -> None:
    await runtime.add(make_network(), attachment)
    scripted.calls.clear()
    scripted.remove("second")
    with pytest.raises(PluginNotFound) as caught:
        await runtime.check(C1)
    assert (caught.value.plugin, caught.value.verb) == ("second", "check")
    assert said(scripted) == ["CHECK first"]


@pytest.mark.rule("R13")
@pytest.mark.parametrize("verb", ["ADD", "CHECK", "DEL", "STATUS", "GC"])
async def test_what_a_plugin_says_is_what_the_caller_reads(
    verb: str, runtime: Runtime, scripted: ScriptedRunner, attachment: Attachment
) -> None:
    network = make_network("1.1.0")
    operations: dict[str, Callable[[], Awaitable[object]]] = {
        "ADD": lambda: runtime.add(network, attachment),
        "CHECK": lambda: runtime.check(C1),
        "DEL": lambda: runtime.delete(C1),
        "STATUS": lambda: runtime.status(network),
        "GC": lambda: runtime.gc(network, keep=[C1]),
    }
    if verb != "ADD":
        await runtime.add(network, attachment)
    scripted.tell("second", verb, Behaviour.failing(107, "the cable is out"))
    try:
        report = await operations[verb]()
    except CleanupIncomplete as error:
        failure: object = error.__cause__
    except AcniError as error:
        failure = error
    else:
        assert isinstance(report, GCReport)
        (failure,) = report.failures
    assert isinstance(failure, PluginFailed)
    assert (failure.plugin, failure.code, failure.msg) == ("second", 107, "the cable is out")
    assert "the cable is out" in str(failure)


async def test_a_request_has_a_configurations_keys_and_no_records(
    runtime: Runtime, scripted: ScriptedRunner, attachment: Attachment
) -> None:
    result = await runtime.add(make_network(), attachment)
    await runtime.check(C1)
    await runtime.delete(C1)
    later = [call.config for call in scripted.calls[3:]]
    assert [config.pop("type") for config in later] == [*CHAIN, *CHAIN[::-1]]
    expected = {"cniVersion": "1.0.0", "name": "net", "prevResult": json.loads(result.raw)}
    assert later == [expected] * 6


UNUSABLE = [
    pytest.param("rubbish", id="text"),
    pytest.param({"cniVersion": "99.0.0"}, id="a version that nobody knows"),
    pytest.param({"cniVersion": "1.0.0", "ips": "rubbish"}, id="addresses that are none"),
]


@pytest.mark.parametrize("result", UNUSABLE)
async def test_a_check_does_not_send_a_recorded_result_that_is_none(
    result: object,
    runtime: Runtime,
    scripted: ScriptedRunner,
    attachment: Attachment,
    record: Callable[..., None],
) -> None:
    await runtime.add(make_network(), attachment)
    record(result=result)
    with pytest.raises(StoreError, match="net-c1-eth0"):
        await runtime.check(C1)
    assert said(scripted) == [f"ADD {name}" for name in CHAIN]


@pytest.mark.parametrize("result", UNUSABLE)
async def test_a_delete_goes_on_without_a_recorded_result_that_is_none(
    result: object,
    runtime: Runtime,
    scripted: ScriptedRunner,
    attachment: Attachment,
    record: Callable[..., None],
) -> None:
    network = make_network()
    await runtime.add(network, attachment)
    record(result=result)
    scripted.calls.clear()
    await runtime.delete(attachment, network=network)
    assert said(scripted) == [f"DEL {name}" for name in CHAIN[::-1]]
    assert not any("prevResult" in call.config for call in scripted.calls)


@pytest.mark.rule("R42")
async def test_a_recorded_result_of_the_same_shape_is_sent_in_the_selected_version(
    runtime: Runtime,
    scripted: ScriptedRunner,
    attachment: Attachment,
    record: Callable[..., None],
) -> None:
    """libcni records what the last plugin printed, and converts when it sends it."""
    await runtime.add(make_network("0.4.0"), attachment)
    ips = [{"version": "4", "address": "192.0.2.7/24"}]
    record(result={"cniVersion": "0.3.1", "ips": ips})
    await runtime.check(C1)
    await runtime.delete(C1)
    sent = [call.config["prevResult"] for call in scripted.calls[3:]]
    assert sent == [{"cniVersion": "0.4.0", "ips": ips}] * 6


@pytest.mark.rule("R29")
async def test_a_delete_can_be_repeated(
    runtime: Runtime, scripted: ScriptedRunner, attachment: Attachment
) -> None:
    """Without a configuration there is nothing that could be asked again, and that is said."""
    network = make_network()
    await runtime.add(network, attachment)
    await runtime.delete(attachment, network=network)
    scripted.calls.clear()
    await runtime.delete(attachment, network=network)
    assert said(scripted) == [f"DEL {name}" for name in CHAIN[::-1]]
    with pytest.raises(AttachmentNotFound):
        await runtime.delete(attachment)


@pytest.mark.rule("R57")
@pytest.mark.parametrize("version", ["0.1.0", "0.2.0", "0.3.0", "0.3.1"])
async def test_before_0_4_0_a_delete_sends_no_result(
    version: str, runtime: Runtime, scripted: ScriptedRunner, attachment: Attachment
) -> None:
    await runtime.add(make_network(version), attachment)
    await runtime.delete(C1)
    assert not any("prevResult" in call.config for call in scripted.calls[3:])


async def test_a_plugin_that_prints_a_result_on_del_succeeds(
    runtime: Runtime, scripted: ScriptedRunner, attachment: Attachment
) -> None:
    """Plugins of the 0.1.0 library do, and their results name no version."""
    printed = '{"ip4": {"ip": "192.0.2.7/24"}, "dns": {}}'
    for verb in ("ADD", "DEL"):
        scripted.tell("first", verb, Behaviour(stdout=printed))
    network = parse_network(b'{"name": "net", "plugins": [{"type": "first"}]}')
    result = await runtime.add(network, attachment)
    assert [ip.address for ip in result.ips] == ["192.0.2.7/24"]
    assert json.loads(result.raw)["cniVersion"] == "0.1.0"
    await runtime.delete(C1)
    assert scripted.held == set()


@pytest.mark.rule("R17", "R19", "R34", "R35")
@pytest.mark.parametrize("verb", ["check", "delete"])
async def test_the_first_plugin_gets_the_final_result(
    verb: str, runtime: Runtime, scripted: ScriptedRunner, attachment: Attachment
) -> None:
    final = '{"cniVersion": "1.0.0", "ips": [{"address": "192.0.2.8/24"}], "dns": {"domain": "x"}}'
    scripted.tell("third", "ADD", Behaviour(stdout=final))
    await runtime.add(make_network(), attachment)
    await getattr(runtime, verb)(C1)
    assert {call.plugin for call in scripted.calls[3:]} == set(CHAIN)
    assert all(call.config["prevResult"] == json.loads(final) for call in scripted.calls[3:])


async def test_one_container_may_have_two_interfaces_on_a_network(
    runtime: Runtime, scripted: ScriptedRunner, attachment: Attachment, state_dir: Path
) -> None:
    for number, ifname in enumerate(("eth0", "eth1")):
        address = f"192.0.2.{number}/24"
        printed = {"cniVersion": "1.0.0", "ips": [{"address": address}]}
        scripted.tell("third", "ADD", Behaviour(stdout=json.dumps(printed)))
        other = Attachment(container_id="c1", netns=attachment.netns, ifname=ifname)
        await runtime.add(make_network(), other)
        document = json.loads((state_dir / "results" / f"net-c1-{ifname}").read_text())
        assert document["kind"] == "cniCacheV1"
        names = (document["containerId"], document["networkName"], document["ifName"])
        assert names == ("c1", "net", ifname)
        assert document["result"]["ips"][0]["address"] == address
    await runtime.delete(AttachmentId("c1", "eth0"))
    assert [path.name for path in (state_dir / "results").iterdir()] == ["net-c1-eth1"]


@pytest.mark.parametrize("verb", ["ADD", "CHECK"])
async def test_a_plugin_that_sleeps_is_out_of_time(
    verb: str, state_dir: Path, scripted: ScriptedRunner, attachment: Attachment
) -> None:
    scripted.tell("second", verb, Behaviour(seconds=60))
    async with open_runtime(
        state_dir=state_dir,
        plugin_dirs=["/plugins"],
        runner=scripted,
        timeouts=Timeouts(add=1.0, check=1.0),
    ) as runtime:
        if verb == "CHECK":
            await runtime.add(make_network(), attachment)
        operation = (
            runtime.check(C1) if verb == "CHECK" else runtime.add(make_network(), attachment)
        )
        with pytest.raises(PluginTimeout) as caught:
            await operation
    assert caught.value.plugin == "second"


async def test_a_bare_result_cannot_be_checked(
    runtime: Runtime, scripted: ScriptedRunner, state_dir: Path
) -> None:
    """It has no configuration, no namespace and no arguments; a caller's are not the ADD's."""
    path = state_dir / "results" / "net-c1-eth0"
    path.write_text('{"cniVersion": "1.0.0", "ips": [{"address": "192.0.2.9/24"}]}')
    with pytest.raises(StoreError, match="is no record"):
        await runtime.check(C1)
    assert path.exists()
    assert scripted.calls == []


def test_a_directory_in_the_configuration_directory_is_not_searched(tmp_path: Path) -> None:
    text = json.dumps({"cniVersion": "1.0.0", "name": "net", "plugins": [{"type": "first"}]})
    for folder in ("inner", "net"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "10-net.conflist").write_text(text)
    with pytest.raises(NetworkNotFound):
        load_network(tmp_path, "net")


@pytest.mark.parametrize("has_folder", [True, False], ids=["an empty folder", "no folder"])
def test_a_list_needs_no_drop_ins(has_folder: bool, tmp_path: Path) -> None:
    text = json.dumps({"cniVersion": "1.0.0", "name": "net", "plugins": [{"type": "first"}]})
    (tmp_path / "10-net.conflist").write_text(text)
    if has_folder:
        (tmp_path / "net").mkdir()
    assert [plugin.type for plugin in load_network(tmp_path, "net").plugins] == ["first"]


@pytest.mark.rule("R7")
@pytest.mark.parametrize("name", ["", "a/b", "..", "/bin/sh"])
def test_a_plugin_is_looked_for_by_its_bare_name_only(name: str) -> None:
    with pytest.raises(InvalidName):
        parse_plugin_type(name)


@pytest.mark.rule("R42")
async def test_a_result_that_libcni_recorded_in_another_version_is_converted(
    judge: Judge, attachment: Attachment, plugins: Any
) -> None:
    text = '{"cniVersion": "1.0.0", "name": "net", "plugins": [{"type": "first"}]}'
    ips = [{"version": "4", "address": "192.0.2.7/24"}]
    plugins.tell("first", "ADD", Behaviour(stdout=json.dumps({"cniVersion": "0.4.0", "ips": ips})))
    judge.configure(text)
    await judge.with_plugins(plugins.directory).add(attachment)
    recorded = json.loads((judge.cache / "results" / "net-c1-eth0").read_text())
    assert recorded["result"]["cniVersion"] == "0.4.0"
    async with open_runtime(state_dir=judge.cache, plugin_dirs=[plugins.directory]) as runtime:
        await runtime.delete(attachment)
    sent = plugins.calls[-1].config["prevResult"]
    assert sent["cniVersion"] == "1.0.0"
    assert sent["ips"] == [{"address": "192.0.2.7/24"}]

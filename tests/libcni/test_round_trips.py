"""What one adds the other checks and deletes, on Debian's plugins, while pods talk."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from acni import (
    AttachmentExists,
    AttachmentId,
    AttachmentNotFound,
    CheckFailed,
    CleanupIncomplete,
    NetworkConfig,
    PluginFailed,
    netns,
    open_runtime,
    parse_network,
)
from acni.engine.listing import list_records
from acni.host.host import this_host
from acni.store.record import read_record, write_record
from acni.store.records import Records
from acni.testing import Behaviour, RecordingPlugins
from tests.libcni.conftest import Judge, JudgeError
from tests.netns.conftest import PLUGINS

if TYPE_CHECKING:
    from tests.netns.conftest import Host, Pod

pytestmark = [pytest.mark.anyio, pytest.mark.netns]

BRIDGE: dict[str, Any] = {
    "type": "bridge",
    "bridge": "br0",
    "isGateway": True,
    "ipam": {
        "type": "host-local",
        "subnet": "10.22.0.0/24",
        "routes": [{"dst": "0.0.0.0/0"}],
    },
}
# Its DEL finds the rules by the pod's addresses: without a namespace they stay.
MASQUERADED = BRIDGE | {"ipMasq": True}
FIREWALL: dict[str, Any] = {"type": "firewall"}
PORTMAP: dict[str, Any] = {"type": "portmap", "capabilities": {"portMappings": True}}
PORTS = {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}
KUBERNETES = {"IgnoreUnknown": "1", "K8S_POD_NAME": "web-0"}


def written(*plugins: dict[str, Any], version: str = "1.0.0") -> str:
    return json.dumps({"cniVersion": version, "name": "net", "plugins": plugins})


def parsed(text: str) -> NetworkConfig:
    return parse_network(text.encode())


def listed(state_dir: Path) -> list[Any]:
    records = Records.look(str(state_dir))
    try:
        return list(list_records(records, this_host()))
    finally:
        records.close()


@pytest.fixture
def quiet(host: Host, pods: tuple[Pod, Pod]) -> Iterator[Host]:
    """The host; when the test ends it has no more than what plugins keep for good."""
    yield host
    # The kernel takes a namespace down in the background.
    deadline = time.monotonic() + 30
    while (left := of_pods(host)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []
    assert host.records() == []


def of_pods(host: Host) -> list[str]:
    """List what is on the host because of a pod."""
    left = host.look()
    links = [name for name in left.links if name.startswith("veth")]
    rules = [rule for rule in left.rules if "10.22.0." in rule or "8080" in rule]
    return [*links, *rules, *left.leases]


@pytest.mark.parametrize("options", [[], ["-recorded"]], ids=["as configured", "as recorded"])
async def test_libcni_checks_and_deletes_what_acni_added(
    options: list[str], judge: Judge, quiet: Host, pods: tuple[Pod, Pod]
) -> None:
    pod, neighbour = pods
    text = written(MASQUERADED, FIREWALL)
    judge.configure(text)
    async with open_runtime(state_dir=judge.cache, plugin_dirs=[PLUGINS]) as runtime:
        await runtime.add(parsed(text), pod.attachment(cni_args=KUBERNETES))
        result = await runtime.add(parsed(text), neighbour.attachment())
        assert await pod.pings(result.ipv4)
        for each in pods:
            await judge.check(each.attachment(), *options)
        pod.ip("route", "del", "default")
        with pytest.raises(JudgeError, match="Expected Route"):
            await judge.check(pod.attachment(), *options)
        for each in pods:
            await judge.delete(each.attachment(), *options)
            assert not each.namespace.has_interface("eth0")
        assert listed(judge.cache) == []
        with pytest.raises(AttachmentNotFound):
            await runtime.delete(pod.attachment())


async def test_libcni_reads_what_acni_recorded(
    judge: Judge, quiet: Host, pods: tuple[Pod, Pod]
) -> None:
    pod, _ = pods
    text = written(MASQUERADED, PORTMAP, FIREWALL)
    judge.configure(text)
    attachment = pod.attachment(cni_args=KUBERNETES, capability_args=PORTS)
    async with open_runtime(state_dir=judge.cache, plugin_dirs=[PLUGINS]) as runtime:
        network = parsed(text)
        result = await runtime.add(network, attachment)
        cached = await judge.cached(pod.attachment())
        assert cached == {
            "result": json.loads(result.raw) | {"dns": {}},
            "config": network.effective(),
            "args": [list(pair) for pair in KUBERNETES.items()],
            "capabilityArgs": PORTS,
        }
        # The port is known to libcni from the record alone.
        with pod.serving(80):
            assert await quiet.asks("127.0.0.1", 8080) == "a hello"
            await judge.delete(pod.attachment(), "-recorded")
            assert await quiet.asks("127.0.0.1", 8080) == "ConnectionRefusedError"


# Newer releases of libcni write the namespace into the record; Debian's 1.1.2 does not.
WRITERS = [
    pytest.param(True, id="a libcni that records the namespace"),
    pytest.param(False, id="libcni 1.1"),
]


async def added_by_libcni(judge: Judge, pods: tuple[Pod, Pod], *, names_netns: bool) -> str:
    """Let libcni add both pods, and return the address of the second."""
    judge.configure(written(BRIDGE, FIREWALL))
    address = ""
    for pod in pods:
        result = await judge.add(pod.attachment(cni_args=KUBERNETES))
        address = result["ips"][0]["address"]
        if names_netns:
            path = judge.cache / "results" / f"net-{pod.name}-eth0"
            record = json.loads(path.read_text())
            path.write_text(json.dumps(record | {"netns": pod.namespace.path}))
    assert await pods[0].pings(address.partition("/")[0])
    return address


async def test_acni_lists_what_libcni_added(
    judge: Judge, quiet: Host, pods: tuple[Pod, Pod]
) -> None:
    address = await added_by_libcni(judge, pods, names_netns=True)
    rows = listed(judge.cache)
    assert [(row.state, row.container_id, row.network, row.netns) for row in rows] == [
        ("foreign", "a", "net", "ok"),
        ("foreign", "b", "net", "ok"),
    ]
    assert rows[1].addresses == (address,)
    async with open_runtime(state_dir=judge.cache, plugin_dirs=[PLUGINS]) as runtime:
        with pytest.raises(AttachmentExists):
            await runtime.add(parsed(written(BRIDGE)), pods[0].attachment())
    for pod in pods:
        await judge.delete(pod.attachment())


@pytest.mark.parametrize("names_netns", WRITERS)
async def test_acni_checks_what_libcni_added(
    names_netns: bool, judge: Judge, host: Host, pods: tuple[Pod, Pod]
) -> None:
    await added_by_libcni(judge, pods, names_netns=names_netns)
    pod, _ = pods
    async with open_runtime(state_dir=judge.cache, plugin_dirs=[PLUGINS]) as runtime:
        await runtime.check(pod.attachment())
        pod.ip("route", "del", "default")
        with pytest.raises(CheckFailed, match="Expected Route"):
            await runtime.check(pod.attachment())
    for each in pods:
        await judge.delete(each.attachment())
    assert of_pods(host) == []


@pytest.mark.parametrize("names_netns", WRITERS)
async def test_acni_deletes_what_libcni_added_while_the_pods_live(
    names_netns: bool, judge: Judge, host: Host, pods: tuple[Pod, Pod]
) -> None:
    await added_by_libcni(judge, pods, names_netns=names_netns)
    async with open_runtime(state_dir=judge.cache, plugin_dirs=[PLUGINS]) as runtime:
        for pod in pods:
            await runtime.delete(pod.attachment())
    assert listed(judge.cache) == []
    assert [pod.name for pod in pods if pod.namespace.has_interface("eth0")] == []
    assert of_pods(host) == []


async def test_acni_deletes_what_libcni_added_when_the_pods_are_gone(
    judge: Judge, quiet: Host, pods: tuple[Pod, Pod]
) -> None:
    await added_by_libcni(judge, pods, names_netns=False)
    for pod in pods:
        pod.namespace.close()
        netns.delete(pod.name)
    async with open_runtime(state_dir=judge.cache, plugin_dirs=[PLUGINS]) as runtime:
        for pod in pods:
            await runtime.delete(AttachmentId(pod.name))


async def test_acni_deletes_with_the_configuration_and_the_arguments_of_libcnis_add(
    judge: Judge, quiet: Host, pods: tuple[Pod, Pod]
) -> None:
    """The file changed in between, and the one who deletes knows no port."""
    pod, _ = pods
    judge.configure(written(BRIDGE, PORTMAP, FIREWALL))
    await judge.add(pod.attachment(cni_args=KUBERNETES, capability_args=PORTS))
    changed = written({"type": "ptp", "ipam": {"type": "host-local", "subnet": "10.23.0.0/24"}})
    with pod.serving(80):
        assert await quiet.asks("127.0.0.1", 8080) == "a hello"
        async with open_runtime(
            state_dir=judge.cache, plugin_dirs=[PLUGINS], observers=[quiet.events.append]
        ) as runtime:
            await runtime.delete(AttachmentId("a"), network=parsed(changed))
        assert quiet.ran() == ["DEL firewall", "DEL portmap", "DEL bridge"]
        assert await quiet.asks("127.0.0.1", 8080) == "ConnectionRefusedError"
    # No namespace is recorded: the pod's end is the pod's.
    if pod.namespace.has_interface("eth0"):
        pod.ip("link", "del", "eth0")


async def test_libcni_goes_on_where_a_delete_of_acnis_halted(
    judge: Judge, host: Host, pods: tuple[Pod, Pod], plugins: RecordingPlugins
) -> None:
    """A debt's configuration ends with the plugin that is owed."""
    pod, _ = pods
    text = written(*({"type": name} for name in ("first", "second", "third")))
    judge.configure(text)
    libcni = judge.with_plugins(plugins.directory)
    async with open_runtime(state_dir=judge.cache, plugin_dirs=[plugins.directory]) as runtime:
        result = await runtime.add(parsed(text), pod.attachment(cni_args=KUBERNETES))
        plugins.tell("second", "DEL", Behaviour.failing(5, "busy"))
        with pytest.raises(CleanupIncomplete):
            await runtime.delete(pod.attachment().id)
        assert [row.state for row in listed(judge.cache)] == ["owed"]
        cached = await judge.cached(pod.attachment())
        assert cached["config"] == parsed(text).up_to(1).effective()
        assert cached["args"] == [list(pair) for pair in KUBERNETES.items()]

        asked = len(plugins.calls)
        with pytest.raises(JudgeError, match="busy"):
            await libcni.delete(pod.attachment(), "-recorded")
        plugins.tell("second", "DEL", Behaviour())
        await libcni.delete(pod.attachment(), "-recorded")
        calls = plugins.calls[asked:]
        assert [str(call) for call in calls] == ["DEL second", "DEL second", "DEL first"]
        for call in calls:
            assert call.config["prevResult"] == json.loads(result.raw) | {"dns": {}}
            assert call.environment["CNI_ARGS"] == "IgnoreUnknown=1;K8S_POD_NAME=web-0"
        assert plugins.held == set()
        assert listed(judge.cache) == []
        with pytest.raises(AttachmentNotFound):
            await runtime.delete(pod.attachment())
        await runtime.add(parsed(text), pod.attachment())


async def test_acni_deletes_a_record_whose_result_has_another_version(
    judge: Judge, host: Host, pods: tuple[Pod, Pod]
) -> None:
    """libcni records what the last plugin printed, and converts it when it is used."""
    pod, _ = pods
    text = written(BRIDGE, FIREWALL)
    judge.configure(text)
    await judge.add(pod.attachment())
    path = judge.cache / "results" / "net-a-eth0"
    record = json.loads(path.read_text()) | {"netns": pod.namespace.path}
    record["result"] |= {"cniVersion": "0.4.0"}
    record["result"]["ips"][0]["version"] = "4"
    path.write_text(json.dumps(record))
    async with open_runtime(state_dir=judge.cache, plugin_dirs=[PLUGINS]) as runtime:
        await runtime.delete(pod.attachment())
    assert of_pods(host) == []


async def test_libcni_deletes_what_a_failed_add_left_without_a_result(
    judge: Judge, host: Host, pods: tuple[Pod, Pod], plugins: RecordingPlugins
) -> None:
    """The first plugin failed and its undo too: what is owed has no result."""
    pod, _ = pods
    text = written(*({"type": name} for name in ("first", "second")))
    judge.configure(text)
    for verb in ("ADD", "DEL"):
        plugins.tell("first", verb, Behaviour.failing(5, "busy"))
    async with open_runtime(state_dir=judge.cache, plugin_dirs=[plugins.directory]) as runtime:
        with pytest.raises(PluginFailed):
            await runtime.add(parsed(text), pod.attachment())
    assert [row.state for row in listed(judge.cache)] == ["owed"]
    plugins.tell("first", "DEL", Behaviour())
    await judge.with_plugins(plugins.directory).delete(pod.attachment(), "-recorded")
    assert [str(call) for call in plugins.calls] == [
        "ADD first",
        "DEL second",
        "DEL first",
        "DEL first",
    ]
    assert plugins.calls[-1].config["prevResult"] == {"cniVersion": "1.0.0", "dns": {}}
    assert host.records() == []


async def test_a_delete_by_the_callers_word_spares_the_interface_of_libcnis_container(
    judge: Judge, host: Host, pods: tuple[Pod, Pod], plugins: RecordingPlugins
) -> None:
    pod, _ = pods
    text = written({"type": "first"})
    judge.configure(text)
    await judge.with_plugins(plugins.directory).add(pod.attachment())
    path = judge.cache / "results" / "net-a-eth0"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"netns": pod.namespace.path}))
    async with open_runtime(state_dir=judge.cache, plugin_dirs=[plugins.directory]) as runtime:
        await runtime.delete(pod.attachment(container_id="stranger"), network=parsed(text))
    assert plugins.calls[-1].environment["CNI_NETNS"] == ""


async def test_acni_goes_on_where_its_first_delete_of_libcnis_attachment_halted(
    judge: Judge, host: Host, pods: tuple[Pod, Pod], plugins: RecordingPlugins
) -> None:
    """The record is acni's from then on: a debt, with what libcni knew of the attachment."""
    pod, _ = pods
    judge.configure(written(*({"type": name} for name in ("first", "second", "third"))))
    libcni = judge.with_plugins(plugins.directory)
    result = await libcni.add(pod.attachment(cni_args=KUBERNETES))
    plugins.tell("second", "DEL", Behaviour.failing(5, "busy"))
    asked = len(plugins.calls)
    async with open_runtime(
        state_dir=judge.cache, plugin_dirs=[plugins.directory], recover=False
    ) as runtime:
        with pytest.raises(CleanupIncomplete):
            await runtime.delete(pod.attachment())
        assert [(row.state, row.netns) for row in listed(judge.cache)] == [("owed", "ok")]
        plugins.tell("second", "DEL", Behaviour())
        # Without the namespace or a configuration: the debt has both.
        await runtime.delete(AttachmentId("a"))
    calls = plugins.calls[asked:]
    names = ["DEL third", "DEL second", "DEL second", "DEL first"]
    assert [str(call) for call in calls] == names
    for call in calls:
        assert call.config["prevResult"] == result
        assert call.environment["CNI_NETNS"] == pod.namespace.path
        assert set(call.environment["CNI_ARGS"].split(";")) == {
            "IgnoreUnknown=1",
            "K8S_POD_NAME=web-0",
        }
    assert plugins.held == set()
    assert listed(judge.cache) == []


# What containerd passes: Go's names of the fields, and an annotation map that is not there.
CONTAINERD_PORTS = [{"HostPort": 8080, "ContainerPort": 80, "Protocol": "tcp", "HostIP": ""}]
CONTAINERD = {"portMappings": CONTAINERD_PORTS, "io.kubernetes.cri.pod-annotations": None}
LOOPBACK = json.dumps(
    {"cniVersion": "0.3.1", "name": "cni-loopback", "plugins": [{"type": "loopback"}]}
)


async def test_acni_deletes_what_containerd_added(
    judge: Judge, quiet: Host, pods: tuple[Pod, Pod]
) -> None:
    """Its loopback network included, which has a record of its own, of an old version."""
    pod, _ = pods
    judge.configure(LOOPBACK)
    await judge.add(pod.attachment(ifname="lo"))
    judge.configure(written(BRIDGE, PORTMAP, FIREWALL))
    await judge.add(pod.attachment(cni_args=KUBERNETES, capability_args=CONTAINERD))
    record = json.loads((judge.cache / "results" / "net-a-eth0").read_text())
    assert record["capabilityArgs"] == CONTAINERD
    assert [(row.state, row.network) for row in listed(judge.cache)] == [
        ("foreign", "cni-loopback"),
        ("foreign", "net"),
    ]
    with pod.serving(80):
        assert await quiet.asks("127.0.0.1", 8080) == "a hello"
        async with open_runtime(state_dir=judge.cache, plugin_dirs=[PLUGINS]) as runtime:
            await runtime.delete(pod.attachment())
            await runtime.delete(pod.attachment(ifname="lo"))
        assert await quiet.asks("127.0.0.1", 8080) == "ConnectionRefusedError"
    assert not pod.namespace.has_interface("eth0")
    assert listed(judge.cache) == []


async def test_what_containerd_passes_reaches_the_plugin_as_it_was_written(
    judge: Judge, host: Host, pods: tuple[Pod, Pod], plugins: RecordingPlugins
) -> None:
    pod, _ = pods
    capabilities = {"portMappings": True, "io.kubernetes.cri.pod-annotations": True}
    text = written({"type": "first", "capabilities": capabilities})
    judge.configure(text)
    await judge.with_plugins(plugins.directory).add(pod.attachment(capability_args=CONTAINERD))
    async with open_runtime(state_dir=judge.cache, plugin_dirs=[plugins.directory]) as runtime:
        await runtime.delete(pod.attachment())
        await runtime.add(parsed(text), pod.attachment(capability_args=CONTAINERD))
    await judge.with_plugins(plugins.directory).delete(pod.attachment(), "-recorded")
    assert [str(call) for call in plugins.calls] == ["ADD first", "DEL first"] * 2
    for call in plugins.calls:
        assert call.config["runtimeConfig"] == CONTAINERD
    assert plugins.held == set()


@pytest.mark.parametrize("is_owed", [False, True], ids=["attached", "owed"])
async def test_a_record_in_a_file_that_was_longer_before_is_whole_for_libcni(
    is_owed: bool, judge: Judge, host: Host, pods: tuple[Pod, Pod], plugins: RecordingPlugins
) -> None:
    """Records are written into the files of retired ones; Go's decoder takes no byte more."""
    pod, neighbour = pods
    text = written({"type": "first", "capabilities": {"aliases": True}})
    judge.configure(text)
    many = {"aliases": ["a-name-of-this-container"] * 500}
    async with open_runtime(
        state_dir=judge.cache, plugin_dirs=[plugins.directory], recover=False
    ) as runtime:
        await runtime.add(parsed(text), neighbour.attachment(capability_args=many))
        before = (judge.cache / "results" / "net-b-eth0").stat()
        if is_owed:
            await runtime.add(parsed(text), pod.attachment())
            await runtime.delete(neighbour.attachment().id)
            plugins.tell("first", "DEL", Behaviour.failing(5, "busy"))
            with pytest.raises(CleanupIncomplete):
                await runtime.delete(pod.attachment().id)
            plugins.tell("first", "DEL", Behaviour())
        else:
            await runtime.delete(neighbour.attachment().id)
            await runtime.add(parsed(text), pod.attachment())
    path = judge.cache / "results" / "net-a-eth0"
    assert path.stat().st_ino == before.st_ino
    assert path.stat().st_size < before.st_size
    record = read_record(path.name, path.read_bytes())
    assert write_record(record) == path.read_bytes()
    cached = await judge.cached(pod.attachment())
    assert cached["config"] == parsed(text).effective()
    assert not cached["capabilityArgs"]
    await judge.with_plugins(plugins.directory).delete(pod.attachment(), "-recorded")
    assert plugins.held == set()

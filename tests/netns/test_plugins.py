"""Debian's plugins through add, check and delete: traffic flows, and nothing is left."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from acni import AttachmentId, CheckFailed, Runtime, VersionUnsupported, networks

if TYPE_CHECKING:
    from tests.netns.conftest import Host, Pod

pytestmark = [pytest.mark.anyio, pytest.mark.netns]

HOST_LOCAL: dict[str, Any] = {
    "type": "host-local",
    "subnet": "10.22.0.0/24",
    "routes": [{"dst": "0.0.0.0/0"}],
}
BRIDGE: dict[str, Any] = {
    "type": "bridge",
    "bridge": "br0",
    "isGateway": True,
    "ipam": HOST_LOCAL,
}
MASQUERADED = BRIDGE | {"ipMasq": True}
TUNING: dict[str, Any] = {"type": "tuning", "sysctl": {"net.ipv4.conf.all.arp_notify": "1"}}
BANDWIDTH: dict[str, Any] = {
    "type": "bandwidth",
    "ingressRate": 80_000_000,
    "ingressBurst": 80_000_000,
    "egressRate": 80_000_000,
    "egressBurst": 80_000_000,
}
PORTMAP: dict[str, Any] = {"type": "portmap", "capabilities": {"portMappings": True}}
FIREWALL: dict[str, Any] = {"type": "firewall"}
PTP: dict[str, Any] = {"type": "ptp", "ipMasq": True, "ipam": HOST_LOCAL}
MACVLAN: dict[str, Any] = {"type": "macvlan", "master": "up0", "ipam": HOST_LOCAL}

# The chain, what an attachment of it shows on the host, and the plugin whose CHECK always fails:
# portmap 1.1.1 looks for IPv6 rules that it made only where there is an IPv6 address.
CHAINS = [
    pytest.param([BRIDGE], ["link", "lease"], None, id="bridge"),
    pytest.param([MASQUERADED], ["link", "rule", "lease"], None, id="bridge-masquerading"),
    pytest.param([BRIDGE, TUNING], ["link", "lease"], None, id="bridge-tuning"),
    pytest.param([BRIDGE, BANDWIDTH], ["link", "lease"], None, id="bridge-bandwidth"),
    pytest.param([BRIDGE, FIREWALL], ["link", "rule", "lease"], None, id="bridge-firewall"),
    pytest.param([BRIDGE, PORTMAP], ["link", "rule", "lease"], "portmap", id="bridge-portmap"),
    pytest.param(
        [MASQUERADED, TUNING, BANDWIDTH, PORTMAP, FIREWALL],
        ["link", "rule", "lease"],
        "portmap",
        id="all-on-a-bridge",
    ),
    pytest.param([PTP], ["link", "rule", "lease"], None, id="ptp"),
    pytest.param([PTP, PORTMAP, FIREWALL], ["link", "rule", "lease"], "portmap", id="ptp-portmap"),
    pytest.param([MACVLAN], ["lease"], None, id="macvlan"),
]


@pytest.mark.parametrize(("plugins", "shown", "failing_check"), CHAINS)
async def test_pods_reach_each_other_and_leave_nothing(
    plugins: list[dict[str, Any]],
    shown: list[str],
    failing_check: str | None,
    runtime: Runtime,
    host: Host,
    pods: tuple[Pod, Pod],
    uplink: str,
) -> None:
    network = host.network(*plugins)
    first, second = (pod.attachment(capability_args=_ports(pod)) for pod in pods)
    await runtime.add(network, first)
    await runtime.delete(first.id)
    before = host.look()

    addresses = [(await runtime.add(network, attachment)).ipv4 for attachment in (first, second)]
    assert await pods[0].pings(addresses[1])
    assert await pods[1].pings(addresses[0])
    for attachment in (first, second):
        await _check(runtime, attachment.id, failing_check)
    kinds = {line.split()[1].rstrip(":") for line in host.look().beyond(before)}
    assert kinds == set(shown)
    assert host.records() == ["net-a-eth0", "net-b-eth0"]

    await runtime.delete(first.id)
    assert pods[1].namespace.has_interface("eth0")
    await runtime.delete(second.id)

    after = host.look()
    assert after.beyond(before) == []
    assert after == before
    assert host.records() == []
    assert not any(pod.namespace.has_interface("eth0") for pod in pods)


def _ports(pod: Pod) -> dict[str, Any]:
    port = 8080 if pod.name == "a" else 8081
    return {"portMappings": [{"hostPort": port, "containerPort": 80, "protocol": "tcp"}]}


async def _check(runtime: Runtime, attachment: AttachmentId, failing: str | None) -> None:
    if failing is None:
        await runtime.check(attachment)
        return
    with pytest.raises(CheckFailed) as caught:
        await runtime.check(attachment)
    assert caught.value.plugin == failing


async def test_loopback_sets_lo_up(runtime: Runtime, host: Host, pods: tuple[Pod, Pod]) -> None:
    pod, _ = pods
    before = host.look()
    attachment = pod.attachment(ifname="lo")
    assert not await pod.pings("127.0.0.1")

    result = await runtime.add(host.network({"type": "loopback"}), attachment)
    assert [ip.address for ip in result.ips][:1] == ["127.0.0.1/8"]
    assert await pod.pings("127.0.0.1")
    await runtime.check(attachment.id)
    assert host.records() == ["net-a-lo"]

    await runtime.delete(attachment.id)
    assert not await pod.pings("127.0.0.1")
    assert host.look() == before
    assert host.records() == []


async def test_a_host_port_is_reached_from_everywhere(
    runtime: Runtime, host: Host, pods: tuple[Pod, Pod], outside: Pod
) -> None:
    pod, neighbour = pods
    # The kernel filters bridged packets too: what a pod sends to itself turns around in the bridge.
    network = host.network(MASQUERADED | {"hairpinMode": True}, PORTMAP, FIREWALL)
    attachment = pod.attachment(capability_args=_ports(pod))
    await runtime.add(network, attachment)
    await runtime.delete(attachment.id)
    before = host.look()

    await runtime.add(network, attachment)
    await runtime.add(network, neighbour.attachment())
    with pod.serving(80):
        assert await outside.asks("192.0.2.1", 8080) == "a hello"
        assert await host.asks("127.0.0.1", 8080) == "a hello"
        assert await host.asks("192.0.2.1", 8080) == "a hello"
        assert await pod.asks("192.0.2.1", 8080) == "a hello"
        assert await neighbour.asks("192.0.2.1", 8080) == "a hello"

        for pod in pods:
            await runtime.delete(pod.attachment().id)
        assert await outside.asks("192.0.2.1", 8080) == "ConnectionRefusedError"
        assert await host.asks("127.0.0.1", 8080) == "ConnectionRefusedError"
    assert host.look() == before
    assert host.records() == []


async def test_a_pod_reaches_the_outside_masqueraded(
    runtime: Runtime, host: Host, pods: tuple[Pod, Pod], outside: Pod
) -> None:
    pod, _ = pods
    result = await runtime.add(host.network(MASQUERADED, FIREWALL), pod.attachment())
    with outside.serving(80):
        # The outside has no route to the pod: only the host's address can be answered.
        assert not await outside.pings(result.ipv4)
        assert await pod.asks("192.0.2.2", 80) == "outside hello"


async def test_many_pods_at_once(
    runtime: Runtime, host: Host, pods: tuple[Pod, Pod], make_pod: Callable[[str], Pod]
) -> None:
    network = host.network(MASQUERADED, TUNING, PORTMAP, FIREWALL)
    await runtime.add(network, pods[0].attachment())
    await runtime.delete(pods[0].attachment().id)
    crowd = [make_pod(f"pod-{number}") for number in range(8)]
    before = host.look()

    addresses: dict[str, object] = {}

    async def come(pod: Pod) -> None:
        addresses[pod.name] = (await runtime.add(network, pod.attachment())).ipv4

    async def go(pod: Pod) -> None:
        await runtime.delete(pod.attachment().id)

    async with anyio.create_task_group() as arrivals:
        for pod in crowd:
            arrivals.start_soon(come, pod)
    assert len(set(addresses.values())) == len(crowd)
    for pod, neighbour in pairwise(crowd):
        assert await pod.pings(addresses[neighbour.name])
    async with anyio.create_task_group() as departures:
        for pod in crowd:
            departures.start_soon(go, pod)
    assert host.look().beyond(before) == []
    assert host.records() == []


@pytest.mark.rule("R17", "R42", "R57")
@pytest.mark.parametrize("version", ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"])
async def test_a_chain_runs_in_every_version_that_its_plugins_speak(
    version: str, runtime: Runtime, host: Host, pods: tuple[Pod, Pod]
) -> None:
    network = host.network(MASQUERADED, TUNING, version=version)
    pod, neighbour = pods
    await runtime.add(network, pod.attachment())
    await runtime.delete(pod.attachment().id)
    before = host.look()

    result = await runtime.add(network, pod.attachment())
    assert result.cni_version == version
    assert str(result.gateway) == "10.22.0.1"
    assert [route.dst for route in result.routes] == ["0.0.0.0/0"]
    other = await runtime.add(network, neighbour.attachment())
    assert await pod.pings(other.ipv4)
    if version < "0.4.0":
        with pytest.raises(VersionUnsupported):
            await runtime.check(pod.attachment().id)
    else:
        await runtime.check(pod.attachment().id)
    for each in pods:
        await runtime.delete(each.attachment().id)
    assert host.look().beyond(before) == []
    assert host.records() == []


@pytest.mark.rule("R9")
async def test_debians_plugins_settle_on_the_newest_version_that_they_know(
    runtime: Runtime, host: Host, pods: tuple[Pod, Pod]
) -> None:
    network = networks.bridge("net", "10.22.0.0/24", masquerade=True)
    assert network.versions == ("1.0.0", "1.1.0")
    assert (await runtime.validate(network)).cni_version == "1.0.0"
    result = await runtime.add(network, pods[0].attachment())
    assert result.cni_version == "1.0.0"
    await runtime.delete(pods[0].attachment().id)


@pytest.mark.rule("R9", "R32")
async def test_debians_firewall_alone_can_make_a_version_impossible(
    runtime: Runtime, host: Host, pods: tuple[Pod, Pod]
) -> None:
    before = host.look()
    network = host.network(BRIDGE, FIREWALL, version="0.3.1", offering=["1.1.0"])
    with pytest.raises(VersionUnsupported, match="firewall: 0\\.4\\.0, 1\\.0\\.0"):
        await runtime.add(network, pods[0].attachment())
    assert host.look() == before
    assert host.records() == []

"""A plugin that the kernel refuses in the middle of a chain: what was made before it is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from acni import PluginFailed, Runtime, netns

if TYPE_CHECKING:
    from tests.netns.conftest import Host, Pod

pytestmark = [pytest.mark.anyio, pytest.mark.netns]

HOST_LOCAL: dict[str, Any] = {"type": "host-local", "subnet": "10.22.0.0/24"}
BRIDGE: dict[str, Any] = {
    "type": "bridge",
    "bridge": "br0",
    "isGateway": True,
    "ipam": HOST_LOCAL,
}
MASQUERADED = BRIDGE | {"ipMasq": True}
PTP: dict[str, Any] = {"type": "ptp", "ipam": HOST_LOCAL}
TUNING: dict[str, Any] = {"type": "tuning", "sysctl": {"net.ipv4.conf.all.arp_notify": "1"}}
PORTMAP: dict[str, Any] = {"type": "portmap", "capabilities": {"portMappings": True}}
FIREWALL: dict[str, Any] = {"type": "firewall"}
BANDWIDTH: dict[str, Any] = {"type": "bandwidth", "ingressRate": 8_000_000, "ingressBurst": 80_000}
# Kernels have no such setting: refused by every one.
UNKNOWN_SYSCTL: dict[str, Any] = {"type": "tuning", "sysctl": {"net.ipv4.conf.all.acni": "1"}}
VRF: dict[str, Any] = {"type": "vrf", "vrfname": "blue"}
VLAN: dict[str, Any] = {"type": "vlan", "master": "up0", "vlanId": 5, "ipam": HOST_LOCAL}
IPVLAN: dict[str, Any] = {"type": "ipvlan", "master": "up0", "ipam": HOST_LOCAL}
BRIDGE_VLAN = MASQUERADED | {"vlan": 100}
PORTS = {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}

# What `ip link add` makes of each in a kernel that has it.
MADE_BY = {
    "vlan": ["link", "v0", "name", "probe", "type", "vlan", "id", "5"],
    "ipvlan": ["link", "v0", "name", "probe", "type", "ipvlan"],
    "vrf": ["name", "probe", "type", "vrf", "table", "10"],
    "bridge": ["name", "probe", "type", "bridge", "vlan_filtering", "1"],
}

# The chain, and the place of the plugin that the kernel refuses. Nothing masquerades before vlan
# and ipvlan: the DEL of either takes any eth0, and bridge and ptp then no longer know whose rules
# to delete. No chain that works has two plugins that make the interface.
CHAINS = [
    pytest.param([BRIDGE_VLAN, TUNING, PORTMAP, FIREWALL], 0, id="first"),
    pytest.param([BRIDGE, VLAN, FIREWALL], 1, id="vlan-second"),
    pytest.param([BRIDGE, TUNING, PORTMAP, FIREWALL, BANDWIDTH, VLAN], 5, id="vlan-last"),
    pytest.param([BRIDGE, PORTMAP, IPVLAN, FIREWALL], 2, id="ipvlan-in-the-middle"),
    pytest.param([PTP, FIREWALL, IPVLAN], 2, id="ipvlan-after-ptp"),
    pytest.param([MASQUERADED, PORTMAP, VRF, FIREWALL], 2, id="vrf-in-the-middle"),
    pytest.param([MASQUERADED, PORTMAP, FIREWALL, UNKNOWN_SYSCTL], 3, id="tuning-last"),
    pytest.param([PTP | {"ipMasq": True}, UNKNOWN_SYSCTL, FIREWALL], 1, id="tuning-after-ptp"),
]


@pytest.mark.parametrize(("plugins", "refused"), CHAINS)
async def test_a_refused_plugin_leaves_nothing(
    plugins: list[dict[str, Any]],
    refused: int,
    runtime: Runtime,
    host: Host,
    pods: tuple[Pod, Pod],
    uplink: str,
) -> None:
    kind = plugins[refused]["type"]
    _require_refusal(kind)
    first, second = pods
    # One pod of the same network is attached: its part of the host must stay.
    sound = host.network(*_without(plugins, refused))
    kept = await runtime.add(sound, first.attachment())
    attachment = second.attachment(capability_args=PORTS)
    await runtime.add(sound, attachment)
    await runtime.delete(attachment.id)
    before = host.look()
    host.ran()

    with pytest.raises(PluginFailed) as caught:
        await runtime.add(host.network(*plugins), attachment)

    error = caught.value
    assert (error.plugin, error.index, error.code) == (kind, refused, 999)
    assert error.msg
    assert error.debt is None
    assert error.rollback is not None
    assert error.rollback.deleted == tuple(plugin["type"] for plugin in reversed(plugins))
    assert error.rollback.debt is None
    assert error.rollback.error is None
    assert host.ran() == [
        *(f"ADD {plugin['type']}" for plugin in plugins[: refused + 1]),
        *(f"DEL {plugin['type']}" for plugin in reversed(plugins)),
    ]
    after = host.look()
    assert after.beyond(before) == []
    assert after == before
    assert not second.namespace.has_interface("eth0")
    assert host.records() == ["net-a-eth0"]

    result = await runtime.add(sound, attachment)
    assert await first.pings(result.ipv4)
    assert await second.pings(kept.ipv4)


def _without(plugins: list[dict[str, Any]], refused: int) -> list[dict[str, Any]]:
    """Return the chain as this kernel takes it."""
    if plugins[refused] is BRIDGE_VLAN:
        return [MASQUERADED, *plugins[1:]]
    return [plugin for index, plugin in enumerate(plugins) if index != refused]


def _require_refusal(kind: str) -> None:
    if kind not in MADE_BY:
        return
    with netns.anonymous() as probe:
        parent = ["v0", "type", "veth", "peer", "name", "v1"]
        netns.run(probe, ["ip", "link", "add", *parent], timeout=20)
        made = netns.run(probe, ["ip", "link", "add", *MADE_BY[kind]], timeout=20)
    if made.returncode == 0:
        pytest.skip(f"cannot run here: this kernel has what {kind} asks for")

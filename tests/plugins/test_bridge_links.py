"""The host's side of bridge, where a real host does not do: what other kernels say."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from ipaddress import ip_interface
from typing import Any

import pytest

from acni.netlink.addresses import list_addresses
from acni.netlink.bridges import add_vlan, remove_vlan
from acni.netlink.errors import NetlinkError
from acni.netlink.linkmessages import RTM_NEWLINK
from acni.netlink.links import Link, get_link
from acni.netlink.sockets import Netlink, open_inside
from acni.plugins.bridge_links import (
    MOST_PORTS,
    ensure_bridge,
    ensure_gateways,
    fullness,
    set_vlans,
    vlan_messages,
)
from acni.plugins.bridge_settings import parse_settings
from acni.skel import PluginError
from tests.plugins.calling import make_call
from tests.plugins.hosts import Host

pytestmark = pytest.mark.netns

GATEWAYS = (ip_interface("10.9.0.1/24"),)


@pytest.fixture
def on_host(host: Host) -> Iterator[Netlink]:
    with open_inside(host.namespace.fd, path="host") as netlink:
        yield netlink


def a_port(number: int | None) -> Link:
    return Link(index=7, name="veth7", mac=b"", mtu=1500, flags=0, port_number=number)


@pytest.mark.parametrize(
    ("number", "is_told"), [(None, False), (1, False), (818, False), (819, True), (1023, True)]
)
def test_a_bridge_is_nearly_full_from_four_fifths_on(number: int | None, is_told: bool) -> None:
    said = fullness("cni0", a_port(number))
    assert (said is not None) is is_told
    if said is not None:
        assert f"has {number} ports or more" in said
        assert str(MOST_PORTS) in said


def test_a_container_is_untagged_in_its_vlan_and_tagged_in_the_trunks() -> None:
    """The order and the flags are the reference's: 1 is native where no other is named."""
    only = parse_settings(make_call({"vlan": 7}))
    assert vlan_messages(only, 3) == [add_vlan(3, 7, pvid=True, untagged=True)]
    both = parse_settings(make_call({"vlan": 7, "vlanTrunk": [{"minID": 7, "maxID": 9}]}))
    assert vlan_messages(both, 3) == [
        add_vlan(3, 8),
        add_vlan(3, 9),
        add_vlan(3, 7, pvid=True, untagged=True),
    ]
    trunk = parse_settings(make_call({"vlanTrunk": [{"id": 100}]}))
    assert vlan_messages(trunk, 3) == [add_vlan(3, 100), add_vlan(3, 1, pvid=True, untagged=True)]


def test_a_kernel_whose_bridges_heed_no_vlans_says_so(host: Host, on_host: Netlink) -> None:
    with pytest.raises(NetlinkError):
        on_host.request(remove_vlan(1, 1))
    host.ip("link", "add", "cni0", "type", "bridge")
    settings = parse_settings(make_call({"vlan": 7}))
    with pytest.raises(PluginError) as raised:
        ensure_bridge(on_host, settings, has_ipv6=False)
    assert (raised.value.code, raised.value.reason) == (100, "kernel-feature")
    host.ip("link", "add", "veth1", "master", "cni0", "type", "veth", "peer", "name", "far1")
    with pytest.raises(PluginError) as raised:
        set_vlans(on_host, settings, "veth1")
    assert raised.value.reason == "kernel-feature"


def test_a_bridge_that_cannot_heed_vlans_is_not_left(host: Host, on_host: Netlink) -> None:
    with pytest.raises(PluginError):
        ensure_bridge(on_host, parse_settings(make_call({"vlan": 7})), has_ipv6=False)
    assert host.links() == ["lo"]


def test_a_bridge_made_here_keeps_its_hardware_address_and_its_mtu(host: Host) -> None:
    config = {"cniVersion": "1.0.0", "name": "net", "type": "bridge", "mtu": 1400}
    told = host.run("ADD", config).printed["interfaces"][0]["mac"]
    host.run("ADD", config, container="c2")
    for container in ("c1", "c2"):
        host.run("DEL", config, container=container)
    with open_inside(host.namespace.fd, path="host") as netlink:
        bridge = get_link(netlink, "cni0")
    assert (bridge.mac.hex(":"), bridge.mtu, bridge.alias) == (told, 1400, "acni")


class Overtaken:
    """A wire before whose first change of links somebody else does something."""

    def __init__(self, wire: Any, before: Callable[[], object]) -> None:
        self._wire, self._before = wire, before

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wire, name)

    def send(self, data: bytes) -> None:
        if RTM_NEWLINK.to_bytes(2, sys.byteorder) == data[4:6]:
            self._before()
        self._wire.send(data)


def test_a_bridge_that_somebody_else_makes_meanwhile_is_as_good(
    host: Host, on_host: Netlink
) -> None:
    def overtake() -> None:
        if "cni0" not in host.links():
            host.ip("link", "add", "cni0", "type", "bridge")

    overtaken = Netlink(Overtaken(on_host._wire, overtake))
    bridge = host.namespace.call(
        lambda: ensure_bridge(overtaken, parse_settings(make_call({})), has_ipv6=True)
    )
    assert bridge.name == "cni0"
    assert get_link(on_host, "cni0").is_up


def test_a_bridge_that_cannot_have_all_gateways_gets_none(on_host: Netlink) -> None:
    """The first would stay, and refuse every other network from then on."""
    bridge = ensure_bridge(on_host, parse_settings(make_call({})), has_ipv6=False)
    with pytest.raises(PluginError, match=r"10\.9\.0\.1/24, not 10\.8\.0\.1/24"):
        ensure_gateways(on_host, bridge, (*GATEWAYS, ip_interface("10.8.0.1/24")), is_forced=False)
    assert [one for one in list_addresses(on_host, index=bridge.index) if one.packed[0] == 10] == []

"""The host's side of a pair of links."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_interface

import pytest

from acni.netlink.sockets import Netlink, open_inside
from acni.plugins.bridge_links import ensure_bridge
from acni.plugins.bridge_settings import parse_settings
from acni.plugins.hostlinks import enable_forwarding, wait_for_port
from acni.skel import Bounds, PluginError
from tests.plugins.calling import make_call
from tests.plugins.hosts import Host

pytestmark = pytest.mark.netns

GATEWAYS = (ip_interface("10.9.0.1/24"),)


@pytest.fixture
def on_host(host: Host) -> Iterator[Netlink]:
    with open_inside(host.namespace.fd, path="host") as netlink:
        yield netlink


def test_a_port_whose_other_end_is_down_does_not_come_up(host: Host, on_host: Netlink) -> None:
    host.ip("link", "add", "veth1", "type", "veth", "peer", "name", "far1")
    host.ip("link", "set", "veth1", "up")
    with pytest.raises(PluginError) as raised:
        wait_for_port(on_host, "veth1", Bounds(0.0))
    assert (raised.value.code, raised.value.reason) == (104, "port-down")


def test_forwarding_is_not_written_where_it_is_on(host: Host, on_host: Netlink) -> None:
    """Written again, it would be set for each interface anew."""
    host.run("ADD", {"cniVersion": "1.0.0", "name": "net", "type": "bridge"})
    host.write("ipv4/ip_forward", "1")
    host.write("ipv4/conf/cni0/forwarding", "0")
    settings = parse_settings(make_call({"isGateway": True}))

    def again() -> None:
        bridge = ensure_bridge(on_host, settings, has_ipv6=False)
        enable_forwarding(on_host, bridge.index, GATEWAYS)

    host.namespace.call(again)
    assert host.see()["host/setting ipv4 cni0 forwarding"] == "0"

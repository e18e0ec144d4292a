"""How a container is reached, of what results say and the kernel has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from acni import netns
from acni.netlink import links
from acni.netlink.bridges import new_bridge
from acni.netlink.sockets import Netlink, open_inside
from acni.plugins.firewall_ways import addresses_of, find_way, names_on_host
from acni.plugins.owners import Owner
from acni.spec.attachment import AttachmentId
from acni.spec.result import Result, parse_result

pytestmark = pytest.mark.netns

OWNER = Owner("net", AttachmentId("c1"))
INSIDE = {"name": "eth0", "sandbox": "/run/netns/c1"}


def result(*names: str, inside: bool = True, **members: Any) -> Result:
    interfaces = [*({"name": name} for name in names), *([INSIDE] if inside else [])]
    said = {"cniVersion": "1.0.0", "interfaces": interfaces, **members}
    return parse_result(json.dumps(said), "1.0.0")


@pytest.fixture
def host() -> Iterator[Netlink]:
    with netns.anonymous() as made, open_inside(made.fd, path="host") as netlink:
        for name in ("br0", "br1"):
            netlink.request(new_bridge(name))
        for name in ("port0", "port1", "alone"):
            netlink.request(links.new_ifb(name, mtu=1500))
        for port, bridge in (("port0", "br0"), ("port1", "br1")):
            netlink.request(links.change(port, master=links.get_link(netlink, bridge).index))
        yield netlink


@pytest.mark.parametrize(
    ("names", "bridge", "ports", "leads"),
    [
        (("br0", "port0"), "br0", ["port0"], ("br0",)),
        (("port0", "br0"), "br0", ["port0"], ("br0",)),
        (("port0",), "br0", ["port0"], ("br0",)),
        (("br0",), "br0", [], ("br0",)),
        (("br1", "port0"), "br1", [], ("br1",)),
        (("alone", "port1"), "br1", ["port1"], ("br1",)),
        (("alone",), None, ["alone"], ("alone",)),
        (("gone",), None, [], ()),
        ((), None, [], ()),
        (("a-name-that-no-link-has", "", "br0\0", "\ud800"), None, [], ()),
    ],
)
def test_a_bridge_is_what_the_kernel_says_is_one(
    host: Netlink, names: tuple[str, ...], bridge: str | None, ports: list[str], leads: tuple[str]
) -> None:
    way = find_way(host, result(*names), OWNER)
    assert (way.bridge.name if way.bridge else None) == bridge
    assert [link.name for link in way.ports] == ports
    assert way.links == leads
    assert way.is_past_the_host == (not names_on_host(result(*names)))


def test_a_result_without_interfaces_leaves_the_link_that_a_plugin_of_ours_made(
    host: Netlink,
) -> None:
    way = find_way(host, result(inside=False), OWNER)
    assert (way.links, way.is_past_the_host) == ((), False)
    for alias, leads in ((None, ("br0",)), (OWNER.mark, ("br0",)), ("acni net c2 eth0", ())):
        host.request(links.new_ifb(OWNER.link_name, mtu=1500))
        index = links.get_link(host, OWNER.link_name).index
        host.request(links.change(index, alias=alias, master=links.get_link(host, "br0").index))
        assert find_way(host, result(inside=False), OWNER).links == leads
        host.request(links.delete(index))


def test_addresses_are_all_of_the_container_and_none_of_the_host() -> None:
    told = [
        {"address": "10.9.0.2/24", "interface": 1},
        {"address": "10.9.0.1/24", "interface": 0},
        {"address": "10.9.0.3/24"},
        {"address": "fd00::2/64", "interface": 1},
        {"address": "10.9.0.2/32", "interface": 1},
    ]
    found = addresses_of(result("br0", ips=told))
    assert [str(one) for one in found] == ["10.9.0.2", "10.9.0.3", "fd00::2"]

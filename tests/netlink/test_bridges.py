"""Bridges and their ports."""

from __future__ import annotations

import errno
import json
import socket
import struct
import subprocess

import pytest

from acni import netns
from acni.netlink.bridges import (
    add_vlan,
    count_ports,
    filter_vlans,
    learn_from_what_is_forwarded,
    new_bridge,
    remove_vlan,
    set_port,
)
from acni.netlink.errors import NetlinkError, NotSupported
from acni.netlink.links import Peer, get_link, new_veth
from acni.netlink.lookup import index_of
from acni.netlink.messages import attributes, u16_of
from acni.netlink.sockets import Netlink
from acni.netns import Namespace
from tests.netlink.oracle import link_of

pytestmark = pytest.mark.netns

MAC = bytes.fromhex("0a5800000001")


@pytest.fixture
def bridge(on_host: Netlink) -> int:
    on_host.request(new_bridge("cni0", mac=MAC))
    return index_of(on_host, "cni0")


@pytest.fixture
def port(on_host: Netlink, bridge: int, pod: Namespace) -> int:
    peer = Peer(name="eth0", netns_fd=pod.fd)
    on_host.request(new_veth("veth1", peer=peer, master=bridge, up=True))
    return index_of(on_host, "veth1")


def test_a_bridge_keeps_the_address_it_was_given(
    host: Namespace, on_host: Netlink, bridge: int, port: int
) -> None:
    seen = link_of(host, "cni0")
    assert (seen.get(("linkinfo", "kind")), seen.get("address")) == ("bridge", "0a:58:00:00:00:01")
    link = get_link(on_host, bridge)
    assert (link.kind, link.mac, link.is_up, link.vlan_filtering) == ("bridge", MAC, False, False)


def test_a_bridge_that_is_there_is_not_made_again(on_host: Netlink, bridge: int) -> None:
    with pytest.raises(NetlinkError) as raised:
        on_host.request(new_bridge("cni0"))
    assert raised.value.errno == errno.EEXIST


def test_ports_are_counted(
    host: Namespace, pod: Namespace, on_host: Netlink, bridge: int, port: int
) -> None:
    assert count_ports(on_host, bridge) == 1
    peer = Peer(name="eth1", netns_fd=pod.fd)
    on_host.request(new_veth("veth2", peer=peer, master=bridge), new_bridge("cni1"))
    assert count_ports(on_host, bridge) == 2
    assert count_ports(on_host, index_of(on_host, "cni1")) == 0


def test_what_a_bridge_does_with_a_port_is_set_and_the_rest_stays(
    host: Namespace, on_host: Netlink, port: int
) -> None:
    def treatment() -> tuple[bool | None, bool | None]:
        link = get_link(on_host, port)
        done = netns.run(host, ["ip", "-json", "-details", "link", "show", "veth1"], timeout=20)
        seen = json.loads(done.stdout)[0]["linkinfo"]["info_slave_data"]
        assert (seen["hairpin"], seen["isolated"]) == (link.hairpin, link.isolated)
        return link.hairpin, link.isolated

    assert treatment() == (False, False)
    on_host.request(set_port("veth1", hairpin=True))
    assert treatment() == (True, False)
    on_host.request(set_port(port, isolated=True))
    assert treatment() == (True, True)
    on_host.request(set_port(port, hairpin=False))
    assert treatment() == (False, True)


def test_a_bridge_learns_nothing_from_frames_to_itself(
    host: Namespace, on_host: Netlink, bridge: int
) -> None:
    assert not host.call(learns_less)
    on_host.request(learn_from_what_is_forwarded(bridge))
    assert host.call(learns_less)


def learns_less() -> bool:
    shown = ("ip", "-j", "-d", "link", "show", "cni0")
    (link,) = json.loads(subprocess.run(shown, capture_output=True, check=True).stdout)
    return bool(link["linkinfo"]["info_data"]["no_linklocal_learn"])


def test_what_is_no_port_cannot_be_set_like_one(on_host: Netlink, bridge: int) -> None:
    with pytest.raises(NetlinkError):
        on_host.request(set_port(bridge, hairpin=True))


def has_vlans(on_host: Netlink, bridge: int) -> bool:
    exchange = on_host.exchange([filter_vlans(bridge)])
    return exchange.verdicts[0].code == 0


def test_vlans_are_heeded_or_are_not_supported_by_this_kernel(
    on_host: Netlink, bridge: int, port: int
) -> None:
    messages = (
        filter_vlans(bridge, default_vlan=1),
        add_vlan(port, 5, pvid=True, untagged=True),
        add_vlan(bridge, 5, itself=True),
    )
    if has_vlans(on_host, bridge):
        on_host.request(*messages)
        assert get_link(on_host, bridge).vlan_filtering
    else:
        for message in messages:
            with pytest.raises(NotSupported):
                on_host.request(message)
        assert not get_link(on_host, bridge).vlan_filtering
    on_host.request(remove_vlan(port, 5), remove_vlan(bridge, 5, itself=True))


@pytest.mark.parametrize("vlan", [-1, 0, 4095, 70_000])
def test_what_is_no_vlan_is_refused(vlan: int) -> None:
    with pytest.raises(NetlinkError) as raised:
        add_vlan(1, vlan)
    assert raised.value.errno == errno.ERANGE


@pytest.mark.parametrize("itself", [False, True])
def test_a_vlan_is_written_as_the_kernel_reads_it(itself: bool) -> None:
    """struct bridge_vlan_info within IFLA_AF_SPEC, of the family AF_BRIDGE (if_bridge.h)."""
    message = add_vlan(7, 5, pvid=True, untagged=True, itself=itself)
    assert (message.kind, message.body[0]) == (19, socket.AF_BRIDGE)
    assert struct.unpack_from("=i", message.body, 4) == (7,)
    spec = attributes(attributes(message.body[16:])[26])
    assert struct.unpack("=HH", spec[2]) == (2 | 4, 5)
    assert (0 in spec) == itself
    if itself:
        assert u16_of(spec[0]) == 2
    removal = remove_vlan(7, 5, itself=itself)
    assert (removal.kind, attributes(attributes(removal.body[16:])[26])[2]) == (17, b"\0\0\5\0")


def test_filtering_is_written_as_the_kernel_reads_it() -> None:
    info = attributes(attributes(filter_vlans(7, default_vlan=0).body[16:])[18])
    assert info[1] == b"bridge\0"
    assert attributes(info[2]) == {7: b"\1", 39: b"\0\0"}

"""Questions about names, by ioctl."""

from __future__ import annotations

import errno
from ipaddress import ip_interface
from pathlib import Path

import pytest

from acni.netlink import addresses, links
from acni.netlink.bridges import new_bridge
from acni.netlink.errors import NetlinkError
from acni.netlink.lookup import has_index, has_link, index_of, ipv4_of
from acni.netlink.sockets import Netlink
from acni.netns import Namespace
from tests.netlink.oracle import link_of
from tests.netlink.scripted import agrees, scripted

pytestmark = pytest.mark.netns


def test_an_index_is_that_of_the_sockets_namespace(
    host: Namespace, on_host: Netlink, in_pod: Netlink
) -> None:
    name = "a" * 15
    on_host.request(new_bridge(name))
    index = index_of(on_host, name)
    assert index == link_of(host, name)["index"]
    assert (has_link(on_host, name), has_link(in_pod, name)) == (True, False)
    assert has_index(on_host.fileno(), index)
    assert not has_index(in_pod.fileno(), index)


@pytest.mark.parametrize("name", ["eth0", "", "a" * 16, "lo" + " " * 14])
def test_a_link_that_is_not_there_has_no_index(on_host: Netlink, name: str) -> None:
    with pytest.raises(NetlinkError) as raised:
        index_of(on_host, name)
    assert raised.value.errno == errno.ENODEV
    assert not has_link(on_host, name)


def test_a_name_that_holds_a_nul_is_no_name(on_host: Netlink) -> None:
    with pytest.raises(NetlinkError) as raised:
        has_link(on_host, "lo\0")
    assert raised.value.errno == errno.EINVAL


def test_another_refusal_than_that_there_is_none_is_raised() -> None:
    netlink, wire = scripted(agrees)
    with Path("/dev/null").open() as other:
        wire.fd = other.fileno()
        with pytest.raises(NetlinkError) as raised:
            has_index(wire.fd, 1)
        assert raised.value.errno == errno.ENOTTY
        with pytest.raises(NetlinkError) as raised:
            has_link(netlink, "lo")
        assert raised.value.errno == errno.ENOTTY


def test_the_first_address_of_a_link_is_found_without_a_message(
    host: Namespace, on_host: Netlink
) -> None:
    on_host.request(new_bridge("br0"))
    index = index_of(on_host, "br0")
    on_host.request(links.change(index, up=True))
    assert host.call(lambda: ipv4_of("br0")) is None
    on_host.request(addresses.add(ip_interface("fd00::1/64"), index=index))
    assert host.call(lambda: ipv4_of("br0")) is None
    for text in ("10.88.0.1/17", "10.99.0.1/24"):
        on_host.request(addresses.add(ip_interface(text), index=index))
    assert host.call(lambda: ipv4_of("br0")) == ip_interface("10.88.0.1/17")


@pytest.mark.parametrize("name", ["eth0", "", "a" * 16])
def test_a_link_that_is_not_there_has_no_address(host: Namespace, name: str) -> None:
    assert host.call(lambda: ipv4_of(name)) is None

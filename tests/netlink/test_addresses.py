"""Addresses, given by us and seen by pyroute2."""

from __future__ import annotations

import errno
import socket
import struct
from ipaddress import ip_interface

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acni.netlink.addresses import Address, add, list_addresses, read_address, remove
from acni.netlink.bridges import new_bridge
from acni.netlink.errors import Malformed, NetlinkError
from acni.netlink.links import change
from acni.netlink.lookup import index_of
from acni.netlink.messages import Answer, attribute, u32
from acni.netlink.sockets import Netlink
from acni.netns import Namespace
from tests.netlink.oracle import agree, asked
from tests.netlink.scripted import datagram, raw, scripted

pytestmark = pytest.mark.netns


@pytest.fixture
def device(on_host: Netlink) -> int:
    on_host.request(new_bridge("br0"))
    index = index_of(on_host, "br0")
    on_host.request(change(index, up=True), change("lo", up=True))
    return index


def seen(host: Namespace, index: int) -> set[tuple[str, int, str | None]]:
    return {
        (one.get("address"), one["prefixlen"], one.get("broadcast"))
        for one in asked(host, lambda oracle: oracle.get_addr(index=index))
        if one["scope"] == 0
    }


@pytest.mark.parametrize(
    ("text", "broadcast"),
    [
        ("10.88.0.2/16", "10.88.255.255"),
        ("10.88.0.2/30", "10.88.0.3"),
        ("10.88.0.2/31", None),
        ("10.88.0.2/32", None),
        ("fd00:88::2/64", None),
        ("fd00:88::2/128", None),
    ],
)
def test_an_address_is_given_and_taken(
    host: Namespace, on_host: Netlink, device: int, text: str, broadcast: str | None
) -> None:
    interface = ip_interface(text)
    on_host.request(add(interface, index=device))
    assert seen(host, device) == {(str(interface.ip), interface.network.prefixlen, broadcast)}
    (ours,) = (one for one in list_addresses(on_host, index=device) if one.scope == 0)
    assert (ours.interface, ours.index, ours.packed) == (interface, device, interface.packed)
    assert (ours.is_tentative, ours.is_duplicate) == (False, False)
    with pytest.raises(NetlinkError) as raised:
        on_host.request(add(interface, index=device))
    assert raised.value.errno == errno.EEXIST
    on_host.request(remove(interface, index=device))
    assert seen(host, device) == set()
    with pytest.raises(NetlinkError) as raised:
        on_host.request(remove(interface, index=device))
    assert raised.value.errno == errno.EADDRNOTAVAIL


def test_another_prefix_of_an_address_is_not_taken_away(
    host: Namespace, on_host: Netlink, device: int
) -> None:
    on_host.request(add(ip_interface("10.88.0.2/16"), index=device))
    with pytest.raises(NetlinkError):
        on_host.request(remove(ip_interface("10.88.0.2/24"), index=device))
    assert len(seen(host, device)) == 1


def test_addresses_of_all_links_are_those_of_pyroute2(
    host: Namespace, on_host: Netlink, device: int
) -> None:
    for number in range(200):
        on_host.request(add(ip_interface(f"10.88.{number}.2/24"), index=device))
    on_host.request(add(ip_interface("fd00::2/64"), index=device))
    agree(
        lambda: {(one.index, str(one.interface.ip), one.prefix) for one in list_addresses(on_host)},
        lambda: {
            (one["index"], one.get("address"), one["prefixlen"])
            for one in asked(host, lambda oracle: oracle.get_addr())
        },
    )
    assert {one.index for one in list_addresses(on_host)} == {1, device}
    assert {one.index for one in list_addresses(on_host, index=device)} == {device}


def test_addresses_of_a_link_that_is_not_there_are_an_error_or_none(on_host: Netlink) -> None:
    with pytest.raises(NetlinkError) as raised:
        list_addresses(on_host, index=99)
    assert raised.value.errno == errno.ENODEV


HEAD = struct.Struct("=BBBBI")
V4, V6 = socket.AF_INET, socket.AF_INET6


def described(*inner: bytes, family: int = V4, prefix: int = 24, kind: int = 20) -> Answer:
    return Answer(kind, 0, 1, 1, HEAD.pack(family, prefix, 0x80, 0, 7) + b"".join(inner))


def test_the_own_address_of_a_point_to_point_link_is_the_local_one() -> None:
    address = read_address(described(attribute(1, b"\1\1\1\1"), attribute(2, b"\2\2\2\2")))
    assert address == Address(index=7, packed=b"\2\2\2\2", prefix=24, flags=0x80, scope=0)


def test_flags_beyond_a_byte_count_and_say_what_ipv6_found() -> None:
    address = read_address(described(attribute(1, bytes(16)), u32(8, 0x248), family=V6))
    assert address is not None
    assert (address.flags, address.is_tentative, address.is_duplicate) == (0x248, True, True)


def test_an_address_of_another_family_is_none() -> None:
    assert read_address(described(family=socket.AF_BRIDGE)) is None


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(described(attribute(2, bytes(4)), kind=21), id="another message"),
        pytest.param(Answer(20, 0, 1, 1, bytes(7)), id="no header"),
        pytest.param(described(), id="no address"),
        pytest.param(described(attribute(2, bytes(16))), id="an address of another family"),
        pytest.param(described(attribute(2, bytes(4)), prefix=33), id="more bits than it has"),
        pytest.param(described(attribute(2, bytes(4)), attribute(8, b"\1")), id="odd flags"),
    ],
)
def test_what_describes_no_address_is_malformed(answer: Answer) -> None:
    with pytest.raises(Malformed):
        read_address(answer)


@given(st.sampled_from([V4, V6, 7]), st.integers(0, 255), st.binary(max_size=60))
def test_no_bytes_are_read_as_an_address_but_with_one_error(
    family: int, prefix: int, data: bytes
) -> None:
    try:
        address = read_address(described(data, family=family, prefix=prefix))
    except Malformed:
        return
    assert address is None or str(address.interface)


def test_addresses_of_another_link_are_filtered_where_the_kernel_does_not() -> None:
    """Before Linux 4.20 it lists all."""
    bodies = [HEAD.pack(V4, 24, 0, 0, index) + attribute(2, bytes(4)) for index in (7, 8)]
    netlink, _ = scripted(
        lambda n, _: [datagram(*(raw(20, n, body) for body in bodies)), datagram(raw(3, n, b""))]
    )
    assert [one.index for one in list_addresses(netlink, index=8)] == [8]

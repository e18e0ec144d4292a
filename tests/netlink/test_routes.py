"""Routes, made by us and seen by pyroute2."""

from __future__ import annotations

import errno
import socket
import struct
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acni import netns
from acni.netlink import addresses
from acni.netlink.bridges import new_bridge
from acni.netlink.errors import Malformed, NetlinkError
from acni.netlink.links import change
from acni.netlink.lookup import index_of
from acni.netlink.messages import Answer, attribute, nested, u32
from acni.netlink.routes import (
    BY_KERNEL,
    HOST,
    LINK,
    Route,
    add,
    link_to,
    list_routes,
    read_routes,
    remove,
)
from acni.netlink.sockets import Netlink
from acni.netns import Namespace
from tests.netlink.oracle import agree, asked
from tests.netlink.scripted import datagram, raw, scripted

pytestmark = pytest.mark.netns

ALL4, ALL6 = ip_network("0.0.0.0/0"), ip_network("::/0")
NET4, NET6 = ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")
GATEWAY4, GATEWAY6 = ip_address("10.88.0.1"), ip_address("fd00:88::1")


@pytest.fixture
def device(on_host: Netlink) -> int:
    on_host.request(new_bridge("br0"))
    index = index_of(on_host, "br0")
    on_host.request(
        addresses.add(ip_interface("10.88.0.2/16"), index=index),
        addresses.add(ip_interface("fd00:88::2/64"), index=index),
        change(index, up=True),
    )
    return index


def seen(host: Namespace, **wanted: int) -> list[Any]:
    return asked(host, lambda oracle: oracle.get_routes(**wanted))


def ours(on_host: Netlink, device: int, table: int | None = 254) -> list[Route]:
    return [
        route for route in list_routes(on_host, index=device, table=table) if route.protocol == 3
    ]


@pytest.mark.parametrize(
    ("destination", "gateway"),
    [(ALL4, GATEWAY4), (ALL6, GATEWAY6), (NET4, GATEWAY4), (NET6, GATEWAY6)],
    ids=str,
)
def test_a_route_over_a_gateway_is_made_and_removed(
    host: Namespace, on_host: Netlink, device: int, destination: Any, gateway: Any
) -> None:
    message = add(destination, gateway=gateway, index=device)
    on_host.request(message)
    (route,) = ours(on_host, device)
    assert (route.destination, route.gateway_address) == (destination, gateway)
    assert (route.index, route.table, route.scope, route.kind) == (device, 254, 0, 1)
    (theirs,) = (
        one
        for family in (socket.AF_INET, socket.AF_INET6)
        for one in seen(host, family=family)
        if one["proto"] == 3
    )
    assert theirs.get("gateway") == str(gateway)
    assert theirs["dst_len"] == destination.prefixlen
    with pytest.raises(NetlinkError) as raised:
        on_host.request(message)
    assert raised.value.errno == errno.EEXIST
    on_host.request(remove(destination, gateway=gateway, index=device))
    assert ours(on_host, device) == []
    with pytest.raises(NetlinkError) as raised:
        on_host.request(remove(destination, gateway=gateway, index=device))
    assert raised.value.errno == errno.ESRCH


@pytest.mark.parametrize("destination", [NET4, NET6], ids=str)
def test_a_route_without_a_gateway_is_to_what_is_on_the_link(
    on_host: Netlink, device: int, destination: Any
) -> None:
    on_host.request(add(destination, index=device))
    (route,) = ours(on_host, device)
    assert (route.gateway, route.gateway_address) == (None, None)
    assert route.scope == (LINK if destination is NET4 else 0)
    on_host.request(remove(destination))
    assert ours(on_host, device) == []


@pytest.mark.parametrize(("destination", "gateway"), [(ALL4, GATEWAY4), (NET6, GATEWAY6)], ids=str)
def test_what_a_route_is_to_have_it_has(
    host: Namespace, on_host: Netlink, device: int, destination: Any, gateway: Any
) -> None:
    on_host.request(
        add(
            destination,
            gateway=gateway,
            index=device,
            mtu=1400,
            advmss=1360,
            priority=77,
            table=1234,
        )
    )
    assert ours(on_host, device) == []
    (route,) = ours(on_host, device, table=1234)
    assert route == Route(
        packed=destination.network_address.packed,
        prefix=destination.prefixlen,
        gateway=gateway.packed,
        index=device,
        table=1234,
        priority=77,
        mtu=1400,
        advmss=1360,
    )
    assert ours(on_host, device, table=None) == [route]
    (theirs,) = seen(host, family=socket.AF_INET if gateway is GATEWAY4 else 10, table=1234)
    assert theirs.get(("metrics", "mtu")) == 1400
    assert theirs.get(("metrics", "advmss")) == 1360
    assert theirs.get("priority") == 77
    on_host.request(remove(destination, priority=77, table=1234))
    assert ours(on_host, device, table=1234) == []


@pytest.mark.parametrize(
    ("destination", "source"), [(NET4, "10.88.0.2"), (NET6, "fd00:88::2")], ids=str
)
def test_a_route_has_the_source_that_is_given(
    host: Namespace, on_host: Netlink, device: int, destination: Any, source: str
) -> None:
    on_host.request(add(destination, index=device, source=ip_address(source)))
    (route,) = ours(on_host, device)
    assert route.source == ip_address(source).packed
    family = socket.AF_INET if destination is NET4 else socket.AF_INET6
    theirs = seen(host, family=family)
    assert [one.get("prefsrc") for one in theirs if one["proto"] == 3] == [source]


@pytest.mark.parametrize(
    ("network", "gateway"),
    [(ip_network("10.88.0.0/16"), GATEWAY4), (ip_network("fd00:88::/64"), GATEWAY6)],
    ids=str,
)
def test_of_routes_to_one_network_the_kernels_is_removed_by_its_maker(
    on_host: Netlink, device: int, network: Any, gateway: Any
) -> None:
    on_host.request(add(network, gateway=gateway, index=device, is_beside=True))
    by_kernel = remove(network, index=device, protocol=BY_KERNEL)
    on_host.request(by_kernel)
    assert [route.destination for route in ours(on_host, device)] == [network]
    with pytest.raises(NetlinkError) as raised:
        on_host.request(by_kernel)
    assert raised.value.errno == errno.ESRCH


def test_a_scope_is_that_which_is_given(on_host: Netlink, device: int) -> None:
    on_host.request(add(NET4, index=device, scope=HOST, table=200))
    assert [route.scope for route in ours(on_host, device, table=200)] == [HOST]


def test_a_gateway_beside_every_network_needs_to_be_taken_to_be_on_the_link(
    on_host: Netlink, device: int
) -> None:
    far = ip_address("203.0.113.1")
    with pytest.raises(NetlinkError) as raised:
        on_host.request(add(ALL4, gateway=far, index=device))
    assert raised.value.errno == errno.ENETUNREACH
    on_host.request(add(ALL4, gateway=far, index=device, is_onlink=True))
    (route,) = ours(on_host, device)
    assert (route.gateway_address, route.is_onlink) == (far, True)


def test_all_routes_are_those_of_pyroute2(host: Namespace, on_host: Netlink, device: int) -> None:
    for number in range(300):
        on_host.request(add(ip_network(f"198.51.{number // 100}.{number % 100}/32"), index=device))
    on_host.request(add(ALL6, gateway=GATEWAY6, index=device))

    def key(one: Any) -> tuple[Any, ...]:
        return one["family"], one.get("dst"), one["dst_len"], one.get("oif"), one.get("table")

    families = {4: socket.AF_INET, 16: socket.AF_INET6}
    agree(
        lambda: sorted(
            (
                families[len(route.packed)],
                str(route.destination.network_address),
                route.prefix,
                route.index,
                route.table,
            )
            for route in list_routes(on_host, table=None)
            if route.prefix
        ),
        lambda: sorted(
            key(one)
            for family in families.values()
            for one in seen(host, family=family)
            if one["dst_len"]
        ),
    )


def test_routes_of_one_link_or_table_are_told_apart(on_host: Netlink, device: int) -> None:
    on_host.request(change("lo", up=True))
    assert {route.index for route in list_routes(on_host, table=None)} == {1, device}
    assert {route.index for route in list_routes(on_host, index=1, table=None)} == {1}
    assert {route.table for route in list_routes(on_host)} == {254}
    assert list_routes(on_host, table=77) == ()
    assert list_routes(on_host, table=7777) == ()


def test_routes_of_a_link_that_is_not_there_are_an_error(on_host: Netlink) -> None:
    with pytest.raises(NetlinkError) as raised:
        list_routes(on_host, index=99)
    assert raised.value.errno == errno.ENODEV


def test_a_route_of_several_ways_is_as_many_routes(
    host: Namespace, on_host: Netlink, device: int
) -> None:
    for destination, gateways in (
        ("192.0.2.0/24", ("10.88.0.1", "10.88.0.9")),
        ("2001:db8::/32", ("fd00:88::1", "fd00:88::9")),
    ):
        ways = [word for one in gateways for word in ("nexthop", "via", one, "dev", "br0")]
        netns.run(host, ["ip", "route", "add", destination, *ways], timeout=20).check_returncode()
        found = [r for r in ours(on_host, device) if str(r.destination) == destination]
        assert {str(route.gateway_address) for route in found} == set(gateways)
        assert {route.index for route in found} == {device}


def test_a_gateway_of_the_other_family_is_refused() -> None:
    for make in (add, remove):
        with pytest.raises(NetlinkError) as raised:
            make(ALL4, gateway=GATEWAY6)
        assert raised.value.errno == errno.EAFNOSUPPORT


HEAD = struct.Struct("=BBBBBBBBI")
V4, V6 = socket.AF_INET, socket.AF_INET6


def described(
    *inner: bytes, family: int = V4, prefix: int = 24, flags: int = 0, kind: int = 24
) -> Answer:
    head = HEAD.pack(family, prefix, 0, 0, 254, 3, 0, 1, flags)
    return Answer(kind, 0, 1, 1, head + b"".join(inner))


TO = attribute(1, b"\xc0\0\2\0")


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(described(TO, family=128), id="multicast"),
        pytest.param(described(TO, flags=0x200), id="a cache's"),
    ],
)
def test_what_is_no_route_of_these_is_left_out(answer: Answer) -> None:
    assert read_routes(answer) == ()


def way(size: int, *inner: bytes) -> bytes:
    return struct.pack("=HBBi", size, 0, 0, 7) + b"".join(inner)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(described(TO, kind=25), id="another message"),
        pytest.param(Answer(24, 0, 1, 1, bytes(11)), id="no header"),
        pytest.param(described(attribute(1, bytes(16))), id="a destination of another family"),
        pytest.param(described(TO, prefix=33), id="more bits than it has"),
        pytest.param(described(TO, attribute(5, bytes(16))), id="a gateway of another family"),
        pytest.param(described(TO, attribute(7, bytes(3))), id="a source that is none"),
        pytest.param(described(TO, attribute(4, bytes(2))), id="an odd link"),
        pytest.param(described(TO, nested(8, attribute(2, b"\1"))), id="an odd metric"),
        pytest.param(described(TO, attribute(9, bytes(7))), id="a way that is cut off"),
        pytest.param(described(TO, attribute(9, way(7))), id="a way shorter than its header"),
        pytest.param(described(TO, attribute(9, way(12))), id="a way longer than its data"),
        pytest.param(described(TO, attribute(9, way(16, attribute(5, bytes(3))))), id="odd way"),
    ],
)
def test_what_describes_no_route_is_malformed(answer: Answer) -> None:
    with pytest.raises(Malformed):
        read_routes(answer)


def test_a_way_ends_where_the_next_one_begins() -> None:
    ways = way(16, attribute(5, b"\1\1\1\1")) + way(8)
    first, second = read_routes(described(TO, attribute(9, ways)))
    assert (first.gateway, first.index, second.gateway) == (b"\1\1\1\1", 7, None)


@given(st.sampled_from([V4, V6, 7]), st.integers(0, 255), st.binary(max_size=60))
def test_no_bytes_are_read_as_a_route_but_with_one_error(
    family: int, prefix: int, data: bytes
) -> None:
    for answer in (
        described(data, family=family, prefix=prefix),
        described(attribute(9, data), family=family, prefix=prefix),
    ):
        try:
            routes = read_routes(answer)
        except Malformed:
            continue
        assert all(route.prefix <= 128 for route in routes)


def test_routes_of_another_table_are_filtered_where_the_kernel_does_not() -> None:
    """Before Linux 4.20 it lists all."""
    bodies = [
        described(TO, u32(4, index), u32(15, table)).body
        for index, table in [(7, 9), (8, 9), (8, 300)]
    ]
    netlink, _ = scripted(
        lambda n, _: [datagram(*(raw(24, n, body) for body in bodies)), datagram(raw(3, n, b""))]
    )
    assert [(r.index, r.table) for r in list_routes(netlink, index=8, table=300)] == [(8, 300)]
    assert [(r.index, r.table) for r in list_routes(netlink, index=8, table=9)] == [(8, 9)]
    assert len(list_routes(netlink, table=9)) == 2
    assert len(list_routes(netlink, table=None)) == 3


def test_the_link_to_an_address_is_told(on_host: Netlink, device: int) -> None:
    for address in (GATEWAY4, GATEWAY6):
        assert link_to(on_host, address) == device
    for address in (NET4.network_address, NET6.network_address):
        with pytest.raises(NetlinkError) as raised:
            link_to(on_host, address)
        assert raised.value.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH)

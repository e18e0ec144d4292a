"""Neighbours, made by pyroute2 and seen by us."""

from __future__ import annotations

import errno
import socket
import struct
from ipaddress import ip_address
from operator import methodcaller

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acni.netlink.bridges import new_bridge
from acni.netlink.errors import Malformed, NetlinkError
from acni.netlink.links import change
from acni.netlink.lookup import index_of
from acni.netlink.messages import Answer, attribute
from acni.netlink.neighbours import Neighbour, list_neighbours, read_neighbour, remove
from acni.netlink.sockets import Netlink
from acni.netns import Namespace
from tests.netlink.oracle import asked
from tests.netlink.scripted import datagram, raw, scripted

pytestmark = pytest.mark.netns

MAC = "0a:58:00:00:00:07"


@pytest.fixture
def devices(host: Namespace, on_host: Netlink) -> tuple[int, int]:
    on_host.request(new_bridge("br0"), new_bridge("br1"))
    first, second = index_of(on_host, "br0"), index_of(on_host, "br1")
    on_host.request(change(first, up=True), change(second, up=True))
    for index, address in ((first, "10.88.0.7"), (first, "fd00::7"), (second, "10.89.0.7")):
        permanent = {"dst": address, "lladdr": MAC, "ifindex": index, "state": "permanent"}
        asked(host, methodcaller("neigh", "add", **permanent))
    return first, second


def test_neighbours_are_listed_by_link_and_forgotten(
    on_host: Netlink, devices: tuple[int, int]
) -> None:
    first, second = devices
    mac = bytes.fromhex(MAC.replace(":", ""))
    there = [one for one in list_neighbours(on_host) if one.mac == mac]
    assert {(one.index, str(one.address)) for one in there} == {
        (first, "10.88.0.7"),
        (first, "fd00::7"),
        (second, "10.89.0.7"),
    }
    assert all(one.state & 0x80 for one in there)
    assert [
        str(one.address) for one in list_neighbours(on_host, index=second) if one.mac == mac
    ] == ["10.89.0.7"]
    for address in ("10.88.0.7", "fd00::7"):
        on_host.request(remove(ip_address(address), index=first))
        with pytest.raises(NetlinkError) as raised:
            on_host.request(remove(ip_address(address), index=first))
        assert raised.value.errno == errno.ENOENT
    assert [one for one in list_neighbours(on_host, index=first) if one.mac == mac] == []


HEAD = struct.Struct("=BxxxiHBB")
V4 = socket.AF_INET


def described(*inner: bytes, family: int = V4, kind: int = 28) -> Answer:
    return Answer(kind, 0, 1, 1, HEAD.pack(family, 7, 0x80, 0, 0) + b"".join(inner))


def test_a_neighbour_that_did_not_answer_has_no_address_of_hardware() -> None:
    assert read_neighbour(described(attribute(1, bytes(4)))) == Neighbour(
        index=7, packed=bytes(4), mac=None, state=0x80
    )
    assert read_neighbour(described(family=socket.AF_BRIDGE)) is None


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(described(attribute(1, bytes(4)), kind=29), id="another message"),
        pytest.param(Answer(28, 0, 1, 1, bytes(11)), id="no header"),
        pytest.param(described(), id="no address"),
        pytest.param(described(attribute(1, bytes(16))), id="an address of another family"),
    ],
)
def test_what_describes_no_neighbour_is_malformed(answer: Answer) -> None:
    with pytest.raises(Malformed):
        read_neighbour(answer)


@given(st.sampled_from([V4, 10, 7]), st.binary(max_size=60))
def test_no_bytes_are_read_as_a_neighbour_but_with_one_error(family: int, data: bytes) -> None:
    try:
        neighbour = read_neighbour(described(data, family=family))
    except Malformed:
        return
    assert neighbour is None or str(neighbour.address)


def test_neighbours_on_another_link_are_filtered_where_the_kernel_does_not() -> None:
    bodies = [HEAD.pack(V4, index, 0, 0, 0) + attribute(1, bytes(4)) for index in (7, 8)]
    netlink, _ = scripted(
        lambda n, _: [datagram(*(raw(28, n, body) for body in bodies)), datagram(raw(3, n, b""))]
    )
    assert [one.index for one in list_neighbours(netlink, index=8)] == [8]

"""The kernel's socket under a conversation."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from acni.netlink.wire import KernelWire
from acni.netns import Namespace

pytestmark = pytest.mark.netns


@pytest.fixture
def wire(host: Namespace) -> Iterator[KernelWire]:
    with closing(host.call(lambda: KernelWire.open(socket.NETLINK_ROUTE))) as opened:
        yield opened


def test_a_wait_ends_with_its_deadline(wire: KernelWire) -> None:
    before = time.monotonic()
    assert not wire.wait(0.02)
    assert not wire.wait(-1)
    assert time.monotonic() - before >= 0.02
    assert wire.receive() is None


@pytest.mark.parametrize(("size", "is_truncated"), [(1 << 16, False), ((1 << 16) + 1, True)])
def test_who_sent_a_datagram_and_whether_it_is_whole_is_told(
    host: Namespace, wire: KernelWire, size: int, is_truncated: bool
) -> None:
    """Whoever may configure networks may send to another's socket."""

    def send() -> int:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as other:
            other.sendto(bytes(size), (wire.port, 0))
            port: int = other.getsockname()[0]
            return port

    port = host.call(send)
    assert wire.wait(30)
    datagram = wire.receive()
    assert datagram is not None
    assert (datagram.sender, datagram.is_truncated) == (port, is_truncated)
    assert len(datagram.data) == 1 << 16
    assert port != 0


def test_two_sockets_have_ports_of_their_own(host: Namespace, wire: KernelWire) -> None:
    with closing(host.call(lambda: KernelWire.open(socket.NETLINK_ROUTE))) as other:
        assert other.port != wire.port
        assert min(other.port, wire.port) > 0


def test_a_protocol_that_is_none_leaves_nothing_open() -> None:
    with pytest.raises(OSError, match="rotocol"):
        KernelWire.open(31)

"""Connections, as sockets make them, forgotten by us; /proc says which there are."""

from __future__ import annotations

import socket
from contextlib import closing
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from acni.host import netns
from acni.netlink.conntrack import forget
from acni.netlink.netfilter import Netfilter
from acni.netns import Namespace
from tests.netlink.nft import nft

pytestmark = pytest.mark.netns

TCP, UDP = int(socket.IPPROTO_TCP), int(socket.IPPROTO_UDP)
V4, V6 = int(socket.AF_INET), int(socket.AF_INET6)
FOLLOWED = """
table inet t {
  chain translated {
    type nat hook output priority 0; ip daddr 127.0.0.1 udp dport 53 dnat to 127.0.0.9;
  }
  chain followed { type filter hook output priority 10; ct state new accept; }
}
"""


@pytest.fixture
def flows(host: Namespace) -> None:
    """Some of UDP: to ports 53 and 54 of both families, that of 53 translated."""
    nft(host, "-f", "-", given=FOLLOWED)
    netns.set_up(host, "lo")
    for family, address in ((V4, "127.0.0.1"), (V6, "::1")):
        with closing(host.call(partial(socket.socket, family, socket.SOCK_DGRAM))) as one:
            for port in (53, 54):
                one.sendto(b"x", (address, port))


def ports(host: Namespace) -> list[str]:
    """The ports that connections were sent to, by family."""
    lines = host.call(lambda: Path("/proc/thread-self/net/nf_conntrack").read_text()).splitlines()
    words = [line.split() for line in lines]
    return sorted(f"{one[0]} {next(w for w in one if w.startswith('dport='))}" for one in words)


ALL = ["ipv4 dport=53", "ipv4 dport=54", "ipv6 dport=53", "ipv6 dport=54"]


def test_what_was_sent_to_a_port_is_forgotten(
    host: Namespace, firewall: Netfilter, flows: None
) -> None:
    assert ports(host) == ALL
    for _ in range(2):
        firewall.netlink.request(forget(UDP, 53, family=V4))
        assert ports(host) == ALL[1:]
    firewall.netlink.request(forget(UDP, 54, family=V6))
    assert ports(host) == ALL[1:3]


def test_what_another_answers_is_not(host: Namespace, firewall: Netfilter, flows: None) -> None:
    def forget_answered_by(address: str, protocol: int = UDP) -> list[str]:
        answered_by = IPv4Address(address)
        firewall.netlink.request(forget(protocol, 53, family=V4, answered_by=answered_by))
        return ports(host)

    assert forget_answered_by("127.0.0.1") == ALL
    assert forget_answered_by("127.0.0.9", TCP) == ALL
    assert forget_answered_by("127.0.0.9") == ALL[1:]

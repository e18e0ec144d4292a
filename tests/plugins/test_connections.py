"""What is asked of the kernel so that connections of UDP are forgotten, and what it may refuse."""

from __future__ import annotations

import errno
from ipaddress import ip_address

import pytest

from acni.netlink.errors import AnswerLost, NetlinkError
from acni.netlink.netfilter import Netfilter
from acni.plugins.connections import forget_connections, forget_led
from acni.plugins.owners import Owner
from acni.plugins.podelements import Port, masquerading, publishing
from acni.spec.attachment import AttachmentId
from tests.netlink.scripted import agrees, overrun, scripted, verdict

OURS = Owner("net", AttachmentId("c1"))
V4, V6 = ip_address("10.9.0.2"), ip_address("fd00:9::2")
TCP, UDP = 6, 17


def test_each_port_of_udp_in_the_entries_is_asked_for_and_nothing_else() -> None:
    netlink, wire = scripted(agrees)
    ports = [Port(protocol=kind, host_port=53, pod_port=53) for kind in (TCP, UDP)]
    ports.append(Port(protocol=UDP, host_port=54, pod_port=54, host_address=V4))
    entries = [publishing(OURS, V4, ports), publishing(OURS, V6, ports[:2]), masquerading(OURS, V4)]
    forget_led(Netfilter(netlink), entries)
    assert len(wire.sent) == 3


@pytest.mark.parametrize("code", [errno.ENOENT, errno.EINVAL, errno.EOPNOTSUPP])
def test_a_kernel_that_cannot_is_excused(code: int) -> None:
    netlink, _ = scripted(lambda first, _: [verdict(first, code)])
    forget_connections(Netfilter(netlink), 53, V4, is_answered=True)


def test_one_that_does_not_now_is_not() -> None:
    netlink, _ = scripted(lambda first, _: [verdict(first, errno.ENOMEM)])
    with pytest.raises(NetlinkError):
        forget_connections(Netfilter(netlink), 53, V4, is_answered=True)
    netlink, _ = scripted(lambda *_: [overrun()])
    with pytest.raises(AnswerLost):
        forget_connections(Netfilter(netlink), 53, V6, is_answered=False)

"""The table of connections: what is forgotten of it.

A connection is translated as its first packet was, for as long as it lives; one of UDP lives for as
long as somebody sends. So a port that leads elsewhere now has its connections forgotten.

(include/uapi/linux/netfilter/nfnetlink_conntrack.h; net/netfilter/nf_conntrack_netlink.c)
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Final

from acni.netlink.messages import Message, attribute, be16, nested, u8, u32
from acni.netlink.nfmessages import subsystem_message

_SUBSYSTEM: Final = 1
_CT_DELETE: Final = 2

_ORIGINAL, _REPLY = 1, 2  # CTA_TUPLE_ORIG, CTA_TUPLE_REPLY; CTA_FILTER has them by these numbers
_FILTER: Final = 25
_IP, _PROTOCOL = 1, 2
_NUMBER, _DESTINATION_PORT = 1, 3
_IPV4_SOURCE: Final = 1  # CTA_IP_V4_SRC

_BY_SOURCE: Final = 1 << 0
_BY_PROTOCOL_AND_PORT: Final = 1 << 3 | 1 << 5


def forget(
    protocol: int, port: int, *, family: int, answered_by: IPv4Address | None = None
) -> Message:
    """Forget the connections to a port, whatever the address (ENOENT: a kernel before Linux 5.8
    cannot).

    Who answers is compared for IPv4 alone: of IPv6, Linux 6.18 takes those that differ
    (ctnetlink_filter_match_tuple).

    Args:
        protocol: IPPROTO_UDP or another.
        port: The port that they were sent to first.
        family: AF_INET or AF_INET6.
        answered_by: Only those of IPv4 that this address answers; None, all.
    """
    sent_to = nested(
        _ORIGINAL, nested(_PROTOCOL, u8(_NUMBER, protocol), be16(_DESTINATION_PORT, port))
    )
    answers = b""
    if answered_by is not None:
        source = attribute(_IPV4_SOURCE, answered_by.packed)
        answers = nested(_REPLY, nested(_IP, source))
    conditions = nested(
        _FILTER,
        u32(_ORIGINAL, _BY_PROTOCOL_AND_PORT),
        u32(_REPLY, 0 if answered_by is None else _BY_SOURCE),
    )
    return subsystem_message(_SUBSYSTEM, _CT_DELETE, 0, sent_to, answers, conditions, family=family)

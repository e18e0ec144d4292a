"""Connections of UDP that ports of the host lead to containers: forgotten with the port.

The kernel goes on leading one to where its first packet went, for as long as somebody sends; by
then the address may be the next container's.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address
from typing import Final

from acni.netlink.conntrack import forget
from acni.netlink.errors import NetlinkError
from acni.netlink.families import IpAddress, family_of
from acni.netlink.netfilter import Netfilter
from acni.plugins.podelements import ports_of
from acni.plugins.tables import Entry

UDP: Final = int(socket.IPPROTO_UDP)

# What forgetting gives where connections are not followed, or the kernel is older than Linux 5.8.
_CANNOT_FORGET: Final = (errno.ENOENT, errno.EINVAL, errno.EOPNOTSUPP)


def forget_connections(
    netfilter: Netfilter, host_port: int, address: IpAddress, *, is_answered: bool
) -> None:
    """Forget the connections to a port of the host.

    Args:
        netfilter: The host's socket.
        host_port: The port.
        address: A container's; what is forgotten is of its family.
        is_answered: Only those that it answers, as far as the kernel can tell (IPv4).

    Raises:
        NetlinkError: the kernel refuses.
    """
    answered_by = address if is_answered and isinstance(address, IPv4Address) else None
    message = forget(UDP, host_port, family=family_of(address), answered_by=answered_by)
    try:
        netfilter.netlink.request(message)
    except NetlinkError as error:
        if not error.is_verdict(*_CANNOT_FORGET):
            raise


def forget_led(netfilter: Netfilter, entries: Iterable[Entry]) -> None:
    """Forget what the ports lead to containers that are in entries, as the table has them.

    Raises:
        NetlinkError: the kernel refuses.
    """
    for entry in entries:
        for port in ports_of(entry):
            if port.protocol == UDP:
                forget_connections(netfilter, port.host_port, entry.address, is_answered=True)

"""How a container that has ports of the host is reached: by which link, and from 127.0.0.1."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence

from acni.netlink.errors import NetlinkError
from acni.netlink.families import IpAddress, is_v4
from acni.netlink.links import Link, find_link
from acni.netlink.routes import link_to
from acni.netlink.settings import Ipv4Setting, ipv4_of, set_ipv4
from acni.netlink.sockets import Netlink
from acni.plugins.refusals import doing
from acni.plugins.tables import Entry


def ways_to(host: Netlink, entries: Sequence[Entry]) -> Mapping[IpAddress, Link]:
    """Map each address of the container that is reached to the link by which."""
    with doing("looking for the way to the container"):
        indexes = {entry.address: _link_to(host, entry.address) for entry in entries}
        links = {
            index: find_link(host, index) for index in set(indexes.values()) if index is not None
        }
    ways = {address: links.get(index) for address, index in indexes.items() if index is not None}
    return {address: link for address, link in ways.items() if link is not None}


def _link_to(host: Netlink, address: IpAddress) -> int | None:
    try:
        return link_to(host, address)
    except NetlinkError as error:
        if error.errno not in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES):
            raise
        return None


def let_localhost_in(host: Netlink, ways: Mapping[IpAddress, Link]) -> None:
    """Let the host's 127.0.0.1 lead to the container; from a wire the table lets nobody use it.

    A bridge does so since its first container; to say it again would make all who ask about links
    wait.
    """
    with doing("letting 127.0.0.1 lead to the container"):
        for address, link in ways.items():
            if is_v4(address) and ipv4_of(link, Ipv4Setting.ROUTE_LOCALNET) != 1:
                host.request(set_ipv4(link.index, Ipv4Setting.ROUTE_LOCALNET, 1))

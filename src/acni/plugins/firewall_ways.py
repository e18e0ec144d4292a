"""By which links of the host a container is reached, as the result of the plugins before says it.

Rule 1: the kernel is asked what the links are that a result names; the reference takes the first
    one for a bridge, whatever it is.
Rule 2: a result before 0.3.0 names none: then it is the link that a plugin of ours has made.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

from acni.netlink.errors import NetlinkError
from acni.netlink.families import IpAddress
from acni.netlink.links import Link, find_link
from acni.netlink.messages import encoded
from acni.netlink.sockets import Netlink
from acni.plugins.addressing import parse_its_address
from acni.plugins.owners import Owner
from acni.spec.result import Result

_MOST_NAME_BYTES: Final = 15


@frozen(kw_only=True)
class Way:
    """How a container is reached.

    Attributes:
        addresses: The container's.
        bridge: The bridge of the host that it is connected with, or None.
        ports: Ports of that bridge that lead to it; without one, the links of the host that do.
        is_past_the_host: Whether the host does not forward what the container sends, as with a link
            that lies on one of the host's.
    """

    addresses: tuple[IpAddress, ...]
    bridge: Link | None
    ports: tuple[Link, ...]
    is_past_the_host: bool

    @property
    def links(self) -> tuple[str, ...]:
        """The names of the links by which packets come and go, as the host's firewall has them."""
        links = self.ports if self.bridge is None else (self.bridge,)
        return tuple(link.name for link in links)


def find_way(host: Netlink, previous: Result, owner: Owner) -> Way:
    """Return how a container is reached.

    Args:
        host: The host's socket.
        previous: The result.
        owner: The attachment.

    Raises:
        NetlinkError: the kernel does not say.
    """
    names = names_on_host(previous)
    if previous.interfaces:
        found = [find_link(host, name) for name in names]
    else:
        own = find_link(host, owner.link_name)
        found = [own if own is not None and owner.may_own(own.alias) else None]
    links = [link for link in found if link is not None]
    bridge = _first_bridge(links)
    if bridge is None:
        masters = (find_link(host, link.master) for link in links if link.master is not None)
        bridge = _first_bridge([one for one in masters if one is not None])
    return Way(
        addresses=tuple(addresses_of(previous)),
        bridge=bridge,
        ports=tuple(link for link in links if bridge is None or link.master == bridge.index),
        is_past_the_host=bool(previous.interfaces) and not names,
    )


def names_on_host(previous: Result) -> list[str]:
    """Return the names of a result's interfaces on the host, as far as links can be called so."""
    names = (one.name for one in previous.interfaces if not one.sandbox)
    return [name for name in names if _may_be_a_links(name)]


def addresses_of(previous: Result) -> list[IpAddress]:
    """Return all addresses that a result gives to a container."""
    on_host = {place for place, one in enumerate(previous.interfaces) if not one.sandbox}
    found = (ip for ip in previous.ips if ip.interface not in on_host)
    return list(dict.fromkeys(parse_its_address(ip.address) for ip in found))


def _may_be_a_links(name: str) -> bool:
    try:
        return 0 < len(encoded(name)) <= _MOST_NAME_BYTES
    except NetlinkError:
        return False


def _first_bridge(links: list[Link]) -> Link | None:
    return next((link for link in links if link.kind == "bridge"), None)

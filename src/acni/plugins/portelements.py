"""Which ports of the host lead where, as the table of :mod:`acni.plugins.ruleset` has them."""

from __future__ import annotations

from collections.abc import Callable

from acni.netlink.families import IpAddress
from acni.netlink.netfilter import Netfilter
from acni.netlink.nftables import Element
from acni.plugins.elements import find_element, listed
from acni.plugins.owners import Owner
from acni.plugins.podelements import (
    Port,
    address_of,
    beside,
    host_port_of,
    leading,
    port_maps,
    published,
)
from acni.plugins.tables import comment_of


def is_published(netfilter: Netfilter, owner: Owner, address: IpAddress) -> bool:
    """Tell whether ports lead to an address of an owner.

    Raises:
        NetlinkError: the kernel does not say.
    """
    there = find_element(netfilter, published(address))
    return there is not None and there.comment == comment_of(owner)


def published_ports(netfilter: Netfilter, is_wanted: Callable[[str], bool]) -> frozenset[int]:
    """Return the ports of the host that lead to some owners' pods.

    Args:
        netfilter: The host's socket.
        is_wanted: Tells by an owner in words.

    Raises:
        NetlinkError: the kernel does not say.
    """
    there = (one for name in port_maps() for one in listed(netfilter, name))
    return frozenset(
        host_port_of(one) for one in there if one.comment is not None and is_wanted(one.comment)
    )


def taken_beside(netfilter: Netfilter, port: Port, address: IpAddress) -> Element | None:
    """Return what leads a port elsewhere at all addresses of the host, where it is wanted at one,
    or at one where it is wanted at all; None where nothing does.

    Raises:
        NetlinkError: the kernel does not say.
    """
    name, end = beside(port, address)
    there = (
        [find_element(netfilter, Element(name, end))]
        if port.host_address is not None
        else listed(netfilter, name)
    )
    return next(
        (
            one
            for one in there
            if one is not None and one.key.endswith(end) and address_of(one) != address.packed
        ),
        None,
    )


def is_taken(netfilter: Netfilter, port: Port, address: IpAddress) -> bool:
    """Tell whether a port leads elsewhere at one of the host's addresses at which it is wanted.

    Raises:
        NetlinkError: the kernel does not say.
    """
    there = find_element(netfilter, leading(port, address))
    is_elsewhere = there is not None and address_of(there) != address.packed
    return is_elsewhere or taken_beside(netfilter, port, address) is not None

"""The host's end of ``ptp``: made, found again.

Rule 1: it is an attachment's by one of four proofs, tried in this order:

    1. it has the name that this plugin gives, and no other's mark;
    2. it is the other end of the container's interface (the kernel says so from both sides), and no
       port of a bridge: so the reference's are found, too;
    3. the result that ADD returned names it, with its hardware address, directly before the
       container's interface of this name, and it is no port. What other plugins made stands
       elsewhere. Where there is a namespace, its other end is in that;
    4. it has this attachment's mark, whatever it is called by now. All links of the host are listed
       for that, so it is the last.
Rule 2: what carries another attachment's mark is none of them.
Rule 3: nothing else here lists the links or the routes of the host, so that a container costs as
    much beside a thousand others as alone.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from acni.netlink import addresses, links, routes
from acni.netlink.errors import NetlinkError
from acni.netlink.families import is_v4
from acni.netlink.links import Link, Peer, find_link
from acni.netlink.lookup import index_of
from acni.netlink.namespaces import netnsid_of
from acni.netlink.sockets import Netlink
from acni.plugins.hardwareaddresses import link_local, mac_text
from acni.plugins.hostlinks import own_routes
from acni.plugins.owners import Owner, is_mark
from acni.plugins.ownlinks import find_marked, find_own, other_end_of
from acni.plugins.ptp_layout import End
from acni.plugins.refusals import doing, interface_exists
from acni.plugins.steps import Step, take
from acni.skel.call import Call
from acni.spec.result import Interface, Result

_WHAT: Final = "configuring the host's end"


def make_pair(host: Netlink, name: str, *, mac: bytes, mtu: int | None, peer: Peer) -> int:
    """Make the container's pair of links, both down; return the index of the host's end.

    Args:
        host: The host's socket.
        name: The name of the host's end.
        mac: Its hardware address.
        mtu: The MTU of both.
        peer: The container's end.

    Raises:
        PluginError: there is an interface of the container's name already, or the kernel refuses.
    """
    with doing(f"making {peer.name}"):
        try:
            host.request(links.new_veth(name, peer=peer, mac=mac, mtu=mtu))
        except NetlinkError as error:
            if error.errno == errno.EEXIST:
                raise interface_exists(peer.name) from error
            raise
        return index_of(host, name)


def configure_end(
    host: Netlink, index: int, owner: Owner, *, mac: bytes, ends: Sequence[End]
) -> None:
    """Mark the host's end, give it the gateways' addresses, set it up, and route the container's
    addresses to it.

    Args:
        host: The host's socket.
        index: The index of the host's end.
        owner: Whose it is.
        mac: Its hardware address.
        ends: The addresses.

    Raises:
        PluginError: somebody else has a route to an address, IPv6 is disabled, or the kernel
            refuses.
    """
    own_routes(owner.link_name)
    take(host, list(_steps(index, owner, mac, ends)), what=_WHAT)


def find_end(host: Netlink, call: Call, owner: Owner) -> Link | None:
    """Return the host's end of an attachment; None where there is none.

    Args:
        host: The host's socket.
        call: What is called: the namespace may be gone, and there may be no result.
        owner: The attachment.

    Raises:
        PluginError: the kernel does not say.
    """
    with doing(f"looking for the links of {owner.attachment}"):
        if (own := find_own(host, owner)) is not None:
            return own
        candidates = (
            other_end_of(host, call.netns, call.ifname),
            _named_in(host, call),
        )
        known = next((one for one in candidates if one and _is_of(one, owner)), None)
        return known or find_marked(host, owner, kind="veth")


def _steps(index: int, owner: Owner, mac: bytes, ends: Sequence[End]) -> Iterator[Step]:
    name = owner.link_name
    yield Step(links.change(index, alias=owner.mark), f"the mark of {name}")
    for gateway in dict.fromkeys(end.gateway_interface for end in ends):
        message = addresses.add(gateway, index=index)
        yield Step(message, f"the address {gateway} of {name}", is_ipv6=not is_v4(gateway))
    if not all(is_v4(end.gateway) for end in ends):
        # Or the kernel would look for others with it first, and ask for nobody meanwhile.
        own = addresses.add(link_local(mac), index=index)
        yield Step(own, f"the link-local address of {name}", errno.EEXIST, is_ipv6=True)
    yield Step(links.change(index, up=True), f"setting {name} up")
    for end in ends:
        message = routes.add(end.container_network, index=index, scope=routes.HOST)
        yield Step(message, f"the host's route to {end.address.ip}")


def _named_in(host: Netlink, call: Call) -> Link | None:
    """Return the link that a result names as the host's end, if it still has its hardware address
    and leads into the container.
    """
    told = _host_end(call.previous, call.ifname)
    if told is None or not told.mac:
        return None
    link = find_link(host, told.name)
    if link is None or mac_text(link.mac) != told.mac.lower():
        return None
    if call.netns is not None:
        number = netnsid_of(host, call.netns.fd)
        if number is None or link.peer_netnsid != number:
            return None
    return link


def _host_end(previous: Result | None, ifname: str) -> Interface | None:
    """Return what stands directly before the container's interface in a result, of the host."""
    for end, inside in pairwise(() if previous is None else previous.interfaces):
        if inside.sandbox and inside.name == ifname:
            return None if end.sandbox else end
    return None


def _is_of(link: Link, owner: Owner) -> bool:
    if is_mark(link.alias):
        return link.alias == owner.mark
    return link.kind == "veth" and link.master is None

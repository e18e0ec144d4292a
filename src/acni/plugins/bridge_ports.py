"""Which link of the host is an attachment's: found for DEL, and for CHECK.

Rule 1: a link is an attachment's by one of four proofs, tried in this order:

    1. it has the name that this plugin gives, and no other's mark;
    2. it is the other end of the container's interface (the kernel says so from both sides), and a
       port of the bridge: so the reference's are found, too;
    3. the result that ADD returned names it behind the bridge, with its hardware address, and it is
       a port of the bridge;
    4. it has this attachment's mark, whatever it is called by now. All links of the host are listed
       for that, so it is the last: where none of the others finds one.
Rule 2: what carries another attachment's mark is none of them.
"""

from __future__ import annotations

from acni.netlink.links import Link, find_link
from acni.netlink.namespaces import netnsid_of
from acni.netlink.sockets import Netlink
from acni.plugins.bridge_refusals import doing
from acni.plugins.containerlinks import open_container, require_no_interface
from acni.plugins.hardwareaddresses import mac_text
from acni.plugins.hostlinks import find_marked, require_no_port
from acni.plugins.owners import Owner, is_mark
from acni.skel.call import Call, OpenNetns
from acni.spec.result import Result


def find_own(host: Netlink, owner: Owner) -> Link | None:
    """Return the link of the name that this plugin gives; None where there is none.

    Raises:
        NetlinkError: the kernel does not say.
    """
    link = find_link(host, owner.link_name)
    is_own = link is not None and link.kind == "veth" and owner.may_own(link.alias)
    return link if is_own else None


def require_new(host: Netlink, call: Call, owner: Owner) -> None:
    """Refuse an attachment that has a link already. That is before IPAM is asked: what it gave an
    earlier ADD is not to be undone by this one.

    Raises:
        PluginError: the host's end is there, or an interface of its name in the container.
    """
    require_no_port(host, owner, call.ifname)
    if call.netns is not None:
        with open_container(call.netns) as inside:
            require_no_interface(inside, call.ifname)


def find_port(host: Netlink, call: Call, owner: Owner, bridge: str) -> Link | None:
    """Return the host's end of an attachment's pair of links; None where there is none.

    Args:
        host: The host's socket.
        call: What is called: the namespace may be gone, and there may be no result.
        owner: The attachment.
        bridge: The bridge's name.

    Raises:
        PluginError: the kernel does not say.
    """
    with doing(f"looking for the links of {owner.attachment}"):
        if (own := find_own(host, owner)) is not None:
            return own
        return _find_behind(host, call, owner, bridge) or find_marked(host, owner, kind="veth")


def other_end(host: Netlink, netns_fd: int, inside: Link) -> Link | None:
    """Return the link of the host that is the other end of one of a container; None where that is
    elsewhere.

    Args:
        host: The host's socket.
        netns_fd: The container's namespace.
        inside: The link there.

    Raises:
        NetlinkError: the kernel does not say.
    """
    if inside.kind != "veth" or inside.peer is None or inside.peer_netnsid is None:
        return None
    link = find_link(host, inside.peer)
    # An index says little: each namespace counts by itself. So the other side is asked as well.
    if link is None or link.kind != "veth" or link.peer != inside.index:
        return None
    number = netnsid_of(host, netns_fd)
    return link if number is not None and link.peer_netnsid == number else None


def _find_behind(host: Netlink, call: Call, owner: Owner, bridge: str) -> Link | None:
    """Return the port of a bridge to which the container or its result leads."""
    on_host = find_link(host, bridge)
    if on_host is None:
        return None
    candidates = (
        other_end_of(host, call.netns, call.ifname),
        *_named_in(host, call.previous, on_host.name),
    )
    return next((one for one in candidates if one and _is_of(one, on_host, owner)), None)


def other_end_of(host: Netlink, netns: OpenNetns | None, ifname: str) -> Link | None:
    """Return the link of the host that is the other end of a container's interface of a name.

    Raises:
        NetlinkError: the kernel does not say.
    """
    if netns is None:
        return None
    with open_container(netns) as container:
        inside = find_link(container, ifname)
    return None if inside is None else other_end(host, netns.fd, inside)


def _named_in(host: Netlink, previous: Result | None, bridge: str) -> list[Link]:
    """Return the links that a result names behind the bridge, and that still have their hardware
    address.
    """
    found: list[Link] = []
    is_behind = False
    for interface in () if previous is None else previous.interfaces:
        if interface.sandbox or interface.name == bridge:
            is_behind = is_behind or interface.name == bridge
            continue
        link = find_link(host, interface.name) if is_behind else None
        if link is not None and interface.mac and mac_text(link.mac) == interface.mac.lower():
            found.append(link)
    return found


def _is_of(link: Link, bridge: Link, owner: Owner) -> bool:
    if is_mark(link.alias):
        return link.alias == owner.mark
    return link.kind == "veth" and link.master == bridge.index

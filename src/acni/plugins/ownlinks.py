"""Which links of the host are an attachment's.

Rule 1: a link is removed where it is proved to be ours: by its name and mark, or as the other end
    of the container's interface.
Rule 2: all links of the host are listed only for a mark, and a mark is looked for where nothing
    else led to a link.
"""

from __future__ import annotations

from typing import Final

from acni.netlink.errors import DumpInterrupted
from acni.netlink.links import Link, find_by_alias, find_link, list_links
from acni.netlink.lookup import has_link
from acni.netlink.namespaces import netnsid_of
from acni.netlink.sockets import Netlink
from acni.plugins.containerlinks import open_container, require_no_interface
from acni.plugins.owners import Owner, network_mark
from acni.plugins.refusals import doing, interface_exists
from acni.skel.call import Call, OpenNetns

# Most deletes that look for a mark look for what is gone with its namespace.
_LISTS: Final = 3


def find_own(host: Netlink, owner: Owner) -> Link | None:
    """Return the link of the name that this plugin gives; None where there is none.

    Raises:
        NetlinkError: the kernel does not say.
    """
    link = find_link(host, owner.link_name)
    is_own = link is not None and link.kind == "veth" and owner.may_own(link.alias)
    return link if is_own else None


def find_marked(host: Netlink, owner: Owner, *, kind: str) -> Link | None:
    """Return the link of the owner's mark, whatever it is called. Where the list changes whenever
    it is read, as beside many that come and go, there is none: GC finds what is left then.

    Raises:
        NetlinkError: the kernel does not say.
    """
    try:
        return find_by_alias(host, owner.mark, kind=kind, tries=_LISTS)
    except DumpInterrupted:
        return None


def list_unowned(host: Netlink, call: Call, *, kind: str) -> list[Link]:
    """Return the links of a kind that are of a network and of none of its valid attachments.

    Args:
        host: The host's socket.
        call: A GC.
        kind: The kind.

    Raises:
        PluginError: the kernel does not say.
    """
    if call.valid is None:
        return []
    valid = {Owner(call.network, one).mark for one in call.valid}
    prefix = network_mark(call.network)
    with doing("listing links"):
        return [
            link
            for link in list_links(host)
            if link.kind == kind
            and link.alias is not None
            and link.alias.startswith(prefix)
            and link.alias not in valid
        ]


def require_new(host: Netlink, inside: Netlink, call: Call, owner: Owner) -> None:
    """Refuse an attachment that has a link already. That is before IPAM is asked: what it gave an
    earlier ADD is not to be undone by this one.

    Raises:
        PluginError: the host's end is there, or an interface of its name in the container.
    """
    _require_no_port(host, owner, call.ifname)
    require_no_interface(inside, call.ifname)


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


def _require_no_port(host: Netlink, owner: Owner, ifname: str) -> None:
    """Refuse an attachment that has its link already.

    Raises:
        PluginError: it was added, and not deleted since.
    """
    with doing(f"looking for {owner.link_name}"):
        if has_link(host, owner.link_name):
            details = f"{owner.link_name} is the host's end of {owner.attachment}: delete it first"
            raise interface_exists(ifname, details)

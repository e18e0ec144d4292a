"""The link of a container that lies on another one, made and found again.

Nothing of it is on the host, and it is gone with the container's namespace.

Rule 1: it is made with the name that a pair's end would have on the host, and gets its own in the
    container: in one message with the mark that says whose it is.
Rule 2: it is an attachment's by one of three proofs, tried in this order:

    1. it carries its mark, whatever it is called by now;
    2. it has the name that it was made with, and no mark: ADD was killed before it could mark it;
    3. it has the interface's name and no mark, and lies on the link that is configured, or is as a
       result tells it: so the reference's are found, too.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterable

from acni.host import netns
from acni.netlink import links
from acni.netlink.errors import NetlinkError
from acni.netlink.links import Link, find_link, get_link, list_links
from acni.netlink.namespaces import netnsid_of
from acni.netlink.routes import list_routes
from acni.netlink.sockets import Netlink
from acni.netlink.stacked import Upper
from acni.plugins.hardwareaddresses import mac_text
from acni.plugins.owners import Owner, is_mark
from acni.plugins.refusals import doing, interface_exists
from acni.plugins.upper_settings import Settings
from acni.skel.call import Call, OpenNetns
from acni.skel.errors import Code, PluginError
from acni.spec.result import Result


def find_master(there: Netlink, settings: Settings) -> Link:
    """Return the link that it is to lie on.

    Args:
        there: A socket of the namespace that it is in.
        settings: What is configured.

    Raises:
        PluginError: there is none, or its packets are smaller than those that are wanted.
    """
    with doing("looking for the link below"):
        master = _master(there, settings.master)
    if settings.mtu is not None and settings.mtu > master.mtu:
        message = f"{settings.mtu} is more than the {master.mtu} of {master.name} at $.mtu"
        raise PluginError(Code.INVALID_CONFIG, message)
    return master


def make_upper(
    there: Netlink, container: OpenNetns, settings: Settings, master: Link, owner: Owner
) -> None:
    """Make the link, with a name that nobody has, in the container.

    Args:
        there: A socket of the namespace of the link below.
        container: The container.
        settings: What is configured.
        master: The link below.
        owner: Whose it is.

    Raises:
        PluginError: the kernel has no such kind of link, or refuses.
    """
    upper = Upper(
        name=owner.link_name,
        lower=master.index,
        netns_fd=None if settings.is_inside else container.fd,
        mac=settings.mac,
        mtu=settings.mtu,
    )
    with doing(f"making the {settings.kind} on {master.name}"):
        there.request(settings.make(upper))


def name_upper(inside: Netlink, owner: Owner) -> Link:
    """Give the link that was made its name and its mark; return it as it is.

    Raises:
        PluginError: somebody else has taken the name meanwhile, or the kernel refuses.
    """
    ifname = owner.attachment.ifname
    with doing(f"naming {ifname}"):
        link = get_link(inside, owner.link_name)
        try:
            inside.request(links.change(link.index, name=ifname, alias=owner.mark))
        except NetlinkError as error:
            if error.errno == errno.EEXIST:
                raise interface_exists(ifname) from error
            raise
    return link


def find_made(inside: Netlink, owner: Owner, kind: str) -> Link | None:
    """Return the link that an ADD has made here, marked or not yet.

    Raises:
        NetlinkError: the kernel does not say.
    """
    return _made(list_links(inside), owner, kind)


def find_upper(host: Netlink, inside: Netlink, call: Call, kind: str, owner: Owner) -> Link | None:
    """Return the link of an attachment; None where there is none.

    Args:
        host: The host's socket.
        inside: The container's socket.
        call: What is called: there may be no result, and any configuration.
        kind: The kind of link.
        owner: The attachment.

    Raises:
        PluginError: the kernel does not say.
    """
    with doing(f"looking for {call.ifname}"):
        present = list_links(inside)
        if (made := _made(present, owner, kind)) is not None:
            return made
        named = next((link for link in present if link.name == call.ifname), None)
        if named is None or named.kind != kind or is_mark(named.alias):
            return None
        is_known = _is_told(named, call.previous) or _lies_where_configured(
            host, inside, named, call
        )
        return named if is_known else None


def lies_on(inside: Netlink, link: Link, master: Link, *, is_inside: bool) -> bool:
    """Tell whether a link of the container lies on another one.

    Args:
        inside: The container's socket.
        link: The link.
        master: The one below, of the calling thread's namespace or of the container.
        is_inside: Whether it is the container's.

    Raises:
        NetlinkError: the kernel does not say.
    """
    if link.peer != master.index:
        return False
    if is_inside:
        return link.peer_netnsid is None
    with netns.own() as own:
        return link.peer_netnsid is not None and link.peer_netnsid == netnsid_of(inside, own.fd)


def _master(there: Netlink, name: str | None) -> Link:
    if name is not None:
        if (link := find_link(there, name)) is None:
            raise PluginError(
                Code.INVALID_CONFIG, f"there is no link {name} at $.master", reason="no-master"
            )
        return link
    everywhere = [one for one in list_routes(there) if one.prefix == 0 and one.index is not None]
    # As the kernel lists them: IPv4 first, and what is preferred.
    everywhere.sort(key=lambda route: (len(route.packed), route.priority))
    if not everywhere or (index := everywhere[0].index) is None:
        message = "no link has a default route, and none is named at $.master"
        raise PluginError(Code.INVALID_CONFIG, message, reason="no-master")
    return get_link(there, index)


def _made(present: Iterable[Link], owner: Owner, kind: str) -> Link | None:
    of_kind = [link for link in present if link.kind == kind]
    marked = (link for link in of_kind if link.alias == owner.mark)
    named = (link for link in of_kind if link.name == owner.link_name and not link.alias)
    return next(marked, None) or next(named, None)


def _is_told(link: Link, previous: Result | None) -> bool:
    return any(
        interface.sandbox
        and interface.name == link.name
        and interface.mac
        and interface.mac.lower() == mac_text(link.mac)
        for interface in (() if previous is None else previous.interfaces)
    )


def _lies_where_configured(host: Netlink, inside: Netlink, link: Link, call: Call) -> bool:
    with contextlib.suppress(PluginError):  # any configuration will do for a DEL
        is_inside = call.fields.flag("linkInContainer")
        master = _master(inside if is_inside else host, call.fields.text("master") or None)
        return lies_on(inside, link, master, is_inside=is_inside)
    return False

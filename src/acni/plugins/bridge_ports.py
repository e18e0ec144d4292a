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
from acni.netlink.sockets import Netlink
from acni.plugins.hardwareaddresses import mac_text
from acni.plugins.owners import Owner, is_mark
from acni.plugins.ownlinks import find_marked, find_own, other_end_of
from acni.plugins.refusals import doing
from acni.skel.call import Call
from acni.spec.result import Result


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

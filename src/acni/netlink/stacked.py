"""Links that lie on another one, and share its wire: macvlan, ipvlan, vlan.

A kernel may refuse a name that is taken here, though the link is made for another namespace: so it
is made with one that nobody has, and gets its own there.

(include/uapi/linux/if_link.h; the reference's plugins/main/macvlan)
"""

from __future__ import annotations

import enum
import errno
from typing import Final

from attrs import frozen

from acni.netlink.errors import NetlinkError
from acni.netlink.linkmessages import (
    IFLA_ADDRESS,
    IFLA_INFO_DATA,
    IFLA_INFO_KIND,
    IFLA_LINK,
    IFLA_LINKINFO,
    IFLA_MACVLAN_MODE,
    IFLA_MTU,
    IFLA_NET_NS_FD,
    RTM_NEWLINK,
    link_message,
)
from acni.netlink.messages import CREATE, EXCL, Message, attribute, nested, text, u16, u32

_IFLA_MACVLAN_BC_QUEUE_LEN: Final = 7
_IFLA_IPVLAN_MODE: Final = 1
_IFLA_VLAN_ID: Final = 1
_VLANS: Final = range(4095)


class MacvlanMode(enum.IntEnum):
    """Whom a macvlan reaches of the others on its link: MACVLAN_MODE_*."""

    PRIVATE = 1
    VEPA = 2
    BRIDGE = 4
    PASSTHRU = 8


class IpvlanMode(enum.IntEnum):
    """What of a packet an ipvlan goes by: IPVLAN_MODE_*."""

    L2 = 0
    L3 = 1
    L3S = 2


@frozen(kw_only=True)
class Upper:
    """A link that is to be made on another one.

    Attributes:
        name: Its name.
        lower: The index of the link that it lies on.
        netns_fd: The open namespace that it goes to; None, it stays.
        mac: Its hardware address; by default the kernel chooses.
        mtu: Bytes of its largest packet; by default those of the link below.
    """

    name: str
    lower: int
    netns_fd: int | None = None
    mac: bytes | None = None
    mtu: int | None = None


def new_macvlan(upper: Upper, mode: MacvlanMode, *, queue: int | None = None) -> Message:
    """Make a macvlan; it is down.

    Args:
        upper: The link.
        mode: Whom it reaches.
        queue: How many broadcasts may wait to be handed on (Linux 5.11).
    """
    data = u32(IFLA_MACVLAN_MODE, mode)
    if queue is not None:
        data += u32(_IFLA_MACVLAN_BC_QUEUE_LEN, queue)
    return _new(upper, "macvlan", data)


def new_ipvlan(upper: Upper, mode: IpvlanMode) -> Message:
    """Make an ipvlan; it is down. Its hardware address is that of the link below."""
    return _new(upper, "ipvlan", u16(_IFLA_IPVLAN_MODE, mode))


def new_vlan(upper: Upper, vlan: int) -> Message:
    """Make the link of a VLAN; it is down.

    Args:
        upper: The link.
        vlan: The VLAN's number, 0 to 4094.

    Raises:
        NetlinkError: there is no such VLAN.
    """
    if vlan not in _VLANS:
        raise NetlinkError(errno.ERANGE, f"{vlan} is no VLAN")
    return _new(upper, "vlan", u16(_IFLA_VLAN_ID, vlan))


def probe(name: str, kind: str) -> Message:
    """Make a link of a kind and do not say on what: a kernel that has the kind refuses that as
    invalid (EINVAL), another one answers with NotSupported.
    """
    return link_message(
        RTM_NEWLINK, CREATE | EXCL, nested(IFLA_LINKINFO, text(IFLA_INFO_KIND, kind)), which=name
    )


def _new(upper: Upper, kind: str, data: bytes) -> Message:
    parts = [u32(IFLA_LINK, upper.lower)]
    if upper.mac is not None:
        parts.append(attribute(IFLA_ADDRESS, upper.mac))
    if upper.mtu is not None:
        parts.append(u32(IFLA_MTU, upper.mtu))
    if upper.netns_fd is not None:
        parts.append(u32(IFLA_NET_NS_FD, upper.netns_fd))
    info = nested(IFLA_LINKINFO, text(IFLA_INFO_KIND, kind), nested(IFLA_INFO_DATA, data))
    return link_message(RTM_NEWLINK, CREATE | EXCL, *parts, info, which=upper.name)

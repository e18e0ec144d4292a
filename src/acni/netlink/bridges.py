"""Bridges and their ports.

Many settings of a port cannot be given to a link that is being made: they take a message of their
own, behind the one that makes it.

(include/uapi/linux: if_link.h, if_bridge.h)
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import Final

from acni.netlink.errors import NetlinkError
from acni.netlink.linkmessages import (
    IFLA_ADDRESS,
    IFLA_AF_SPEC,
    IFLA_BR_VLAN_FILTERING,
    IFLA_BRPORT_ISOLATED,
    IFLA_BRPORT_MODE,
    IFLA_IFALIAS,
    IFLA_INFO_DATA,
    IFLA_INFO_KIND,
    IFLA_INFO_SLAVE_DATA,
    IFLA_INFO_SLAVE_KIND,
    IFLA_LINKINFO,
    RTM_DELLINK,
    RTM_NEWLINK,
    link_message,
)
from acni.netlink.links import list_links
from acni.netlink.messages import (
    CREATE,
    EXCL,
    Message,
    attribute,
    encoded,
    header,
    nested,
    text,
    u8,
    u16,
)
from acni.netlink.sockets import Netlink

_RTM_SETLINK: Final = 19
_IFLA_BR_VLAN_DEFAULT_PVID: Final = 39
_IFLA_BR_MULTI_BOOLOPT: Final = 46
_BR_BOOLOPTS: Final = struct.Struct("=II")  # values, and which of them count
_BR_BOOLOPT_NO_LL_LEARN: Final = 1 << 0
_IFLA_BRIDGE_FLAGS: Final = 0
_IFLA_BRIDGE_VLAN_INFO: Final = 2
_BRIDGE_FLAGS_SELF: Final = 2
_BRIDGE_VLAN_INFO_PVID: Final = 1 << 1
_BRIDGE_VLAN_INFO_UNTAGGED: Final = 1 << 2
_BRIDGE_VLAN_INFO: Final = struct.Struct("=HH")  # flags, VLAN
_VLANS: Final = range(1, 4095)


def new_bridge(name: str, *, mac: bytes | None = None) -> Message:
    """Make a bridge; it is down.

    Args:
        name: Its name.
        mac: Its hardware address. Without one it takes the lowest of its ports', and another one
            when that port goes.

    An MTU is set afterwards, by :func:`acni.netlink.links.change`: one given here is lost with the
    last port.
    """
    address = () if mac is None else (attribute(IFLA_ADDRESS, mac),)
    kind = nested(IFLA_LINKINFO, text(IFLA_INFO_KIND, "bridge"))
    return link_message(RTM_NEWLINK, CREATE | EXCL, *address, kind, which=name)


def set_port(
    which: int | str,
    *,
    hairpin: bool | None = None,
    isolated: bool | None = None,
    alias: str | None = None,
) -> Message:
    """Change how a bridge treats a port; what is None stays.

    Args:
        which: The port's index or name.
        alias: A text to know it by: in one message, of which the kernel tells everybody once.
        hairpin: Whether what came from it may be sent back through it.
        isolated: Whether nothing goes between it and other isolated ports (Linux 4.18).
    """
    settings = b"".join(
        u8(kind, value)
        for kind, value in ((IFLA_BRPORT_MODE, hairpin), (IFLA_BRPORT_ISOLATED, isolated))
        if value is not None
    )
    data = nested(IFLA_INFO_SLAVE_DATA, settings)
    info = nested(IFLA_LINKINFO, text(IFLA_INFO_SLAVE_KIND, "bridge"), data)
    told = () if alias is None else (attribute(IFLA_IFALIAS, encoded(alias)),)
    return link_message(RTM_NEWLINK, 0, *told, info, which=which)


def count_ports(netlink: Netlink, bridge: int) -> int:
    """Count the ports of the bridge of an index.

    Raises:
        NetlinkError: the kernel does not say.
    """
    return len(list_links(netlink, master=bridge))


def filter_vlans(which: int | str, *, default_vlan: int | None = None) -> Message:
    """Let a bridge heed VLANs. A kernel whose bridges heed none answers with NotSupported.

    Args:
        which: The index or name of the bridge.
        default_vlan: The VLAN that new ports are in, untagged; 0, they are in none; None, as it is.
    """
    data = u8(IFLA_BR_VLAN_FILTERING, True)
    if default_vlan is not None:
        data += u16(_IFLA_BR_VLAN_DEFAULT_PVID, default_vlan)
    info = nested(IFLA_LINKINFO, text(IFLA_INFO_KIND, "bridge"), nested(IFLA_INFO_DATA, data))
    return link_message(RTM_NEWLINK, 0, info, which=which)


def learn_from_what_is_forwarded(which: int | str) -> Message:
    """Let a bridge not learn where a sender is from frames to itself, as STP's and LLDP's (Linux
    5.0): those do not come to the firewall, or to another chain of it.

    Args:
        which: The index or name of the bridge.
    """
    options = header(_BR_BOOLOPTS, _BR_BOOLOPT_NO_LL_LEARN, _BR_BOOLOPT_NO_LL_LEARN)
    data = nested(IFLA_INFO_DATA, attribute(_IFLA_BR_MULTI_BOOLOPT, options))
    info = nested(IFLA_LINKINFO, text(IFLA_INFO_KIND, "bridge"), data)
    return link_message(RTM_NEWLINK, 0, info, which=which)


def add_vlan(
    index: int, vlan: int, *, pvid: bool = False, untagged: bool = False, itself: bool = False
) -> Message:
    """Put a port into a VLAN. A kernel whose bridges heed none answers with NotSupported.

    Args:
        index: The port's, or with ``itself`` the bridge's.
        vlan: Its number, 1 to 4094.
        pvid: Whether what comes without a tag is of this VLAN.
        untagged: Whether what goes out has no tag.
        itself: It is about the bridge as a link of the host, not about a port.

    Raises:
        NetlinkError: there is no such VLAN.
    """
    flags = (_BRIDGE_VLAN_INFO_PVID if pvid else 0) | (
        _BRIDGE_VLAN_INFO_UNTAGGED if untagged else 0
    )
    return _vlan_message(_RTM_SETLINK, index, vlan, flags=flags, itself=itself)


def remove_vlan(index: int, vlan: int, *, itself: bool = False) -> Message:
    """Take a port out of a VLAN; the arguments are those of :func:`add_vlan`.

    The kernel does not say whether it was in it, nor whether it knows VLANs.
    """
    return _vlan_message(RTM_DELLINK, index, vlan, flags=0, itself=itself)


def _vlan_message(kind: int, index: int, vlan: int, *, flags: int, itself: bool) -> Message:
    if vlan not in _VLANS:
        raise NetlinkError(errno.ERANGE, f"{vlan} is no VLAN")
    info = attribute(_IFLA_BRIDGE_VLAN_INFO, header(_BRIDGE_VLAN_INFO, flags, vlan))
    whose = (u16(_IFLA_BRIDGE_FLAGS, _BRIDGE_FLAGS_SELF),) if itself else ()
    spec = nested(IFLA_AF_SPEC, *whose, info)
    return link_message(kind, 0, spec, which=index, family=socket.AF_BRIDGE)

"""Messages about links: the header of each, and the numbers that several subjects need.

(rtnetlink(7); include/uapi/linux/if_link.h)
"""

from __future__ import annotations

import socket
import struct
from typing import Final

from acni.netlink.messages import Message, header, text

RTM_NEWLINK: Final = 16
RTM_DELLINK: Final = 17
RTM_GETLINK: Final = 18

IFINFOMSG: Final = struct.Struct("=BxHiII")  # family, type, index, flags, mask of what changes

IFLA_ADDRESS: Final = 1
IFLA_IFNAME: Final = 3
IFLA_MTU: Final = 4
IFLA_LINK: Final = 5
IFLA_LINKINFO: Final = 18
IFLA_IFALIAS: Final = 20
IFLA_AF_SPEC: Final = 26
IFLA_NET_NS_FD: Final = 28
IFLA_INFO_KIND: Final = 1
IFLA_INFO_DATA: Final = 2
IFLA_INFO_SLAVE_KIND: Final = 4
IFLA_INFO_SLAVE_DATA: Final = 5
IFLA_BR_VLAN_FILTERING: Final = 7
IFLA_MACVLAN_MODE: Final = 1
IFLA_BRPORT_MODE: Final = 4
IFLA_BRPORT_NO: Final = 18
IFLA_BRPORT_ISOLATED: Final = 33


def link_message(
    kind: int,
    message_flags: int,
    *inner: bytes,
    which: int | str = 0,
    family: int = socket.AF_UNSPEC,
    flags: int = 0,
    mask: int = 0,
) -> Message:
    """Make a message about a link."""
    index, named = (0, text(IFLA_IFNAME, which)) if isinstance(which, str) else (which, b"")
    head = header(IFINFOMSG, family, 0, index, flags, mask)
    return Message(kind, message_flags, head + named + b"".join(inner))

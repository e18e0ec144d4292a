"""Messages about traffic control: the header of each, and the numbers that several subjects need.

(rtnetlink(7); include/uapi/linux/rtnetlink.h, pkt_sched.h)
"""

from __future__ import annotations

import socket
import struct
from typing import Final

from acni.netlink.messages import Message, header

TCMSG: Final = struct.Struct("=BxxxiIII")  # family, index, handle, parent, info

TCA_KIND: Final = 1
TCA_OPTIONS: Final = 2

ROOT: Final = 0xFFFFFFFF
INGRESS: Final = 0xFFFFFFF1
INGRESS_HANDLE: Final = 0xFFFF0000


def tc_message(
    kind: int,
    message_flags: int,
    *inner: bytes,
    index: int,
    parent: int,
    handle: int = 0,
    info: int = 0,
) -> Message:
    """Make a message about a queueing discipline, or a filter, of a link."""
    head = header(TCMSG, socket.AF_UNSPEC, index, handle, parent, info)
    return Message(kind, message_flags, head + b"".join(inner))

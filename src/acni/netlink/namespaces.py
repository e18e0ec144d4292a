"""The numbers that a network namespace knows others by.

A link whose other end is elsewhere names that namespace by such a number
(:attr:`acni.netlink.links.Link.peer_netnsid`): each namespace has its own.

(include/uapi/linux/net_namespace.h)
"""

from __future__ import annotations

import errno
import struct
from typing import Final

from acni.netlink.errors import NetlinkError, malformed
from acni.netlink.messages import Message, attributes, header, u32, u32_of
from acni.netlink.sockets import Netlink

_RTM_GETNSID: Final = 90
_RTGENMSG: Final = struct.Struct("=B3x")
_NETNSA_NSID: Final = 1
_NETNSA_FD: Final = 3
_NOT_ASSIGNED: Final = 0xFFFFFFFF


def netnsid_of(netlink: Netlink, fd: int) -> int | None:
    """Return the number that the socket's namespace knows another one by.

    Args:
        netlink: The namespace's socket.
        fd: The other one, open.

    Returns:
        The number; None where it has none, so that no link here has its other end there.

    Raises:
        NetlinkError: the kernel does not say.
    """
    body = header(_RTGENMSG, 0) + u32(_NETNSA_FD, fd)
    answers = netlink.request(Message(_RTM_GETNSID, 0, body, is_question=True))
    if len(answers) != 1:
        raise malformed(f"{len(answers)} answers about one namespace")
    number = attributes(answers[0].body[_RTGENMSG.size :]).get(_NETNSA_NSID)
    if number is None:
        raise NetlinkError(errno.EBADMSG, "a namespace without a number")
    value = u32_of(number)
    return None if value == _NOT_ASSIGNED else value

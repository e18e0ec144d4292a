"""Which link has which name, and whether it is there: questions that need no message.

The kernel answers them in the namespace of the socket that is asked (netdevice(7)), for a tenth of
what a description costs.
"""

from __future__ import annotations

import errno
import fcntl
import socket
import struct
from ipaddress import IPv4Interface
from typing import Final

from acni.netlink.errors import NetlinkError
from acni.netlink.messages import encoded
from acni.netlink.sockets import Netlink

_SIOCGIFNAME: Final = 0x8910
_SIOCGIFINDEX: Final = 0x8933
_SIOCGIFADDR: Final = 0x8915
_SIOCGIFNETMASK: Final = 0x891B
_DATAGRAM: Final = int(socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
_ADDRESS: Final = slice(20, 24)  # behind the name, and the family and port of a sockaddr_in
_IFREQ: Final = struct.Struct("=16si20x")
_MOST_NAME_BYTES: Final = 15


def index_of(netlink: Netlink, name: str) -> int:
    """Return the index of the link of a name.

    Raises:
        NetlinkError: there is none (ENODEV), or it cannot be a name (EINVAL).
    """
    written = encoded(name)
    if not 0 < len(written) <= _MOST_NAME_BYTES:
        raise NetlinkError(errno.ENODEV, f"no link can be named {name!a}")
    return _asked(netlink.fileno(), _SIOCGIFINDEX, written, 0)


def has_link(netlink: Netlink, name: str) -> bool:
    """Tell whether there is a link of that name.

    Raises:
        NetlinkError: the kernel does not say.
    """
    try:
        index_of(netlink, name)
    except NetlinkError as error:
        if error.errno != errno.ENODEV:
            raise
        return False
    return True


def has_index(fd: int, index: int) -> bool:
    """Tell whether there is a link of that index in the namespace of a socket, given by its
    descriptor.

    Raises:
        NetlinkError: the kernel does not say.
    """
    try:
        _asked(fd, _SIOCGIFNAME, b"", index)
    except NetlinkError as error:
        if error.errno != errno.ENODEV:
            raise
        return False
    return True


def ipv4_of(name: str) -> IPv4Interface | None:
    """Return the first address of IPv4 of a link of the calling thread's namespace; None where
    there is none, or no link of that name.

    A link may have others that go by another label; whoever looks for those lists all.

    Raises:
        NetlinkError: the kernel does not say.
    """
    written = encoded(name)
    if not 0 < len(written) <= _MOST_NAME_BYTES:
        return None
    try:
        with socket.socket(socket.AF_INET, _DATAGRAM) as asked:
            packed, mask = (
                fcntl.ioctl(asked, question, _IFREQ.pack(written, 0))[_ADDRESS]
                for question in (_SIOCGIFADDR, _SIOCGIFNETMASK)
            )
    except OSError as error:
        if error.errno in (errno.ENODEV, errno.EADDRNOTAVAIL):
            return None
        raise NetlinkError(error.errno or errno.EIO, f"the address of {name!a}") from None
    return IPv4Interface((packed, int.from_bytes(mask).bit_count()))


def _asked(fd: int, question: int, name: bytes, index: int) -> int:
    try:
        answer = fcntl.ioctl(fd, question, _IFREQ.pack(name, index))
    except OSError as error:
        what = f"looking for link {name.decode('utf-8', 'replace')!a}" if name else f"link {index}"
        raise NetlinkError(error.errno or errno.EIO, what) from None
    found: int = _IFREQ.unpack(answer)[1]
    return found

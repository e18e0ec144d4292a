"""Settings of a device that are files below ``/proc/sys/net`` to everybody else.

Those of IPv4 are set by netlink, which also works where ``/proc/sys`` is read-only, as in most
containers. Those of IPv6 are written there.

(include/uapi/linux: ip.h, if_link.h; Documentation/networking/ip-sysctl.rst)
"""

from __future__ import annotations

import contextlib
import enum
import errno
import os
import socket
import sys
from collections.abc import Generator
from typing import Final

from acni.netlink.errors import NetlinkError
from acni.netlink.linkmessages import IFLA_AF_SPEC, RTM_NEWLINK, link_message
from acni.netlink.links import Link
from acni.netlink.messages import Message, attributes, nested, u32

_IFLA_INET_CONF: Final = 1

_ROOT: Final = "/proc/sys/net"
_SETTING_BYTES: Final = 4


class Ipv4Setting(enum.IntEnum):
    """``net.ipv4.conf.<device>.<name>``: IPV4_DEVCONF_*, include/uapi/linux/ip.h."""

    FORWARDING = 1
    ARP_NOTIFY = 22
    ROUTE_LOCALNET = 26


def set_ipv4(index: int, setting: Ipv4Setting, value: int) -> Message:
    """Set one of a device's settings of IPv4. ARP_NOTIFY is heeded when it is set up.

    Args:
        index: The device's.
        setting: Which.
        value: A number, mostly 0 or 1.
    """
    conf = nested(_IFLA_INET_CONF, u32(setting, value))
    spec = nested(IFLA_AF_SPEC, nested(socket.AF_INET, conf))
    return link_message(RTM_NEWLINK, 0, spec, which=index)


def ipv4_of(link: Link, setting: Ipv4Setting) -> int | None:
    """Return one of a device's settings of IPv4, as it was when the link was described; None where
    the kernel did not say.
    """
    of_ipv4 = attributes(attributes(link.of_families).get(socket.AF_INET, b""))
    settings = of_ipv4.get(_IFLA_INET_CONF, b"")
    begin = (setting - 1) * _SETTING_BYTES
    value = settings[begin : begin + _SETTING_BYTES]
    return int.from_bytes(value, sys.byteorder, signed=True) if value else None


def read_sysctl(name: str) -> str:
    """Read a setting of the calling thread's network namespace.

    Args:
        name: Its path below ``/proc/sys/net``: "ipv6/conf/eth0/disable_ipv6". A device's name holds
            dots, so a path and not a name with dots.

    Raises:
        NetlinkError: it is not there (ENOENT: no such device, or a kernel without IPv6), or cannot
            be read.
    """
    with _opened(name, os.O_RDONLY) as fd:
        return os.read(fd, 4096).decode("ascii", "replace").strip()


def write_sysctl(name: str, value: str) -> None:
    """Write a setting of the calling thread's network namespace.

    Args:
        name: Its path below ``/proc/sys/net``.
        value: What is written.

    Raises:
        NetlinkError: it is not there (ENOENT), or cannot be written (EROFS in most containers).
    """
    with _opened(name, os.O_WRONLY) as fd:
        os.write(fd, value.encode())


@contextlib.contextmanager
def _opened(name: str, flags: int) -> Generator[int]:
    if any(part in ("", ".", "..") for part in name.split("/")) or "\0" in name:
        raise NetlinkError(errno.EINVAL, f"{name!a} is no setting")
    try:
        fd = os.open(f"{_ROOT}/{name}", flags | os.O_CLOEXEC)
        try:
            yield fd
        finally:
            os.close(fd)
    except OSError as error:
        raise NetlinkError(error.errno or errno.EIO, f"{_ROOT}/{name}") from error

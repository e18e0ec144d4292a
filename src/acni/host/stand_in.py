"""A stand-in for a container's network namespace that is gone: a fresh one with a link of the same
name and the same addresses, for plugins that look there for what they are to undo on the host.

Rule 1: it lives as long as its block, also when that is left while it is still being made.
Rule 2: the link is one end of a veth pair, which every kernel has that ran those plugins; the
    dummy device is a module that many lack. It stays down, and its other end beside it.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from attrs import Factory, define

from acni.errors import machine_error
from acni.host import netns
from acni.host.netns import Namespace

Address = ipaddress.IPv4Interface | ipaddress.IPv6Interface

# include/uapi/linux: rtnetlink.h, netlink.h, if_link.h, veth.h, if_addr.h.
_RTM_NEWLINK: Final = 16
_RTM_NEWADDR: Final = 20
_NLMSG_ERROR: Final = 2
_NLM_F_REQUEST: Final = 0x1
_NLM_F_ACK: Final = 0x4
_NLM_F_EXCL: Final = 0x200
_NLM_F_CREATE: Final = 0x400
_IFLA_IFNAME: Final = 3
_IFLA_LINKINFO: Final = 18
_IFLA_INFO_KIND: Final = 1
_IFLA_INFO_DATA: Final = 2
_VETH_INFO_PEER: Final = 1
_IFA_ADDRESS: Final = 1
_IFA_LOCAL: Final = 2
_IFA_F_NODAD: Final = 2

_LINK_HEADER: Final = bytes(16)  # struct ifinfomsg: any family, no index, nothing changed
_NO_ROOM: Final = (errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN)
_PEERS: Final = ("peer0", "peer1")  # one of them is not the link's own name


@define(eq=False)
class StandIn:
    """A stand-in; as a context manager it is gone at the end of the block."""

    _namespace: Namespace | None = None
    _is_over: bool = False
    # Guards both: a native cancellation of asyncio leaves the block while a thread still makes it.
    _lock: threading.Lock = Factory(threading.Lock)

    def make(self, ifname: str, addresses: Sequence[Address]) -> str:
        """Make it; in a thread, for links wait for a lock of the kernel's.

        Args:
            ifname: The name of the link.
            addresses: Its addresses.

        Returns:
            The path at which others can open it as long as the block lasts.

        Raises:
            Busy: this process, or the machine, has no room for it.
            NotPermitted: this process may not make namespaces or links, or the kernel has none of
                this kind.
        """
        with self._lock:
            if self._is_over:
                return ""
            self._namespace = netns.anonymous()
            try:
                self._namespace.call(lambda: _make_link(ifname, addresses))
            except OSError as error:
                raise machine_error(error, "a stand-in for a namespace") from error
            return self._namespace.path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._is_over = True
            if self._namespace is not None:
                self._namespace.close()


def _make_link(ifname: str, addresses: Sequence[Address]) -> None:
    with socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
    ) as rtnetlink:
        peer = next(name for name in _PEERS if name != ifname)
        pair = _attribute(_VETH_INFO_PEER, _LINK_HEADER + _name(peer))
        info = _attribute(_IFLA_INFO_KIND, b"veth") + _attribute(_IFLA_INFO_DATA, pair)
        _ask(
            rtnetlink,
            _RTM_NEWLINK,
            _LINK_HEADER + _name(ifname) + _attribute(_IFLA_LINKINFO, info),
        )
        index = socket.if_nametoindex(ifname)
        for address in addresses:
            try:
                _ask(rtnetlink, _RTM_NEWADDR, _address(address, index))
            except OSError as error:
                if error.errno in _NO_ROOM:
                    raise
                # Addresses are what a plugin printed; one that no link can have was on none.


def _name(ifname: str) -> bytes:
    return _attribute(_IFLA_IFNAME, ifname.encode() + b"\0")


def _address(address: Address, index: int) -> bytes:
    family, flags = (
        (socket.AF_INET, 0) if address.version == 4 else (socket.AF_INET6, _IFA_F_NODAD)  # noqa: PLR2004
    )
    header = struct.pack("=BBBBI", family, address.network.prefixlen, flags, 0, index)
    packed = address.ip.packed
    return header + _attribute(_IFA_LOCAL, packed) + _attribute(_IFA_ADDRESS, packed)


def _attribute(kind: int, data: bytes) -> bytes:
    head = struct.pack("=HH", 4 + len(data), kind)
    return head + data + bytes(-len(data) % 4)


def _ask(rtnetlink: socket.socket, kind: int, body: bytes) -> None:
    """Send one request and read the kernel's answer, which is there when the call returns."""
    flags = _NLM_F_REQUEST | _NLM_F_ACK | _NLM_F_CREATE | _NLM_F_EXCL
    rtnetlink.send(struct.pack("=IHHII", 16 + len(body), kind, flags, 0, 0) + body)
    answer = rtnetlink.recv(4096)
    (answered,) = struct.unpack_from("=H", answer, 4)
    if answered != _NLMSG_ERROR:
        raise AssertionError(f"the kernel answered with {answered}, not with an acknowledgement")
    (error,) = struct.unpack_from("=i", answer, 16)
    if error:
        raise OSError(-error, os.strerror(-error))

"""The socket under a netlink conversation: what the kernel alone can say or do.

Tests put a double in its place, which answers with whatever they like.
"""

from __future__ import annotations

import contextlib
import select
import socket
from typing import Final, Protocol, Self

from attrs import frozen

# Not in Python's socket module, or not in 3.11's: include/uapi/linux/netlink.h.
_SOL_NETLINK: Final = 270
_NETLINK_CAP_ACK: Final = 10
_NETLINK_EXT_ACK: Final = 11
_NETLINK_GET_STRICT_CHK: Final = 12

# Lists come in pieces of at most 32 KiB, longer ones only where a link has hundreds of virtual
# functions and one asks for them (rtnl_calcit, net/core/rtnetlink.c).
_BUFFER_BYTES: Final = 1 << 16

# As plain numbers: combining members of an enumeration costs more than the system call.
_TYPE: Final = int(socket.SOCK_RAW | socket.SOCK_CLOEXEC)
_DONTWAIT: Final = int(socket.MSG_DONTWAIT)
_TRUNCATED: Final = int(socket.MSG_TRUNC)


@frozen
class Datagram:
    """What one read yields.

    Attributes:
        data: Its bytes.
        sender: The port of who sent it; 0 is the kernel.
        is_truncated: There was more of it.
    """

    data: bytes
    sender: int
    is_truncated: bool = False


class Wire(Protocol):
    """A bound socket.

    Attributes:
        port: Its port, which answers to its messages name.
    """

    @property
    def port(self) -> int: ...

    def fileno(self) -> int: ...

    def send(self, data: bytes) -> None:
        """Send a datagram to the kernel, which handles it before this returns."""
        ...

    def receive(self) -> Datagram | None:
        """Take the next datagram; None where there is none yet.

        Raises:
            OSError: ENOBUFS, some were lost.
        """
        ...

    def wait(self, seconds: float) -> bool:
        """Wait until there may be a datagram; tell whether that is so."""
        ...

    def close(self) -> None: ...


@frozen(eq=False)
class KernelWire:
    """A real one."""

    port: int
    _socket: socket.socket

    @classmethod
    def open(cls, protocol: int) -> Self:
        """Make one in the calling thread's network namespace, where it stays.

        Raises:
            OSError: there is no descriptor left, or no such protocol.
        """
        opened = socket.socket(socket.AF_NETLINK, _TYPE, protocol)
        try:
            opened.bind((0, 0))
            for option in (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK, _NETLINK_GET_STRICT_CHK):
                with contextlib.suppress(OSError):  # Linux 4.3, 4.12 and 4.20 brought them
                    opened.setsockopt(_SOL_NETLINK, option, 1)
            return cls(opened.getsockname()[0], opened)
        except BaseException:
            opened.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, data: bytes) -> None:
        self._socket.send(data)

    def receive(self) -> Datagram | None:
        try:
            data, _, flags, sender = self._socket.recvmsg(_BUFFER_BYTES, 0, _DONTWAIT)
        except BlockingIOError:
            return None
        return Datagram(data, sender[0], bool(flags & _TRUNCATED))

    def wait(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(max(0.0, seconds) * 1000))

    def close(self) -> None:
        self._socket.close()

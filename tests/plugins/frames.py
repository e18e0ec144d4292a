"""Frames of Ethernet, sent and taken as they are."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from attrs import frozen

from acni.netns import Namespace

ARP: Final = 0x0806
IPV4: Final = 0x0800
IPV6: Final = 0x86DD
VLAN: Final = 0x8100
LOCAL_EXPERIMENT: Final = 0x88B5

EVERYBODY: Final = b"\xff" * 6
_EVERY_KIND: Final = 3  # ETH_P_ALL
_SECONDS: Final = 20.0
_MARK: Final = b"acni"
_SMALLEST: Final = 46

# Bridges that ask the firewall of IP drop what is none (br_netfilter). Of a protocol for trying.
_IPV4_HEADER: Final = struct.pack(
    "!BBHHHBBH4s4s", 0x45, 0, _SMALLEST, 0, 0, 64, 253, 0, bytes((10, 9, 0, 66)), b"\xff" * 4
)
_IPV6_HEADER: Final = struct.pack(
    "!IHBB16s16s", 6 << 28, 6, 253, 64, b"\xfe\x80" + bytes(14), b"\xff\x02" + bytes(13) + b"\1"
)


@frozen(eq=False)
class Ends:
    """A sender and a receiver of frames."""

    _sender: socket.socket
    _receiver: socket.socket

    @property
    def mac(self) -> bytes:
        """The sender's own hardware address."""
        mac: bytes = self._sender.getsockname()[4]
        return mac

    def arrive(self, *frames: tuple[bytes, int], to: bytes = EVERYBODY) -> list[int]:
        """Send frames, and one with the sender's own address behind them, which arrives; return
        which arrive.

        Args:
            frames: Each what it says to be from, and its kind.
            to: Where they go.
        """
        for number, (source, kind) in enumerate((*frames, (self.mac, LOCAL_EXPERIMENT))):
            payload = _header_of(kind) + _MARK + bytes([number, 0])
            target = EVERYBODY if number == len(frames) else to
            self._sender.send(
                target + source + kind.to_bytes(2, "big") + payload.ljust(_SMALLEST, b"\0")
            )
        found: list[int] = []
        while True:
            _, mark, said = self._receiver.recv(100).partition(_MARK)
            if mark:
                if said[0] == len(frames):
                    return found
                found.append(said[0])


@contextmanager
def ends(origin: Namespace, place: Namespace, *, link: str = "eth0") -> Iterator[Ends]:
    """Open both ends.

    Args:
        origin: Where they are sent, by its ``eth0``.
        place: Where they are taken.
        link: By which link.
    """
    with ExitStack() as stack:
        opened = [stack.enter_context(inside.call(_open)) for inside in (origin, place)]
        opened[0].bind(("eth0", 0))
        opened[1].bind((link, _EVERY_KIND))
        opened[1].settimeout(_SECONDS)
        yield Ends(*opened)


def _open() -> socket.socket:
    return socket.socket(socket.AF_PACKET, socket.SOCK_RAW)


def _header_of(kind: int) -> bytes:
    if kind == VLAN:
        return struct.pack("!HH", 7, LOCAL_EXPERIMENT)
    if kind == IPV6:
        return _IPV6_HEADER
    if kind != IPV4:
        return b""
    total = sum(struct.unpack("!10H", _IPV4_HEADER))
    return _IPV4_HEADER[:10] + struct.pack("!H", ~(total % 0xFFFF) & 0xFFFF) + _IPV4_HEADER[12:]

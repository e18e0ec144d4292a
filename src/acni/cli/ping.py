"""One ICMP echo from a socket of our own: a fresh Debian has no ``ping``.

A raw socket, which takes rights over the namespace it is in; whoever made a private host has them.
(RFC 792, "Echo or Echo Reply Message")
"""

from __future__ import annotations

import os
import socket
import struct
import time
from typing import Final

_ECHO_REQUEST: Final = 8
_ECHO_REPLY: Final = 0
_SECONDS: Final = 2.0


def ping(address: str) -> float | None:
    """Send one ICMP echo request from the calling thread's namespace; seconds until the answer, or
    None.
    """
    with socket.socket(
        socket.AF_INET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_ICMP
    ) as icmp:
        identifier = os.getpid() & 0xFFFF
        started = time.monotonic()
        icmp.sendto(_echo_request(identifier), (address, 0))
        while (left := started + _SECONDS - time.monotonic()) > 0:
            icmp.settimeout(left)
            try:
                packet = icmp.recv(2048)
            except TimeoutError:
                return None
            kind, _, _, answered = struct.unpack_from("!BBHH", packet, (packet[0] & 15) * 4)
            if kind == _ECHO_REPLY and answered == identifier:
                return time.monotonic() - started
    return None


def _echo_request(identifier: int) -> bytes:
    payload = b"acni"
    unsummed = struct.pack("!BBHHH", _ECHO_REQUEST, 0, 0, identifier, 1) + payload
    return struct.pack("!BBHHH", _ECHO_REQUEST, 0, _checksum(unsummed), identifier, 1) + payload


def _checksum(data: bytes) -> int:
    """Compute the Internet checksum (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF

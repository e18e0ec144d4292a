"""Hardware addresses of links: chosen, read and written, and the address that IPv6 makes of one.

(IEEE 802; RFC 4291, appendix A)
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Sequence
from typing import Final

from acni.netlink.families import Interface, is_v4

MAC_EXPECTED: Final = "a hardware address of one interface, such as 02:00:00:00:00:01"

_MAC: Final = re.compile(r"[0-9a-fA-F]{2}(?:([:-])[0-9a-fA-F]{2})(?:\1[0-9a-fA-F]{2}){4}")
# Locally administered, of one interface; the second byte is that of Kubernetes' bridges.
_FROM_IPV4: Final = b"\x0a\x58"
_MAC_BYTES: Final = 6
_LOCAL: Final = 0x02
_GROUP: Final = 0x01


def choose_mac(addresses: Sequence[Interface]) -> bytes:
    """Choose a hardware address. With one of IPv4 it follows from that: who talked to its last
    holder finds this one at once.
    """
    first = next((address for address in addresses if is_v4(address)), None)
    return _FROM_IPV4 + first.ip.packed if first is not None else random_mac()


def random_mac() -> bytes:
    """Choose a hardware address at random."""
    mac = os.urandom(_MAC_BYTES)
    return bytes((mac[0] & ~_GROUP | _LOCAL,)) + mac[1:]


def parse_hardware_address(text: str) -> bytes:
    """Parse the hardware address of one interface.

    Raises:
        ValueError: it is none.
    """
    if _MAC.fullmatch(text) is None:
        raise ValueError(text)
    mac = bytes.fromhex(text.replace("-", ":").replace(":", ""))
    if mac[0] & _GROUP or not any(mac):  # of a group, or of nobody
        raise ValueError(text)
    return mac


def mac_text(mac: bytes) -> str:
    """Write a hardware address."""
    return mac.hex(":")


def link_local(mac: bytes) -> Interface:
    """Return the address that IPv6 makes of a hardware address."""
    half = bytes((mac[0] ^ _LOCAL,)) + mac[1:3] + b"\xff\xfe" + mac[3:]
    return ipaddress.IPv6Interface((b"\xfe\x80" + bytes(6) + half, 64))

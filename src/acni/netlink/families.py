"""The two families of addresses, as the kernel numbers them."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from typing import Final

from acni.netlink.errors import malformed

Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

SIZES: Final[Mapping[int, int]] = {int(socket.AF_INET): 4, int(socket.AF_INET6): 16}
"""The bytes of an address of each."""

_V4: Final = 4


def is_v4(what: Interface | Network | IpAddress) -> bool:
    """Tell whether something is of IPv4."""
    return what.version == _V4


def family_of(what: Interface | Network | IpAddress) -> int:
    """Return the number of something's family."""
    return socket.AF_INET if is_v4(what) else socket.AF_INET6


def packed_of(value: bytes | None, family: int) -> bytes | None:
    """Read an address of a family, where there is one.

    Raises:
        Malformed: it has another length.
    """
    if value is not None and len(value) != SIZES[family]:
        raise malformed(f"an address of {len(value)} bytes, not of {SIZES[family]}")
    return value

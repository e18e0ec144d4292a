"""Addresses as results write them: recognised where they stand, objects only when asked for.

An ``IPv6Address`` takes 4 us to make, a third of what reading a whole result may.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

_OCTET: Final = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4: Final = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
# The usual forms, with at most seven colons; what ends in IPv4 or is longer, ipaddress judges.
_GROUP: Final = "[0-9a-fA-F]{1,4}"
_GROUPS: Final = f"(?:{_GROUP}(?::{_GROUP})*)?"
_IPV6: Final = re.compile(f"(?:{_GROUP}:){{7}}{_GROUP}|{_GROUPS}::{_GROUPS}")
_MOST_COLONS: Final = 7
_LENGTH: Final = re.compile(r"0*([0-9]{1,3})")


def is_address(text: str) -> bool:
    """Tell whether a text is an address: dotted decimal without leading zeros, or IPv6; no zone."""
    if "%" in text:  # a zone, which Go's addresses have not
        return False
    if ":" not in text:
        return _IPV4.fullmatch(text) is not None
    if text.count(":") <= _MOST_COLONS and _IPV6.fullmatch(text):
        return True
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def is_with_length(text: str) -> bool:
    """Tell whether a text is an address with a prefix length: no netmask, as in Go."""
    address, _, written = text.partition("/")
    length = _LENGTH.fullmatch(written)
    if length is None or not is_address(address):
        return False
    return int(length[1]) <= (ipaddress.IPV6LENGTH if ":" in address else ipaddress.IPV4LENGTH)


def interface_of(text: str) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface:
    """Make an object of what is an address with a prefix length, however many zeros that has."""
    address, _, length = text.partition("/")
    kind = ipaddress.IPv6Interface if ":" in address else ipaddress.IPv4Interface
    return kind((address, int(length[-3:])))


def address_of(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Make an object of what is an address; ``ip_address`` would try both families in turn."""
    return ipaddress.IPv6Address(text) if ":" in text else ipaddress.IPv4Address(text)

"""Addresses of links.

(rtnetlink(7); include/uapi/linux/if_addr.h)
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from typing import Final

from attrs import frozen

from acni.netlink.errors import malformed
from acni.netlink.families import SIZES, Interface, family_of, is_v4
from acni.netlink.listing import on_link
from acni.netlink.messages import (
    CREATE,
    EXCL,
    Answer,
    Message,
    attribute,
    attributes,
    header,
    header_of,
    u32_of,
)
from acni.netlink.sockets import Netlink

_RTM_NEWADDR: Final = 20
_RTM_DELADDR: Final = 21
_RTM_GETADDR: Final = 22

_IFADDRMSG: Final = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index

_IFA_ADDRESS: Final = 1
_IFA_LOCAL: Final = 2
_IFA_BROADCAST: Final = 4
_IFA_FLAGS: Final = 8

_IFA_F_NODAD: Final = 0x02
_IFA_F_DADFAILED: Final = 0x08
_IFA_F_TENTATIVE: Final = 0x40

# Both ends of a /31 are hosts (RFC 3021).
_LONGEST_WITH_BROADCAST: Final = 30


@frozen(kw_only=True)
class Address:
    """An address as the kernel describes it.

    Attributes:
        index: Its link's.
        packed: Its 4 or 16 bytes.
        prefix: The bits of its network.
        flags: IFA_F_PERMANENT and the others.
        scope: 0 is everywhere, 253 the link, 254 the host.
    """

    index: int
    packed: bytes
    prefix: int
    flags: int
    scope: int

    @property
    def interface(self) -> Interface:
        """It, with its network."""
        return ipaddress.ip_interface((self.packed, self.prefix))

    @property
    def is_tentative(self) -> bool:
        """Whether IPv6 still asks whether another one has it; nobody is answered meanwhile."""
        return bool(self.flags & _IFA_F_TENTATIVE)

    @property
    def is_duplicate(self) -> bool:
        """Whether another one has it."""
        return bool(self.flags & _IFA_F_DADFAILED)


def add(interface: Interface, *, index: int, detects_duplicates: bool = False) -> Message:
    """Give a link an address.

    Args:
        interface: The address with its network.
        index: The link's.
        detects_duplicates: One of IPv6 is looked for elsewhere first, which takes a second or two.
            By default it is not (IFA_F_NODAD): whose it is, who gave it knows.
    """
    packed = interface.packed
    local = attribute(_IFA_LOCAL, packed) + attribute(_IFA_ADDRESS, packed)
    if is_v4(interface):
        if interface.network.prefixlen <= _LONGEST_WITH_BROADCAST:
            local += attribute(_IFA_BROADCAST, interface.network.broadcast_address.packed)
        head = _head(interface, index)
    else:
        flags = 0 if detects_duplicates else _IFA_F_NODAD
        head = _head(interface, index, flags=flags)
    return Message(_RTM_NEWADDR, CREATE | EXCL, head + local)


def remove(interface: Interface, *, index: int) -> Message:
    """Take an address from a link.

    Args:
        interface: The address with its network.
        index: The link's.
    """
    # Without IFA_ADDRESS the kernel takes one of any prefix for it (inet_rtm_deladdr).
    packed = interface.packed
    local = attribute(_IFA_LOCAL, packed) + attribute(_IFA_ADDRESS, packed)
    return Message(_RTM_DELADDR, 0, _head(interface, index) + local)


def list_addresses(netlink: Netlink, *, index: int | None = None) -> tuple[Address, ...]:
    """Return the addresses of both families.

    Args:
        netlink: The namespace's socket.
        index: Only this link's.

    Raises:
        NetlinkError: there is no such link (ENODEV), or the kernel does not say.
    """
    message = Message(_RTM_GETADDR, 0, header(_IFADDRMSG, socket.AF_UNSPEC, 0, 0, 0, index or 0))
    return on_link(map(read_address, netlink.dump(message)), index)


def read_address(answer: Answer) -> Address | None:
    """Read the description of an address; None where it is of another family.

    Raises:
        Malformed: it is none.
    """
    if answer.kind != _RTM_NEWADDR:
        raise malformed(f"a message {answer.kind} where an address is described")
    family, prefix, flags, scope, index = header_of(_IFADDRMSG, answer.body)
    size = SIZES.get(family)
    if size is None:
        return None
    said = attributes(answer.body[_IFADDRMSG.size :])
    # On a point-to-point link IFA_ADDRESS is the other end's.
    packed = said.get(_IFA_LOCAL) or said.get(_IFA_ADDRESS, b"")
    if len(packed) != size or prefix > size * 8:
        raise malformed(f"an address of {len(packed)} bytes and {prefix} bits")
    if _IFA_FLAGS in said:
        flags = u32_of(said[_IFA_FLAGS])
    return Address(index=index, packed=packed, prefix=prefix, flags=flags, scope=scope)


def _head(interface: Interface, index: int, *, flags: int = 0) -> bytes:
    family = family_of(interface)
    return header(_IFADDRMSG, family, interface.network.prefixlen, flags, 0, index)

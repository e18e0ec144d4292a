"""Neighbours: who is known to have which address on a link.

(rtnetlink(7); include/uapi/linux/neighbour.h)
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from typing import Final

from attrs import frozen

from acni.netlink.errors import malformed
from acni.netlink.families import SIZES, IpAddress, family_of
from acni.netlink.listing import on_link
from acni.netlink.messages import (
    Answer,
    Message,
    attribute,
    attributes,
    header,
    header_of,
    u32,
)
from acni.netlink.sockets import Netlink

_RTM_NEWNEIGH: Final = 28
_RTM_DELNEIGH: Final = 29
_RTM_GETNEIGH: Final = 30

_NDMSG: Final = struct.Struct("=BxxxiHBB")  # family, index, state, flags, type

_NDA_DST: Final = 1
_NDA_LLADDR: Final = 2
_NDA_IFINDEX: Final = 8


@frozen(kw_only=True)
class Neighbour:
    """A neighbour as the kernel describes it.

    Attributes:
        index: The link's.
        packed: The 4 or 16 bytes of its address.
        mac: Its hardware address; None where nobody answered.
        state: NUD_REACHABLE and the others.
    """

    index: int
    packed: bytes
    mac: bytes | None
    state: int

    @property
    def address(self) -> IpAddress:
        """Its address."""
        return ipaddress.ip_address(self.packed)


def remove(address: IpAddress, *, index: int) -> Message:
    """Forget a neighbour of a link (ENOENT: there is none)."""
    head = header(_NDMSG, family_of(address), index, 0, 0, 0)
    return Message(_RTM_DELNEIGH, 0, head + attribute(_NDA_DST, address.packed))


def list_neighbours(netlink: Netlink, *, index: int | None = None) -> tuple[Neighbour, ...]:
    """Return the neighbours of both families.

    Args:
        netlink: The namespace's socket.
        index: Only those on this link.

    Raises:
        NetlinkError: the kernel does not say.
    """
    where = b"" if index is None else u32(_NDA_IFINDEX, index)
    message = Message(_RTM_GETNEIGH, 0, header(_NDMSG, socket.AF_UNSPEC, 0, 0, 0, 0) + where)
    return on_link(map(read_neighbour, netlink.dump(message)), index)


def read_neighbour(answer: Answer) -> Neighbour | None:
    """Read the description of a neighbour; None where it is of another family, as a bridge's.

    Raises:
        Malformed: it is none.
    """
    if answer.kind != _RTM_NEWNEIGH:
        raise malformed(f"a message {answer.kind} where a neighbour is described")
    family, index, state, _, _ = header_of(_NDMSG, answer.body)
    size = SIZES.get(family)
    if size is None:
        return None
    said = attributes(answer.body[_NDMSG.size :])
    packed = said.get(_NDA_DST, b"")
    if len(packed) != size:
        raise malformed(f"an address of {len(packed)} bytes, not of {size}")
    return Neighbour(index=index, packed=packed, mac=said.get(_NDA_LLADDR), state=state)

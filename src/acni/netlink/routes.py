"""Routes.

(rtnetlink(7); include/uapi/linux/rtnetlink.h)
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Final

from attrs import frozen

from acni.netlink.errors import NetlinkError, malformed
from acni.netlink.families import SIZES, IpAddress, Network, family_of, is_v4, packed_of
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
    nested,
    u32,
    u32_of,
)
from acni.netlink.sockets import Netlink

MAIN: Final = 254
UNIVERSE: Final = 0
LINK: Final = 253
HOST: Final = 254

BY_KERNEL: Final = 2

_RTM_NEWROUTE: Final = 24
_RTM_DELROUTE: Final = 25
_RTM_GETROUTE: Final = 26

# Family, bits of destination and source, TOS, table, protocol, scope, type, flags.
_RTMSG: Final = struct.Struct("=BBBBBBBBI")
_RTNEXTHOP: Final = struct.Struct("=HBBi")  # length, flags, weight - 1, index

_RTA_DST: Final = 1
_RTA_OIF: Final = 4
_RTA_GATEWAY: Final = 5
_RTA_PRIORITY: Final = 6
_RTA_PREFSRC: Final = 7
_RTA_METRICS: Final = 8
_RTA_MULTIPATH: Final = 9
_RTA_TABLE: Final = 15
_RTAX_MTU: Final = 2
_RTAX_ADVMSS: Final = 8

_RTPROT_BOOT: Final = 3
_RTN_UNICAST: Final = 1
_RTNH_F_ONLINK: Final = 4
_RTM_F_CLONED: Final = 0x200

_MOST_IN_HEADER: Final = 255


@frozen(kw_only=True)
class Route:
    """A route as the kernel describes it; one of several ways is as many routes.

    Attributes:
        packed: The 4 or 16 bytes of the destination.
        prefix: Its bits; 0 is everywhere.
        gateway: The 4 or 16 bytes of the next hop; None where the destination is on the link.
        index: The link's; None where there is none ("unreachable").
        table: Its table; 254 is the main one.
        scope: 0 is everywhere, 253 the link, 254 the host.
        priority: Its metric; of equal destinations the lowest is taken.
        protocol: Who made it: 2 the kernel, 3 an administrator or a plugin.
        kind: 1 is a route to elsewhere, 2 an address of this host, 7 unreachable.
        source: The 4 or 16 bytes of the address that is preferred.
        mtu: Bytes of the largest packet on it; None is the link's.
        advmss: Bytes of the largest TCP segment asked for on it.
        is_onlink: The gateway is taken to be on the link.
    """

    packed: bytes
    prefix: int
    gateway: bytes | None = None
    index: int | None = None
    table: int = MAIN
    scope: int = UNIVERSE
    priority: int = 0
    protocol: int = _RTPROT_BOOT
    kind: int = _RTN_UNICAST
    source: bytes | None = None
    mtu: int | None = None
    advmss: int | None = None
    is_onlink: bool = False

    @property
    def destination(self) -> Network:
        """Where it leads."""
        return ipaddress.ip_network((self.packed, self.prefix))

    @property
    def gateway_address(self) -> IpAddress | None:
        """The next hop."""
        return None if self.gateway is None else ipaddress.ip_address(self.gateway)


def add(
    destination: Network,
    *,
    gateway: IpAddress | None = None,
    index: int | None = None,
    is_onlink: bool = False,
    mtu: int | None = None,
    advmss: int | None = None,
    priority: int | None = None,
    table: int | None = None,
    scope: int | None = None,
    source: IpAddress | None = None,
    is_beside: bool = False,
) -> Message:
    """Make a route.

    Args:
        destination: Where it leads; 0.0.0.0/0 or ::/0 is everywhere.
        gateway: The next hop, of the same family.
        index: The link's.
        is_onlink: The gateway is taken to be on the link, though no address says so.
        mtu: Bytes of the largest packet on it.
        advmss: Bytes of the largest TCP segment asked for on it.
        priority: Its metric.
        table: Its table; the main one.
        scope: How far the destination is; without a gateway of IPv4 on the link, else everywhere.
        source: The address of this host that packets on it come from; of IPv6 the link has it.
        is_beside: There may be another way to the same destination, with the same metric. Of IPv4
            the newest is taken, of IPv6 one after the other.

    Raises:
        NetlinkError: gateway and destination are of different families (EAFNOSUPPORT), or a number
            does not fit.
    """
    flags = _RTNH_F_ONLINK if is_onlink else 0
    metrics = _metrics(mtu, advmss)
    parts = _way(destination, gateway, index, priority, table)
    if metrics:
        parts += nested(_RTA_METRICS, metrics)
    if source is not None:
        parts += attribute(_RTA_PREFSRC, source.packed)
    if scope is None:
        is_near = gateway is None and is_v4(destination)
        scope = LINK if is_near else UNIVERSE
    head = _head(destination, table, scope=scope, protocol=_RTPROT_BOOT, flags=flags)
    return Message(_RTM_NEWROUTE, CREATE if is_beside else CREATE | EXCL, head + parts)


def remove(
    destination: Network,
    *,
    gateway: IpAddress | None = None,
    index: int | None = None,
    priority: int | None = None,
    table: int | None = None,
    protocol: int | None = None,
) -> Message:
    """Remove a route; what is None is the same to it. There may be more of them (ESRCH: none).

    Args:
        destination: Where it leads.
        gateway: The next hop.
        index: The link's.
        priority: Its metric.
        table: Its table; the main one.
        protocol: Who made it, ``BY_KERNEL`` for instance.

    Raises:
        NetlinkError: gateway and destination are of different families.
    """
    # RT_SCOPE_NOWHERE: any.
    scope, made_by = _MOST_IN_HEADER, protocol or 0
    head = _head(destination, table, scope=scope, protocol=made_by, flags=0, kind=0)
    return Message(_RTM_DELROUTE, 0, head + _way(destination, gateway, index, priority, table))


def list_routes(
    netlink: Netlink, *, index: int | None = None, table: int | None = MAIN
) -> tuple[Route, ...]:
    """Return the routes of both families.

    Args:
        netlink: The namespace's socket.
        index: Only those of this link.
        table: Only those of this table; None, those of all.

    Raises:
        NetlinkError: there is no such link (ENODEV), or the kernel does not say.
    """
    # Both families at once: of one alone a table that was never used is an error (inet_dump_fib,
    # net/ipv4/fib_frontend.c).
    head = header(_RTMSG, socket.AF_UNSPEC, 0, 0, 0, _in_header(table or 0), *[0] * 4)
    message = Message(_RTM_GETROUTE, 0, head + _where(index, table))
    routes = chain.from_iterable(map(read_routes, netlink.dump(message)))
    return on_link((one for one in routes if table in (None, one.table)), index)


def link_to(netlink: Netlink, address: IpAddress) -> int | None:
    """Return the index of the link by which an address is reached; None where that is none.

    Raises:
        NetlinkError: there is no way there (ENETUNREACH, EHOSTUNREACH), or the kernel does not say.
    """
    bits = address.max_prefixlen
    head = header(_RTMSG, family_of(address), bits, *[0] * 7)
    asked = Message(_RTM_GETROUTE, 0, head + attribute(_RTA_DST, address.packed), is_question=True)
    (answer,) = netlink.request(asked)
    header_of(_RTMSG, answer.body)
    return _number(attributes(answer.body[_RTMSG.size :]), _RTA_OIF)


def read_routes(answer: Answer) -> tuple[Route, ...]:
    """Read the description of a route, one for each way; none where it is of another family or a
    cache's.

    Raises:
        Malformed: it is none.
    """
    if answer.kind != _RTM_NEWROUTE:
        raise malformed(f"a message {answer.kind} where a route is described")
    family, prefix, _, _, table, protocol, scope, kind, flags = header_of(_RTMSG, answer.body)
    size = SIZES.get(family)
    if size is None or flags & _RTM_F_CLONED:
        return ()
    said = attributes(answer.body[_RTMSG.size :])
    packed = said.get(_RTA_DST, bytes(size))
    if len(packed) != size or prefix > size * 8:
        raise malformed(f"a destination of {len(packed)} bytes and {prefix} bits")
    metrics = attributes(said.get(_RTA_METRICS, b""))
    named_table = _number(said, _RTA_TABLE)
    source = packed_of(said.get(_RTA_PREFSRC), family)
    mtu, advmss = _number(metrics, _RTAX_MTU), _number(metrics, _RTAX_ADVMSS)
    return tuple(
        Route(
            packed=packed,
            prefix=prefix,
            gateway=gateway,
            index=index,
            table=table if named_table is None else named_table,
            scope=scope,
            priority=_number(said, _RTA_PRIORITY) or 0,
            protocol=protocol,
            kind=kind,
            source=source,
            mtu=mtu,
            advmss=advmss,
            is_onlink=bool(hop_flags & _RTNH_F_ONLINK),
        )
        for gateway, index, hop_flags in _ways(said, flags, family)
    )


def _way(
    destination: Network,
    gateway: IpAddress | None,
    index: int | None,
    priority: int | None,
    table: int | None,
) -> bytes:
    parts = b""
    if destination.prefixlen:
        parts += attribute(_RTA_DST, destination.network_address.packed)
    if gateway is not None:
        if gateway.version != destination.version:
            raise NetlinkError(errno.EAFNOSUPPORT, f"{gateway} on the way to {destination}")
        parts += attribute(_RTA_GATEWAY, gateway.packed)
    if priority is not None:
        parts += u32(_RTA_PRIORITY, priority)
    return parts + _where(index, table)


def _where(index: int | None, table: int | None) -> bytes:
    parts = b"" if index is None else u32(_RTA_OIF, index)
    if table is not None and table > _MOST_IN_HEADER:
        parts += u32(_RTA_TABLE, table)
    return parts


def _metrics(mtu: int | None, advmss: int | None) -> bytes:
    parts = b""
    if mtu is not None:
        parts += u32(_RTAX_MTU, mtu)
    if advmss is not None:
        parts += u32(_RTAX_ADVMSS, advmss)
    return parts


def _head(
    destination: Network,
    table: int | None,
    *,
    scope: int,
    protocol: int,
    flags: int,
    kind: int = _RTN_UNICAST,
) -> bytes:
    in_header = _in_header(MAIN if table is None else table)
    bits = destination.prefixlen
    return header(
        _RTMSG, family_of(destination), bits, 0, 0, in_header, protocol, scope, kind, flags
    )


def _in_header(table: int) -> int:
    return table if table <= _MOST_IN_HEADER else 0


def _ways(
    said: Mapping[int, bytes], flags: int, family: int
) -> Iterator[tuple[bytes | None, int | None, int]]:
    """Iterate over gateway, link and flags of each way."""
    if _RTA_MULTIPATH not in said:
        yield packed_of(said.get(_RTA_GATEWAY), family), _number(said, _RTA_OIF), flags
        return
    data = said[_RTA_MULTIPATH]
    while data:
        length, hop_flags, _, index = header_of(_RTNEXTHOP, data)
        if not _RTNEXTHOP.size <= length <= len(data):
            raise malformed(f"a way of {length} bytes in {len(data)}")
        of_hop = attributes(data[_RTNEXTHOP.size : length])
        yield packed_of(of_hop.get(_RTA_GATEWAY), family), index, hop_flags
        data = data[length + 3 & ~3 :]


def _number(said: Mapping[int, bytes], kind: int) -> int | None:
    value = said.get(kind)
    return None if value is None else u32_of(value)

"""What rules of nf_tables consist of: expressions, each a step of a small machine with registers.

A rule goes on as long as its comparisons hold. Numbers of attributes are in the network's order;
what stands in a register is as the packet has it (addresses, ports), or as the kernel has it.

(include/uapi/linux/netfilter/nf_tables.h; net/netfilter/nft_*.c)
"""

from __future__ import annotations

import struct
from typing import Final

from acni.netlink.messages import attribute, be32, encoded, nested, text

INET: Final = 1
IPV4: Final = 2
BRIDGE: Final = 7
IPV6: Final = 10
_FAMILY_NAMES: Final = {INET: "inet", IPV4: "ip", BRIDGE: "bridge", IPV6: "ip6"}

# Four bytes each, lying one after the other: NFT_REG32_00 and what follows.
FIRST_REGISTER: Final = 8

_EXPR_NAME: Final = 1
_EXPR_DATA: Final = 2
_LIST_ELEM: Final = 1

_META_NFPROTO: Final = 15
_META_L4PROTO: Final = 16
_META_IIF: Final = 4
_META_OIF: Final = 5
_META_IIFNAME: Final = 6
_META_OIFNAME: Final = 7

_LINK_HEADER: Final = 0
_NETWORK_HEADER: Final = 1
_TRANSPORT_HEADER: Final = 2
_PORT_BYTES: Final = 2
_MAC_OFFSET, _MAC_BYTES = 6, 6

_EQ, _NEQ = 0, 1

_CT_STATUS: Final = 2
_IPS_DST_NAT: Final = 1 << 5

_FIB_RESULT_ADDRTYPE: Final = 3
_FIB_DADDR: Final = 1 << 1
_RTN_LOCAL: Final = 2

_NAT_DNAT: Final = 1

NF_DROP: Final = 0
NF_ACCEPT: Final = 1
NFT_CONTINUE: Final = -1
NFT_JUMP: Final = -3
NFT_GOTO: Final = -4
NFT_RETURN: Final = -5

_LOOPBACK_INDEX: Final = 1


def family_name(family: int) -> str:
    """Return what nft calls a family of tables."""
    return _FAMILY_NAMES.get(family, str(family))


def expression(name: str, *inner: bytes) -> bytes:
    """Pack an expression: NFTA_LIST_ELEM."""
    return nested(_LIST_ELEM, text(_EXPR_NAME, name), nested(_EXPR_DATA, *inner))


def is_family(family: int) -> bytes:
    """``meta nfproto``: the packet is IPv4's or IPv6's."""
    return _meta(_META_NFPROTO) + _compare(bytes([family]))


def is_not_from_lo() -> bytes:
    """``iif != lo``, whose index is 1 in each namespace."""
    return _meta(_META_IIF) + _compare(struct.pack("=I", _LOOPBACK_INDEX), _NEQ)


def is_to_this_host() -> bytes:
    """``fib daddr type local``."""
    ask = expression(
        "fib", be32(1, FIRST_REGISTER), be32(2, _FIB_RESULT_ADDRTYPE), be32(3, _FIB_DADDR)
    )
    return ask + _compare(struct.pack("=I", _RTN_LOCAL))


def is_translated() -> bytes:
    """``ct status dnat``: it was sent to another address than it goes to."""
    load = expression("ct", be32(1, FIRST_REGISTER), be32(2, _CT_STATUS))
    return load + _masked(struct.pack("=I", _IPS_DST_NAT)) + _compare(bytes(4), _NEQ)


def load_address(offset: int, size: int, register: int = FIRST_REGISTER) -> bytes:
    """``ip saddr`` and the like, by its place in the header of IP."""
    return _payload(_NETWORK_HEADER, offset, size, register)


def load_port(register: int = FIRST_REGISTER) -> bytes:
    """``th dport``: where TCP, UDP and SCTP have the port that a packet goes to."""
    return _payload(_TRANSPORT_HEADER, _PORT_BYTES, _PORT_BYTES, register)


def load_protocol(register: int = FIRST_REGISTER) -> bytes:
    """``meta l4proto``."""
    return _meta(_META_L4PROTO, register)


def load_ways() -> bytes:
    """``iif . oif``; behind routing the first is known since Linux 5.7."""
    return _meta(_META_IIF) + _meta(_META_OIF, FIRST_REGISTER + 1)


def load_link_name(register: int = FIRST_REGISTER) -> bytes:
    """``iifname``: the name of the link that a packet came by, in 16 bytes."""
    return _meta(_META_IIFNAME, register)


def load_sender(register: int = FIRST_REGISTER) -> bytes:
    """``ether saddr``: the hardware address that a frame says to be from."""
    return _payload(_LINK_HEADER, _MAC_OFFSET, _MAC_BYTES, register)


def is_link(name: str, *, is_outgoing: bool = False) -> bytes:
    """``iifname "cni0"`` and ``oifname "cni0"``, as iptables compares them: with the end of the
    name.
    """
    key = _META_OIFNAME if is_outgoing else _META_IIFNAME
    return _meta(key) + _compare(encoded(name) + b"\0")


def matches(name: str, revision: int, said: bytes) -> bytes:
    """``-m name``: a match of iptables.

    Args:
        name: The match's.
        revision: Of what it is told.
        said: That, as long as the kernel wants it: a multiple of eight bytes.
    """
    return expression("match", text(1, name), be32(2, revision), attribute(3, said))


def counts() -> bytes:
    """``counter``: counts what comes so far."""
    return expression("counter")


def is_within(offset: int, mask: bytes, network: bytes, *, is_negated: bool = False) -> bytes:
    """``ip daddr 127.0.0.0/8`` and the like."""
    load = load_address(offset, len(mask))
    return load + _masked(mask) + _compare(network, _NEQ if is_negated else _EQ)


def is_in(name: str, *, is_negated: bool = False) -> bytes:
    """``@name``: what was loaded is in a set."""
    return expression(
        "lookup", text(1, name), be32(2, FIRST_REGISTER), be32(5, 1 if is_negated else 0)
    )


def translate_by(name: str, *, family: int, size: int) -> bytes:
    """``dnat to … map @name``: to the address and port that a map has for what was loaded.

    Args:
        name: The map's.
        family: IPV4 or IPV6.
        size: The bytes of one of its addresses; the port stands behind.
    """
    find = expression("lookup", text(1, name), be32(2, FIRST_REGISTER), be32(3, FIRST_REGISTER))
    port = FIRST_REGISTER + size // 4
    # NFTA_NAT_TYPE, _FAMILY, _REG_ADDR_MIN, _REG_PROTO_MIN
    to = be32(1, _NAT_DNAT), be32(2, family), be32(3, FIRST_REGISTER), be32(5, port)
    return find + expression("nat", *to)


def masquerade() -> bytes:
    """``masquerade``: as if the host itself had sent it."""
    return expression("masq")


def verdict(code: int, chain: str | None = None) -> bytes:
    """``accept``, ``drop``, or to go on in a chain."""
    inner = be32(1, code & 0xFFFFFFFF) + (b"" if chain is None else text(2, chain))
    return expression("immediate", be32(1, 0), nested(2, nested(2, inner)))


def _meta(key: int, register: int = FIRST_REGISTER) -> bytes:
    return expression("meta", be32(1, register), be32(2, key))


def _payload(base: int, offset: int, size: int, register: int) -> bytes:
    numbers = (register, base, offset, size)
    return expression("payload", *(be32(kind, n) for kind, n in enumerate(numbers, 1)))


def _compare(value: bytes, how: int = _EQ) -> bytes:
    return expression("cmp", be32(1, FIRST_REGISTER), be32(2, how), nested(3, attribute(1, value)))


def _masked(mask: bytes) -> bytes:
    nothing = nested(5, attribute(1, bytes(len(mask))))
    where = be32(1, FIRST_REGISTER), be32(2, FIRST_REGISTER), be32(3, len(mask))
    return expression("bitwise", *where, nested(4, attribute(1, mask)), nothing)

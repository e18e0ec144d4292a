"""What somebody else has in a table of our name, of which ours cannot be made: named, with what was
expected, as nothing of it is changed.

Rule 1: the kernel says which message it refuses, and the message says what it is about. That a set
    is another one it says itself; of a chain it says what it says of a feature that it lacks, so
    only a chain that was there before is somebody's.
Rule 2: what is expected is written as nft writes it.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Final

from attrs import frozen

from acni.netlink.errors import NetlinkError
from acni.netlink.messages import Message, attributes, be32_of, text_of
from acni.netlink.netfilter import Netfilter
from acni.netlink.nfmessages import family_and_attributes, kind_of
from acni.netlink.nfoutlines import outline_of
from acni.netlink.nfrules import list_chains, verdict_of
from acni.netlink.nftables import (
    ETHERNET_ADDRESS,
    IPV4_ADDRESS,
    IPV6_ADDRESS,
    LINK_INDEX,
    LINK_NAME,
    MARK,
    NEWCHAIN,
    NEWRULE,
    NEWSET,
    PORT,
    PROTOCOL,
    SUBSYSTEM,
)
from acni.plugins.tables import TABLE

_HOOKS: Final = ("prerouting", "input", "forward", "output", "postrouting")
_TYPES: Final = {
    IPV4_ADDRESS.number: "ipv4_addr",
    IPV6_ADDRESS.number: "ipv6_addr",
    ETHERNET_ADDRESS.number: "ether_addr",
    PROTOCOL.number: "inet_proto",
    PORT.number: "inet_service",
    MARK.number: "mark",
    LINK_INDEX.number: "iface_index",
    LINK_NAME.number: "ifname",
}
_TYPE_BITS: Final = 6
_SET_NAME, _SET_KEY, _SET_DATA = 2, 4, 6  # NFTA_SET_NAME, _KEY_TYPE, _DATA_TYPE
_CHAIN_NAME, _CHAIN_HOOK, _CHAIN_TYPE = 3, 4, 7  # NFTA_CHAIN_*
_RULE_CHAIN: Final = 2  # NFTA_RULE_CHAIN
# What is said of a set of other types, and of a chain that is asked otherwise, or leads back.
_OTHER_SET: Final = (errno.EEXIST, errno.EBUSY)
_OTHER_CHAIN: Final = (*_OTHER_SET, errno.EOPNOTSUPP, errno.EINVAL, errno.EMLINK, errno.ELOOP)


@frozen(kw_only=True)
class Expected:
    """What a table of ours has.

    Attributes:
        kind: "set", "map" or "chain".
        name: Its name.
        words: How nft writes it; of a chain that others lead to, what is true of it.
    """

    kind: str
    name: str
    words: str


def find_foreign(netfilter: Netfilter, refused: Message, error: NetlinkError) -> Expected | None:
    """Return what stands in a table of ours, and is somebody's; None where that is not why.

    Args:
        netfilter: The host's socket.
        refused: The message that the kernel refused, of those that make the table.
        error: What the kernel said.

    Raises:
        NetlinkError: the kernel does not say what is there.
    """
    expected = expected_of(refused)
    if expected is None:
        return None
    if expected.kind != "chain":
        return expected if error.errno in _OTHER_SET else None
    if error.errno not in _OTHER_CHAIN:
        return None
    family, _ = family_and_attributes(refused)
    place = (family, TABLE, expected.name)
    is_there = any((one.family, one.table, one.name) == place for one in list_chains(netfilter))
    return expected if is_there else None


def expected_of(message: Message) -> Expected | None:
    """Return what a message makes, or, of a rule, to which chain it leads; None where it is nothing
    of that.

    Raises:
        Malformed: it is no message to nf_tables.
    """
    _, said = family_and_attributes(message)
    if message.kind == kind_of(SUBSYSTEM, NEWSET):
        return _expected_set(said)
    if message.kind == kind_of(SUBSYSTEM, NEWCHAIN):
        return _expected_chain(said)
    if message.kind == kind_of(SUBSYSTEM, NEWRULE):
        return _expected_target(message, text_of(said[_RULE_CHAIN]))
    return None


def _expected_set(said: Mapping[int, bytes]) -> Expected:
    name, words = text_of(said[_SET_NAME]), f"type {_type_words(said[_SET_KEY])}"
    if _SET_DATA not in said:
        return Expected(kind="set", name=name, words=words)
    return Expected(kind="map", name=name, words=f"{words} : {_type_words(said[_SET_DATA])}")


def _expected_chain(said: Mapping[int, bytes]) -> Expected | None:
    if _CHAIN_HOOK not in said:
        return None  # whatever is there is left as it is
    place, kind = attributes(said[_CHAIN_HOOK]), text_of(said[_CHAIN_TYPE])
    hook, priority = _HOOKS[be32_of(place[1])], int.from_bytes(place[2], "big", signed=True)
    words = f"type {kind} hook {hook} priority {priority}"
    return Expected(kind="chain", name=text_of(said[_CHAIN_NAME]), words=words)


def _expected_target(rule: Message, chain: str) -> Expected | None:
    for name, said in outline_of(rule).steps:
        verdict = verdict_of(attributes(said)) if name == b"immediate\0" else None
        if verdict is not None and verdict[1] is not None:
            words = f"one without a hook, with rules that may be asked from {chain}"
            return Expected(kind="chain", name=verdict[1], words=words)
    return None


def _type_words(said: bytes) -> str:
    number, parts = be32_of(said), list[str]()
    while number:
        parts.insert(0, _TYPES[number & (1 << _TYPE_BITS) - 1])
        number >>= _TYPE_BITS
    return " . ".join(parts)

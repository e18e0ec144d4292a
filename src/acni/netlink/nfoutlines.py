"""Rules and maps of nf_tables of which little is read, as thousands are looked at.

(include/uapi/linux/netfilter/nf_tables.h)
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from acni.netlink.errors import malformed
from acni.netlink.messages import Answer, Message, attributes, be64_of, elements
from acni.netlink.netfilter import Netfilter
from acni.netlink.nfmessages import NFGENMSG, family_and_attributes
from acni.netlink.nfrules import verdict_in
from acni.netlink.nftables import list_of

_ATTRIBUTE: Final = struct.Struct("=HH")
_KIND_MASK: Final = 0x3FFF
_RULE_HANDLE, _RULE_EXPRESSIONS = 3, 4  # NFTA_RULE_*

# Of an element of a map: NFTA_SET_ELEM_KEY, _DATA, _FLAGS, _KEY_END.
_ELEMENT_KEY, _ELEMENT_DATA, _ELEMENT_FLAGS, _ELEMENT_KEY_END = 1, 2, 3, 10


class Outline(NamedTuple):
    """A rule of which little is read, as thousands are looked at.

    Attributes:
        handle: Its number in the table.
        steps: The name of each expression, with the NUL that ends it, and its attributes.
    """

    handle: int
    steps: list[tuple[bytes, bytes]]


class Branch(NamedTuple):
    """Where a map of verdicts leads for a key.

    Attributes:
        key: The key; None, it is not one alone: it stands for a range, or for all others.
        code: The verdict.
        target: The chain of a jump.
    """

    key: bytes | None
    code: int
    target: str | None


def list_branches(netfilter: Netfilter, *, family: int, table: str, name: str) -> list[Branch]:
    """Return where a map of verdicts leads.

    Raises:
        NetlinkError: ENOENT, there is no such map; or the kernel does not say.
    """
    found: list[Branch] = []
    are_alone = True
    for answer in netfilter.netlink.dump(list_of(table, name, family=family)):
        _, said = family_and_attributes(answer)
        for one in elements(said.get(3, b"")):
            parts = attributes(one)
            # A range has its end in an element of its own, or beside; all others have no key.
            are_alone = are_alone and parts.keys().isdisjoint((_ELEMENT_FLAGS, _ELEMENT_KEY_END))
            verdict = verdict_in(parts.get(_ELEMENT_DATA, b""))
            if verdict is not None:
                key = attributes(parts.get(_ELEMENT_KEY, b"")).get(1)
                found.append(Branch(key, *verdict))
    return found if are_alone else [one._replace(key=None) for one in found]


def outline_of(answer: Answer | Message) -> Outline:
    """Read a rule as far as its expressions are called something: a fifth of what reading it takes.

    Raises:
        Malformed: it is no rule.
    """
    body, at, end = answer.body, NFGENMSG.size, len(answer.body)
    handle = 0
    steps: list[tuple[bytes, bytes]] = []
    while at < end:
        size, kind = _attribute_at(body, at, end)
        if kind == _RULE_EXPRESSIONS:
            at, end = at + _ATTRIBUTE.size, at + size
            break
        if kind == _RULE_HANDLE:
            handle = be64_of(body[at + _ATTRIBUTE.size : at + size])
        at += size + 3 & ~3
    while at < end:
        size, _ = _attribute_at(body, at, end)
        named, behind = at + _ATTRIBUTE.size, at + size
        length, _ = _attribute_at(body, named, behind)
        said = named + (length + 3 & ~3) + _ATTRIBUTE.size
        steps.append((body[named + _ATTRIBUTE.size : named + length], body[said:behind]))
        at += size + 3 & ~3
    return Outline(handle, steps)


def _attribute_at(body: bytes, at: int, end: int) -> tuple[int, int]:
    """Return how long an attribute is, and its kind."""
    if end - at < _ATTRIBUTE.size:
        raise malformed(f"{end - at} bytes where an attribute begins")
    size, kind = _ATTRIBUTE.unpack_from(body, at)
    if not _ATTRIBUTE.size <= size <= end - at:
        raise malformed(f"an attribute of {size} bytes in {end - at}")
    return size, kind & _KIND_MASK

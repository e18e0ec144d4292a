"""Messages to nf_tables: tables, chains, sets, rules and elements; pure.

Each goes into a batch (:meth:`acni.netlink.netfilter.Netfilter.transact`). Where no family is named
it is ``inet``, which is asked for both IPv4 and IPv6.

(include/uapi/linux/netfilter/nf_tables.h; nft(8))
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

from attrs import field, frozen

from acni.netlink.errors import malformed
from acni.netlink.messages import (
    APPEND,
    CREATE,
    EXCL,
    Message,
    attribute,
    attributes,
    be32,
    elements,
    encoded,
    nested,
    question,
    text,
    text_of,
)
from acni.netlink.nfexpressions import INET, NF_ACCEPT
from acni.netlink.nfmessages import NFTABLES, kind_of, subsystem_message

SUBSYSTEM: Final = NFTABLES

NEWTABLE: Final = 0
NEWCHAIN: Final = 3
GETCHAIN: Final = 4
NEWRULE: Final = 6
GETRULE: Final = 7
DELRULE: Final = 8
NEWSET: Final = 9
NEWSETELEM: Final = 12
GETSETELEM: Final = 13
DELSETELEM: Final = 14
NEWGEN: Final = 15
GETGEN: Final = 16

PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING = range(5)

_NFT_SET_MAP: Final = 0x8
# Of an element: NFTA_SET_ELEM_KEY, _DATA, _USERDATA.
_KEY, _DATA, _USERDATA = 1, 2, 6
# What userspace keeps with an element is its own, and begins with a kind and a length. This kind is
# libnftnl's comment, which nft prints; longer ones it does not read.
_COMMENT: Final = 0
_COMMENT_HEAD: Final = 2
# The same of a set: libnftnl's byte order of the key, and of data, the machine's
# (BYTEORDER_HOST_ENDIAN).
_SET_USERDATA: Final = 13
_KEY_IS_OF_HOST: Final = struct.pack("=BBI", 0, 4, 1)
_DATA_IS_OF_HOST: Final = struct.pack("=BBI", 1, 4, 1)
MOST_COMMENT_BYTES: Final = 127


@frozen
class Type:
    """The type of a key, or of what a map has for one.

    Attributes:
        number: nft's own, by which it prints; six bits a part.
        size: Its bytes; each part begins at a multiple of four.
        is_of_host: Whether its byte order is the machine's, as those of text and of a mark: nft
            prints it as a number of the network's otherwise, and reads that as one of the machine.
    """

    number: int
    size: int
    is_of_host: bool = False

    def then(self, other: Type) -> Type:
        """Return the concatenation with a type of one part."""
        return Type(self.number << 6 | other.number, (self.size + 3 & ~3) + (other.size + 3 & ~3))


IPV4_ADDRESS: Final = Type(7, 4)
IPV6_ADDRESS: Final = Type(8, 16)
ETHERNET_ADDRESS: Final = Type(9, 6)
PROTOCOL: Final = Type(12, 1)
PORT: Final = Type(13, 2)
MARK: Final = Type(19, 4, is_of_host=True)
LINK_INDEX: Final = Type(20, 4)
LINK_NAME: Final = Type(41, 16, is_of_host=True)


@frozen
class Element:
    """An element of a set, or of a map.

    Attributes:
        name: The set's.
        key: Its key.
        data: What a map has for it; None in a set.
        comment: What ``nft`` shows beside it.
        family: That of the set's table.
    """

    name: str
    key: bytes
    data: bytes | None = None
    comment: str | None = None
    family: int = field(default=INET, kw_only=True)


def table_message(kind: int, flags: int, *inner: bytes, family: int = INET) -> Message:
    """Make a message to nf_tables."""
    return subsystem_message(SUBSYSTEM, kind, flags, *inner, family=family)


def new_table(name: str, *, family: int = INET) -> Message:
    """Make a table; one that is there is left as it is."""
    return table_message(NEWTABLE, CREATE, text(1, name), family=family)


def new_chain(table: str, name: str, *, family: int = INET) -> Message:
    """Make a chain that others lead to; one that is there is left as it is."""
    return table_message(NEWCHAIN, CREATE, text(1, table), text(3, name), family=family)


def new_base_chain(
    table: str, name: str, *, kind: str, hook: int, priority: int, family: int = INET
) -> Message:
    """Make a chain that the kernel leads to, and that accepts.

    Args:
        table: The table.
        name: Its name.
        kind: "nat" or "filter".
        hook: PREROUTING or another.
        priority: Of several at a hook the lowest is asked first.
        family: The table's.
    """
    place = nested(4, be32(1, hook), be32(2, priority & 0xFFFFFFFF))
    said = text(1, table), text(3, name), place, be32(5, NF_ACCEPT), text(7, kind)
    return table_message(NEWCHAIN, CREATE, *said, family=family)


def delete_rules(table: str, chain: str, *, family: int = INET) -> Message:
    """Delete all rules of a chain."""
    return table_message(DELRULE, 0, text(1, table), text(2, chain), family=family)


def new_rule(table: str, chain: str, *expressions: bytes, family: int = INET) -> Message:
    """Add a rule behind those of a chain."""
    said = text(1, table), text(2, chain), nested(4, *expressions)
    return table_message(NEWRULE, CREATE | APPEND, *said, family=family)


def new_set(
    table: str,
    name: str,
    number: int,
    *,
    key: Type,
    data: Type | None = None,
    family: int = INET,
) -> Message:
    """Make a set, or a map; one that is there and has these types is left as it is.

    Args:
        table: The table.
        name: Its name.
        number: One that no other set of the batch has.
        key: The type of its keys.
        data: The type of what a map has for them; None, it is a set.
        family: The table's.
    """
    flags, into = 0, b""
    if data is not None:
        flags, into = _NFT_SET_MAP, be32(6, data.number) + be32(7, data.size)
    types = be32(3, flags), be32(4, key.number), be32(5, key.size), be32(10, number)
    order = _KEY_IS_OF_HOST if key.is_of_host else b""
    order += _DATA_IS_OF_HOST if data is not None and data.is_of_host else b""
    told = attribute(_SET_USERDATA, order) if order else b""
    said = text(1, table), text(2, name), *types, into, told
    return table_message(NEWSET, CREATE, *said, family=family)


def add_element(table: str, element: Element, *, is_new: bool = False) -> Message:
    """Add an element; one that is there and has this data stays as it is.

    EEXIST says that it is there and has other data, or ``is_new`` and it is there; kernels before
    Linux 5.18 said EBUSY to the first.
    """
    return _about_element(NEWSETELEM, CREATE | (EXCL if is_new else 0), table, element)


def delete_element(table: str, element: Element) -> Message:
    """Delete the element of a key, whatever its data (ENOENT: there is none)."""
    return _about_element(DELSETELEM, 0, table, element)


def deletion_of(added: Message) -> Message:
    """Delete the element that a message adds, whatever its data (ENOENT: there is none).

    Args:
        added: What :func:`add_element` returned; beside the key the kernel reads nothing of it.
    """
    return Message(kind_of(SUBSYSTEM, DELSETELEM), 0, added.body)


def get_element(table: str, element: Element) -> Message:
    """Ask for the element of a key (ENOENT: there is none)."""
    asked = Element(element.name, element.key, family=element.family)
    return question(_about_element(GETSETELEM, 0, table, asked))


def list_of(table: str, name: str, *, family: int = INET) -> Message:
    """Ask for the elements of a set."""
    return table_message(GETSETELEM, 0, text(1, table), text(2, name), family=family)


def read_elements(
    name: str, said: bytes, *, family: int = INET, comment: str | None = None
) -> Iterable[Element]:
    """Read elements of a set as they are listed.

    Args:
        name: The set's.
        said: The list.
        family: That of the set's table.
        comment: Read those alone beside which this stands; None, all.

    Raises:
        Malformed: they are none.
    """
    there = b"" if comment is None else encoded(comment)
    for one in elements(said):
        if there not in one:
            continue
        parts = attributes(one)
        beside = _comment_of(parts.get(_USERDATA, b""))
        if comment not in (None, beside):
            continue
        yield Element(
            name=name,
            key=_value_of(parts.get(_KEY, b"")),
            data=_value_of(parts[_DATA]) if _DATA in parts else None,
            comment=beside,
            family=family,
        )


def _about_element(kind: int, flags: int, table: str, element: Element) -> Message:
    value = nested(_KEY, attribute(1, element.key))
    if element.data is not None:
        value += nested(_DATA, attribute(1, element.data))
    if element.comment is not None and kind == NEWSETELEM:
        said = encoded(element.comment)[:MOST_COMMENT_BYTES] + b"\0"
        value += attribute(_USERDATA, bytes((_COMMENT, len(said))) + said)
    listed = nested(3, nested(1, value))
    where = text(1, table), text(2, element.name)
    return subsystem_message(SUBSYSTEM, kind, flags, *where, listed, family=element.family)


def _value_of(said: bytes) -> bytes:
    value = attributes(said).get(1)
    if value is None:
        raise malformed("an element without a value")
    return value


def _comment_of(said: bytes) -> str | None:
    """Read the first of what userspace keeps with an element, if it is a comment."""
    if len(said) < _COMMENT_HEAD or said[0] != _COMMENT or len(said) < _COMMENT_HEAD + said[1]:
        return None
    return text_of(said[_COMMENT_HEAD : _COMMENT_HEAD + said[1]])

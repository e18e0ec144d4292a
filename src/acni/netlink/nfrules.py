"""Chains and rules of nf_tables as they are there, whoever made them, and changes of somebody's.

(include/uapi/linux/netfilter/nf_tables.h)
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from typing import Final

from attrs import frozen

from acni.netlink.errors import NetlinkError
from acni.netlink.messages import (
    APPEND,
    CREATE,
    Answer,
    Message,
    attribute,
    attributes,
    be32_of,
    be64_of,
    elements,
    nested,
    text,
    text_of,
)
from acni.netlink.netfilter import Netfilter
from acni.netlink.nfmessages import family_and_attributes
from acni.netlink.nftables import DELRULE, GETCHAIN, GETRULE, NEWRULE, table_message

_GETTABLE: Final = 1
_TABLE_FLAGS, _TABLE_HANDLE = 2, 4  # NFTA_TABLE_*
_DORMANT: Final = 1
_VERDICT_REGISTER: Final = 0
_SIGN: Final = 1 << 31
_CHAIN_HOOK, _CHAIN_POLICY, _CHAIN_TYPE = 4, 5, 7  # NFTA_CHAIN_*
_HOOK_NUMBER, _HOOK_PRIORITY = 1, 2  # NFTA_HOOK_*


@frozen(kw_only=True)
class Table:
    """A table.

    Attributes:
        handle: Its number, which no other one of the namespace ever has.
        is_dormant: Whether it sleeps (``flags dormant``): the kernel leads to none of its chains.
    """

    handle: int
    is_dormant: bool


@frozen(kw_only=True)
class Chain:
    """A chain.

    Attributes:
        family: NFPROTO_* of its table.
        table: Its table.
        name: Its name.
        kind: "nat", "filter" or "route"; None where the kernel does not lead to it.
        hook: PREROUTING or another; None likewise.
        priority: Of several at a hook the lowest is asked first; None likewise.
        policy: What becomes of a packet that no rule of it decides about, NF_ACCEPT or NF_DROP;
            None likewise.
    """

    family: int
    table: str
    name: str
    kind: str | None = None
    hook: int | None = None
    priority: int | None = None
    policy: int | None = None


@frozen(kw_only=True)
class Expression:
    """A step of a rule.

    Attributes:
        name: Its kind: "payload", "cmp", "immediate", "match" and others.
        said: Its attributes, by their numbers.
    """

    name: str
    said: Mapping[int, bytes]

    def number(self, kind: int) -> int | None:
        """Return a number of it; None where it has none.

        Raises:
            Malformed: it is no number.
        """
        value = self.said.get(kind)
        return None if value is None else be32_of(value)

    def verdict(self) -> tuple[int, str | None] | None:
        """Return where it leads: a verdict, and the chain of a jump; None where it goes on.

        Raises:
            Malformed: it is no verdict.
        """
        return verdict_of(self.said) if self.name == "immediate" else None


@frozen(kw_only=True)
class Rule:
    """A rule.

    Attributes:
        family: NFPROTO_* of its table.
        table: Its table.
        chain: Its chain.
        handle: Its number in the table, as ``nft -a`` shows it.
        expressions: What it consists of.
    """

    family: int
    table: str
    chain: str
    handle: int
    expressions: tuple[Expression, ...]


def list_chains(netfilter: Netfilter, *, kind: str | None = None) -> list[Chain]:
    """Return the chains of all tables.

    Args:
        netfilter: The socket.
        kind: Only those of this kind, which the kernel leads to; None, all.

    Raises:
        NetlinkError: the kernel does not say.
    """
    answers: Sequence[Answer] = netfilter.netlink.dump(table_message(GETCHAIN, 0, family=0))
    # A node with kube-proxy has thousands of no kind, and to read them is nine tenths of the time.
    if kind is not None:
        said = text(_CHAIN_TYPE, kind)
        answers = [answer for answer in answers if said in answer.body]
    chains = (_chain(*family_and_attributes(answer)) for answer in answers)
    return [chain for chain in chains if kind is None or chain.kind == kind]


def find_table(netfilter: Netfilter, name: str, *, family: int) -> Table | None:
    """Return a table; None where there is none of this name.

    Raises:
        NetlinkError: the kernel does not say.
    """
    try:
        asked = table_message(_GETTABLE, 0, text(1, name), family=family)
        answers = netfilter.netlink.request(asked)
    except NetlinkError as error:
        if error.errno != errno.ENOENT:
            raise
        return None
    said = (family_and_attributes(answer)[1] for answer in answers)
    return next((_table(one) for one in said), None)


def is_dormant(netfilter: Netfilter, chain: Chain) -> bool:
    """Tell whether the table of a chain sleeps, or is gone: then the kernel leads to none of it.

    Raises:
        NetlinkError: the kernel does not say.
    """
    table = find_table(netfilter, chain.table, family=chain.family)
    return table is None or table.is_dormant


def list_rules_of(netfilter: Netfilter, chain: Chain) -> list[Rule]:
    """Return the rules of a chain, in their order; none where there is no such chain.

    Raises:
        NetlinkError: the kernel does not say.
    """
    answers = dump_rules(netfilter, family=chain.family, table=chain.table, chain=chain.name)
    return [_rule(*family_and_attributes(answer)) for answer in answers]


def dump_rules(
    netfilter: Netfilter, *, family: int, table: str, chain: str | None = None
) -> Sequence[Answer]:
    """Return the rules of a chain, or of all of a table, in their order, unread: of thousands few
    matter. There are none where there is no such chain.

    Raises:
        NetlinkError: the kernel does not say.
    """
    asked = [text(1, table), *([] if chain is None else [text(2, chain)])]
    return netfilter.netlink.dump(table_message(GETRULE, 0, *asked, family=family))


def append_rule(chain: Chain, *expressions: bytes) -> Message:
    """Add a rule behind those of somebody's chain."""
    said = text(1, chain.table), text(2, chain.name), nested(4, *expressions)
    return table_message(NEWRULE, CREATE | APPEND, *said, family=chain.family)


def delete_rule(rule: Rule) -> Message:
    """Delete a rule of somebody's chain (ENOENT: it is gone)."""
    handle = attribute(3, rule.handle.to_bytes(8, "big"))
    said = text(1, rule.table), text(2, rule.chain), handle
    return table_message(DELRULE, 0, *said, family=rule.family)


def verdict_of(said: Mapping[int, bytes]) -> tuple[int, str | None] | None:
    """Return where an expression "immediate" leads: a verdict, and the chain of a jump; None where
    it goes on.

    Args:
        said: Its attributes.

    Raises:
        Malformed: it is no verdict.
    """
    if 1 not in said or be32_of(said[1]) != _VERDICT_REGISTER:
        return None
    return verdict_in(said.get(2, b""))


def verdict_in(data: bytes) -> tuple[int, str | None] | None:
    """Return the verdict, and the chain of a jump, that data is; None where it is none.

    Raises:
        Malformed: it is no data.
    """
    said = attributes(attributes(data).get(2, b""))
    if 1 not in said:
        return None
    target = said.get(2)
    return _signed(said[1]), None if target is None else text_of(target)


def _table(said: Mapping[int, bytes]) -> Table:
    flags = be32_of(said.get(_TABLE_FLAGS, bytes(4)))
    handle = be64_of(said.get(_TABLE_HANDLE, b""))
    return Table(handle=handle, is_dormant=bool(flags & _DORMANT))


def _chain(family: int, said: Mapping[int, bytes]) -> Chain:
    hook = attributes(said.get(_CHAIN_HOOK, b""))
    return Chain(
        family=family,
        table=text_of(said.get(1, b"")),
        name=text_of(said.get(3, b"")),
        kind=text_of(said[_CHAIN_TYPE]) if _CHAIN_TYPE in said else None,
        hook=be32_of(hook[_HOOK_NUMBER]) if _HOOK_NUMBER in hook else None,
        priority=_signed(hook[_HOOK_PRIORITY]) if _HOOK_PRIORITY in hook else None,
        policy=be32_of(said[_CHAIN_POLICY]) if _CHAIN_POLICY in said else None,
    )


def _rule(family: int, said: Mapping[int, bytes]) -> Rule:
    return Rule(
        family=family,
        table=text_of(said.get(1, b"")),
        chain=text_of(said.get(2, b"")),
        handle=be64_of(said.get(3, b"")),
        expressions=tuple(_expression(one) for one in elements(said.get(4, b""))),
    )


def _expression(said: bytes) -> Expression:
    parts = attributes(said)
    return Expression(name=text_of(parts.get(1, b"")), said=attributes(parts.get(2, b"")))


def _signed(said: bytes) -> int:
    number = be32_of(said)
    return number - 2 * _SIGN if number & _SIGN else number

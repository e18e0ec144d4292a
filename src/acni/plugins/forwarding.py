"""What others have the host's firewall do with all that is forwarded, and how containers are let
through where an administrator asks for it.

A chain at the forward hook whose policy is ``drop`` drops what no rule of it accepts (Docker sets
that of iptables' FORWARD), and nothing that is accepted in a chain of ours comes past it. So does
one that ends with a rule that drops or rejects everything (:mod:`acni.plugins.closingrules`).

Rule 1: the administrator is first: rules that let through are appended to iptables' own chain, and
    never inserted, so what a rule before them drops is dropped; and to no other chain at all.
Rule 2: a rule stands for a link of the host, a bridge mostly, and not for a container: a chain does
    not grow with the pods. It is ours by its comment, and stays with its link.
Rule 3: rules are as iptables writes them, so that it lists them, finds and deletes them.
Rule 4: what iptables-legacy has cannot be seen by nf_tables.

(iptables-extensions(8); include/uapi/linux/netfilter/xt_conntrack.h)
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Final

from attrs import define, frozen

from acni.netlink import nfexpressions as nf
from acni.netlink.errors import NetlinkError
from acni.netlink.generations import ReadByOne
from acni.netlink.messages import Message, attributes, encoded, text_of
from acni.netlink.netfilter import Netfilter
from acni.netlink.nfrules import (
    Chain,
    Expression,
    Rule,
    append_rule,
    delete_rule,
    is_dormant,
    list_chains,
    list_rules_of,
)
from acni.netlink.nftables import FORWARD
from acni.plugins.closingrules import ClosingRule, find_closing_rule
from acni.plugins.tables import NOTHING_THERE, TABLE

COMMENT: Final = "acni: openForwarding"

# Chains of which families see packets of an IP version.
_SEEN_BY: Final = {4: (nf.INET, nf.IPV4), 6: (nf.INET, nf.IPV6)}

_IIFNAME, _OIFNAME = 6, 7
_EQUAL: Final = 0
_COMMENT_BYTES: Final = 256
# The states ESTABLISHED and RELATED, and what was sent to another address: a host port's.
_ANSWERS: Final = 1 << 1 | 1 << 2
_LED: Final = 1 << 7
# struct xt_conntrack_mtinfo3: eight addresses and masks, times, protocol, ports, which of all that
# matters, inverted or not; states; of connections; ports; as long as the kernel aligns it.
_CONNTRACK: Final = struct.Struct("=128x8x10xHHHH8x6x")
_CONNTRACK_REVISION: Final = 3
_MATTERS_STATE: Final = 1


@frozen(kw_only=True)
class Opening:
    """A rule that lets something through.

    Attributes:
        link: The name of the link that it goes by.
        is_outgoing: Whether it leaves the host by that, for the containers.
        states: Of connections, as xt_conntrack has them; None, whatever their state.
    """

    link: str
    is_outgoing: bool
    states: int | None = None


@frozen(kw_only=True)
class Barrier:
    """A chain that drops what it does not accept.

    Attributes:
        chain: The chain.
        rule: The rule by which it does; None, by its policy.
    """

    chain: Chain
    rule: ClosingRule | None = None

    def __str__(self) -> str:
        """Say what it does, and name it as ``nft -a list ruleset`` shows it."""
        where = describe(self.chain)
        if self.rule is None:
            return f"{where} drops what is forwarded: its policy is drop"
        return f"the rule with handle {self.rule.handle} in {where} {self.rule.ends} all that comes"


@define(eq=False, repr=False)
class _Barriers(ReadByOne):
    """The chains of others that drop what they do not accept; None, nobody has looked."""

    found: list[Barrier] | None = None


def find_blocking(netfilter: Netfilter, versions: Collection[int]) -> list[Barrier]:
    """Return the chains of others that drop what they do not accept, of what is forwarded.

    Args:
        netfilter: The host's socket.
        versions: Of IP that matter: 4, 6.

    Raises:
        NetlinkError: the kernel does not say.
    """
    try:
        there = netfilter.remembered(_Barriers)
        with there.reading():
            if there.found is None:
                there.found = _list_barriers(netfilter)
        seen = list(asked((one.chain for one in there.found), versions))
        return [one for one in there.found if one.chain in seen]
    except NetlinkError as error:
        if error.errno not in NOTHING_THERE:
            raise
        return []


def _list_barriers(netfilter: Netfilter) -> list[Barrier]:
    chains = asked(list_chains(netfilter, kind="filter"), _SEEN_BY)
    found = [_barrier_of(netfilter, chain) for chain in chains]
    return [one for one in found if one is not None and not is_dormant(netfilter, one.chain)]


def _barrier_of(netfilter: Netfilter, chain: Chain) -> Barrier | None:
    rule = find_closing_rule(netfilter, chain)
    is_barrier = rule is not None or chain.policy == nf.NF_DROP
    return Barrier(chain=chain, rule=rule) if is_barrier else None


def asked(chains: Iterable[Chain], versions: Collection[int]) -> Iterator[Chain]:
    """Iterate over those of some chains, others', that are asked about what is forwarded.

    Args:
        chains: The chains.
        versions: Of IP that matter: 4, 6.
    """
    families = {family for version in versions for family in _SEEN_BY[version]}
    for chain in chains:
        is_ours = (chain.family, chain.table) == (nf.INET, TABLE)
        is_there = (chain.kind, chain.hook) == ("filter", FORWARD)
        if is_there and chain.family in families and not is_ours:
            yield chain


def is_iptables(chain: Chain) -> bool:
    """Tell whether a chain is one that iptables made, or would take for its own."""
    is_of_ip = chain.family in (nf.IPV4, nf.IPV6)
    return is_of_ip and (chain.table, chain.name) == ("filter", "FORWARD")


def describe(chain: Chain) -> str:
    """Name a chain as ``nft list ruleset`` shows it."""
    return f"the chain {chain.name} of the table {nf.family_name(chain.family)} {chain.table}"


def openings(link: str) -> tuple[Opening, ...]:
    """Return what lets through what containers behind a link of the host send, the answers, and
    what ports of the host lead to them; and nothing that comes of itself.
    """
    return (
        Opening(link=link, is_outgoing=False),
        Opening(link=link, is_outgoing=True, states=_ANSWERS),
        Opening(link=link, is_outgoing=True, states=_LED),
    )


def open_forwarding(
    netfilter: Netfilter, chain: Chain, links: Sequence[str]
) -> tuple[Opening, ...]:
    """Let containers behind some links of the host through a chain of iptables.

    Args:
        netfilter: The host's socket.
        chain: The chain.
        links: The names of the links.

    Returns:
        What was not there yet, and is now.

    Raises:
        NetlinkError: the kernel refuses, or the rules changed all the time.
    """

    def decide() -> tuple[Sequence[Message], tuple[Opening, ...]]:
        wanted = tuple(closed(netfilter, chain, links))
        return [append_rule(chain, *expressions_of(one)) for one in wanted], wanted

    return netfilter.decide(decide)


def closed(netfilter: Netfilter, chain: Chain, links: Iterable[str]) -> list[Opening]:
    """Return what :func:`open_forwarding` would append.

    Raises:
        NetlinkError: the kernel does not say.
    """
    there = opened(netfilter, Barrier(chain=chain))
    return [one for link in links for one in openings(link) if one not in there]


def opened(netfilter: Netfilter, barrier: Barrier) -> set[Opening]:
    """Return what rules of ours let past a barrier: those before it, where it is a rule.

    Raises:
        NetlinkError: the kernel does not say.
    """
    found = set[Opening]()
    for rule in list_rules_of(netfilter, barrier.chain):
        if barrier.rule is not None and rule.handle == barrier.rule.handle:
            break
        opening = opening_of(rule)
        if opening is not None:
            found.add(opening)
    return found


def close_forwarding(netfilter: Netfilter, is_over: Callable[[str], bool]) -> None:
    """Delete the rules of ours that let containers behind some links through.

    Args:
        netfilter: The host's socket.
        is_over: Tells by the link's name; it may be asked again where something changed meanwhile.

    Raises:
        NetlinkError: the kernel refuses, or the rules changed all the time.
    """

    def decide() -> tuple[Sequence[Message], None]:
        return [
            delete_rule(rule)
            for chain in chains
            for rule in list_rules_of(netfilter, chain)
            if (opening := opening_of(rule)) is not None and is_over(opening.link)
        ], None

    try:
        chains = [one for one in list_chains(netfilter, kind="filter") if is_iptables(one)]
    except NetlinkError as error:
        if error.errno not in NOTHING_THERE:
            raise
        return
    if chains:
        netfilter.decide(decide)


def expressions_of(opening: Opening) -> list[bytes]:
    """Return what a rule consists of that lets something through."""
    said = [nf.is_link(opening.link, is_outgoing=opening.is_outgoing)]
    if opening.states is not None:
        info = _CONNTRACK.pack(_MATTERS_STATE, 0, opening.states, 0)
        said.append(nf.matches("conntrack", _CONNTRACK_REVISION, info))
    comment = encoded(COMMENT).ljust(_COMMENT_BYTES, b"\0")
    return [*said, nf.matches("comment", 0, comment), nf.counts(), nf.verdict(nf.NF_ACCEPT)]


def opening_of(rule: Rule) -> Opening | None:
    """Return what a rule of ours lets through; None, it is not ours."""
    names = [one.name for one in rule.expressions]
    has_states = names == ["meta", "cmp", "match", "match", "counter", "immediate"]
    if not has_states and names != ["meta", "cmp", "match", "counter", "immediate"]:
        return None
    meta, compared, *matched, _, end = rule.expressions
    link, key = _link_of(compared), meta.number(2)
    states = _states_of(matched[0]) if has_states else None
    if link is None or key not in (_IIFNAME, _OIFNAME) or (has_states and states is None):
        return None
    if _comment_of(matched[-1]) != COMMENT or end.verdict() != (nf.NF_ACCEPT, None):
        return None
    return Opening(link=link, is_outgoing=key == _OIFNAME, states=states)


def _link_of(compared: Expression) -> str | None:
    """Return the name that a link is to have; None where it may have others."""
    name = attributes(compared.said.get(3, b"")).get(1, b"")
    return text_of(name) if compared.number(2) == _EQUAL and name.endswith(b"\0") else None


def _states_of(match: Expression) -> int | None:
    """Return the states that a connection is to be in; None where it is about something else."""
    said = match.said.get(3, b"")
    is_known = text_of(match.said.get(1, b"")) == "conntrack" and len(said) == _CONNTRACK.size
    if not is_known or match.number(2) != _CONNTRACK_REVISION:
        return None
    matters, inverted, states, _ = _CONNTRACK.unpack(said)
    return states if (matters, inverted) == (_MATTERS_STATE, 0) else None


def _comment_of(match: Expression) -> str | None:
    is_comment = text_of(match.said.get(1, b"")) == "comment"
    return text_of(match.said.get(3, b"")) if is_comment else None

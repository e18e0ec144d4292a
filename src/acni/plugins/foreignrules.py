"""What the administrator's rules of nat say about a host port: looked for before it is published.

``accept`` and ``return`` in a chain of nat mean "no opinion", and whoever is asked next decides:
ours, too, whatever their priority. An administrator who wrote such a rule about a port wanted it
left alone (CVE-2019-9946), so the port is refused where such a rule may be about it.

Rule 1: a rule is about ports if it compares them; by a set, a range or another program's match, it
    may be about each.
Rule 2: one that compares no ports says nothing about one: every host with Docker has such rules.
Rule 3: what iptables-legacy has cannot be seen by nf_tables.
Rule 4: a chain is listed where a packet to one of the ports comes to it, and a rule is read where
    it may be about one. kube-proxy has five rules for each service, of which one leads to the
    others, for the service's port alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from attrs import frozen

from acni.netlink.messages import Answer, attributes, be32, be32_of
from acni.netlink.netfilter import Netfilter
from acni.netlink.nfexpressions import NF_ACCEPT, NFT_RETURN
from acni.netlink.nfrules import (
    Chain,
    Expression,
    Rule,
    dump_rules,
    list_chains,
    read_rule,
    steps_of,
)
from acni.netlink.nftables import OUTPUT, PREROUTING
from acni.plugins.ruleset import TABLE
from acni.skel.bounds import Bounds

_FAMILIES: Final = {1: "inet", 2: "ip", 10: "ip6"}
_ENDS: Final = {NF_ACCEPT: "accept", NFT_RETURN: "return"}
_OF_TRANSPORT: Final = 2
_DESTINATION_PORT: Final = (_OF_TRANSPORT, 2, 2)
_BOTH_PORTS: Final = (_OF_TRANSPORT, 0, 4)
_BASE, _OFFSET, _LENGTH = 2, 3, 4  # NFTA_PAYLOAD_*
_SAYS_TRANSPORT: Final = be32(_BASE, _OF_TRANSPORT)
_EQUAL: Final = 0
_PORT_MATCHES: Final = ("tcp", "udp", "sctp", "multiport")


@frozen(kw_only=True)
class Objection:
    """A rule that may want a port left alone.

    Attributes:
        rule: The rule.
        ends: "accept" or "return".
        ports: The ports that it names; None where it may name each.
    """

    rule: Rule
    ends: str
    ports: frozenset[int] | None

    def __str__(self) -> str:
        """Name it as ``nft -a list ruleset`` shows it."""
        family = _FAMILIES.get(self.rule.family, str(self.rule.family))
        where = f"chain {self.rule.chain} of the table {family} {self.rule.table}"
        return f"the rule with handle {self.rule.handle} in the {where} ({self.ends})"


def find_objection(
    netfilter: Netfilter, ports: Iterable[int], *, bounds: Bounds | None = None
) -> Objection | None:
    """Return a rule of somebody else's that may want one of some ports left alone; None where there
    is none.

    Args:
        netfilter: The host's socket.
        ports: The ports.
        bounds: How long it may take.

    Raises:
        NetlinkError: the kernel does not say.
        Stopped: it took too long.
    """
    wanted = frozenset(ports)
    chains = list_chains(netfilter, kind="nat")
    todo = [(chain.family, chain.table, chain.name) for chain in chains if _is_asked(chain)]
    seen: set[tuple[int, str, str]] = set()
    while todo:
        place = todo.pop()
        if place in seen:
            continue
        seen.add(place)
        if bounds is not None:
            bounds.check()
        for rule in _rules_about(netfilter, place, wanted):
            code, target = _verdict_of(rule)
            if target is not None:
                todo.append((*place[:2], target))
            elif code in _ENDS:
                named = _ports_of(rule)
                if named is None or named & wanted:
                    return Objection(rule=rule, ends=_ENDS[code], ports=named)
    return None


def _rules_about(
    netfilter: Netfilter, place: tuple[int, str, str], wanted: frozenset[int]
) -> Iterator[Rule]:
    """Iterate over the rules of a chain but those that are about another port."""
    family, table, chain = place
    for answer in dump_rules(netfilter, family=family, table=table, chain=chain):
        only = _only_port(answer)
        if only is None or only in wanted:
            yield read_rule(answer)


def _only_port(answer: Answer) -> int | None:
    """Return the only port that a rule is about; None where it is about none or several, or it is
    not plain which: then it has to be read.
    """
    is_loaded = False
    for name, said in steps_of(answer):
        if is_loaded:
            return _equals(said) if name == b"cmp\0" else None
        if name == b"payload\0" and _SAYS_TRANSPORT in said:
            is_loaded = _place_of(said) == _DESTINATION_PORT
        elif name == b"immediate\0":
            return None
    return None


def _place_of(said: bytes) -> tuple[int, ...]:
    """Return which header a payload is of, and where in it, and how long."""
    told = attributes(said)
    return tuple(be32_of(told.get(kind, b"")) for kind in (_BASE, _OFFSET, _LENGTH))


def _equals(said: bytes) -> int | None:
    told = attributes(said)
    if be32_of(told.get(2, b"")) != _EQUAL:
        return None
    return int.from_bytes(attributes(told.get(3, b"")).get(1, b""), "big")


def _is_asked(chain: Chain) -> bool:
    is_of_nat = chain.kind == "nat" and chain.hook in (PREROUTING, OUTPUT)
    return is_of_nat and (chain.family, chain.table) != (1, TABLE)


def _verdict_of(rule: Rule) -> tuple[int | None, str | None]:
    found = (one.verdict() for one in rule.expressions)
    return next((verdict for verdict in found if verdict is not None), (None, None))


def _ports_of(rule: Rule) -> frozenset[int] | None:
    """Return the ports that a rule compares; none, it compares none; None, they are not known."""
    is_loaded = False
    for one in rule.expressions:
        if one.name == "match" and _match_name(one) in _PORT_MATCHES:
            return None
        if one.name == "payload":
            place = (one.number(2), one.number(3), one.number(4))
            if place == _BOTH_PORTS:
                return None
            is_loaded = is_loaded or place == _DESTINATION_PORT
        elif is_loaded:
            return _compared(one)
    return frozenset()


def _compared(one: Expression) -> frozenset[int] | None:
    if one.name != "cmp" or one.number(2) != _EQUAL:
        return None
    value = attributes(one.said.get(3, b"")).get(1, b"")
    return frozenset({int.from_bytes(value, "big")})


def _match_name(one: Expression) -> str:
    return one.said.get(1, b"").rstrip(b"\0").decode(errors="replace")

"""What the administrator's rules of nat say about a host port: looked for before it is published.

``accept`` and ``return`` in a chain of nat mean "no opinion", and whoever is asked next decides:
ours, too, whatever their priority. An administrator who wrote such a rule about a port wanted it
left alone (CVE-2019-9946), so the port is refused where such a rule may be about it.

Rule 1: a rule is about ports if it compares them; by a set, a range or another program's match, it
    may be about each.
Rule 2: one that compares no ports says nothing about one: every host with Docker has such rules.
Rule 3: what iptables-legacy has cannot be seen by nf_tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from attrs import frozen

from acni.netlink.messages import attributes
from acni.netlink.netfilter import Netfilter
from acni.netlink.nfexpressions import NF_ACCEPT, NFT_RETURN
from acni.netlink.nfrules import Chain, Expression, Rule, list_chains, list_rules
from acni.netlink.nftables import OUTPUT, PREROUTING
from acni.plugins.ruleset import TABLE

_FAMILIES: Final = {1: "inet", 2: "ip", 10: "ip6"}
_ENDS: Final = {NF_ACCEPT: "accept", NFT_RETURN: "return"}
_OF_TRANSPORT: Final = 2
_DESTINATION_PORT: Final = (_OF_TRANSPORT, 2, 2)
_BOTH_PORTS: Final = (_OF_TRANSPORT, 0, 4)
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


def find_objection(netfilter: Netfilter, ports: Iterable[int]) -> Objection | None:
    """Return a rule of somebody else's that may want one of some ports left alone; None where there
    is none.

    Raises:
        NetlinkError: the kernel does not say.
    """
    wanted = frozenset(ports)
    chains = [chain for chain in list_chains(netfilter) if _is_asked(chain)]
    tables = {(chain.family, chain.table) for chain in chains}
    rules = [
        rule
        for family, table in sorted(tables)
        for rule in list_rules(netfilter, family=family, table=table)
    ]
    found = objections(chains, rules)
    return next((one for one in found if one.ports is None or one.ports & wanted), None)


def objections(chains: Sequence[Chain], rules: Sequence[Rule]) -> Iterator[Objection]:
    """Iterate over the rules that end a chain of nat for some ports.

    Args:
        chains: Those that the kernel leads to.
        rules: All of their tables.
    """
    by_chain: dict[tuple[int, str, str], list[Rule]] = {}
    for rule in rules:
        by_chain.setdefault((rule.family, rule.table, rule.chain), []).append(rule)
    todo = [(chain.family, chain.table, chain.name) for chain in chains]
    seen: set[tuple[int, str, str]] = set()
    while todo:
        place = todo.pop()
        if place in seen:
            continue
        seen.add(place)
        for rule in by_chain.get(place, ()):
            code, target = _verdict_of(rule)
            if target is not None:
                todo.append((*place[:2], target))
            elif code in _ENDS:
                ports = _ports_of(rule)
                if ports is None or ports:
                    yield Objection(rule=rule, ends=_ENDS[code], ports=ports)


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

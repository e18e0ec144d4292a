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
from typing import Final, NamedTuple

from attrs import define, field, frozen

from acni.netlink.messages import attributes, be32, be32_of
from acni.netlink.netfilter import Netfilter
from acni.netlink.nfexpressions import NF_ACCEPT, NFT_RETURN
from acni.netlink.nfrules import (
    Chain,
    dump_rules,
    list_chains,
    outline_of,
    verdict_of,
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
_VERDICT: Final = b"immediate\0"
_NO_PORTS: Final = frozenset[int]()
_PORT_MATCHES: Final = (b"tcp", b"udp", b"sctp", b"multiport")


Place = tuple[int, str, str]
_Steps = Iterable[tuple[bytes, bytes]]


@frozen(kw_only=True)
class Objection:
    """A rule that may want a port left alone.

    Attributes:
        place: Its chain: family, table and name.
        handle: Its number in the table.
        ends: "accept" or "return".
        ports: The ports that it names; None where it may name each.
    """

    place: Place
    handle: int
    ends: str
    ports: frozenset[int] | None

    def __str__(self) -> str:
        """Name it as ``nft -a list ruleset`` shows it."""
        number, table, chain = self.place
        family = _FAMILIES.get(number, str(number))
        where = f"chain {chain} of the table {family} {table}"
        return f"the rule with handle {self.handle} in the {where} ({self.ends})"


class _Ending(NamedTuple):
    """What matters of a rule.

    Attributes:
        handle: Its number in the table.
        code: Its verdict.
        target: The chain that it leads to.
        ports: The ports that it names; None where it may name each.
    """

    handle: int
    code: int | None
    target: str | None
    ports: frozenset[int] | None


# The rules of a chain by the only port that they are about; None, they are about none or several.
_Endings = dict[int | None, list[_Ending]]


@define(eq=False)
class NatRules:
    """What was read of the rules of nat.

    Attributes:
        asked: The chains that the kernel asks; None, they were not listed yet.
        read: The rules of the chains that were listed.
    """

    asked: list[Place] | None = None
    read: dict[Place, _Endings] = field(factory=dict[Place, _Endings])


def find_objection(
    netfilter: Netfilter, ports: Iterable[int], *, bounds: Bounds | None = None
) -> Objection | None:
    """Return a rule of somebody else's that may want one of some ports left alone; None where there
    is none.

    Args:
        netfilter: The host's socket, which remembers what was read.
        ports: The ports.
        bounds: How long it may take.

    Raises:
        NetlinkError: the kernel does not say.
        Stopped: it took too long.
    """
    wanted = frozenset(ports)
    with netfilter.remembering(NatRules) as rules:
        if rules.asked is None:
            chains = list_chains(netfilter, kind="nat")
            rules.asked = [(one.family, one.table, one.name) for one in chains if _is_asked(one)]
        todo, seen = [*rules.asked], set[Place]()
        while todo:
            place = todo.pop()
            if place in seen:
                continue
            seen.add(place)
            if place not in rules.read:
                if bounds is not None:
                    bounds.check()
                rules.read[place] = _read(netfilter, place)
            for one in _endings_about(rules.read[place], wanted):
                if one.target is not None:
                    todo.append((*place[:2], one.target))
                elif one.ports is None or one.ports & wanted:
                    ends = _ENDS[one.code or 0]
                    return Objection(place=place, handle=one.handle, ends=ends, ports=one.ports)
    return None


def _endings_about(read: _Endings, wanted: Iterable[int]) -> Iterator[_Ending]:
    """Iterate over the rules of a chain but those that are about other ports."""
    for port in (None, *wanted):
        yield from read.get(port, ())


def _read(netfilter: Netfilter, place: Place) -> _Endings:
    """Read the rules of a chain that end it, or lead elsewhere."""
    family, table, chain = place
    found: _Endings = {}
    for answer in dump_rules(netfilter, family=family, table=table, chain=chain):
        handle, steps = outline_of(answer)
        code, target = _verdict_of(steps)
        if target is None and code not in _ENDS:
            continue
        ports = _ports_of(steps)
        if target is None and ports == _NO_PORTS:
            continue
        only = next(iter(ports)) if ports is not None and len(ports) == 1 else None
        found.setdefault(only, []).append(_Ending(handle, code, target, ports))
    return found


def _is_asked(chain: Chain) -> bool:
    is_of_nat = chain.kind == "nat" and chain.hook in (PREROUTING, OUTPUT)
    return is_of_nat and (chain.family, chain.table) != (1, TABLE)


def _verdict_of(steps: _Steps) -> tuple[int | None, str | None]:
    for name, said in steps:
        if name == _VERDICT and (verdict := verdict_of(attributes(said))) is not None:
            return verdict
    return None, None


def _ports_of(steps: _Steps) -> frozenset[int] | None:
    """Return the ports that a rule compares; none, it compares none; None, they are not known."""
    is_loaded = False
    for name, said in steps:
        if name == b"match\0" and _match_name(said) in _PORT_MATCHES:
            return None
        if name == b"payload\0":
            place = _place_of(said) if _SAYS_TRANSPORT in said else None
            if place == _BOTH_PORTS:
                return None
            is_loaded = is_loaded or place == _DESTINATION_PORT
        elif is_loaded:
            return _compared(said) if name == b"cmp\0" else None
    return _NO_PORTS


def _place_of(said: bytes) -> tuple[int, ...]:
    """Return which header a payload is of, where in it, and how long it is."""
    told = attributes(said)
    return tuple(be32_of(told.get(kind, b"")) for kind in (_BASE, _OFFSET, _LENGTH))


def _compared(said: bytes) -> frozenset[int] | None:
    told = attributes(said)
    if be32_of(told.get(2, b"")) != _EQUAL:
        return None
    value = attributes(told.get(3, b"")).get(1, b"")
    return frozenset({int.from_bytes(value, "big")})


def _match_name(said: bytes) -> bytes:
    return attributes(said).get(1, b"").rstrip(b"\0")

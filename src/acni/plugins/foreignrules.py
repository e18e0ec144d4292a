"""What the administrator's rules of nat say about a host port: looked for before it is published.

``accept`` and ``return`` in a chain of nat mean "no opinion", and whoever is asked next decides:
ours, too, whatever their priority. An administrator who wrote such a rule about a port wanted it
left alone (CVE-2019-9946), so the port is refused where such a rule may be about it.

Rule 1: a rule is about ports if it compares them, in the packet or as the connection began with
    them; by a set, a range, together with what stands beside it, or another program's match, it
    may be about each. By a map of verdicts it is about its keys.
Rule 2: one that compares no ports says nothing about one: every host with Docker has such rules.
    In a chain to which a rule about ports leads it is about those.
Rule 3: what iptables-legacy has cannot be seen by nf_tables.
Rule 4: a chain is listed where a packet to one of the ports comes to it, and a rule is read where
    it may be about one. kube-proxy has five rules for each service, of which one leads to the
    others, for the service's port alone.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from attrs import define, field, frozen

from acni.netlink.errors import NetlinkError
from acni.netlink.generations import ReadByOne
from acni.netlink.messages import attributes, be32, be32_of, text_of
from acni.netlink.netfilter import Netfilter
from acni.netlink.nfexpressions import FIRST_REGISTER, INET, NF_ACCEPT, NFT_RETURN, family_name
from acni.netlink.nfoutlines import list_branches, outline_of
from acni.netlink.nfrules import dump_rules, is_dormant, list_chains, verdict_of
from acni.netlink.nftables import OUTPUT, PREROUTING
from acni.plugins.tables import TABLE
from acni.skel.bounds import Bounds

_ENDS: Final = {NF_ACCEPT: "accept", NFT_RETURN: "return"}
_OF_TRANSPORT: Final = 2
_DESTINATION_PORT: Final = (_OF_TRANSPORT, 2, 2)
_BASE, _OFFSET, _LENGTH = 2, 3, 4  # NFTA_PAYLOAD_*
_SAYS_TRANSPORT: Final = be32(_BASE, _OF_TRANSPORT)
_EQUAL: Final = 0

_VERDICT: Final = b"immediate\0"
# NFTA_LOOKUP_DREG is NFT_REG_VERDICT: what the map has for a key is a verdict.
_LEADS: Final = be32(3, 0)
_NO_PORTS: Final = frozenset[int]()
# The last two are programs.
_PORT_MATCHES: Final = (b"tcp", b"udp", b"sctp", b"multiport", b"u32", b"bpf")
# Of a connection, NFTA_CT_KEY and _DIRECTION: where it was sent to, and where answers come from.
_CONNECTION_KEY, _CONNECTION_DIRECTION = 2, 3
_BEGAN_AT_PORT: Final = ((12, b"\0"), (11, b"\1"))
# struct xt_conntrack_mtinfo3, match_flags: XT_CONNTRACK_ORIGDST_PORT and _REPLSRC_PORT.
_FLAGS_AT: Final = 146
_MATCHES_PORT: Final = 1 << 9 | 1 << 10

Place = tuple[int, str, str]
_Steps = Sequence[tuple[bytes, bytes]]
# A verdict, the chain of a jump, and the ports: as in an ending.
_End = tuple[int, str | None, frozenset[int] | None]


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
        where = f"chain {chain} of the table {family_name(number)} {table}"
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
    code: int
    target: str | None
    ports: frozenset[int] | None


# The rules of a chain by the only port that they are about; None, they are about none or several.
_Endings = dict[int | None, list[_Ending]]


@define(eq=False, repr=False)
class _NatRules(ReadByOne):
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
        netfilter: The host's socket, by which what was read is remembered.
        ports: The ports.
        bounds: How long it may take.

    Raises:
        NetlinkError: the kernel does not say.
        Stopped: it took too long.
    """
    wanted = frozenset(ports)
    rules = netfilter.remembered(_NatRules)
    with rules.reading():
        return _find(netfilter, rules, wanted, bounds)


def _find(
    netfilter: Netfilter, rules: _NatRules, wanted: frozenset[int], bounds: Bounds | None
) -> Objection | None:
    if rules.asked is None:
        rules.asked = _asked(netfilter)
    # Each with the ports that a packet has that comes there; none, it may have any.
    todo: list[tuple[Place, frozenset[int] | None]] = [(place, _NO_PORTS) for place in rules.asked]
    seen = set[tuple[Place, frozenset[int] | None]]()
    while todo:
        place, about = todo.pop()
        if (place, about) in seen:
            continue
        seen.add((place, about))
        if place not in rules.read:
            if bounds is not None:
                bounds.check()
            rules.read[place] = _read(netfilter, place)
        for one in _endings_about(rules.read[place], wanted):
            ports = about if one.ports == _NO_PORTS else one.ports
            if one.target is not None:
                todo.append(((*place[:2], one.target), ports))
            elif ports is None or ports & wanted:
                ends = _ENDS[one.code]
                return Objection(place=place, handle=one.handle, ends=ends, ports=ports)
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
        for code, target, ports in _ends_of(netfilter, place, steps):
            if target is not None or code in _ENDS:
                only = next(iter(ports)) if ports is not None and len(ports) == 1 else None
                found.setdefault(only, []).append(_Ending(handle, code, target, ports))
    return found


def _ends_of(netfilter: Netfilter, place: Place, steps: _Steps) -> Iterator[_End]:
    """Iterate over the verdicts of a rule: it has one, or a map of them."""
    for number, (name, said) in enumerate(steps):
        if name == _VERDICT and (verdict := verdict_of(attributes(said))) is not None:
            yield *verdict, _ports_of(steps)
            return
        if name == b"lookup\0" and _LEADS in said:
            yield from _branches_of(netfilter, place, steps[:number], attributes(said))
            return


def _branches_of(
    netfilter: Netfilter, place: Place, before: _Steps, said: Mapping[int, bytes]
) -> Iterator[_End]:
    """Iterate over the verdicts of a map, each with the ports of its key."""
    family, table, _ = place
    compared, at = _ports_of(before), _place_in_key(before, _register_of(said, 2))
    name = text_of(said.get(1, b""))
    try:
        branches = list_branches(netfilter, family=family, table=table, name=name)
    except NetlinkError as error:
        if error.errno != errno.ENOENT:
            raise
        return  # it went just now, and the rule before it
    for one in branches:
        ports = compared
        if not compared and at is not None:
            port = None if one.key is None else one.key[at : at + 2]
            ports = None if port is None else frozenset((int.from_bytes(port, "big"),))
        yield one.code, one.target, ports


def _place_in_key(before: _Steps, first: int) -> int | None:
    """Return where in a key the port stands, by the registers; None, it is not in it."""
    at = None
    for name, said in before:
        if _is_port(name, said):
            # NFTA_CT_DREG, and NFTA_PAYLOAD_DREG
            at = (_register_of(attributes(said), 1) - first) * 4
    return at


def _register_of(said: Mapping[int, bytes], kind: int) -> int:
    """Return which register of four bytes is meant; those of 16 have numbers of their own."""
    number = be32_of(said.get(kind, b""))
    return number - FIRST_REGISTER if number >= FIRST_REGISTER else (number - 1) * 4


def _asked(netfilter: Netfilter) -> list[Place]:
    """Return the chains of nat, but ours, that the kernel leads to where ours are asked as well."""
    return [
        (chain.family, chain.table, chain.name)
        for chain in list_chains(netfilter, kind="nat")
        if chain.hook in (PREROUTING, OUTPUT)
        and (chain.family, chain.table) != (INET, TABLE)
        and not is_dormant(netfilter, chain)
    ]


def _ports_of(steps: _Steps) -> frozenset[int] | None:
    """Return the ports that a rule compares; none, it compares none; None, they are not known."""
    is_loaded = False
    for name, said in steps:
        if name == b"match\0" and _may_match_ports(said):
            return None
        if _is_port(name, said):
            is_loaded = True
        elif name == b"payload\0":
            if _has_port(said):
                return None
        elif is_loaded:
            return _compared(said) if name == b"cmp\0" else None
    return _NO_PORTS


def _is_port(name: bytes, said: bytes) -> bool:
    """Tell whether a step loads the port that a packet, or the first of its connection, is for."""
    if name == b"payload\0":
        return _SAYS_TRANSPORT in said and _place_of(said) == _DESTINATION_PORT
    if name != b"ct\0":
        return False
    told = attributes(said)
    key, direction = be32_of(told.get(_CONNECTION_KEY, b"")), told.get(_CONNECTION_DIRECTION, b"")
    return (key, direction[:1]) in _BEGAN_AT_PORT


def _has_port(said: bytes) -> bool:
    """Tell whether a payload has something of the port, and of what stands beside it."""
    if _SAYS_TRANSPORT not in said:
        return False
    base, offset, length = _place_of(said)
    _, first, size = _DESTINATION_PORT
    return base == _OF_TRANSPORT and offset < first + size and first < offset + length


def _may_match_ports(said: bytes) -> bool:
    """Tell whether a match of iptables may compare ports."""
    told = attributes(said)
    name = told.get(1, b"").rstrip(b"\0")
    if name == b"conntrack":
        flags = told.get(3, b"")[_FLAGS_AT : _FLAGS_AT + 2]
        return bool(int.from_bytes(flags, sys.byteorder) & _MATCHES_PORT)
    return name in _PORT_MATCHES


def _place_of(said: bytes) -> tuple[int, int, int]:
    """Return which header a payload is of, where in it, and how long it is."""
    told = attributes(said)
    base, offset, length = (be32_of(told.get(kind, b"")) for kind in (_BASE, _OFFSET, _LENGTH))
    return base, offset, length


def _compared(said: bytes) -> frozenset[int] | None:
    told = attributes(said)
    if be32_of(told.get(2, b"")) != _EQUAL:
        return None
    value = attributes(told.get(3, b"")).get(1, b"")
    return frozenset({int.from_bytes(value, "big")})

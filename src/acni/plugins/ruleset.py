"""The one table of the firewall that is acni's, and what a pod adds to it: pure layout.

Its rules are made once. A pod adds elements to sets, and takes them out again: no rule is made for
it, moved, or looked for, and what it costs does not grow with the pods.

::

    prerouting, output   to an address of this host: to_pods
    to_pods              admin_ports, then protocol . port -> address . port of a pod
    postrouting          admin_masquerade, then
                           what a host port led back to where it came from, and to what is asked for
                           besides, leaves with the host's address: so do the answers come by it
                           what pods that asked for it send to anywhere but each other does, too
    martians             what route_localnet would let in from a wire is dropped (CVE-2020-8558)
    forward              admin_forward, then
                           what comes by a bridge that keeps apart, to a guarded pod at another
                           one, is dropped; to an isolated pod, also what comes by its own

Rule 1: the administrator decides first. Of the nat chains at a hook the first that translates a
    connection wins, and of those of equal priority the one that was made last is asked first. Ours
    have the last priority there is.
Rule 2: nat has no veto: ``accept`` and ``return`` in somebody's nat chain mean "no opinion", and
    ours are asked next. Who wants a port left alone accepts it in ``admin_ports``; a pod's packet,
    in ``admin_masquerade``; in ``admin_forward``, what a policy is to let pass. They are made
    empty, and never touched again.
Rule 3: an address has one owner, which ``owners`` says in four bytes, so that the kernel compares:
    who takes something out has to say whose it was, and a DEL that comes again takes nothing that
    is the next pod's. In words the owner stands beside each element, for GC and whoever lists them.
Rule 4: no name is a word of nft's language: what it prints it can read. Nor is there a quote in the
    words beside an element, which an interface's name may hold: nft prints it as it is, and to who
    reads a saved ruleset the words end there, and its own commands begin.
Rule 5: the empty chain ``layout_1`` says how the table is laid out. Whoever puts something in says
    that it is to be there, in the same batch: a table of an older layout is refused like one that
    is gone, and made this one. A later layout keeps the chains of those that can work with it.

(CVE-2019-9946; nft(8))
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from attrs import frozen

from acni.netlink import nfexpressions as nf
from acni.netlink.messages import Message
from acni.netlink.nftables import (
    FORWARD,
    IPV4_ADDRESS,
    IPV6_ADDRESS,
    LINK_INDEX,
    LINK_NAME,
    MARK,
    OUTPUT,
    PORT,
    POSTROUTING,
    PREROUTING,
    PROTOCOL,
    Type,
    delete_rules,
    new_base_chain,
    new_chain,
    new_rule,
    new_set,
    new_table,
)
from acni.plugins.podelements import APART, OF_ADDRESSES, WAYS, claim_of, set_names
from acni.plugins.tables import LAYOUT, TABLE, TableLayout

ADMIN_PORTS: Final = "admin_ports"
ADMIN_MASQUERADE: Final = "admin_masquerade"
ADMIN_FORWARD: Final = "admin_forward"

LAST: Final = 2**31 - 1
_RAW: Final = -300
_TO_PODS: Final = "to_pods"


@frozen(kw_only=True)
class _Family:
    """What differs between the halves of the table.

    Attributes:
        number: NFPROTO_*.
        suffix: Of the names of its sets.
        address: The type of its addresses.
        source: Where in the header of IP the sender stands.
        destination: Where the receiver stands.
        multicast: A mask, and the addresses of groups under it.
    """

    number: int
    suffix: str
    address: Type
    source: int
    destination: int
    multicast: tuple[bytes, bytes]


_FOUR: Final = _Family(
    number=nf.IPV4,
    suffix="4",
    address=IPV4_ADDRESS,
    source=12,
    destination=16,
    multicast=(b"\xf0\0\0\0", b"\xe0\0\0\0"),
)
_SIX: Final = _Family(
    number=nf.IPV6,
    suffix="6",
    address=IPV6_ADDRESS,
    source=8,
    destination=24,
    multicast=(b"\xff" + bytes(15), b"\xff" + bytes(15)),
)
_FAMILIES: Final = (_FOUR, _SIX)
_LOOPBACK: Final = (b"\xff\0\0\0", b"\x7f\0\0\0")
_BASE_CHAINS: Final = (
    ("prerouting", "nat", PREROUTING, LAST),
    ("output", "nat", OUTPUT, LAST),
    ("postrouting", "nat", POSTROUTING, LAST),
    ("martians", "filter", PREROUTING, _RAW),
    ("forward", "filter", FORWARD, LAST),
)
_WITH_RULES: Final = (*(name for name, *_ in _BASE_CHAINS), _TO_PODS)
_CHAINS: Final = (_TO_PODS, ADMIN_PORTS, ADMIN_MASQUERADE, ADMIN_FORWARD)


def table_messages() -> list[Message]:
    """Return what makes the table, or brings one that is there to this state: its elements, and the
    administrator's chains, stay.
    """
    messages = [new_table(TABLE), new_chain(TABLE, LAYOUT), *_sets()]
    messages += [new_chain(TABLE, name) for name in _CHAINS]
    for name, kind, hook, priority in _BASE_CHAINS:
        messages.append(new_base_chain(TABLE, name, kind=kind, hook=hook, priority=priority))
    for name in _WITH_RULES:
        messages.append(delete_rules(TABLE, name))
    messages += [new_rule(TABLE, chain, *expressions) for chain, expressions in _rules()]
    return messages


def _sets() -> Iterator[Message]:
    number = 0
    for family in _FAMILIES:
        address, endpoint = family.address, family.address.then(PORT)
        types = {
            "owners": (address, MARK),
            **dict.fromkeys(OF_ADDRESSES, (address, None)),
            "selves": (address.then(address), None),
            "homes": (address.then(LINK_NAME), None),
            "hostports": (PROTOCOL.then(PORT), endpoint),
            "hostaddresses": (address.then(PROTOCOL).then(PORT), endpoint),
        }
        for name, (key, data) in types.items():
            number += 1
            yield new_set(TABLE, name + family.suffix, number, key=key, data=data)
    yield new_set(TABLE, WAYS, number + 1, key=LINK_INDEX.then(LINK_INDEX))
    yield new_set(TABLE, APART, number + 2, key=LINK_NAME)


def _rules() -> Iterator[tuple[str, list[bytes]]]:
    """Iterate over the rules: each its chain, and what it consists of."""
    for chain in ("prerouting", "output"):
        yield chain, [nf.is_to_this_host(), nf.verdict(nf.NFT_JUMP, _TO_PODS)]
    yield _TO_PODS, [nf.verdict(nf.NFT_JUMP, ADMIN_PORTS)]
    yield "postrouting", [nf.verdict(nf.NFT_JUMP, ADMIN_MASQUERADE)]
    yield "forward", [nf.verdict(nf.NFT_JUMP, ADMIN_FORWARD)]
    for family in _FAMILIES:
        yield from _rules_of(family)
    destination = nf.is_within(_FOUR.destination, *_LOOPBACK)
    from_a_wire = [nf.is_not_from_lo(), nf.is_family(_FOUR.number), destination]
    yield "martians", [*from_a_wire, nf.verdict(nf.NF_DROP)]


def _rules_of(family: _Family) -> Iterator[tuple[str, list[bytes]]]:
    is_it, size, suffix = nf.is_family(family.number), family.address.size, family.suffix
    source = nf.load_address(family.source, size)
    destination = nf.load_address(family.destination, size)

    # At one address of the host, then at each.
    second = nf.FIRST_REGISTER + size // 4
    place = [destination, nf.load_protocol(second), nf.load_port(second + 1)]
    anywhere = [nf.load_protocol(), nf.load_port(nf.FIRST_REGISTER + 1)]
    for name, load in (("hostaddresses", place), ("hostports", anywhere)):
        translate = nf.translate_by(name + suffix, family=family.number, size=size)
        yield _TO_PODS, [is_it, *load, translate]

    # What a host port led to a pod.
    led = [is_it, nf.is_translated(), destination]
    returning = [*led, nf.is_in(f"returning{suffix}")]
    # An answer to ::1 is let in from no wire: IPv6 has no route_localnet.
    if family is _FOUR:
        from_the_host = nf.is_within(family.source, *_LOOPBACK)
        yield "postrouting", [*returning, from_the_host, nf.masquerade()]
    yield "postrouting", [*returning, nf.load_ways(), nf.is_in(WAYS), nf.masquerade()]
    # A pod to itself, which may have a link of its own.
    itself = [
        source,
        nf.load_address(family.destination, size, second),
        nf.is_in(f"selves{suffix}"),
    ]
    yield "postrouting", [is_it, nf.is_translated(), *itself, nf.masquerade()]
    yield "postrouting", [*led, nf.is_in(f"anyone{suffix}"), nf.masquerade()]

    # What a pod sends elsewhere.
    leaving = nf.is_in(f"masquerade{suffix}")
    to_no_pod = [destination, nf.is_in(f"masquerade{suffix}", is_negated=True)]
    to_no_group = nf.is_within(family.destination, *family.multicast, is_negated=True)
    yield "postrouting", [is_it, source, leaving, *to_no_pod, to_no_group, nf.masquerade()]

    # What is kept from a pod; the set of bridges is the smallest, so it is asked first.
    home, homes = [destination, nf.load_link_name(second)], f"homes{suffix}"
    is_apart = [is_it, nf.load_link_name(), nf.is_in(APART)]
    is_guarded = [destination, nf.is_in(f"guarded{suffix}")]
    is_elsewhere = [*home, nf.is_in(homes, is_negated=True)]
    yield "forward", [*is_apart, *is_guarded, *is_elsewhere, nf.verdict(nf.NF_DROP)]
    is_isolated = [is_it, destination, nf.is_in(f"isolated{suffix}")]
    yield "forward", [*is_isolated, *home, nf.is_in(homes), nf.verdict(nf.NF_DROP)]


OF_PACKETS: Final = TableLayout(
    family=nf.INET,
    sets=tuple(set_names()),
    messages=table_messages,
    claim_of=claim_of,
)

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

import hashlib
import struct
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address
from typing import Final

from attrs import frozen

from acni.netlink import nfexpressions as nf
from acni.netlink.families import IpAddress, is_v4
from acni.netlink.messages import Message, encoded
from acni.netlink.nftables import (
    FORWARD,
    IPV4_ADDRESS,
    IPV6_ADDRESS,
    LINK_INDEX,
    LINK_NAME,
    MARK,
    MOST_COMMENT_BYTES,
    OUTPUT,
    PORT,
    POSTROUTING,
    PREROUTING,
    PROTOCOL,
    Element,
    Type,
    add_element,
    delete_element,
    delete_rules,
    new_base_chain,
    new_chain,
    new_rule,
    new_set,
    new_table,
)
from acni.plugins.owners import Owner, network_mark

TABLE: Final = "acni"
WAYS: Final = "ways"
ADMIN_PORTS: Final = "admin_ports"
ADMIN_MASQUERADE: Final = "admin_masquerade"
ADMIN_FORWARD: Final = "admin_forward"
# Changed rules or types, once they were released, are another layout.
LAYOUTS: Final = "layout_"
LAYOUT: Final = f"{LAYOUTS}1"
# The names of bridges whose pods are not let to guarded pods of others.
APART: Final = "apart"

LAST: Final = 2**31 - 1
_RAW: Final = -300
_TO_PODS: Final = "to_pods"
_HASH_BYTES: Final = 4
_QUOTE: Final = '"'
_PLACE_BYTES: Final = 8


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
_SIZES: Final = {family.suffix: family.address.size for family in _FAMILIES}
_LOOPBACK: Final = (b"\xff\0\0\0", b"\x7f\0\0\0")

# Sets whose keys are addresses of pods, or begin with one, and maps that lead to them.
_OF_ADDRESSES: Final = ("masquerade", "published", "returning", "anyone", "guarded", "isolated")
_OF_PAIRS: Final = ("selves", "homes")
_OF_PORTS: Final = ("hostports", "hostaddresses")
# What is said of an address that ports lead to.
_BESIDE_PORTS: Final = ("published", "returning", "anyone", "selves")

_BASE_CHAINS: Final = (
    ("prerouting", "nat", PREROUTING, LAST),
    ("output", "nat", OUTPUT, LAST),
    ("postrouting", "nat", POSTROUTING, LAST),
    ("martians", "filter", PREROUTING, _RAW),
    ("forward", "filter", FORWARD, LAST),
)


_WITH_RULES: Final = (*(name for name, *_ in _BASE_CHAINS), _TO_PODS)
_CHAINS: Final = (_TO_PODS, ADMIN_PORTS, ADMIN_MASQUERADE, ADMIN_FORWARD)


@frozen(kw_only=True)
class Port:
    """A port of the host that leads to one of a pod.

    Attributes:
        protocol: IPPROTO_TCP, _UDP or _SCTP.
        host_port: The host's port.
        pod_port: The pod's.
        host_address: The only address of the host at which; None, at each.
    """

    protocol: int
    host_port: int
    pod_port: int
    host_address: IpAddress | None = None


@frozen(kw_only=True)
class Entry:
    """What a table holds of one address of a pod, or of another thing that has one owner.

    Attributes:
        comment: Whose it is: :func:`comment_of` its owner.
        claim: What says in the table whose it is.
        elements: What leads to it, or is said of it.
    """

    comment: str
    claim: Element
    elements: tuple[Element, ...]

    @property
    def address(self) -> IpAddress:
        """The pod's address, of which it is."""
        return ip_address(self.claim.key)

    def adding(self) -> tuple[list[Message], list[Element]]:
        """Return what puts it into the table, and which element each message is about.

        An element that is there is taken out and put in again, as the kernel would keep its
        comment: nobody's, if its owner is gone.
        """
        subjects = [self.claim, *(element for element in self.elements for _ in range(3))]
        messages = [add_element(TABLE, self.claim)]
        for element in self.elements:
            again = add_element(TABLE, element)
            messages += [again, delete_element(TABLE, element), again]
        return messages, subjects

    def removing(self, *, has_claim: bool = True) -> tuple[list[Message], list[Element]]:
        """Return what takes it out of the table, and which element each message is about.

        The kernel compares keys alone when it deletes, and fails where there is none. Adding first
        mends both: it makes what is missing, and is refused where the key leads elsewhere.

        Args:
            has_claim: Whether the address goes, too.
        """
        messages = [add_element(TABLE, self.claim)]
        subjects = [self.claim]
        for element in self.elements:
            messages += [add_element(TABLE, element), delete_element(TABLE, element)]
            subjects += [element, element]
        if has_claim:
            messages.append(delete_element(TABLE, self.claim))
            subjects.append(self.claim)
        return messages, subjects


@frozen(kw_only=True)
class TableLayout:
    """A table of ours, as far as its elements go.

    Attributes:
        family: Its family.
        sets: The names of the sets that hold what is a pod's.
        chains: The names of the chains that have rules of ours.
        messages: Makes it, or brings one that is there to this state.
        claim_of: Returns, for an owner in words and an element, what says whose that is which the
            element is about.
    """

    family: int
    sets: tuple[str, ...]
    chains: tuple[str, ...]
    messages: Callable[[], list[Message]]
    claim_of: Callable[[str, Element], Element]


def digest_of(comment: str) -> bytes:
    """Return an owner in four bytes."""
    return hashlib.blake2b(comment.encode(), digest_size=_HASH_BYTES).digest()


def comment_of(owner: Owner) -> str:
    """Return what stands beside the elements of an owner."""
    return comment_of_mark(owner.mark, owner.network)


def comment_of_mark(mark: str, network: str) -> str:
    """Return the same by what its link carries."""
    if len(encoded(mark)) <= MOST_COMMENT_BYTES and _QUOTE not in mark:
        return mark
    digest = hashlib.blake2b(mark.encode(), digest_size=_HASH_BYTES * 2).hexdigest()
    return f"{network_mark(network)}#{digest}"


def masquerading(owner: Owner, address: IpAddress) -> Entry:
    """Return what makes an address's packets leave with the host's address."""
    return _entry(owner, address, [_said("masquerade", address)])


def publishing(
    owner: Owner,
    address: IpAddress,
    ports: Sequence[Port],
    *,
    is_returning: bool = True,
    for_anyone: bool = False,
) -> Entry:
    """Return what makes ports of the host lead to an address.

    Args:
        owner: Whose it is.
        address: The pod's.
        ports: The ports.
        is_returning: Whether what comes from its neighbours, itself and 127.0.0.1 by them gets the
            host's address: else the answers go past the host.
        for_anyone: Whether all that comes by them does.
    """
    said = [_said("published", address), *(_mapping(port, address) for port in ports)]
    if is_returning:
        itself = Element(_named("selves", address), address.packed * 2)
        said += [_said("returning", address), itself]
    said += [_said("anyone", address)] if for_anyone else []
    return _entry(owner, address, said)


def is_of_ports(element: Element) -> bool:
    """Tell whether it is what :func:`publishing` puts in, and no other plugin's."""
    return element.name.rstrip("46") in (*_OF_PORTS, *_BESIDE_PORTS)


def way(index: int) -> Element:
    """Return what says that packets may go back by the link they came by."""
    return Element(WAYS, struct.pack("=II", index, index))


def guarding(
    owner: Owner, address: IpAddress, bridges: Sequence[str], *, is_isolated: bool = False
) -> Entry:
    """Return what keeps pods of other bridges from an address.

    Args:
        owner: Whose it is.
        address: The pod's.
        bridges: The names of the bridges from which it is let to; mostly its own one.
        is_isolated: Whether it is not let to from those either.
    """
    said = [_said("guarded", address)]
    said += [Element(_named("homes", address), home_key(address, one)) for one in bridges]
    said += [_said("isolated", address)] if is_isolated else []
    return _entry(owner, address, said)


def home_key(address: IpAddress, bridge: str) -> bytes:
    """Return the key that says at which bridge an address is."""
    return address.packed + name_key(bridge)


def bridge_of(home: Element) -> str:
    """Return the bridge that an element of ``homes`` names."""
    return home.key[_SIZES[home.name[-1]] :].rstrip(b"\0").decode(errors="surrogateescape")


def home_names() -> tuple[str, ...]:
    """Return the sets that say at which bridges addresses are."""
    return tuple("homes" + family.suffix for family in _FAMILIES)


def name_key(link: str) -> bytes:
    """Return the key of a link's name."""
    return encoded(link).ljust(LINK_NAME.size, b"\0")


def guarded(address: IpAddress) -> Element:
    """Return what says that an address is guarded, whoever's."""
    return _said("guarded", address)


def apart(bridge: str) -> Element:
    """Return what keeps a bridge's pods from guarded pods of others."""
    return Element(APART, name_key(bridge))


def require_layout(family: int) -> Message:
    """Return what a batch is refused by (ENOENT) where the table of a family is gone, or of an
    older layout; it changes nothing.
    """
    return delete_rules(TABLE, LAYOUT, family=family)


def set_names() -> Iterator[str]:
    """Iterate over the sets that hold what is a pod's."""
    for family in _FAMILIES:
        for name in (*_OF_ADDRESSES, *_OF_PAIRS, *_OF_PORTS, "owners"):
            yield name + family.suffix


def address_of(element: Element) -> bytes:
    """Return the 4 or 16 bytes of the pod's address that an element leads to, or is about."""
    begins = element.data if element.name[:-1] in _OF_PORTS else element.key
    return (begins or b"")[: _SIZES[element.name[-1]]]


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
            **dict.fromkeys(_OF_ADDRESSES, (address, None)),
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


def _entry(owner: Owner, address: IpAddress, elements: Sequence[Element]) -> Entry:
    comment = comment_of(owner)
    said = (Element(one.name, one.key, one.data, comment) for one in elements)
    return Entry(comment=comment, claim=_claim(comment, address), elements=tuple(said))


def _claim(comment: str, address: IpAddress) -> Element:
    return Element(_named("owners", address), address.packed, digest_of(comment), comment)


def _claim_of(comment: str, element: Element) -> Element:
    return _claim(comment, ip_address(address_of(element)))


def _said(name: str, address: IpAddress) -> Element:
    return Element(_named(name, address), address.packed)


def _mapping(port: Port, address: IpAddress) -> Element:
    name, place = _place_of(port)
    return Element(_named(name, address), place, address.packed + _port(port.pod_port))


def _place_of(port: Port) -> tuple[str, bytes]:
    """Return in which map a port is, and its key there."""
    if port.host_address is None:
        return "hostports", _place(port)
    return "hostaddresses", port.host_address.packed + _place(port)


def _place(port: Port) -> bytes:
    return bytes([port.protocol, 0, 0, 0]) + _port(port.host_port)


def leading(port: Port, address: IpAddress) -> Element:
    """Return what a port of the host leads to an address by, whoever's."""
    return _mapping(port, address)


def ports_of(entry: Entry) -> Iterator[Port]:
    """Iterate over the ports of the host that lead to an address."""
    for one in entry.elements:
        if one.name[:-1] in _OF_PORTS and one.data is not None:
            at = one.key[:-_PLACE_BYTES]
            yield Port(
                protocol=one.key[-_PLACE_BYTES],
                host_port=host_port_of(one),
                pod_port=int.from_bytes(one.data[-4:-2], "big"),
                host_address=ip_address(at) if at else None,
            )


def published(address: IpAddress) -> Element:
    """Return what says that ports lead to an address, whoever's."""
    return _said("published", address)


def port_maps() -> Iterator[str]:
    """Iterate over the maps by which ports of the host lead to pods."""
    for family in _FAMILIES:
        yield from (name + family.suffix for name in _OF_PORTS)


def host_port_of(element: Element) -> int:
    """Return the port of the host by which an element of such a map leads."""
    return int.from_bytes(element.key[-4:-2], "big")


def is_mapping_of(port: Port, element: Element) -> bool:
    """Tell whether an element is what a port of the host leads by."""
    return (element.name[:-1], element.key) == _place_of(port)


def beside(port: Port, address: IpAddress) -> tuple[str, bytes]:
    """Return the other map in which a port may be, and how its keys end there: at each address of
    the host, where it is wanted at one, and the other way round.
    """
    name, _ = _place_of(port)
    other = "hostaddresses" if name == "hostports" else "hostports"
    return _named(other, address), _place(port)


def _port(number: int) -> bytes:
    return number.to_bytes(2, "big") + bytes(2)


def _named(name: str, address: IpAddress) -> str:
    return name + ("4" if is_v4(address) else "6")


OF_PACKETS: Final = TableLayout(
    family=nf.INET,
    sets=tuple(set_names()),
    chains=_WITH_RULES,
    messages=table_messages,
    claim_of=_claim_of,
)

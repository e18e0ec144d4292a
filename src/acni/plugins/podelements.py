"""What a pod has in the table of :mod:`acni.plugins.ruleset`, as elements of its sets: pure layout.

Rule: an address has one owner, which ``owners`` says; the other elements are about the address, or
    lead to it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from typing import Final

from attrs import frozen

from acni.netlink.families import IpAddress, is_v4
from acni.netlink.nftables import (
    IPV4_ADDRESS,
    IPV6_ADDRESS,
    Element,
)
from acni.plugins.owners import Owner
from acni.plugins.tables import Entry, comment_of, digest_of, name_key

WAYS: Final = "ways"
# The names of bridges whose pods are not let to guarded pods of others.
APART: Final = "apart"
# Sets whose keys are addresses of pods, or begin with one, and maps that lead to them.
OF_ADDRESSES: Final = ("masquerade", "published", "returning", "anyone", "guarded", "isolated")

_PLACE_BYTES: Final = 8
_SIZES: Final = {"4": IPV4_ADDRESS.size, "6": IPV6_ADDRESS.size}
_OF_PAIRS: Final = ("selves", "homes")
_OF_PORTS: Final = ("hostports", "hostaddresses")
# What is said of an address that ports lead to.
_BESIDE_PORTS: Final = ("published", "returning", "anyone", "selves")


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
    return tuple("homes" + suffix for suffix in _SIZES)


def guarded(address: IpAddress) -> Element:
    """Return what says that an address is guarded, whoever's."""
    return _said("guarded", address)


def apart(bridge: str) -> Element:
    """Return what keeps a bridge's pods from guarded pods of others."""
    return Element(APART, name_key(bridge))


def set_names() -> Iterator[str]:
    """Iterate over the sets that hold what is a pod's."""
    for suffix in _SIZES:
        for name in (*OF_ADDRESSES, *_OF_PAIRS, *_OF_PORTS, "owners"):
            yield name + suffix


def address_of(element: Element) -> bytes:
    """Return the 4 or 16 bytes of the pod's address that an element leads to, or is about."""
    begins = element.data if element.name[:-1] in _OF_PORTS else element.key
    return (begins or b"")[: _SIZES[element.name[-1]]]


def _entry(owner: Owner, address: IpAddress, elements: Sequence[Element]) -> Entry:
    comment = comment_of(owner)
    said = (Element(one.name, one.key, one.data, comment) for one in elements)
    return Entry(comment=comment, claim=_claim(comment, address), elements=tuple(said))


def _claim(comment: str, address: IpAddress) -> Element:
    return Element(_named("owners", address), address.packed, digest_of(comment), comment)


def claim_of(comment: str, element: Element) -> Element:
    """Return what says in the table whose the address is that an element is about.

    Args:
        comment: Its owner in words.
        element: The element.
    """
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
    for suffix in _SIZES:
        yield from (name + suffix for name in _OF_PORTS)


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

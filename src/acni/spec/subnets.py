"""Subnets that containers get addresses from: what is one, and what could not work.

Rule 1: what a kernel would refuse when the first container comes, or never delivers a packet to, is
    refused when the network is described.
Rule 2: a subnet with a single address in it that no container can have is refused as a whole: the
    plugins that give addresses know no exceptions.
Rule 3: link-local addresses of IPv4 and the reserved 240.0.0.0/4 work on Linux, and stay allowed.

(RFC 1122, section 3.2.1.3; RFC 4291, sections 2.4 to 2.7)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_interface
from typing import Final

from acni.errors import ConfigError

Subnet = IPv4Network | IPv6Network

# The network's own address and a gateway take two; host-local refuses what is smaller.
_HOST_BITS: Final = 2
_NOBODYS: Final[Mapping[Subnet, str]] = {
    IPv4Network("0.0.0.0/8"): "which is whatever network one is on",
    IPv4Network("127.0.0.0/8"): "which never leaves its host",
    IPv4Network("224.0.0.0/4"): "which is multicast",
    IPv6Network("::/127"): "which never leaves its host",
    # Each link has this network anew, so that no route leads to it.
    IPv6Network("fe80::/10"): "which every link has by itself",
    IPv6Network("ff00::/8"): "which is multicast",
}
_USABLE: Final = "a subnet of addresses that hosts have, such as 10.88.0.0/16 or fd00:88::/64"


def parse_subnets(subnets: Sequence[object], *, place: str) -> tuple[Subnet, ...]:
    """Parse subnets that do not overlap.

    Args:
        subnets: Text such as "10.88.0.0/16", or objects.
        place: What they are, for errors.

    Raises:
        ConfigError: there is none, or one of them could not work, or is a part of another.
    """
    if not subnets:
        raise ConfigError("no subnet", place=place, expected="at least one subnet")
    parsed: list[Subnet] = []
    for index, subnet in enumerate(subnets):
        here = f"{place}[{index}]"
        network = parse_subnet(subnet, place=here)
        for other in parsed:
            if network.overlaps(other):
                expected = "subnets that do not overlap"
                raise ConfigError(f"{network} overlaps {other}", place=here, expected=expected)
        parsed.append(network)
    return tuple(parsed)


def parse_bridge_subnets(subnets: Sequence[object], *, place: str) -> tuple[Subnet, ...]:
    """Parse subnets whose gateway a bridge is: it has one address of IPv4, and of IPv6 several.

    Raises:
        ConfigError: as from :func:`parse_subnets`, or a second one is of IPv4.
    """
    parsed = parse_subnets(subnets, place=place)
    of_ipv4 = [index for index, one in enumerate(parsed) if isinstance(one, IPv4Network)]
    for index in of_ipv4[1:]:
        message = f"{parsed[index]} is a second one of IPv4, beside {parsed[of_ipv4[0]]}"
        expected = "one subnet of IPv4, for a bridge is the gateway of one"
        raise ConfigError(message, place=f"{place}[{index}]", expected=expected)
    return parsed


def parse_subnet(value: object, *, place: str) -> Subnet:
    """Parse a subnet.

    Raises:
        ConfigError: it is none, or could not work.
    """
    network = _parse_network(value, place)
    if network.max_prefixlen - network.prefixlen < _HOST_BITS:
        smallest = f"/{network.max_prefixlen - _HOST_BITS} or larger"
        raise ConfigError(f"{network} is too small", place=place, expected=smallest)
    for nobodys, why in _NOBODYS.items():
        if network.overlaps(nobodys):
            shared = "is in" if network.prefixlen >= nobodys.prefixlen else "contains"
            message = f"{network} {shared} {nobodys}, {why}"
            raise ConfigError(message, place=place, expected=_USABLE)
    return network


def _parse_network(value: object, place: str) -> Subnet:
    expected = "a subnet such as 10.88.0.0/16 or fd00:88::/64"
    # A number would be an address to ipaddress, too.
    if not isinstance(value, str | IPv4Network | IPv6Network):
        message = f"expected {expected}, got {type(value).__name__}"
        raise ConfigError(message, place=place, expected=expected)
    try:
        interface = ip_interface(str(value))
    except ValueError:
        interface = None
    if interface is None or "%" in str(value):
        message = f"expected {expected}, got {ascii(str(value))[:80]}"
        raise ConfigError(message, place=place, expected=expected)
    network = interface.network
    if interface.ip != network.network_address:
        raise ConfigError(f"{interface} has host bits set", place=place, expected=str(network))
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped:
        # Go takes the address for IPv4 and the prefix length for IPv6 (host-local: "mismatch").
        raise ConfigError(f"{network} is IPv4 in IPv6", place=place, expected="the IPv4 subnet")
    return network

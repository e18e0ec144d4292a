"""What ``bridge`` makes of the addresses that IPAM gave: pure decisions.

(specification, section 5, "Success"; the reference's plugins/main/bridge, calcGateways, ensureAddr)
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Final

from attrs import frozen

from acni.netlink.families import Interface, IpAddress, Network, is_v4
from acni.plugins.addressing import parse_interface
from acni.plugins.bridge_refusals import GATEWAY_DIFFERS
from acni.plugins.ranges import parse_address
from acni.skel.errors import Code, PluginError
from acni.spec.result import IpConfig, Result, Route

# A container's interface is the third of a result: the bridge and the host's end come first.
CONTAINER_PLACE: Final = 2

_EVERYWHERE: Final = {4: "0.0.0.0/0", 6: "::/0"}


@frozen(kw_only=True)
class Way:
    """A route of the container, as the kernel is told it.

    Attributes:
        destination: Where it leads.
        gateway: The next hop; None where the destination is on the link.
        route: What the result says of it.
    """

    destination: Network
    gateway: IpAddress | None
    route: Route


@frozen(kw_only=True)
class Layout:
    """What a container gets.

    Attributes:
        ips: Its addresses, for the result.
        routes: Its routes, for the result.
        addresses: Its addresses.
        ways: Its routes, each once.
        gateways: The addresses of the bridge.
    """

    ips: tuple[IpConfig, ...] = ()
    routes: tuple[Route, ...] = ()
    addresses: tuple[Interface, ...] = ()
    ways: tuple[Way, ...] = ()
    gateways: tuple[Interface, ...] = ()

    @property
    def has_ipv6(self) -> bool:
        """Whether one of the addresses is of IPv6."""
        return not all(map(is_v4, self.addresses))


def lay_out(
    ips: Sequence[IpConfig],
    routes: Sequence[Route],
    *,
    is_gateway: bool,
    is_default_gateway: bool,
    place: int | None = CONTAINER_PLACE,
) -> Layout:
    """Decide what a container gets.

    Args:
        ips: The addresses that it was given.
        routes: The routes that it was given.
        is_gateway: Whether the bridge is the gateway of each address; where an address has none
            yet, it is the first of its network.
        is_default_gateway: Whether a default route leads there, if there is none of its family.
        place: The place of the container's interface in the result.

    Raises:
        PluginError: there is no address, or a gateway is of the other family.
    """
    if not ips:
        raise PluginError(Code.INVALID_CONFIG, "the plugin of $.ipam.type gave no address")
    given = [_given(ip, is_gateway=is_gateway) for ip in ips]
    if is_default_gateway:
        routes = (*routes, *_defaults(given, routes))
    return Layout(
        ips=tuple(one.told(place) for one in given),
        routes=tuple(routes),
        addresses=tuple(one.address for one in given),
        ways=_ways(routes, given),
        gateways=_gateways(given) if is_gateway else (),
    )


def addresses_in_the_way(
    present: Iterable[Interface], wanted: Interface, *, is_forced: bool
) -> tuple[Interface, ...] | None:
    """Decide which addresses of a bridge give way to another one.

    A bridge has one address of IPv4. Of IPv6 it may have several whose networks do not overlap.

    Args:
        present: The addresses that it has.
        wanted: The one that it is to have.
        is_forced: Whether they give way.

    Returns:
        Those that go; None where it has the wanted one.

    Raises:
        PluginError: it has another one, and that does not give way.
    """
    present = tuple(present)
    if wanted in present:
        return None
    found = tuple(
        one
        for one in present
        if one.version == wanted.version
        and (is_v4(one) or one.ip in wanted.network or wanted.ip in one.network)
    )
    if found and not is_forced:
        raise PluginError(
            GATEWAY_DIFFERS,
            f"the bridge has the address {found[0]}, not {wanted}",
            details="$.forceAddress: true lets it give way",
            reason="gateway-differs",
        )
    return found


def gateways_to_give(
    present: Iterable[Interface], gateways: Iterable[Interface], *, is_forced: bool
) -> list[tuple[Interface, tuple[Interface, ...]]]:
    """Decide on all gateways before the first is given: a bridge that is refused stays as it was.

    Args:
        present: The addresses that the bridge has.
        gateways: Those that it is to have.
        is_forced: Whether others give way.

    Returns:
        Each that it lacks, with those that go before it.

    Raises:
        PluginError: it has another one, and that does not give way.
    """
    here, decided = list(present), list[tuple[Interface, tuple[Interface, ...]]]()
    for gateway in gateways:
        replaced = addresses_in_the_way(here, gateway, is_forced=is_forced)
        if replaced is None:
            continue
        here = [*(one for one in here if one not in replaced), gateway]
        decided.append((gateway, replaced))
    return decided


def overlapping(
    others: Iterable[tuple[Interface, bool]], gateways: Iterable[Interface]
) -> tuple[Interface, Interface] | None:
    """Find two networks of which the host would know only one way to what both have.

    A host may have its own address in a larger network: what is longer wins, and the containers
    are reached. Not so where the larger one is another bridge's, whose containers are in it too.

    Args:
        others: The addresses of the host's other links, and whether each is on a bridge of ours.
        gateways: Those that the bridge is to have.

    Returns:
        A gateway and the address in its way; None where there is none.
    """
    for other, is_ours in others:
        for gateway in gateways:
            if gateway.version != other.version or other.ip.is_link_local:
                continue
            lengths = gateway.network.prefixlen, other.network.prefixlen
            # Networks overlap where the longer one is a part of the shorter one.
            is_shared = _begins_as(gateway, other, min(lengths))
            if is_shared and (is_ours or lengths[1] >= lengths[0]):
                return gateway, other
    return None


def _begins_as(one: Interface, other: Interface, bits: int) -> bool:
    """Tell whether two addresses of a family have their first bits in common."""
    rest = one.max_prefixlen - bits
    return int(one) >> rest == int(other) >> rest


@frozen
class _Given:
    """An address that was given, parsed.

    Attributes:
        address: The address with its network.
        gateway: Its gateway, or None.
        ip: What the address plugin said.
    """

    address: Interface
    gateway: IpAddress | None
    ip: IpConfig

    def told(self, place: int | None) -> IpConfig:
        """Return what the result says of it."""
        gateway = self.ip.gateway
        if gateway is None and self.gateway is not None:
            gateway = str(self.gateway)
        return IpConfig(address=self.ip.address, gateway=gateway, interface=place)


def _given(ip: IpConfig, *, is_gateway: bool) -> _Given:
    address = parse_interface(ip.address)
    gateway: IpAddress | None = None
    if ip.gateway is not None:
        gateway = parse_address(ip.gateway)
    elif is_gateway:
        gateway = _first_of(address)
    return _Given(address, gateway, ip)


def _first_of(address: Interface) -> IpAddress:
    """Return the first address of a network, behind its own."""
    try:
        return address.network.network_address + 1
    except ValueError:  # the last of all there are
        message = f"{address} has no network that a gateway is in"
        raise PluginError(Code.INVALID_CONFIG, message) from None


def _defaults(given: Sequence[_Given], routes: Sequence[Route]) -> Iterable[Route]:
    """Return a default route of each family that has none with a gateway."""
    have = {route.dst for route in routes if route.gw is not None}
    for one in given:
        destination = _EVERYWHERE[one.address.version]
        if destination not in have:
            have.add(destination)
            yield Route(dst=destination, gw=str(one.gateway))


def _ways(routes: Sequence[Route], given: Sequence[_Given]) -> tuple[Way, ...]:
    """Return each route once: of equal ones the first counts, as in the reference."""
    gateways: dict[int, IpAddress] = {}
    for one in given:
        if one.gateway is not None:
            gateways.setdefault(one.gateway.version, one.gateway)
    ways: dict[object, Way] = {}
    for route in routes:
        destination = parse_interface(route.dst).network
        own = None if route.gw is None else parse_address(route.gw)
        gateway = own or gateways.get(destination.version)
        if gateway is not None and gateway.version != destination.version:
            message = f"{gateway} is no gateway to {destination}"
            raise PluginError(Code.INVALID_CONFIG, message)
        key = (destination, route.table, route.priority)
        ways.setdefault(key, Way(destination=destination, gateway=gateway, route=route))
    return tuple(ways.values())


def _gateways(given: Sequence[_Given]) -> tuple[Interface, ...]:
    """Return the addresses that the bridge is to have, each once."""
    return tuple(
        dict.fromkeys(
            ipaddress.ip_interface((one.gateway, one.address.network.prefixlen))
            for one in given
            if one.gateway is not None and one.gateway.version == one.address.version
        )
    )


def layout_of_result(result: Result, *, is_gateway: bool) -> Layout:
    """Read what a container has from a result of an earlier plugin; it may have nothing."""
    if not result.ips:
        return Layout()
    return lay_out(
        result.ips, result.routes, is_gateway=is_gateway, is_default_gateway=False, place=None
    )

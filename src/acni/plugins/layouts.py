"""What a container gets of the addresses and routes that IPAM gave: pure decisions.

(specification, section 5, "Success"; the reference's plugins/main/bridge, calcGateways)
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Final

from attrs import frozen

from acni.netlink.families import Interface, IpAddress, Network, is_v4
from acni.plugins.addressing import parse_interface
from acni.plugins.ranges import parse_address
from acni.skel.errors import Code, PluginError
from acni.spec.result import IpConfig, Result, Route

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
    place: int | None,
    is_gateway: bool = False,
    is_default_gateway: bool = False,
) -> Layout:
    """Decide what a container gets.

    Args:
        ips: The addresses that it was given.
        routes: The routes that it was given.
        place: The place of the container's interface in the result.
        is_gateway: Whether the bridge is the gateway of each address; where an address has none
            yet, it is the first of its network.
        is_default_gateway: Whether a default route leads there, if there is none of its family.

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
    return lay_out(result.ips, result.routes, place=None, is_gateway=is_gateway)

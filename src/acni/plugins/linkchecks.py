"""What CHECK of the plugins that make links compares: what a result says, with what there is.

Rule 1: what later plugins may have changed is allowed: other addresses beside those of the result,
    routes in another table or behind another default gateway (P4).
Rule 2: an interface that is down is none that anybody can use: that is not the reference's rule.

(specification, section 2, "CHECK"; rule P4)
"""

from __future__ import annotations

from collections.abc import Iterable

from acni.netlink.addresses import list_addresses
from acni.netlink.links import Link, find_link
from acni.netlink.routes import Route as KernelRoute
from acni.netlink.routes import list_routes
from acni.netlink.sockets import Netlink
from acni.plugins.addressing import parse_interface
from acni.plugins.hardwareaddresses import mac_text
from acni.plugins.ranges import parse_address
from acni.plugins.refusals import differs
from acni.skel.call import Call, OpenNetns
from acni.skel.errors import Code, PluginError
from acni.spec.result import Interface, Result, Route


def previous_of(call: Call) -> Result:
    """Return what the ADD returned.

    Raises:
        PluginError: it is missing.
    """
    if call.previous is None:
        raise PluginError(Code.INVALID_CONFIG, "no prevResult at $.prevResult")
    return call.previous


def told_interface(call: Call, container: OpenNetns, previous: Result) -> tuple[int, Interface]:
    """Return the place of the container's interface in a result, and what that says of it.

    Raises:
        PluginError: it says nothing.
    """
    for place, one in enumerate(previous.interfaces):
        if one.name == call.ifname and one.sandbox == container.path:
            return place, one
    raise missing(f"{call.ifname} of {container.path} is not in $.prevResult")


def require_interface(inside: Netlink, told: Interface, *, kind: str, words: str) -> Link:
    """Return the container's interface.

    Args:
        inside: The container's socket.
        told: What the result says of it.
        kind: The kind of link that it is.
        words: The same, for people.

    Raises:
        PluginError: there is none, or it is another one.
    """
    link = find_link(inside, told.name)
    if link is None or link.kind != kind:
        raise missing(f"there is no {told.name} {words} in the container")
    require_mac(link, told)
    return link


def require_up(link: Link) -> None:
    """Refuse a link that is down."""
    if not link.is_up:
        raise differs(f"{link.name} is down", "interface-down")


def require_mac(link: Link, told: Interface) -> None:
    """Refuse a link that has another hardware address than a result says."""
    if told.mac is not None and told.mac.lower() != mac_text(link.mac):
        message = f"{link.name} has the hardware address {mac_text(link.mac)}, not {told.mac}"
        raise differs(message, "mac-differs")


def require_told_mac(link: Link, interfaces: Iterable[Interface]) -> None:
    """Refuse a link of the host that has another hardware address than a result says."""
    for told in interfaces:
        if told.name == link.name and not told.sandbox:
            require_mac(link, told)


def require_addresses(inside: Netlink, link: Link, place: int, previous: Result) -> None:
    """Refuse an interface that lacks an address.

    Args:
        inside: The container's socket.
        link: The interface.
        place: Its place in the result.
        previous: The result.
    """
    present = {(one.packed, one.prefix) for one in list_addresses(inside, index=link.index)}
    for ip in previous.ips:
        if ip.interface not in (None, place):
            continue
        wanted = parse_interface(ip.address)
        if (wanted.packed, wanted.network.prefixlen) not in present:
            raise differs(f"{link.name} has no address {ip.address}", "address-missing")


def require_routes(inside: Netlink, previous: Result) -> None:
    """Refuse a container that lacks a route of a result."""
    present = list_routes(inside, table=None)
    for route in previous.routes:
        if not any(_leads_there(one, route) for one in present):
            way = "" if route.gw is None else f" by {route.gw}"
            raise no_route(f"{route.dst}{way}")


def no_route(where: str) -> PluginError:
    """Make the error of a route that is missing."""
    return differs(f"there is no route to {where}", "route-missing")


def missing(message: str) -> PluginError:
    """Make the error of an interface that is missing."""
    return differs(message, "interface-missing")


def _leads_there(present: KernelRoute, told: Route) -> bool:
    destination = parse_interface(told.dst).network
    if (present.packed, present.prefix) != (
        destination.network_address.packed,
        destination.prefixlen,
    ):
        return False
    is_default = destination.prefixlen == 0
    return is_default or told.gw is None or present.gateway == parse_address(told.gw).packed

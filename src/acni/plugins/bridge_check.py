"""CHECK of ``bridge``: whether what ADD made is there.

Rule 1: what later plugins may have changed is allowed: other addresses beside those of the result,
    routes in another table or behind another default gateway (P4).
Rule 2: an interface that is down is none that anybody can use: that is not the reference's rule.

(the reference's plugins/main/bridge, cmdCheck; specification, section 2, "CHECK"; rule P4)
"""

from __future__ import annotations

from collections.abc import Iterable

from acni.netlink.addresses import list_addresses
from acni.netlink.links import Link, find_link
from acni.netlink.routes import Route as KernelRoute
from acni.netlink.routes import list_routes
from acni.netlink.sockets import Netlink, open_here
from acni.plugins.addressing import parse_interface
from acni.plugins.bridge_chain import interface_of_others
from acni.plugins.bridge_layout import mac_text
from acni.plugins.bridge_ports import other_end
from acni.plugins.bridge_refusals import differs, doing
from acni.plugins.bridge_settings import Settings, parse_settings
from acni.plugins.containerlinks import open_container
from acni.plugins.owners import BRIDGE_MARK
from acni.plugins.ranges import parse_address
from acni.skel.call import Call, OpenNetns
from acni.skel.errors import Code, PluginError
from acni.spec.result import Interface, Result, Route


def check(call: Call) -> None:
    """Raise where something is not as the ADD left it."""
    settings = parse_settings(call)
    if call.previous is None:
        raise PluginError(Code.INVALID_CONFIG, "no prevResult at $.prevResult")
    if settings.has_ipam:
        call.ipam.check()
    with open_here() as host, doing("looking at the bridge and its port"):
        bridge = _check_bridge(host, settings, call.previous)
        joined = interface_of_others(host, call.previous, settings.bridge)
        if joined is not None:
            _require_port(joined, bridge)
            return
        _check_container(call, host, settings, call.previous, bridge)


def _check_bridge(host: Netlink, settings: Settings, previous: Result) -> Link:
    told = next(
        (one for one in previous.interfaces if one.name == settings.bridge and not one.sandbox),
        None,
    )
    if told is None:
        raise _missing(f"the bridge {settings.bridge} is not in $.prevResult")
    bridge = find_link(host, settings.bridge)
    if bridge is None or bridge.kind != "bridge":
        raise _missing(f"there is no bridge {settings.bridge}")
    if bridge.alias == BRIDGE_MARK:  # another one may change with its ports
        _require_mac(bridge, told)
    _require_up(bridge)
    if settings.promiscuous and not bridge.is_promiscuous:
        raise differs(f"the bridge {settings.bridge} is not promiscuous", "not-promiscuous")
    return bridge


def _check_container(
    call: Call, host: Netlink, settings: Settings, previous: Result, bridge: Link
) -> None:
    container = call.netns
    if container is None:
        raise AssertionError("a CHECK has a namespace")
    place, told = _told(call, container, previous)
    with open_container(container) as inside:
        link = find_link(inside, call.ifname)
        if link is None or link.kind != "veth":
            raise _missing(f"there is no {call.ifname} of a pair in the container")
        _require_mac(link, told)
        if settings.sets_up:
            _require_up(link)
        port = other_end(host, container.fd, link)
        if port is None:
            raise _missing(f"the other end of {call.ifname} is not on this host")
        _require_told_mac(port, previous.interfaces)
        _require_port(port, bridge)
        _check_addresses(inside, link, place, previous)
        _check_routes(inside, previous)


def _told(call: Call, container: OpenNetns, previous: Result) -> tuple[int, Interface]:
    """Return what the result says of the container's interface, and where."""
    for place, one in enumerate(previous.interfaces):
        if one.name == call.ifname and one.sandbox == container.path:
            return place, one
    raise _missing(f"{call.ifname} of {container.path} is not in $.prevResult")


def _require_port(port: Link, bridge: Link) -> None:
    if port.master != bridge.index:
        raise differs(f"{port.name} is no port of the bridge {bridge.name}", "no-port")
    _require_up(port)


def _require_up(link: Link) -> None:
    if not link.is_up:
        raise differs(f"{link.name} is down", "interface-down")


def _require_mac(link: Link, told: Interface) -> None:
    if told.mac is not None and told.mac.lower() != mac_text(link.mac):
        message = f"{link.name} has the hardware address {mac_text(link.mac)}, not {told.mac}"
        raise differs(message, "mac-differs")


def _require_told_mac(port: Link, interfaces: Iterable[Interface]) -> None:
    for told in interfaces:
        if told.name == port.name and not told.sandbox:
            _require_mac(port, told)


def _check_addresses(inside: Netlink, link: Link, place: int, previous: Result) -> None:
    present = {(one.packed, one.prefix) for one in list_addresses(inside, index=link.index)}
    for ip in previous.ips:
        if ip.interface not in (None, place):
            continue
        wanted = parse_interface(ip.address)
        if (wanted.packed, wanted.network.prefixlen) not in present:
            raise differs(f"{link.name} has no address {ip.address}", "address-missing")


def _check_routes(inside: Netlink, previous: Result) -> None:
    present = list_routes(inside, table=None)
    for route in previous.routes:
        if not any(_leads_there(one, route) for one in present):
            way = "" if route.gw is None else f" by {route.gw}"
            raise differs(f"there is no route to {route.dst}{way}", "route-missing")


def _leads_there(present: KernelRoute, told: Route) -> bool:
    destination = parse_interface(told.dst).network
    if (present.packed, present.prefix) != (
        destination.network_address.packed,
        destination.prefixlen,
    ):
        return False
    is_default = destination.prefixlen == 0
    return is_default or told.gw is None or present.gateway == parse_address(told.gw).packed


def _missing(message: str) -> PluginError:
    return differs(message, "interface-missing")

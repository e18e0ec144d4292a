"""CHECK of ``ptp``: whether what ADD made is there, on both ends.

(the reference's plugins/main/ptp, cmdCheck; specification, section 2, "CHECK"; rule P4)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from acni.netlink.addresses import list_addresses
from acni.netlink.families import Network
from acni.netlink.links import Link
from acni.netlink.routes import list_routes
from acni.netlink.sockets import Netlink, open_here
from acni.plugins.addressing import parse_interface
from acni.plugins.attaching import netns_of, owner_of
from acni.plugins.containerlinks import open_container
from acni.plugins.linkchecks import (
    missing,
    no_route,
    previous_of,
    require_addresses,
    require_interface,
    require_routes,
    require_told_mac,
    require_up,
    told_interface,
)
from acni.plugins.masquerading import require_masqueraded
from acni.plugins.ownlinks import other_end
from acni.plugins.ptp_layout import End, ends_of, ways_to_networks
from acni.plugins.ptp_settings import parse_settings
from acni.plugins.refusals import differs, doing
from acni.skel.call import Call
from acni.spec.result import Result


def check(call: Call) -> None:
    """Raise where something is not as the ADD left it."""
    settings = parse_settings(call)
    previous = previous_of(call)
    call.ipam.check()
    with open_here() as host, doing("looking at both ends"):
        _check(call, host, previous)
    if settings.masquerades:
        require_masqueraded(call, owner_of(call))


def _check(call: Call, host: Netlink, previous: Result) -> None:
    container = netns_of(call)
    place, told = told_interface(call, container, previous)
    ends = ends_of([ip for ip in previous.ips if ip.interface == place])
    with open_container(container) as inside:
        link = require_interface(inside, told, kind="veth", words="of a pair")
        require_up(link)
        end = other_end(host, container.fd, link)
        if end is None:
            raise missing(f"the other end of {call.ifname} is not on this host")
        require_told_mac(end, previous.interfaces)
        require_up(end)
        require_addresses(inside, link, place, previous)
        require_routes(inside, previous)
        _require_links_routes(inside, link, (end.gateway_network for end in ends))
        _require_networks(inside, link, ends, previous)
    _require_gateways(host, end, ends)
    _require_links_routes(host, end, (end.container_network for end in ends))


def _require_gateways(host: Netlink, end: Link, ends: Iterable[End]) -> None:
    present = {one.packed for one in list_addresses(host, index=end.index)}
    for one in ends:
        if one.gateway.packed not in present:
            raise differs(f"{end.name} has no address {one.gateway}", "address-missing")


def _require_networks(inside: Netlink, link: Link, ends: Sequence[End], previous: Result) -> None:
    """Refuse a container that does not reach the networks of its addresses through the gateways;
    where a route of the result leads there, that one counts.
    """
    asked_for = {parse_interface(route.dst).network for route in previous.routes}
    present = {
        (one.packed, one.prefix, one.gateway)
        for one in list_routes(inside, index=link.index, table=None)
    }
    for network, end in ways_to_networks(ends).items():
        way = (network.network_address.packed, network.prefixlen, end.gateway.packed)
        if network not in asked_for and way not in present:
            raise no_route(f"{network} by {end.gateway}")


def _require_links_routes(netlink: Netlink, link: Link, wanted: Iterable[Network]) -> None:
    present = {
        (one.packed, one.prefix) for one in list_routes(netlink, index=link.index, table=None)
    }
    for network in wanted:
        if (network.network_address.packed, network.prefixlen) not in present:
            raise no_route(f"{network.network_address} by {link.name}")

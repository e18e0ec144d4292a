"""The container's side of the plugins that make links: addresses and routes of an interface that
was just made.

Rule 1: what is heeded when the interface is set up is said before: that IPv6 does not look for
    others with its addresses, and that a neighbour is told of the new holder of an address.
Rule 2: ``/proc/sys/net`` is left alone where netlink can do without. The kernel finds a name below
    it among those of all namespaces, one by one: 0.05 ms in the first container, 0.6 in the
    thousandth. So the interface is given its link-local address instead of being told not to look
    for others with it, and only a container with IPv6 pays for more.
Rule 3: what cannot be written there is passed over, as by the reference, except where addresses
    cannot be without it.

(the reference's pkg/ipam, ConfigureIface)
"""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Sequence
from typing import Final

from acni.host.visits import visit
from acni.netlink import addresses, links, routes
from acni.netlink.errors import NetlinkError
from acni.netlink.families import is_v4
from acni.netlink.lookup import has_link, index_of
from acni.netlink.settings import Ipv4Setting, read_sysctl, set_ipv4, write_sysctl
from acni.netlink.sockets import Netlink, open_here
from acni.plugins.hardwareaddresses import link_local
from acni.plugins.layouts import Layout, Way
from acni.plugins.ptp_layout import End, ways_to_networks
from acni.plugins.refusals import doing, interface_exists, ipv6_disabled
from acni.plugins.steps import Step, take
from acni.skel.bounds import Bounds
from acni.skel.call import OpenNetns
from acni.skel.errors import Code, PluginError

# What the reference waits for IPv6 to find no other holder of an address.
_DUPLICATE_SECONDS: Final = 5.0
_STEP_SECONDS: Final = 0.05

_WHAT: Final = "configuring the container's interface"


def require_no_interface(inside: Netlink, ifname: str) -> None:
    """Refuse an attachment whose interface is there already.

    Raises:
        PluginError: it is.
    """
    with doing(f"looking for {ifname}"):
        if has_link(inside, ifname):
            raise interface_exists(ifname)


def set_up(inside: Netlink, ifname: str) -> None:
    """Set an interface without addresses up.

    Raises:
        PluginError: the kernel refuses.
    """
    with doing(f"setting {ifname} up"):
        inside.request(links.change(ifname, up=True))


def configure(
    container: OpenNetns,
    inside: Netlink,
    ifname: str,
    mac: bytes,
    layout: Layout,
    *,
    detects_duplicates: bool,
    bounds: Bounds,
    ends: Sequence[End] = (),
) -> None:
    """Give an interface its addresses and routes, and set it up.

    Args:
        container: Its namespace.
        inside: A socket of that.
        ifname: Its name there.
        mac: Its hardware address.
        layout: What it gets.
        detects_duplicates: Whether IPv6 looks for others with its addresses first.
        bounds: How long that may take.
        ends: Of a link on which there is nobody but the gateway: everything else is reached through
            that one. By default others are on it, and are told who has an address of IPv4 now.

    Raises:
        PluginError: the kernel refuses, or somebody else has an address.
    """

    def prepare() -> None:
        _prepare(ifname, has_ipv6=layout.has_ipv6, detects_duplicates=detects_duplicates)

    if layout.has_ipv6 or detects_duplicates:
        visit(container.fd, prepare, path=container.path)
    with doing(f"looking for {ifname}"):
        index = index_of(inside, ifname)
    up = _up_steps(
        index, ifname, mac, layout, detects_duplicates=detects_duplicates, tells=not ends
    )
    ways = [
        *_gateway_steps(index, ends),
        *(_way_step(index, way) for way in layout.ways),
        *_network_steps(index, ends, layout.ways),
    ]
    if detects_duplicates and layout.has_ipv6:
        take(inside, up, what=_WHAT)
        _wait_for_addresses(inside, index, bounds)
        take(inside, ways, what=_WHAT)
    else:
        take(inside, [*up, *ways], what=_WHAT)


def open_container(container: OpenNetns) -> Netlink:
    """Open a socket of the container's namespace."""
    return visit(container.fd, open_here, path=container.path)


def _prepare(ifname: str, *, has_ipv6: bool, detects_duplicates: bool) -> None:
    if has_ipv6:
        for name in ("lo", ifname):
            _enable_ipv6(name)
        _try_to_write(f"ipv6/conf/{ifname}/keep_addr_on_down", "1")
    if detects_duplicates:
        _try_to_write(f"ipv6/conf/{ifname}/enhanced_dad", "1")
        _try_to_write(f"ipv6/conf/{ifname}/accept_dad", "1")


def _enable_ipv6(name: str) -> None:
    """Enable IPv6 where a runtime disabled it, as some do in each new namespace."""
    setting = f"ipv6/conf/{name}/disable_ipv6"
    try:
        if read_sysctl(setting) != "0":
            write_sysctl(setting, "0")
    except NetlinkError as error:
        raise ipv6_disabled(f"{name} of the container") from error


def _try_to_write(setting: str, value: str) -> None:
    with contextlib.suppress(NetlinkError):
        write_sysctl(setting, value)


def _up_steps(
    index: int,
    ifname: str,
    mac: bytes,
    layout: Layout,
    *,
    detects_duplicates: bool,
    tells: bool,
) -> list[Step]:
    steps = [
        Step(
            addresses.add(address, index=index, detects_duplicates=detects_duplicates),
            f"the address {address} of {ifname}",
            is_ipv6=not is_v4(address),
        )
        for address in layout.addresses
    ]
    if layout.has_ipv6 and not detects_duplicates:
        own = addresses.add(link_local(mac), index=index)
        steps.append(Step(own, f"the link-local address of {ifname}", is_ipv6=True))
    if tells and any(map(is_v4, layout.addresses)):
        notify = set_ipv4(index, Ipv4Setting.ARP_NOTIFY, 1)
        steps.append(Step(notify, f"arp_notify of {ifname}"))
    return [*steps, Step(links.change(index, up=True), f"setting {ifname} up")]


def _gateway_steps(index: int, ends: Sequence[End]) -> list[Step]:
    """Return what leads to each gateway alone."""
    return [
        Step(
            routes.add(end.gateway_network, index=index, scope=routes.LINK, source=end.address.ip),
            f"the route to the gateway {gateway}",
        )
        for gateway, end in {end.gateway: end for end in reversed(ends)}.items()
    ]


def _network_steps(index: int, ends: Sequence[End], ways: Sequence[Way]) -> list[Step]:
    """Return what leads through the gateways to the networks of the addresses, which the kernel
    takes to be on the link.
    """
    steps: list[Step] = []
    for network, end in ways_to_networks(ends).items():
        own = routes.remove(network, index=index, protocol=routes.BY_KERNEL)
        steps.append(Step(own, f"the link's route to {network}", as_good=errno.ESRCH))
        is_asked_for = any(way.destination == network for way in ways)
        through = routes.add(network, gateway=end.gateway, index=index, source=end.address.ip)
        as_good = errno.EEXIST if is_asked_for else 0
        steps.append(Step(through, f"the route to {network}", as_good=as_good))
    return steps


def _way_step(index: int, way: Way) -> Step:
    route = way.route
    message = routes.add(
        way.destination,
        gateway=way.gateway,
        index=index,
        mtu=route.mtu,
        advmss=route.advmss,
        priority=route.priority,
        table=route.table,
        # Everywhere, as by the reference, also without a gateway.
        scope=routes.UNIVERSE if route.scope is None else route.scope,
        # Another interface of the container may lead there, too, as with the reference.
        is_beside=True,
    )
    return Step(message, f"the route to {way.destination}", as_good=errno.EEXIST)


def _wait_for_addresses(inside: Netlink, index: int, bounds: Bounds) -> None:
    """Wait until IPv6 has found no other holder of the addresses.

    Raises:
        PluginError: there is one.
    """
    until = time.monotonic() + min(_DUPLICATE_SECONDS, bounds.seconds_left())
    while True:
        with doing("the addresses of the container's interface"):
            present = addresses.list_addresses(inside, index=index)
        duplicate = next((one for one in present if one.is_duplicate), None)
        if duplicate is not None:
            message = f"somebody else has the address {duplicate.interface}"
            raise PluginError(Code.IO_FAILURE, message, reason="address-taken")
        if not any(one.is_tentative for one in present) or time.monotonic() > until:
            return
        bounds.check()
        time.sleep(_STEP_SECONDS)

"""``bridge`` behind another plugin: that one's interface on the host becomes a port of the bridge.

Rule 1: what an earlier plugin made is that one's. It is never removed here, its result is passed on
    with the bridge behind what is in it, and DEL gives the interface back.
Rule 2: addresses, routes and the container's side are the earlier plugin's: what would change them
    is refused.
Rule 3: where others made nothing on the host, as loopback, a pair of links is made as always; what
    they made is in the result behind it.
Rule 4: in a result the bridge stands before what this plugin made and behind the interface that it
    took: that is how DEL and CHECK know which it was.

(CONVENTIONS.md, "Chained Plugins"; rules P2, P12)
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import takewhile

from acni.netlink import links
from acni.netlink.errors import NetlinkError
from acni.netlink.links import Link, find_link
from acni.netlink.sockets import Netlink
from acni.plugins.attaching import owner_of
from acni.plugins.bridge_links import (
    ensure_bridge,
    ensure_gateways,
    port_message,
    set_vlans,
    told_mac,
)
from acni.plugins.bridge_refusals import bridge_full, port_of_another
from acni.plugins.bridge_settings import Settings
from acni.plugins.hardwareaddresses import mac_text, parse_hardware_address
from acni.plugins.hostlinks import enable_forwarding
from acni.plugins.layouts import layout_of_result
from acni.plugins.linksettings import unsupported
from acni.plugins.masquerading import masquerade
from acni.plugins.passing import with_interface
from acni.plugins.refusals import doing
from acni.plugins.senderchecks import check_sender
from acni.skel.call import Call
from acni.skel.reading import Fields
from acni.spec.result import Interface, Result


def interface_of_others(host: Netlink, previous: Result | None, bridge: str) -> Link | None:
    """Return the interface on the host that an earlier plugin made, as it is now; None where there
    is none, or where this plugin made the container's pair of links.
    """
    for name in named_before(previous, bridge):
        with doing(f"looking for {name}"):
            link = find_link(host, name)
        if link is not None and link.kind != "bridge":
            return link
    return None


def join_bridge(
    call: Call, host: Netlink, settings: Settings, link: Link, undo: ExitStack
) -> Result:
    """Make an earlier plugin's interface a port of the bridge.

    Args:
        call: An ADD with a previous result.
        host: The host's socket.
        settings: What is configured.
        link: The interface.
        undo: Undoes it where something behind it goes wrong.

    Raises:
        PluginError: it is another bridge's, the bridge is full, senders are to be checked and
            nobody says the container's hardware address, or the kernel refuses.
    """
    previous = call.previous
    if previous is None:
        raise AssertionError("only what is in a previous result is joined")
    _refuse_what_is_others(call.fields, settings)
    layout = layout_of_result(previous, is_gateway=settings.is_gateway)
    bridge = ensure_bridge(host, settings, has_ipv6=layout.has_ipv6)
    if link.master not in (None, bridge.index):
        raise port_of_another(link.name)
    if settings.checks_senders:
        check_sender(call, owner_of(call), link.name, mac_of_container(call, previous), undo)
    if link.master is None:
        undo.callback(_undo_joining, host, link, bridge.name)
    with doing(f"making {link.name} a port of {bridge.name}"):
        try:
            host.request(links.change(link.index, master=bridge.index, up=True))
        except NetlinkError as error:
            if error.errno == errno.EXFULL:
                raise bridge_full(bridge.name) from error
            raise
        host.request(port_message(settings, link.name))
    if settings.filters_vlans:
        set_vlans(host, settings, link.name)
    ensure_gateways(host, bridge, layout.gateways, is_forced=settings.forces_address)
    enable_forwarding(host, bridge.index, layout.gateways)
    if settings.masquerades:
        masquerade(call, owner_of(call), layout.addresses, undo)
    mac = mac_text(told_mac(host, bridge))
    return _with_bridge(previous, Interface(name=bridge.name, mac=mac, sandbox=None))


def leave_bridge(host: Netlink, link: Link, bridge: str) -> None:
    """Take an interface out of the bridge of a name, if it is in that one.

    Raises:
        PluginError: the kernel refuses.
    """
    with doing(f"taking {link.name} out of its bridge"):
        now = find_link(host, link.index)
        if now is not None and now.master is not None and now.master == _index(host, bridge):
            host.request(links.change(link.index, master=0))


def _index(host: Netlink, name: str) -> int | None:
    link = find_link(host, name)
    return None if link is None else link.index


def _undo_joining(host: Netlink, link: Link, bridge: str) -> None:
    """Take it out again; the first error is what is told."""
    with contextlib.suppress(Exception):
        leave_bridge(host, link, bridge)


def named_before(previous: Result | None, bridge: str) -> Iterator[str]:
    """Iterate over the interfaces on the host that stand before the bridge."""
    interfaces = () if previous is None else previous.interfaces
    before = takewhile(lambda interface: interface.name != bridge or interface.sandbox, interfaces)
    return (interface.name for interface in before if not interface.sandbox)


def _refuse_what_is_others(fields: Fields, settings: Settings) -> None:
    if settings.has_ipam:
        instead = "the addresses are the earlier plugin's: ipam belongs to that one"
        raise unsupported(fields, "ipam", instead)
    if settings.is_default_gateway:
        instead = "the routes are the earlier plugin's: isGateway, and its default route"
        raise unsupported(fields, "isDefaultGateway", instead)
    if not settings.sets_up:
        instead = "the container's interface is the earlier plugin's"
        raise unsupported(fields, "disableContainerInterface", instead)


def mac_of_container(call: Call, previous: Result) -> bytes:
    """Return the hardware address of the container's interface, as a result says it.

    Raises:
        PluginError: it says none.
    """
    told = (one.mac for one in previous.interfaces if one.sandbox and one.name == call.ifname)
    mac = next(told, None)
    try:
        return parse_hardware_address(mac or "")
    except ValueError:
        message = f"nobody says what hardware address {call.ifname} has"
        expected = "one in $.prevResult, of the earlier plugin"
        raise call.fields.error("macspoofchk", message, expected) from None


def _with_bridge(previous: Result, bridge: Interface) -> Result:
    if any(one.name == bridge.name for one in previous.interfaces):
        return previous
    return with_interface(previous, bridge)

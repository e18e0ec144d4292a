"""CHECK of ``bridge``: whether what ADD made is there.

What a container has is compared as for every plugin that makes links: see
:mod:`acni.plugins.linkchecks`.

(the reference's plugins/main/bridge, cmdCheck; specification, section 2, "CHECK"; rule P4)
"""

from __future__ import annotations

from acni.netlink.links import Link, find_link
from acni.netlink.sockets import Netlink, open_here
from acni.plugins.attaching import netns_of, owner_of
from acni.plugins.bridge_chain import interface_of_others, mac_of_container
from acni.plugins.bridge_settings import Settings, parse_settings
from acni.plugins.containerlinks import open_container
from acni.plugins.linkchecks import (
    missing,
    previous_of,
    require_addresses,
    require_interface,
    require_mac,
    require_routes,
    require_told_mac,
    require_up,
    told_interface,
)
from acni.plugins.masquerading import require_masqueraded
from acni.plugins.owners import BRIDGE_MARK
from acni.plugins.ownlinks import other_end
from acni.plugins.refusals import differs, doing
from acni.plugins.senderchecks import require_checked
from acni.skel.call import Call
from acni.spec.result import Result


def check(call: Call) -> None:
    """Raise where something is not as the ADD left it."""
    settings = parse_settings(call)
    previous = previous_of(call)
    if settings.has_ipam:
        call.ipam.check()
    with open_here() as host, doing("looking at the bridge and its port"):
        bridge = _check_bridge(host, settings, previous)
        joined = interface_of_others(host, previous, settings.bridge)
        if joined is not None:
            _require_port(joined, bridge)
            _require_checked(call, settings, previous, joined)
        else:
            _check_container(call, host, settings, previous, bridge)
    if settings.masquerades:
        require_masqueraded(call, owner_of(call))


def _check_bridge(host: Netlink, settings: Settings, previous: Result) -> Link:
    told = next(
        (one for one in previous.interfaces if one.name == settings.bridge and not one.sandbox),
        None,
    )
    if told is None:
        raise missing(f"the bridge {settings.bridge} is not in $.prevResult")
    bridge = find_link(host, settings.bridge)
    if bridge is None or bridge.kind != "bridge":
        raise missing(f"there is no bridge {settings.bridge}")
    if bridge.alias == BRIDGE_MARK:  # another one may change with its ports
        require_mac(bridge, told)
    require_up(bridge)
    if settings.promiscuous and not bridge.is_promiscuous:
        raise differs(f"the bridge {settings.bridge} is not promiscuous", "not-promiscuous")
    return bridge


def _check_container(
    call: Call, host: Netlink, settings: Settings, previous: Result, bridge: Link
) -> None:
    container = netns_of(call)
    place, told = told_interface(call, container, previous)
    with open_container(container) as inside:
        link = require_interface(inside, told, kind="veth", words="of a pair")
        if settings.sets_up:
            require_up(link)
        port = other_end(host, container.fd, link)
        if port is None:
            raise missing(f"the other end of {call.ifname} is not on this host")
        require_told_mac(port, previous.interfaces)
        _require_port(port, bridge)
        _require_checked(call, settings, previous, port)
        require_addresses(inside, link, place, previous)
        require_routes(inside, previous)


def _require_checked(call: Call, settings: Settings, previous: Result, port: Link) -> None:
    """Refuse a port that takes in others' frames, or is checked for another address than its own:
    somebody may have given either of them another name or address.
    """
    if settings.checks_senders:
        mac = mac_of_container(call, previous)
        require_checked(call, owner_of(call), port.name, mac)


def _require_port(port: Link, bridge: Link) -> None:
    if port.master != bridge.index:
        raise differs(f"{port.name} is no port of the bridge {bridge.name}", "no-port")
    require_up(port)

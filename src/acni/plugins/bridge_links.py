"""The bridge of the host, made once, and its ports.

Rule 1: whoever comes first makes the bridge, whoever comes at the same time finds it; it stays.
Rule 2: the bridge has a hardware address of its own. The kernel would give it the lowest of its
    ports', and another one when that port goes, and each container would have to ask for it anew.
Rule 3: for a container nothing here lists the links of the host, so that it costs as much beside a
    thousand others as alone; a gateway, which is given once, is compared with all of them.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Sequence
from typing import Final

from acni.netlink import addresses, bridges, links
from acni.netlink.errors import NetlinkError
from acni.netlink.families import Interface, is_v4
from acni.netlink.links import Link, Peer, find_link
from acni.netlink.lookup import index_of, ipv4_of
from acni.netlink.messages import Message
from acni.netlink.sockets import Netlink
from acni.plugins.bridge_gateways import gateways_to_give, overlapping
from acni.plugins.bridge_refusals import bridge_full, networks_overlap, not_a_bridge
from acni.plugins.bridge_settings import Settings
from acni.plugins.hardwareaddresses import link_local, random_mac
from acni.plugins.hostlinks import own_routes
from acni.plugins.owners import BRIDGE_MARK
from acni.plugins.refusals import doing, interface_exists, ipv6_disabled, kernel_lacks

# BR_MAX_PORTS, net/bridge/br_private.h, of which the first is nobody's.
MOST_PORTS: Final = 1023
_MANY_PORTS: Final = MOST_PORTS * 8 // 10

_DEFAULT_VLAN: Final = 1


def ensure_bridge(host: Netlink, settings: Settings, *, has_ipv6: bool) -> Link:
    """Return the bridge, made where there is none, and up.

    Args:
        host: The host's socket.
        settings: What it is to be.
        has_ipv6: Whether it will have an address of IPv6.

    Raises:
        PluginError: the kernel refuses, or another kind of link has its name.
    """
    name = settings.bridge
    with doing(f"making the bridge {name}"):
        bridge = find_link(host, name)
        if bridge is None:
            bridge = _make_bridge(host, settings)
        if bridge.kind != "bridge":
            raise not_a_bridge(name)
        if settings.filters_vlans and bridge.vlan_filtering is not True:
            raise kernel_lacks(f"VLANs on bridges, or {name} was made without")
        if not bridge.is_up:
            if has_ipv6:
                _give_link_local(host, bridge)
            host.request(links.change(bridge.index, up=True))
        if settings.promiscuous and not bridge.is_promiscuous:
            host.request(links.change(bridge.index, promiscuous=True))
        if settings.checks_senders:
            host.request(bridges.learn_from_what_is_forwarded(bridge.index))
    if bridge.alias != BRIDGE_MARK or not bridge.is_up:
        own_routes(name)
    return bridge


def make_port(
    host: Netlink, bridge: Link, settings: Settings, name: str, *, mac: bytes, peer: Peer
) -> None:
    """Make the container's pair of links, one end a port of the bridge.

    Args:
        host: The host's socket.
        bridge: The bridge.
        settings: What is configured.
        name: The name of the host's end.
        mac: Its hardware address.
        peer: The container's end.

    Raises:
        PluginError: there is an interface of the container's name already, the bridge is full, or
            the kernel refuses.
    """
    pair = links.new_veth(name, peer=peer, mac=mac, mtu=settings.mtu, master=bridge.index, up=True)
    with doing(f"making {peer.name}"):
        try:
            host.request(pair)
        except NetlinkError as error:
            if error.errno == errno.EEXIST:
                raise interface_exists(peer.name) from error
            if error.errno == errno.EXFULL:
                raise bridge_full(bridge.name) from error
            raise


def set_port(host: Netlink, settings: Settings, name: str, mark: str) -> None:
    """Mark a port, and say how the bridge treats it; before the container can send.

    Raises:
        PluginError: the kernel refuses.
    """
    with doing(f"setting the bridge's port {name}"):
        host.request(port_message(settings, name, mark=mark))
    if settings.filters_vlans:
        set_vlans(host, settings, name)


def port_message(settings: Settings, name: str, *, mark: str | None = None) -> Message:
    """Return what says how the bridge treats a port, and whose it is."""
    # Isolation is newer than bridges (Linux 4.18): not named where it is not wanted.
    isolated = settings.isolated or None
    return bridges.set_port(name, hairpin=settings.hairpin, isolated=isolated, alias=mark)


def set_vlans(host: Netlink, settings: Settings, name: str) -> None:
    """Put a port into its VLANs.

    Raises:
        PluginError: this kernel's bridges heed none, or it refuses.
    """
    with doing(f"the VLANs of {name}"):
        index = index_of(host, name)
        if not settings.keeps_default_vlan:
            with contextlib.suppress(NetlinkError):  # a bridge may have no default VLAN
                host.request(bridges.remove_vlan(index, _DEFAULT_VLAN))
        host.request(*vlan_messages(settings, index))


def vlan_messages(settings: Settings, index: int) -> list[Message]:
    """Return what puts a port into its VLANs, the native one last."""
    native = settings.vlan or _DEFAULT_VLAN
    tagged = [bridges.add_vlan(index, vlan) for vlan in settings.trunk if vlan != native]
    return [*tagged, bridges.add_vlan(index, native, pvid=True, untagged=True)]


def ensure_gateways(
    host: Netlink, bridge: Link, gateways: Sequence[Interface], *, is_forced: bool
) -> None:
    """Give the bridge the addresses that are the containers' gateways.

    Raises:
        PluginError: it has another one that does not give way, another link has a part of their
            networks, IPv6 is disabled, or the kernel refuses.
    """
    with doing(f"the addresses of the bridge {bridge.name}"):
        # One question without a message: what all but the first container find.
        if len(gateways) == 1 and ipv4_of(bridge.name) == gateways[0]:
            return
        listed = addresses.list_addresses(host, index=bridge.index)
        have = {(one.packed, one.prefix) for one in listed}
        if all((one.packed, one.network.prefixlen) in have for one in gateways):
            return
        decided = gateways_to_give([one.interface for one in listed], gateways, is_forced=is_forced)
        _require_apart(host, bridge, [gateway for gateway, _ in decided])
        for gateway, replaced in decided:
            for one in replaced:
                with contextlib.suppress(NetlinkError):  # a secondary one goes with its first
                    host.request(addresses.remove(one, index=bridge.index))
            _give_gateway(host, bridge, gateway)


def _require_apart(host: Netlink, bridge: Link, gateways: Sequence[Interface]) -> None:
    """Refuse networks that are another link's, too. Asked when a gateway is given, not for each
    container.
    """
    others = [one for one in addresses.list_addresses(host) if one.index != bridge.index]
    ours = {link.index for link in links.list_links(host) if link.alias == BRIDGE_MARK}
    found = overlapping(((one.interface, one.index in ours) for one in others), gateways)
    if found is not None:
        raise networks_overlap(*found)


def told_mac(host: Netlink, bridge: Link) -> bytes:
    """Return the hardware address of a bridge, now that it has the container's port.

    Raises:
        PluginError: the kernel does not say.
    """
    if bridge.alias == BRIDGE_MARK:
        return bridge.mac
    with doing(f"looking at the bridge {bridge.name}"):
        return links.get_link(host, bridge.index).mac


def fullness(bridge: str, port: Link) -> str | None:
    """Say that a bridge is nearly full, or nothing.

    A port gets the lowest number that is free, so all below it are taken: nobody has to count.
    """
    number = port.port_number
    if number is None or number <= _MANY_PORTS:
        return None
    return f"the bridge {bridge} has {number} ports or more; {MOST_PORTS} are the most it can have"


def _make_bridge(host: Netlink, settings: Settings) -> Link:
    try:
        host.request(bridges.new_bridge(settings.bridge, mac=random_mac()))
    except NetlinkError as error:
        if error.errno != errno.EEXIST:
            raise
        # Somebody else was as quick, and does what follows.
    else:
        host.request(links.change(settings.bridge, mtu=settings.mtu, alias=BRIDGE_MARK))
        if settings.filters_vlans:
            _filter_vlans(host, settings.bridge)
    return links.get_link(host, settings.bridge)


def _filter_vlans(host: Netlink, name: str) -> None:
    """Let a bridge that was just made heed VLANs, or unmake it."""
    index = index_of(host, name)
    try:
        host.request(bridges.filter_vlans(index))
    except NetlinkError:
        host.request(links.delete(index))
        raise


def _give_link_local(host: Netlink, bridge: Link) -> None:
    """Give a bridge that is still down the address that IPv6 would make, without looking for others
    first: for that second it would ask no neighbour for anybody.
    """
    with contextlib.suppress(NetlinkError):  # it is there, or IPv6 is disabled: seen later
        host.request(addresses.add(link_local(bridge.mac), index=bridge.index))


def _give_gateway(host: Netlink, bridge: Link, gateway: Interface) -> None:
    # With its own hardware address, which a bridge that was made without one does not keep.
    pinned = links.change(bridge.index, mac=bridge.mac)
    try:
        host.request(addresses.add(gateway, index=bridge.index), pinned)
    except NetlinkError as error:
        if error.errno == errno.EEXIST:
            return
        if not is_v4(gateway) and error.errno in (errno.EACCES, errno.EOPNOTSUPP):
            raise ipv6_disabled(f"the bridge's address {gateway}") from error
        raise

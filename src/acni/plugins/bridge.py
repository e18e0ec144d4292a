"""``bridge``: joins a container to a bridge of the host, by a pair of links.

    ADD  no link yet -> address -> bridge -> senders -> pair of links -> inside: address, up,
         routes -> gateway, forwarding -> masquerading
    DEL  link -> senders -> masquerading -> address: it is free again only when nothing knows it any
         more

Configuration, results and what is left in the kernel are the reference's. What it does otherwise,
each for a reason:

* The link on the host has a name that follows from the attachment, and a mark
  (:mod:`acni.plugins.owners`): so GC, which the reference has not, finds what nobody owns.
* DEL removes what ADD made and nothing else; the reference removes whatever has the interface's
  name in the namespace. With an empty CNI_NETNS it removes the link, too.
* Behind another plugin it takes that one's interface on the host into the bridge, if there is one,
  and passes its result on (P2, P12; CONVENTIONS.md, "Chained Plugins"); the reference makes another
  pair of links and drops the result.
* A failed ADD undoes what it made, but for the bridge, which others may use by then.
* A gateway whose network another link of the host has, or has a part of, is refused: the host would
  know only one way to it.
* Masquerading is an element in a table of ours, not a chain and two rules for each address
  (:mod:`acni.plugins.ruleset`); so is the check of senders, not two chains and four rules
  (:mod:`acni.plugins.framerules`), and it is there before the container can send. With it the
  bridge learns no sender from frames to itself, by which the reference's check is got round.

(the reference's plugins/main/bridge)
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final

from acni.host.visits import Stranded
from acni.netlink.links import Peer
from acni.netlink.sockets import Netlink
from acni.plugins.attaching import has_ipam, lease, netns_of, owner_of, remove, undo_with
from acni.plugins.bridge_chain import (
    interface_of_others,
    join_bridge,
    leave_bridge,
    named_before,
)
from acni.plugins.bridge_check import check
from acni.plugins.bridge_links import (
    ensure_bridge,
    ensure_gateways,
    fullness,
    make_port,
    set_port,
    told_mac,
)
from acni.plugins.bridge_ports import find_port
from acni.plugins.bridge_restoring import restore
from acni.plugins.bridge_settings import Settings, parse_bridge, parse_settings
from acni.plugins.bridge_upkeep import status
from acni.plugins.containerlinks import configure, open_container, set_up
from acni.plugins.hardwareaddresses import choose_mac, mac_text, random_mac
from acni.plugins.hostlinks import enable_forwarding, wait_for_port
from acni.plugins.hostsockets import netlink_of
from acni.plugins.layouts import Layout, lay_out
from acni.plugins.masquerading import masquerade, stop_masquerading
from acni.plugins.owners import Owner
from acni.plugins.ownlinks import find_own, require_new
from acni.plugins.pairs_upkeep import gc
from acni.plugins.passing import with_previous
from acni.plugins.senderchecks import check_sender, stop_checking
from acni.skel.call import Call, Verbs
from acni.skel.results import NO_DNS, make_result
from acni.spec.result import Dns, Interface, Result

# The bridge and the host's end come first in a result.
_CONTAINER_PLACE: Final = 2


def add(call: Call) -> Result:
    """Join a container to the bridge; when this raises, nothing of it is left but the bridge."""
    settings = parse_settings(call)
    with netlink_of(call) as host, ExitStack() as undo:
        try:
            others = interface_of_others(host, call.previous, settings.bridge)
            if others is not None:
                result = join_bridge(call, host, settings, others, undo)
            else:
                with open_container(netns_of(call)) as inside:
                    made = _add_pair(call, host, inside, settings, undo)
                result = with_previous(made, call.previous)
        except Stranded:  # in the container's namespace, where an index is another link's
            undo.pop_all()
            raise
        undo.pop_all()
    return result


def delete(call: Call) -> None:
    """Remove what ADD made, in any configuration and as far as it is there (P3)."""
    bridge = parse_bridge(call)
    with netlink_of(call) as host:
        others = interface_of_others(host, call.previous, bridge)
        if others is not None:
            leave_bridge(host, others, bridge)
        elif (port := find_port(host, call, owner_of(call), bridge)) is not None:
            remove(call, port)
    call.bounds.check()
    owner = owner_of(call)
    stop_checking(call, owner, (owner.link_name, *named_before(call.previous, bridge)))
    stop_masquerading(call, owner)
    if has_ipam(call):
        call.ipam.delete()


def _add_pair(
    call: Call, host: Netlink, inside: Netlink, settings: Settings, undo: ExitStack
) -> Result:
    container, owner = netns_of(call), owner_of(call)
    require_new(host, inside, call, owner)
    layout, dns = _lease(call, settings, undo)
    bridge = ensure_bridge(host, settings, has_ipv6=layout.has_ipv6)
    call.bounds.check()

    mac, host_mac = settings.mac or choose_mac(layout.addresses), random_mac()
    peer = Peer(name=call.ifname, netns_fd=container.fd, mac=mac, mtu=settings.mtu)
    if settings.checks_senders:
        check_sender(call, owner, owner.link_name, mac, undo)
    undo_with(undo, lambda: _remove_own(call, host, owner))
    make_port(host, bridge, settings, owner.link_name, mac=host_mac, peer=peer)
    set_port(host, settings, owner.link_name, owner.mark)
    call.bounds.check()

    _set_up(call, inside, settings, mac, layout)
    call.bounds.check()
    ensure_gateways(host, bridge, layout.gateways, is_forced=settings.forces_address)
    enable_forwarding(host, bridge.index, layout.gateways)
    if settings.masquerades:
        masquerade(call, owner, layout.addresses, undo)
    if settings.sets_up:
        port = wait_for_port(host, owner.link_name, call.bounds)
        if (warning := fullness(bridge.name, port)) is not None:
            call.warn(warning)
    return make_result(
        interfaces=(
            Interface(name=bridge.name, mac=mac_text(told_mac(host, bridge)), sandbox=None),
            Interface(name=owner.link_name, mac=mac_text(host_mac), sandbox=None),
            Interface(name=call.ifname, mac=mac_text(mac), sandbox=container.path),
        ),
        ips=layout.ips,
        routes=layout.routes,
        dns=dns,
        cni_version=call.cni_version,
    )


def _lease(call: Call, settings: Settings, undo: ExitStack) -> tuple[Layout, Dns]:
    """Let IPAM give addresses, and decide what becomes of them; without it there are none."""
    dns = settings.dns
    if not settings.has_ipam:
        return Layout(), dns or NO_DNS
    given = lease(call, undo)
    layout = lay_out(
        given.ips,
        given.routes,
        place=_CONTAINER_PLACE,
        is_gateway=settings.is_gateway,
        is_default_gateway=settings.is_default_gateway,
    )
    return layout, dns or given.dns


def _set_up(call: Call, inside: Netlink, settings: Settings, mac: bytes, layout: Layout) -> None:
    if layout.addresses:
        configure(
            netns_of(call),
            inside,
            call.ifname,
            mac,
            layout,
            detects_duplicates=settings.detects_duplicates,
            bounds=call.bounds,
        )
    elif settings.sets_up:
        set_up(inside, call.ifname)


def _remove_own(call: Call, host: Netlink, owner: Owner) -> None:
    if (port := find_own(host, owner)) is not None:
        remove(call, port)


VERBS: Final = Verbs(add=add, delete=delete, check=check, gc=gc, status=status, restore=restore)

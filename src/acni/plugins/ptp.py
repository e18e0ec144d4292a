"""``ptp``: a pair of links from a container to the host, which routes.

    ADD  no link yet -> address -> pair of links -> on the host: gateway's address, up, route ->
         inside: address, up, routes by way of the gateway -> forwarding -> masquerading
    DEL  link -> masquerading -> address: it is free again only when nothing knows it any more

Configuration, results and what is left in the kernel are the reference's. What it does otherwise,
each for a reason:

* The link on the host has a name that follows from the attachment, and a mark
  (:mod:`acni.plugins.owners`): so GC, which the reference has not, finds what nobody owns.
* DEL removes what ADD made and nothing else; the reference removes whatever has the interface's
  name in the namespace. With an empty CNI_NETNS it removes the link, too.
* Behind another plugin it puts what that one made behind what it makes itself (P2); the reference
  drops the result.
* A failed ADD undoes what it made.
* An address that somebody else has a route to is refused: the container would not be reached.
* Masquerading is an element in a table of ours, not a chain and two rules for each address
  (:mod:`acni.plugins.ruleset`).

(the reference's plugins/main/ptp)
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final

from acni.host.visits import Stranded
from acni.netlink.links import Peer
from acni.netlink.sockets import Netlink, open_here
from acni.plugins.attaching import has_ipam, lease, netns_of, owner_of, remove, undo_with
from acni.plugins.containerlinks import configure, open_container
from acni.plugins.elementkeeping import require_table
from acni.plugins.hardwareaddresses import mac_text, random_mac
from acni.plugins.hostlinks import enable_forwarding, wait_for_port
from acni.plugins.hostsockets import netlink_of
from acni.plugins.layouts import lay_out
from acni.plugins.linkkinds import require_pairs
from acni.plugins.losses import require_all_masqueraded
from acni.plugins.masquerading import (
    masquerade,
    parse_masquerade,
    restore_masquerading,
    stop_masquerading,
)
from acni.plugins.owners import Owner
from acni.plugins.ownlinks import find_own, require_new
from acni.plugins.pairs_upkeep import gc
from acni.plugins.passing import with_previous
from acni.plugins.ptp_check import check
from acni.plugins.ptp_ends import configure_end, find_end, make_pair
from acni.plugins.ptp_layout import CONTAINER_PLACE, ends_of
from acni.plugins.ptp_settings import Settings, parse_settings, require_room
from acni.skel.call import Call, Verbs
from acni.skel.results import make_result
from acni.spec.result import Interface, Result


def add(call: Call) -> Result:
    """Join a container to the host; when this raises, nothing of it is left."""
    settings = parse_settings(call)
    with netlink_of(call) as host, open_container(netns_of(call)) as inside, ExitStack() as undo:
        try:
            result = with_previous(_add(call, host, inside, settings, undo), call.previous)
        except Stranded:  # in the container's namespace, where an index is another link's
            undo.pop_all()
            raise
        undo.pop_all()
    return result


def delete(call: Call) -> None:
    """Remove what ADD made, in any configuration and as far as it is there (P3)."""
    with netlink_of(call) as host:
        if (end := find_end(host, call, owner_of(call))) is not None:
            remove(call, end)
    call.bounds.check()
    stop_masquerading(call, owner_of(call))
    if has_ipam(call):
        call.ipam.delete()


def status(call: Call) -> None:
    """Raise where an ADD could not succeed."""
    with open_here() as host:
        require_pairs(host)
    if parse_masquerade(call.fields):
        require_table(call)
    call.ipam.status()
    if parse_masquerade(call.fields):
        require_all_masqueraded(call)


def _add(call: Call, host: Netlink, inside: Netlink, settings: Settings, undo: ExitStack) -> Result:
    container, owner = netns_of(call), owner_of(call)
    require_new(host, inside, call, owner)
    given = lease(call, undo)
    layout = lay_out(given.ips, given.routes, place=CONTAINER_PLACE)
    ends = ends_of(given.ips)
    require_room(call, settings.mtu, ends)
    call.bounds.check()

    mac, host_mac = random_mac(), random_mac()
    peer = Peer(name=call.ifname, netns_fd=container.fd, mac=mac, mtu=settings.mtu)
    undo_with(undo, lambda: _remove_own(call, host, owner))
    index = make_pair(host, owner.link_name, mac=host_mac, mtu=settings.mtu, peer=peer)
    configure_end(host, index, owner, mac=host_mac, ends=ends)
    call.bounds.check()

    configure(
        container,
        inside,
        call.ifname,
        mac,
        layout,
        detects_duplicates=False,
        bounds=call.bounds,
        ends=ends,
    )
    call.bounds.check()
    enable_forwarding(host, index, [end.gateway_interface for end in ends])
    if settings.masquerades:
        masquerade(call, owner, layout.addresses, undo)
    wait_for_port(host, owner.link_name, call.bounds)
    return make_result(
        interfaces=(
            Interface(name=owner.link_name, mac=mac_text(host_mac), sandbox=None),
            Interface(name=call.ifname, mac=mac_text(mac), sandbox=container.path),
        ),
        ips=layout.ips,
        routes=layout.routes,
        dns=settings.dns or given.dns,
        cni_version=call.cni_version,
    )


def _remove_own(call: Call, host: Netlink, owner: Owner) -> None:
    if (end := find_own(host, owner)) is not None:
        remove(call, end)


VERBS: Final = Verbs(
    add=add, delete=delete, check=check, gc=gc, status=status, restore=restore_masquerading
)

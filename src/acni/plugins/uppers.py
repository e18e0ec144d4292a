"""What the plugins do whose link lies on another one: ``macvlan``, ``ipvlan``, ``vlan``.

    ADD  link below -> address -> link -> inside: name and mark, address, up, routes
    DEL  link -> address: it is free again only when no link knows it any more

Configuration, results and what is left in the kernel are the reference's. What they do otherwise,
each for a reason:

* The link carries a mark (:mod:`acni.plugins.owners`): DEL removes what ADD made and nothing else;
  the reference removes whatever has the interface's name.
* Behind another plugin they put what that one made behind what they make themselves (P2); the
  reference drops the result.
* What IPAM says of DNS is told where nothing is configured, as by ``bridge`` and ``ptp``.
* A failed ADD undoes what it made.

GC has nothing to look for on the host, and asks IPAM alone.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Final

from acni.host.visits import Stranded
from acni.netlink.links import Link
from acni.netlink.sockets import Netlink, open_here
from acni.netlink.stacked import MacvlanMode, probe
from acni.plugins.attaching import has_ipam, lease, netns_of, owner_of, remove, undo_with
from acni.plugins.containerlinks import configure, open_container, require_no_interface, set_up
from acni.plugins.hardwareaddresses import mac_text
from acni.plugins.layouts import Layout, lay_out
from acni.plugins.linkchecks import (
    previous_of,
    require_addresses,
    require_interface,
    require_routes,
    require_up,
    told_interface,
)
from acni.plugins.linkkinds import NO_NAME, require_kind
from acni.plugins.owners import Owner
from acni.plugins.passing import with_previous
from acni.plugins.refusals import differs, doing
from acni.plugins.upper_settings import Settings
from acni.plugins.upperlinks import (
    find_made,
    find_master,
    find_upper,
    lies_on,
    make_upper,
    name_upper,
)
from acni.skel.call import Call, Verbs
from acni.skel.errors import Code, PluginError
from acni.skel.results import NO_DNS, make_result
from acni.spec.result import Dns, Interface, Result

Parse = Callable[[Call], Settings]

# Nothing but the container's interface is in a result.
_PLACE: Final = 0


def add(call: Call, *, parse: Parse) -> Result:
    """Make the container's link; when this raises, nothing of it is left."""
    settings, container = parse(call), netns_of(call)
    with open_here() as host, open_container(container) as inside, ExitStack() as undo:
        try:
            result = _add(call, host, inside, settings, undo)
        except Stranded:  # in the container's namespace, where an index may be another link's
            undo.pop_all()
            raise
        undo.pop_all()
    return result


def delete(call: Call, *, kind: str) -> None:
    """Remove what ADD made, in any configuration and as far as it is there (P3)."""
    if call.netns is not None:
        with open_here() as host, open_container(call.netns) as inside:
            link = find_upper(host, inside, call, kind, owner_of(call))
        if link is not None:
            remove(call, link, container=call.netns)
    call.bounds.check()
    if has_ipam(call):
        call.ipam.delete()


def check(call: Call, *, parse: Parse) -> None:
    """Raise where something is not as the ADD left it."""
    settings, previous = parse(call), previous_of(call)
    if settings.has_ipam:
        call.ipam.check()
    container = netns_of(call)
    place, told = told_interface(call, container, previous)
    with open_here() as host, open_container(container) as inside, doing("looking at the link"):
        link = require_interface(inside, told, kind=settings.kind, words=f"({settings.kind})")
        _require_place(host, inside, settings, link)
        require_up(link)
        require_addresses(inside, link, place, previous)
        require_routes(inside, previous)


def gc(call: Call) -> None:
    """Let IPAM free what is not of a valid attachment."""
    if call.ipam.type is not None:
        call.ipam.gc()


def status(call: Call, *, parse: Parse) -> None:
    """Raise where an ADD could not succeed."""
    settings = parse(call)
    with open_here() as host:
        require_kind(host, settings.kind, probe(NO_NAME, settings.kind))
        if not settings.is_inside:
            try:
                find_master(host, settings)
            except PluginError as error:
                raise PluginError(Code.NOT_AVAILABLE, error.msg, reason=error.reason) from error
    if settings.has_ipam:
        call.ipam.status()


def _add(call: Call, host: Netlink, inside: Netlink, settings: Settings, undo: ExitStack) -> Result:
    container, owner = netns_of(call), owner_of(call)
    there = inside if settings.is_inside else host
    master = find_master(there, settings)
    require_no_interface(inside, call.ifname)
    layout, dns = _addresses(call, settings, undo)
    call.bounds.check()

    undo_with(undo, lambda: _remove_made(call, inside, owner, settings.kind))
    make_upper(there, container, settings, master, owner)
    link = name_upper(inside, owner)
    call.bounds.check()

    if layout.addresses:
        # Others are on the same wire, whom nobody here knows.
        configure(
            container,
            inside,
            call.ifname,
            link.mac,
            layout,
            detects_duplicates=True,
            bounds=call.bounds,
        )
    else:
        set_up(inside, call.ifname)
    mac = mac_text(link.mac)
    result = make_result(
        interfaces=(Interface(name=call.ifname, mac=mac, sandbox=container.path),),
        ips=layout.ips,
        routes=layout.routes,
        dns=dns,
        cni_version=call.cni_version,
    )
    return with_previous(result, None if settings.takes_addresses else call.previous)


def _addresses(call: Call, settings: Settings, undo: ExitStack) -> tuple[Layout, Dns]:
    given = lease(call, undo) if settings.has_ipam else call.previous
    if given is None or not (settings.has_ipam or settings.takes_addresses):
        return Layout(), settings.dns or NO_DNS
    layout = lay_out(given.ips, given.routes, place=_PLACE)
    return layout, settings.dns or given.dns


def _remove_made(call: Call, inside: Netlink, owner: Owner, kind: str) -> None:
    if (link := find_made(inside, owner, kind)) is not None:
        remove(call, link, container=netns_of(call))


def _require_place(host: Netlink, inside: Netlink, settings: Settings, link: Link) -> None:
    """Refuse a link of another mode, or on another one than is configured."""
    if settings.mode is not None and link.macvlan_mode != settings.mode:
        mode = MacvlanMode(settings.mode).name.lower()
        raise differs(f"{link.name} is not in the mode {mode}", "mode-differs")
    master = find_master(inside if settings.is_inside else host, settings)
    if not lies_on(inside, link, master, is_inside=settings.is_inside):
        raise differs(f"{link.name} does not lie on {master.name}", "master-differs")


def verbs_of(kind: str, parse: Parse) -> Verbs:
    """Make a plugin.

    Args:
        kind: The kind of its links.
        parse: Parses its configuration.
    """
    return Verbs(
        add=partial(add, parse=parse),
        delete=partial(delete, kind=kind),
        check=partial(check, parse=parse),
        gc=gc,
        status=partial(status, parse=parse),
    )

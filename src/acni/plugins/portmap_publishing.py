"""How ``portmap`` publishes ports of the host: named ones, and those that it picks.

Rule 1: who has a port already keeps it, a rule of somebody's about it is heeded, and of what is
    asked for all is published or nothing.
Rule 2: of what is published again something is missing until all is done that belongs to it: who is
    killed in between, or refused, is followed by somebody who sees that.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Final

from attrs import evolve

from acni.netlink.families import IpAddress, family_of, is_v4
from acni.netlink.netfilter import Netfilter
from acni.netlink.nftables import Element
from acni.netlink.sockets import Netlink
from acni.plugins.attaching import owner_of
from acni.plugins.connections import UDP, forget_connections
from acni.plugins.elementkeeping import (
    address_taken,
    put_again,
    undo_with,
)
from acni.plugins.elements import Taken, entries_of_owner, put, take_out
from acni.plugins.foreignrules import find_objection
from acni.plugins.freeports import read_port_settings
from acni.plugins.pickedports import led_by, pick, recognise
from acni.plugins.podelements import Port, is_mapping_of, leading, ports_of, published, way
from acni.plugins.portelements import is_published, is_taken, taken_beside
from acni.plugins.portmap_settings import (
    Settings,
    Wanted,
    describe,
)
from acni.plugins.portmap_ways import let_localhost_in, ways_to
from acni.plugins.refusals import doing
from acni.plugins.tables import Entry, comment_of
from acni.skel.bounds import Bounds
from acni.skel.call import Call
from acni.skel.errors import PluginError

PORT_TAKEN: Final = 110
NAT_RULE: Final = 111
_KINDS: Final = {int(socket.IPPROTO_TCP): socket.SOCK_STREAM, UDP: socket.SOCK_DGRAM}


class _Refused(PluginError):
    """Ports of the host are not to be had.

    Attributes:
        ports: Which.
    """

    def __init__(
        self, code: int, msg: str, *, ports: frozenset[int], reason: str, details: str = ""
    ) -> None:
        super().__init__(code, msg, details=details, reason=reason)
        self.ports = ports


def publish_picked(
    call: Call,
    netfilter: Netfilter,
    host: Netlink,
    settings: Settings,
    addresses: Sequence[IpAddress],
) -> Settings:
    """Publish ports of which some are to be picked; return which they are."""
    port_settings, named = read_port_settings(), {one.host_port for one in settings.wanted}
    owner = owner_of(call)
    with doing("looking for ports"):
        is_there = any(is_published(netfilter, owner, address) for address in addresses)
        had = published_before(netfilter, call) if is_there else tuple[Entry, ...]()
    picked, refused = recognise(settings, led_by(had)), set[int]()
    while True:  # each time another port is refused
        call.bounds.check()
        with doing("looking for free ports"):
            picked = pick(
                picked,
                port_settings,
                owner.mark,
                lambda one: _is_free(netfilter, one, addresses),
                refused=refused,
            )
        try:
            publish(call, netfilter, host, picked, addresses)
        except _Refused as refusal:
            if refusal.ports <= refused or refusal.ports & named:
                raise
            picked, refused = settings, refused | refusal.ports
            continue
        with doing("giving ports back"):
            take_out(netfilter, _beyond(had, picked), keeps_claims=True)
        return picked


def publish(
    call: Call,
    netfilter: Netfilter,
    host: Netlink,
    settings: Settings,
    addresses: Sequence[IpAddress],
    *,
    is_again: bool = False,
) -> None:
    """Publish ports, all or none.

    Args:
        call: What is called.
        netfilter: The host's socket.
        host: The same.
        settings: Which.
        addresses: To where.
        is_again: They are an ADD's of long ago: what somebody has by now stays that one's, and what
            still leads there is not taken back where the rest cannot be published.
    """
    entries = settings.entries(owner_of(call), addresses)
    _require_nobody_listens(settings, addresses)
    require_no_objection(netfilter, settings, bounds=call.bounds)
    ways = ways_to(host, entries)
    bridges = {link.index for link in ways.values() if link.kind == "bridge"}
    ways_back = [way(index) for index in bridges]
    with ExitStack() as undo:
        if not is_again:
            undo_with(undo, call, entries)
        _put(netfilter, entries, settings, addresses, ways_back, is_again=is_again)
        if settings.is_returning:
            let_localhost_in(host, ways)
        with doing("forgetting connections"):
            forget_flows(settings, netfilter, entries, is_answered=False)
        if is_again:
            with doing("publishing ports"):
                _, saying = _parted(entries)
                put_again(netfilter, saying)
        undo.pop_all()


def published_before(netfilter: Netfilter, call: Call) -> Sequence[Entry]:
    """Return what an ADD of the same attachment published before."""
    return entries_of_owner(netfilter, comment_of(owner_of(call)))


def _beyond(had: Sequence[Entry], settings: Settings) -> Iterator[Entry]:
    """Iterate over what was published and is not asked for any more."""
    for one in had:
        asked = [wanted.port_for(one.address) for wanted in settings.wanted]
        gone = [leading(port, one.address) for port in ports_of(one) if port not in asked]
        yield evolve(one, elements=tuple(gone))


def _is_free(netfilter: Netfilter, one: Wanted, addresses: Sequence[IpAddress]) -> bool:
    pairs = [(one.port_for(address), address) for address in addresses]
    return not any(
        is_taken(netfilter, port, address)
        or (port.protocol in _KINDS and _somebody_listens(port, address))
        for port, address in pairs
        if port is not None
    )


def _put(
    netfilter: Netfilter,
    entries: Sequence[Entry],
    settings: Settings,
    addresses: Sequence[IpAddress],
    ways_back: Sequence[Element],
    *,
    is_again: bool = False,
) -> None:
    found = ((one.port_for(address), address) for address in addresses for one in settings.wanted)
    ports = [(port, address) for port, address in found if port is not None]
    at_one = [pair for pair in ports if pair[0].host_address is not None]
    at_each = [pair for pair in ports if pair[0].host_address is None]
    with doing("publishing ports"):
        _require_free(netfilter, at_each)
        look = partial(_require_free, netfilter, at_one) if at_one else None
        first, saying = _parted(entries) if is_again else (entries, [])
        gone = [one for entry in saying for one in entry.elements]
        try:
            put(
                netfilter,
                first,
                shared=ways_back,
                gone=gone,
                look=look,
                takes_over=not is_again,
            )
        except Taken as taken:
            if taken.is_of_claim:
                raise address_taken(taken) from taken
            port = next(one for one, _ in ports if is_mapping_of(one, taken.element))
            raise _taken(port, taken.owner) from taken
        if netfilter.was_next:  # since the look at the rules of nat, before the first one here
            return
        try:
            _require_free(netfilter, at_each)
        except PluginError:
            if is_again:  # else all of the ADD is undone
                take_out(netfilter, entries, keeps_claims=True)
            raise


def _parted(entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """Part what ports lead by from what says that some do, which nothing is led by."""

    def part(entry: Entry, *, says: bool) -> Entry:
        word = published(entry.address).name
        chosen = (one for one in entry.elements if (one.name == word) is says)
        return evolve(entry, elements=tuple(chosen))

    return [part(one, says=False) for one in entries], [part(one, says=True) for one in entries]


def _require_free(netfilter: Netfilter, ports: Sequence[tuple[Port, IpAddress]]) -> None:
    """Refuse a port that another one has at one address of the host, or at each."""
    for port, address in ports:
        if other := taken_beside(netfilter, port, address):
            raise _taken(port, other.comment)


def require_no_objection(
    netfilter: Netfilter, settings: Settings, *, bounds: Bounds | None = None
) -> None:
    """Refuse ports of which somebody's rule of nat may want one left alone.

    Args:
        netfilter: The host's socket.
        settings: Which, and whether that matters.
        bounds: How long it may take.

    Raises:
        PluginError: there is such a rule, or the kernel does not say.
    """
    if settings.overrides or not settings.wanted:
        return
    with doing("looking at the rules of nat"):
        ports = (one.host_port for one in settings.wanted)
        found = find_objection(netfilter, ports, bounds=bounds)
    if found is not None:
        wanted = ", ".join(str(one.host_port) for one in settings.wanted)
        details = 'translate the port to itself instead, or say "overrideNatRules": true'
        message = f"{found} may want a port of these left alone: {wanted}"
        refused = found.ports or frozenset()
        raise _Refused(NAT_RULE, message, ports=refused, details=details, reason="nat-rule")


def _require_nobody_listens(settings: Settings, addresses: Sequence[IpAddress]) -> None:
    """Refuse a port of which a program of the host would get nothing any more."""
    for address in addresses:
        for one in settings.wanted:
            port = one.port_for(address)
            if port is not None and port.protocol in _KINDS and _somebody_listens(port, address):
                message = f"a program of the host listens on {describe(port)}"
                raise _Refused(
                    PORT_TAKEN, message, ports=frozenset({port.host_port}), reason="port-taken"
                )


def _somebody_listens(port: Port, address: IpAddress) -> bool:
    """Tell by trying to listen as well."""
    family = socket.AddressFamily(family_of(address))
    everywhere = "0.0.0.0" if is_v4(address) else "::"  # noqa: S104 (nothing is received)
    place = everywhere if port.host_address is None else str(port.host_address)
    with socket.socket(family, _KINDS[port.protocol]) as probe:
        if port.protocol != UDP:  # connections that are over hold a port for a minute
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if not is_v4(address):
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            probe.bind((place, port.host_port))
        except OSError as error:  # others: a low port, or an address that is not the host's yet
            return error.errno == errno.EADDRINUSE
    return False


def forget_flows(
    settings: Settings, netfilter: Netfilter, entries: Sequence[Entry], *, is_answered: bool
) -> None:
    """Forget connections of UDP by ports; where they were published, those of the container."""
    for entry in entries:
        address = entry.address
        asked = (one.port_for(address) for one in udp_of(settings) if one.host_port)
        found = {port for port in asked if port is not None}
        found.update(port for port in ports_of(entry) if port.protocol == UDP)
        for number in sorted({port.host_port for port in found}):
            forget_connections(netfilter, number, address, is_answered=is_answered)


def udp_of(settings: Settings) -> Iterator[Wanted]:
    """Iterate over the ports of UDP that are asked for."""
    return (one for one in settings.wanted if one.protocol == UDP)


def _taken(port: Port, owner: str | None) -> _Refused:
    whose = "another container" if owner is None else f"another container ({owner})"
    message = f"the port {describe(port)} of the host leads to {whose}"
    ports = frozenset({port.host_port})
    return _Refused(PORT_TAKEN, message, ports=ports, reason="port-taken")

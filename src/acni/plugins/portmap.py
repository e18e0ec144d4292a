"""``portmap``: ports of the host lead to a container (``portMappings``).

    ADD  somebody's rule, another container or a program has the port? -> elements in the table ->
         127.0.0.1 leads there, too -> connections of UDP to what was there before are forgotten
    DEL  elements -> connections of UDP to the container are forgotten

Configuration and meaning are the reference's; how it is done is not:

* A port is an element of a map, not a chain and rules (:mod:`acni.plugins.ruleset`). Both backends
  of the reference are served by that.
* A port that another container has is refused, and with it all that was asked for; so is one at
  which a program of the host listens. The reference lets the first one have it.
* The administrator is first: a port about which somebody's rule of nat says ``accept`` or
  ``return`` is refused (:mod:`acni.plugins.foreignrules`), unless ``overrideNatRules`` says to go
  on. (CVE-2019-9946)
* Where none is named, hostPort 0, one is picked, and the result says which
  (:mod:`acni.plugins.pickedports`).
* Conditions, which are arguments of iptables, are refused, and so are marks for others' chains.

``[::1]`` leads nowhere: IPv6 has no ``route_localnet``.

(the reference's plugins/meta/portmap; CONVENTIONS.md, "portMappings")
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Final

from attrs import evolve

from acni.netlink.errors import NetlinkError
from acni.netlink.families import IpAddress, family_of, is_v4
from acni.netlink.links import Link, find_link
from acni.netlink.netfilter import Netfilter
from acni.netlink.routes import link_to
from acni.netlink.settings import Ipv4Setting, ipv4_of, set_ipv4
from acni.netlink.sockets import Netlink, open_here
from acni.plugins.attaching import owner_of
from acni.plugins.bridge_refusals import differs, doing
from acni.plugins.connections import UDP, forget_connections
from acni.plugins.elementkeeping import (
    NO_NETFILTER,
    address_taken,
    collect,
    remove,
    require_rules,
    require_table,
    undo_with,
)
from acni.plugins.elements import (
    Taken,
    entries_of,
    is_published,
    is_taken,
    missing,
    netfilter_of,
    published_ports,
    put,
    take_out,
    taken_beside,
)
from acni.plugins.foreignrules import find_objection
from acni.plugins.freeports import read_port_settings
from acni.plugins.owners import network_mark
from acni.plugins.pickedports import led_by, pick, recognise, with_ports
from acni.plugins.portmap_settings import (
    Settings,
    Wanted,
    addresses_of,
    describe,
    parse_settings,
)
from acni.plugins.ruleset import (
    OF_PACKETS,
    TABLE,
    Entry,
    Port,
    comment_of,
    is_mapping_of,
    is_of_ports,
    leading,
    ports_of,
)
from acni.plugins.tablerules import flushed
from acni.skel.bounds import Bounds
from acni.skel.call import Call, PutBack, Verbs
from acni.skel.errors import Code, PluginError
from acni.spec.result import Result

PORT_TAKEN: Final = 110
NAT_RULE: Final = 111
PORT_UNKNOWN: Final = 116

_MOST_TOLD: Final = 16

_KINDS: Final = {int(socket.IPPROTO_TCP): socket.SOCK_STREAM, UDP: socket.SOCK_DGRAM}


def add(call: Call) -> Result:
    """Publish the ports that are asked for, all or none."""
    previous = _previous(call)
    settings = parse_settings(call)
    addresses = addresses_of(previous)
    _require_all(settings, addresses, call)
    settings = settings.leading_to(addresses)
    if not settings.wanted:
        return previous
    with netfilter_of(call) as netfilter, open_here() as host:
        if not settings.to_pick:
            _publish(call, netfilter, host, settings, addresses)
            return previous
        picked = _publish_picked(call, netfilter, host, settings, addresses)
    return with_ports(previous, picked)


def delete(call: Call) -> None:
    """Take back what ADD published, in any configuration and as far as it is there (P3)."""
    settings = _settings_or_none(call)
    addresses = [] if call.previous is None else addresses_of(call.previous)
    entries: Sequence[Entry] = []
    is_looked_for = False
    if settings is not None:
        # A port that nobody names is found by whose it is, and all ports with it. Where nobody
        # keeps what the ADD was asked for, these need not be its ports.
        is_looked_for = bool(settings.to_pick) or (call.is_alone and bool(settings.wanted))
        entries = [] if is_looked_for else settings.entries(owner_of(call), addresses)
    if not entries and addresses and not is_looked_for and not _has_some(call, addresses):
        return
    then = None
    if settings is not None and (is_looked_for or any(_udp_of(settings))):
        then = partial(_forget, settings, is_answered=True)
    remove(call, owner_of(call), entries, then=then, is_ours=is_of_ports)


def check(call: Call) -> None:
    """Raise where a port does not lead to the container any more, or should not."""
    addresses = addresses_of(_previous(call))
    settings = parse_settings(call).leading_to(addresses)
    if not settings.wanted:
        return
    with doing("looking at the ports"), netfilter_of(call) as netfilter:
        if settings.to_pick:
            settings = recognise(settings, led_by(_published(netfilter, call, addresses)))
        for one in settings.to_pick:
            raise differs(f"no port of the host leads to {one.pod_port}", "rule-missing")
        gone = missing(netfilter, settings.entries(owner_of(call), addresses))
        if gone is not None:
            message = f"{gone.name} of the table {TABLE} has not what an ADD put in"
            raise differs(message, "rule-missing")
        require_rules(netfilter)
        _require_no_objection(netfilter, settings, bounds=call.bounds)


def restore(call: Call) -> PutBack | None:
    """Look whether somebody took away what an ADD published; return what publishes it again."""
    addresses = addresses_of(_previous(call))
    settings = parse_settings(call).leading_to(addresses)
    if not settings.wanted:
        return None
    with doing("looking at the ports"), netfilter_of(call) as netfilter:
        if settings.to_pick:
            settings = recognise(settings, led_by(_published(netfilter, call, addresses)))
        if settings.to_pick:
            message = "nobody says which port of the host was picked"
            raise PluginError(PORT_UNKNOWN, message, reason="port-unknown")
        entries = settings.entries(owner_of(call), addresses)
        all_are = flushed(netfilter, OF_PACKETS) is not None
        lost = [one.address for one in entries if all_are or missing(netfilter, [one]) is not None]
    return partial(_publish_again, call, settings, lost) if lost else None


def _publish_again(call: Call, settings: Settings, addresses: Sequence[IpAddress]) -> None:
    with netfilter_of(call) as netfilter, open_here() as host:
        _publish(call, netfilter, host, settings, addresses, is_again=True)


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


def _publish_picked(
    call: Call,
    netfilter: Netfilter,
    host: Netlink,
    settings: Settings,
    addresses: Sequence[IpAddress],
) -> Settings:
    """Publish ports of which some are to be picked; return which they are."""
    port_settings, named = read_port_settings(), {one.host_port for one in settings.wanted}
    with doing("looking for ports"):
        had = _published(netfilter, call, addresses)
    picked, refused = recognise(settings, led_by(had)), set[int]()
    while True:  # each time another port is refused
        call.bounds.check()
        with doing("looking for free ports"):
            picked = pick(
                picked,
                port_settings,
                owner_of(call).mark,
                lambda one: _is_free(netfilter, one, addresses),
                refused=refused,
            )
        try:
            _publish(call, netfilter, host, picked, addresses)
        except _Refused as refusal:
            if refusal.ports <= refused or refusal.ports & named:
                raise
            picked, refused = settings, refused | refusal.ports
            continue
        with doing("giving ports back"):
            take_out(netfilter, _beyond(had, picked), keeps_claims=True)
        return picked


def _publish(
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
    _require_no_objection(netfilter, settings, bounds=call.bounds)
    ways = _ways_to(host, entries)
    bridge = next((link.index for link in ways.values() if link.kind == "bridge"), None)
    with ExitStack() as undo:
        if not is_again:
            undo_with(undo, call, entries)
        _put(netfilter, entries, settings, addresses, bridge, is_again=is_again)
        if settings.is_returning:
            _let_localhost_in(host, ways)
        with doing("forgetting connections"):
            _forget(settings, netfilter, entries, is_answered=False)
        undo.pop_all()


def _published(netfilter: Netfilter, call: Call, addresses: Sequence[IpAddress]) -> Sequence[Entry]:
    """Return what an ADD of the same attachment published before."""
    owner = owner_of(call)
    if not any(is_published(netfilter, owner, address) for address in addresses):
        return []
    theirs = comment_of(owner)
    return entries_of(netfilter, lambda comment: comment == theirs)


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
    link: int | None,
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
        try:
            put(netfilter, entries, link=link, look=look, takes_over=not is_again)
        except Taken as taken:
            if taken.is_of_claim:
                raise address_taken(taken) from taken
            port = next(one for one, _ in ports if is_mapping_of(one, taken.element))
            raise _taken(port, taken.owner) from taken
        try:
            _require_free(netfilter, at_each)
        except PluginError:
            if is_again:  # else all of the ADD is undone
                take_out(netfilter, entries, keeps_claims=True)
            raise


def _require_free(netfilter: Netfilter, ports: Sequence[tuple[Port, IpAddress]]) -> None:
    """Refuse a port that another one has at one address of the host, or at each."""
    for port, address in ports:
        if other := taken_beside(netfilter, port, address):
            raise _taken(port, other.comment)


def _require_all(settings: Settings, addresses: Sequence[IpAddress], call: Call) -> None:
    """Refuse a port at an address of a family that the container has not."""
    for place, one in enumerate(settings.wanted):
        at = one.host_address
        if at is None or at.is_unspecified:
            continue
        if all(one.port_for(address) is None for address in addresses):
            message = f"the container has no address of the family of {at}"
            where = f"$.runtimeConfig.portMappings[{place}].hostIP"
            raise PluginError(Code.INVALID_CONFIG, f"{message} at {where}")


def _require_no_objection(
    netfilter: Netfilter, settings: Settings, *, bounds: Bounds | None = None
) -> None:
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


def _ways_to(host: Netlink, entries: Sequence[Entry]) -> Mapping[IpAddress, Link]:
    """Map each address of the container that is reached to the link by which."""
    with doing("looking for the way to the container"):
        indexes = {entry.address: _link_to(host, entry.address) for entry in entries}
        links = {
            index: find_link(host, index) for index in set(indexes.values()) if index is not None
        }
    ways = {address: links.get(index) for address, index in indexes.items() if index is not None}
    return {address: link for address, link in ways.items() if link is not None}


def _link_to(host: Netlink, address: IpAddress) -> int | None:
    try:
        return link_to(host, address)
    except NetlinkError as error:
        if error.errno not in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES):
            raise
        return None


def _let_localhost_in(host: Netlink, ways: Mapping[IpAddress, Link]) -> None:
    """Let the host's 127.0.0.1 lead to the container; from a wire the table lets nobody use it.

    A bridge does so since its first container; to say it again would make all who ask about links
    wait.
    """
    with doing("letting 127.0.0.1 lead to the container"):
        for address, link in ways.items():
            if is_v4(address) and ipv4_of(link, Ipv4Setting.ROUTE_LOCALNET) != 1:
                host.request(set_ipv4(link.index, Ipv4Setting.ROUTE_LOCALNET, 1))


def _forget(
    settings: Settings, netfilter: Netfilter, entries: Sequence[Entry], *, is_answered: bool
) -> None:
    """Forget connections of UDP by ports; where they were published, those of the container."""
    for entry in entries:
        address = entry.address
        asked = (one.port_for(address) for one in _udp_of(settings) if one.host_port)
        found = {port for port in asked if port is not None}
        found.update(port for port in ports_of(entry) if port.protocol == UDP)
        for number in sorted({port.host_port for port in found}):
            forget_connections(netfilter, number, address, is_answered=is_answered)


def _udp_of(settings: Settings) -> Iterator[Wanted]:
    return (one for one in settings.wanted if one.protocol == UDP)


def _has_some(call: Call, addresses: Sequence[IpAddress]) -> bool:
    """Tell whether ports were published of which the configuration says nothing."""
    with doing("looking for ports"):
        try:
            with netfilter_of(call) as netfilter:
                return any(is_published(netfilter, owner_of(call), one) for one in addresses)
        except OSError as error:
            if error.errno not in NO_NETFILTER:
                raise
            return False


def _settings_or_none(call: Call) -> Settings | None:
    try:
        return parse_settings(call)
    except PluginError:
        return None


def _previous(call: Call) -> Result:
    if call.previous is None:
        message = "no prevResult at $.prevResult"
        details = "portmap stands behind a plugin that makes an interface"
        raise PluginError(Code.INVALID_CONFIG, message, details=details)
    return call.previous


def _taken(port: Port, owner: str | None) -> _Refused:
    whose = "another container" if owner is None else f"another container ({owner})"
    message = f"the port {describe(port)} of the host leads to {whose}"
    ports = frozenset({port.host_port})
    return _Refused(PORT_TAKEN, message, ports=ports, reason="port-taken")


def status(call: Call) -> None:
    """Raise where an ADD could not succeed, or one that did would be refused by now."""
    require_table(call)
    if not call.fields.flag("overrideNatRules"):
        _require_ports_unobjected(call)


def _require_ports_unobjected(call: Call) -> None:
    """Refuse a rule that was made after a port of this network was published."""
    mark = network_mark(call.network)
    with doing("looking at the rules of nat"), netfilter_of(call) as netfilter:
        ports = published_ports(netfilter, lambda comment: comment.startswith(mark))
        if not ports:
            return
        found = find_objection(netfilter, ports, bounds=call.bounds)
    if found is not None:
        about = sorted(ports if found.ports is None else ports & found.ports)
        told = ", ".join(map(str, about[:_MOST_TOLD])) + (", …" if about[_MOST_TOLD:] else "")
        details = "an ADD with such a port is refused; translate it to itself, or "
        details += 'say "overrideNatRules": true'
        message = f"{found} may want ports left alone that lead to containers: {told}"
        raise PluginError(Code.NOT_AVAILABLE, message, details=details, reason="nat-rule")


VERBS: Final = Verbs(
    add=add, delete=delete, check=check, gc=collect, status=status, restore=restore
)

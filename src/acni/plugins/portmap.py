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

from collections.abc import Sequence
from functools import partial
from typing import Final

from acni.netlink.families import IpAddress
from acni.plugins.attaching import owner_of
from acni.plugins.elementkeeping import (
    collect,
    if_there_is_netfilter,
    remove,
    require_awake,
    require_rules,
    require_table,
)
from acni.plugins.elements import missing, netfilter_of
from acni.plugins.foreignrules import find_objection
from acni.plugins.hostsockets import netlink_of
from acni.plugins.owners import network_mark
from acni.plugins.passing import require_previous
from acni.plugins.pickedports import led_by, recognise, with_ports
from acni.plugins.podelements import is_of_ports
from acni.plugins.portelements import is_published, published_ports
from acni.plugins.portmap_publishing import (
    forget_flows,
    publish,
    publish_picked,
    published_before,
    require_no_objection,
    udp_of,
)
from acni.plugins.portmap_settings import (
    Settings,
    addresses_of,
    parse_settings,
)
from acni.plugins.refusals import differs, doing
from acni.plugins.ruleset import OF_PACKETS
from acni.plugins.tablerules import IN_FORCE, state_of
from acni.plugins.tables import TABLE, Entry
from acni.skel.call import Call, PutBack, Verbs
from acni.skel.errors import Code, PluginError
from acni.spec.result import Result

PORT_UNKNOWN: Final = 116

_MOST_TOLD: Final = 16


def add(call: Call) -> Result:
    """Publish the ports that are asked for, all or none."""
    previous = require_previous(call)
    settings = parse_settings(call)
    addresses = addresses_of(previous)
    _require_all(settings, addresses, call)
    settings = settings.leading_to(addresses)
    if not settings.wanted:
        return previous
    with netfilter_of(call) as netfilter, netlink_of(call) as host:
        if not settings.to_pick:
            publish(call, netfilter, host, settings, addresses)
            return previous
        picked = publish_picked(call, netfilter, host, settings, addresses)
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
    if settings is not None and (is_looked_for or any(udp_of(settings))):
        then = partial(forget_flows, settings, is_answered=True)
    remove(call, owner_of(call), entries, then=then, is_ours=is_of_ports)


def check(call: Call) -> None:
    """Raise where a port does not lead to the container any more, or should not."""
    addresses = addresses_of(require_previous(call))
    settings = parse_settings(call).leading_to(addresses)
    if not settings.wanted:
        return
    with doing("looking at the ports"), netfilter_of(call) as netfilter:
        if settings.to_pick:
            settings = recognise(settings, led_by(published_before(netfilter, call)))
        for one in settings.to_pick:
            raise differs(f"no port of the host leads to {one.pod_port}", "rule-missing")
        gone = missing(netfilter, settings.entries(owner_of(call), addresses))
        if gone is not None:
            message = f"{gone.name} of the table {TABLE} has not what an ADD put in"
            raise differs(message, "rule-missing")
        require_rules(netfilter)
        require_no_objection(netfilter, settings, bounds=call.bounds)


def restore(call: Call) -> PutBack | None:
    """Look whether somebody took away what an ADD published; return what publishes it again."""
    addresses = addresses_of(require_previous(call))
    settings = parse_settings(call).leading_to(addresses)
    if not settings.wanted:
        return None
    with doing("looking at the ports"), netfilter_of(call) as netfilter:
        if settings.to_pick:
            settings = recognise(settings, led_by(published_before(netfilter, call)))
        if settings.to_pick:
            message = "nobody says which port of the host was picked"
            raise PluginError(PORT_UNKNOWN, message, reason="port-unknown")
        entries = settings.entries(owner_of(call), addresses)
        all_are = state_of(netfilter, OF_PACKETS) != IN_FORCE
        lost = [one.address for one in entries if all_are or missing(netfilter, [one]) is not None]
    return partial(_publish_again, call, settings, lost) if lost else None


def _publish_again(call: Call, settings: Settings, addresses: Sequence[IpAddress]) -> None:
    with netfilter_of(call) as netfilter, netlink_of(call) as host:
        with doing("looking at the table acni"):
            require_awake(netfilter)
        publish(call, netfilter, host, settings, addresses, is_again=True)


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


def _has_some(call: Call, addresses: Sequence[IpAddress]) -> bool:
    """Tell whether ports were published of which the configuration says nothing."""
    with doing("looking for ports"), if_there_is_netfilter(), netfilter_of(call) as netfilter:
        return any(is_published(netfilter, owner_of(call), one) for one in addresses)
    return False


def _settings_or_none(call: Call) -> Settings | None:
    try:
        return parse_settings(call)
    except PluginError:
        return None


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

"""``firewall``: which connections to a container are let through (``ingressPolicy``).

    ADD  somebody else drops what is forwarded? -> elements in the table -> the port of the
         bridge is isolated
    DEL  elements; of a link that is the container's own, what lets it through

Configuration and meaning are the reference's; how it is done is not:

* A policy is elements of sets, not chains and rules (:mod:`acni.plugins.ruleset`). Both backends of
  the reference are served by that; firewalld is not asked, and refused.
* A policy is the container's, not its bridge's: it is gone with it, and other containers of the
  bridge are not guarded by it.
* ``open`` opens nothing. The reference inserts rules that accept before those of the administrator,
  and so lets through what he drops. Where a chain drops all that it does not accept, an ADD is
  refused, unless ``openForwarding`` says what to do (:mod:`acni.plugins.firewall_forwarding`).
* ``isolated`` also holds for what a bridge passes on without asking the firewall.
* The administrator's chain is ``admin_forward`` of the table, not one of iptables.

(the reference's plugins/meta/firewall)
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Final

from acni.netlink.bridges import set_port
from acni.netlink.links import Link
from acni.netlink.netfilter import Netfilter
from acni.netlink.nfexpressions import IPV4, IPV6
from acni.netlink.nfrules import list_chains
from acni.netlink.sockets import Netlink, open_here
from acni.plugins import attaching
from acni.plugins.attaching import owner_of
from acni.plugins.elementkeeping import (
    collect,
    if_there_is_netfilter,
    put_back_all,
    remove,
    require_rules,
    require_table,
    restoring,
    undo_with,
)
from acni.plugins.elements import missing, netfilter_of, put
from acni.plugins.firewall_elements import collect_apart, is_guarded
from acni.plugins.firewall_forwarding import (
    close_own,
    collect_closed,
    is_blocked,
    is_shut,
    let_through,
    require_forwarding,
    require_let_through,
)
from acni.plugins.firewall_settings import (
    ADMIN_CHAIN,
    Policy,
    Settings,
    admin_chain_refused,
    parse_settings,
)
from acni.plugins.firewall_ways import Way, addresses_of, find_way, names_on_host
from acni.plugins.hostsockets import netlink_of
from acni.plugins.owners import Owner
from acni.plugins.passing import require_previous
from acni.plugins.podelements import apart, guarding
from acni.plugins.refusals import differs, doing
from acni.plugins.tables import TABLE, Entry
from acni.plugins.thorough import do_all
from acni.skel.call import Call, PutBack, Verbs
from acni.skel.errors import Code, PluginError
from acni.spec.result import Result

_NO_BRIDGE: Final = "no-bridge"


def add(call: Call) -> Result:
    """Keep from a container what its policy does not let through; or refuse it."""
    previous = require_previous(call)
    settings = parse_settings(call)
    with _firewall(call, settings) as netfilter:
        if netfilter is not None:
            _require_no_admin_chain(call, netfilter, settings)
            is_open = settings.policy is Policy.OPEN
            if not is_open or is_blocked(netfilter, settings, addresses_of(previous)):
                _keep(call, netfilter, settings, previous)
    return previous


def delete(call: Call) -> None:
    """Take back what ADD did, in any configuration and as far as it is there (P3)."""
    owner, previous = owner_of(call), call.previous
    names = [] if previous is None else names_on_host(previous)
    addresses = [] if previous is None else addresses_of(previous)
    entries = [guarding(owner, one, names, is_isolated=True) for one in addresses]
    if not entries or _has_some(call, entries):
        # Where the result does not say by which bridge, what is there is looked for.
        remove(call, owner, entries if names else ())
    if call.fields.get("openForwarding") is True:
        close_own(call, [*names, owner.link_name])


def check(call: Call) -> None:
    """Raise where the policy does not hold, or somebody else drops what is forwarded."""
    previous = require_previous(call)
    settings = parse_settings(call)
    with open_here() as host, _firewall(call, settings) as netfilter:
        way = _find_way(host, previous, settings, owner_of(call))
        if netfilter is not None:
            _require_guarded(netfilter, _entries(call, settings, way), way)
            require_let_through(netfilter, settings, way)
        for port in _to_isolate(settings, way):
            raise differs(f"{port.name} is not isolated", "port-not-isolated")


def restore(call: Call) -> PutBack | None:
    """Look whether somebody took away what an ADD put in; return what puts it back."""
    settings = parse_settings(call)
    if settings.policy is Policy.OPEN and not settings.opens:
        return None
    with open_here() as host:
        try:
            way = _find_way(host, require_previous(call), settings, owner_of(call))
        except PluginError as error:
            if error.reason != _NO_BRIDGE:
                raise
            return None  # its link is gone, and so is the container
    shared = [apart(link) for link in way.links]
    entries = _entries(call, settings, way)
    found = restoring(call, entries, shared=shared) if entries else None
    return put_back_all([found, _restore_openings(call, settings, way)])


def _restore_openings(call: Call, settings: Settings, way: Way) -> PutBack | None:
    if not settings.opens:
        return None

    def open_again() -> None:
        with netfilter_of(call) as netfilter:
            let_through(call, netfilter, settings, way, ExitStack())

    with netfilter_of(call) as netfilter, contextlib.suppress(PluginError):
        if not is_shut(netfilter, settings, way):
            return None
    return open_again  # which says what nothing can be done about


def gc(call: Call) -> None:
    """Take out what is of no valid attachment, and what was a bridge's: as much as possible."""
    if call.valid is None:
        return
    steps = (collect, collect_closed, _collect_apart)
    do_all((partial(step, call) for step in steps), bounds=call.bounds)


def status(call: Call) -> None:
    """Raise where an ADD could not succeed."""
    settings = parse_settings(call)
    if settings.policy is not Policy.OPEN:
        require_table(call)
    with _firewall(call, settings) as netfilter:
        if netfilter is not None:
            require_forwarding(netfilter, settings)


def _keep(call: Call, netfilter: Netfilter, settings: Settings, previous: Result) -> None:
    with netlink_of(call) as host, ExitStack() as undo:
        way = _find_way(host, previous, settings, owner_of(call))
        let_through(call, netfilter, settings, way, undo)
        _guard(call, netfilter, _entries(call, settings, way), way, undo)
        _isolate(host, settings, way, undo)
        undo.pop_all()


@contextmanager
def _firewall(call: Call, settings: Settings) -> Generator[Netfilter | None]:
    """Lend a netfilter socket; None where the kernel has no netfilter and nothing is to be kept
    from anybody: then nothing is dropped either.
    """
    is_needed = settings.policy is not Policy.OPEN
    with ExitStack() as lent:
        netfilter = None
        with nullcontext() if is_needed else if_there_is_netfilter():
            netfilter = lent.enter_context(netfilter_of(call))
        yield netfilter


def _find_way(host: Netlink, previous: Result, settings: Settings, owner: Owner) -> Way:
    with doing("looking for the way to the container"):
        way = find_way(host, previous, owner)
    lacks = ""
    if settings.policy is not Policy.OPEN and way.bridge is None:
        lacks = "bridge"
    elif settings.policy is Policy.ISOLATED and not way.ports:
        lacks = "port of the bridge"
    if lacks:
        message = f'no {lacks} for "{settings.policy}" at $.prevResult.interfaces'
        details = "firewall stands behind a plugin that connects the container with a bridge"
        raise PluginError(Code.INVALID_CONFIG, message, details=details, reason=_NO_BRIDGE)
    return way


def _entries(call: Call, settings: Settings, way: Way) -> list[Entry]:
    """Return what the table is to have."""
    if settings.policy is Policy.OPEN or way.bridge is None:
        return []
    is_isolated = settings.policy is Policy.ISOLATED
    names = [way.bridge.name]
    return [guarding(owner_of(call), one, names, is_isolated=is_isolated) for one in way.addresses]


def _guard(
    call: Call, netfilter: Netfilter, entries: list[Entry], way: Way, undo: ExitStack
) -> None:
    if entries:
        undo_with(undo, call, entries)
        with doing("keeping others from the container"):
            put(netfilter, entries, shared=[apart(link) for link in way.links])


def _require_guarded(netfilter: Netfilter, entries: list[Entry], way: Way) -> None:
    if not entries:
        return
    with doing("looking at what is kept from the container"):
        shared = (apart(link) for link in way.links)
        gone = missing(netfilter, entries) or next(
            (one for one in shared if netfilter.element(TABLE, one) is None), None
        )
        require_rules(netfilter)
    if gone is not None:
        message = f"{gone.name} of the table {TABLE} has not what an ADD put in"
        raise differs(message, "rule-missing")


def _isolate(host: Netlink, settings: Settings, way: Way, undo: ExitStack) -> None:
    """Cut the container from other isolated ones of its bridge, which no firewall may see."""
    for port in _to_isolate(settings, way):
        back = set_port(port.index, isolated=False)
        attaching.undo_with(undo, partial(host.request, back))
        with doing(f"isolating {port.name}"):
            host.request(set_port(port.index, isolated=True))


def _to_isolate(settings: Settings, way: Way) -> list[Link]:
    is_isolated = settings.policy is Policy.ISOLATED
    return [port for port in way.ports if is_isolated and not port.isolated]


def _require_no_admin_chain(call: Call, netfilter: Netfilter, settings: Settings) -> None:
    """Refuse the reference's chain of the administrator's where it is there: it is not asked."""
    if not settings.names_admin_chain:
        return
    with doing("looking for the administrator's chain"):
        chains = list_chains(netfilter)
    for chain in chains:
        if (chain.table, chain.name) == ("filter", ADMIN_CHAIN) and chain.family in (IPV4, IPV6):
            raise admin_chain_refused(call.fields)


def _has_some(call: Call, entries: list[Entry]) -> bool:
    """Tell whether something is kept from the container."""
    what = "looking at what is kept from the container"
    with doing(what), if_there_is_netfilter(), netfilter_of(call) as netfilter:
        return any(is_guarded(netfilter, entry) for entry in entries)
    return False


def _collect_apart(call: Call) -> None:
    what = "collecting bridges at which nobody is guarded"
    with doing(what), if_there_is_netfilter(), netfilter_of(call) as netfilter:
        collect_apart(netfilter)


VERBS: Final = Verbs(add=add, delete=delete, check=check, gc=gc, status=status, restore=restore)

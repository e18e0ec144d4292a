"""What plugins do: they take, let go, fail, and live on as orphans and daemons."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.store.model.procedures import Protocol
from tests.store.model.records import record_of
from tests.store.model.steps import went_on
from tests.store.model.world import (
    DEBT,
    BrokenPromiseError,
    Case,
    Plugin,
    State,
    is_here,
    owners,
    put,
    saying,
    spent,
)

End = tuple[str, State, tuple[bool, int | None]]
"""A remark for the trace, the state afterwards, and whether it succeeded, with which address."""


def plugin_steps(protocol: Protocol, s: State) -> Iterator[tuple[str, State]]:
    """Iterate over the ends of every process that runs: its remark, and the state afterwards."""
    for number, plugin in enumerate(s.plugins):
        if plugin.verb == "daemon":
            continue
        whose = "orphan " if plugin.parent is None else ""
        what = "" if plugin.verb == "gc" else f" of op{plugin.operation}"
        who = f"{whose}plugin {plugin.place}, {plugin.verb}{what}"
        with saying(who):
            for remark, done, answer in outcomes(protocol.case, s, plugin):
                protocol.say("ended", plugin, answer)
                rest = done.plugins[:number] + done.plugins[number + 1 :]
                ended = _heard(protocol, done._replace(plugins=rest), plugin, answer)
                yield f"{who}: {remark}", ended


def _heard(protocol: Protocol, s: State, plugin: Plugin, answer: Any) -> State:
    """Let a plugin's runtime hear of its end."""
    if plugin.parent is None:
        return s
    if not protocol.case.has("guard_closed_not_unlocked"):
        # The runtime unlocks the guard by name: a daemon keeps none.
        left = (it for it in s.plugins if (it.verb, it.operation) != ("daemon", plugin.operation))
        s = s._replace(plugins=tuple(left))
    runtime = s.runtimes[plugin.parent]
    if runtime is None or runtime.procedure is None:
        raise AssertionError("a plugin's runtime waits for it")
    return went_on(protocol, s, plugin.parent, runtime.procedure, *runtime.heard, answer)


def outcomes(case: Case, s: State, plugin: Plugin) -> list[End]:
    """Return all the ways in which a plugin may do its work."""
    if plugin.verb == "gc":
        return [("done", _collected(s, plugin), (True, None))]
    address = plugin.address if plugin.verb == "add" else None
    if plugin.verb == "del":
        half = full = taken_away(case, s, plugin)
    elif plugin.place:
        rule = plugin.place, _some(address), plugin.operation
        half = full = s._replace(rules=s.rules | {rule})
    else:
        free = next((it for it, owner in enumerate(s.leases) if owner is None), None)
        if free is None or _is_refused(case, s, plugin):
            return [("refuses", s, (False, None))]
        address = free
        place = case.scenario.namespaces[s.operations[plugin.operation].attachment]
        half = s._replace(leases=put(s.leases, free, plugin.operation))
        full = half._replace(interfaces=put(s.interfaces, place, plugin.operation))
    found: list[End] = [
        ("ok" if address is None else f"ok, address {address}", full, (True, address))
    ]
    if s.left.fails:
        found.append(("fails", spent(s, "fails"), (False, None)))
        found.append(("does it and fails", spent(half, "fails"), (False, None)))
    if s.left.daemons and (plugin.verb, plugin.place) == ("add", 0):
        daemon = Plugin(None, "daemon", plugin.operation)
        left = spent(full._replace(plugins=(*full.plugins, daemon)), "daemons")
        found.append(("ok, leaves a daemon", left, (True, address)))
    return found


def _some(address: int | None) -> int:
    if address is None:
        raise AssertionError("a later plugin gets the address of the first")
    return address


def _is_refused(case: Case, s: State, plugin: Plugin) -> bool:
    """Tell whether plugin 0 refuses an ADD: it, or somebody in its place, is there already."""
    attachment = s.operations[plugin.operation].attachment
    has_lease = any(
        owner is not None and s.operations[owner].attachment == attachment for owner in s.leases
    )
    return has_lease or s.interfaces[case.scenario.namespaces[attachment]] is not None


def taken_away(case: Case, s: State, plugin: Plugin) -> State:
    """Let a DEL remove what it finds.

    Raises:
        BrokenPromiseError: it was another's.
    """
    lost: list[tuple[str, int]] = []
    attachment = s.operations[plugin.operation].attachment
    if plugin.place == 0:
        mine = {owner for owner in s.leases if owner is not None and _frees(case, s, plugin, owner)}
        lost += [("address", owner) for owner in mine]
        leases = tuple(None if owner in mine else owner for owner in s.leases)
        s = s._replace(leases=leases)
        place = case.scenario.namespaces[attachment]
        there = s.interfaces[place]
        if plugin.has_netns and there is not None:
            lost.append(("interface", there))
            s = s._replace(interfaces=put(s.interfaces, place, None))
    elif plugin.address is not None:
        found = {rule for rule in s.rules if rule[:2] == (plugin.place, plugin.address)}
        lost += [("rules", owner) for _, _, owner in found]
        s = s._replace(rules=s.rules - found)
    containers = case.scenario.containers
    for what, owner in lost:
        is_strange = containers[s.operations[owner].attachment] != containers[attachment]
        if owner != plugin.operation and (is_strange or is_alive(s, owner)):
            raise BrokenPromiseError(
                f"I4: a DEL of op{plugin.operation} removes the {what} of op{owner}"
            )
    return s


def _frees(case: Case, s: State, plugin: Plugin, owner: int) -> bool:
    if owner == plugin.operation:
        return True
    ours, theirs = s.operations[plugin.operation].attachment, s.operations[owner].attachment
    return case.scenario.releases == "container" and ours == theirs


def is_alive(s: State, operation: int) -> bool:
    """Tell whether an operation is attached for its caller, or on its way in a living runtime."""
    record = record_of(s, s.operations[operation].attachment)
    if operation in s.told:
        return True
    if record is not None and record.state != DEBT and record.operation == operation:
        return is_here(s, operation)
    return any(
        runtime is not None
        and runtime.procedure is not None
        and (runtime.procedure[0], runtime.procedure[2:3]) == ("chain", (operation,))
        for runtime in s.runtimes
    )


def _collected(s: State, plugin: Plugin) -> State:
    freed = {owner for owner in owners(s) if s.operations[owner].attachment not in plugin.valid}
    if any(is_alive(s, owner) for owner in freed):
        raise BrokenPromiseError("I4: a GC plugin with an old valid set frees what is attached")
    return s._replace(leases=tuple(None if owner in freed else owner for owner in s.leases))

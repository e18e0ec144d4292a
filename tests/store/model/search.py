"""The search: every state that can be reached, breadth first, so that what breaks a promise is
found by a shortest trace.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from attrs import frozen

from tests.store.model.events import NAMES, endings, events, started
from tests.store.model.journal import Entry, appended, synced
from tests.store.model.plugins import plugin_steps
from tests.store.model.procedures import Protocol
from tests.store.model.promises import require_promises
from tests.store.model.records import filed
from tests.store.model.steps import perform, went_on
from tests.store.model.world import (
    ATTACHED,
    BrokenPromiseError,
    Case,
    Operation,
    Place,
    Record,
    Scenario,
    Slot,
    State,
    put,
    saying,
)

Successor = tuple[str, State, bool]
"""A remark for the trace, the state, and whether it brings an operation on."""


@frozen
class Found:
    """What a search came to.

    Attributes:
        states: How many states were seen.
        trace: The steps to a broken promise, and which it is; None where none is broken.
    """

    states: int
    trace: tuple[str, ...] | None

    def __str__(self) -> str:
        return "\n".join([f"{self.states} states", *(self.trace or ())])


def explore(scenario: Scenario, *flaws: str) -> Found:
    """Search a scenario, with something of the protocol broken."""
    protocol = Protocol(Case(scenario, frozenset(flaws)))
    first = _first(protocol.case)
    came_from: dict[State, tuple[State, str] | None] = {first: None}
    queue = deque([first])
    while queue:
        s = queue.popleft()
        try:
            is_stuck = _is_under_way(s)
            for remark, after, is_progress in _successors(protocol, s):
                is_stuck = is_stuck and not is_progress
                if after not in came_from:
                    came_from[after] = s, remark
                    queue.append(after)
                    with saying(remark):
                        require_promises(protocol.case, after)
            if is_stuck:
                return Found(len(came_from), (*_trace(came_from, s), _who_waits(protocol, s)))
        except BrokenPromiseError as broken:
            return Found(len(came_from), (*_trace(came_from, s), *str(broken).splitlines()))
    return Found(len(came_from), None)


def _is_under_way(s: State) -> bool:
    return any(runtime is not None and runtime.procedure for runtime in s.runtimes)


def _who_waits(protocol: Protocol, s: State) -> str:
    waiting = [
        f"{NAMES[number]} for {protocol.ask(runtime.procedure, runtime.heard)}"
        for number, runtime in enumerate(s.runtimes)
        if runtime is not None and runtime.procedure is not None
    ]
    return f"=> I7: for ever waits {', '.join(waiting)}"


def _trace(came_from: dict[State, tuple[State, str] | None], s: State) -> tuple[str, ...]:
    steps: list[str] = []
    while (step := came_from[s]) is not None:
        s, remark = step
        steps.append(remark)
    return tuple(reversed(steps))


def _first(case: Case) -> State:
    """Return the state that a search begins with."""
    scenario = case.scenario
    after_cut: frozenset[Record | None] = frozenset({None} if scenario.left.cuts else ())
    s = State(
        boot=1 if scenario.seed else 0,
        slots=(),
        places=(Place(None, after_cut),) * len(scenario.containers),
        leases=(None,) * scenario.addresses,
        interfaces=(None,) * (max(scenario.namespaces) + 1),
        rules=frozenset(),
        locks=frozenset(),
        plugins=(),
        runtimes=(None,) * scenario.runtimes,
        told=frozenset(),
        operations=(),
        left=scenario.left,
    )
    for number, attachment in enumerate(scenario.seed):  # attached in the boot before this one
        leases = s.leases if scenario.loses_leases else put(s.leases, number, number)
        s = s._replace(operations=(*s.operations, Operation(attachment, 0)), leases=leases)
        s = filed(s, attachment, Record(ATTACHED, number, number), durably=True)
    if scenario.left_open:
        s = _with_left_open(case, s)
    for runtime in range(scenario.runtimes):
        s = started(case, s, runtime)
    return s


def _with_left_open(case: Case, s: State) -> State:
    """Let a runtime have begun some ADDs, of which plugin 0 made the address and the interface, or
    some deletes, of which nothing is done.
    """
    verb, last = case.scenario.left_verb, case.scenario.chain - 1
    s = s._replace(slots=(Slot(None, (), ()),))
    for address, attachment in enumerate(case.scenario.left_open):
        number, namespace = len(s.operations), case.scenario.namespaces[attachment]
        s = s._replace(
            operations=(*s.operations, Operation(attachment, s.boot)),
            leases=put(s.leases, address, number),
            interfaces=put(s.interfaces, namespace, number),
        )
        if verb == "del":
            rules = {(index, address, number) for index in range(1, last + 1)}
            s = filed(
                s._replace(rules=s.rules | rules), attachment, Record(ATTACHED, number, address)
            )
        s = appended(case, s, 0, Entry(verb, last, address).repeated(number))
    return synced(s, 0) if s.left.cuts else s


def _successors(protocol: Protocol, s: State) -> Iterator[Successor]:
    for number, runtime in enumerate(s.runtimes):
        if runtime is None or runtime.procedure is None:
            continue
        if any(plugin.parent == number for plugin in s.plugins):
            continue
        request = protocol.ask(runtime.procedure, runtime.heard)
        what = f"{NAMES[number]}: {' '.join(map(str, request))}"
        with saying(what):
            for remark, done, answer in perform(protocol.case, s, number, request):
                after = (
                    done
                    if request[0] == "run"
                    else went_on(protocol, done, number, runtime.procedure, *runtime.heard, answer)
                )
                yield f"{what} {remark}".rstrip(), after, True
    for remark, after in plugin_steps(protocol, s):
        yield remark, after, True
    for remark, after in endings(s):
        yield remark, after, True
    for remark, after in events(protocol, s):
        yield remark, after, False

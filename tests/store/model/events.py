"""What happens to runtimes: they start, are asked, are killed, lose power, meet another writer."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Final

from tests.store.model import journal, records
from tests.store.model.journal import TORN, appended, is_open, notes, opened
from tests.store.model.plugins import outcomes, taken_away
from tests.store.model.procedures import Protocol
from tests.store.model.records import filed
from tests.store.model.recovery import look
from tests.store.model.steps import went_on
from tests.store.model.world import (
    BAD,
    DEBT,
    FOREIGN,
    Case,
    Operation,
    Place,
    Plugin,
    Record,
    Runtime,
    Slot,
    State,
    is_dying,
    is_here,
    put,
    saying,
    siblings,
    spent,
)

NAMES: Final = "ABC"

Event = tuple[str, State]
"""A remark for the trace, and the state afterwards."""


def events(protocol: Protocol, s: State) -> Iterator[Event]:
    """Iterate over everything that may happen now."""
    case = protocol.case
    for number, runtime in enumerate(s.runtimes):
        if runtime is None:
            yield f"{NAMES[number]} starts", started(case, s, number)
            continue
        if s.left.kills:
            yield from _killed(protocol, spent(s, "kills"), number, runtime)
        yield from _segments(case, s, number, runtime)
        if runtime.procedure is None:
            yield from _asked(protocol, s, number)
    if s.left.cuts:
        yield from _power_cut(case, spent(s, "cuts"))
    if s.left.foreign:
        yield from _libcni(case, spent(s, "foreign"))


def started(case: Case, s: State, runtime: int) -> State:
    """Let a runtime open the state directory."""
    s, slot = journal.taken(case, s, runtime)
    return s._replace(runtimes=put(s.runtimes, runtime, Runtime(slot)))


def _asked(protocol: Protocol, s: State, runtime: int) -> Iterator[Event]:
    """Ask an idle runtime for something."""
    who = NAMES[runtime]
    for attachment in protocol.case.scenario.attachments:
        for verb, what in (("add", "adds"), ("delete", "dels")):
            if getattr(s.left, what):
                procedure = "operation", attachment, verb
                yield (
                    f"{who}: {verb} {attachment}",
                    went_on(protocol, spent(s, what), runtime, procedure),
                )
    if s.left.gcs:
        yield f"{who}: gc", went_on(protocol, spent(s, "gcs"), runtime, ("gc", 0))
    if is_something_left(protocol.case, s, runtime):
        yield f"{who}: recover", went_on(protocol, s, runtime, ("recover", 0))


def is_something_left(case: Case, s: State, runtime: int) -> bool:
    """Tell whether a runtime's recovery has something to do."""
    jobs = (look(case, s, runtime, attachment) for attachment in case.scenario.attachments)
    return any(job is not None and job.how != "wait" for job in jobs)


def _killed(protocol: Protocol, s: State, number: int, runtime: Runtime) -> Iterator[Event]:
    """Kill a runtime; its plugins live on."""
    case, who = protocol.case, f"kill -9 {NAMES[number]}"
    orphans = (
        plugin._replace(parent=None) if plugin.parent == number else plugin for plugin in s.plugins
    )
    dead = _dead(case, s._replace(plugins=tuple(orphans)), number, runtime.slot)
    yield who, dead
    if runtime.procedure is not None:
        request = protocol.ask(runtime.procedure, runtime.heard)
        if request[0] in {"append", "begin"}:
            slot = request[2] if request[0] == "append" and len(request) > 2 else runtime.slot
            yield f"{who} in the middle of an append", appended(case, dead, slot, TORN)
    if s.left.segments and opened(s, s.slots[runtime.slot].frames):
        begun = spent(dead, "segments")
        for half in journal.half_begun_segments(case, begun, runtime.slot):
            yield f"{who} as it begins a segment", half


def _dead(case: Case, s: State, number: int, slot: int) -> State:
    """Let a runtime run no code any more; its locks and its slot go at once, or one by one."""
    frames = s.slots[slot].frames
    is_slow = case.scenario.dies_slowly and bool(opened(s, frames))
    owner = -1 - slot if is_slow else None
    locks = s.locks
    if is_slow:
        locks = frozenset((lock, -1 - slot if who == number else who) for lock, who in locks)
    return s._replace(
        runtimes=put(s.runtimes, number, None),
        slots=put(s.slots, slot, Slot(owner, journal.slimmed(s, frames), s.slots[slot].durable)),
        locks=frozenset(held for held in locks if held[1] != number),
    )


def endings(s: State) -> Iterator[Event]:
    """Iterate over what the kernel may take from dying runtimes next."""
    for held in s.locks:
        if held[1] < 0:
            remark = f"the dying one of slot {-1 - held[1]} lets go of {held[0]}"
            yield remark, s._replace(locks=s.locks - {held})
    for number, slot in enumerate(s.slots):
        if is_dying(slot.owner):
            gone = put(s.slots, number, slot._replace(owner=None))
            yield f"the dying one of slot {number} lets go of it", s._replace(slots=gone)


def _segments(case: Case, s: State, number: int, runtime: Runtime) -> Iterator[Event]:
    """Begin a segment, or make the old one void once what it says is on disk elsewhere."""
    if journal.has_two_segments(s, runtime.slot):
        safe = s if case.has("segment_before_records_synced") else records.synced(s)
        yield (
            f"{NAMES[number]} makes the old segment void",
            journal.with_old_void(case, safe, runtime.slot),
        )
    elif s.left.segments and s.slots[runtime.slot].frames:
        begun = journal.with_segment(case, spent(s, "segments"), runtime.slot)
        yield f"{NAMES[number]} begins a segment", begun


def _power_cut(case: Case, s: State) -> Iterator[Event]:
    """Cut the power: of each file something between what was synced and what was written is left,
    and what the kernel held is gone.
    """
    slots = [sorted(journal.after_cut(case, slot), key=str) for slot in s.slots]
    places = [sorted(place.after_cut, key=str) for place in s.places]
    loses = case.scenario.loses_leases
    leases = [[it, None] if loses and it is not None else [it] for it in s.leases]
    dark = s._replace(
        boot=s.boot + 1,
        interfaces=(None,) * len(s.interfaces),
        rules=frozenset(),
        locks=frozenset(),
        plugins=(),
        runtimes=(None,) * len(s.runtimes),
        told=frozenset(),
    )
    for frames, found, kept in product(product(*slots), product(*places), product(*leases)):
        left = tuple(journal.slimmed(dark, said) for said in frames)
        yield (
            "power cut",
            records.synced(
                dark._replace(
                    leases=kept,
                    places=tuple(Place(record, frozenset()) for record in found),
                    slots=tuple(Slot(None, said, said if s.left.cuts else ()) for said in left),
                )
            ),
        )


def _libcni(case: Case, s: State) -> Iterator[Event]:
    """Let another writer of records work between our operations: DEL by the record from the chain's
    end, ADD where there is no record.
    """
    for attachment in case.scenario.attachments:
        record = s.places[attachment].now
        if record == BAD or _is_busy(case, s, attachment):
            continue
        if record is None:
            yield from _added_by_libcni(case, s, attachment)
        elif record.state == FOREIGN or is_here(s, record.operation):
            with saying(f"libcni: DEL {attachment}"):
                deleted = _deleted_by_libcni(case, s, attachment, record)
            yield f"libcni: DEL {attachment}", deleted


def _is_busy(case: Case, s: State, attachment: int) -> bool:
    """Tell whether libcni would work beside one of ours, or over a DEL that we did not finish:
    nothing is promised of that.
    """
    ours = {("container", case.scenario.containers[attachment]), "GATE"}
    return (
        any(lock in ours for lock, _ in s.locks)
        or any(plugin.verb == "gc" for plugin in s.plugins)
        or bool(siblings(case, s, attachment))
        or any(
            s.operations[note.operation].attachment == attachment
            and is_open(s, note.operation, note.entry)
            and note.entry.verb == "del"
            for note in notes(s)
        )
    )


def _deleted_by_libcni(case: Case, s: State, attachment: int, record: Record) -> State:
    operation = record.operation
    last = case.scenario.chain - 1 if is_here(s, operation) else 0
    # A debt's configuration is the list up to the plugin that is owed.
    if record.state == DEBT and not case.has("debt_keeps_whole_list"):
        last = min(last, record.next)
    for index in range(last, -1, -1):
        plugin = Plugin(None, "del", operation, index, record.address, is_here(s, operation))
        s = taken_away(case, s, plugin)
    return filed(s, attachment, None)._replace(told=s.told - {operation})


def _added_by_libcni(case: Case, s: State, attachment: int) -> Iterator[Event]:
    number = len(s.operations)
    begun = s._replace(operations=(*s.operations, Operation(attachment, s.boot, is_foreign=True)))
    _, added, (is_done, address) = outcomes(case, begun, Plugin(None, "add", number))[0]
    if is_done and address is not None:
        rules = {(index, address, number) for index in range(1, case.scenario.chain)}
        told = added._replace(told=added.told | {number}, rules=added.rules | rules)
        record = Record(FOREIGN, number, address)
        yield f"libcni: ADD {attachment} as op{number}", filed(told, attachment, record)

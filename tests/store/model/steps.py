"""What each request of a procedure does, with all its outcomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from tests.store.model import journal
from tests.store.model.journal import (
    ALIEN,
    TORN,
    Entry,
    appended,
    appended_to,
    is_open,
    known,
    notes,
    opened,
)
from tests.store.model.procedures import Protocol, Request
from tests.store.model.records import filed, is_old, record_of
from tests.store.model.recovery import is_ending, look
from tests.store.model.world import (
    ATTACHED,
    DEBT,
    FOREIGN,
    BrokenPromiseError,
    Case,
    Frame,
    Frames,
    Operation,
    Plugin,
    Procedure,
    Record,
    Runtime,
    State,
    is_dying,
    is_here,
    marked,
    owners,
    put,
    siblings,
    spent,
)

Outcome = tuple[str, State, Any]
"""A remark for the trace, the state afterwards, and the answer."""

_CONFLICTS: Final[Mapping[object, frozenset[str]]] = {
    "gate": frozenset({"GATE"}),
    "GATE": frozenset({"GATE", "gate"}),
}


def went_on(protocol: Protocol, s: State, runtime: int, procedure: Procedure, *heard: Any) -> State:
    """Return the state once a runtime knows this much. Steps that nobody else can see are taken at
    once: they make no states.
    """
    while True:
        request = protocol.ask(procedure, heard)
        if request[0] == "goto":
            if request[1] is None:
                return _idle(protocol, s, runtime)
            procedure, heard = request[1], ()
            continue
        is_quiet = _is_quiet(protocol.case, s, request)
        outcomes = perform(protocol.case, s, runtime, request) if is_quiet else []
        if not outcomes:
            return _at(s, runtime, procedure, heard)
        ((_, s, answer),) = outcomes
        heard = (*heard, answer)


def _idle(protocol: Protocol, s: State, runtime: int) -> State:
    at = s.runtimes[runtime]
    if at is None:
        raise AssertionError("a dead runtime does nothing")
    locks = frozenset(held for held in s.locks if held[1] != runtime)
    locks |= _kept(protocol.case, s, runtime)
    return s._replace(runtimes=put(s.runtimes, runtime, Runtime(at.slot)), locks=locks)


def _kept(case: Case, s: State, runtime: int) -> frozenset[tuple[Any, int]]:
    """Return what a runtime goes on to lock: the containers of which it has something open, since
    nobody else would see that as long as it lives.
    """
    if case.has("open_container_let_go") or case.has("noted_in_living_slot"):
        return frozenset()
    left = opened(s, s.slots[_slot(s, runtime)].frames)
    containers = case.scenario.containers
    return frozenset((("kept", containers[s.operations[it].attachment]), runtime) for it in left)


def _at(s: State, runtime: int, procedure: Procedure, heard: tuple[Any, ...]) -> State:
    at = s.runtimes[runtime]
    if at is None:
        raise AssertionError("a dead runtime does nothing")
    stands = at._replace(procedure=procedure, heard=heard)
    return s._replace(runtimes=put(s.runtimes, runtime, stands))


def _is_quiet(case: Case, s: State, request: Request) -> bool:
    match request[0]:
        case "sync":
            return not s.left.cuts
        case "guard":
            return not siblings(case, s, request[1])
        case "retire" | "remove":
            return not _is_in_place(s, request[1], request[2])
        case name:
            return name in _QUIET


# --- what only the asker can tell from others ----------------------------------------------------


def _look(
    case: Case, s: State, runtime: int, attachment: int, passed: tuple[int, ...] = ()
) -> tuple[State, Any]:
    return s, look(case, s, runtime, attachment, passed)


def _guards(case: Case, s: State, runtime: int, attachment: int) -> tuple[State, Any]:
    """May an ADD run? Nothing is recorded, and nobody has or claims the interface."""
    if case.has("old_boot_addresses_sent") and any(
        is_old(s, record_of(s, other)) for other in case.scenario.attachments
    ):
        return s, False  # as first written: old records first
    is_free = s.interfaces[case.scenario.namespaces[attachment]] is None
    is_free &= s.places[attachment].now is None
    is_free &= case.has("begun_beside_unnoted_end") or not _has_open(s, runtime, attachment)
    return s, is_free and not is_claimed(case, s, runtime, attachment)


def _has_open(s: State, runtime: int, attachment: int) -> bool:
    """Tell whether what was just settled of an attachment could not be noted as ended: its debt
    would supersede what is begun now.
    """
    return any(
        note.owner in {None, runtime}
        and s.operations[note.operation].attachment == attachment
        and is_open(s, note.operation, note.entry)
        for note in notes(s)
    )


def _old(_: Case, s: State, __: int, attachment: int) -> tuple[State, Any]:
    return s, is_old(s, record_of(s, attachment))


def _found(_: Case, s: State, __: int, attachment: int) -> tuple[State, Any]:
    record = record_of(s, attachment)
    if record is None:
        return s, None
    return s._replace(told=s.told - {record.operation}), (record.operation, record.address)


def _bare(_: Case, s: State, __: int, attachment: int) -> tuple[State, Any]:
    operation = Operation(attachment, s.boot, is_foreign=True)
    return s._replace(operations=(*s.operations, operation)), (len(s.operations), None)


def _tell(_: Case, s: State, __: int, operation: int) -> tuple[State, Any]:
    return s._replace(told=s.told | {operation}), True


def _unlock(case: Case, s: State, runtime: int) -> tuple[State, Any]:
    left = frozenset(held for held in s.locks if held[1] != runtime or held[0] == "adopter")
    return s._replace(locks=left | _kept(case, s, runtime)), True


def _let_go(case: Case, s: State, runtime: int) -> tuple[State, Any]:
    s, answer = _unlock(case, s, runtime)
    return s._replace(locks=s.locks | {("GATE", runtime)}), answer


def _is_ending(case: Case, s: State, _: int, attachment: int) -> tuple[State, Any]:
    return s, is_ending(case, s, attachment)


def _not_kept(_: Case, s: State, __: int, attachment: int) -> tuple[State, Any]:
    """Return a record that gc deletes: one that callers were not told of."""
    record = record_of(s, attachment)
    is_kept = record is None or record.state != ATTACHED or record.operation in s.told
    return s, None if is_kept else record


_QUIET: Final[Mapping[str, Callable[..., tuple[State, Any]]]] = {
    "look": _look,
    "guards": _guards,
    "old": _old,
    "found": _found,
    "bare": _bare,
    "tell": _tell,
    "unlock": _unlock,
    "not kept": _not_kept,
    "is ending": _is_ending,
    "let go": _let_go,
}


def is_claimed(case: Case, s: State, runtime: int, attachment: int) -> bool:
    """Tell whether another attachment claims the interface in this boot: by a record, a debt, or an
    operation under way or left open.
    """
    namespaces = case.scenario.namespaces
    rivals = {
        other
        for other in case.scenario.attachments
        if other != attachment and namespaces[other] == namespaces[attachment]
    }
    if not rivals:
        return False
    for other in rivals:
        record = record_of(s, other)
        if record is not None and is_here(s, record.operation):
            return True
    return not case.has("intents_claim_nothing") and any(
        is_here(s, note.operation)
        and s.operations[note.operation].attachment in rivals
        and is_open(s, note.operation, note.entry)
        and not (is_dying(note.owner) and case.has("dying_claims_nothing"))
        and not (_is_another(note.owner, runtime) and case.has("open_interface_let_go"))
        for note in notes(s)
    )


def _is_another(owner: int | None, runtime: int) -> bool:
    return owner is not None and owner >= 0 and owner != runtime


# --- all others ----------------------------------------------------------------------------------


def perform(case: Case, s: State, runtime: int, request: Request) -> list[Outcome]:
    """Return all outcomes of a step; none: it waits."""
    name, *arguments = request
    if name == "look" and case.has("slot_adopted_by_one"):
        is_busy = any(lock == "adopter" and who != runtime for lock, who in s.locks)
        if is_busy and look(case, s, runtime, arguments[0]) is not None:
            return []
    if name == "look" and (job := look(case, s, runtime, arguments[0])) and job.how == "wait":
        return []
    if name in _QUIET:
        return [("", *_QUIET[name](case, s, runtime, *arguments))]
    return _STEPS[name](case, s, runtime, *arguments)


def _written(
    s: State, good: State, *bad: tuple[str, State], yes: Any = True, no: Any = False
) -> list[Outcome]:
    """Return the outcomes of a write: it succeeds, or the disk refuses it."""
    refused = [(why, spent(state, "disk"), no) for why, state in bad] if s.left.disk else []
    return [("", good, yes), *refused]


_REFUSED: Final = "(the disk refuses)"


def _slot(s: State, runtime: int) -> int:
    at = s.runtimes[runtime]
    if at is None:
        raise AssertionError("a dead runtime does nothing")
    return at.slot


def _lock(_: Case, s: State, runtime: int, lock: Any) -> list[Outcome]:
    in_the_way = _CONFLICTS.get(lock, frozenset({lock}))
    if any(held in in_the_way and who != runtime for held, who in s.locks):
        return []
    kept = "kept", lock[1]
    if lock[0] == "container" and any(held == kept and who != runtime for held, who in s.locks):
        # Whoever keeps it will not let go of it soon: it is waited for as long as ever, in vain.
        return [] if any(who < 0 for held, who in s.locks if held == kept) else [("busy", s, False)]
    return [("", s._replace(locks=s.locks - {(kept, runtime)} | {(lock, runtime)}), True)]


def _begin(case: Case, s: State, runtime: int, attachment: int) -> list[Outcome]:
    number, slot = len(s.operations), _slot(s, runtime)
    frame = Entry("add", case.scenario.chain - 1).repeated(number)
    begun = s._replace(operations=(*s.operations, Operation(attachment, s.boot)))
    torn = (_REFUSED, appended(case, s, slot, TORN))
    return _written(s, appended(case, begun, slot, frame), torn, yes=number, no=None)


def _append(
    case: Case, s: State, runtime: int, frame: Frame, slot: int = -1, stands: Frames | None = None
) -> list[Outcome]:
    """Append a frame to one's own slot, or to a dead one."""
    owner = s.slots[slot].owner if slot >= 0 else None
    if owner is not None and not case.has("noted_in_living_slot"):
        return [("(another's)", s, False)]
    if owner is not None and owner != runtime:
        frame = ALIEN, frame[1], frame
    slot = slot if slot >= 0 else _slot(s, runtime)
    frames = s.slots[slot].frames
    stands = stands if stands is not None else frames if frame[0] == ALIEN else known(frames)
    torn = (_REFUSED, appended(case, s, slot, TORN))
    return _written(s, appended_to(case, s, slot, stands, frame), torn)


def _read(_: Case, s: State, __: int, slot: int) -> list[Outcome]:
    return [("", s, s.slots[slot].frames)]


def _sync(_: Case, s: State, runtime: int) -> list[Outcome]:
    return [("", journal.synced(s, _slot(s, runtime)), True)]


def _record(_: Case, s: State, __: int, attachment: int, record: Record) -> list[Outcome]:
    kept = marked(filed(s, attachment, record), record.operation, has_file=True)
    return _written(s, kept, (_REFUSED, s), ("(written, then cancelled)", kept))


def _debt(_: Case, s: State, __: int, attachment: int, record: Record) -> list[Outcome]:
    return _written(s, filed(s, attachment, record, durably=True), (_REFUSED, s))


def _retire(_: Case, s: State, __: int, attachment: int, operation: int) -> list[Outcome]:
    """Rename a record back into the spare file that its `begin` names; not another one's."""
    if not _is_in_place(s, attachment, operation):
        return [("(none)", s, True)]
    retired = filed(marked(s, operation, has_file=False), attachment, None)
    return _written(s, retired, (_REFUSED, s))


def _remove(_: Case, s: State, __: int, attachment: int, operation: int) -> list[Outcome]:
    """Make a record a spare file of one's own; not another one's."""
    if not _is_in_place(s, attachment, operation):
        return [("(none)", s, True)]
    return _written(s, filed(s, attachment, None), (_REFUSED, s))


def _is_in_place(s: State, attachment: int, operation: int) -> bool:
    record = record_of(s, attachment)
    return record is not None and record.operation == operation


def _quarantine(_: Case, s: State, __: int, attachment: int) -> list[Outcome]:
    return _written(s, filed(s, attachment, None), (_REFUSED, s))


def _guard(case: Case, s: State, _: int, attachment: int) -> list[Outcome]:
    """Wait for the container's plugins; what still runs at the deadline is ended, a daemon too."""
    left = siblings(case, s, attachment)
    if any(plugin.verb == "daemon" and plugin.operation in s.told for plugin in left):
        raise BrokenPromiseError("I4: recovery ends the daemon of another, attached operation")
    if case.has("daemon_waited_for"):
        return []
    return [("", s._replace(plugins=tuple(it for it in s.plugins if it not in left)), True)]


def _gc_guard(case: Case, s: State, _: int) -> list[Outcome]:
    if case.has("gc_plugin_without_guard"):
        return [("", s, True)]
    return [("", s._replace(plugins=tuple(it for it in s.plugins if it.verb != "gc")), True)]


def _run(
    case: Case, s: State, runtime: int, verb: str, operation: int, index: int, address: int | None
) -> list[Outcome]:
    """Start a plugin; the answer is its end."""
    if verb == "gc":
        return [_run_gc(case, s, runtime)]
    attachment = s.operations[operation].attachment
    if any(plugin.verb == "gc" for plugin in s.plugins):
        raise BrokenPromiseError(f"I3: {verb} of op{operation} beside a GC plugin")
    if any(plugin.verb != "daemon" for plugin in siblings(case, s, attachment)):
        raise BrokenPromiseError(
            f"I3: {verb} of op{operation} beside another plugin of its container"
        )
    is_ours = is_here(s, operation)
    if verb == "del" and is_ours and s.operations[operation].gone_in == s.boot:
        raise BrokenPromiseError(f"I8: DEL of op{operation} again, though it was noted as gone")
    # By the caller's word alone: only where nobody else claims the interface.
    is_by_word = s.operations[operation].is_foreign and not case.has("bare_del_in_claimed_netns")
    has_netns = is_ours and not (is_by_word and is_claimed(case, s, runtime, attachment))
    # The address of an earlier boot may be somebody else's by now.
    sent = address if is_ours or case.has("old_boot_addresses_sent") else None
    plugin = Plugin(runtime, verb, operation, index, sent, has_netns)
    return [("", s._replace(plugins=(*s.plugins, plugin)), None)]


def _run_gc(case: Case, s: State, runtime: int) -> Outcome:
    if any(plugin.verb in {"add", "del"} for plugin in s.plugins):
        raise BrokenPromiseError("I3: GC beside another plugin")
    kinds = {ATTACHED, FOREIGN, DEBT}
    kinds -= {DEBT} if case.has("debts_not_valid") else set()
    kinds -= {FOREIGN} if case.has("foreign_not_valid") else set()
    recorded = {
        attachment
        for attachment in case.scenario.attachments
        if (record := record_of(s, attachment)) is not None and record.state in kinds
    }
    noted = {
        s.operations[note.operation].attachment
        for note in notes(s)
        if is_open(s, note.operation, note.entry)
    }
    valid = frozenset(recorded | noted)
    if any(s.operations[operation].attachment not in valid for operation in owners(s)):
        raise BrokenPromiseError("I6: something is held and not in the valid set")
    plugin = Plugin(runtime, "gc", valid=valid)
    return f"valid {sorted(valid)}", s._replace(plugins=(*s.plugins, plugin)), None


_STEPS: Final[Mapping[str, Callable[..., list[Outcome]]]] = {
    "lock": _lock,
    "begin": _begin,
    "append": _append,
    "read": _read,
    "sync": _sync,
    "record": _record,
    "debt": _debt,
    "retire": _retire,
    "remove": _remove,
    "quarantine": _quarantine,
    "guard": _guard,
    "gc guard": _gc_guard,
    "run": _run,
}

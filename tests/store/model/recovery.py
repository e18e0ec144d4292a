"""What an operation settles first: recovery's table, as :func:`acni.engine.recovery.decide` has
it.
"""

from __future__ import annotations

from typing import NamedTuple

from tests.store.model.journal import GONE, OWED, Note, is_open, notes
from tests.store.model.records import is_old, record_of
from tests.store.model.world import (
    ATTACHED,
    BAD,
    DEBT,
    FOREIGN,
    Case,
    Frame,
    Record,
    State,
    is_dying,
    is_here,
)


class Job(NamedTuple):
    """Something to settle.

    Attributes:
        attachment: Of what.
        how: "end" what is noted, "delete" what is noted, delete by the "record", "quarantine" the
            file, or "wait" for a runtime that is just ending.
        operation: The operation.
        next: The plugin whose DEL comes next.
        address: The last result.
        outcome: How it ends.
        is_add: An ADD is undone: its record goes first.
        slot: The dead slot in which it is noted; below zero for one's own.
        noted: What is noted of it, as it stands.
    """

    attachment: int
    how: str
    operation: int = -1
    next: int = 0
    address: int | None = None
    outcome: str = GONE
    is_add: bool = False
    slot: int = -1
    noted: Frame | None = None


def look(
    case: Case, s: State, runtime: int, attachment: int, passed: tuple[int, ...] = ()
) -> Job | None:
    """Return what comes first: unfinished operations of the whole container but for some, then the
    record or debt of the attachment.
    """
    containers = case.scenario.containers
    ours = [one for one in case.scenario.attachments if containers[one] == containers[attachment]]
    if is_ending(case, s, attachment) and not case.has("dying_not_waited_for"):
        return Job(attachment, "wait")
    for one in sorted(ours, key=lambda one: one != attachment):
        if one == attachment or not case.has("only_own_attachment_settled"):
            job = _noted(case, s, runtime, one, passed)
            if job is not None:
                return job
    record = record_of(s, attachment)
    if record is not None and (record.state == DEBT or is_old(s, record)):
        is_whole = record.state == ATTACHED or case.has("retry_from_start")
        next_index = case.scenario.chain - 1 if is_whole else record.next
        return Job(attachment, "record", record.operation, next_index, record.address)
    return Job(attachment, "quarantine") if s.places[attachment].now == BAD else None


def is_ending(case: Case, s: State, attachment: int) -> bool:
    """Tell whether a dying runtime, whose slot still looks alive, left something of a container."""
    containers = case.scenario.containers
    return any(
        is_dying(note.owner)
        and is_open(s, note.operation, note.entry)
        and containers[s.operations[note.operation].attachment] == containers[attachment]
        for note in notes(s)
    )


def is_waiting_for_libcni(case: Case, s: State, operation: int) -> bool:
    """Tell whether something of an earlier boot is asked for again when libcni's record, older or
    newer, is gone from its place.
    """
    record = record_of(s, s.operations[operation].attachment)
    is_taken = record is not None and record.state == FOREIGN and record.operation != operation
    return is_taken and not is_here(s, operation) and not case.has("superseded_by_foreign_record")


def _noted(
    case: Case, s: State, runtime: int, attachment: int, passed: tuple[int, ...]
) -> Job | None:
    """Return the first of what slots have open of an attachment."""
    for note in notes(s):
        if note.operation in passed:
            continue
        if s.operations[note.operation].attachment == attachment and _counts(case, s, note):
            # What a living runtime left open is nobody else's: it keeps the container locked.
            is_ours = note.owner == runtime
            if is_ours or note.owner is None or case.has("noted_in_living_slot"):
                job = _decided(case, s, note)
                if job is not None:
                    return job if is_ours else job._replace(slot=note.slot)
    return None


def _counts(case: Case, s: State, note: Note) -> bool:
    entry = note.entry
    if not is_open(s, note.operation, entry):
        return False
    if entry.outcome == ATTACHED and case.has("end_believed_after_cut"):
        return False
    if note.owner is None and case.has("dead_slots_passed_over"):
        return False
    return not is_waiting_for_libcni(case, s, note.operation)


def _decided(case: Case, s: State, note: Note) -> Job | None:
    """Decide what an open operation comes to."""
    operation, entry = note.operation, note.entry
    attachment = s.operations[operation].attachment
    record = record_of(s, attachment)
    is_same = record is not None and record.operation == operation
    is_add = entry.verb == "add"
    if record is not None and not is_same and _supersedes(case, s, record):
        if case.has("superseded_left_open"):
            return None
        return Job(attachment, "end", operation)
    if is_add and is_here(s, operation):
        if is_same and record is not None:
            outcome = OWED if record.state == DEBT else ATTACHED
            return Job(attachment, "end", operation, outcome=outcome)
        is_taken = entry.is_named and s.operations[operation].has_file
        if record is None and is_taken and not case.has("taken_record_unseen"):
            return Job(attachment, "end", operation)  # it was in place, and libcni took it over
    next_index, address = entry.next, entry.address
    if is_same and record is not None:
        address = record.address
        next_index = min(next_index, record.next) if record.state == DEBT else next_index
    if is_add and case.has("recovered_undo_from_start"):
        next_index = case.scenario.chain - 1
    # What is known of it by its debt is noted before anything more runs.
    said = entry if case.has("debt_not_repeated") else entry._replace(next=next_index)
    noted = said.repeated(operation)
    return Job(attachment, "delete", operation, next_index, address, is_add=is_add, noted=noted)


def _supersedes(case: Case, s: State, record: Record) -> bool:
    is_newer = record.state == FOREIGN or is_here(s, record.operation)
    return is_newer or case.has("superseded_by_older_record")

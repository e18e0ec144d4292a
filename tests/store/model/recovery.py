"""What an operation settles first: recovery's table, as :func:`acni.engine.recovery.decide` has
it.
"""

from __future__ import annotations

from typing import NamedTuple

from tests.store.model.journal import GONE, OWED, Note, is_open, notes
from tests.store.model.records import is_old, record_of
from tests.store.model.world import ATTACHED, BAD, DEBT, FOREIGN, Case, Record, State, is_here


class Job(NamedTuple):
    """Something to settle.

    Attributes:
        attachment: Of what.
        how: "adopt" a dead slot, "end" what is noted, "delete" what is noted, delete by the
            "record", "quarantine" the file, or "wait" for its living runtime.
        operation: The operation.
        next: The plugin whose DEL comes next.
        address: The last result.
        outcome: How it ends.
        is_add: An ADD is undone: its record goes first.
        slot: The dead slot.
    """

    attachment: int
    how: str
    operation: int = -1
    next: int = 0
    address: int | None = None
    outcome: str = GONE
    is_add: bool = False
    slot: int = -1


def look(case: Case, s: State, runtime: int, attachment: int) -> Job | None:
    """Return what comes first: unfinished operations of the whole container, then the record or
    debt of the attachment.
    """
    containers = case.scenario.containers
    ours = [one for one in case.scenario.attachments if containers[one] == containers[attachment]]
    for one in sorted(ours, key=lambda one: one != attachment):
        if one == attachment or not case.has("only_own_attachment_settled"):
            job = _noted(case, s, runtime, one)
            if job is not None:
                return job
    record = record_of(s, attachment)
    if record is not None and (record.state == DEBT or is_old(s, record)):
        is_whole = record.state == ATTACHED or case.has("retry_from_start")
        next_index = case.scenario.chain - 1 if is_whole else record.next
        return Job(attachment, "record", record.operation, next_index, record.address)
    return Job(attachment, "quarantine") if s.places[attachment].now == BAD else None


def is_waiting_for_libcni(case: Case, s: State, operation: int) -> bool:
    """Tell whether something of an earlier boot is asked for again when libcni's record, older or
    newer, is gone from its place.
    """
    record = record_of(s, s.operations[operation].attachment)
    is_taken = record is not None and record.state == FOREIGN and record.operation != operation
    return is_taken and not is_here(s, operation) and not case.has("superseded_by_foreign_record")


def _noted(case: Case, s: State, runtime: int, attachment: int) -> Job | None:
    """Return the first of what slots have open of an attachment."""
    for note in notes(s):
        if s.operations[note.operation].attachment == attachment and _counts(case, s, note):
            if note.owner == runtime:
                job = _decided(case, s, note)
                if job is not None:
                    return job
            elif note.owner is None:
                return Job(attachment, "adopt", slot=note.slot)
            # Left open by a living runtime, which could not write its debt or did not come to it.
            elif not case.has("living_leftovers_ignored"):
                return Job(attachment, "wait")
    return None


def _counts(case: Case, s: State, note: Note) -> bool:
    entry = note.entry
    if not is_open(s, note.operation, entry):
        return False
    if entry.outcome == ATTACHED and case.has("end_believed_after_cut"):
        return False
    if note.owner is None and case.has("foreign_slots_not_adopted"):
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
    return Job(attachment, "delete", operation, next_index, address, is_add=is_add)


def _supersedes(case: Case, s: State, record: Record) -> bool:
    is_newer = record.state == FOREIGN or is_here(s, record.operation)
    return is_newer or case.has("superseded_by_older_record")

"""What the protocol would be without one of its rules: each is put in by its name, and found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import frozen


@frozen
class Flaw:
    """A flaw.

    Attributes:
        what: What is wrong with it.
        scenario: A quick scenario in which it breaks a promise.
        broken: That promise.
    """

    what: str
    scenario: str
    broken: str


FLAWS: Final[Mapping[str, Flaw]] = {
    "bare_del_in_claimed_netns": Flaw(
        "a delete by the caller's word gets a namespace in which another claims the interface",
        "one added, one deleted on one interface",
        "I4",
    ),
    "bare_del_without_netns_lock": Flaw(
        "a delete by the caller's word does not lock the namespace",
        "one added, one deleted on one interface",
        "I4",
    ),
    "begin_not_synced": Flaw(
        "the first plugin runs before its ADD is durably noted", "a chain of three, power cut", "I1"
    ),
    "begun_beside_unnoted_end": Flaw(
        "an ADD begins though the end of what was here before could not be noted",
        "an ADD left open, a full disk",
        "I1",
    ),
    "daemon_waited_for": Flaw(
        "who takes over waits for daemons, too", "two of one container, a daemon", "I7"
    ),
    "dead_slots_passed_over": Flaw(
        "what a dead runtime left open is nobody's",
        "killed again and again",
        "I8",
    ),
    "debt_keeps_whole_list": Flaw(
        "libcni finds in a debt also the plugins that let go", "libcni deletes what is owed", "I4"
    ),
    "debt_not_repeated": Flaw(
        "what only its debt knows of a delete is not noted before it goes on",
        "a delete left open, a full disk",
        "I4",
    ),
    "debt_retry_unjournaled": Flaw(
        "a debt is retried without a note", "an owed delete, killed", "I4"
    ),
    "debts_not_valid": Flaw("GC does not spare what is owed", "gc, leases lost", "I6"),
    "dying_claims_nothing": Flaw(
        "what it has open claims no interface",
        "killed slowly, one interface",
        "I4",
    ),
    "dying_not_waited_for": Flaw(
        "a runtime whose slot still looks alive is passed over, though it let go of the container",
        "killed slowly, one container",
        "I3",
    ),
    "end_believed_after_cut": Flaw(
        "an ADD that ended in an earlier boot counts as recorded", "two power cuts", "I2"
    ),
    "first_add_settles_others": Flaw(
        "a network's first ADD settles what others left",
        "of an earlier boot, both add",
        "I7",
    ),
    "foreign_not_valid": Flaw("GC does not spare what libcni attached", "gc and libcni", "I6"),
    "gc_passes_over_the_dying": Flaw(
        "gc deletes a record without settling its container first",
        "killed slowly, gc",
        "I3",
    ),
    "gc_plugin_without_guard": Flaw(
        "gc does not wait for an orphan of the last one", "gc and libcni", "I3"
    ),
    "guard_closed_not_unlocked": Flaw(
        "a daemon keeps its plugin's guard", "two of one container, a daemon", "I4"
    ),
    "intents_claim_nothing": Flaw(
        "only records claim their interfaces", "two on one interface", "I4"
    ),
    "next_del_before_note": Flaw(
        "the next DEL runs though the last one could not be noted", "a full disk", "I4"
    ),
    "no_guard": Flaw("orphans are not waited for", "two of one container", "I3"),
    "noted_in_living_slot": Flaw(
        "what a living runtime left open is settled by another, in that one's slot",
        "left open by a living runtime, one interface",
        "I8",
    ),
    "old_boot_addresses_sent": Flaw(
        "what is of an earlier boot is deleted with prevResult", "gc, leases lost", "I4"
    ),
    "only_own_attachment_settled": Flaw(
        "what is open of the container's other attachments is left for later",
        "two of one container",
        "I3",
    ),
    "open_container_let_go": Flaw(
        "what a living runtime could not bring to an end does not keep its container locked",
        "left open by a living runtime, one interface",
        "I8",
    ),
    "open_interface_let_go": Flaw(
        "nor does it claim its interface any more",
        "left open by a living runtime, one interface",
        "I4",
    ),
    "open_slot_taken": Flaw(
        "a new runtime takes a slot in which something is open",
        "killed slowly, one container",
        "I3",
    ),
    "record_retired_before_last_del": Flaw(
        "the record goes before the last plugin let go", "a chain of three, power cut", "I1"
    ),
    "recovered_undo_from_start": Flaw(
        "recovery begins at the start of the chain again", "a full disk", "I4"
    ),
    "recovery_without_gate": Flaw("recovery runs beside gc", "gc and recovery", "I3"),
    "remains_not_tried": Flaw(
        "what cannot be noted where it was left is run all the same",
        "a delete left open, a full disk",
        "I4",
    ),
    "retry_from_start": Flaw(
        "a debt is retried from the start of the chain", "libcni deletes what is owed", "I4"
    ),
    "segment_before_records_synced": Flaw(
        "an old segment is void before the records are synced", "segments, power cut", "I1"
    ),
    "segment_carries_begin_only": Flaw(
        "a new segment repeats neither results nor who let go", "segments, killed", "I1"
    ),
    "slot_adopted_by_one": Flaw(
        "a lock more for whoever settles what a dead runtime left", "two on one interface", "I7"
    ),
    "slot_file_unsynced": Flaw(
        "a new slot's name is not synced", "a chain of three, power cut", "I1"
    ),
    "slot_read_before_lock": Flaw(
        "what is owed is looked up before the container is locked", "libcni", "I4"
    ),
    "superseded_by_foreign_record": Flaw(
        "libcni's record supersedes what is of an earlier boot", "libcni", "I1"
    ),
    "superseded_by_older_record": Flaw(
        "a record of an earlier boot supersedes", "a chain of three, power cut", "I1"
    ),
    "superseded_left_open": Flaw(
        "what is superseded is never ended", "libcni deletes what was just recorded", "I8"
    ),
    "taken_record_unseen": Flaw(
        "a record that libcni took away is taken for one that was not made",
        "libcni deletes what was just recorded",
        "I4",
    ),
    "torn_tail_not_cut": Flaw(
        "frames are written behind a torn one, where nobody reads them", "a full disk", "I1"
    ),
    "undo_keeps_record": Flaw(
        "a failed ADD is undone with its record in place", "a chain of three, killed", "I2"
    ),
    "unnoted_delete_runs": Flaw(
        "an unnoted delete runs: what acni does on purpose where somebody asked for it",
        "a full disk",
        "I2",
    ),
    "unnoted_end_passed_over": Flaw(
        "who could not note that something ended goes on",
        "an ADD left open, a full disk",
        "I8",
    ),
    "written_without_byte": Flaw(
        "two write to one dead slot at once, and one over the other",
        "two left open by a dead runtime",
        "I8",
    ),
}

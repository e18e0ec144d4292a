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
    "daemon_waited_for": Flaw(
        "who takes over waits for daemons, too", "two of one container, a daemon", "I7"
    ),
    "debt_keeps_whole_list": Flaw(
        "libcni finds in a debt also the plugins that let go", "libcni deletes what is owed", "I4"
    ),
    "debt_retry_unjournaled": Flaw(
        "a debt is retried without a note", "an owed delete, killed", "I4"
    ),
    "debts_not_valid": Flaw("GC does not spare what is owed", "gc, leases lost", "I6"),
    "end_believed_after_cut": Flaw(
        "an ADD that ended in an earlier boot counts as recorded", "two power cuts", "I2"
    ),
    "first_add_settles_others": Flaw(
        "a network's first ADD settles what others left",
        "of an earlier boot, both add",
        "I7",
    ),
    "foreign_not_valid": Flaw("GC does not spare what libcni attached", "gc and libcni", "I6"),
    "foreign_slots_not_adopted": Flaw("dead slots are nobody's", "killed again and again", "I8"),
    "gc_plugin_without_guard": Flaw(
        "gc does not wait for an orphan of the last one", "gc and libcni", "I4"
    ),
    "guard_closed_not_unlocked": Flaw(
        "a daemon keeps its plugin's guard", "two of one container, a daemon", "I4"
    ),
    "half_repeated_segment_trusted": Flaw(
        "who takes over amid a change of segments repeats nothing", "segments, killed", "I1"
    ),
    "intents_claim_nothing": Flaw(
        "only records claim their interfaces", "two on one interface", "I4"
    ),
    "living_leftovers_ignored": Flaw(
        "what a living runtime left open is passed over", "two of one container", "I3"
    ),
    "next_del_before_note": Flaw(
        "the next DEL runs though the last one could not be noted", "a full disk", "I4"
    ),
    "no_guard": Flaw("orphans are not waited for", "two of one container", "I3"),
    "old_boot_addresses_sent": Flaw(
        "what is of an earlier boot is deleted with prevResult", "gc, leases lost", "I4"
    ),
    "only_own_attachment_settled": Flaw(
        "what is open of the container's other attachments is left for later",
        "two of one container",
        "I3",
    ),
    "record_retired_before_last_del": Flaw(
        "the record goes before the last plugin let go", "a chain of three, power cut", "I1"
    ),
    "recovered_undo_from_start": Flaw(
        "recovery begins at the start of the chain again", "a full disk", "I4"
    ),
    "recovery_without_gate": Flaw("recovery runs beside gc", "gc and recovery", "I3"),
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
    "taken_slot_emptied": Flaw(
        "who takes a slot over begins with an empty one", "killed again and again", "I1"
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
}

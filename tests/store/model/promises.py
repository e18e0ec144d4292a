"""What is promised, of every state.

I1: noted from the first plugin to the last DEL. I2: once recovery has nothing left to do, what is
held is what is recorded. I3: one plugin at a time runs for a container, and none beside GC. I4: no
DEL removes what is another's. I5: what was reported attached is attached. I6: GC's valid set has
all that is held. I7: nobody waits for ever. I8: recovery may be repeated, and comes to an end.

(I3, I4, I6 and parts of I8 are broken by a step: :mod:`tests.store.model.steps` and
:mod:`tests.store.model.plugins` say so. I7 is the search's.)
"""

from __future__ import annotations

from tests.store.model.journal import is_open, notes, opened
from tests.store.model.records import record_of
from tests.store.model.recovery import is_waiting_for_libcni, look
from tests.store.model.world import (
    ATTACHED,
    DEBT,
    BrokenPromiseError,
    Case,
    Record,
    State,
    is_dying,
    owners,
)


def require_promises(case: Case, s: State) -> None:
    """Check a state.

    Raises:
        BrokenPromiseError: a promise is broken.
    """
    held = {it for it in owners(s) if not s.operations[it].is_foreign}
    found = (record_of(s, attachment) for attachment in case.scenario.attachments)
    recorded = [record for record in found if record is not None]
    _require_noted(s, held, recorded)
    for operation in s.told:
        if not any(_says_attached(case, s, operation, record) for record in recorded):
            raise BrokenPromiseError(f"I5: op{operation} was reported attached, and is not")
    if _is_all_quiet(case, s):
        _require_recovered(case, s, held, recorded)


def _require_noted(s: State, held: set[int], recorded: list[Record]) -> None:
    begun = held | {plugin.operation for plugin in s.plugins if plugin.verb == "add"}
    left = begun - {record.operation for record in recorded}
    if left:
        left -= {note.operation for note in notes(s) if is_open(s, note.operation, note.entry)}
    for operation in left:
        raise BrokenPromiseError(f"I1: op{operation} holds something and is noted nowhere")


def _says_attached(case: Case, s: State, operation: int, record: Record) -> bool:
    is_its = record.operation == operation and record.state != DEBT
    return is_its and _is_whole(case, s, operation, record.address)


def _is_whole(case: Case, s: State, operation: int, address: int | None) -> bool:
    namespace = case.scenario.namespaces[s.operations[operation].attachment]
    return (
        address is not None
        and s.leases[address] == s.interfaces[namespace] == operation
        and all((index, address, operation) in s.rules for index in range(1, case.scenario.chain))
    )


def _is_all_quiet(case: Case, s: State) -> bool:
    """Tell whether nothing goes on, and no runtime's recovery has anything to do."""
    if any(plugin.verb != "daemon" for plugin in s.plugins):
        return False
    if any(is_dying(slot.owner) for slot in s.slots):
        return False
    living = [number for number, runtime in enumerate(s.runtimes) if runtime is not None]
    return (
        bool(living)
        and all(runtime is None or runtime.procedure is None for runtime in s.runtimes)
        and all(
            look(case, s, number, attachment) is None
            for number in living
            for attachment in case.scenario.attachments
        )
    )


def _require_recovered(case: Case, s: State, held: set[int], recorded: list[Record]) -> None:
    for operation in held - {record.operation for record in recorded}:
        if not is_waiting_for_libcni(case, s, operation):
            raise BrokenPromiseError(
                f"I2: op{operation} is held, no record says so, recovery has nothing to do"
            )
    for record in recorded:
        operation = record.operation
        if record.state == ATTACHED and not _is_whole(case, s, operation, record.address):
            raise BrokenPromiseError(f"I2: op{operation} is recorded as attached, and is not whole")
    for number, slot in enumerate(s.slots):
        left = opened(s, slot.frames)
        if any(not is_waiting_for_libcni(case, s, operation) for operation in left):
            raise BrokenPromiseError(f"I8: slot {number} stays unsettled for ever")

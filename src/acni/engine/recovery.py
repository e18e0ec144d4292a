"""Recovery: what a dead runtime left, made whole or undone.

What is open in the journal, and what stands in the record's place, say together what is to be done
(:func:`decide`); doing it is the same chain of DELs as ever, resumed where it halted. An operation
on a container waits for what is left of that container alone; the rest is a task of the runtime.

Rule 1: looked up under the container's lock, for the whole container, before anything else.
Rule 2: an orphan plugin is waited for first, whatever is settled.
Rule 3: may be killed at any point, and is done again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Final, Literal, TypeVar

import anyio
from attrs import evolve, frozen

from acni.engine.engine import Engine, Operation
from acni.engine.entering import turn
from acni.engine.notes import Note
from acni.engine.orphans import wait_for_orphans
from acni.engine.takedown import (
    TakeDown,
    is_of_this_boot,
    require_this_host,
    standing_netns,
)
from acni.engine.targets import Target, delete_target, owed_targets, retire_target
from acni.errors import AcniError, Busy, CleanupIncomplete, StoreError
from acni.events import AttachmentKept, Debt, DebtForgotten, OperationSuperseded, RecoveryFinished
from acni.host.host import Host
from acni.spec.attachment import AttachmentId
from acni.spec.names import NetworkName
from acni.store.intents import Intent, record_of
from acni.store.neighbours import LeftOpen
from acni.store.record import Origin, Record
from acni.store.records import is_no_record

# So many containers at once: their plugins share the node with those of new ones.
_AT_ONCE: Final = 16

# With pauses from one second to five minutes that is half an hour.
_MOST_ATTEMPTS: Final = 14

# A killed process is gone in some milliseconds; one that waits for its disk takes as long as that.
_ENDING_SECONDS: Final = 0.002

T = TypeVar("T")
Verdict = Literal["superseded", "attached", "owed", "wait", "delete"]


@frozen(kw_only=True)
class RecoveryReport:
    """What became of what was left.

    Attributes:
        settled: The attachments of which nothing is left open.
        owed: What is still owed.
        failures: Why, and why something could not be put back.
        restored: The attachments of which somebody else had taken something away, as by ``nft flush
            ruleset``, which is there again.

    Example:
        >>> async def main():
        ...     async with runtime_over(scripted) as runtime:
        ...         return await runtime.recover()
        >>> anyio.run(main)
        RecoveryReport(settled=(), owed=(), failures=(), restored=())
    """

    settled: tuple[AttachmentId, ...]
    owed: tuple[Debt, ...]
    failures: tuple[AcniError, ...]
    restored: tuple[AttachmentId, ...] = ()


@frozen(kw_only=True)
class Left:
    """Something that was left: by whom an attachment is found again.

    Attributes:
        id: The attachment.
        network: Its network's name.
    """

    id: AttachmentId
    network: NetworkName


def decide(
    intent: Intent, in_place: Record | None, host: Host, *, is_here: bool, has_spare: bool
) -> Verdict:
    """Decide what an open operation comes to.

    Args:
        intent: What the journal says.
        in_place: What stands in the record's place; None where nothing does, or nothing readable.
        host: This boot and this host's namespace.
        is_here: It was begun here, in this boot.
        has_spare: The file that was to become the record is still spare.
    """
    provenance = in_place.provenance if in_place else None
    is_same = provenance is not None and provenance.operation == intent.operation
    if in_place is not None and not is_same:
        if provenance is None and not is_here:
            return "wait"  # libcni has a record there, older or newer: asked again once it is gone
        if is_of_this_boot(in_place, host):
            return "superseded"
    if intent.verb == "add" and is_here:
        if is_same:
            # The caller may have been told already.
            return "owed" if in_place is not None and in_place.owed else "attached"
        if in_place is None and intent.is_named and not has_spare:
            return "superseded"  # it was in place, and another writer took it over
    return "delete"


async def settle_container(operation: Operation, container_id: str) -> frozenset[AttachmentId]:
    """Settle what was left open of a container; under its lock.

    Returns:
        The attachments that were deleted.

    Raises:
        CleanupIncomplete: a plugin failed; what is left is a debt.
        HostChanged: it was begun from another host network namespace.
        StoreError: it cannot be noted, or its record cannot be removed.
    """
    deleted: set[AttachmentId] = set()
    for one in await opened_of(operation.engine, container_id):
        record = record_of(one.intent)
        if await _settle(evolve(operation, network=record.network.name), one, record):
            deleted.add(record.id)
    return frozenset(deleted)


async def require_ended(engine: Engine, attachment: AttachmentId) -> None:
    """Refuse to begin an attachment where the end of what was settled of it could not be noted: if
    that came to be owed again, its debt would supersede what is begun now.

    Raises:
        StoreError: it could not.
    """
    for one in await opened_of(engine, attachment.container_id):
        if record_of(one.intent).id == attachment:
            raise StoreError(
                "its last deletion could not be noted as ended",
                place="acni/journal",
                expected="a disk that takes it",
            )


@frozen
class Opened:
    """An operation that is open, here or where a dead runtime left it.

    Attributes:
        intent: How far it came.
        note: It, to be gone on with.
    """

    intent: Intent
    note: Note


async def opened_of(engine: Engine, container_id: str) -> list[Opened]:
    """List what is open of a container, which has to be locked: what this runtime could not bring
    to an end, and what dead ones left.

    Raises:
        Busy: a process that left something of it does not come to its end.
        StoreError: the slots cannot be listed.
    """
    journal = engine.store.journal
    left = await _left_of(engine, container_id)
    ours = journal.of_container(container_id) if journal else ()
    return [
        *(Opened(intent, Note.found(engine, intent)) for intent in ours),
        *(Opened(one.intent, Note.left(engine, one)) for one in left),
    ]


async def _left_of(engine: Engine, container_id: str) -> tuple[LeftOpen, ...]:
    neighbours = engine.store.neighbours
    if neighbours is None:
        return ()
    give_up = anyio.current_time() + engine.turns.wait_seconds
    while (left := neighbours.left_of(container_id)) is None:
        if anyio.current_time() > give_up:
            raise Busy(
                f"a runtime that left something of it was just ending for "
                f"{engine.turns.wait_seconds:g} s",
                container_id=container_id,
                expected="its process to have ended",
            )
        await anyio.sleep(_ENDING_SECONDS)
    return left


async def _settle(operation: Operation, opened: Opened, record: Record) -> bool:
    """Settle one operation; tell whether it was deleted."""
    engine, intent, note = operation.engine, opened.intent, opened.note
    require_this_host(record, engine.host)
    is_here = is_of_this_boot(record, engine.host)
    if is_here:
        await wait_for_orphans(operation, record, until=intent.until)
    in_place, is_bad = read_in_place(engine, record)
    # What cannot be read tells of no other writer.
    has_spare = is_bad or (note.spare is not None and engine.store.has_spare(note.spare))
    verdict = decide(intent, in_place, engine.host, is_here=is_here, has_spare=has_spare)
    with note:
        match verdict:
            case "wait":
                return False
            case "superseded":
                note.end_surely("gone")
                operation.notify(OperationSuperseded)
                return False
            case "attached":
                note.end("attached")
                operation.notify(AttachmentKept)
                return False
            case "owed":
                # Once its debt is settled, recovery would begin at the start of the chain again.
                note.end_surely("owed")
                return False
            case "delete":
                await _resume(operation, intent, _resumed(record, in_place), note, is_bad)
                return True


async def _resume(
    operation: Operation, intent: Intent, record: Record, note: Note, is_bad: bool
) -> None:
    engine = operation.engine
    # As far as its debt says, which is gone before its end is noted.
    note.catch_up(evolve(intent, next=len(record.network.plugins) - 1))
    if intent.verb == "add":
        engine.store.retire(record, note.spare)
    origin: Origin = "add" if intent.verb == "add" else "delete"
    deadline = anyio.current_time() + engine.timeouts.delete
    await TakeDown(operation, record, origin, is_bad, note).run(deadline)


def _resumed(record: Record, in_place: Record | None) -> Record:
    """Return what is left to delete, by all that is known."""
    if in_place is None or not is_same_operation(in_place, record):
        return record
    known = evolve(record, result=in_place.result or record.result)
    if in_place.owed is None:
        return known
    return known.up_to(in_place.owed.next)


def is_same_operation(in_place: Record, record: Record) -> bool:
    """Tell whether two records are of one attachment, from its ADD on."""
    ours, theirs = record.provenance, in_place.provenance
    return ours is not None and theirs is not None and ours.operation == theirs.operation


def read_in_place(engine: Engine, record: Record) -> tuple[Record | None, bool]:
    """Read what stands in a record's place, and tell whether that is no record."""
    try:
        return engine.store.records.read(record.name), False
    except StoreError as error:
        if not is_no_record(error):
            raise
        return None, True


async def recover(
    engine: Engine, chosen: Callable[[Left], bool] = lambda _: True
) -> RecoveryReport:
    """Settle everything that was left: what is open, owed, or of an earlier boot.

    Args:
        engine: The runtime's engine.
        chosen: Which of it.
    """
    left = [one for one in await engine.in_thread(list_left, engine) if chosen(one)]
    settled: list[AttachmentId] = []
    failures: list[AcniError] = []

    async def one(what: Left) -> None:
        try:
            await settle_left(engine, what)
        except AcniError as error:
            failures.append(error)
        else:
            settled.append(what.id)

    await for_each(left, one)
    owed = tuple(error.debt for error in failures if error.debt is not None)
    report = RecoveryReport(settled=tuple(settled), owed=owed, failures=tuple(failures))
    if left:
        operation = Operation(engine=engine, verb="recover", network="", id=None)
        operation.notify(RecoveryFinished, settled=len(settled), left=len(failures))
    return report


async def for_each(items: Iterable[T], do: Callable[[T], Awaitable[None]]) -> None:
    """Do something for each of many, so many at once. An error ends all of them, and is raised as
    it is.
    """
    limiter = anyio.CapacityLimiter(_AT_ONCE)

    async def one(item: T) -> None:
        async with limiter:
            await do(item)

    failure: BaseException | None = None
    try:
        async with anyio.create_task_group() as tasks:
            for item in items:
                tasks.start_soon(one, item)
    except BaseExceptionGroup as several:
        failure = _first_of(several)
    if failure is not None:
        raise failure


def _first_of(several: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return what is to be raised of several errors: trio's KeyboardInterrupt before any other."""
    _, uncancelled = several.split(anyio.get_cancelled_exc_class())
    errors = (uncancelled or several).exceptions
    loud = [error for error in errors if not isinstance(error, Exception)]
    return (loud or errors)[0]


async def settle_left(engine: Engine, left: Left) -> None:
    """Settle what was left of one attachment, and of its container what is open.

    Raises:
        AcniError: it is still owed, or still open.
    """
    operation = Operation(engine=engine, verb="recover", network=left.network, id=left.id)
    with operation.reported():
        async with turn(operation, left.id.container_id):
            await settle_container(operation, left.id.container_id)
            is_left = partial(_is_left, engine)
            for target in owed_targets(engine, left.id, left.network, is_left):
                try:
                    await delete_target(operation, target)
                except CleanupIncomplete as error:
                    if error.debt is None or not _is_hopeless(engine, target.record):
                        raise
                    _give_up(operation, target, error.debt)


def _is_hopeless(engine: Engine, record: Record) -> bool:
    """Tell whether the undo of an ADD that never came to its end has failed often enough, and its
    namespace is gone: macvlan's DEL fails for ever once the master link is missing.
    """
    owed = record.owed
    is_tried = owed is not None and owed.origin == "add" and owed.attempts >= _MOST_ATTEMPTS
    return is_tried and not standing_netns(record, engine.host)


def _give_up(operation: Operation, target: Target, debt: Debt) -> None:
    retire_target(operation.engine, target)
    reason = f"its namespace is gone, and {_MOST_ATTEMPTS} deletes of it failed"
    operation.notify(DebtForgotten, debt=debt, reason=reason)


def list_left(engine: Engine) -> tuple[Left, ...]:
    """List what was left, each once.

    Raises:
        StoreError: the state directory cannot be listed.
    """
    owed = map(_named, owed_records(engine))
    return tuple(dict.fromkeys((*list_open(engine), *owed)))


def list_open(engine: Engine) -> tuple[Left, ...]:
    """List what is open and nobody works on.

    Raises:
        StoreError: the slots cannot be listed.
    """
    return tuple(_named(record_of(intent)) for intent in engine.left_open())


def _named(record: Record) -> Left:
    return Left(id=record.id, network=record.network.name)


def owed_records(engine: Engine) -> Iterable[Record]:
    """Iterate over the records of what is owed, or of an earlier boot."""
    records = engine.store.records
    in_place = records.readable(
        lambda outline: outline.cause is not None or not outline.is_here(engine.host)
    )
    for record in (*in_place, *records.debts_aside()):
        if _is_left(engine, record):
            yield record


def _is_left(engine: Engine, record: Record) -> bool:
    return record.owed is not None or not is_of_this_boot(record, engine.host)

"""Deleting what a record describes: the one function behind delete, the undo of an ADD, and the
settling of a debt.

Rule 1: reverse order, halting at the first plugin that fails (R34); what is left is owed, durably,
    and resumes *there*: a plugin that already let go of an address is not asked again once the
    address may be somebody else's.
Rule 2: the record goes last, and so does a file that is no record and stands in its place: it is
    moved into quarantine after the plugins succeeded, never before.
Rule 3: the namespace is passed only while the recorded one still stands behind the path; otherwise
    CNI_NETNS is empty, or leads to a stand-in. A dead path is never passed: sbr creates a regular
    file there, on which bridge's DEL then fails for good.
Rule 4: no DEL runs before the last one is noted in the journal: whoever resumes must know what let
    go. What cannot be noted is owed as if it were next. Only where nothing can be noted at all, on
    a read-only disk, a delete that somebody asked for runs all the same.
Rule 5: what is of an earlier boot is deleted without prevResult: its kernel state is gone, and its
    addresses may belong to somebody else by now (an intended exception to R17; address plugins
    release by container ID).

(specification, section 3, "Deleting an attachment")
"""

from __future__ import annotations

import logging
from typing import Final

import anyio
from attrs import Factory, define, evolve

from acni.engine.chain import chain_of_record
from acni.engine.engine import Operation
from acni.engine.kinds import kinds_of
from acni.engine.notes import Note
from acni.engine.one_del import Dels, cause_of
from acni.errors import (
    AcniError,
    Busy,
    CleanupIncomplete,
    HostChanged,
    StoreError,
)
from acni.events import Debt, DebtRecorded, DebtSettled, RecordQuarantined
from acni.host.host import Host
from acni.spec.commands import Command
from acni.spec.planning import plan
from acni.store.record import Origin, Owed, Record, recorded_result

# A debt is one durable write of 2 KiB; a disk that takes longer than this is not going to take it.
STORE_SECONDS: Final = 30.0

_LOG: Final = logging.getLogger("acni.engine")


@define(eq=False, repr=False)
class TakeDown:
    """One deletion under way.

    Attributes:
        operation: The operation it belongs to.
        record: What is deleted.
        origin: What a debt that it leaves is put down to.
        is_aside: A file that is no record stands in its place.
        note: It in the journal, where it has been begun.
        is_undo: It undoes an ADD of the same operation.
        deleted: The plugins whose DEL succeeded, in the order they ran.
        debt: What is owed after a failure, once it is recorded.
    """

    operation: Operation
    record: Record
    origin: Origin
    is_aside: bool = False
    note: Note | None = None
    is_undo: bool = False
    deleted: list[str] = Factory(list[str])
    debt: Debt | None = None

    async def run(self, deadline: float) -> None:
        """Delete, with all plugins done by ``deadline``.

        Raises:
            CleanupIncomplete: a plugin failed; what is left is a debt.
            StoreError: the plugins succeeded, the record cannot be removed.
        """
        try:
            await self._run_chain(deadline)
        except AcniError as error:
            raise self._incomplete(error) from error
        self._retire()
        if self.note is not None:
            self.note.end("gone")
        if self.record.debt is not None:
            self.operation.notify(DebtSettled, debt=self.record.debt)

    async def _run_chain(self, deadline: float) -> None:
        steps = plan(Command.DEL, self.record.network)
        left = len(steps) - 1
        try:
            dels = dels_of(self.operation, self.record, deadline, is_undo=self.is_undo)
            for step in steps:
                left = step.index
                await dels.run(step)
                self.deleted.append(step.plugin.type)
                left = step.index - 1
                self._let_go(step.index)
        except BaseException as error:
            if left >= 0:
                with anyio.move_on_after(STORE_SECONDS, shield=True):
                    await self.owe(left, error)
            raise

    def _let_go(self, index: int) -> None:
        if self.note is None:
            return
        try:
            self.note.let_go(index)
        except StoreError:
            if index > 0:  # after the last one the record's end says it, too
                raise

    def _retire(self) -> None:
        store = self.operation.engine.store
        if self.is_aside:
            gone = store.retire_aside(self.record)
            self.operation.notify(RecordQuarantined, name=self.record.name)
            if gone:
                _LOG.warning("%d older files went from quarantine to make room", len(gone))
        else:
            store.retire(self.record)

    async def owe(self, index: int, error: BaseException) -> None:
        """Record what is left, beginning at ``index``, durably."""
        debt = indebted(self.record, index, error, self.origin)
        try:
            await self._write(debt)
        except StoreError as unrecorded:
            error.add_note(f"what is owed could not be recorded: {unrecorded}")
            if self.note is not None:  # it stays open in the journal; else nobody knows of it
                self._tell(debt)
        except BaseException as interruption:  # it is written all the same
            keep_context(interruption, error)
            self._close_as_owed(debt)
            raise
        else:
            self._close_as_owed(debt)

    def _close_as_owed(self, debt: Record) -> None:
        if self.note is not None:
            self.note.end("owed")
        self._tell(debt)

    def _tell(self, debt: Record) -> None:
        self.debt = debt.debt
        self.operation.notify(DebtRecorded, debt=self.debt)

    async def _write(self, debt: Record) -> None:
        engine = self.operation.engine
        write = engine.store.write_aside if self.is_aside else engine.store.write
        try:
            await engine.in_thread(write, debt)
        except StoreError:
            raise
        except BaseException:
            # A native cancellation, maybe before the thread began: written here, then, for the debt
            # matters more than the loop.
            write(debt)
            raise

    def _incomplete(self, error: AcniError) -> CleanupIncomplete:
        owed = "recorded as owed" if self.debt else "NOT recorded"
        return CleanupIncomplete(
            f"the delete halted: {error.message}; the rest is {owed}",
            plugin=error.plugin,
            index=error.index,
            code=error.code,
            msg=error.msg,
            details=error.details,
            reason=error.reason,
            stderr=error.stderr,
            debt=self.debt,
        )


def keep_context(interruption: BaseException, error: BaseException) -> None:
    """Let an error be found that was under way when something went through a shield: where that is
    thrown into a coroutine that waits for others, Python forgets what these were handling.
    """
    if interruption.__context__ is None:
        interruption.__context__ = error


def dels_of(
    operation: Operation, record: Record, deadline: float, *, is_undo: bool = False
) -> Dels:
    """Make the DELs of a record's chain, with all plugins done by ``deadline``.

    Asked for at the last moment: the namespace may be gone or another one by now.
    """
    host = operation.engine.host
    netns = standing_netns(record, host)
    chain = chain_of_record(
        operation,
        record,
        netns=netns,
        deadline=deadline,
        kinds=kinds_of(record),
        is_undo=is_undo,
    )
    return Dels(
        chain=chain,
        previous=previous_result(record, host),
        has_stand_ins=not netns and is_of_this_boot(record, host),
    )


def previous_result(record: Record, host: Host) -> str | None:
    """Return what a DEL gets as prevResult: the final result of an ADD of this boot. A recorded one
    that is none stops nothing.
    """
    if not is_of_this_boot(record, host):
        return None
    try:
        return recorded_result(record)
    except StoreError:
        return None


def indebted(record: Record, index: int, error: BaseException, origin: Origin) -> Record:
    """Make the debt of a record whose deletion stopped at the plugin ``index``."""
    if record.provenance is None:
        raise AssertionError("a delete gives every record a provenance before it runs anything")
    owed = Owed(
        next=index,
        cause=cause_of(error),
        origin=record.owed.origin if record.owed else origin,
        attempts=_attempts(record, error),
    )
    return evolve(
        record, network=record.network.up_to(index), provenance=evolve(record.provenance, owed=owed)
    )


def _attempts(record: Record, error: BaseException) -> int:
    """Count one more; not where it had no place, which says nothing of the plugin."""
    before = record.owed.attempts if record.owed else 0
    return before if before and isinstance(error, Busy) else before + 1


def is_of_this_boot(record: Record, host: Host) -> bool:
    """Tell whether a record was made in this boot; one of another writer counts as such."""
    provenance = record.provenance
    return provenance is None or host.is_here(provenance.boot, provenance.host_netns)


def require_this_host(record: Record, host: Host) -> None:
    """Refuse a record that was made from another host network namespace of this boot: its links and
    rules are there.

    Raises:
        HostChanged: it was.
    """
    provenance = record.provenance
    if provenance is None or not is_of_this_boot(record, host):
        return
    if provenance.host_netns != host.netns:
        raise HostChanged(
            "it was attached from another host network namespace",
            expected=f"the namespace {provenance.host_netns.kind} {provenance.host_netns.id}",
            network=record.network.name,
            container_id=record.container_id,
            ifname=record.ifname,
        )


def standing_netns(record: Record, host: Host) -> str:
    """Return the recorded path while the recorded namespace stands behind it, otherwise the empty
    text.
    """
    recorded = record.provenance.netns if record.provenance else None
    stands = is_of_this_boot(record, host) and host.has(record.netns, recorded)
    return record.netns if stands else ""

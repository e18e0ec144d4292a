"""Noting an operation in the journal while it goes on: begun before its first plugin, every step
before the next one, ended when nothing is held of which only the journal knows.

What each note is for when its writer dies, :mod:`acni.engine.recovery` says.
"""

from __future__ import annotations

import contextlib
import time
from typing import Self

from attrs import define

from acni.engine.engine import Engine
from acni.errors import StoreError
from acni.spec.result import Result
from acni.store.intents import Intent, Outcome, Verb
from acni.store.journal import Journal
from acni.store.neighbours import LeftOpen
from acni.store.record import Record, write_record
from acni.store.slots import Remains
from acni.store.spares import Spare
from acni.store.state import Store


@define(eq=False, repr=False)
class Note:
    """An operation in the journal; as a context manager it is under way until the block is left.

    Attributes:
        operation: Its ID.
        spare: The file that is to become its record, for an ADD.
    """

    _store: Store
    operation: str
    _journal: Journal | Remains
    spare: Spare | None = None

    @classmethod
    async def of_add(cls, engine: Engine, record: Record, seconds: float) -> Self:
        """Note that an ADD is about to run its first plugin, durably.

        Raises:
            StoreError: it could not be noted, and nothing may run: the disk is full, read-only or
                broken.
        """
        store = engine.store
        journal = store.require_journal()
        engine.look_at_state()
        spare = store.take_spare()
        intent = _intent(record, "add", seconds, spare.name)
        note = cls(store, intent.operation, journal, spare)
        journal.under_way.add(note.operation)
        try:
            journal.begin(intent)
            await engine.durable()
        except BaseException:
            with note:
                note.give_up()
            raise
        return note

    @property
    def is_named(self) -> bool:
        """Whether its record may stand in its place."""
        return self._store.require_journal().intents[self.operation].is_named

    @classmethod
    def found(cls, engine: Engine, intent: Intent) -> Self:
        """Take up an operation that was left open.

        It counts as left until it has ended: who asks for recovery meanwhile waits for this one.
        """
        spare = None if intent.spare is None else Spare(intent.spare)
        return cls(engine.store, intent.operation, engine.store.require_journal(), spare)

    @classmethod
    def left(cls, engine: Engine, left: LeftOpen) -> Self:
        """Take up an operation that a dead runtime left open, where it is; under its container's
        lock.
        """
        spare = None if left.intent.spare is None else Spare(left.intent.spare, left.slot)
        remains = engine.store.remains(left.slot)
        return cls(engine.store, left.intent.operation, remains, spare)

    @classmethod
    def of_delete(cls, engine: Engine, record: Record, seconds: float) -> Self:
        """Note that a delete is about to run its first plugin; not synced, for what comes back
        after a power cut costs an idempotent DEL.

        Raises:
            StoreError: it could not be noted.
        """
        intent = _intent(record, "delete", seconds)
        journal = engine.store.require_journal()
        engine.look_at_state()
        journal.begin(intent)
        journal.under_way.add(intent.operation)
        return cls(engine.store, intent.operation, journal)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not isinstance(self._journal, Remains):
            self._journal.under_way.discard(self.operation)

    def made(self, index: int, result: Result | None) -> None:
        """Note what a plugin's ADD yielded.

        Raises:
            StoreError: it could not be noted; the next plugin may not run.
        """
        if result is not None:
            self._journal.step(self.operation, index, result.raw)

    def let_go(self, index: int) -> None:
        """Note that a plugin's DEL succeeded.

        Raises:
            StoreError: it could not be noted; the next plugin may not run.
        """
        self._journal.step(self.operation, index, None)

    def catch_up(self, intent: Intent) -> None:
        """Note how far it came, where that could not be noted before, or nobody knows whether
        anything can.

        Raises:
            StoreError: it cannot be noted; nothing more of it may run.
        """
        if isinstance(self._journal, Remains):
            self._journal.repeat(intent)
        else:
            self._journal.catch_up(self.operation)

    def end(self, outcome: Outcome) -> None:
        """Note how it ended. What cannot be noted stays open, which recovery makes the same of."""
        with contextlib.suppress(StoreError):
            self.end_surely(outcome)

    def end_surely(self, outcome: Outcome) -> None:
        """Note how it ended by somebody's word, of which recovery would not make the same.

        Raises:
            StoreError: it cannot be noted: it is still open.
        """
        self._journal.end(self.operation, outcome)
        if self.spare is not None and outcome != "attached":
            self._store.give_back_spare(self.spare)

    def keep(self, record: Record) -> None:
        """Write the record of the attachment that was made.

        Raises:
            StoreError: it could not be written.
        """
        if self.spare is None or isinstance(self._journal, Remains):
            raise AssertionError("only an ADD makes a record")
        self._journal.named(self.operation)
        self._store.keep(record, self.spare)

    def give_up(self) -> None:
        """Close what ran no plugin."""
        self.end("gone")
        if not isinstance(self._journal, Remains):
            self._journal.drop(self.operation)


def _intent(record: Record, verb: Verb, seconds: float, spare: str | None = None) -> Intent:
    if record.provenance is None:
        raise AssertionError("whatever is noted has a provenance")
    return Intent(
        operation=record.provenance.operation,
        verb=verb,
        container_id=record.container_id,
        record=write_record(record).decode(),
        next=len(record.network.plugins) - 1,
        spare=spare,
        until=time.clock_gettime(time.CLOCK_BOOTTIME) + seconds,
        boot=record.provenance.boot,
    )

"""The journal: what a runtime is about to do, noted before it is done.

A runtime has one *slot*: two files, segments, that it writes in turns, at the end of one of them.
Both are preallocated and written again in place: an append that changes no size is the cheapest
thing that can be made durable, and a full disk has no say in it.

Rule 1: an append is one write into the page cache, in the caller's thread; it survives a kill.
    What must survive a power cut is synced after it, for all who wait at once
    (:mod:`acni.store.commits`).
Rule 2: a segment that has grown is left: what is open is repeated at the beginning of the other
    one and synced, so are the records written since, and only then `since` makes the old one void.
    So an operation that hangs keeps no journal growing.
Rule 3: a segment whose sync failed is left the same way: nobody knows what of it is on disk.
Rule 4: an operation of which nobody knows whether it still holds something stays open, also
    through segments, runtimes and boots.

Our own file and no database: the results of plugins need no sync but a place in order, and cost a
write each here (5 µs), where in SQLite they would wait for whoever syncs.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from attrs import define, evolve, field

from acni.errors import StoreError
from acni.host.files import close_all, write_at
from acni.host.locks import unlock
from acni.host.processes import ProcessIdentity
from acni.store.directory import store_failure
from acni.store.frames import encode
from acni.store.intents import (
    Intent,
    Outcome,
    advanced,
    end_facts,
    named_facts,
    open_facts,
    since_facts,
    step_facts,
)

SEGMENT_BYTES: Final = 1 << 20

# The byte of a slot that its runtime holds as long as it lives.
LIVES: Final = 0

_FULL_BYTES: Final = SEGMENT_BYTES // 4 * 3

# What an operation under way may still note: its room is there before its first plugin runs.
_ROOM_PER_OPERATION: Final = 16 << 10
# A segment that open operations made grow gives back what it has beyond this.
_MOST_KEPT_BYTES: Final = 4 * SEGMENT_BYTES

_LOST: Final = "an earlier write was lost"


@define(eq=False, repr=False)
class Segment:
    """One file of a slot.

    Attributes:
        fd: Our descriptor.
        end: Where the next frame is written.
        size: The file's size: up to there it is allocated.
    """

    fd: int
    end: int = 0
    size: int = 0

    def write(self, data: bytes) -> None:
        """Append, all or nothing that counts."""
        self.end = write_at(self.fd, data, self.end)
        self.size = max(self.size, self.end)

    def make_room(self, size: int) -> None:
        """Allocate up to ``size`` bytes, in steps."""
        if size > self.size:
            size += SEGMENT_BYTES
            os.posix_fallocate(self.fd, 0, size)
            self.size = size

    def start_again(self) -> None:
        """Write from the beginning; what stands there has smaller numbers."""
        self.end = 0
        if self.size > _MOST_KEPT_BYTES:
            os.ftruncate(self.fd, SEGMENT_BYTES)
            self.size = SEGMENT_BYTES


@define(eq=False, repr=False, kw_only=True)
class Journal:
    """A slot that this runtime writes.

    Attributes:
        slot: The name of its slot.
        intents: What is open, by operation.
        under_way: Which of it an operation of this runtime is just working on.
        renewed_from: The number from which on a new segment repeats what is open, as long as the
            old one counts too.
    """

    slot: str
    _active: Segment = field(alias="active")
    _other: Segment = field(alias="other")
    _number: int = field(alias="number")
    _opener: ProcessIdentity = field(alias="opener")
    _boot: str = field(alias="boot")
    intents: dict[str, Intent] = field(factory=dict[str, Intent], init=False)
    under_way: set[str] = field(factory=set[str], init=False)
    # How much is open of each container.
    _containers: Counter[str] = field(factory=Counter[str], init=False)
    # What came further than could be noted.
    _behind: set[str] = field(factory=set[str], init=False)
    renewed_from: int | None = None
    _repeated_bytes: int = field(default=0, init=False)
    _is_poisoned: bool = field(default=False, init=False)

    @property
    def place(self) -> str:
        """What errors call it."""
        return f"acni/journal/{self.slot}"

    def left(self) -> Iterator[Intent]:
        """Iterate over what is open and not under way."""
        # An ADD asks this with a thousand others under way: not one by one, where nothing is left.
        if self.intents.keys() <= self.under_way:
            return
        for intent in tuple(self.intents.values()):
            if intent.operation not in self.under_way:
                yield intent

    def of_container(self, container_id: str) -> Iterator[Intent]:
        """Iterate over what is open of a container."""
        if container_id not in self._containers:
            return
        for intent in tuple(self.intents.values()):
            if intent.container_id == container_id:
                yield intent

    def begin(self, intent: Intent) -> None:
        """Note that an operation is about to run its first plugin.

        Raises:
            StoreError: it could not be noted; nothing of it may run.
        """
        if self._is_poisoned:
            self.poison()  # the disk may have come back
        if self._is_poisoned:
            raise StoreError(_LOST, place=self.place, expected="a disk that keeps writes")
        try:
            room = _ROOM_PER_OPERATION * (len(self.intents) + 1) + len(intent.record) * 2
            self._active.make_room(self._active.end + room)
        except OSError as error:
            raise store_failure(self.place, "has no room", error) from error
        self._append(intent.begin())
        if intent.operation not in self.intents:
            self._containers[intent.container_id] += 1
        self.intents[intent.operation] = intent
        self._behind.discard(intent.operation)

    def step(self, operation: str, index: int, result: str | None) -> None:
        """Note a plugin's result, or without one that it let go.

        Raises:
            StoreError: it could not be noted; the next plugin may not run.
        """
        # First here: whatever the disk says, this runtime knows.
        intent = self.intents[operation] = advanced(self.intents[operation], index, result)
        is_behind = operation in self._behind
        self._behind.add(operation)
        self._append(intent.begin() if is_behind else step_facts(operation, index, result))
        self._behind.discard(operation)

    def catch_up(self, operation: str) -> None:
        """Note how far an operation came, where a step could not be noted: before anything more of
        it runs.

        Raises:
            StoreError: it cannot be noted now either; nothing more of it may run.
        """
        if operation in self._behind:
            self._append(self.intents[operation].begin())
            self._behind.discard(operation)

    def named(self, operation: str) -> None:
        """Note that a spare file is about to become a record.

        Raises:
            StoreError: it could not be noted; the file may not be renamed.
        """
        self._append(named_facts(operation))
        self.intents[operation] = evolve(self.intents[operation], is_named=True)

    def end(self, operation: str, outcome: Outcome) -> None:
        """Note how an operation ended; nothing where it is not open.

        Raises:
            StoreError: it could not be noted; it stays open.
        """
        if operation in self.intents:
            self._append(end_facts(operation, outcome))
            self._close(operation)
            self._behind.discard(operation)

    def drop(self, operation: str) -> None:
        """Give up an operation that ran no plugin, since its `begin` is not durable."""
        if operation in self.intents:
            self._close(operation)

    def _close(self, operation: str) -> None:
        container_id = self.intents.pop(operation).container_id
        self._containers[container_id] -= 1
        if not self._containers[container_id]:
            del self._containers[container_id]

    def is_full(self) -> bool:
        """Tell whether it is time for a new segment."""
        limit = max(_FULL_BYTES, 2 * self._repeated_bytes)
        return self.renewed_from is None and self._active.end > limit

    def begin_segment(self) -> None:
        """Go on in the other segment, which repeats what is open.

        Raises:
            StoreError: it cannot be written; the old one goes on.
        """
        old = self._active, self._other
        self._active, self._other = self._other, self._active
        try:
            self._active.start_again()
            self.repeat()
        except OSError as error:
            self._active, self._other = old
            raise store_failure(self.place, "cannot be written", error) from error
        except StoreError:
            self._active, self._other = old
            raise
        self._is_poisoned = False

    def sign(self) -> None:
        """Write who writes from here on."""
        self._append(open_facts(self._opener, self._boot))

    def repeat(self) -> None:
        """Write who writes, and everything that is open, once more."""
        first = self._number
        self.sign()
        for intent in self.intents.values():
            self._append(intent.begin())
        self.renewed_from = first
        self._repeated_bytes = self._active.end

    def sync(self) -> None:
        """Make durable what was appended so far. Blocks; in any thread.

        Raises:
            OSError: it is not, and nobody knows what is: :meth:`poison` is next.
        """
        if self._is_poisoned:  # the kernel told of it once, and would not again
            raise OSError(errno.EIO, _LOST)
        os.fdatasync(self._active.fd)

    def poison(self) -> None:
        """Leave a segment whose sync failed; without another one no operation is begun."""
        self._is_poisoned = True
        try:
            if self.renewed_from is None:
                self.begin_segment()
            else:
                self.repeat()
                self._is_poisoned = False
        except StoreError:
            pass  # the next operation, or sync, tries again

    def make_old_void(self) -> None:
        """Say that what stands before the newest segment counts no more: all that was open there
        is in the new one, and the records of what ended are synced.

        Raises:
            StoreError: it could not be said: both go on to count.
        """
        if self.renewed_from is not None:
            self._append(since_facts(self.renewed_from))
            self.renewed_from = None

    def become(self, other: Journal) -> None:
        """Go on as another slot: this one's files were removed."""
        self.close()
        names = ("slot", "_active", "_other", "_number", "intents", "_containers", "renewed_from")
        for name in names:
            setattr(self, name, getattr(other, name))

    def is_deleted(self) -> bool:
        """Tell whether somebody removed the file under us."""
        return os.fstat(self._active.fd).st_nlink == 0

    def let_go(self) -> None:
        """Unlock the slot, whoever else has its descriptors, and close both segments."""
        for segment in (self._active, self._other):
            if segment.fd >= 0:
                with contextlib.suppress(OSError):  # closing lets go, but for a child's copy
                    unlock(segment.fd, LIVES)
        self.close()

    def close(self) -> None:
        """Close both segments; a child that has them, too, has the lock."""
        for segment in (self._active, self._other):
            if segment.fd >= 0:
                close_all(segment.fd)
                segment.fd = -1

    def _append(self, facts: Mapping[str, object]) -> None:
        try:
            self._active.write(encode(self._number, facts))
        except OSError as error:
            raise store_failure(self.place, "cannot be written", error) from error
        finally:
            self._number += 1  # nobody knows what of it was written: it is not another frame's

"""What was read of others' rules, and whether it still stands: for all sockets of a process that
change the rules of one network namespace.

A generation is the number of a state of all rules. Each change makes the next one, and who makes it
is told which (:meth:`acni.netlink.netfilter.Netfilter.transact`).

Rule 1: what was read at a generation stands at a later one if each between them was made by one of
    these sockets, which change nothing that is read. One of which nobody knows is somebody else's.
Rule 2: it may be newer than the generation that somebody looked at: then it has what was there, and
    what came since.
Rule 3: between the kernel's making a generation and its being noted, another thread may look: it
    waits for what is under way.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from threading import Condition, Lock
from typing import Final, TypeVar, cast

from attrs import Factory, define, field

# Where nobody looks any more, what is noted is forgotten with what was read.
_MOST_NOTED: Final = 10_000
# A batch takes some 0.05 ms; what waits for longer reads anew.
_MOST_SECONDS: Final = 0.1
_MOST_WAITING_SECONDS: Final = 5.0

Memory = TypeVar("Memory")


@define(eq=False, repr=False)
class ReadByOne:
    """What takes long to read: of several threads at once one reads, and the others find it read.

    Attributes:
        most_seconds: How long one waits for another: nobody waits for one that hangs.
    """

    most_seconds: float = field(default=_MOST_WAITING_SECONDS, kw_only=True)
    _lock: Lock = field(factory=Lock, init=False)

    @contextmanager
    def reading(self) -> Generator[None]:
        """Let one thread read what it does not find read."""
        is_held = self._lock.acquire(timeout=self.most_seconds)
        try:
            yield
        finally:
            if is_held:
                self._lock.release()


@define(eq=False, repr=False)
class Ledger:
    """What was read, and which generations are ours; for any thread."""

    _lock: Lock = field(factory=Lock, init=False)
    _changed: Condition = field(
        default=Factory(lambda self: Condition(self._lock), takes_self=True), init=False
    )
    _memories: dict[type, object] = field(factory=dict[type, object], init=False)
    _stands_at: int | None = field(default=None, init=False)
    _made: set[int] = field(factory=set[int], init=False)
    # Batches that are under way, each by a number of its own.
    _begun: int = field(default=0, init=False)
    _under_way: set[int] = field(factory=set[int], init=False)

    @contextmanager
    def making(self) -> Generator[list[int]]:
        """Note what a batch makes, which is put into the list within the block."""
        made: list[int] = []
        with self._lock:
            self._begun += 1
            ticket = self._begun
            self._under_way.add(ticket)
        try:
            yield made
        finally:
            with self._lock:
                self._under_way.discard(ticket)
                self._note(made)
                self._changed.notify_all()

    def stands(self, now: int) -> bool:
        """Tell whether what was read stands at a generation, as far as is noted."""
        with self._lock:
            return self._stands(now)

    def remembered(self, kind: type[Memory], *, now: int) -> Memory:
        """Return what was read, to be read on; an empty one where it does not stand any more.

        Args:
            kind: What it is; one is made of it without arguments.
            now: The generation that it is, asked for just before.
        """
        with self._lock:
            if not self._stands(now):
                before = set(self._under_way)
                self._changed.wait_for(
                    lambda: self._stands(now) or before.isdisjoint(self._under_way), _MOST_SECONDS
                )
            if not self._stands(now):
                self._memories = {}  # who is reading on has the old one
            if self._stands_at is None or now > self._stands_at:
                self._stands_at = now
                self._made = {generation for generation in self._made if generation > now}
            if kind not in self._memories:
                self._memories[kind] = kind()
            return cast("Memory", self._memories[kind])

    def _note(self, made: list[int]) -> None:
        if self._stands_at is not None:
            self._made.update(made)
        if len(self._made) > _MOST_NOTED:
            self._stands_at = None
            self._made.clear()

    def _stands(self, now: int) -> bool:
        at = self._stands_at
        return at is not None and all(number in self._made for number in range(at + 1, now + 1))

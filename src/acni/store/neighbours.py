"""The slots of the other runtimes on a state directory, and what is left open in dead ones.

Each operation asks whether a dead runtime left something of its container. Looking into every slot
for that would cost each of them milliseconds. The kernel says when a slot's file was closed by who
could write to it, which is when its runtime took it and when it ended; until then nothing is looked
into.

A dying process lets go of its locks in any order, the container's first as it happens, and a child
may keep the others: so whether their processes still run is asked each time, too, and one that
is just ending with something of the container open is waited for.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from attrs import define, field, frozen

from acni.errors import StoreError
from acni.host.inotify import Watch
from acni.host.processes import is_ending
from acni.store.index import FEW_LOOKS
from acni.store.intents import Intent
from acni.store.outline import Outline
from acni.store.slots import Remains, SlotView, files_of, is_lost, is_taken, slot_names, slot_of

# The kernel tells of a close a moment before it drops the lock.
_UNSURE_SECONDS: Final = 1.0
_TICK_NANOSECONDS: Final = 50_000_000

_Files = tuple[tuple[int, int], ...]


@frozen
class LeftOpen:
    """An operation that a dead runtime left open.

    Attributes:
        intent: How far it came.
        slot: The slot that it is noted in.
        claim: What it claims.
    """

    intent: Intent
    slot: str
    claim: Outline


@define(eq=False, repr=False)
class Neighbours:
    """The slots beside a runtime's own, looked at as seldom as possible; in any thread."""

    _directory: int
    _own: str
    _boot: str
    _watched: Callable[[int], Watch] = Watch.of
    _few: int = FEW_LOOKS
    _watch: Watch | None = field(default=None, init=False)
    _dead: dict[str, SlotView] = field(factory=dict[str, SlotView], init=False)
    _living: dict[str, SlotView] = field(factory=dict[str, SlotView], init=False)
    # To be looked at, with the time since when.
    _unsure: dict[str, float] = field(factory=dict[str, float], init=False)
    # What was read of slots that have something open.
    _remains: dict[str, Remains] = field(factory=dict[str, Remains], init=False)
    # As which files slots without anything open were read, where nobody tells of changes.
    _settled: dict[str, _Files] = field(factory=dict[str, "_Files"], init=False)
    _looks: int = field(default=0, init=False)
    # What one thread has been told, another one has not.
    _looking: threading.Lock = field(factory=threading.Lock, init=False)

    def left(self) -> tuple[LeftOpen, ...]:
        """List what dead runtimes left open, and those that are just ending: they let go of what
        they claimed already.

        Raises:
            StoreError: the slots cannot be looked at.
        """
        with self._looking:
            self._refresh()
            ending = {name: self._living[name] for name in self._ending()}
            return _opened_in(self._dead | ending)

    def left_of(self, container_id: str) -> tuple[LeftOpen, ...] | None:
        """List what they left open of a container, as it stands now. Who has the container's lock
        may rely on it: only he notes how any of it ended.

        Returns:
            It; or None as long as a process that left something of it is just ending.

        Raises:
            StoreError: the slots cannot be looked at.
        """
        with self._looking:
            self._refresh()
            for name, view in tuple(self._dead.items()):
                if _has(view, container_id):
                    self._look(name)
            # Whoever lives and has something of it open without its lock does not live for long.
            if any(_has(self._living[name], container_id) for name in self._ending()):
                return None
            left = _opened_in(self._dead)
            return tuple(one for one in left if one.intent.container_id == container_id)

    def close(self) -> None:
        """End the watch."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def _refresh(self) -> None:
        now = time.monotonic()
        for name in self._changed():
            self._unsure[name] = now
        for name in self._ending():
            self._look(name)
        for name, since in tuple(self._unsure.items()):
            if name not in self._living or not is_taken(self._directory, name):
                self._look(name)
            if name not in self._living or now - since > _UNSURE_SECONDS:
                del self._unsure[name]

    def _ending(self) -> list[str]:
        openers = ((name, view.opener) for name, view in self._living.items())
        return [name for name, opener in openers if opener is not None and is_ending(opener)]

    def _changed(self) -> Iterable[str]:
        """List the slots that may have changed; all of them where that is not known."""
        if self._watch is not None:
            try:
                told = {slot_of(file) for file in self._watch.changed()}
            except LookupError:
                self.close()
            else:
                return {name for name in told if name is not None} - {self._own}
        self._looks += 1
        if self._looks > self._few:
            with contextlib.suppress(OSError):
                self._watch = self._watched(self._directory)
        try:
            names = slot_names(self._directory)
        except StoreError:
            self.close()  # so that all of them are listed again
            raise
        named = {*names, *self._dead, *self._living} - {self._own}  # what is gone by now, too
        return filter(self._may_have_changed, named)

    def _may_have_changed(self, name: str) -> bool:
        files = self._settled.get(name)
        return files is None or files != self._files(name) or is_taken(self._directory, name)

    def _files(self, name: str) -> _Files | None:
        """Return what changes with a slot; None where that cannot be told, or is changing."""
        try:
            status = [os.stat(file, dir_fd=self._directory) for file in files_of(name)]
        except OSError:
            return None
        if any(time.time_ns() - one.st_mtime_ns < _TICK_NANOSECONDS for one in status):
            return None  # the kernel may give the next change the same time
        return tuple((one.st_ino, one.st_mtime_ns) for one in status)

    def remains(self, slot: str) -> Remains:
        """Return a dead runtime's slot, to note in how what is open there is settled."""
        with self._looking:
            return self._remains_of(slot)

    def _remains_of(self, slot: str) -> Remains:
        if slot not in self._remains:
            self._remains[slot] = Remains(self._directory, slot, self._boot)
        return self._remains[slot]

    def _look(self, name: str) -> None:
        files = self._files(name)
        self._settled.pop(name, None)
        try:
            view = self._remains_of(name).look()
        except StoreError as error:
            if not is_lost(error):
                raise
            if name in self._dead:
                return  # what it said before counts, and cannot be gone on with as long as it is so
            view = None  # a bad file stops nothing
        self._dead.pop(name, None)
        self._living.pop(name, None)
        if view is not None and view.is_alive:
            self._living[name] = view
            self._remains.pop(name, None)
        elif view is not None and view.intents:
            self._dead[name] = view
        else:
            self._remains.pop(name, None)
            if files is not None:
                self._settled[name] = files


def _opened_in(views: Mapping[str, SlotView]) -> tuple[LeftOpen, ...]:
    return tuple(
        LeftOpen(intent, view.name, claim)
        for _, view in sorted(views.items())
        for intent, claim in zip(view.intents, view.claims, strict=True)
    )


def _has(view: SlotView, container_id: str) -> bool:
    return any(intent.container_id == container_id for intent in view.intents)

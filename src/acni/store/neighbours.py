"""The slots of the other runtimes on a state directory, and what is left open in dead ones.

Each operation asks whether a dead runtime left something of its container. Looking into every slot
for that would cost each of them milliseconds. The kernel says when a slot's file was closed by who
could write to it, which is when its runtime ended; until then nothing is looked into.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

from attrs import define, field, frozen

from acni.host.inotify import Watch
from acni.host.processes import is_gone
from acni.store.intents import Intent
from acni.store.slots import SlotView, is_taken, look_at_slot, slot_names, slot_of

# The kernel tells of a close a moment before it drops the lock.
_UNSURE_SECONDS: Final = 1.0
_ASK_SECONDS: Final = 1.0


@frozen
class LeftOpen:
    """An operation that a dead runtime left open.

    Attributes:
        intent: How far it came.
        slot: The slot that it is noted in.
    """

    intent: Intent
    slot: str


@define(eq=False)
class Neighbours:
    """The slots beside a runtime's own, looked at as seldom as possible."""

    _directory: int
    _own: str
    _boot: str
    _watch: Watch | None = field(default=None, init=False)
    _dead: dict[str, SlotView] = field(factory=dict[str, SlotView], init=False)
    _living: dict[str, SlotView] = field(factory=dict[str, SlotView], init=False)
    # To be looked at, with the time since when.
    _unsure: dict[str, float] = field(factory=dict[str, float], init=False)
    _asked: float = field(default=0.0, init=False)

    def left(self) -> tuple[LeftOpen, ...]:
        """List what dead runtimes left open.

        Raises:
            StoreError: the slots cannot be listed.
        """
        self._refresh()
        return self._left()

    def left_of(self, container_id: str) -> tuple[LeftOpen, ...]:
        """List what they left open of a container, as it stands now. Who has the container's lock
        may rely on it: only he notes how any of it ended.

        Raises:
            StoreError: the slots cannot be listed.
        """
        self._refresh()
        for name, view in tuple(self._dead.items()):
            if any(intent.container_id == container_id for intent in view.intents):
                self._look(name)
        return tuple(left for left in self._left() if left.intent.container_id == container_id)

    def close(self) -> None:
        """End the watch."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def _left(self) -> tuple[LeftOpen, ...]:
        views = self._dead.values()
        return tuple(LeftOpen(intent, view.name) for view in views for intent in view.intents)

    def _refresh(self) -> None:
        now = time.monotonic()
        for name in self._changed():
            self._unsure[name] = now
        if now - self._asked >= _ASK_SECONDS:
            self._asked = now
            self._ask()
        for name, since in tuple(self._unsure.items()):
            if name not in self._living or not is_taken(self._directory, name):
                self._look(name)
            if name not in self._living or now - since > _UNSURE_SECONDS:
                del self._unsure[name]

    def _ask(self) -> None:
        """Look for what no close tells of: slots that were taken again, and processes that are gone
        and whose children keep their locks.
        """
        for name in slot_names(self._directory):
            view = self._living.get(name)
            if view is not None and view.opener is not None:
                is_to_look = is_gone(view.opener)
            else:
                is_to_look = name != self._own and is_taken(self._directory, name)
            if is_to_look:
                self._look(name)

    def _changed(self) -> Iterable[str]:
        """List the slots that may have changed; all of them where that is not known."""
        if self._watch is not None:
            try:
                names = {slot_of(file) for file in self._watch.changed()}
            except LookupError:
                self.close()
            else:
                return {name for name in names if name is not None} - {self._own}
        try:
            self._watch = Watch.of(self._directory)
        except OSError:
            self._watch = None
        return set(slot_names(self._directory)) - {self._own}

    def _look(self, name: str) -> None:
        self._dead.pop(name, None)
        self._living.pop(name, None)
        view = look_at_slot(self._directory, name, self._boot)
        if view is not None and view.is_alive:
            self._living[name] = view
        elif view is not None and view.intents:
            self._dead[name] = view

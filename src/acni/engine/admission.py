"""How many plugins run at once, and how many operations wait.

Rule 1: what undoes is never refused, and waits for no place behind what adds: deletes and
    collections have as many of their own, and the undo of an ADD needs none. Where a type is
    limited they go before every ADD that waits for it, of whichever runtime.
Rule 2: who waits for a type keeps no place from others, and who waits for a place no type.
Rule 3: who has begun goes before who has not; of a chain that is half made more is held.
Rule 4: waiting is bounded, and charged to no plugin's time but an undo's.

Types are limited for all runtimes on the state directory, places are each runtime's own.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from typing import Final

from attrs import Factory, define, field

from acni.engine.lines import Asking, Lines, OfType, Room, Unshared, Urgency
from acni.engine.settings import Limits
from acni.errors import Busy
from acni.host.blocks import Block
from acni.spec.names import PluginType
from acni.spec.plugin import Caps
from acni.store.locks import Locks
from acni.store.waiting import Watch, bounded

# The verbs that can be asked again; what undoes is not refused.
_REFUSED: Final = frozenset(("add", "check", "status"))


@define(eq=False, repr=False)
class Admission:
    """The places of one runtime.

    Attributes:
        limits: How many there are.
        locks: Those of the state directory, by which types are limited between runtimes; None where
            it cannot be written to.
        waiting: How many operations that may be refused wait.
    """

    limits: Limits = Factory(Limits)
    locks: Locks | None = None
    waiting: int = field(default=0, init=False)
    _rooms: dict[Urgency, Room | None] = field(init=False)
    _types: dict[PluginType, OfType] = field(factory=dict[PluginType, OfType], init=False)
    _lines: Lines = field(factory=Lines, init=False)

    def __attrs_post_init__(self) -> None:
        adding, deleting = Room(self.limits.plugins), Room(self.limits.plugins)
        self._rooms = {
            Urgency.UNDO: None,
            Urgency.DELETE: deleting,
            Urgency.BEGUN: adding,
            Urgency.NEW: adding,
        }

    def caps(self, *, ends_at_cap: bool) -> Caps:
        """Return how much output of one run is taken, and whether more of it ends the run."""
        limits = self.limits
        return Caps(
            stdout_bytes=limits.stdout_bytes,
            stderr_bytes=limits.stderr_bytes,
            ends_at_cap=ends_at_cap,
        )

    @contextmanager
    def line(self, verb: str) -> Generator[None]:
        """Stand in line, before the first plugin of an operation.

        Raises:
            Busy: too many stand there, and the verb is none that undoes.
        """
        if verb not in _REFUSED:
            yield
            return
        if self.waiting >= self.limits.queue:
            raise Busy(f"{self.waiting} operations wait already", expected="fewer of them at once")
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1

    def place(
        self,
        plugin_type: PluginType,
        urgency: Urgency,
        *,
        until: float,
        watch: Watch = nullcontext,
    ) -> Block[None]:
        """Wait for the place of a plugin's run, and hold it.

        No checkpoint where it is free.

        Args:
            plugin_type: The plugin's type.
            urgency: Who waits.
            until: When waiting ends, on the event loop's clock.
            watch: Entered while it is not free.

        Raises:
            Busy: there was none until then.
            StoreError: the state directory cannot be locked.
        """
        asking = Asking(
            urgency=urgency, room=self._rooms[urgency], of_type=self._of_type(plugin_type)
        )

        async def enter() -> None:
            if self._lines.try_enter(asking):
                return
            lacked = "every place for a plugin was taken"
            what = lacked if asking.lacks_room else f"{plugin_type} ran"
            try:
                with bounded(until, what, lambda: self._describe(asking, plugin_type), watch):
                    await self._lines.wait(asking)
            except BaseException:
                self._lines.give_up(asking)
                raise

        return Block(enter, lambda: self._lines.leave(asking))

    def _of_type(self, plugin_type: PluginType) -> OfType | None:
        number = self.limits.per_type.get(plugin_type)
        if number is None:
            return None
        if plugin_type not in self._types:
            locks = self.locks
            self._types[plugin_type] = (
                Unshared(number) if locks is None else locks.plugin_type(plugin_type, number)
            )
        return self._types[plugin_type]

    def _describe(self, asking: Asking, plugin_type: PluginType) -> str:
        if asking.lacks_room:
            return f"limits.plugins is {self.limits.plugins}"
        return f"limits.per_type is {self.limits.per_type.get(plugin_type)}"

"""Settling in the background, as long as a runtime is open: what dead runtimes left at once, what
fails again and again ever more seldom. What somebody took away of attached containers is put back
once, in the beginning.
"""

from __future__ import annotations

import contextlib
import logging
import math
import random
from typing import Final

import anyio
from attrs import Factory, define, field

from acni.engine.engine import Engine
from acni.engine.recovery import Left, list_left, list_open, recover
from acni.engine.restoring import restore
from acni.errors import AcniError, printable
from acni.events import DebtRecorded, Event
from acni.host.inotify import Watch
from acni.spec.attachment import AttachmentId
from acni.spec.names import ContainerId, IfName, NetworkName
from acni.store.slots import slot_of

_FIRST_SECONDS: Final = 1.0
_MOST_SECONDS: Final = 300.0
# How long it takes until somebody looks whether another runtime died, where nobody tells.
_BLIND_SECONDS: Final = 10.0
# When to look once more after a slot was closed.
_DROPPED_SECONDS: Final = (0.01, 0.1, 1.0)

_LOG: Final = logging.getLogger("acni.engine")


def pause_before(attempt: int, jitter: float) -> float:
    """Return how long to wait before an attempt.

    Args:
        attempt: Which retry it is, from 0.
        jitter: From 0 to 1: so that what failed at once is not tried again at once.
    """
    pause = min(_FIRST_SECONDS * 2.0 ** min(attempt, 30), _MOST_SECONDS)
    return pause * (0.5 + jitter)


@define(eq=False, repr=False)
class Settling:
    """The task that settles, and an observer that tells it what is owed from now on."""

    _engine: Engine
    _due: dict[Left, float] = field(factory=dict[Left, float], init=False)
    _attempts: dict[Left, int] = field(factory=dict[Left, int], init=False)
    _changed: anyio.Event = field(default=Factory(anyio.Event), init=False)

    def __call__(self, event: Event) -> None:
        """Take in an event."""
        if isinstance(event, DebtRecorded):
            debt = event.debt
            attachment = AttachmentId(ContainerId(debt.container_id), IfName(debt.ifname))
            self._postpone(Left(id=attachment, network=NetworkName(debt.network)))

    async def run(self) -> None:
        """Settle for ever."""
        await self._begin()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch)
            tasks.start_soon(self._restore)
            while True:
                now = anyio.current_time()
                due = frozenset(left for left, when in self._due.items() if when <= now)
                if due:
                    await self._settle(due)
                    continue
                with anyio.CancelScope(deadline=min(self._due.values(), default=math.inf)):
                    await self._changed.wait()
                self._changed = anyio.Event()

    async def _watch(self) -> None:
        """Look again whenever another runtime closes its slot, which is when it ended; where nobody
        tells of that, now and then.
        """
        while True:
            try:
                watch = self._engine.store.watch_slots()
            except OSError:
                await anyio.sleep(_BLIND_SECONDS)
                self._look()
                continue
            # Nobody tells where somebody removes the state directory, or the loop has no room.
            with contextlib.closing(watch), contextlib.suppress(LookupError, OSError):
                while True:
                    self._look()
                    await self._told(watch)
            await anyio.sleep(_BLIND_SECONDS)

    async def _told(self, watch: Watch) -> None:
        """Wait until another slot is closed, and until its lock is dropped: that takes a moment.

        Raises:
            LookupError: the watch tells nothing any more.
            OSError: the loop cannot wait for it.
        """
        slots: set[str | None] = set()
        while not slots:
            await anyio.wait_readable(watch.fd)
            slots = set(map(slot_of, watch.changed())) - {None, self._engine.store.slot}
        for pause in _DROPPED_SECONDS:
            self._look()
            await anyio.sleep(pause)

    async def _restore(self) -> None:
        try:
            found = await restore(self._engine)
        except Exception:  # noqa: BLE001 (as below)
            _LOG.exception("what was taken away could not be looked for")
            return
        for error in found.failures:
            _LOG.warning("not put back: %s", printable(str(error)))

    async def _begin(self) -> None:
        """Settle what dead runtimes left open; what was owed before comes by and by."""
        self._look()
        try:
            for left in await self._engine.in_thread(list_left, self._engine):
                if left not in self._due:
                    self._postpone(left)
        except AcniError:
            pass  # it cannot be listed; the next debt, or an operation on its container, comes by

    def _look(self) -> None:
        """Settle at once what is open, and not being tried again already: another runtime may have
        died meanwhile.
        """
        for left in self._opened() - self._due.keys():
            self._due[left] = -math.inf
            self._changed.set()

    def _opened(self) -> frozenset[Left]:
        try:
            return frozenset(list_open(self._engine))
        except AcniError:
            return frozenset()

    async def _settle(self, due: frozenset[Left]) -> None:
        for left in due:
            del self._due[left]
        try:
            report = await recover(self._engine, due.__contains__)
        except Exception:  # noqa: BLE001 (who uses the runtime goes on, whatever goes wrong here)
            _LOG.exception("what was left could not be settled")
            for left in due:
                self._postpone(left)
            return
        failed = {(error.container_id, error.ifname, error.network) for error in report.failures}
        opened = self._opened()  # what nothing can be done about yet, too
        for left in due:
            is_failed = (left.id.container_id, left.id.ifname, left.network) in failed
            if not is_failed and left not in opened:
                self._attempts.pop(left, None)
            elif left not in self._due:  # its debt may have said so already
                self._postpone(left)

    def _postpone(self, left: Left) -> None:
        attempt = self._attempts.get(left, 0)
        self._attempts[left] = attempt + 1
        # Not for secrets.
        pause = pause_before(attempt, random.random())  # noqa: S311
        self._due[left] = anyio.current_time() + pause
        self._changed.set()

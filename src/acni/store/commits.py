"""Group commit: one sync for all who wait for one.

A sync costs 160 µs on a fast disk and ten milliseconds on a slow one, whoever waits for it. So one
task syncs for everybody: those who come while it does share the next one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import anyio
from attrs import Factory, define, field

from acni.errors import AcniError, StoreError
from acni.store.directory import store_failure
from acni.store.journal import Journal

# A disk that takes longer than this at the end is left to the kernel.
_LAST_SECONDS: Final = 30.0

InThread = Callable[[Callable[[], None]], Awaitable[None]]


@define(eq=False, repr=False)
class _Batch:
    waiting: int = 0
    done: anyio.Event = Factory(anyio.Event)
    failure: AcniError | None = None


@define(eq=False, repr=False)
class Commits:
    """Makes what was appended durable.

    Attributes:
        journal: The journal.
        is_durable: Whether anything is synced; else a power cut may lose what a kill does not.
    """

    journal: Journal
    _sync_records: Callable[[], None]
    _in_thread: InThread
    _stand: Callable[[], None]
    is_durable: bool = True
    _batch: _Batch = field(factory=_Batch, init=False)
    _wanted: anyio.Event = field(factory=anyio.Event, init=False)
    _ended: anyio.Event = field(factory=anyio.Event, init=False)
    _syncing: anyio.Lock = field(factory=anyio.Lock, init=False)
    _scope: anyio.CancelScope = field(factory=lambda: anyio.CancelScope(shield=True), init=False)
    _is_closing: bool = field(default=False, init=False)
    _is_renewing: bool = field(default=False, init=False)

    async def durable(self) -> None:
        """Wait until everything appended so far is durable.

        Raises:
            StoreError: it is not; what was appended may have to be done again.
        """
        if not self.is_durable:
            return
        if self._is_closing:
            raise StoreError("is closed", place=self.journal.place, expected="an open runtime")
        batch = self._batch
        batch.waiting += 1
        self._wanted.set()
        try:
            await batch.done.wait()
        finally:
            batch.waiting -= 1
        if batch.failure is not None:
            raise batch.failure

    def look(self) -> None:
        """Look, before something is noted, whether the state directory still stands, and whether it
        is time for a new segment.

        Raises:
            StoreError: it was removed, and cannot be made anew.
        """
        self._stand()
        if self.journal.is_full():
            self._wanted.set()

    async def run(self) -> None:
        """Sync as often as somebody waits, until :meth:`close`.

        Shielded: what is being undone while a runtime is cancelled needs it.
        """
        try:
            with self._scope:
                async with anyio.create_task_group() as tasks:
                    while not self._is_closing:
                        await self._wanted.wait()
                        self._wanted = anyio.Event()
                        await self._commit()
                        if self._is_due():
                            self._is_renewing = True
                            tasks.start_soon(self._renew)
                    await self._commit()  # for those who came during the last one
        finally:
            self._ended.set()

    async def close(self) -> None:
        """End :meth:`run`, once what it is doing is done, or after a while."""
        self._is_closing = True
        self._wanted.set()
        with anyio.move_on_after(_LAST_SECONDS):
            await self._ended.wait()
        self._scope.cancel()

    async def _commit(self) -> None:
        batch, self._batch = self._batch, _Batch()
        try:
            if batch.waiting:
                await self._sync()
                self._stand()
        except OSError as error:
            batch.failure = store_failure(self.journal.place, "cannot be synced", error)
        except AcniError as error:  # the state directory is somebody else's by now
            batch.failure = error
        finally:
            batch.done.set()

    async def _sync(self) -> None:
        """Sync, one at a time: the kernel tells of a lost write once, so of two syncs at once one
        would be told that all is well.
        """
        async with self._syncing:
            try:
                await self._in_thread(self.journal.sync)
            except OSError:
                self.journal.poison()
                raise

    def _is_due(self) -> bool:
        """Tell whether an old segment is to be made void, beginning a new one where it is full."""
        if self._is_renewing or self._is_closing:
            return False
        if self.journal.is_full():
            try:
                self.journal.begin_segment()
            except StoreError:
                return False  # the old one goes on to grow, and is tried again
        return self.journal.renewed_from is not None

    async def _renew(self) -> None:
        """Make the old segment void, as soon as all that it says is on disk elsewhere."""
        renewed_from = self.journal.renewed_from
        try:
            if self.is_durable:
                await self._sync()
                await self._in_thread(self._sync_records)
            if self.journal.renewed_from == renewed_from:
                self.journal.make_old_void()
                if self.is_durable:
                    await self._sync()
        except (OSError, StoreError):
            pass  # both segments go on to count; the next look tries again
        finally:
            self._is_renewing = False

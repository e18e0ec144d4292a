"""The gate: operations on attachments pass it together, a garbage collection alone.

::

    acni/lock/gate      byte 0      the gate: shared by operations, exclusive for a collection
                        byte 1      held by a collection that has closed it, before it or inside
                        byte 2      shared by who waits at the gate
                        byte 3      the collections' own lock, one at a time
                        bytes 16 …  its stages

An operation may pass as long as nobody holds byte 1, so a collection that waits is not passed for
ever: it closes the gate for a second, in which most operations end. A plugin may take longer than
that; then the gate is open for as long, and closed again, until the collection gives up.

Rule 1: a collection that waits delays nobody for longer than it keeps the gate closed. One that
    follows another lets in who waits before it closes the gate again.
Rule 2: operations share the runtime's description and are counted; a collection has one of its own,
    so the kernel keeps it apart from the operations of its own runtime, too.
Rule 3: of the operations of a runtime that wait only the first one asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from functools import partial
from typing import Final

import anyio
from attrs import Factory, define, field

from acni.errors import StoreError
from acni.host.blocks import Block
from acni.host.locks import is_held, try_lock, unlock
from acni.host.queues import Queues
from acni.host.turnstile import Pace, pass_through
from acni.store.directory import store_failure
from acni.store.lockfiles import GATE_FILE, OPENINGS, Description, LockFiles, keeps_changing
from acni.store.waiting import Describe, Watch, bounded, nobody_known

GATE: Final = 0
CLOSED: Final = 1
WAITING: Final = 2
COLLECTION: Final = 3
COLLECTION_STAGES: Final = 16
# In the order in which they are let go of: the next collection sees who waits behind this one.
_OF_COLLECTION: Final = (GATE, CLOSED, COLLECTION)

# How long a collection waits in all.
COLLECTION_SECONDS: Final = 10.0
_CLOSED_SECONDS: Final = 1.0


@define(eq=False, repr=False)
class Gate:
    """The gate of a state directory, for one runtime.

    Attributes:
        closed_seconds: For how long a collection that waits keeps it closed, and open after that.
    """

    _files: LockFiles
    closed_seconds: float = _CLOSED_SECONDS
    _inside: Counter[Description] = field(factory=Counter[Description], init=False)
    _waiting: Counter[Description] = field(factory=Counter[Description], init=False)
    _queues: Queues[int] = field(factory=Queues[int], init=False)
    _pace: Pace = Factory(Pace)

    def shared(
        self, *, until: float, describe: Describe = nobody_known, watch: Watch = nullcontext
    ) -> AbstractAsyncContextManager[None]:
        """Pass the gate together with other operations.

        Args:
            until: When waiting ends, on the loop's clock.
            describe: Says who is in the way.
            watch: Entered while it is closed.

        Raises:
            Busy: the gate was closed until then.
            StoreError: it cannot be locked.
        """
        inside: list[Description] = []

        async def enter() -> None:
            # No checkpoint where it is open. Who passes those who wait delays none of them.
            description = self._try_enter()
            if description is None:
                with bounded(until, "a garbage collection went on", describe, watch):
                    description = await self._enter()
            inside.append(description)

        return Block(enter, lambda: self._leave(inside.pop()))

    @asynccontextmanager
    async def exclusive(
        self, *, until: float, describe: Describe = nobody_known
    ) -> AsyncGenerator[None]:
        """Pass the gate alone.

        Args:
            until: When waiting ends, on the loop's clock; a collection waits `COLLECTION_SECONDS`.
            describe: Says who is in the way.

        Raises:
            Busy: operations or other collections went on until then.
            StoreError: it cannot be locked.
        """
        with bounded(until, "operations went on", describe):
            if not self._queues.try_take(COLLECTION):
                await self._queues.take(COLLECTION)
            try:
                description = await self._enter_alone()
            except BaseException:
                self._queues.give_back(COLLECTION)
                raise
        try:
            yield
        finally:
            self._files.let_go(description, *_OF_COLLECTION)
            self._queues.give_back(COLLECTION)

    # --- operations

    def _try_enter(self) -> Description | None:
        for _ in range(OPENINGS):
            description = self._files.use(GATE_FILE)
            is_inside = False
            try:
                if is_held(description.fd, CLOSED) or not self._shares(description):
                    return None
                is_inside = self._files.has_its_name(description)
            except OSError as error:
                raise _cannot_be_locked(error) from error
            finally:
                if is_inside:
                    self._inside[description] += 1
                else:
                    self._let_go_of_gate(description)
            if is_inside:
                return description
            self._files.retire(description)
        raise keeps_changing(GATE_FILE)

    def _shares(self, description: Description) -> bool:
        return description in self._inside or try_lock(description.fd, GATE, shared=True)

    async def _enter(self) -> Description:
        with self._seen_waiting():
            await self._queues.take(WAITING)
            try:
                return await self._pace.ask(self._try_enter)
            finally:
                self._queues.give_back(WAITING)

    @contextmanager
    def _seen_waiting(self) -> Generator[None]:
        """Let collections see that an operation waits."""
        description = self._files.use(GATE_FILE)
        try:
            if description not in self._waiting:
                try_lock(description.fd, WAITING, shared=True)  # nobody holds it alone
        except OSError as error:
            self._files.leave(description)
            raise _cannot_be_locked(error) from error
        self._waiting[description] += 1
        try:
            yield
        finally:
            self._release(self._waiting, description, WAITING)

    def _leave(self, description: Description) -> None:
        self._release(self._inside, description, GATE)

    def _let_go_of_gate(self, description: Description) -> None:
        if description in self._inside:
            self._files.leave(description)
        else:
            self._files.let_go(description, GATE)

    def _release(self, counts: Counter[Description], description: Description, byte: int) -> None:
        counts[description] -= 1
        if counts[description]:
            self._files.leave(description)
        else:
            del counts[description]
            self._files.let_go(description, byte)

    # --- collections

    async def _enter_alone(self) -> Description:
        for _ in range(OPENINGS):
            description = self._files.use_alone(GATE_FILE)
            try:
                await self._pass_alone(description.fd)
            except OSError as error:
                self._files.let_go(description, *_OF_COLLECTION)
                raise _cannot_be_locked(error) from error
            except BaseException:
                self._files.let_go(description, *_OF_COLLECTION)
                raise
            if self._files.keeps(description, *_OF_COLLECTION):
                return description
        raise keeps_changing(GATE_FILE)

    async def _pass_alone(self, fd: int) -> None:
        await pass_through(fd, COLLECTION, COLLECTION_STAGES, self._pace)
        with anyio.move_on_after(self.closed_seconds):  # who waits behind an earlier collection
            await self._pace.ask(lambda: not is_held(fd, WAITING))
        while not (await self._asks_closed(fd) or await self._asks(fd)):
            pass

    async def _asks_closed(self, fd: int) -> bool:
        try_lock(fd, CLOSED)  # who holds the collections' lock is alone with it
        is_inside = await self._asks(fd)
        if not is_inside:
            unlock(fd, CLOSED)
        return is_inside

    async def _asks(self, fd: int) -> bool:
        with anyio.move_on_after(self.closed_seconds):
            return await self._pace.ask(partial(try_lock, fd, GATE))
        return False


def _cannot_be_locked(error: OSError) -> StoreError:
    return store_failure(f"acni/lock/{GATE_FILE}", "cannot be locked", error)

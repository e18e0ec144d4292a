"""The locks of a state directory: what excludes what, between runtimes and within one.

| lock | taken by | excludes |
|---|---|---|
| gate | operations on attachments, shared; garbage collection, exclusive | one from the other |
| container | whatever changes an attachment of it | two operations on one container |
| record, claimed | an ADD, a delete by somebody's word | two attachments with one file name |
| interface, claimed | the same | two containers that are given one interface at once |
| first ADD | an ADD, where none of the network succeeded in this boot | other first ADDs of it |
| plugin type | a plugin's run, where the runs of its type are limited | more of its runs |

Rule 1: they are taken in this order, behind the container's queue; a plugin type together with a
    place among the running plugins, or not at all. Who needs one that comes earlier lets go of the
    later ones first.
Rule 2: every wait is bounded and can be cancelled at once, and who is cancelled holds nothing.
Rule 3: two tasks never hold one byte, whatever its names: their runtime has one description, of
    which the kernel would give the byte to both, and take it from both.
Rule 4: between tasks of a runtime it is first come, first served; between runtimes it is a
    turnstile, in which each runtime stands once for each lock.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    contextmanager,
    nullcontext,
)
from functools import partial
from typing import Literal

import anyio
from attrs import Factory, define, field

from acni.errors import AcniError
from acni.host.blocks import Block
from acni.host.locks import Place, is_held, place_of
from acni.host.queues import Queues
from acni.host.turnstile import Pace, pass_through, try_pass
from acni.store.gate import Gate
from acni.store.lockfiles import (
    OPENINGS,
    Description,
    LockFiles,
    cannot_be_locked,
    keeps_changing,
    open_lock_files,
)
from acni.store.typeplaces import TypePlaces
from acni.store.waiting import Describe, Watch, bounded, nobody_known


def _never() -> bool:
    return False


@define(eq=False, repr=False)
class Locks:
    """The locks of a state directory, for one runtime.

    Each method returns a context manager that takes the lock and holds it in its block.

    Attributes:
        gate: What operations pass together and a garbage collection alone.
    """

    _files: LockFiles
    gate: Gate = field(init=False)
    _queues: Queues[tuple[str, int]] = Factory(Queues[tuple[str, int]])
    _kept: dict[tuple[str, int], Description] = Factory(dict[tuple[str, int], Description])
    _pace: Pace = Factory(Pace)

    def __attrs_post_init__(self) -> None:
        self.gate = Gate(self._files)

    def container(
        self,
        container_id: str,
        *,
        until: float,
        describe: Describe = nobody_known,
        stays: Callable[[], bool] = _never,
        watch: Watch = nullcontext,
    ) -> AbstractAsyncContextManager[None]:
        """Exclude other operations on a container.

        Args:
            container_id: The container.
            until: When waiting ends, on the loop's clock.
            describe: Says who is in the way.
            stays: Asked at the end: whether it is to stay locked for other runtimes until this one
                has had it again, or is left.
            watch: Entered while it is waited for.

        Raises:
            Busy: another operation went on until then.
            StoreError: it cannot be locked.
        """
        what = "another operation on the container went on"
        bound = partial(bounded, until, what, describe, watch, container_id=container_id)
        return self._hold(place_of("container", container_id), bound, stays)

    def claim(
        self,
        kind: Literal["record", "interface"],
        name: str,
        *,
        seconds: float,
        refusal: Callable[[], AcniError] | None = None,
        stays: Callable[[], bool] = _never,
    ) -> AbstractAsyncContextManager[bool]:
        """Take a lock for which nobody stands in line; yields whether nobody else has it.

        Args:
            kind: What is claimed.
            name: Its name.
            seconds: For how long another runtime is asked again, which may be gone already. A task
                of this one is not waited for.
            refusal: Makes what is raised where somebody else has it.
            stays: Asked at the end: whether it is to stay locked for other runtimes, until
                `drop_claim` or until this one is left.

        Raises:
            AcniError: the refusal; somebody else has it.
            StoreError: it cannot be locked.
        """
        place = place_of(kind, name)
        key = place.file, place.byte
        held: list[Description] = []

        async def enter() -> bool:
            if key in self._kept:
                return True
            description = self._try(key, place)
            if description is None and key not in self._queues:
                with anyio.move_on_after(seconds):
                    description = await self._pace.ask(partial(self._try, key, place))
            if description is not None:
                held.append(description)
            elif refusal is not None:
                raise refusal()
            return bool(held)

        def leave() -> None:
            for description in held:
                self._leave(key, place, description, stays)

        return Block(enter, leave)

    def drop_claim(self, kind: Literal["record", "interface"], name: str) -> None:
        """Let go of a claim that stayed."""
        place = place_of(kind, name)
        description = self._kept.pop((place.file, place.byte), None)
        if description is not None:
            self._files.let_go(description, place.byte)

    def is_guarded(self, name: str) -> bool:
        """Tell whether a plugin holds the guard of that name, without opening a file for it.

        Raises:
            StoreError: that cannot be told.
        """
        place = place_of("guard", name)
        description = self._files.use(place.file)
        try:
            return is_held(description.fd, place.byte)
        except OSError as error:
            raise cannot_be_locked(place.file, error) from error
        finally:
            self._files.leave(description)

    def first_add(
        self,
        network: str,
        *,
        until: float,
        describe: Describe = nobody_known,
        watch: Watch = nullcontext,
    ) -> AbstractAsyncContextManager[None]:
        """Exclude other first ADDs of a network."""
        what = "the network's first attachment was being made"
        bound = partial(bounded, until, what, describe, watch, network=network)
        return self._hold(place_of("network", network), bound)

    def plugin_type(self, plugin_type: str, number: int) -> TypePlaces:
        """Return the places of a plugin's type, of which there are so many for all runtimes."""
        return TypePlaces(self._files, plugin_type, number)

    def _hold(
        self,
        place: Place,
        bound: Callable[[], AbstractContextManager[None]],
        stays: Callable[[], bool] = _never,
    ) -> AbstractAsyncContextManager[None]:
        key = place.file, place.byte
        held: list[Description] = []

        async def enter() -> None:
            # No checkpoint where it is free: a cancel scope alone costs more than the lock.
            description = self._try(key, place)
            if description is None:
                with bound():
                    description = await self._wait(key, place)
            held.append(description)

        def leave() -> None:
            self._leave(key, place, held.pop(), stays)

        return Block(enter, leave)

    def _leave(
        self,
        key: tuple[str, int],
        place: Place,
        description: Description,
        stays: Callable[[], bool],
    ) -> None:
        if stays():
            self._kept[key] = description
        else:
            self._files.let_go(description, place.byte)
        self._queues.give_back(key)

    def _try(self, key: tuple[str, int], place: Place) -> Description | None:
        if not self._queues.try_take(key):
            return None
        description = self._kept.pop(key, None)
        if description is not None:
            return description
        try:
            description = self._try_file(place)
        finally:
            if description is None:
                self._queues.give_back(key)
        return description

    async def _wait(self, key: tuple[str, int], place: Place) -> Description:
        await self._queues.take(key)
        try:
            return self._kept.pop(key, None) or await self._take_in_file(place)
        except BaseException:
            self._queues.give_back(key)
            raise

    def _try_file(self, place: Place) -> Description | None:
        for _ in range(OPENINGS):
            description = self._files.use(place.file)
            is_locked = False
            try:
                is_locked = try_pass(description.fd, place.byte, place.stages)
            except OSError as error:
                raise cannot_be_locked(place.file, error) from error
            finally:
                if not is_locked:
                    self._files.leave(description)
            if not is_locked:
                return None
            if self._files.keeps(description, place.byte):
                return description
        raise keeps_changing(place.file)

    async def _take_in_file(self, place: Place) -> Description:
        for _ in range(OPENINGS):
            description = self._files.use(place.file)
            try:
                await pass_through(description.fd, place.byte, place.stages, self._pace)
            except OSError as error:
                self._files.leave(description)
                raise cannot_be_locked(place.file, error) from error
            except BaseException:
                self._files.leave(description)
                raise
            if self._files.keeps(description, place.byte):
                return description
        raise keeps_changing(place.file)


@contextmanager
def open_locks(state_dir: str | os.PathLike[str]) -> Generator[Locks]:
    """Open the locks of a state directory; a forked child gives them up.

    Nothing is opened before it is needed, and what is open then stays open: at most 66 files, and
    one more for a garbage collection.
    """
    with open_lock_files(os.path.abspath(state_dir)) as files:
        yield Locks(files)

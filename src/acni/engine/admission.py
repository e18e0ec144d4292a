"""How many plugins run at once, and how many operations wait.

Rule 1: what undoes is never refused, and waits for no place behind what adds: deletes and
    collections have as many of their own, and the undo of an ADD needs none. Where a type is
    limited they go before every ADD of their runtime that waits, but not before one that has the
    turn already.
Rule 2: a type's turn is waited for before a place is: who waits for a type keeps no place from
    others.
Rule 3: who has begun goes before who has not; of a chain that is half made more is held.
Rule 4: waiting is bounded, and charged to no plugin's time but an undo's.

Types are limited for all runtimes on the state directory, places are each runtime's own.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import (
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from enum import IntEnum
from functools import partial
from typing import Final

from attrs import Factory, define, field

from acni.engine.settings import Limits
from acni.errors import Busy
from acni.host.places import Places
from acni.spec.names import PluginType
from acni.spec.plugin import Caps
from acni.store.locks import Locks
from acni.store.waiting import Watch, bounded

# The verbs that can be asked again; what undoes is not refused.
_REFUSED: Final = frozenset(("add", "check", "status"))


class Urgency(IntEnum):
    """Who goes before whom.

    UNDO undoes what an ADD did, DELETE deletes or collects, BEGUN goes on with a chain that makes
    or looks, NEW begins one.
    """

    UNDO = 0
    DELETE = 1
    BEGUN = 2
    NEW = 3


@define(eq=False)
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
    _adding: Places = field(init=False)
    _deleting: Places = field(init=False)
    _types: dict[PluginType, Places] = field(factory=dict[PluginType, Places], init=False)

    def __attrs_post_init__(self) -> None:
        self._adding = Places(self.limits.plugins, len(Urgency))
        self._deleting = Places(self.limits.plugins, len(Urgency))

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

    @asynccontextmanager
    async def place(
        self,
        plugin_type: PluginType,
        urgency: Urgency,
        *,
        until: float,
        watch: Watch = nullcontext,
    ) -> AsyncGenerator[None]:
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
        number = self.limits.per_type.get(plugin_type)
        async with AsyncExitStack() as held:
            if number is not None:
                of_type = self._of_type(plugin_type, number, urgency, until, watch)
                await held.enter_async_context(of_type)
            if urgency is not Urgency.UNDO:
                places = self._deleting if urgency is Urgency.DELETE else self._adding
                said = f"limits.plugins is {places.number}"
                bound = partial(
                    bounded, until, "every place for a plugin was taken", lambda: said, watch
                )
                await held.enter_async_context(_taken(places, urgency, bound))
            yield

    @asynccontextmanager
    async def _of_type(
        self,
        plugin_type: PluginType,
        number: int,
        urgency: Urgency,
        until: float,
        watch: Watch,
    ) -> AsyncGenerator[None]:
        places = self._types.get(plugin_type)
        if places is None:
            places = self._types[plugin_type] = Places(number, len(Urgency))
        said = f"limits.per_type is {number}"
        bound = partial(bounded, until, f"{plugin_type} ran", lambda: said, watch)
        async with _taken(places, urgency, bound) as place:
            if self.locks is None:
                yield
                return
            goes_first = urgency <= Urgency.DELETE
            # Each process begins elsewhere, or all would stand in line for the first one.
            other = (place + os.getpid()) % number
            lock = self.locks.plugin_type(
                plugin_type, other, until=until, goes_first=goes_first, watch=watch
            )
            async with lock:
                yield


@asynccontextmanager
async def _taken(
    places: Places, urgency: Urgency, bound: Callable[[], AbstractContextManager[None]]
) -> AsyncGenerator[int]:
    place = places.try_take()
    if place is None:
        with bound():
            place = await places.take(urgency)
    try:
        yield place
    finally:
        places.give_back(place)

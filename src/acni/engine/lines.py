"""Those who wait for places of a runtime's plugins, and in which order they are let in.

Rule 1: who is let in has all that it needs at once, a place in its room and one of its type, or
    nothing of it: who waits for the one keeps the other from nobody.
Rule 2: the more urgent goes first, then who came first; of those, that is, for whom all is free.
Rule 3: whoever gives something back lets others in. Another process tells nobody that it did so;
    that is asked for again and again, by the first of those who wait for it.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from enum import IntEnum
from typing import Protocol

import anyio
from attrs import define, field

from acni.errors import AcniError
from acni.host.turnstile import Pace


class Urgency(IntEnum):
    """Who goes before whom.

    UNDO undoes what an ADD did, DELETE deletes or collects, BEGUN goes on with a chain that makes
    or looks, NEW begins one.
    """

    UNDO = 0
    DELETE = 1
    BEGUN = 2
    NEW = 3

    @property
    def undoes(self) -> bool:
        return self <= Urgency.DELETE


@define(eq=False, repr=False)
class Room:
    """A number of places that are all alike.

    Attributes:
        number: How many there are.
        taken: How many of them are taken.
    """

    number: int
    taken: int = 0

    @property
    def is_full(self) -> bool:
        return self.taken >= self.number


class OfType(Protocol):
    """The places of a plugin's type; see `acni.store.typeplaces`."""

    @property
    def are_all_ours(self) -> bool: ...

    def try_take(self, *, goes_first: bool) -> int | None: ...

    def give_back(self, index: int) -> None: ...

    def leave_line(self) -> None: ...

    def take_sign_down(self) -> None: ...


@define(eq=False, repr=False)
class Unshared:
    """The places of a type that no other runtime can know of.

    Attributes:
        number: How many there are.
    """

    number: int
    _taken: int = field(default=0, init=False)

    @property
    def are_all_ours(self) -> bool:
        return True

    def try_take(self, *, goes_first: bool) -> int | None:
        if self._taken >= self.number:
            return None
        self._taken += 1
        return 0

    def give_back(self, index: int) -> None:
        self._taken -= 1

    def leave_line(self) -> None:
        """There is none."""

    def take_sign_down(self) -> None:
        """There is none."""


@define(eq=False, repr=False, kw_only=True)
class Asking:
    """Who asks for a place.

    Attributes:
        urgency: Who it is.
        room: Where the place is; None for who needs none.
        of_type: The places of its type; None where that is not limited.
        number: How many asked before.
        asks: It is the first of its line, and what it waits for may be held by another process.
        index: Which place of its type it has.
        is_in: It has all that it needs.
        error: What kept it from getting one.
        news: Set when any of these three changed; made for who stands in a line.
    """

    urgency: Urgency
    room: Room | None
    of_type: OfType | None
    number: int = field(default=0, init=False)
    index: int | None = field(default=None, init=False)
    is_in: bool = field(default=False, init=False)
    asks: bool = field(default=False, init=False)
    error: AcniError | None = field(default=None, init=False)
    news: anyio.Event = field(init=False)

    @property
    def lacks_room(self) -> bool:
        return self.room is not None and self.room.is_full

    def raise_error(self) -> None:
        if self.error is not None:
            raise self.error

    def needs(self, *these: object) -> bool:
        return self.room in these or self.of_type in these

    def try_enter(self) -> Room | OfType | None:
        """Take all that is needed, or nothing.

        Returns:
            What there is too little of; None when it is in.

        Raises:
            StoreError: a type's place cannot be locked.
        """
        if self.room is not None and self.room.is_full:
            return self.room
        if self.of_type is not None:
            self.index = self.of_type.try_take(goes_first=self.urgency.undoes)
            if self.index is None:
                return self.of_type
        if self.room is not None:
            self.room.taken += 1
        self.is_in = True
        return None

    def leave(self) -> None:
        """Give all of it back."""
        self.is_in = False
        if self.room is not None:
            self.room.taken -= 1
        if self.of_type is not None and self.index is not None:
            self.of_type.give_back(self.index)


@define(eq=False, repr=False)
class Lines:
    """Those who wait in one runtime: a line for each urgency and for each thing that is needed."""

    _waiting: dict[tuple[Urgency, OfType | None], deque[Asking]] = field(
        factory=dict[tuple[Urgency, "OfType | None"], "deque[Asking]"], init=False
    )
    _numbers: Iterator[int] = field(factory=itertools.count, init=False)

    def try_enter(self, asking: Asking) -> bool:
        """Let somebody in for whom all is free, or put it into its line.

        Raises:
            StoreError: a type's place cannot be locked.
        """
        # Who waits although there is room waits for a type.
        if asking.of_type is None and asking.try_enter() is None:
            return True
        asking.number, asking.news = next(self._numbers), anyio.Event()
        self._waiting.setdefault((asking.urgency, asking.of_type), deque()).append(asking)
        self._let_in()
        asking.raise_error()
        return asking.is_in

    async def wait(self, asking: Asking) -> None:
        """Wait until who stands in line is let in; who is cancelled must give up.

        Raises:
            StoreError: a type's place cannot be locked.
        """
        pauses = Pace().pauses()
        while not asking.is_in:
            with anyio.move_on_after(next(pauses) if asking.asks else None):
                await asking.news.wait()
            asking.news = anyio.Event()
            if asking.asks:
                self._let_in()
            asking.raise_error()

    def give_up(self, asking: Asking) -> None:
        """Wait no longer, and have nothing."""
        if asking.is_in:
            self.leave(asking)
        elif asking.error is None:
            self._waiting[asking.urgency, asking.of_type].remove(asking)
            self._let_in()

    def leave(self, asking: Asking) -> None:
        """Give back what somebody has, and let in who waited for it."""
        asking.leave()
        if self._waiting:
            self._let_in()

    def _let_in(self) -> None:
        short: list[object] = []
        while firsts := [each for each in self._firsts() if not each.needs(*short)]:
            asking = min(firsts, key=lambda each: (each.urgency, each.number))
            try:
                lacking = asking.try_enter()
            except AcniError as error:
                asking.error, lacking = error, None
            if lacking is not None:
                short.append(lacking)
                continue
            self._waiting[asking.urgency, asking.of_type].popleft()
            asking.news.set()
        self._have_asked()
        self._withdraw()

    def _firsts(self) -> list[Asking]:
        return [line[0] for line in self._waiting.values() if line]

    def _have_asked(self) -> None:
        """Let those ask again and again who may wait for another process, and only these."""
        for asking in self._firsts():
            of_type = asking.of_type
            asks = of_type is not None and not of_type.are_all_ours and not asking.lacks_room
            if asks != asking.asks:
                asking.asks = asks
                asking.news.set()

    def _withdraw(self) -> None:
        """Stand in other runtimes' way only for those who could begin."""
        ready = [each for each in self._firsts() if not each.lacks_room]
        for of_type in {of_type for _, of_type in self._waiting if of_type is not None}:
            urgencies = [each.urgency for each in ready if each.of_type is of_type]
            if not any(each.undoes for each in urgencies):
                of_type.take_sign_down()
            if all(each.undoes for each in urgencies):
                of_type.leave_line()

"""The lanes of a trace: which operation is drawn in which, and how slices lie in one.

A lane is a thread of the format, and in one thread slices must nest: operations on a container that
are under way at the same time, one of them waiting, get a lane each.

Rule 1: a container's operations, one after the other, are in one lane.
Rule 2: the times in a lane never go back: what is drawn begins where the last thing was drawn, at
    the earliest. So nothing overlaps, whatever was measured on which clock.
Rule 3: whole microseconds: what a reader adds up is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal

from attrs import Factory, define, field

from acni.observe.tracefile import TraceEvent

Category = Literal["operation", "plugin", "undo", "phase", "wait", "event"]

# Of a node that never comes to rest, whoever was idle for longest gets a new lane when he is back.
# No viewer draws so many.
MOST_SUBJECTS: Final = 1 << 16


@define(eq=False)
class Lane:
    """A lane.

    Attributes:
        process: The process's number, the format's ``pid``.
        number: Its number in the file, the format's ``tid``.
        name: What it is called.
        is_taken: An operation is under way in it.
    """

    process: int
    number: int
    name: str
    is_taken: bool = False
    # Up to when it is drawn.
    _last: int = 0
    # What has begun in it, the outermost first.
    _slices: list[tuple[str, Category]] = Factory(list[tuple[str, Category]])

    def begun(self, name: str, category: Category, at: float, /, **said: object) -> TraceEvent:
        """Begin a slice."""
        self._slices.append((name, category))
        return self._event("B", name, category, said, ts=self._moved_to(at))

    def ended(self, category: Category, at: float, /, **said: object) -> Iterator[TraceEvent]:
        """End the innermost slice of a kind, and what did not end in it."""
        has_ended = category not in (kind for _, kind in self._slices)
        while not has_ended:
            name, kind = self._slices.pop()
            has_ended = kind == category
            args = said if has_ended else {}
            yield self._event("E", name, kind, args, ts=self._moved_to(at))

    def took(
        self, name: str, category: Category, at: float, seconds: float, /, **said: object
    ) -> TraceEvent:
        """Draw a slice that is over."""
        begun = max(_microseconds(at - seconds), self._last)
        lasted = self._moved_to(at) - begun
        return self._event("X", name, category, said, ts=begun, dur=lasted)

    def divided(self, at: float, phases: Mapping[str, float], rest: str) -> Iterator[TraceEvent]:
        """Divide what is not drawn of the innermost slice, up to now, among phases.

        Args:
            at: Now.
            phases: How long each took, in seconds, in their order.
            rest: The phase that took what the others leave.
        """
        last = self._last
        left = max(at - last / 1_000_000 - sum(phases.values()), 0.0)
        until = last / 1_000_000
        for name, seconds in phases.items():
            until = min(until + (left if name == rest else seconds), at)
            if _microseconds(until) > self._last:
                yield self.took(name, "phase", until, until - self._last / 1_000_000)

    def instant(self, name: str, at: float, /, **said: object) -> TraceEvent:
        """Draw something that takes no time."""
        return self._event("i", name, "event", said, ts=self._moved_to(at), s="t")

    def title(self) -> TraceEvent:
        """Say what it is called."""
        own = {"pid": self.process, "tid": self.number}
        return {"ph": "M", "name": "thread_name", **own, "args": {"name": self.name}}

    def _event(
        self, phase: str, name: str, category: Category, said: TraceEvent, **more: object
    ) -> TraceEvent:
        own = {"ph": phase, "name": name, "cat": category, "pid": self.process, "tid": self.number}
        return {**own, **more, "args": said} if said else {**own, **more}

    def _moved_to(self, at: float) -> int:
        self._last = max(self._last, _microseconds(at))
        return self._last


@define(eq=False)
class Lanes:
    """All lanes of a trace.

    Attributes:
        process: The process's number.
        announce: Called with each new lane.
        most: Of how many subjects the lanes are known.
    """

    process: int
    announce: Callable[[Lane], object]
    most: int = MOST_SUBJECTS
    _by_subject: dict[str, list[Lane]] = field(factory=dict[str, list[Lane]], init=False)
    _count: int = field(default=0, init=False)

    def take(self, subject: str) -> Lane:
        """Take a lane of a subject for an operation; it is free again once ``is_taken`` is not."""
        lanes = self._lanes_of(subject)
        lane = next((lane for lane in lanes if not lane.is_taken), None)
        if lane is None:
            lane = self._made(subject, lanes)
        lane.is_taken = True
        return lane

    def first(self, subject: str) -> Lane:
        """Return a subject's first lane, for what is drawn beside operations."""
        lanes = self._lanes_of(subject)
        return lanes[0] if lanes else self._made(subject, lanes)

    def _lanes_of(self, subject: str) -> list[Lane]:
        lanes = self._by_subject.pop(subject, None)
        if lanes is None:
            self._forget_one()
            lanes = []
        # Behind all others: the first is the one that was idle for longest.
        self._by_subject[subject] = lanes
        return lanes

    def _made(self, subject: str, lanes: list[Lane]) -> Lane:
        self._count += 1
        name = f"{subject} ({len(lanes) + 1})" if lanes else subject
        lane = Lane(self.process, self._count, name)
        lanes.append(lane)
        self.announce(lane)
        return lane

    def _forget_one(self) -> None:
        if len(self._by_subject) < self.most:
            return
        for subject, lanes in self._by_subject.items():
            if not any(lane.is_taken for lane in lanes):
                del self._by_subject[subject]
                return


def _microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)

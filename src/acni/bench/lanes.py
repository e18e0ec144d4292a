"""Where the time of one operation went, computed from what its observers were told.

Rule 1: every moment between the call and its return lies in a lane: waiting, a plugin's, the
    runtime's before, between and after the plugins, or "other". "other" is what the caller
    waited while no event says why: before the operation began, and after it ended.
Rule 2: a plugin's lane is what its events enclose. In it lie the queue, the spawn, the plugin's own
    run and the reading, as the events tell them; the rest is the runtime's: finding the plugin,
    its request, its response.
Rule 3: "waiting" is what was waited for others before the first plugin. Where it overlaps a plugin
    (a container's debt is settled first, a version is asked for), the plugin's lane has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeGuard

from attrs import frozen

from acni.events import (
    Event,
    LockWaited,
    OperationFinished,
    OperationStarted,
    PluginFinished,
    PluginStarted,
)

WAITING: Final = "waiting"
RUNTIME: Final = "runtime"
QUEUE: Final = "queue"
SPAWN: Final = "spawn"
RUN: Final = "run"
READ: Final = "read"
OTHER: Final = "other"
PHASES: Final = (WAITING, RUNTIME, QUEUE, SPAWN, RUN, READ, OTHER)

BEFORE: Final = "before the plugins"
BETWEEN: Final = "between the plugins"
AFTER: Final = "after the plugins"


@frozen
class Piece:
    """A stretch of time in a lane.

    Attributes:
        phase: What was done: one of PHASES.
        begin: When it began, in seconds since the call.
        seconds: How long it took.
    """

    phase: str
    begin: float
    seconds: float


@frozen
class Lane:
    """One line of a waterfall.

    Attributes:
        name: A plugin's type, or what else was going on.
        pieces: Its pieces, in order.
    """

    name: str
    pieces: tuple[Piece, ...]

    @property
    def seconds(self) -> float:
        """How long all of them took together."""
        return sum(piece.seconds for piece in self.pieces)

    def phase_seconds(self, phase: str) -> float:
        """How long a phase took."""
        return sum(piece.seconds for piece in self.pieces if piece.phase == phase)


@frozen(kw_only=True)
class Waterfall:
    """One operation.

    Attributes:
        seconds: From the call to its return.
        lanes: Where they went.
    """

    seconds: float
    lanes: tuple[Lane, ...]

    def lane(self, name: str) -> Lane:
        """Return the lane of that name; an empty one where there is none."""
        return next((lane for lane in self.lanes if lane.name == name), Lane(name, ()))


def waterfall_of(events: Sequence[Event], begun: float, ended: float) -> Waterfall:
    """Say where the time of an operation went.

    Args:
        events: What it told its observers, in order, from its beginning to its end.
        begun: When it was called, as ``time.monotonic`` tells it.
        ended: When the call returned.
    """
    started = next((event.at for event in events if isinstance(event, OperationStarted)), begun)
    finished = next((event.at for event in events if isinstance(event, OperationFinished)), ended)
    plugins = list(_plugin_lanes(events, begun))
    taken = [(lane.pieces[0].begin, _end(lane.pieces[-1])) for lane in plugins]
    inside = (started - begun, finished - begun)
    waits = _free(
        [_waited(event, begun) for event in events if isinstance(event, LockWaited)], taken, inside
    )
    gaps = _gaps([*taken, *waits], inside)
    first = min((begin for begin, _ in taken), default=inside[1])
    last = max((end for _, end in taken), default=inside[1])
    before = [gap for gap in gaps if gap[0] < first]
    after = [gap for gap in gaps if gap[0] >= last]
    between = [gap for gap in gaps if first <= gap[0] < last]
    other = [(0.0, inside[0]), (inside[1], ended - begun)]
    lanes = [
        _lane(WAITING, WAITING, waits),
        _lane(BEFORE, RUNTIME, before),
        *plugins,
        _lane(BETWEEN, RUNTIME, between),
        _lane(AFTER, RUNTIME, after),
        _lane(OTHER, OTHER, other),
    ]
    return Waterfall(seconds=ended - begun, lanes=tuple(lanes))


# From when to when, in seconds since the call.
_Span = tuple[float, float]


def _plugin_lanes(events: Sequence[Event], begun: float) -> Iterator[Lane]:
    """Iterate over the runs that came to their end, in the order of their beginnings."""
    seen: dict[str, int] = {}
    for place, event in enumerate(events):
        if not isinstance(event, PluginStarted):
            continue
        ending = next((later for later in events[place:] if _is_end(later, event)), None)
        if ending is not None:
            # A type may stand in a chain twice, and a DEL may be run again.
            name = event.plugin if event.command != "VERSION" else f"{event.plugin} VERSION"
            seen[name] = seen.get(name, 0) + 1
            numbered = name if seen[name] == 1 else f"{name} ({seen[name]})"
            yield Lane(numbered, _pieces(event.at - begun, ending.at - begun, ending))


def _is_end(event: Event, started: PluginStarted) -> TypeGuard[PluginFinished]:
    if not isinstance(event, PluginFinished):
        return False
    return (event.command, event.index) == (started.command, started.index)


def _pieces(begin: float, end: float, ending: PluginFinished) -> tuple[Piece, ...]:
    told = (
        (QUEUE, ending.queue_seconds),
        (SPAWN, ending.spawn_seconds),
        (RUN, ending.run_seconds),
        (READ, ending.read_seconds),
    )
    pieces: list[Piece] = []
    for phase, seconds in told:
        # Two clocks were read, one after the other.
        fitting = min(seconds, end - begin)
        pieces.append(Piece(phase, begin, fitting))
        begin += fitting
    return (*pieces, Piece(RUNTIME, begin, end - begin))


def _waited(event: LockWaited, begun: float) -> _Span:
    return event.at - event.seconds - begun, event.at - begun


def _gaps(spans: Sequence[_Span], inside: _Span) -> list[_Span]:
    """Return what no span covers."""
    gaps: list[_Span] = []
    at, end = inside
    for begin, until in sorted(spans):
        if begin > at:
            gaps.append((at, min(begin, end)))
        at = max(at, until)
    return [*gaps, (at, end)] if at < end else gaps


def _free(spans: Sequence[_Span], taken: Sequence[_Span], inside: _Span) -> list[_Span]:
    """Return what spans cover and ``taken`` does not, each moment once."""
    return _gaps([*_gaps(spans, inside), *taken], inside)


def _lane(name: str, phase: str, spans: Sequence[_Span]) -> Lane:
    return Lane(name, tuple(Piece(phase, begin, end - begin) for begin, end in spans))


def _end(piece: Piece) -> float:
    return piece.begin + piece.seconds

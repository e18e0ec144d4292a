"""The journal: what slots say, how they are written, taken and begun anew.

Kinds of frames, as :mod:`acni.store.intents` has them: ``add`` and ``del`` (an operation begins, or
is repeated as it stands), ``step``, ``deleted``, ``named``, ``end``; ``segment`` (what follows is
in the other file, and repeats what is open), ``alien`` (somebody else wrote that at the end of a
living slot, whose runtime does not know of it and writes over it), ``torn``.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import Any, Final, NamedTuple

from tests.store.model.world import ATTACHED, Case, Frame, Frames, Slot, State, is_here, marked, put

GONE: Final = "gone"
OWED: Final = "owed"

TORN: Final[Frame] = ("torn", -1)
SEGMENT: Final[Frame] = ("segment", -1)
ALIEN: Final = "alien"


class Entry(NamedTuple):
    """What a slot says of an operation.

    Attributes:
        verb: "add" or "del".
        next: The plugin whose DEL comes next.
        address: The last result.
        outcome: How it ended, or None.
        is_named: Its file was about to be renamed.
    """

    verb: str
    next: int
    address: int | None = None
    outcome: str | None = None
    is_named: bool = False

    def repeated(self, operation: int) -> Frame:
        """Return the frame that says all of it."""
        return (self.verb, operation, *self[1:])


class Note(NamedTuple):
    """An entry, and where it stands.

    Attributes:
        slot: The number of the slot.
        owner: Who writes it.
        operation: The operation.
        entry: What is said of it.
    """

    slot: int
    owner: int | None
    operation: int
    entry: Entry


@lru_cache(1 << 16)
def ledger(frames: Frames) -> dict[int, Entry]:
    """Read what a slot says, by operation; reading stops at the first bad frame."""
    says: dict[int, Entry] = {}
    for frame in frames:
        kind, operation, *facts = frame[2] if frame[0] == ALIEN else frame
        if kind == "torn":
            break
        if kind in {"add", "del"}:
            says[operation] = Entry(kind, *facts)
        elif operation in says:
            says[operation] = _changed(says[operation], kind, facts)
    return says


def _changed(entry: Entry, kind: str, facts: list[Any]) -> Entry:
    match kind:
        case "step":
            return entry._replace(address=facts[0])
        case "deleted":
            return entry._replace(next=facts[0] - 1)
        case "named":
            return entry._replace(is_named=True)
        case _:
            return entry._replace(outcome=facts[0])


def notes(s: State) -> Iterator[Note]:
    """Iterate over what all slots say."""
    for number, slot in enumerate(s.slots):
        for operation, entry in ledger(slot.frames).items():
            yield Note(number, slot.owner, operation, entry)


def is_open(s: State, operation: int, entry: Entry) -> bool:
    """Tell whether something may be held of which only the journal knows."""
    outcome = entry.outcome
    return outcome is None or (outcome == ATTACHED and not is_here(s, operation))


def opened(s: State, frames: Frames) -> dict[int, Entry]:
    """Return what is open in a slot."""
    return {
        operation: entry
        for operation, entry in ledger(frames).items()
        if is_open(s, operation, entry)
    }


def appended(case: Case, s: State, slot: int, frame: Frame) -> State:
    """Append a frame, over the torn one at the end."""
    return appended_to(case, s, slot, known(s.slots[slot].frames), frame)


def appended_to(case: Case, s: State, slot: int, frames: Frames, frame: Frame) -> State:
    """Append a frame to what whoever writes it believes to stand there."""
    said = frame[2] if frame[0] == ALIEN else frame
    if said[0] == "end" and said[2] == GONE:
        s = marked(s, said[1], gone_in=s.boot)
    return _said(s, slot, slimmed(s, (*whole(case, frames), frame)))


def whole(case: Case, frames: Frames) -> Frames:
    """Return the frames up to the first bad one: it is written over."""
    is_cut = TORN in frames and not case.has("torn_tail_not_cut")
    return frames[: frames.index(TORN)] if is_cut else frames


def known(frames: Frames) -> Frames:
    """Return what a slot's runtime knows of it: what itself wrote."""
    return tuple(frame for frame in frames if frame[0] != ALIEN)


def slimmed(s: State, frames: Frames) -> Frames:
    """Say what is open as shortly as possible where no power cut is to come: how it was said is
    never asked for again, and only makes more states.
    """
    if s.left.cuts or TORN in frames or SEGMENT in frames or known(frames) != frames:
        return frames
    return tuple(entry.repeated(operation) for operation, entry in opened(s, frames).items())


def synced(s: State, slot: int) -> State:
    """Sync a slot's newer segment."""
    old, _ = _segments(s.slots[slot].durable)
    older, newer = _segments(s.slots[slot].frames)
    durable = newer if older is None else (*(old or ()), SEGMENT, *newer)
    if older is not None and old is None:  # the older one was the only one when it was synced last
        durable = (*s.slots[slot].durable, SEGMENT, *newer)
    return s._replace(slots=put(s.slots, slot, s.slots[slot]._replace(durable=durable)))


def taken(case: Case, s: State, runtime: int) -> tuple[State, int]:
    """Let a runtime take the first slot that nobody has and in which nothing is open."""
    number = next((i for i, slot in enumerate(s.slots) if _is_free(case, s, slot)), len(s.slots))
    if number == len(s.slots):
        return s._replace(slots=(*s.slots, Slot(runtime, (), ()))), number
    slot = s.slots[number]
    s = s._replace(slots=put(s.slots, number, slot._replace(owner=runtime)))
    frames = whole(case, slot.frames)
    if not s.left.cuts and not opened(s, frames):
        frames = ()
    return _said(s, number, slimmed(s, frames)), number


def _is_free(case: Case, s: State, slot: Slot) -> bool:
    if slot.owner is not None:
        return False
    return not opened(s, slot.frames) or case.has("open_slot_taken")


def half_begun_segments(case: Case, s: State, slot: int) -> Iterator[State]:
    """Iterate over the ways in which beginning a segment may be cut short."""
    frames = whole(case, s.slots[slot].frames)
    repeated = _repeated(case, s, frames)
    for count in range(len(repeated)):
        yield _said(s, slot, (*frames, SEGMENT, *repeated[:count]))


def with_segment(case: Case, s: State, slot: int) -> State:
    """Begin a segment, which repeats what is open: both count."""
    frames = whole(case, s.slots[slot].frames)
    return _said(s, slot, (*frames, SEGMENT, *_repeated(case, s, frames)))


def has_two_segments(s: State, slot: int) -> bool:
    """Tell whether both segments of a slot count."""
    return SEGMENT in s.slots[slot].frames


def with_old_void(case: Case, s: State, slot: int) -> State:
    """Make the older segment void: what is open is in the newer one, which is synced."""
    _, newer = _segments(whole(case, s.slots[slot].frames))
    durable = newer if s.left.cuts else ()
    return s._replace(
        slots=put(s.slots, slot, s.slots[slot]._replace(frames=newer, durable=durable))
    )


def after_cut(case: Case, slot: Slot) -> set[Frames]:
    """Return what a power cut may leave of a slot: of each segment something between what was
    synced and what was written.
    """
    older, newer = _segments(slot.frames)
    durable_older, durable_newer = _segments(slot.durable)
    if older is not None and durable_older is None:
        durable_older, durable_newer = durable_newer, ()
    found: set[Frames] = {slot.durable}
    if older is None:
        found |= _between(durable_newer, newer)
    else:
        for old, new in product(
            _between(durable_older or (), older), _between(durable_newer, newer)
        ):
            found.add((*old, SEGMENT, *new))
    return found | ({()} if case.has("slot_file_unsynced") else set())


def _between(durable: Frames, frames: Frames) -> set[Frames]:
    if frames[: len(durable)] != durable:
        return {durable, frames}
    return {frames[:count] for count in range(len(durable), len(frames) + 1)}


def _segments(frames: Frames) -> tuple[Frames | None, Frames]:
    """Split frames into those of the older segment, None where it is void, and of the newer one."""
    if SEGMENT not in frames:
        return None, frames
    at = frames.index(SEGMENT)
    return frames[:at], frames[at + 1 :]


def _repeated(case: Case, s: State, frames: Frames) -> Frames:
    """Return what is open, as it stands."""
    is_bare = case.has("segment_carries_begin_only")
    last = case.scenario.chain - 1
    return tuple(
        (Entry(entry.verb, last) if is_bare else entry).repeated(operation)
        for operation, entry in opened(s, frames).items()
    )


def _said(s: State, slot: int, frames: Frames) -> State:
    return s._replace(slots=put(s.slots, slot, s.slots[slot]._replace(frames=frames)))

"""Records, and what a power cut leaves in their places."""

from __future__ import annotations

from tests.store.model.world import ATTACHED, BAD, Place, Record, State, is_here, put


def filed(s: State, attachment: int, record: Record | None, *, durably: bool = False) -> State:
    """Put a record in its place, or remove it. What was not synced may stand there after a power
    cut, or rubbish: files are used again.
    """
    after_cut: frozenset[Record | None] = frozenset()
    if s.left.cuts:
        after_cut = frozenset({record})
        if not durably:
            after_cut |= s.places[attachment].after_cut | {BAD}
    return s._replace(places=put(s.places, attachment, Place(record, after_cut)))


def synced(s: State) -> State:
    """Sync every record."""
    places = tuple(
        Place(place.now, frozenset({place.now} if s.left.cuts else ())) for place in s.places
    )
    return s._replace(places=places)


def record_of(s: State, attachment: int) -> Record | None:
    """Return what can be read in a record's place."""
    record = s.places[attachment].now
    return None if record == BAD else record


def is_old(s: State, record: Record | None) -> bool:
    """Tell whether a record says attached, and that was in an earlier boot."""
    return record is not None and record.state == ATTACHED and not is_here(s, record.operation)

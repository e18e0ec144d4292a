"""What is wrong where several runtimes work, are killed, and are replaced."""

from __future__ import annotations

import fcntl
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from attrs import Factory, define

from acni.host.host import this_host
from acni.host.locks import is_held
from acni.spec.attachment import AttachmentId
from acni.store.intents import Intent, record_of
from acni.store.record import Record
from acni.store.records import Records
from tests.crash.scenarios import Ground
from tests.crash.workers import held_by
from tests.crash.world import Note, look

_NEVER: Final = float("inf")

# What a complaint tells of the container's past.
_PAST: Final = 16


@define(eq=False)
class Log:
    """What plugins wrote down, read as it grows.

    Attributes:
        path: Where.
        runs: How many began.
    """

    path: Path
    runs: int = 0
    _read: int = 0
    _latest: dict[int, Note] = Factory(dict[int, Note])
    _past: dict[str, deque[Note]] = Factory(dict[str, deque[Note]])

    def complaints(self, killed: Mapping[str, float]) -> Iterator[str]:
        """Complain of plugins that met, and of an ADD of what was held, since the last time.

        Args:
            killed: When runtimes were killed, by their names.
        """
        for note in self._new():
            past = self._past.setdefault(_container(note), deque(maxlen=_PAST))
            past.append(note)
            match note.what:
                case "start":
                    self.runs += 1
                    self._latest[note.pid] = note
                case "twice":
                    yield f"ADD of what is held: {_told(past, killed)}"
                case "overlap":
                    # It began, and said so, before it held the lock.
                    other = self._latest[note.beside]
                    if not any(_is_stray_check(one, note.at, killed) for one in (note, other)):
                        yield (
                            f"at once, the last one with {other.verb} {other.plugin} "
                            f"{other.attachment}, process {other.pid} of runtime {other.runtime}: "
                            f"{_told(past, killed)}"
                        )
                case _:
                    pass

    def _new(self) -> Iterator[Note]:
        with self.path.open("rb") as file:
            file.seek(self._read)
            # What is being written just now may be there in part.
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read += len(whole + newline)
        yield from map(Note.parse, whole.decode().splitlines())


def _container(note: Note) -> str:
    return note.attachment.rpartition("-")[0]


def _told(past: Iterable[Note], killed: Mapping[str, float]) -> str:
    """Tell what was done for a container, and when the runtimes that did it were killed."""
    notes = tuple(past)
    lines = {
        note.at: f"{note.what} {note.verb} {note.plugin} {note.attachment}, "
        f"process {note.pid} of runtime {note.runtime}"
        for note in notes
    }
    ends = {killed[name]: f"runtime {name} is killed" for name in _runtimes(notes) & killed.keys()}
    told = sorted((lines | ends).items())
    return "".join(f"\n        {at:.4f} {what}" for at, what in told)


def _runtimes(notes: Iterable[Note]) -> set[str]:
    return {note.runtime for note in notes}


def _is_stray_check(note: Note, at: float, killed: Mapping[str, float]) -> bool:
    """Tell whether it is a CHECK of a runtime that was dead by then: it changes nothing, so nobody
    waits for it.
    """
    return note.verb == "CHECK" and killed.get(note.runtime, _NEVER) < at


def about_what_is_noted(ground: Ground) -> Iterator[str]:
    """Complain of what a plugin holds and nothing in the state directory tells of, while every
    runtime is dead or stopped; their plugins may go on.
    """
    held = _held(ground)  # first: what is taken from now on was noted before
    records, intents = _notes(ground)
    noted = {one.id for one in (*records, *map(record_of, intents))}
    for name in sorted(held):
        container, _, ifname = name.partition("/")[2].rpartition("-")
        if AttachmentId(container, ifname) not in noted:
            yield f"held and noted nowhere: {name}"


def about_what_is_attached(ground: Ground) -> Iterator[str]:
    """Complain where what is held is not what is attached, once all that was left is settled."""
    records, intents = _notes(ground)
    yield from (f"left open: {intent}" for intent in intents)
    yield from (f"owed: {record.id}" for record in records if record.owed is not None)
    wanted = {name for record in records for name in held_by(record.id)}
    held = _held(ground)
    yield from (f"held and not attached: {name}" for name in sorted(held - wanted))
    yield from (f"attached and not held: {name}" for name in sorted(wanted - held))


def about_the_end(ground: Ground) -> Iterator[str]:
    """Complain of what is there when everything was detached and no runtime runs."""
    records, intents = _notes(ground)
    yield from (f"left open: {intent}" for intent in intents)
    yield from (f"a record is left: {record.id}" for record in records)
    seen = look(ground)
    yield from (f"still held: {name}" for name in sorted(seen.held))
    yield from seen.about_litter(keeps=False)
    yield from (f"still locked: {name}" for name in _locked(ground.state_dir))


def _held(ground: Ground) -> set[str]:
    held = ground.world / "held"
    return {str(path.relative_to(held)) for path in held.glob("*/*")}


def _notes(ground: Ground) -> tuple[list[Record], list[Intent]]:
    """Read the records, debts among them, and what is open in any journal."""
    reader = Records.look(str(ground.state_dir))
    try:
        slots = list(reader.slots(this_host().boot))
        records = [*reader.readable(), *reader.debts_aside()]
    finally:
        reader.close()
    return records, [intent for slot in slots for intent in slot.intents]


def _locked(state_dir: Path) -> Iterator[str]:
    """Iterate over what anybody holds a lock of: a byte of a file, or the whole of it."""
    for path in sorted((state_dir / "acni").rglob("*")):
        fd = os.open(path, os.O_RDONLY)
        try:
            if not path.is_dir() and is_held(fd, 0, 0):
                yield str(path)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield str(path)
        finally:
            os.close(fd)

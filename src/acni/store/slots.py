"""Slots: each runtime on a state directory writes one, and others look into those of dead ones.

::

    acni/journal/000, 000.1     the two segments of a slot

A slot is locked as long as its runtime lives. It is dead when the lock is free, or when the process
that its last `open` frame names is gone: a forked child of that process may keep the lock for ever.
Who begins takes the first slot that is free and in which nothing is open; what is open in a dead
one is settled by whoever needs that container, under its lock, and noted there as ended.

Rule 1: who writes to a slot that is not his, or is about to take one, holds its second byte: for as
    long as a few writes take. Only under it is a slot dead for certain.
Rule 2: what is open in a dead slot is settled where it is, and noted there: so it is never open in
    two places, and its spare file is nobody else's. The slot is free once all of it has ended.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from attrs import frozen

from acni.errors import StoreError
from acni.host.files import close_all, is_plain, write_at
from acni.host.host import Host
from acni.host.libc import syncfs
from acni.host.locks import is_held, try_lock, unlock
from acni.host.processes import ProcessIdentity, is_gone, own_identity
from acni.store.directory import names_in, store_failure
from acni.store.frames import Reading, encode, read_frames
from acni.store.intents import Intent, Outcome, end_facts, is_open, record_of, replay, step_facts
from acni.store.journal import LOCK, SEGMENT_BYTES, Journal, Segment
from acni.store.quarantine import Quarantine

# Of each segment; one that open operations made grow has some MiB.
_MAX_BYTES: Final = 256 << 20
_WIDTH: Final = 3
_MOST: Final = 10**_WIDTH
_WRITES: Final = 1
# Whoever holds the second byte does so for some writes, or is being stopped by a debugger.
_MOST_TRIES: Final = 500
_PAUSE_SECONDS: Final = 0.002
_MAKE: Final = os.O_CREAT | os.O_EXCL
_FLAGS: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@frozen(kw_only=True)
class SlotView:
    """What a slot says, seen from outside.

    Attributes:
        name: Its name.
        intents: What is open in it.
        opener: Who wrote it last.
        is_alive: That runtime still lives.
        last: The number of its last frame.
    """

    name: str
    intents: tuple[Intent, ...]
    opener: ProcessIdentity | None
    is_alive: bool
    last: int


def look_at_slots(directory: int | None, boot: str) -> Iterator[SlotView]:
    """Look at every slot, changing nothing; one that cannot be read says nothing."""
    if directory is None:
        return
    for name in slot_names(directory):
        view = look_at_slot(directory, name, boot)
        if view is not None:
            yield view


def _open_to_look(name: str, directory: int) -> int:
    return _regular(os.open(name, os.O_RDONLY | _FLAGS, dir_fd=directory), name)


def look_at_slot(directory: int, name: str, boot: str) -> SlotView | None:
    """Look at one slot; None where there is none that can be read."""
    segments: list[int] = []
    try:
        segments.append(_open_to_look(name, directory))
        with contextlib.suppress(FileNotFoundError):  # its runtime is locked all the same
            segments.append(_open_to_look(f"{name}.1", directory))
        readings = [_read(fd) for fd in segments]
        return _view(name, segments[0], readings, boot)
    except OSError:
        return None
    finally:
        close_all(*segments)


def is_taken(directory: int, name: str) -> bool:
    """Tell whether somebody has a slot's lock: its runtime, or a child of that."""
    try:
        fd = _open_to_look(name, directory)
    except OSError:
        return False
    try:
        return is_held(fd, LOCK)
    finally:
        close_all(fd)


@frozen
class Remains:
    """A dead runtime's slot, in which whoever settles what is open there notes how far it comes.

    Who has the container's lock notes what is of that container, and others what is of others: all
    at once.

    Attributes:
        directory: Where slots lie, open.
        name: The slot's name.
        boot: This boot.
    """

    directory: int
    name: str
    boot: str

    def step(self, operation: str, index: int, result: str | None) -> None:
        """Note a plugin's result, or without one that it let go.

        Raises:
            StoreError: it could not be noted, or its runtime lives; the next plugin may not run.
        """
        self._append(step_facts(operation, index, result))

    def end(self, operation: str, outcome: Outcome) -> None:
        """Note how an operation ended.

        Raises:
            StoreError: it could not be noted, or its runtime lives; it stays open.
        """
        self._append(end_facts(operation, outcome))

    def _append(self, facts: Mapping[str, object]) -> None:
        place = f"acni/journal/{self.name}"
        fds: list[int] = []
        try:
            fds += (self._open(each) for each in _files_of(self.name))
            with _writing(fds[0]) as has_byte:
                readings = [_read(fd) for fd in fds]
                view = _view(self.name, fds[0], readings, self.boot)
                if not has_byte or view.is_alive:
                    raise StoreError("is another runtime's", place=place, expected="a dead one's")
                newest = max(range(len(fds)), key=lambda at: _last(readings[at]))
                write_at(fds[newest], encode(view.last + 1, facts), readings[newest].end)
        except OSError as error:
            raise store_failure(place, "cannot be written", error) from error
        finally:
            close_all(*fds)

    def _open(self, file: str) -> int:
        return _regular(os.open(file, os.O_RDWR | _FLAGS, dir_fd=self.directory), file)


@contextmanager
def _writing(fd: int) -> Generator[bool]:
    """Hold the byte of who writes to a slot that is not his; yields whether it could be had."""
    is_ours = False
    for _ in range(_MOST_TRIES):
        is_ours = try_lock(fd, _WRITES)
        if is_ours:
            break
        time.sleep(_PAUSE_SECONDS)
    try:
        yield is_ours
    finally:
        if is_ours:
            # What cannot be unlocked goes with the description, and is no reason to lose what was
            # read meanwhile.
            with contextlib.suppress(OSError):
                unlock(fd, _WRITES)


@frozen
class Slots:
    """The slots of a state directory, for a runtime that opens it.

    Attributes:
        directory: Where they lie, open.
        quarantine: Where what is damaged is kept.
        host: This boot.
    """

    directory: int
    quarantine: Quarantine
    host: Host

    def take(self) -> Journal:
        """Take the first slot that is free and in which nothing is open.

        Raises:
            StoreError: there is none.
            OSError: none can be made.
        """
        for number in range(_MOST):
            name = f"{number:0{_WIDTH}d}"
            segments = self._open(name)
            if segments is None:
                continue
            journal = self._take(name, segments)
            if journal is not None:
                return journal
        raise StoreError("every slot is taken", place="acni/journal", expected="a free slot")

    def _open(self, name: str) -> list[Segment] | None:
        """Open a slot and lock it; None where somebody else has the lock."""
        segments: list[Segment] = []
        try:
            for segment in _files_of(name):
                fd = _open_segment(self.directory, segment, self.quarantine)
                segments.append(Segment(fd))
                if segment == name and not try_lock(fd, LOCK):
                    close_all(fd)
                    return None
                segments[-1].size = os.fstat(fd).st_size
                if segments[-1].size == 0:
                    _allocate(segments[-1])
        except BaseException:
            close_all(*(segment.fd for segment in segments))
            raise
        return segments

    def _take(self, name: str, segments: list[Segment]) -> Journal | None:
        """Take a slot that is locked; None where something is open in it."""
        is_ours = False
        try:
            with _writing(segments[0].fd) as has_byte:
                journal = self._journal(name, segments) if has_byte else None
                is_ours = journal is not None
                return journal
        finally:
            if not is_ours:
                close_all(*(segment.fd for segment in segments))

    def _journal(self, name: str, segments: list[Segment]) -> Journal | None:
        readings = [_read(segment.fd) for segment in segments]
        for reading, segment in zip(readings, segments, strict=True):
            segment.end = reading.end
        ledger = replay(frame for reading in readings for frame in reading.frames)
        left = [one for one in ledger.intents.values() if is_open(one, self.host.boot)]
        if any(map(_is_readable, left)):
            return None
        is_damaged = ledger.is_corrupt or bool(left)
        # What is void may be as damaged as it likes.
        is_damaged |= any(reading.damage > ledger.since for reading in readings)
        if is_damaged:
            for segment in segments:
                self.quarantine.keep_copy(f"journal-{name}", _bytes_of(segment.fd))
        older, newer = sorted(map(_last, readings))
        if newer == 0:
            os.fsync(self.directory)  # the names of what is new, before anything in it counts
        if _last(readings[1]) == newer:
            segments.reverse()
        journal = Journal(
            slot=name,
            active=segments[0],
            other=segments[1],
            number=newer + 1,
            opener=own_identity(),
            boot=self.host.boot,
            intents={},
        )
        if is_damaged:
            journal.repeat()
            self._leave_behind(journal)
        elif older >= ledger.since and older > 0:
            journal.repeat()  # both segments count: its runtime died in between
        else:
            journal.sign()
        return journal

    def _leave_behind(self, journal: Journal) -> None:
        """Make what is damaged void at once, as a copy of it is kept: else each opening would keep
        another one.
        """
        with contextlib.suppress(OSError, StoreError):  # then all of it goes on to count
            journal.sync()
            syncfs(self.directory)
            journal.make_old_void()
            journal.sync()


def _allocate(segment: Segment) -> None:
    """Allocate a new segment; a disk without room refuses operations one by one."""
    try:
        os.posix_fallocate(segment.fd, 0, SEGMENT_BYTES)
    except OSError:
        return
    segment.size = SEGMENT_BYTES
    os.fsync(segment.fd)


def _open_segment(directory: int, name: str, quarantine: Quarantine) -> int:
    flags = os.O_RDWR | _FLAGS
    for _ in range(3):
        try:
            return _regular(os.open(name, flags, dir_fd=directory), name)
        except FileNotFoundError:
            with contextlib.suppress(FileExistsError):  # somebody else was faster
                return os.open(name, flags | _MAKE, 0o600, dir_fd=directory)
        except OSError:
            if not _is_in_the_way(name, directory):
                raise
            quarantine.keep(name, directory)
    raise FileExistsError(name)


def _regular(fd: int, name: str) -> int:
    try:
        status = os.fstat(fd)
        if not is_plain(status):
            raise IsADirectoryError(name)
    except OSError:
        close_all(fd)
        raise
    return fd


def _is_in_the_way(name: str, directory: int) -> bool:
    """Tell whether something stands there that is no file of ours: a link, a pipe, a directory."""
    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    return not is_plain(status)


def _is_readable(intent: Intent) -> bool:
    try:
        record_of(intent)
    except StoreError:
        return False
    return True


def _view(name: str, fd: int, readings: list[Reading], boot: str) -> SlotView:
    ledger = replay(frame for reading in readings for frame in reading.frames)
    is_dead = not is_held(fd, LOCK) or (
        ledger.opener is not None and (ledger.boot != boot or is_gone(ledger.opener))
    )
    opened = (intent for intent in ledger.intents.values() if is_open(intent, boot))
    intents = tuple(filter(_is_readable, opened))
    return SlotView(
        name=name,
        intents=intents,
        opener=ledger.opener,
        is_alive=not is_dead,
        last=max(map(_last, readings)),
    )


def slot_names(directory: int) -> list[str]:
    """List the slots there are.

    Raises:
        StoreError: they cannot be listed.
    """
    return [name for name in names_in(directory, "acni/journal") if slot_of(name) == name]


def slot_of(file: str) -> str | None:
    """Return the name of the slot that a file is a segment of; None where it is none."""
    name = file.removesuffix(".1")
    return name if len(name) == _WIDTH and name.isascii() and name.isdecimal() else None


def _files_of(name: str) -> tuple[str, str]:
    return name, f"{name}.1"


def _read(fd: int) -> Reading:
    return read_frames(_bytes_of(fd))


def _bytes_of(fd: int) -> bytes:
    chunks: list[bytes] = []
    offset = 0
    while offset < _MAX_BYTES and (chunk := os.pread(fd, SEGMENT_BYTES, offset)):
        chunks.append(chunk)
        offset += len(chunk)
    return b"".join(chunks)


def _last(reading: Reading) -> int:
    return reading.frames[-1].number if reading.frames else 0

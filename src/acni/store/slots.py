"""Slots: each runtime on a state directory writes one, and others look into those of dead ones.

::

    acni/journal/000, 000.1     the two segments of a slot

A slot is locked as long as its runtime lives. It is dead when the lock is free, or when the process
that its last `open` frame names is gone: a forked child of that process may keep the lock for ever.
Who begins takes the first slot that is free and in which nothing is open; what is open in a dead
one is settled by whoever needs that container, under its lock.

Rule 1: who writes to a slot that is not his, or is about to take one, holds its second byte: for as
    long as a few writes take. Only under it is a slot dead for certain.
Rule 2: the first byte is locked by who takes a slot and by nobody else, not even for a moment: who
    sees it locked believes that what is open there is being worked on.
Rule 3: what is open in a dead slot is settled where it is, and noted there: so it is never open in
    two places, and its spare file is nobody else's. The slot is free once all of it has ended.
Rule 4: who took a slot closes a descriptor of it before he notes anything, so that those who watch
    the directory know of him.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from attrs import define, evolve, field, frozen

from acni.errors import StoreError
from acni.host.files import close_all, is_plain, write_at
from acni.host.host import Host
from acni.host.libc import syncfs
from acni.host.locks import is_held, try_lock, unlock
from acni.host.processes import ProcessIdentity, is_gone, own_identity
from acni.store.directory import DIRECTORY_FLAGS, NO_RECORD, names_in, store_failure
from acni.store.frames import Reading, begins_later_frame, encode, frames_after, read_frames
from acni.store.intents import (
    Intent,
    Ledger,
    Outcome,
    end_facts,
    is_open,
    record_of,
    replay,
    step_facts,
)
from acni.store.journal import LIVES, SEGMENT_BYTES, Journal, Segment
from acni.store.outline import Outline, claim_of
from acni.store.quarantine import Quarantine

# Of each segment; one that open operations made grow has some MiB.
_MAX_BYTES: Final = 256 << 20
_WIDTH: Final = 3
_MOST: Final = 10**_WIDTH
_WRITES: Final = 1
_MORE_BYTES: Final = 64 << 10
# Whoever holds the second byte does so for some writes, or is being stopped by a debugger.
_MOST_TRIES: Final = 500
_PAUSE_SECONDS: Final = 0.002
# What opening says of a directory, a link, a socket.
_NO_FILE: Final = (errno.EISDIR, errno.ELOOP, errno.ENXIO)
_MAKE: Final = os.O_CREAT | os.O_EXCL
_FLAGS: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@frozen(kw_only=True)
class SlotView:
    """What a slot says, seen from outside.

    Attributes:
        name: Its name.
        intents: What is open in it.
        claims: What each of those claims.
        opener: Who wrote it last.
        is_alive: That runtime still lives.
    """

    name: str
    intents: tuple[Intent, ...]
    claims: tuple[Outline, ...]
    opener: ProcessIdentity | None
    is_alive: bool


@frozen
class _Tail:
    """How far a slot was read.

    Attributes:
        inode: Which file has the newest frame.
        segment: Which of the two that is.
        end: Where the next one is written.
        last: The number of the newest one.
    """

    inode: int
    segment: int
    end: int
    last: int


def look_at_slots(
    directory: int | None, boot: str, *, but: str | None = None
) -> Iterator[SlotView]:
    """Look at every slot but that of a name, changing nothing; one that cannot be read says
    nothing.
    """
    if directory is None:
        return
    for name in slot_names(directory):
        if name == but:
            continue
        with contextlib.suppress(StoreError):
            view = look_at_slot(directory, name, boot)
            if view is not None:
                yield view


def look_at_slot(directory: int, name: str, boot: str) -> SlotView | None:
    """Look at one slot; None where there is none.

    Raises:
        StoreError: it cannot be read just now.
    """
    return Remains(directory, name, boot).look()


def is_taken(directory: int, name: str) -> bool:
    """Tell whether somebody has a slot's lock: its runtime, or a child of that.

    Raises:
        StoreError: it cannot be opened just now.
    """
    with _opened(directory, name, os.O_RDONLY) as fds:
        return bool(fds) and is_held(fds[0], LIVES)


@define(eq=False, repr=False)
class Remains:
    """A slot of another runtime: what is open in it and, once that is dead, where whoever settles
    it notes how far it comes. It is read once, and from there on what was added.

    Who has a container's lock notes what is of that container, and others what is of others: all at
    once.

    Attributes:
        directory: Where slots lie, open.
        name: The slot's name.
        boot: This boot.
    """

    directory: int
    name: str
    boot: str
    _ledger: Ledger = field(factory=Ledger, init=False)
    _tail: _Tail | None = field(default=None, init=False)
    # What an operation claims, where its record can be read, and of which text that was told.
    _claims: dict[str, tuple[str, Outline | None]] = field(
        factory=dict[str, tuple[str, Outline | None]], init=False
    )
    # Threads list what is left.
    _reading: threading.Lock = field(factory=threading.Lock, init=False)

    def look(self) -> SlotView | None:
        """Look at it; None where there is none.

        Raises:
            StoreError: it cannot be read just now.
        """
        try:
            with self._reading, _opened(self.directory, self.name, os.O_RDONLY) as fds:
                return self._view(is_alive=self._catch_up(fds)) if fds else None
        except StoreError as error:
            if isinstance(error.__cause__, OSError) and _is_no_segment(error.__cause__):
                return None
            raise

    def step(self, operation: str, index: int, result: str | None) -> None:
        """Note a plugin's result, or without one that it let go.

        Raises:
            StoreError: it could not be noted, or its runtime lives; the next plugin may not run.
        """
        self._append(step_facts(operation, index, result))

    def repeat(self, intent: Intent) -> None:
        """Note once more how far an operation came, and so whether anything can be noted.

        Raises:
            StoreError: nothing can, or its runtime lives; nothing of it may run.
        """
        self._append(intent.begin())

    def end(self, operation: str, outcome: Outcome) -> None:
        """Note how an operation ended.

        Raises:
            StoreError: it could not be noted, or its runtime lives; it stays open.
        """
        self._append(end_facts(operation, outcome))

    def _append(self, facts: Mapping[str, object]) -> None:
        with self._reading, _opened(self.directory, self.name, os.O_RDWR) as fds:
            if not fds:
                return  # removed, and what was open in it as well
            with _writing(fds[0]) as has_byte:
                if not has_byte or self._catch_up(fds) or self._tail is None:
                    place = _place(self.name)
                    raise StoreError("is another runtime's", place=place, expected="a dead one's")
                tail = self._tail
                frame = encode(tail.last + 1, facts)
                write_at(fds[tail.segment], frame, tail.end)
                self._tail = evolve(tail, end=tail.end + len(frame), last=tail.last + 1)
                self._ledger.take(facts)

    def _catch_up(self, fds: list[int]) -> bool:
        """Read what was added since the last look, or all of it; tell whether its runtime lives."""
        was_held = is_held(fds[0], LIVES)
        is_alive = self._read_on(fds)
        if was_held and not is_alive:
            is_alive = self._read_on(fds)  # its runtime may have gone on to write until it died
        return is_alive

    def _read_on(self, fds: list[int]) -> bool:
        if self._tail is None or not self._read_more(fds, self._tail):
            readings = [_read(fd) for fd in fds]
            self._ledger = _ledger_of(readings)
            newest = max(readings, key=_last)
            segment = readings.index(newest)
            inode = os.fstat(fds[segment]).st_ino
            self._tail = _Tail(inode, segment, newest.end, _last(newest))
        return is_held(fds[0], LIVES) and not _has_ended(self._ledger, self.boot)

    def _read_more(self, fds: list[int], tail: _Tail) -> bool:
        """Read what was added; tell whether that is all there is to know."""
        if tail.segment >= len(fds) or os.fstat(fds[tail.segment]).st_ino != tail.inode:
            return False
        while True:
            data = os.pread(fds[tail.segment], _MORE_BYTES, tail.end)
            frames, length = frames_after(data, tail.last)
            if not frames:
                self._tail = tail
                # A frame may be larger than what was read.
                return len(data) < _MORE_BYTES or not begins_later_frame(data, tail.last)
            for frame in frames:
                if frame.facts.get("kind") in ("open", "since"):
                    return False  # it was taken again meanwhile
                self._ledger.take(frame.facts)
            tail = evolve(tail, end=tail.end + length, last=frames[-1].number)

    def _view(self, *, is_alive: bool) -> SlotView:
        opened = (one for one in self._ledger.intents.values() if is_open(one, self.boot))
        claimed = [(one, self._claim(one)) for one in opened]
        return SlotView(
            name=self.name,
            intents=tuple(intent for intent, claim in claimed if claim is not None),
            claims=tuple(claim for _, claim in claimed if claim is not None),
            opener=self._ledger.opener,
            is_alive=is_alive,
        )

    def _claim(self, intent: Intent) -> Outline | None:
        """Return what an operation claims; None where its record cannot be read."""
        text, claim = self._claims.get(intent.operation, ("", None))
        if text is not intent.record:
            claim = _claim(intent)
            self._claims[intent.operation] = intent.record, claim
        return claim


@contextmanager
def _opened(directory: int, name: str, access: int) -> Generator[list[int]]:
    """Open the segments that there are of a slot, none where the one with its lock is missing.

    Raises:
        StoreError: it cannot be opened, read or written just now.
    """
    fds: list[int] = []
    try:
        for segment in files_of(name):
            try:
                fds.append(_regular(os.open(segment, access | _FLAGS, dir_fd=directory), segment))
            except OSError as error:
                if not _is_no_segment(error):
                    raise
                break
        yield fds
    except OSError as error:
        what = "cannot be read" if access == os.O_RDONLY else "cannot be written"
        raise store_failure(_place(name), what, error) from error
    finally:
        close_all(*fds)


def _is_no_segment(error: OSError) -> bool:
    """Tell whether there is none, or something else in its place."""
    is_other = error.errno in NO_RECORD and not _is_lost(error)
    return isinstance(error, (FileNotFoundError, IsADirectoryError)) or is_other


def _is_lost(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.EIO, errno.EUCLEAN)


def is_lost(error: StoreError) -> bool:
    """Tell whether a slot cannot be read for what its disk lost of it."""
    return _is_lost(error.__cause__)


@contextmanager
def _writing(fd: int, is_of_use: Callable[[], bool] = lambda: True) -> Generator[bool]:
    """Hold the byte of who writes to a slot that is not his; yields whether it could be had, as
    long as that is of use.
    """
    is_ours = False
    for _ in range(_MOST_TRIES):
        is_ours = is_of_use() and try_lock(fd, _WRITES)
        if is_ours or not is_of_use():
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
            journal = self._try(f"{number:0{_WIDTH}d}")
            if journal is not None:
                return journal
        raise StoreError("every slot is taken", place="acni/journal", expected="a free slot")

    def _try(self, name: str) -> Journal | None:
        """Take a slot; None where it is another runtime's, or something is open in it."""
        fds: list[int] = []
        journal: Journal | None = None
        try:
            for segment in files_of(name):
                fds.append(_open_segment(self.directory, segment, self.quarantine))
                if is_held(fds[0], LIVES):
                    return None
            with _writing(fds[0], lambda: not is_held(fds[0], LIVES)) as has_byte:
                journal = self._journal(name, fds) if has_byte else None
        finally:
            if journal is None:
                close_all(*fds)
        if journal is not None:
            self._tell(name)
        return journal

    def _tell(self, name: str) -> None:
        """Let those know who watch the directory; a look will do for those who cannot."""
        with contextlib.suppress(OSError):
            close_all(os.open(name, os.O_WRONLY | _FLAGS, dir_fd=self.directory))

    def _journal(self, name: str, fds: list[int]) -> Journal | None:
        readings = [_read(fd) for fd in fds]
        ledger = _ledger_of(readings)
        left = [one for one in ledger.intents.values() if is_open(one, self.host.boot)]
        if any(map(_claim, left)) or not try_lock(fds[0], LIVES):
            return None
        segments = [_segment(fd, one.end) for fd, one in zip(fds, readings, strict=True)]
        is_damaged = ledger.is_corrupt or bool(left)
        # What is void may be as damaged as it likes.
        is_damaged |= any(reading.damage > ledger.since for reading in readings)
        if is_damaged:
            for fd in fds:
                self.quarantine.keep_copy(f"journal-{name}", _bytes_of(fd))
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


def _segment(fd: int, end: int) -> Segment:
    """Take up a segment, allocating a new one; a full disk refuses operations one by one."""
    size = os.fstat(fd).st_size
    if size == 0:
        with contextlib.suppress(OSError):
            os.posix_fallocate(fd, 0, SEGMENT_BYTES)
            size = SEGMENT_BYTES
            os.fsync(fd)
    return Segment(fd, end, size)


def _open_segment(directory: int, name: str, quarantine: Quarantine) -> int:
    flags = os.O_RDWR | _FLAGS
    for _ in range(_MOST_TRIES):
        try:
            return _regular(os.open(name, flags, dir_fd=directory), name)
        except FileNotFoundError:
            with contextlib.suppress(FileExistsError):  # somebody else was faster
                return os.open(name, flags | _MAKE, 0o600, dir_fd=directory)
        except OSError as error:
            # It may be another one's file by now: what refused this one is out of the way then.
            if not _is_out_of_the_way(name, directory, quarantine) and error.errno not in _NO_FILE:
                raise
    raise FileExistsError(name)


def _is_out_of_the_way(name: str, directory: int, quarantine: Quarantine) -> bool:
    """Move what stands there aside, if that is no file of ours: a link, a pipe, a directory. One at
    a time does, or it would be the new file that the slower one moves.
    """
    fd = os.open(".", DIRECTORY_FLAGS, dir_fd=directory)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if is_plain(os.stat(name, dir_fd=fd, follow_symlinks=False)):
            return False
        quarantine.keep(name, fd)
    except BlockingIOError:
        time.sleep(_PAUSE_SECONDS)
    except FileNotFoundError:
        pass
    finally:
        close_all(fd)
    return True


def _regular(fd: int, name: str) -> int:
    try:
        status = os.fstat(fd)
        if not is_plain(status):
            raise IsADirectoryError(errno.EISDIR, "no regular file of one name", name)
    except OSError:
        close_all(fd)
        raise
    return fd


def _claim(intent: Intent) -> Outline | None:
    try:
        return claim_of(record_of(intent))
    except StoreError:
        return None


def _has_ended(ledger: Ledger, boot: str) -> bool:
    return ledger.opener is not None and (ledger.boot != boot or is_gone(ledger.opener))


def _ledger_of(readings: list[Reading]) -> Ledger:
    return replay(frame for reading in readings for frame in reading.frames)


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


def _place(name: str) -> str:
    return f"acni/journal/{name}"


def files_of(name: str) -> tuple[str, str]:
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

"""Slots: taken by a runtime that opens a state directory, and taken over from dead ones.

::

    acni/journal/000, 000.1     the two segments of a slot

A slot is locked as long as its runtime lives. It is dead when the lock is free, or when the process
that its last `open` frame names is gone: a forked child of that process may keep the lock for ever.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Final

from attrs import frozen

from acni.errors import Busy, StoreError
from acni.host.files import close_all, is_plain
from acni.host.host import Host
from acni.host.libc import syncfs
from acni.host.locks import is_held, try_lock
from acni.host.processes import ProcessIdentity, is_gone, own_identity
from acni.store.directory import DIRECTORY_FLAGS, names_in
from acni.store.frames import Reading, encode, read_frames
from acni.store.intents import Intent, is_open, record_of, replay, since_facts
from acni.store.journal import SEGMENT_BYTES, Journal, Segment
from acni.store.quarantine import Quarantine

# Of each segment; one that open operations made grow has some MiB.
_MAX_BYTES: Final = 256 << 20
_WIDTH: Final = 3
_MOST: Final = 10**_WIDTH
_LOCK: Final = 0
_ALONE: Final = "one runtime at a time on a state directory"
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


def look_at_slots(
    directory: int | None, boot: str, *, but: str | None = None
) -> Iterator[SlotView]:
    """Look at every slot but that of a name, changing nothing; one that cannot be read says
    nothing.
    """
    for name in _slot_names(directory):
        if name == but:
            continue
        segments: list[int] = []
        try:
            segments.append(_open_to_look(name, directory))
            with contextlib.suppress(FileNotFoundError):  # its runtime is locked all the same
                segments.append(_open_to_look(f"{name}.1", directory))
            readings = [_read(fd) for fd in segments]
            yield _view(name, segments[0], readings, boot)
        except OSError:
            continue
        finally:
            close_all(*segments)


def _open_to_look(name: str, directory: int | None) -> int:
    return _regular(os.open(name, os.O_RDONLY | _FLAGS, dir_fd=directory), name)


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
        """Take the first slot that is not locked, with what a dead runtime left open in it, and all
        that is open in slots whose lock a dead runtime's child keeps.

        Raises:
            Busy: a living runtime has the state directory, or is just opening it.
            StoreError: there is none.
            OSError: none can be made.
        """
        with self._alone():
            return self._take_first()

    @contextmanager
    def _alone(self) -> Generator[None]:
        """Open alone: of two that look at once who lives, neither would see the other."""
        fd = os.open(".", DIRECTORY_FLAGS, dir_fd=self.directory)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                yield
            finally:
                fcntl.flock(fd, fcntl.LOCK_UN)  # a forked child may have the description
        except BlockingIOError:
            raise Busy(
                "it is just being opened by another runtime", place="state_dir", expected=_ALONE
            ) from None
        finally:
            close_all(fd)

    def _take_first(self) -> Journal:
        # Nobody else opens or writes one meanwhile, so what is seen here holds till the end.
        views = list(look_at_slots(self.directory, self.host.boot))
        for view in views:
            if view.is_alive:
                raise Busy(
                    f"another runtime works with it{_pid(view.opener)}",
                    place="state_dir",
                    expected=_ALONE,
                )
        for number in range(_MOST):
            name = f"{number:0{_WIDTH}d}"
            segments = self._open(name)
            if segments is not None:
                others = [view for view in views if view.name != name]
                return self._take(name, segments, others)
        raise StoreError("every slot is taken", place="acni/journal", expected="a free slot")

    def _open(self, name: str) -> list[Segment] | None:
        """Open a slot and lock it; None where somebody else has the lock."""
        segments: list[Segment] = []
        is_new = False
        try:
            for segment in (name, f"{name}.1"):
                fd, is_made = _open_segment(self.directory, segment, self.quarantine)
                segments.append(Segment(fd))
                segments[-1].size = os.fstat(fd).st_size
                if segment == name and not try_lock(fd, _LOCK):
                    close_all(fd)
                    return None
                if is_made:
                    _allocate(segments[-1])
                is_new |= is_made
            if is_new:
                os.fsync(self.directory)  # their names, before anything in them counts
        except BaseException:
            close_all(*(segment.fd for segment in segments))
            raise
        return segments

    def _take(self, name: str, segments: list[Segment], others: list[SlotView]) -> Journal:
        try:
            readings = [_read(segment.fd) for segment in segments]
            for reading, segment in zip(readings, segments, strict=True):
                segment.end = reading.end
            ledger = replay(frame for reading in readings for frame in reading.frames)
            left = [one for one in ledger.intents.values() if is_open(one, self.host.boot)]
            readable = list(filter(_is_readable, left))
            is_damaged = ledger.is_corrupt or len(readable) < len(left)
            # What is void may be as damaged as it likes.
            is_damaged |= any(reading.damage > ledger.since for reading in readings)
            if is_damaged:
                for segment in segments:
                    self.quarantine.keep_copy(f"journal-{name}", _bytes_of(segment.fd))
            older, newer = sorted(map(_last, readings))
            if _last(readings[1]) == newer:
                segments.reverse()
            journal = Journal(
                place=f"acni/journal/{name}",
                active=segments[0],
                other=segments[1],
                number=newer + 1,
                opener=own_identity(),
                boot=self.host.boot,
                intents={intent.operation: intent for intent in readable},
            )
            if is_damaged:
                journal.repeat()
                self._leave_behind(journal)
            elif older >= ledger.since and older > 0:
                journal.repeat()  # both segments count: its runtime died in between
            else:
                journal.sign()
            _take_over_locked(journal, self.directory, others)
        except BaseException:
            close_all(*(segment.fd for segment in segments))
            raise
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


def _take_over_locked(journal: Journal, directory: int, others: list[SlotView]) -> None:
    """Take over what is open in slots that are dead and locked all the same: first it is durable
    here, then it is void there.
    """
    for view in others:
        if view.intents:
            for intent in view.intents:
                journal.begin(intent)
            journal.sync()
            _make_void(directory, view)


def _make_void(directory: int, view: SlotView) -> None:
    # Behind the newest frame, whichever segment has it: nobody writes there any more.
    for name in (view.name, f"{view.name}.1"):
        fd = os.open(name, os.O_RDWR | _FLAGS, dir_fd=directory)
        try:
            reading = _read(fd)
            if _last(reading) == view.last:
                void = encode(view.last + 1, since_facts(view.last + 1))
                os.pwrite(fd, void, reading.end)
        finally:
            close_all(fd)


def _allocate(segment: Segment) -> None:
    """Allocate a new segment; a disk without room refuses operations one by one."""
    try:
        os.posix_fallocate(segment.fd, 0, SEGMENT_BYTES)
    except OSError:
        return
    segment.size = SEGMENT_BYTES
    os.fsync(segment.fd)


def _open_segment(directory: int, name: str, quarantine: Quarantine) -> tuple[int, bool]:
    flags = os.O_RDWR | _FLAGS
    for _ in range(2):
        try:
            return _regular(os.open(name, flags, dir_fd=directory), name), False
        except FileNotFoundError:
            return os.open(name, flags | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=directory), True
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
    is_dead = not is_held(fd, _LOCK) or (
        ledger.opener is not None and (ledger.boot != boot or is_gone(ledger.opener))
    )
    intents = tuple(intent for intent in ledger.intents.values() if is_open(intent, boot))
    return SlotView(
        name=name,
        intents=intents,
        opener=ledger.opener,
        is_alive=not is_dead,
        last=max(map(_last, readings)),
    )


def _slot_names(directory: int | None) -> list[str]:
    names = names_in(directory, "acni/journal")
    return [name for name in names if len(name) == _WIDTH and name.isdecimal()]


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


def _pid(opener: ProcessIdentity | None) -> str:
    return f" (process {opener.pid})" if opener else ""

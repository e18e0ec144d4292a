"""Byte locks of open file descriptions, which hold between processes, and where in a file the lock
of a name lies (fcntl(2), "Open file description locks").

Why these: a POSIX lock is dropped by *any* close of its file in the process, a library's included,
and two tasks of one process never exclude each other; flock(2) has no ranges, so each name would
need a file. A lock of a description goes with its last descriptor: a killed process lets go, and
what inherited the descriptor holds on, which is how an orphaned plugin is noticed.

Rule 1: nothing here waits. A thread that is blocked in F_OFD_SETLKW cannot be cancelled, since the
    interpreter repeats the call after a signal, and takes the lock later, for nobody.
Rule 2: what a child inherits is unlocked, not closed: a close lets go only when no process has the
    descriptor any more, and a daemon of a plugin may have it for months.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
from typing import Final, Literal, get_args

from attrs import frozen

Kind = Literal["container", "guard", "record", "interface", "network", "plugin type"]

# How many neighbouring bytes the stages of a lock are: where who waits for it stands in line. Who
# finds the line full is passed by newcomers; with three stages one of four processes was passed up
# to 20 times, and now 3 times, as it must be, for one look at all of them costs no more.
STAGES: Final = 15

# struct flock of 64-bit Linux: type, whence, start, length, pid (0, or the kernel refuses it).
_FLOCK: Final = struct.Struct("hhqqi4x")
# Two for each kind, its bytes and its stages; sixteen have room below 2**62, offsets end at 2**63.
_SPAN: Final = 1 << 58
# The stages and a sign; a power of two, so that those of two names are the same bytes or have none
# in common.
_APART: Final = 16
# The kernel's list of the locks of one file is linear: 5 µs for a lock alone, 52 beside 2,000.
_FILES: Final = 64
# There are few networks and few types, so one file does.
_TYPES: Final = "types"
_IN_TYPES: Final = frozenset[Kind](("network", "plugin type"))
FILES: Final = (*(f"{number:02x}" for number in range(_FILES)), _TYPES)
_FIRST_OF: Final = {kind: index * 2 * _SPAN for index, kind in enumerate(get_args(Kind))}


@frozen
class Place:
    """Where the lock of a name lies.

    Attributes:
        file: The name of its file.
        byte: The byte that who has the lock holds.
        stages: The first of its stages.
        sign: The byte behind these: a sign for those who stand there.
    """

    file: str
    byte: int
    stages: int

    @property
    def sign(self) -> int:
        return self.stages + STAGES


def try_lock(fd: int, offset: int, *, shared: bool = False) -> bool:
    """Lock one byte for the description behind ``fd``; what it held of this byte is replaced.

    Args:
        fd: Open for writing; for reading, where the lock is to be shared.
        offset: The byte; it need not exist.
        shared: Others may hold it shared, too.

    Returns:
        False when another description holds it.

    Raises:
        OSError: there are no locks to be had (ENOLCK), they are not allowed (EACCES, EPERM) or the
            descriptor is not open as it must be (EBADF). Never a conflict, which is EAGAIN.
    """
    kind = fcntl.F_RDLCK if shared else fcntl.F_WRLCK
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, offset, 1, 0))
    except BlockingIOError:
        return False
    return True


def unlock(fd: int, offset: int) -> None:
    """Let go of one byte, whoever else has this description; nothing happens when it was not held.

    Raises:
        OSError: ENOLCK, EBADF.
    """
    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, offset, 1, 0))


def is_held(fd: int, offset: int, length: int = 1) -> bool:
    """Tell whether another description holds any of these bytes, shared or not.

    What the description behind ``fd`` holds itself is never in its way, so this says nothing about
    it. Any open descriptor will do: looking needs no write access.

    Raises:
        OSError: EBADF.
    """
    asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, offset, length, 0)
    kind: int = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_OFD_GETLK, asked))[0]
    return kind != fcntl.F_UNLCK


def place_of(kind: Kind, name: str) -> Place:
    """Find where the lock of a name lies; each kind has ranges of its own for bytes and stages.

    Two names may have one byte (once in 2**58 pairs; stages once in 2**54): then they wait for each
    other, and nothing worse.
    """
    digest = _digest(name)
    number = int.from_bytes(digest[8:16], "big")
    first = _FIRST_OF[kind]
    return Place(
        _TYPES if kind in _IN_TYPES else _file(digest),
        first + number % _SPAN,
        first + _SPAN + number % (_SPAN // _APART) * _APART,
    )


def byte_of(kind: Kind, name: str) -> int:
    """Find the byte of a name."""
    return place_of(kind, name).byte


def file_of(name: str) -> str:
    """Find the file that the bytes of a container or a namespace are in, "00" to "3f"."""
    return _file(_digest(name))


def _file(digest: bytes) -> str:
    return f"{digest[0] % _FILES:02x}"


def _digest(name: str) -> bytes:
    # Not os.fsencode: processes with other locales must come to the same place.
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()

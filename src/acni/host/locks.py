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

Kind = Literal["container", "stages", "guard", "netns"]

# How many neighbouring bytes the stages of a name are: where who waits for its lock stands in line.
STAGES: Final = 3

# struct flock of 64-bit Linux: type, whence, start, length, pid (0, or the kernel refuses it).
_FLOCK: Final = "hhqqi4x"
# Sixteen kinds have room below 2**62; offsets end at 2**63.
_SPAN: Final = 1 << 58
# A power of two, so that the stages of two names are the same bytes or have none in common.
_APART: Final = 4
# The kernel's list of the locks of one file is linear: 5 µs for a lock alone, 52 beside 2,000.
_FILES: Final = 64


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
    try:
        _call(fd, fcntl.F_OFD_SETLK, fcntl.F_RDLCK if shared else fcntl.F_WRLCK, offset)
    except BlockingIOError:
        return False
    return True


def unlock(fd: int, offset: int) -> None:
    """Let go of one byte, whoever else has this description; nothing happens when it was not held.

    Raises:
        OSError: ENOLCK, EBADF.
    """
    _call(fd, fcntl.F_OFD_SETLK, fcntl.F_UNLCK, offset)


def is_held(fd: int, offset: int, length: int = 1) -> bool:
    """Tell whether another description holds any of these bytes, shared or not.

    What the description behind ``fd`` holds itself is never in its way, so this says nothing about
    it. Any open descriptor will do: looking needs no write access.

    Raises:
        OSError: EBADF.
    """
    found = _call(fd, fcntl.F_OFD_GETLK, fcntl.F_WRLCK, offset, length)
    kind: int = struct.unpack(_FLOCK, found)[0]
    return kind != fcntl.F_UNLCK


def byte_of(kind: Kind, name: str) -> int:
    """Find the byte of a name, the first one for its stages; each kind has a range of its own.

    Two names may have one byte (once in 2**58 pairs; stages once in 2**56): then they wait for each
    other, and nothing worse.
    """
    width = _APART if kind == "stages" else 1
    digest = int.from_bytes(_digest(name)[8:16], "big")
    return get_args(Kind).index(kind) * _SPAN + digest % (_SPAN // width) * width


def file_of(name: str) -> str:
    """Find the file that all the bytes of a name are in, "00" to "3f"."""
    return f"{_digest(name)[0] % _FILES:02x}"


def _digest(name: str) -> bytes:
    # Not os.fsencode: processes with other locales must come to the same place.
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()


def _call(fd: int, command: int, kind: int, offset: int, length: int = 1) -> bytes:
    return fcntl.fcntl(fd, command, struct.pack(_FLOCK, kind, os.SEEK_SET, offset, length, 0))

"""The directory of a network's leases, open and locked as the reference's host-local locks it.

Rule 1: nothing in the directory is read or changed without the lock: whoever has it knows that what
    looks half made was left by somebody who is dead.
Rule 2: a blocked flock(2) cannot be cancelled, so none is waited in: it is tried again and again,
    as long as the call may go on.
Rule 3: the lock is given back in so many words: a child that was forked meanwhile has a copy of the
    descriptor, and closing ours would leave it locked.

(the reference's plugins/ipam/host-local/backend/disk/lock.go: flock, LOCK_EX, on the file ``lock``)
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Final

from acni.host.files import close_all
from acni.skel.bounds import Bounds

LOCK_FILE: Final = "lock"

# A reference's ADD holds it for some 0.1 ms; the longest pause is what a waiter may lose.
_FIRST_PAUSE_SECONDS: Final = 0.0002
_LONGEST_PAUSE_SECONDS: Final = 0.01
# Only somebody who removes the directory's files over and over makes us open them again.
_OPENINGS: Final = 16

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_LOCK: Final = os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def make_directories(path: str) -> None:
    """Make a directory and what is above it, each 0755 (less the umask), as the reference does."""
    try:
        os.mkdir(path, 0o755)
    except FileExistsError:
        return
    except FileNotFoundError:
        make_directories(os.path.dirname(path))
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o755)


@contextmanager
def locked_directory(path: str, *, bounds: Bounds) -> Generator[int]:
    """Open a directory and hold its lock for the length of the block.

    Yields:
        The directory's descriptor.

    Raises:
        OSError: it is not there, or cannot be opened or locked: something else has the lock's name.
        Stopped: the call may not go on, and somebody else still had the lock.
    """
    with ExitStack() as stack:
        directory = os.open(path, _DIRECTORY)
        stack.callback(close_all, directory)
        _lock(directory, stack, bounds)
        yield directory


def _lock(directory: int, stack: ExitStack, bounds: Bounds) -> None:
    for _ in range(_OPENINGS):
        fd = os.open(LOCK_FILE, _LOCK, 0o600, dir_fd=directory)
        with ExitStack() as attempt:
            attempt.callback(close_all, fd)
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise OSError(errno.EINVAL, "not a regular file", LOCK_FILE)
            _wait_for(fd, bounds)
            attempt.callback(fcntl.flock, fd, fcntl.LOCK_UN)
            if _is_still(fd, directory):
                stack.push(attempt.pop_all())
                return
    raise OSError(errno.ESTALE, "somebody else removes it over and over", LOCK_FILE)


def _wait_for(fd: int, bounds: Bounds) -> None:
    pause = _FIRST_PAUSE_SECONDS
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        bounds.check()
        time.sleep(min(pause, bounds.seconds_left()))
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _is_still(fd: int, directory: int) -> bool:
    """Tell whether what is locked is what others will lock."""
    try:
        named = os.stat(LOCK_FILE, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(named, os.fstat(fd))

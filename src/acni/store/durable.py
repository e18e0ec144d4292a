"""Making what survives a power cut: a file synced before its name, its directory after it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from contextlib import ExitStack
from typing import Final

from acni.host.files import close_all, is_plain, write_at
from acni.store.directory import DIRECTORY_FLAGS

# Whoever writes it waits for the disk.
_WAIT_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 0.002


def write_durably_once(
    directory: int, name: str, data: bytes, *, wait_seconds: float = _WAIT_SECONDS
) -> None:
    """Write a small file where it is missing, so that at any instant it is there whole or not at
    all, and afterwards for good. One at a time does: who gave the name to a file that another one
    just begins to write would show it empty.

    Args:
        directory: Its directory, open.
        name: Its name.
        data: What it holds.
        wait_seconds: How long somebody else may be at it.

    Raises:
        OSError: it could not be written; ETIMEDOUT, somebody else was at it for too long.
    """
    alone = os.open(".", DIRECTORY_FLAGS, dir_fd=directory)
    try:
        _lock(alone, wait_seconds)
        if not _is_there(directory, name):
            _write(directory, name, data)
    finally:
        close_all(alone)


def _lock(fd: int, wait_seconds: float) -> None:
    # By the clock: on a busy machine each pause takes twice as long.
    until = time.monotonic() + wait_seconds
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        if time.monotonic() >= until:
            raise TimeoutError(errno.ETIMEDOUT, "somebody else is writing it for too long")
        time.sleep(_PAUSE_SECONDS)


def _is_there(directory: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _write(directory: int, name: str, data: bytes) -> None:
    temporary = f"{name}.new"
    fd = _open_plain(directory, temporary)
    try:
        os.ftruncate(fd, write_at(fd, data))
        os.fsync(fd)
    finally:
        close_all(fd)
    os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    os.fsync(directory)


def _open_plain(directory: int, name: str) -> int:
    """Open a file for writing, in place of whatever writing to would change something else."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    with contextlib.suppress(FileNotFoundError):
        if not is_plain(os.stat(name, dir_fd=directory, follow_symlinks=False)):
            os.unlink(name, dir_fd=directory)
    fd = os.open(name, flags, 0o600, dir_fd=directory)
    with ExitStack() as opened:
        opened.callback(close_all, fd)
        if not is_plain(os.fstat(fd)):
            raise FileExistsError(errno.EEXIST, "something else took its place", name)
        opened.pop_all()
    return fd


def make_directory(path: str) -> None:
    """Make a directory and those above it, each for its owner only, and each durable."""
    try:
        # Not isdir, which takes an error for a no, up to the root.
        if stat.S_ISDIR(os.stat(path).st_mode):
            return
    except FileNotFoundError:
        pass
    parent = os.path.dirname(path)
    make_directory(parent)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, mode=0o700)
    # A directory is durable when its parent is (fsync(2)).
    fd = os.open(parent, DIRECTORY_FLAGS)
    try:
        os.fsync(fd)
    finally:
        close_all(fd)


def make_room(directory: int, name: str) -> int:
    """Make a directory in an open one, durably, where it is missing, and open it; a link is not
    followed, wherever it leads.

    Raises:
        OSError: it cannot be made, or something else stands there.
    """
    try:
        os.mkdir(name, mode=0o700, dir_fd=directory)
    except FileExistsError:
        pass
    else:
        os.fsync(directory)
    return os.open(name, DIRECTORY_FLAGS | os.O_NOFOLLOW, dir_fd=directory)

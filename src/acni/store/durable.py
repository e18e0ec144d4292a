"""Making what survives a power cut: a file synced before its name, its directory after it."""

from __future__ import annotations

import contextlib
import os
import stat

from acni.host.files import close_all
from acni.store.directory import DIRECTORY_FLAGS


def replace_durably(directory: int, name: str, data: bytes) -> None:
    """Write a small file so that at any instant the old or the new one is there, whole, and
    afterwards the new one for good.

    Raises:
        OSError: it could not be written.
    """
    temporary = f"{name}.new"
    with contextlib.suppress(FileNotFoundError):  # a link of another file would be written to
        os.unlink(temporary, dir_fd=directory)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    fd = os.open(temporary, flags, 0o600, dir_fd=directory)
    try:
        os.write(fd, data)
        os.fsync(fd)
    finally:
        close_all(fd)
    os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    os.fsync(directory)


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
    return open_below(directory, name)


def open_below(directory: int, name: str) -> int:
    """Open a directory in an open one; a link is not followed.

    Raises:
        OSError: there is none.
    """
    return os.open(name, DIRECTORY_FLAGS | os.O_NOFOLLOW, dir_fd=directory)

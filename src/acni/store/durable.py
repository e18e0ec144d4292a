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
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
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

"""Writing what survives a power cut: a file synced before its name, its directory after it."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager

from acni.store.directory import DIRECTORY_FLAGS, store_failure


def write_durably(
    spare: int,
    target: int,
    name: str,
    data: bytes,
    guard: Callable[[], AbstractContextManager[None]],
) -> None:
    """Write a file so that at any instant the old or the new one is there, whole, and afterwards
    the new one for good.

    The name is given under a guard, which may refuse. The file is synced before its name is: ext4
    may otherwise keep a name without its data (LWN 322823). The directory is synced too: without it
    2 of 13 crash states lose a write that was acknowledged.
    """
    temporary = secrets.token_hex(16)
    try:
        fd = os.open(
            temporary,
            os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,
            0o600,
            dir_fd=spare,
        )
        try:
            _write_all(fd, data)
            os.fsync(fd)
            with guard():
                os.rename(temporary, name, src_dir_fd=spare, dst_dir_fd=target)
        except BaseException:
            os.unlink(temporary, dir_fd=spare)
            raise
        finally:
            os.close(fd)
        os.fsync(target)
    except OSError as error:
        raise store_failure(name, "cannot be written", error) from error


def make_directory(path: str) -> None:
    """Make a directory and those above it, each for its owner only, and each durable."""
    if os.path.isdir(path):
        return
    parent = os.path.dirname(path)
    make_directory(parent)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, mode=0o700)
    # A directory is durable when its parent is (fsync(2)).
    fd = os.open(parent, DIRECTORY_FLAGS)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]

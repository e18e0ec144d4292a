"""Opening files that somebody else may have put there: links are not followed, pipes not waited
for, sizes bounded.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from typing import Final, cast

from acni.errors import ConfigError

_CHUNK_BYTES: Final = 64 << 10


def close_all(*descriptors: int) -> None:
    """Close descriptors, every one of them.

    Linux gives a descriptor up whatever it answers (close(2)), and what was lost of a file its sync
    has said: an error here would only hide another one, and leave the rest open.
    """
    for fd in descriptors:
        try:  # noqa: SIM105 (an ADD closes a dozen: what suppresses costs more than the call)
            os.close(fd)
        except OSError:
            pass


def write_at(fd: int, data: bytes, offset: int = 0) -> int:
    """Write all of it at an offset, wherever the descriptor stands.

    Returns:
        The offset behind it.

    Raises:
        OSError: some of it may have been written.
    """
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written
    return offset


def is_plain(status: os.stat_result) -> bool:
    """Tell whether writing to a file changes nothing else: a regular one of one name. A backup may
    hold a hard link of it.
    """
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1


def read_regular(
    path: str, *, max_bytes: int, dir_fd: int | None = None, follow: bool = False
) -> bytes:
    """Read a regular file of at most ``max_bytes``.

    Args:
        path: The file, relative to ``dir_fd`` where that is given.
        max_bytes: More is refused.
        dir_fd: An open directory.
        follow: A symbolic link in the last place is followed (configuration directories are full of
            them).

    Raises:
        OSError: it cannot be opened, is no regular file (EINVAL) or is too large (EFBIG). Opening
            never blocks: a FIFO in the way would otherwise wait for ever.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    fd = os.open(path, flags if follow else flags | os.O_NOFOLLOW, dir_fd=dir_fd)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        if status.st_size > max_bytes:
            raise OSError(errno.EFBIG, f"larger than {max_bytes} bytes", path)
        # One byte more, so that one call tells the end: a large buffer costs more than the reading.
        first = os.read(fd, status.st_size + 1)
        if first and len(first) == status.st_size:
            return first
        return _read_on(fd, first, max_bytes, path)
    finally:
        close_all(fd)


def _read_on(fd: int, first: bytes, max_bytes: int, path: str) -> bytes:
    """Read to the end what has another size than it said: it grows, or is no file of a disk."""
    chunks = [first]
    taken = len(first)
    while chunk := os.read(fd, min(_CHUNK_BYTES, max_bytes + 1 - taken)):
        chunks.append(chunk)
        taken += len(chunk)
        if taken > max_bytes:  # it grew while we read
            raise OSError(errno.EFBIG, f"larger than {max_bytes} bytes", path)
    return b"".join(chunks)


def upwards(path: str) -> Iterator[str]:
    """Iterate over an absolute path and the directories that it lies in, the nearest first."""
    yield path
    while (parent := os.path.dirname(path)) != path:
        path = parent
        yield path


def parse_path(value: object, place: str) -> str:
    """Parse a path that a caller gives: text, without NUL, that the file system can write.

    Raises:
        ConfigError: it is none.
    """
    path: object = value
    try:
        if isinstance(path, os.PathLike):
            path = os.fspath(cast("os.PathLike[str]", path))
        if isinstance(path, str) and path and b"\0" not in os.fsencode(path):
            return path
    except (UnicodeEncodeError, TypeError):  # of fspath, too
        pass
    raise ConfigError(f"{type(value).__name__} is not allowed", place=place, expected="a path")

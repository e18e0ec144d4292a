"""Working in open directories: listed, read and emptied by name, every refusal a typed error."""

from __future__ import annotations

import errno
import os
from typing import Final

from acni.errors import StoreError
from acni.host.files import close_all, read_regular

# A record holds a configuration in base64, arguments and a result: some KiB. Each of them is a
# document of at most 1 Mi characters, so that whatever an ADD takes can be read back.
MAX_RECORD_BYTES: Final = 16 << 20

# What the kernel says of what is no file of records and never will be: a link, no regular file, one
# that is too large, one whose blocks are lost. Everything else may pass.
NO_RECORD: Final = (
    errno.ELOOP,
    errno.EINVAL,
    errno.ENXIO,
    errno.ENODEV,
    errno.EFBIG,
    errno.EIO,
    errno.EUCLEAN,
)

DIRECTORY_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def look_into(path: str) -> int | None:
    """Open a directory for looking; None where there is none."""
    try:
        return os.open(path, DIRECTORY_FLAGS)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise store_failure(path, "cannot be opened", error) from error


def names_in(directory: int | None, place: str) -> list[str]:
    """List a directory, sorted."""
    if directory is None:
        return []
    try:
        # Opened anew: threads that list one open directory share its position, and miss names.
        listed = os.open(".", DIRECTORY_FLAGS, dir_fd=directory)
        try:
            return sorted(os.listdir(listed))
        finally:
            close_all(listed)
    except OSError as error:
        raise store_failure(place, "cannot be listed", error) from error


def read_in(name: str, directory: int | None, place: str) -> bytes | None:
    """Read a file; None where there is none."""
    if directory is None:
        return None
    try:
        return read_surely(name, directory)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise store_failure(place, "cannot be read", error) from error


def read_surely(name: str, directory: int) -> bytes:
    """Read a file; what a disk refuses twice is lost, and the file no record any more.

    Raises:
        OSError: it cannot be read.
    """
    try:
        return read_regular(name, max_bytes=MAX_RECORD_BYTES, dir_fd=directory)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
    return read_regular(name, max_bytes=MAX_RECORD_BYTES, dir_fd=directory)


def remove_from(name: str, directory: int, place: str) -> None:
    """Remove a file; one that is not there is removed."""
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        pass
    except OSError as error:
        # On a read-only file system that is the answer for a name that never was, too.
        if _exists(name, directory):
            raise store_failure(place, "cannot be removed", error) from error


def store_failure(place: str, what: str, error: OSError) -> StoreError:
    """Make the error of what the kernel refused."""
    return StoreError(
        f"{what}: {error.strerror}", place=place, expected="a local, writable file system with room"
    )


def _exists(name: str, directory: int) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True

"""What ``host-local`` refuses with where the place of its leases is not as it must be: each with a
stable word and with what is to be mended, for a DEL that cannot release is owed until it can.

(specification, section 5, "Error"; rules P3, P10)
"""

from __future__ import annotations

import errno
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Final

from acni.skel.errors import Code, PluginError, code_of

NOT_WRITABLE: Final = "data-dir-not-writable"
OCCUPIED: Final = "data-dir-occupied"
FULL: Final = "data-dir-full"
# Of a disk that fails, and whatever else.
_FAILED: Final = "data-dir-failed"
_NO_RESOLV_CONF: Final = "resolv-conf-unreadable"

_REASONS: Final[Mapping[int, str]] = {
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), NOT_WRITABLE),
    # A file in a directory's place; a directory, link, pipe, device or socket in a file's.
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST, errno.EISDIR), OCCUPIED),
    **dict.fromkeys((errno.ELOOP, errno.EINVAL, errno.ENXIO), OCCUPIED),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), FULL),
}
_TO_MEND: Final[Mapping[str, str]] = {
    NOT_WRITABLE: "let who runs plugins write: {place}, on a file system that is not read-only",
    OCCUPIED: "move away what has the place of a directory or file: {place}",
    FULL: "make room, or free inodes, on the file system of {place}",
    _FAILED: "look at the file system of {place}",
}


@contextmanager
def working_in(directory: str) -> Generator[None]:
    """Say in a plugin's error what could not be done in a directory of leases."""
    try:
        yield
    except OSError as error:
        raise io_failure(directory, error) from error


@contextmanager
def reading_resolv_conf(path: str) -> Generator[None]:
    """Say in a plugin's error why the file of the DNS settings could not be read."""
    try:
        yield
    except OSError as error:
        expected = "$.ipam.resolvConf: expected a file that can be read"
        message = f"{path}: {_words_of(error)}"
        raise PluginError(
            code_of(error.errno), message, details=expected, reason=_NO_RESOLV_CONF
        ) from error


def io_failure(directory: str, error: OSError) -> PluginError:
    """Make the error of something that could not be done in a directory of leases."""
    code = code_of(error.errno)
    name = error.filename if isinstance(error.filename, str) else ""
    shown = "" if os.path.isabs(name) or not name else f" ({name})"
    message = f"{directory}: {_words_of(error)}{shown}"
    if code == Code.TRY_AGAIN:  # nothing is to be mended there
        return PluginError(code, message, reason="machine-busy")
    reason = _REASONS.get(error.errno or 0, _FAILED)
    place = os.path.join(directory, name) if name else directory
    return PluginError(code, message, details=_mend(reason, place), reason=reason)


def no_place(place: str) -> PluginError | None:
    """Make the error of a STATUS where leases could not be written; None where they can.

    Args:
        place: The directory, or the nearest one above it that is there.
    """
    reason = None
    if not os.path.isdir(place):
        reason = OCCUPIED
    elif not os.access(place, os.W_OK | os.X_OK):
        reason = NOT_WRITABLE
    if reason is None:
        return None
    message = f"leases cannot be written in {place}"
    return PluginError(Code.NOT_AVAILABLE, message, details=_mend(reason, place), reason=reason)


def _mend(reason: str, place: str) -> str:
    return _TO_MEND[reason].format(place=place)


def _words_of(error: OSError) -> str:
    return error.strerror or type(error).__name__

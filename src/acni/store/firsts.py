"""Which networks something was attached to in this boot: the first attachments of a network are
made one at a time, until one was.

::

    acni/first      marks of 16 bytes; a network's is where its hash leads

Not a file for each network, which would never go; a place in a table of fixed size, which another
network may take: then one more attachment is made alone. Nothing is synced, for what a power cut
takes is of an earlier boot.
"""

from __future__ import annotations

import errno
import hashlib
import os
from typing import Final

from acni.host.files import close_all, is_plain
from acni.host.host import Host

_NAME: Final = "first"
_MARK: Final = 16
_MARKS: Final = 1 << 16
_FLAGS: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def is_marked(directory: int, network: str, host: Host) -> bool:
    """Tell whether something was attached to a network in this boot, from this host's namespace;
    no, where that cannot be told.
    """
    offset, mark = _mark(network, host)
    try:
        fd = os.open(_NAME, _FLAGS | os.O_RDONLY, dir_fd=directory)
    except OSError:
        return False
    try:
        return os.pread(fd, _MARK, offset) == mark
    except OSError:
        return False
    finally:
        close_all(fd)


def mark(directory: int, network: str, host: Host) -> None:
    """Note that something was attached to a network.

    Raises:
        OSError: it is not noted; or another file stands there, which is not written to.
    """
    offset, text = _mark(network, host)
    fd = os.open(_NAME, _FLAGS | os.O_RDWR | os.O_CREAT, 0o600, dir_fd=directory)
    try:
        if not is_plain(os.fstat(fd)):
            raise OSError(errno.EINVAL, "it is no regular file of one name", _NAME)
        os.pwrite(fd, text, offset)
    finally:
        close_all(fd)


def _mark(network: str, host: Host) -> tuple[int, bytes]:
    """Return a network's place and mark: no other network, boot or host has this mark."""
    named = f"{host.boot}\0{host.netns.kind}:{host.netns.id}\0{network}"
    digest = hashlib.sha256(named.encode("utf-8", "surrogateescape")).digest()
    place = int.from_bytes(digest[_MARK : _MARK + 4], "big") % _MARKS
    return place * _MARK, digest[:_MARK]

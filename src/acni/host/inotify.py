"""Being told which names of a directory changed (inotify(7))."""

from __future__ import annotations

import fcntl
import os
import struct
import termios
from collections.abc import Iterator
from typing import Final, Self

from attrs import define

from acni.host.files import close_all
from acni.host.libc import inotify, watch

_IN_CLOSE_WRITE: Final = 0x8
_IN_MOVED_FROM: Final = 0x40
_IN_MOVED_TO: Final = 0x80
_IN_CREATE: Final = 0x100
_IN_DELETE: Final = 0x200
_IN_DELETE_SELF: Final = 0x400
_IN_MOVE_SELF: Final = 0x800
_IN_UNMOUNT: Final = 0x2000
_IN_Q_OVERFLOW: Final = 0x4000
_IN_IGNORED: Final = 0x8000

_NAMES: Final = _IN_CLOSE_WRITE | _IN_MOVED_FROM | _IN_MOVED_TO | _IN_CREATE | _IN_DELETE
_LOST: Final = _IN_DELETE_SELF | _IN_MOVE_SELF | _IN_UNMOUNT | _IN_Q_OVERFLOW | _IN_IGNORED

_EVENT: Final = struct.Struct("iIII")
_SIZE: Final = struct.Struct("i")
_BUFFER: Final = 1 << 16


@define(eq=False, repr=False)
class Watch:
    """A watch of one directory's names."""

    fd: int

    @classmethod
    def of(cls, directory: int) -> Self:
        """Watch an open directory.

        Raises:
            OSError: this user has too many watches.
        """
        fd = inotify()
        try:
            watch(fd, f"/proc/self/fd/{directory}", _NAMES | _IN_DELETE_SELF | _IN_MOVE_SELF)
        except OSError:
            close_all(fd)
            raise
        return cls(fd)

    def changed(self) -> list[str]:
        """List the names that changed since the last call, some more than once.

        Raises:
            LookupError: changes were lost, or the directory is gone: nothing is known any more.
        """
        names: list[str] = []
        try:
            # An operation asks seven times and mostly nothing is new: to be told so costs a third
            # of what an error does.
            (size,) = _SIZE.unpack(fcntl.ioctl(self.fd, termios.FIONREAD, bytes(_SIZE.size)))
            while size > 0:
                events = os.read(self.fd, min(size, _BUFFER))
                names += _names_in(events)
                size -= len(events)
        except OSError as error:
            raise LookupError("changes cannot be read") from error
        return names

    def close(self) -> None:
        """End the watch."""
        close_all(self.fd)


def _names_in(events: bytes) -> Iterator[str]:
    offset = 0
    while offset < len(events):
        _, mask, _, length = _EVENT.unpack_from(events, offset)
        if mask & _LOST:
            raise LookupError("changes were lost")
        begin = offset + _EVENT.size
        yield os.fsdecode(events[begin : begin + length].rstrip(b"\0"))
        offset = begin + length

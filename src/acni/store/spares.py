"""Files to be written again: a record that was retired becomes the next one.

ext4 looks past every inode that was freed lately before it makes a file: creating one costs 20 µs
on a quiet directory and 20 times that after some thousands of deletes. So none is freed: an ADD
writes a retired record's file and renames it into place, a delete renames it back.

First in, first out: who still reads a record that was just retired sees it as it was for as long as
possible. A name may hold an older record after a power cut, or rubbish: whoever reads one checks it
against its name.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Iterator
from itertools import count
from typing import Final, Self

from attrs import Factory, define, frozen

from acni.host.files import close_all, is_plain, write_at
from acni.store.directory import names_in

_FLAGS: Final = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
# Of a new one, so that a full disk says so before a plugin runs; records have some KiB.
_FIRST_BYTES: Final = 4096
_WIDTH: Final = 8

MOST_FREE: Final = 1024


@frozen
class Spare:
    """A spare file.

    Attributes:
        name: Its name in its slot's directory.
        slot: The slot of a dead runtime; None where it is our own.
    """

    name: str
    slot: str | None = None


@define(eq=False, repr=False)
class Spares:
    """The spare files of one slot.

    Attributes:
        directory: Where they lie, open.
    """

    directory: int
    _free: deque[str] = Factory(deque[str])
    # Not a sum: debts are written in threads.
    _numbers: Iterator[int] = Factory(count)

    @classmethod
    def look(cls, directory: int) -> Self:
        """Find what is there: nothing that is open needs any of it, since a slot is taken only
        then.

        Raises:
            StoreError: the directory cannot be listed.
        """
        names = names_in(directory, "acni/spare")
        numbered = sorted(filter(is_spare_name, names), key=int)
        return cls(directory, deque(numbered), count(int(numbered[-1]) + 1 if numbered else 0))

    def take(self) -> str:
        """Take a file, or make one.

        Raises:
            OSError: there is none, and none can be made.
        """
        while self._free:
            name = self._free.popleft()
            if self._is_ours(name):
                return name
        name = self.new_name()
        flags = _FLAGS | os.O_CREAT | os.O_EXCL
        fd = os.open(name, flags, 0o600, dir_fd=self.directory)
        try:
            os.posix_fallocate(fd, 0, _FIRST_BYTES)
        except OSError:
            os.unlink(name, dir_fd=self.directory)
            raise
        finally:
            close_all(fd)
        return name

    def give_back(self, name: str) -> None:
        """Return a file that was taken, or came by its name."""
        self._free.append(name)

    def take_in(self, name: str, directory: int) -> None:
        """Make a file of another directory a spare one; where there are enough, or there is no
        place for them, it is removed: a runtime may delete what others add.

        Raises:
            OSError: it cannot be moved.
        """
        if self.directory < 0 or len(self._free) >= MOST_FREE:
            os.unlink(name, dir_fd=directory)
            return
        spare = self.new_name()
        os.rename(name, spare, src_dir_fd=directory, dst_dir_fd=self.directory)
        self.give_back(spare)

    def make(self, name: str) -> None:
        """Make a file of that name where it was lost, and count it as taken.

        Raises:
            OSError: it cannot be made.
        """
        close_all(os.open(name, _FLAGS | os.O_CREAT, 0o600, dir_fd=self.directory))
        if name in self._free:
            self._free.remove(name)
        else:
            first = next(self._numbers)
            self._numbers = count(max(first, int(name) + 1))

    def new_name(self) -> str:
        """Return a name that no file has."""
        return f"{next(self._numbers):0{_WIDTH}d}"

    def write(self, name: str, data: bytes, *, durably: bool = False) -> None:
        """Write a file, whole.

        Raises:
            OSError: it could not be written; the name stands for nothing that counts.
        """
        fd = os.open(name, _FLAGS, dir_fd=self.directory)
        try:
            if not is_plain(os.fstat(fd)):
                raise OSError(errno.EINVAL, "no regular file of ours", name)
            write_at(fd, data)
            os.ftruncate(fd, len(data))
            if durably:
                os.fsync(fd)
        finally:
            close_all(fd)

    def _is_ours(self, name: str) -> bool:
        try:
            return is_plain(os.stat(name, dir_fd=self.directory, follow_symlinks=False))
        except OSError:
            return False


def is_spare_name(name: str) -> bool:
    """Tell whether a name is one that spare files have."""
    # Each delete takes a number: some months' are longer.
    return len(name) >= _WIDTH and name.isascii() and name.isdecimal()

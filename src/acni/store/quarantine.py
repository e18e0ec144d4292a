"""Files that were no records, or a journal that was damaged: kept aside for a person, bounded."""

from __future__ import annotations

import contextlib
import os
import secrets
from typing import Final

from attrs import define, field

from acni.host.files import close_all, write_at
from acni.store.directory import names_in, store_failure

MAX_FILES: Final = 1000
MAX_BYTES: Final = 64 << 20

_LONGEST_NAME: Final = 230


@define(eq=False, repr=False)
class Quarantine:
    """The quarantine of a state directory.

    Attributes:
        directory: Where files are kept, open.
        kept: What was kept so far, by the names they had.
    """

    directory: int
    kept: list[str] = field(factory=list[str], init=False)

    def keep(self, name: str, directory: int) -> tuple[str, ...]:
        """Move a file here.

        Returns:
            The names of older ones that went to make room.

        Raises:
            StoreError: it cannot be moved.
        """
        kept = _kept_name(name)
        try:
            os.rename(name, kept, src_dir_fd=directory, dst_dir_fd=self.directory)
        except OSError as error:
            raise store_failure(name, "cannot be moved", error) from error
        self.kept.append(name)
        return self._make_room(kept)

    def keep_copy(self, name: str, data: bytes) -> None:
        """Keep a copy of what a file holds, durably.

        Raises:
            OSError: it cannot be kept.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        kept = _kept_name(name)
        fd = os.open(kept, flags, 0o600, dir_fd=self.directory)
        try:
            write_at(fd, data)
            os.fsync(fd)
        finally:
            close_all(fd)
        self.kept.append(name)
        self._make_room(kept)

    def _make_room(self, newest: str) -> tuple[str, ...]:
        """Remove the oldest as long as there are too many, or too large ones; never the newest, of
        which the clock of the file system says no more than that it is among the last ones.
        """
        found: list[tuple[int, int, str]] = []
        for name in names_in(self.directory, "acni/quarantine"):
            with contextlib.suppress(FileNotFoundError):  # a person looks through them
                status = os.stat(name, dir_fd=self.directory, follow_symlinks=False)
                found.append((status.st_ctime_ns, status.st_size, name))
        gone: list[str] = []
        total = sum(size for _, size, _ in found)
        for _, size, name in sorted(found):
            if len(found) - len(gone) <= MAX_FILES and total <= MAX_BYTES:
                break
            if name != newest and self._is_removed(name):
                gone.append(name)
                total -= size
        return tuple(gone)

    def _is_removed(self, name: str) -> bool:
        """Remove a file; a directory, which somebody else put into a record's place, stays."""
        try:
            os.unlink(name, dir_fd=self.directory)
        except OSError:
            return False
        return True


def _kept_name(name: str) -> str:
    return f"{name[:_LONGEST_NAME]}.{secrets.token_hex(8)}"

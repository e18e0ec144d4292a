"""The lock files of a state directory: opened with care, kept open, and looked at again.

::

    <state>/acni/lock/00 ... 3f     the bytes of containers, their guards, and namespaces
    <state>/acni/lock/gate          the gate
    <state>/acni/lock/types         the bytes of networks and plugin types

They lie beside the state and not in /run: whoever shares the state shares its locks, whatever its
mount namespace. Nothing is ever written to them or read from them.

Rule 1: one description for each file, which all tasks of a runtime share: the bytes that a thousand
    tasks wait for cost no thousand descriptors. Who needs a description alone says so.
Rule 2: a lock in a file that was removed excludes nobody who comes after. So what was just locked
    is compared with what has the name, and where that is another file it is let go of and the
    other one opened. Who waited for a lock in the old file has had its turn there first.
Rule 3: a description is closed when nobody uses it any more: its number may be another file's
    after that.
Rule 4: what a forked child inherits it gives up, without unlocking: the locks are its parent's.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from attrs import Factory, define, field

from acni.errors import RuntimeClosed, StoreError
from acni.host.files import close_all
from acni.host.forks import given_up_in_children
from acni.host.locks import FILES, unlock
from acni.store.directory import DIRECTORY_FLAGS, names_in, store_failure
from acni.store.durable import make_directory, make_room

# How many files are taken for the one that keeps its name.
OPENINGS: Final = 5

GATE_FILE: Final = "gate"

_PLACE: Final = "acni/lock"
_CLOSED: Final = -1
_FLAGS: Final = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY


def open_lock_file(name: str, directory: int) -> int:
    """Open a lock file in an open directory, making it where it is missing.

    Raises:
        OSError: it cannot be opened; or it is a link, a pipe, a device or somebody else's file,
            which is neither followed nor waited for.
    """
    return _opened_as_ours(name, directory)[0]


def _opened_as_ours(name: str, directory: int) -> tuple[int, os.stat_result]:
    return _ours(os.open(name, _FLAGS | os.O_RDWR | os.O_CREAT, 0o600, dir_fd=directory), name)


def make_lock_files(directory: int) -> None:
    """Make all of them, in an open directory: once the disk is full nothing more can be made, and
    what is attached has to be deleted all the same.

    Raises:
        StoreError: the directory cannot be listed.
        OSError: one cannot be made.
    """
    missing = {*FILES, GATE_FILE} - set(names_in(directory, _PLACE))
    for name in sorted(missing):
        close_all(open_lock_file(name, directory))


def look_at_lock_file(name: str, directory: int) -> int:
    """Open a lock file in an open directory for looking.

    Raises:
        OSError: there is none, or as by `open_lock_file`.
    """
    return _ours(os.open(name, _FLAGS | os.O_RDONLY, dir_fd=directory), name)[0]


def _ours(fd: int, name: str) -> tuple[int, os.stat_result]:
    """Look at what was opened once, and close it where it is not ours or cannot be looked at."""
    try:
        status = os.fstat(fd)
        _require_ours(status, name)
    except BaseException:
        close_all(fd)
        raise
    return fd, status


def _require_ours(status: os.stat_result, name: str) -> None:
    if not stat.S_ISREG(status.st_mode) or status.st_uid not in {0, os.geteuid()}:
        raise OSError(errno.EINVAL, "it is no regular file of ours", name)


@define(eq=False, repr=False)
class Description:
    """A lock file that is open.

    Attributes:
        name: The name that it had.
        fd: Its descriptor; negative once it is closed.
        identity: Device and inode: no other file has these as long as it is open.
        users: How many hold a lock of it, or wait for one.
    """

    name: str
    fd: int
    identity: tuple[int, int]
    users: int = 0

    def unlock(self, *bytes_: int) -> None:
        """Let go of bytes; of those of a parent process a forked child does not.

        Raises:
            OSError: they are still held.
        """
        if self.fd != _CLOSED:
            for byte in bytes_:
                unlock(self.fd, byte)

    def close(self) -> None:
        close_all(self.fd)
        self.fd = _CLOSED


@define(eq=False, repr=False)
class LockFiles:
    """The lock files of one state directory, as one runtime has them open."""

    _state_dir: str
    _current: dict[str, Description] = Factory(dict[str, Description])
    _open: set[Description] = Factory(set[Description])
    _is_closed: bool = field(default=False, init=False)

    def use(self, name: str) -> Description:
        """Take part in the description of a file, until `leave`.

        Raises:
            StoreError: it cannot be opened.
            RuntimeClosed: all of them were closed, or this is a forked child.
        """
        description = self._current.get(name)
        if description is None:
            description = self._current[name] = self._opened(name)
        description.users += 1
        return description

    def use_alone(self, name: str) -> Description:
        """Open a description of a file that nobody else uses, until `leave`.

        Raises:
            StoreError: it cannot be opened.
            RuntimeClosed: all of them were closed, or this is a forked child.
        """
        description = self._opened(name)
        description.users += 1
        return description

    def leave(self, description: Description) -> None:
        """Use a description no longer."""
        description.users -= 1
        self._close_unused(description)

    def retire(self, description: Description) -> None:
        """Use another description from now on; who uses this one may go on."""
        if self._current.get(description.name) is description:
            del self._current[description.name]
        self._close_unused(description)

    def _close_unused(self, description: Description) -> None:
        if not description.users and self._current.get(description.name) is not description:
            self._open.discard(description)
            description.close()

    def has_its_name(self, description: Description) -> bool:
        """Tell whether others who open the file come to the same one.

        Raises:
            StoreError: that cannot be told.
        """
        try:
            status = os.stat(
                f"{self._state_dir}/{_PLACE}/{description.name}", follow_symlinks=False
            )
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise store_failure(_PLACE, "cannot be looked at", error) from error
        return (status.st_dev, status.st_ino) == description.identity

    def keeps(self, description: Description, *bytes_: int) -> bool:
        """Tell whether what was just locked excludes others: the file has its name. It is let go of
        otherwise, and the next one who uses the name opens another file.

        Raises:
            StoreError: that cannot be told, and it was let go of.
        """
        is_kept = False
        try:
            is_kept = self.has_its_name(description)
        finally:
            if not is_kept:
                self.retire(description)
                self.let_go(description, *bytes_)
        return is_kept

    def let_go(self, description: Description, *bytes_: int) -> None:
        """Unlock bytes of a description, and leave it."""
        try:
            description.unlock(*bytes_)
        except OSError:
            # The kernel needs memory to split a lock. The last close lets go as well.
            self.retire(description)
        self.leave(description)

    def close(self) -> None:
        """Close all of them; nobody uses any from now on."""
        self._is_closed = True
        self._current.clear()
        while self._open:
            self._open.pop().close()

    give_up = close

    def _opened(self, name: str) -> Description:
        if self._is_closed:
            raise RuntimeClosed(
                "the locks were left, or this is a forked child", expected="an open runtime"
            )
        try:
            fd, status = self._open_below(name)
        except OSError as error:
            raise store_failure(f"{_PLACE}/{name}", "cannot be opened", error) from error
        description = Description(name, fd, (status.st_dev, status.st_ino))
        self._open.add(description)
        return description

    def _open_below(self, name: str) -> tuple[int, os.stat_result]:
        """Open a file by its whole path, making what somebody removed of it.

        Durably, which waits for the disk, but then only: who makes the state directory anew takes
        what is there for durable.
        """
        make_directory(self._state_dir)
        above = os.open(self._state_dir, DIRECTORY_FLAGS)
        try:
            for room in _PLACE.split("/"):
                below = make_room(above, room)
                close_all(above)
                above = below
            return _opened_as_ours(name, above)
        finally:
            close_all(above)


def cannot_be_locked(name: str, error: OSError) -> StoreError:
    """Make the error of a lock that the kernel refuses."""
    return store_failure(f"{_PLACE}/{name}", "cannot be locked", error)


def keeps_changing(name: str) -> StoreError:
    """Make the error of a file that is removed again and again."""
    return StoreError(
        f"was removed {OPENINGS} times while it was being locked",
        place=f"{_PLACE}/{name}",
        expected="lock files that nobody removes",
    )


@contextmanager
def open_lock_files(state_dir: str) -> Generator[LockFiles]:
    """Lock files of a state directory, closed at the end; whoever waits has left by then."""
    files = LockFiles(state_dir)
    with given_up_in_children(files), contextlib.closing(files):
        yield files

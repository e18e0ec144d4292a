r"""Leases as the reference's host-local keeps them, so that both may work in one directory.

======================  ============================================================================
``10.88.0.2``           a lease: ``<container ID>\r\n<interface name>``
``last_reserved_ip.0``  the address of the first range set that was given last
``lock``                :mod:`acni.plugins.leaselock`
``.owner.<hash>``       ours: an owner, as its leases say it; they are further names of this file
======================  ============================================================================

Rule 1: a lease is there with its owner in it, or not at all: it is link(2) of a file that was
    written before. An empty one was left by a reference that was killed between making and writing
    it, or by a power cut: as we have the lock nobody is about to write it, and it is free.
Rule 2: a lease is removed only after a look at whose it is.
Rule 3: what an ADD leaves that is killed anywhere carries its owner in its content or its name, so
    that DEL and GC find it. The reference's do, too: they look at each file's content, and take no
    name for an address that is none.
Rule 4: what has the name of an address and is no small regular file (a link, a pipe, a directory)
    is a taken address whose owner nobody knows; it is neither followed nor waited for.
Rule 5: all leases are read only by who must: where the reference gave addresses, too, or the owner
    has files of which nobody said the name. The file of the last address has a time of ours while
    all leases are: every ADD of the reference writes the first one, which sets another time.

(the reference's plugins/ipam/host-local/backend/disk/backend.go)
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Final

from attrs import define, frozen

from acni.host.files import close_all, is_plain, read_regular, write_at
from acni.plugins.ranges import Address, parse_address
from acni.skel.bounds import Bounds

_LAST: Final = "last_reserved_ip."
_OWNER: Final = ".owner."
_LINE_BREAK: Final = "\r\n"

# An owner's names are 255 bytes or less together where a runtime keeps a record of them.
MAX_LEASE_BYTES: Final = 4096
_MAX_ADDRESS_BYTES: Final = 64
# Whole seconds, and even: what the coarsest file system keeps.
_OUR_TIME_NS: Final = 1_633_906_280 * 10**9

# Nothing, a link, a directory or pipe or device, a socket, a huge file.
_NO_LEASE: Final = frozenset({errno.ENOENT, errno.ELOOP, errno.EINVAL, errno.ENXIO, errno.EFBIG})

_WRITING: Final = (
    os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
)
# Owners; the container alone as older references wrote it. Any other content is no lease.
_OWNED: Final = re.compile(rb"[a-zA-Z0-9][a-zA-Z0-9_.\-]*(?:\r\n[^\r\n/]{1,64})?")


@frozen
class Owner:
    """Whose a lease is."""

    container_id: str
    ifname: str

    @cached_property
    def content(self) -> bytes:
        """What its leases say."""
        return f"{self.container_id}{_LINE_BREAK}{self.ifname}".encode()

    @property
    def older_content(self) -> bytes:
        """What they said when an owner was a container."""
        return self.container_id.encode()

    @cached_property
    def file(self) -> str:
        """The file of which its leases are further names."""
        return _OWNER + hashlib.blake2b(self.content, digest_size=16).hexdigest()


@frozen
class Held:
    """What an owner has.

    Attributes:
        addresses: Its addresses.
        are_all_ours: No lease of the directory is the reference's.
    """

    addresses: tuple[Address, ...]
    are_all_ours: bool


@define(eq=False, repr=False)
class Leases:
    """The leases of a directory whose lock is held."""

    _directory: int
    _bounds: Bounds

    # Taking.

    def held_by(self, owner: Owner) -> Held:
        """Find what an owner has; reads nothing where that can be nothing."""
        if self._are_all_ours() and self._status(owner.file) is None:
            return Held((), True)
        addresses: list[Address] = []
        are_all_ours = True
        for name, address in self._addresses():
            status = self._status(name)
            are_all_ours &= status is not None and status.st_nlink > 1
            if self._content(name) in (owner.content, owner.older_content):
                addresses.append(address)
        return Held(tuple(addresses), are_all_ours)

    def last_given(self, index: int) -> Address | None:
        """Return the address of a range set that was given last, or None."""
        try:
            content = read_regular(
                f"{_LAST}{index}", max_bytes=_MAX_ADDRESS_BYTES, dir_fd=self._directory
            )
            return parse_address(content.decode("ascii"))
        except (OSError, ValueError):  # a round robin that begins anew is the whole loss
            return None

    @contextmanager
    def taking(self, owner: Owner) -> Generator[Callable[[Iterable[Address]], Address | None]]:
        """Take addresses in the block; when it raises, none is left.

        Yields:
            A function that takes the first free one of some addresses, or returns None.

        Raises:
            OSError: it cannot be written down.
        """
        taken: list[Address] = []
        is_new = self._write_owner(owner)
        try:

            def take(candidates: Iterable[Address]) -> Address | None:
                for address in candidates:
                    self._bounds.check()
                    if self._link(owner.file, str(address)):
                        taken.append(address)
                        return address
                return None

            yield take
        except BaseException:
            with contextlib.suppress(OSError):  # what failed first is what is told
                for address in taken:
                    self._remove(str(address))
                if is_new:
                    self._remove(owner.file)
            raise

    def remember(self, index: int, address: Address, *, are_all_ours: bool) -> None:
        """Write down which address of a range set was given last.

        Overwritten and then cut, it is never empty; what a kill between the two leaves is an
        address that was never given, or none: either only begins the round robin elsewhere.
        """
        name = f"{_LAST}{index}"
        status = self._status(name)
        if status is not None and not is_plain(status):
            self._remove(name)
        fd = os.open(name, _WRITING, 0o600, dir_fd=self._directory)
        try:
            if not is_plain(os.fstat(fd)):
                raise OSError(errno.EEXIST, "something else took its place", name)
            os.ftruncate(fd, write_at(fd, str(address).encode()))
            if are_all_ours:
                os.utime(fd, ns=(_OUR_TIME_NS, _OUR_TIME_NS))
        finally:
            close_all(fd)

    # Looking and releasing.

    def is_of(self, address: Address, owner: Owner) -> bool:
        """Tell whether an address is an owner's."""
        return self._content(str(address)) in (owner.content, owner.older_content)

    def addresses_of(self, owner: Owner) -> tuple[Address, ...]:
        """Find an owner's addresses; reads all leases."""
        return tuple(address for _, address in self._addresses() if self.is_of(address, owner))

    def release(self, owner: Owner, addresses: Iterable[Address]) -> None:
        """Release what is an owner's; may be repeated.

        Args:
            owner: The owner.
            addresses: Where its leases are thought to be.
        """
        found = [address for address in addresses if self._content(str(address)) == owner.content]
        for address in found:
            self._remove(str(address))
        if not (found and self._are_all_ours() and self._is_alone(owner.file)):
            self._release_by_content(owner)
        self._remove(owner.file)

    def _is_alone(self, name: str) -> bool:
        """Tell whether a file is there and has no further name."""
        status = self._status(name)
        return status is not None and status.st_nlink == 1

    def _release_by_content(self, owner: Owner) -> None:
        """Release what says that it is the owner's; only where there is none, what says that it is
        the container's, as the reference does.
        """
        contents = {name: self._content(name) for name, _ in self._addresses()}
        names = [name for name, content in contents.items() if content == owner.content]
        for name in names or [
            name for name, content in contents.items() if content == owner.older_content
        ]:
            self._remove(name)

    def keep_only(self, owners: Iterable[Owner]) -> list[OSError]:
        """Release what is of none of these owners; what is no lease stays.

        Returns:
            What could not be read or removed.
        """
        kept = {content for one in owners for content in (one.content, one.older_content)}
        failures: list[OSError] = []
        for name in self._names():
            self._bounds.check()
            if not name.startswith(_OWNER) and _address(name) is None:
                continue
            try:
                content = self._content(name)
                if content is not None and content not in kept and _is_released(content):
                    self._remove(name)
            except OSError as error:
                failures.append(error)
        return failures

    # One file.

    def _write_owner(self, owner: Owner) -> bool:
        """Write the file of an owner; return whether it was not there before."""
        try:
            fd = self._make(owner.file)
        except FileExistsError:
            if self._content(owner.file) == owner.content:  # of a killed ADD, or it has an address
                return False
            self._remove(owner.file)
            fd = self._make(owner.file)
        try:
            write_at(fd, owner.content)
        except BaseException:
            self._remove(owner.file)
            raise
        finally:
            close_all(fd)
        return True

    def _make(self, name: str) -> int:
        return os.open(name, _WRITING | os.O_EXCL, 0o600, dir_fd=self._directory)

    def _link(self, name: str, address: str) -> bool:
        """Give a file one more name; an empty file of that name gives way."""
        try:
            self._try_link(name, address)
        except FileExistsError:
            if self._content(address) != b"":
                return False
            self._remove(address)
            self._try_link(name, address)
        return True

    def _try_link(self, name: str, address: str) -> None:
        os.link(name, address, src_dir_fd=self._directory, dst_dir_fd=self._directory)

    def _content(self, name: str) -> bytes | None:
        """Read a lease; None where there is none, or it cannot be one."""
        try:
            raw = read_regular(name, max_bytes=MAX_LEASE_BYTES, dir_fd=self._directory)
        except OSError as error:
            if error.errno in _NO_LEASE:
                return None
            raise
        return raw.strip()

    def _status(self, name: str) -> os.stat_result | None:
        try:
            return os.stat(name, dir_fd=self._directory, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def _remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._directory)

    # All files.

    def _are_all_ours(self) -> bool:
        status = self._status(f"{_LAST}0")
        return status is not None and status.st_mtime_ns == _OUR_TIME_NS

    def _names(self) -> list[str]:
        return os.listdir(self._directory)

    def _addresses(self) -> Iterator[tuple[str, Address]]:
        for name in self._names():
            self._bounds.check()
            if (address := _address(name)) is not None:
                yield name, address


def addresses_in(directory: str, bounds: Bounds) -> Iterator[Address]:
    """Iterate over the addresses that are taken, without the lock: old when they are read. There
    are none where there is no directory.

    Raises:
        OSError: the directory cannot be read.
        Stopped: the call may not go on.
    """
    with contextlib.suppress(FileNotFoundError), os.scandir(directory) as entries:
        for entry in entries:
            bounds.check()
            if (found := _address(entry.name)) is not None:
                yield found


def _is_released(content: bytes) -> bool:
    """Tell whether a file is a lease, or was to become one."""
    return not content or _OWNED.fullmatch(content) is not None


def _address(name: str) -> Address | None:
    try:
        return parse_address(name)
    except ValueError:
        return None

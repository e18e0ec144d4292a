"""The state directory: where records lie and how they are written.

::

    <state>/                    0700; results/ and acni/ on one file system
      results/<network>-<container>-<ifname>    one attachment; 0600
      acni/
        FORMAT                  the format's number; a newer one is refused
        spare/000/              files on their way into results/

libcni parses every file in ``results/``, dot files too, and its GC deletes attachments for stray
ones: whatever is not a whole record lies elsewhere and is renamed into place.

Blocking calls: reading a record is left to the caller's thread (a page-cache read of 2 KiB, some 10
µs); writing one waits for the disk and belongs into a worker thread.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Final, Self

from attrs import define

from acni.errors import StoreError
from acni.host.files import read_regular
from acni.spec.attachment import AttachmentId
from acni.spec.names import IfName
from acni.store.record import FORMAT, Record, read_record, write_record

# A record holds a configuration in base64 and a result: some KiB; both readers of its parts stop at
# 1 MiB.
MAX_RECORD_BYTES: Final = 4 << 20

_DIRECTORY_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@define(eq=False)
class Records:
    """The records of a state directory, to be looked at."""

    _results: int | None

    @classmethod
    def look(cls, state_dir: str) -> Self:
        """Open the records for looking; a state directory that does not exist has none.

        Raises:
            StoreError: it cannot be opened.
        """
        try:
            return cls(os.open(f"{state_dir}/results", _DIRECTORY_FLAGS))
        except FileNotFoundError:
            return cls(None)
        except OSError as error:
            raise _failed(f"{state_dir}/results", "cannot be opened", error) from error

    def names(self) -> list[str]:
        """List the names of all records, sorted."""
        if self._results is None:
            return []
        try:
            # Opened anew: threads that list one open directory share its position, and miss names.
            directory = os.open(".", _DIRECTORY_FLAGS, dir_fd=self._results)
            try:
                return sorted(os.listdir(directory))
            finally:
                os.close(directory)
        except OSError as error:
            raise _failed("results", "cannot be listed", error) from error

    def read(self, name: str) -> Record | None:
        """Read the record of that name; None where there is none.

        Raises:
            StoreError: the file cannot be read or is no record of that name. It is left where it
                is.
        """
        try:
            raw = (
                read_regular(name, max_bytes=MAX_RECORD_BYTES, dir_fd=self._results)
                if self._results is not None
                else None
            )
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _failed(f"results/{name}", "cannot be read", error) from error
        return None if raw is None else read_record(name, raw)

    def find(self, attachment: AttachmentId) -> tuple[Record, ...]:
        """Find the records of an attachment; more than one only where another writer put it on two
        networks.

        Raises:
            StoreError: a file that may be one of them cannot be read.
        """
        ending = f"-{attachment.container_id}-{attachment.ifname}"
        found = (self.read(name) for name in self.names() if name.endswith(ending))
        return tuple(record for record in found if record is not None and record.id == attachment)

    def of_interface(self, ifname: IfName) -> Iterator[Record]:
        """Iterate over the records of all interfaces of that name; unreadable ones claim
        nothing.
        """
        for name in self.names():
            if name.endswith(f"-{ifname}"):
                try:
                    record = self.read(name)
                except StoreError:
                    continue
                if record is not None and record.ifname == ifname:
                    yield record

    def close(self) -> None:
        """Close the directory."""
        if self._results is not None:
            fd, self._results = self._results, None
            os.close(fd)


@define(eq=False)
class Store:
    """A state directory, to be worked with.

    Attributes:
        records: What it holds.
    """

    records: Records
    _results: int
    _spare: int

    def write(self, record: Record) -> None:
        """Write a record, atomically and durably: when this returns it survives a power cut.

        Blocks for the disk: to be called in a worker thread.

        Raises:
            StoreError: it could not be written; what stood there before still does.
        """
        _write_durably(self._spare, self._results, record.name, write_record(record))

    def retire(self, record: Record) -> None:
        """Remove a record. Not synced: one that comes back after a power cut costs an idempotent
        DEL.

        Raises:
            StoreError: it could not be removed.
        """
        try:
            os.unlink(record.name, dir_fd=self._results)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise _failed(f"results/{record.name}", "cannot be removed", error) from error


@contextmanager
def open_store(path: str | os.PathLike[str]) -> Generator[Store]:
    """Open a state directory, making it where it is missing.

    Raises:
        StoreError: it cannot be made or opened, others may write to it, or a newer acni wrote it.
    """
    state_dir = os.path.abspath(path)
    opened: list[int] = []
    try:
        try:
            _make_directory(state_dir)
            _require_private(state_dir)
            for room in ("results", "acni", "acni/spare", "acni/spare/000"):
                _make_directory(f"{state_dir}/{room}")
            opened += (
                os.open(f"{state_dir}/{room}", _DIRECTORY_FLAGS | os.O_NOFOLLOW)
                for room in ("results", "acni/spare/000", "acni")
            )
            results, spare, ours = opened
            _require_format(ours, spare)
        except OSError as error:
            raise _failed(state_dir, "cannot be opened as a state directory", error) from error
        yield Store(Records(results), results, spare)
    finally:
        for fd in opened:
            os.close(fd)


def _make_directory(path: str) -> None:
    try:
        os.makedirs(path, mode=0o700)
    except FileExistsError:
        return
    # A directory is durable when its parent is (fsync(2)).
    parent = os.open(os.path.dirname(path), _DIRECTORY_FLAGS)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)


def _require_private(state_dir: str) -> None:
    status = os.stat(state_dir)
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or status.st_uid not in (0, os.geteuid()):
        raise StoreError(
            "others may write to it",
            place=state_dir,
            expected="a directory of root's or our own, writable by its owner only",
        )


def _require_format(ours: int, spare: int) -> None:
    try:
        text = read_regular("FORMAT", max_bytes=64, dir_fd=ours).decode("ascii", "replace").strip()
    except FileNotFoundError:
        _write_durably(spare, ours, "FORMAT", f"{FORMAT}\n".encode())
        return
    if text != str(FORMAT):
        raise StoreError(
            f"has format {text!a}; this acni reads {FORMAT}",
            place="acni/FORMAT",
            expected=f"{FORMAT}",
        )


def _write_durably(spare: int, target: int, name: str, data: bytes) -> None:
    """Write a file so that at any instant the old or the new one is there, whole, and afterwards
    the new one for good.

    The file is synced before its name is: ext4 may otherwise keep a name without its data (LWN
        322823). The directory is
    synced too: without it 2 of 13 crash states lose a write that was acknowledged.
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
            os.rename(temporary, name, src_dir_fd=spare, dst_dir_fd=target)
        except BaseException:
            os.unlink(temporary, dir_fd=spare)
            raise
        finally:
            os.close(fd)
        os.fsync(target)
    except OSError as error:
        raise _failed(name, "cannot be written", error) from error


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _failed(place: str, what: str, error: OSError) -> StoreError:
    return StoreError(
        f"{what}: {error.strerror}", place=place, expected="a local, writable file system with room"
    )

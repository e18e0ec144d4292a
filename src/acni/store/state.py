"""The state directory: where records lie and how they are written.

::

    <state>/                    0700; results/ and acni/ on one file system
      results/<network>-<container>-<ifname>    one attachment; 0600
      acni/
        FORMAT                  the format's number; a newer one is refused
        spare/000/              files on their way into results/
        debts/<sha256>          a debt whose name in results/ is taken by a file that is no record
        quarantine/<name>.<n>   such files, kept once their attachment was deleted

libcni parses every file in ``results/``, dot files too, and its GC deletes attachments for stray
ones: whatever is not a whole record lies elsewhere and is renamed into place.

Blocking calls: reading a record is left to the caller's thread (a page-cache read of 2 KiB, some 10
µs); writing one waits for the disk and belongs into a worker thread.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final, Self

from attrs import Factory, define, frozen

from acni.errors import StoreError
from acni.host.files import read_regular
from acni.spec.attachment import AttachmentId
from acni.spec.names import IfName
from acni.spec.result import ResultError, parse_result
from acni.store.record import FORMAT, Record, read_record, write_record

# A record holds a configuration in base64 and a result: some KiB; both readers of its parts stop at
# 1 MiB.
MAX_RECORD_BYTES: Final = 16 << 20

# How long leaving a state directory waits for a thread that a cancelled operation left behind.
_LAST_THREADS_SECONDS: Final = 30.0

_ROOMS: Final = (
    "results",
    "acni",
    "acni/spare",
    "acni/spare/000",
    "acni/debts",
    "acni/quarantine",
)
_DIRECTORY_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@frozen
class Found:
    """What a state directory holds of one attachment.

    Attributes:
        records: Its records; more than one only where another writer put it on two networks.
        aside: Its debts whose names are taken by files that are no records.
        unreadable: The names of files that may have been its records.
    """

    records: tuple[Record, ...]
    aside: tuple[Record, ...]
    unreadable: tuple[str, ...]


@define(eq=False)
class Records:
    """The records of a state directory, to be looked at."""

    _results: int | None
    _debts: int | None

    @classmethod
    def look(cls, state_dir: str) -> Self:
        """Open the records for looking; a state directory that does not exist has none.

        Raises:
            StoreError: it cannot be opened.
        """
        results = _look_into(f"{state_dir}/results")
        try:
            return cls(results, _look_into(f"{state_dir}/acni/debts"))
        except BaseException:
            if results is not None:
                os.close(results)
            raise

    def names(self) -> list[str]:
        """List the names of all records, sorted."""
        return _names_in(self._results, "results")

    def read(self, name: str) -> Record | None:
        """Read the record of that name; None where there is none.

        Raises:
            StoreError: the file cannot be read or is no record of that name. It is left where it
                is.
        """
        raw = _read(name, self._results, f"results/{name}")
        return None if raw is None else read_record(name, raw)

    def debts_aside(self) -> Iterator[Record]:
        """Iterate over the debts whose names are taken by files that are no records.

        Raises:
            StoreError: one of them cannot be read.
        """
        for name in _names_in(self._debts, "acni/debts"):
            raw = _read(name, self._debts, f"acni/debts/{name}")
            if raw is not None:
                yield read_record(None, raw)

    def find(self, attachment: AttachmentId) -> Found:
        """Find what there is of an attachment."""
        ending = f"-{attachment.container_id}-{attachment.ifname}"
        records: list[Record] = []
        unreadable: list[str] = []
        for name in self.names():
            if name.endswith(ending):
                try:
                    record = self.read(name)
                except StoreError:
                    unreadable.append(name)
                else:
                    records += [record] if record is not None and record.id == attachment else []
        aside = tuple(record for record in self.debts_aside() if record.id == attachment)
        return Found(tuple(records), aside, tuple(unreadable))

    def bare_result(self, name: str, cni_version: str) -> str | None:
        """Read a file of that name as libcni's format before records: a result and nothing else.

        Returns:
            The result's text, or None where the file is no result of that version's shape.
        """
        try:
            raw = _read(name, self._results, f"results/{name}")
            result = parse_result(raw, cni_version) if raw else None
        except (StoreError, ResultError):
            return None
        return result.raw if result and (result.ips or result.interfaces) else None

    def readable(self) -> Iterator[Record]:
        """Iterate over the records in ``results/``, sorted by name; what is none is passed over."""
        for name in self.names():
            with contextlib.suppress(StoreError):
                record = self.read(name)
                if record is not None:
                    yield record

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
        """Close the directories."""
        for fd in (self._results, self._debts):
            if fd is not None:
                os.close(fd)
        self._results = self._debts = None


@define(eq=False)
class Store:
    """A state directory, to be worked with.

    Of several writes of one name the last that began wins, and a removal wins over all of them: a
    native cancellation of asyncio leaves a writing thread behind, and what it writes must not
    come up after the operation was undone.

    Attributes:
        records: What it holds.
    """

    records: Records
    _results: int
    _spare: int
    _debts: int
    _quarantine: int
    _writing: threading.Condition = Factory(threading.Condition)
    _latest: dict[tuple[int, str], object] = Factory(dict[tuple[int, str], object])
    _running: int = 0

    def write(self, record: Record) -> None:
        """Write a record, atomically and durably: when this returns it survives a power cut.

        Blocks for the disk: to be called in a worker thread.

        Raises:
            StoreError: it could not be written, or was superseded; what stood there still does.
        """
        self._write(self._results, record.name, record)

    def retire(self, record: Record) -> None:
        """Remove a record. Not synced: one that comes back after a power cut costs an idempotent
        DEL.

        Raises:
            StoreError: it could not be removed.
        """
        with self._writing:
            self._latest.pop((self._results, record.name), None)
            _remove(record.name, self._results, f"results/{record.name}")

    def write_aside(self, record: Record) -> None:
        """Write a debt whose name is taken by a file that is no record, durably.

        Raises:
            StoreError: it could not be written, or was superseded.
        """
        self._write(self._debts, _aside_name(record), record)

    def retire_aside(self, record: Record) -> None:
        """Move the file that stood in a record's place into quarantine, and drop the debt aside.

        Raises:
            StoreError: it could not be moved.
        """
        taken = len(_names_in(self._quarantine, "acni/quarantine"))
        try:
            os.rename(
                record.name,
                f"{record.name[:240]}.{taken}",
                src_dir_fd=self._results,
                dst_dir_fd=self._quarantine,
            )
        except FileNotFoundError:
            pass
        except OSError as error:
            raise _failed(f"results/{record.name}", "cannot be moved", error) from error
        with self._writing:
            self._latest.pop((self._debts, _aside_name(record)), None)
            _remove(_aside_name(record), self._debts, "acni/debts")

    @contextmanager
    def busy(self) -> Generator[None]:
        """Say that a thread works with the state directory: leaving it waits for that."""
        with self._writing:
            self._running += 1
        try:
            yield
        finally:
            with self._writing:
                self._running -= 1
                self._writing.notify_all()

    def wait_until_idle(self) -> bool:
        """Wait for threads that somebody left behind, for a while; tell whether none is left."""
        with self._writing:
            return self._writing.wait_for(lambda: self._running == 0, _LAST_THREADS_SECONDS)

    def _write(self, target: int, name: str, record: Record) -> None:
        key, ticket = (target, name), object()
        with self._writing:
            self._latest[key] = ticket

        @contextmanager
        def unless_superseded() -> Generator[None]:
            with self._writing:
                if self._latest.get(key) is not ticket:
                    raise StoreError("was superseded", place=name, expected="to be the last write")
                yield

        with self.busy():
            data = write_record(record)
            try:
                _write_durably(self._spare, target, name, data, unless_superseded)
            finally:
                with self._writing:
                    if self._latest.get(key) is ticket:
                        del self._latest[key]


def store_for_looking(records: Records) -> Store:
    """Make a store that only has records: whatever would write through it is refused by the kernel,
    since it has no directory to write to.
    """
    return Store(records, -1, -1, -1, -1)


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
            for room in _ROOMS:
                _make_directory(f"{state_dir}/{room}")
            flags = _DIRECTORY_FLAGS | os.O_NOFOLLOW
            opened += (os.open(f"{state_dir}/{room}", flags) for room in _ROOMS)
            rooms = dict(zip(_ROOMS, opened, strict=True))
            _require_format(rooms["acni"], rooms["acni/spare/000"])
        except OSError as error:
            raise _failed(state_dir, "cannot be opened as a state directory", error) from error
        results, debts = rooms["results"], rooms["acni/debts"]
        spare, quarantine = rooms["acni/spare/000"], rooms["acni/quarantine"]
        store = Store(Records(results, debts), results, spare, debts, quarantine)
        yield store
        if not store.wait_until_idle():
            opened.clear()  # a thread still works with them: leaked rather than reused under it
    finally:
        for fd in opened:
            os.close(fd)


def _look_into(path: str) -> int | None:
    try:
        return os.open(path, _DIRECTORY_FLAGS)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _failed(path, "cannot be opened", error) from error


def _names_in(directory: int | None, place: str) -> list[str]:
    if directory is None:
        return []
    try:
        # Opened anew: threads that list one open directory share its position, and miss names.
        listed = os.open(".", _DIRECTORY_FLAGS, dir_fd=directory)
        try:
            return sorted(os.listdir(listed))
        finally:
            os.close(listed)
    except OSError as error:
        raise _failed(place, "cannot be listed", error) from error


def _read(name: str, directory: int | None, place: str) -> bytes | None:
    if directory is None:
        return None
    try:
        return read_regular(name, max_bytes=MAX_RECORD_BYTES, dir_fd=directory)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _failed(place, "cannot be read", error) from error


def _remove(name: str, directory: int, place: str) -> None:
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        pass
    except OSError as error:
        # On a read-only file system that is the answer for a name that never was, too.
        if _exists(name, directory):
            raise _failed(place, "cannot be removed", error) from error


def _exists(name: str, directory: int) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _aside_name(record: Record) -> str:
    return hashlib.sha256(record.name.encode()).hexdigest()


def _make_directory(path: str) -> None:
    """Make a directory and those above it, each for its owner only, and each durable."""
    if os.path.isdir(path):
        return
    parent = os.path.dirname(path)
    _make_directory(parent)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, mode=0o700)
    # A directory is durable when its parent is (fsync(2)).
    fd = os.open(parent, _DIRECTORY_FLAGS)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


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
        _write_durably(spare, ours, "FORMAT", f"{FORMAT}\n".encode(), nullcontext)
        return
    if text != str(FORMAT):
        raise StoreError(
            f"has format {text!a}; this acni reads {FORMAT}",
            place="acni/FORMAT",
            expected=f"{FORMAT}",
        )


def _write_durably(
    spare: int,
    target: int,
    name: str,
    data: bytes,
    guard: Callable[[], AbstractContextManager[None]],
) -> None:
    """Write a file so that at any instant the old or the new one is there, whole, and afterwards
    the new one for good.

    The name is given under a guard, which may refuse. The file is synced before its name is: ext4
    may otherwise keep a name without its data (LWN 322823). The directory is synced too: without it
    2 of 13 crash states lose a write that was acknowledged.
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
            with guard():
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

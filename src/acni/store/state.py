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

import os
import secrets
import stat
import threading
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from typing import Final

from attrs import Factory, define

from acni.errors import StoreError
from acni.host.files import read_regular
from acni.store.directory import DIRECTORY_FLAGS, remove_from, store_failure
from acni.store.durable import make_directory, write_durably
from acni.store.record import FORMAT, Record, write_record
from acni.store.records import Records, aside_name

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
            remove_from(record.name, self._results, f"results/{record.name}")

    def write_aside(self, record: Record) -> None:
        """Write a debt whose name is taken by a file that is no record, durably.

        Raises:
            StoreError: it could not be written, or was superseded.
        """
        self._write(self._debts, aside_name(record), record)

    def retire_aside(self, record: Record) -> None:
        """Move the file that stood in a record's place into quarantine, and drop the debt aside.

        Raises:
            StoreError: it could not be moved.
        """
        if self._is_bad(record.name):
            self._quarantine_file(record.name)
        with self._writing:
            self._latest.pop((self._debts, aside_name(record)), None)
            remove_from(aside_name(record), self._debts, "acni/debts")

    def _is_bad(self, name: str) -> bool:
        """Tell whether it is still no record: another writer may have put one there meanwhile."""
        try:
            self.records.read(name)
        except StoreError:
            return True
        return False

    def _quarantine_file(self, name: str) -> None:
        kept = f"{name[:230]}.{secrets.token_hex(8)}"
        try:
            os.rename(name, kept, src_dir_fd=self._results, dst_dir_fd=self._quarantine)
        except OSError as error:
            raise store_failure(f"results/{name}", "cannot be moved", error) from error

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
                write_durably(self._spare, target, name, data, unless_superseded)
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
            make_directory(state_dir)
            _require_private(state_dir)
            for room in _ROOMS:
                make_directory(f"{state_dir}/{room}")
            flags = DIRECTORY_FLAGS | os.O_NOFOLLOW
            opened += (os.open(f"{state_dir}/{room}", flags) for room in _ROOMS)
            rooms = dict(zip(_ROOMS, opened, strict=True))
            _require_format(rooms["acni"], rooms["acni/spare/000"])
        except OSError as error:
            raise store_failure(
                state_dir, "cannot be opened as a state directory", error
            ) from error
        results, debts = rooms["results"], rooms["acni/debts"]
        spare, quarantine = rooms["acni/spare/000"], rooms["acni/quarantine"]
        store = Store(Records(results, debts), results, spare, debts, quarantine)
        try:
            yield store
        finally:
            if not store.wait_until_idle():
                opened.clear()  # a thread works with them: leaked rather than reused under it
    finally:
        for fd in opened:
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
        write_durably(spare, ours, "FORMAT", f"{FORMAT}\n".encode(), nullcontext)
        return
    if text != str(FORMAT):
        raise StoreError(
            f"has format {text!a}; this acni reads {FORMAT}",
            place="acni/FORMAT",
            expected=f"{FORMAT}",
        )

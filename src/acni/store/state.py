"""The state directory: where everything lies, and what happens to it.

::

    <state>/                    0700; all of it on one local file system
      results/<network>-<container>-<ifname>    one attachment; 0600
      acni/
        FORMAT                  the format's number; a newer one is refused
        journal/<slot>          what is under way, and what a dead runtime left
        spare/<slot>/           files that become records
        debts/<sha256>          a debt whose name in results/ is taken by a file that is no record
        quarantine/<name>.<n>   such files, kept once their attachment was deleted
        first                   which networks something was attached to in this boot
        lock/00 ... 3f          the bytes of containers and namespaces, and those that plugins hold
        lock/gate, lock/types   the gate; the bytes of networks and plugin types

libcni parses every file in ``results/``, dot files too, and its GC deletes attachments for stray
ones: whatever is not a whole record lies elsewhere and is renamed into place.

Blocking calls. Reading a record, writing one that is not synced and appending to the journal stay
in the page cache (some 10 µs each) and are left to the caller's thread; what waits for the disk or
lists a directory belongs into a worker thread.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, Self

from attrs import Factory, define, field, frozen

from acni.errors import StoreError
from acni.host.files import close_all, read_regular
from acni.host.forks import given_up_in_children
from acni.host.host import Host
from acni.host.inotify import Watch
from acni.host.libc import file_system_type, syncfs
from acni.host.locks import file_of, place_of, try_lock, unlock
from acni.store.directory import (
    DIRECTORY_FLAGS,
    NO_RECORD,
    read_surely,
    remove_from,
    store_failure,
)
from acni.store.durable import make_directory, make_room, write_durably_once
from acni.store.firsts import is_marked, mark
from acni.store.journal import Journal
from acni.store.lockfiles import look_at_lock_file, make_lock_files, open_lock_file
from acni.store.neighbours import Neighbours
from acni.store.quarantine import Quarantine
from acni.store.record import FORMAT, Record, write_record
from acni.store.records import Records, aside_name, is_no_record
from acni.store.slots import Remains, Slots
from acni.store.spares import Spare, Spares

# How long leaving a state directory waits for a thread that a cancelled operation left behind.
_LAST_THREADS_SECONDS: Final = 30.0

_OPENINGS: Final = 2
_ROOMS: Final = (
    "results",
    "acni",
    "acni/journal",
    "acni/spare",
    "acni/debts",
    "acni/quarantine",
    "acni/lock",
)

# linux/magic.h and the file systems' own headers: locks or syncs there are not what they are here.
_FOREIGN_FILE_SYSTEMS: Final = {
    0x6969: "NFS",
    0x517B: "SMB",
    0xFF534D42: "CIFS",
    0xFE534D42: "SMB2",
    0x01021997: "9p",
    0x65735546: "FUSE",
    0x00C36400: "Ceph",
    0x5346414F: "AFS",
}


@frozen
class _Rooms:
    """The directories of a state directory, open."""

    fds: dict[str, int]

    @classmethod
    def make(cls, state_dir: str) -> Self:
        """Open them, making what is missing; each below the open one above it."""
        whole = os.open(state_dir, DIRECTORY_FLAGS)
        rooms = cls({"": whole})
        try:
            for room in _ROOMS:
                rooms.add(room)
        except BaseException:
            rooms.close()
            raise
        return rooms

    def add(self, room: str) -> None:
        """Open one more, making it where it is missing.

        Raises:
            StoreError: others may write to it, or it lies on another file system.
            OSError: it cannot be made.
        """
        above, _, name = room.rpartition("/")
        close_all(*(self.fds.pop(each) for each in (room,) if each in self.fds))
        fd = self.fds[room] = make_room(self.fds[above], name)
        status = os.fstat(fd)
        _require_private(status, room)
        if status.st_dev != os.fstat(self.fds["results"]).st_dev:
            raise StoreError(
                f"{room} and results lie on different file systems",
                place="state_dir",
                expected="results/ and acni/ on one file system",
            )

    def __getitem__(self, room: str) -> int:
        return self.fds[room]

    def close(self) -> None:
        close_all(*self.fds.values())


@define(eq=False, repr=False)
class Store:
    """A state directory, to be worked with.

    Of several durable writes of one name the last that began wins, and a removal wins over all of
    them: a native cancellation of asyncio leaves a writing thread behind, and what it writes must
    not come up after the operation was undone.

    Attributes:
        records: What it holds.
        journal: What is under way; None on a read-only file system, and on a full one where no
            slot is free.
        neighbours: What other runtimes left; None on a read-only file system.
        refusal: What the disk said where there is no journal.
    """

    records: Records
    journal: Journal | None
    neighbours: Neighbours | None
    _state_dir: str
    _rooms: _Rooms
    _spares: Spares
    _quarantine: Quarantine
    _host: Host
    refusal: str = ""
    _pid: int = field(factory=os.getpid, init=False)
    _stale: list[_Rooms] = field(factory=list["_Rooms"], init=False)
    _writing: threading.Condition = Factory(threading.Condition)
    _latest: dict[tuple[int, str], object] = Factory(dict[tuple[int, str], object])
    _running: int = 0

    @property
    def kept_aside(self) -> tuple[str, ...]:
        """The names of files that were moved to quarantine, or copied there, since the opening."""
        return tuple(self._quarantine.kept)

    # --- what is under way

    def is_writable(self) -> bool:
        """Tell whether the file system takes anything."""
        return self.neighbours is not None

    @property
    def slot(self) -> str | None:
        """The name of our slot; None without a journal."""
        return self.journal.slot if self.journal else None

    def watch_slots(self) -> Watch:
        """Watch the slots: one is closed when its runtime ends.

        Raises:
            OSError: there is no watch to be had, or the directory was removed.
        """
        directory = self._rooms["acni/journal"]
        if os.fstat(directory).st_nlink == 0:
            raise FileNotFoundError(errno.ENOENT, "acni/journal was removed")
        return Watch.of(directory)

    def has_open(self, container_id: str) -> bool:
        """Tell whether this runtime has something open of a container."""
        journal = self.journal
        return journal is not None and any(journal.of_container(container_id))

    def require_journal(self) -> Journal:
        """Return the journal.

        Raises:
            StoreError: there is none: the file system is read-only, or was full when this was
                opened.
        """
        if self.journal is None:
            raise StoreError(
                self.refusal, place=self._state_dir, expected="a writable file system with room"
            )
        return self.journal

    def take_spare(self) -> Spare:
        """Take the file that is to become a record; a full disk says so here.

        Raises:
            StoreError: there is none to be had.
        """
        try:
            return Spare(self._spares.take())
        except OSError as error:
            raise store_failure("acni/spare", "has no room", error) from error

    def give_back_spare(self, spare: Spare) -> None:
        """Return a file that became no record; one of another slot is found by its next runtime."""
        if spare.slot is None:
            self._spares.give_back(spare.name)

    @contextmanager
    def guard(self, container_id: str) -> Generator[int]:
        """Hold the guard byte of a container, or of gc, while a plugin runs, on a description of
        its own that the plugin inherits: whoever takes over from this process sees that it still
        runs.

        Unlocked at the end, not merely closed: a daemon of the plugin may keep the description.

        Raises:
            StoreError: it cannot be held.
        """
        place = place_of("guard", container_id)
        fd = self._open_lock(place.file)
        try:
            try:
                is_held = try_lock(fd, place.byte, shared=True)
            except OSError as error:
                raise store_failure("acni/lock", "cannot be locked", error) from error
            if not is_held:
                raise StoreError("is locked", place="acni/lock", expected="nobody else's lock")
            try:
                yield fd
            finally:
                if os.getpid() == self._pid:  # a forked child's lock is ours
                    with contextlib.suppress(OSError):  # closing lets go, but for a daemon's copy
                        unlock(fd, place.byte)
        finally:
            close_all(fd)

    def _open_lock(self, file: str) -> int:
        try:
            return open_lock_file(file, self._rooms["acni/lock"])
        except OSError as error:
            raise store_failure("acni/lock", "cannot be opened", error) from error

    def look_at_lock(self, container_id: str) -> int | None:
        """Open the file with the lock bytes of a container for looking; None where there is none,
        so that nobody holds one.

        Raises:
            StoreError: it cannot be opened.
        """
        try:
            return look_at_lock_file(file_of(container_id), self._rooms["acni/lock"])
        except FileNotFoundError:
            return None
        except OSError as error:
            raise store_failure("acni/lock", "cannot be opened", error) from error

    def is_attached_to(self, network: str) -> bool:
        """Tell whether something was attached to a network in this boot; no, where that cannot be
        told.
        """
        return is_marked(self._rooms["acni"], network, self._host)

    def mark_attached_to(self, network: str) -> None:
        """Note that something was attached to a network.

        Raises:
            StoreError: it cannot be noted.
        """
        try:
            mark(self._rooms["acni"], network, self._host)
        except OSError as error:
            raise store_failure("acni/first", "cannot be written", error) from error

    # --- records

    def keep(self, record: Record, spare: Spare) -> None:
        """Write the record of an attachment that was made: its spare file, renamed into place.

        Not synced: a kill loses nothing, and after a power cut the journal knows.

        Raises:
            StoreError: it could not be written.
        """
        data = write_record(record)
        try:
            self._spares.write(spare.name, data)
            os.rename(
                spare.name,
                record.name,
                src_dir_fd=self._spares.directory,
                dst_dir_fd=self._rooms["results"],
            )
        except OSError as error:
            raise store_failure(f"results/{record.name}", "cannot be written", error) from error
        self.records.put(record)

    def write(self, record: Record) -> None:
        """Write a record, atomically and durably: when this returns it survives a power cut.

        Blocks for the disk: to be called in a worker thread.

        Raises:
            StoreError: it could not be written, or was superseded; what stood there still does.
        """
        self._write(self._rooms["results"], record.name, record)

    def retire(self, record: Record, spare: Spare | None = None) -> None:
        """Remove a record; one of another operation in its place stays. Not synced: one that comes
        back after a power cut costs an idempotent DEL.

        Args:
            record: The record.
            spare: The spare file that it was, where a journal names it: what is not there any more
                was taken by somebody else.

        Raises:
            StoreError: it could not be removed.
        """
        results = self._rooms["results"]
        place = f"results/{record.name}"
        with self._writing:
            self._latest.pop((results, record.name), None)
            if not self._is_of_operation(record):
                return
            try:
                if spare is None:
                    self._spares.take_in(record.name, results)
                else:
                    with self._room_of(spare) as room:
                        os.rename(record.name, spare.name, src_dir_fd=results, dst_dir_fd=room)
            except FileNotFoundError:
                return
            except OSError as error:
                raise store_failure(place, "cannot be removed", error) from error

    def has_spare(self, spare: Spare) -> bool:
        """Tell whether a file that was to become a record is still spare.

        Raises:
            StoreError: that cannot be told.
        """
        try:
            with self._room_of(spare) as room:
                os.stat(spare.name, dir_fd=room, follow_symlinks=False)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise store_failure("acni/spare", "cannot be looked at", error) from error
        return True

    @contextmanager
    def _room_of(self, spare: Spare) -> Generator[int]:
        """Open where a spare file lies, or is to lie again.

        Raises:
            OSError: it cannot be opened.
        """
        if spare.slot is None:
            yield self._spares.directory
            return
        room = make_room(self._rooms["acni/spare"], spare.slot)
        try:
            yield room
        finally:
            close_all(room)

    def remains(self, slot: str) -> Remains:
        """Return a dead runtime's slot, to note in how what is open there is settled."""
        if self.neighbours is None:
            raise AssertionError("what is left is found by the neighbours")
        return self.neighbours.remains(slot)

    def write_aside(self, record: Record) -> None:
        """Write a debt whose name is taken by a file that is no record, durably.

        Raises:
            StoreError: it could not be written, or was superseded.
        """
        self._write(self._rooms["acni/debts"], aside_name(record), record)

    def retire_aside(self, record: Record) -> tuple[str, ...]:
        """Move the file that stood in a record's place into quarantine, and drop the debt aside.

        Returns:
            The names of older files that were removed from quarantine to make room.

        Raises:
            StoreError: it could not be moved.
        """
        gone: tuple[str, ...] = ()
        if self._is_bad(record.name):
            gone = self._quarantine.keep(record.name, self._rooms["results"])
        else:
            self.retire(record)
        debts = self._rooms["acni/debts"]
        with self._writing:
            self._latest.pop((debts, aside_name(record)), None)
            remove_from(aside_name(record), debts, "acni/debts")
        return gone

    def sync_records(self) -> None:
        """Make every record durable. Blocks for the disk.

        Raises:
            OSError: they are not.
        """
        syncfs(self._rooms["results"])

    def is_deleted(self) -> bool:
        """Tell whether somebody removed the state directory, or a part of it, under us.

        Raises:
            StoreError: that cannot be told.
        """
        journal = self.require_journal()
        kept = (self._rooms["results"], self._rooms["acni/lock"], self._spares.directory)
        try:
            return journal.is_deleted() or any(os.fstat(fd).st_nlink == 0 for fd in kept)
        except OSError as error:
            raise store_failure(journal.place, "cannot be looked at", error) from error

    def remake(self) -> None:
        """Make the state directory anew, after somebody removed it, with what is under way.

        Raises:
            StoreError: it cannot be made.
        """
        old = self.require_journal()
        with _as_store_failure(self._state_dir), contextlib.ExitStack() as failed:
            rooms = _make_rooms(self._state_dir)
            failed.callback(rooms.close)
            _require_format(rooms["acni"])
            quarantine = Quarantine(rooms["acni/quarantine"])
            journal = old
            if old.is_deleted():
                journal = Slots(rooms["acni/journal"], quarantine, self._host).take()
                failed.callback(journal.close)
            spares = _spares_in(rooms, journal.slot)
            for intent in old.intents.values():
                if intent.spare is not None:
                    spares.make(intent.spare)
                if journal is not old:
                    journal.begin(intent)
            failed.pop_all()
        if journal is not old:
            old.become(journal)
        self._stale.append(self._rooms)
        self._rooms, self._quarantine, self._spares = rooms, quarantine, spares
        self.records.replace(rooms["results"], rooms["acni/debts"], rooms["acni/journal"])
        if self.neighbours is not None:
            self.neighbours.close()
        self.neighbours = Neighbours(rooms["acni/journal"], old.slot, self._host.boot)

    # --- threads

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

    def close(self) -> None:
        """Close every descriptor; where a thread works with them they are leaked rather than used
        again under it.
        """
        if os.getpid() != self._pid:
            return  # given up already
        self._end_watches()
        if self.wait_until_idle():
            if self.journal is not None:
                self.journal.let_go()
            self._close()

    def give_up(self) -> None:
        """Close everything in a forked child; whoever forked it goes on."""
        self._end_watches()
        self._close()

    def _end_watches(self) -> None:
        self.records.end_watch()
        if self.neighbours is not None:
            self.neighbours.close()

    def _close(self) -> None:
        for rooms in (self._rooms, *self._stale):
            rooms.close()
        if self.journal is not None:
            self.journal.close()

    def _is_of_operation(self, record: Record) -> bool:
        """Tell whether a file in a record's place is that record, or one of another writer that the
        operation took over.
        """
        results = self._rooms["results"]
        try:
            raw = read_surely(record.name, results)
        except OSError as error:
            if error.errno in (errno.ENOENT, *NO_RECORD) and error.errno != errno.EIO:
                return False
            raise store_failure(f"results/{record.name}", "cannot be read", error) from error
        if b'"acni"' not in raw:
            return True
        # A random number of 128 bits stands there by no accident.
        return record.provenance is not None and record.provenance.operation.encode() in raw

    def _is_bad(self, name: str) -> bool:
        """Tell whether it is still no record: another writer may have put one there meanwhile."""
        try:
            self.records.read(name)
        except StoreError as error:
            if not is_no_record(error):
                raise
            return True
        return False

    def _write(self, target: int, name: str, record: Record) -> None:
        key, ticket = (target, name), object()
        with self._writing:
            self._latest[key] = ticket
        with self.busy():
            try:
                self._write_durably(key, ticket, write_record(record))
            except OSError as error:
                raise store_failure(name, "cannot be written", error) from error
            finally:
                with self._writing:
                    if self._latest.get(key) is ticket:
                        del self._latest[key]

    def _require_latest(self, key: tuple[int, str], ticket: object) -> None:
        if self._latest.get(key) is not ticket:
            raise StoreError("was superseded", place=key[1], expected="to be the last write")

    def _write_durably(self, key: tuple[int, str], ticket: object, data: bytes) -> None:
        """Sync a file before its name is given, for ext4 may otherwise keep a name without its data
        (LWN 322823), and its directory after that: else 2 of 13 crash states lose a write that was
        acknowledged.
        """
        target, name = key
        spare = self._spares.take()
        try:
            self._spares.write(spare, data, durably=True)
            with self._writing:
                self._require_latest(key, ticket)
                os.rename(spare, name, src_dir_fd=self._spares.directory, dst_dir_fd=target)
        except BaseException:
            self._spares.give_back(spare)
            raise
        os.fsync(target)


def store_for_looking(records: Records, host: Host) -> Store:
    """Make a store that only has records: whatever would write through it is refused by the kernel,
    since it has no directory to write to.
    """
    rooms = _Rooms(dict.fromkeys(_ROOMS, -1))
    return Store(records, None, None, "", rooms, Spares(-1), Quarantine(-1), host)


@contextmanager
def open_store(path: str | os.PathLike[str], host: Host) -> Generator[Store]:
    """Open a state directory, making it where it is missing.

    On a read-only file system it has no journal.

    Raises:
        StoreError: it cannot be made or opened, lies on a file system that is not local, others may
            write to it, or a newer acni wrote it.
    """
    state_dir = os.path.abspath(path)
    with _as_store_failure(state_dir):
        rooms = _make_rooms(state_dir)
    try:
        with _as_store_failure(state_dir):
            store = _store_in(state_dir, rooms, host)
    except BaseException:
        rooms.close()
        raise
    try:
        with given_up_in_children(store):
            yield store
    finally:
        store.close()


def _store_in(state_dir: str, rooms: _Rooms, host: Host) -> Store:
    directory = rooms["acni/journal"]
    quarantine = Quarantine(rooms["acni/quarantine"])
    journal, spares, refusal = None, Spares(-1), 0
    with contextlib.ExitStack() as failed:
        for _ in range(_OPENINGS):  # what a disk refuses once it may take the next time
            try:
                _require_format(rooms["acni"])
                make_lock_files(rooms["acni/lock"])
                journal = Slots(directory, quarantine, host).take()
                failed.callback(journal.close)
                spares = _spares_in(rooms, journal.slot)
            except (OSError, StoreError) as error:
                refusal = _refusal(error)
                if not refusal:
                    raise
                failed.close()
                journal, spares = None, Spares(-1)
            else:
                refusal = 0
                break
        records = Records.watch(rooms["results"], rooms["acni/debts"], directory)
        own = journal.slot if journal else ""
        is_writable = refusal != errno.EROFS
        neighbours = Neighbours(directory, own, host.boot) if is_writable else None
        store = Store(records, journal, neighbours, state_dir, rooms, spares, quarantine, host)
        if refusal:
            store.refusal = f"takes nothing: {os.strerror(refusal)}"
        failed.pop_all()
    return store


def _refusal(error: OSError | StoreError) -> int:
    """Return what a disk says that takes nothing more; 0 where it is something else."""
    cause = error if isinstance(error, OSError) else error.__cause__
    number = cause.errno if isinstance(cause, OSError) else None
    return number if number in (errno.EROFS, errno.ENOSPC, errno.EDQUOT) else 0


def _spares_in(rooms: _Rooms, slot: str) -> Spares:
    room = f"acni/spare/{slot}"
    rooms.add(room)
    return Spares.look(rooms[room])


def _make_rooms(state_dir: str) -> _Rooms:
    make_directory(state_dir)
    _require_private(os.stat(state_dir), state_dir)
    rooms = _Rooms.make(state_dir)
    try:
        _require_local_file_system(rooms)
    except BaseException:
        rooms.close()
        raise
    return rooms


@contextmanager
def _as_store_failure(state_dir: str) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise store_failure(state_dir, "cannot be opened as a state directory", error) from error


def _require_private(status: os.stat_result, place: str) -> None:
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or status.st_uid not in (0, os.geteuid()):
        raise StoreError(
            "others may write to it",
            place=place,
            expected="a directory of root's or our own, writable by its owner only",
        )


def _require_local_file_system(rooms: _Rooms) -> None:
    """Refuse what renames, locks and syncs would not hold on."""
    kind = _FOREIGN_FILE_SYSTEMS.get(file_system_type(rooms["results"]))
    if kind is not None:
        raise StoreError(f"lies on {kind}", place="state_dir", expected="a local file system")


def _require_format(ours: int) -> None:
    try:
        text = read_regular("FORMAT", max_bytes=64, dir_fd=ours).decode("ascii", "replace").strip()
    except FileNotFoundError:
        write_durably_once(ours, "FORMAT", f"{FORMAT}\n".encode())
        return
    if text != str(FORMAT):
        raise StoreError(
            f"has format {text!a}; this acni reads {FORMAT}",
            place="acni/FORMAT",
            expected=f"{FORMAT}",
        )

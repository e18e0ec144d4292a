"""The records of a state directory, to be looked at.

Blocking calls: reading one record is left to the caller's thread (a page-cache read of 2 KiB, some
10 µs); what lists them belongs into a worker thread.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Self, TypeVar

from attrs import define, frozen

from acni.errors import StoreError
from acni.host.files import close_all
from acni.host.netns import NetnsIdentity
from acni.spec.attachment import AttachmentId
from acni.spec.names import IfName, NetworkName
from acni.spec.result import ResultError, parse_result
from acni.store.directory import NO_RECORD, look_into, names_in, read_in
from acni.store.index import Index
from acni.store.outline import Outline, claim_of, read_outline
from acni.store.record import Record, read_record
from acni.store.slots import SlotView, look_at_slots

_MOST_LOOKS: Final = 3
_ROOMS: Final = ("results", "acni/debts", "acni/journal")


T = TypeVar("T")


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


@define(eq=False, repr=False)
class Records:
    """The records of a state directory, to be looked at."""

    _results: int | None
    _debts: int | None
    _journal: int | None = None
    _index: Index | None = None
    _aside: Index | None = None

    @classmethod
    def watch(cls, results: int, debts: int, journal: int) -> Self:
        """Keep an eye on open directories; whose they are closes them."""
        return cls(results, debts, journal, Index(results), Index(debts))

    @classmethod
    def look(cls, state_dir: str) -> Self:
        """Open the records for looking; a state directory that does not exist has none.

        Raises:
            StoreError: it cannot be opened.
        """
        opened: list[int | None] = []
        try:
            opened += (look_into(f"{state_dir}/{room}") for room in _ROOMS)
            results, debts, journal = opened
        except BaseException:
            _close(opened)
            raise
        return cls(results, debts, journal)

    def names(self) -> list[str]:
        """List the names of all records, sorted."""
        return names_in(self._results, "results")

    def read(self, name: str) -> Record | None:
        """Read the record of that name; None where there is none.

        Raises:
            StoreError: the file cannot be read or is no record of that name. It is left where it
                is.
        """
        return self._read(name, read_record)

    def debts_aside(self) -> Iterator[Record]:
        """Iterate over the debts whose names are taken by files that are no records; what is no
        debt is passed over.
        """
        for name in names_in(self._debts, "acni/debts"):
            with contextlib.suppress(StoreError):
                raw = read_in(name, self._debts, f"acni/debts/{name}")
                if raw is not None:
                    yield read_record(None, raw)

    def find(self, attachment: AttachmentId) -> Found:
        """Find what there is of an attachment."""
        ending = f"{attachment.container_id}-{attachment.ifname}"
        records: list[Record] = []
        unreadable: list[str] = []
        for name in self._names_ending(ending):
            try:
                record = self.read(name)
            except StoreError as error:
                if not is_no_record(error):
                    raise
                unreadable.append(name)
            else:
                records += [record] if record is not None and record.id == attachment else []
        aside = tuple(record for record in self._aside_now() if record.id == attachment)
        return Found(tuple(records), aside, tuple(unreadable))

    def bare_result(self, name: str, cni_version: str) -> str | None:
        """Read a file of that name as libcni's format before records: a result and nothing else.

        Returns:
            The result's text, or None where the file is no result.
        """
        try:
            raw = read_in(name, self._results, f"results/{name}")
            result = parse_result(raw, cni_version) if raw else None
        except (StoreError, ResultError):
            return None
        return result.raw if result and (result.ips or result.interfaces) else None

    def readable(self, chosen: Callable[[Outline], bool] | None = None) -> Iterator[Record]:
        """Iterate over the records in ``results/``, sorted by name; what is none is passed over.

        Args:
            chosen: Which of them; a record is read as a whole only where its outline, which takes a
                tenth of that, says so.
        """
        for name in self.names():
            with contextlib.suppress(StoreError):
                outline = self.outline(name) if chosen is not None else None
                if chosen is not None and (outline is None or not chosen(outline)):
                    continue
                record = self.read(name)
                if record is not None:
                    yield record

    def of_network(self, network: NetworkName) -> Iterator[tuple[str, Record | None]]:
        """Iterate over the files that are, or may be, records of a network, sorted by name; with
        None what is no record.

        Raises:
            StoreError: one cannot be read just now: nobody can tell what it is.
        """
        for name in self.names():
            if not name.startswith(f"{network}-"):
                continue
            try:
                record = self.read(name)
            except StoreError as error:
                if not is_no_record(error):
                    raise
                yield name, None
            else:
                if record is not None and record.network.name == network:
                    yield name, record

    def outline(self, name: str) -> Outline | None:
        """Read what the record of that name says at a glance; None where there is none.

        Raises:
            StoreError: the file cannot be read or is no record of that name.
        """
        return self._read(name, read_outline)

    def holding(self, ifname: IfName, identity: NetnsIdentity) -> Iterator[Outline]:
        """Iterate over what may hold an interface in a namespace; unreadable files hold nothing."""
        if self._index is not None:
            yield from self._index.holding(ifname, identity)
        else:
            for name in self._names_ending(ifname):
                with contextlib.suppress(StoreError):
                    outline = self.outline(name)
                    if outline is not None:
                        yield outline
        yield from map(claim_of, self._aside_now())

    def put(self, record: Record) -> None:
        """Take in a record that this process has just put in its place."""
        if self._index is not None:
            self._index.put(record.name, claim_of(record))

    def _read(self, name: str, parse: Callable[[str, bytes], T]) -> T | None:
        """Read a file of that name. Its file may just have been used again for another record, by
        whoever has the lock of its container: only what is no record time and again is none.
        """
        for _ in range(_MOST_LOOKS - 1):
            raw = read_in(name, self._results, f"results/{name}")
            if raw is None:
                return None
            with contextlib.suppress(StoreError):
                return parse(name, raw)
        raw = read_in(name, self._results, f"results/{name}")
        return None if raw is None else parse(name, raw)

    def _names_ending(self, ending: str) -> Iterable[str]:
        if self._index is not None:
            return self._index.ending(ending)
        return [name for name in self.names() if name.endswith(f"-{ending}")]

    def _aside_now(self) -> Iterator[Record]:
        if self._aside is not None and self._aside.is_empty():
            return iter(())
        return self.debts_aside()

    def slots(self, boot: str, *, but: str | None = None) -> Iterator[SlotView]:
        """Iterate over what is under way, and what dead runtimes left; not over the slot of that
        name.
        """
        return look_at_slots(self._journal, boot, but=but)

    def replace(self, results: int, debts: int, journal: int) -> None:
        """Look into other directories from now on; whose the old ones are closes them."""
        self.end_watch()
        self._results, self._debts, self._journal = results, debts, journal
        self._index, self._aside = Index(results), Index(debts)

    def end_watch(self) -> None:
        """Keep no eye on the directories any more."""
        for index in (self._index, self._aside):
            if index is not None:
                index.close()

    def close(self) -> None:
        """Close the directories."""
        _close([self._results, self._debts, self._journal])
        self._results = self._debts = self._journal = None


def _close(descriptors: list[int | None]) -> None:
    close_all(*(fd for fd in descriptors if fd is not None))


def is_no_record(error: StoreError) -> bool:
    """Tell whether reading failed for what the file is, not for what the machine lacks just now."""
    cause = error.__cause__
    return not isinstance(cause, OSError) or cause.errno in NO_RECORD


def aside_name(record: Record) -> str:
    """Name the file that keeps a debt whose place a bad file takes."""
    # Not of the record's name, which another attachment can share.
    identity = f"{record.network.name}/{record.container_id}/{record.ifname}"
    return hashlib.sha256(identity.encode()).hexdigest()

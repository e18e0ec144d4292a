"""Which records there are, and which interfaces they hold, kept while a runtime is open.

An ADD asks three things of all records: is this attachment among them, whose is the file name, and
does another container hold this interface in this namespace. Read anew for each ADD that would cost
with the number of records; the kernel says which names changed (a look-up that finds no change is
one call).

What cannot be watched is read anew each time.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import Final, Generic, TypeVar

from attrs import Factory, define, field

from acni.errors import StoreError
from acni.host.inotify import Watch
from acni.host.netns import NetnsIdentity
from acni.store.directory import names_in, read_in
from acni.store.outline import Outline, read_outline

_Holding = tuple[str, NetnsIdentity | None]
_File = tuple[int, int, int]

_PLACE: Final = "results"

# A command looks so often at most.
FEW_LOOKS: Final = 4

_K = TypeVar("_K")


@define(eq=False, repr=False)
class _Names(Generic[_K]):
    """Names by what they are found by. Mostly that finds one, and a set of one takes 216 bytes."""

    _found: dict[_K, str | set[str]] = Factory(dict[_K, "str | set[str]"])

    def of(self, key: _K) -> Iterable[str]:
        found = self._found.get(key, ())
        return (found,) if isinstance(found, str) else found

    def add(self, key: _K, name: str) -> None:
        found = self._found.get(key)
        if isinstance(found, set):
            found.add(name)
        else:
            self._found[key] = name if found in (None, name) else {found, name}

    def discard(self, key: _K, name: str) -> None:
        found = self._found.get(key)
        if isinstance(found, set):
            found.discard(name)
        if found in (name, set()):
            del self._found[key]


@define(eq=False, repr=False)
class Index:
    """The names in a directory of records.

    Attributes:
        names: All of them.
    """

    _directory: int
    _few: int = FEW_LOOKS
    names: set[str] = field(factory=set[str], init=False)
    _watch: Watch | None = field(default=None, init=False)
    _endings: _Names[str] = field(factory=_Names[str], init=False)
    _outlines: dict[str, Outline] = field(factory=dict[str, Outline], init=False)
    _holdings: _Names[_Holding] = field(factory=_Names[_Holding], init=False)
    # Names whose outline has not been read since they changed.
    _unread: set[str] = field(factory=set[str], init=False)
    # As which files the outlines were read, or put there.
    _files: dict[str, _File] = field(factory=dict[str, "_File"], init=False)
    _looks: int = field(default=0, init=False)

    def ending(self, ending: str) -> Iterable[str]:
        """List the names that end so, after a dash, sorted.

        Raises:
            StoreError: the directory cannot be listed.
        """
        self._refresh()
        return sorted(self._endings.of(ending))

    def holding(self, ifname: str, identity: NetnsIdentity) -> Iterator[Outline]:
        """Iterate over the records that may hold an interface in a namespace: those that say so,
        and those of other writers, which do not know the namespace's identity.

        Raises:
            StoreError: the directory cannot be listed.
        """
        self._refresh()
        if self._unread:
            for name in tuple(self._unread):
                self._read(name)
            # What was once full keeps its size, and takes as long to look through as then: 1.3 ms
            # after 100,000 records.
            self._unread = set()
        for holding in ((ifname, identity), (ifname, None)):
            for name in sorted(self._holdings.of(holding)):
                yield self._outlines[name]

    def put(self, name: str, outline: Outline) -> None:
        """Take in a record that this process has just put there: it need not be read."""
        with contextlib.suppress(OSError):  # then it is read
            self._hold(name, outline, _file(os.stat(name, dir_fd=self._directory)))

    def is_empty(self) -> bool:
        """Tell whether there is nothing.

        Raises:
            StoreError: the directory cannot be listed.
        """
        self._refresh()
        return not self.names

    def close(self) -> None:
        """End the watch."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def _refresh(self) -> None:
        """Take in what changed since the last look; all of it where that is not known."""
        if self._watch is not None:
            try:
                for name in self._watch.changed():
                    self._look(name)
            except LookupError:
                self.close()
            else:
                return
        self._begin()

    def _begin(self) -> None:
        """Read all names anew, and watch from before that on, where there is a watch to be had: not
        for a few looks, since ending one takes 20 ms.
        """
        self._looks += 1
        if self._looks > self._few:
            with contextlib.suppress(OSError):
                self._watch = Watch.of(self._directory)
        names = set(names_in(self._directory, _PLACE))
        # What was put there and taken away between two looks has no name yet.
        for name in (self.names | self._outlines.keys()) - names:
            self._drop(name)
        for name in names:
            self._add(name)
        self._unread |= names

    def _look(self, name: str) -> None:
        """Look whether a name is there; one of which that cannot be said is there: who reads it is
        told why not, and forgets nothing.
        """
        try:
            os.stat(name, dir_fd=self._directory, follow_symlinks=False)
        except FileNotFoundError:
            self._drop(name)
            return
        except OSError:
            pass
        self._add(name)
        self._unread.add(name)

    def _add(self, name: str) -> None:
        if name not in self.names:
            self.names.add(name)
            for ending in _endings(name):
                self._endings.add(ending, name)

    def _drop(self, name: str) -> None:
        if name in self.names:
            self.names.discard(name)
            for ending in _endings(name):
                self._endings.discard(ending, name)
            self._unread.discard(name)
        self._forget(name)

    def _read(self, name: str) -> None:
        """Read an outline, if the file is not the one that it was read from before."""
        self._unread.discard(name)
        try:
            file = _file(os.stat(name, dir_fd=self._directory, follow_symlinks=False))
        except OSError:
            self._forget(name)
            return
        if self._files.get(name) == file:
            return
        self._forget(name)
        try:
            raw = read_in(name, self._directory, f"{_PLACE}/{name}")
            if raw is None:
                return
            outline = read_outline(name, raw)
        except StoreError:
            return  # it holds nothing that is known
        self._hold(name, outline, file)

    def _hold(self, name: str, outline: Outline, file: _File) -> None:
        self._forget(name)
        self._files[name] = file
        self._outlines[name] = outline
        self._holdings.add(_holding(outline), name)

    def _forget(self, name: str) -> None:
        self._files.pop(name, None)
        outline = self._outlines.pop(name, None)
        if outline is not None:
            self._holdings.discard(_holding(outline), name)


def _file(status: os.stat_result) -> _File:
    """Return what changes with whatever is done to a file or its name."""
    return status.st_ino, status.st_size, status.st_ctime_ns


def _holding(outline: Outline) -> _Holding:
    """Return what a record is found by; another writer's says no identity."""
    return outline.ifname, None if outline.boot is None else outline.identity


def _endings(name: str) -> Iterator[str]:
    """Iterate over what a name ends in after each of its dashes."""
    at = name.find("-")
    while at >= 0:
        yield name[at + 1 :]
        at = name.find("-", at + 1)

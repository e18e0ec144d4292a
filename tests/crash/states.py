"""Every state in which a power cut may leave a directory: recorded operations, and a file system
that keeps as little as it may (after ALICE: Pillai et al., "All File Systems Are Not Created
Equal", OSDI 2014).

Rule 1: a name's change persists or not, each for itself, but for those of one file and of one name,
    which persist in order; an fsync of a directory persists what happened in it before, an fsync of
    a file says nothing of its name.
Rule 2: what was written and not synced persists by pages of 4 KiB, each as it was at any moment
    since the last sync, and so does the size. A file that is used again may hold what it held
    before.
Rule 3: a sync covers what was over when it began, and nothing that another thread did meanwhile.

At each moment there are more such states than can be tried: all where they are few, otherwise the
extremes and a sample, the same in every run.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from attrs import define, evolve, field, frozen

ROOT: Final = "."
PAGE_BYTES: Final = 4096


# --- operations ----------------------------------------------------------------------------------


@frozen
class MakeDirectory:
    path: str


@frozen
class Create:
    path: str


@frozen
class Write:
    path: str
    offset: int
    data: bytes = field(repr=False)


@frozen
class Truncate:
    path: str
    size: int


@frozen
class Allocate:
    path: str
    size: int


@frozen
class Rename:
    path: str
    target: str


@frozen
class Unlink:
    path: str


@frozen
class Sync:
    """An fsync or fdatasync of a file or a directory; ``covered`` as in :class:`SyncAll`."""

    path: str
    covered: int


@frozen
class SyncAll:
    """A syncfs.

    Attributes:
        covered: The number of the last step that was over when it began.
    """

    covered: int


@frozen
class Mark:
    """Something that happened between two operations.

    Attributes:
        what: What.
    """

    what: str


Operation = (
    MakeDirectory | Create | Write | Truncate | Allocate | Rename | Unlink | Sync | SyncAll | Mark
)


@frozen
class Step:
    """An operation, numbered from 1 on in the order in which they were over."""

    number: int
    operation: Operation


# --- what a file system holds --------------------------------------------------------------------


@frozen
class Content:
    """What a file holds: zeros behind its data, up to its size."""

    number: int
    size: int = 0
    data: bytes = field(default=b"", repr=False)

    def page(self, index: int) -> bytes:
        """Return a page, whole."""
        page = self.data[index * PAGE_BYTES : (index + 1) * PAGE_BYTES]
        return page.ljust(PAGE_BYTES, b"\0")

    def pages(self) -> int:
        """Count the pages that hold anything."""
        return -(-len(self.data) // PAGE_BYTES)

    def whole(self) -> bytes:
        """Return all of it; of many zeros at the end, some."""
        return self.data[: self.size].ljust(min(self.size, len(self.data) + PAGE_BYTES), b"\0")


@define(eq=False)
class _File:
    """A file or directory.

    Attributes:
        contents: What it held since it was last synced, that included.
    """

    contents: list[Content] = field(factory=list[Content])
    is_directory: bool = False

    def sync(self, covered: int) -> None:
        synced = sum(content.number <= covered for content in self.contents)
        del self.contents[: synced - 1]

    def choices(self) -> list[int]:
        """Return how many ways each page, and then the size, may persist."""
        changed = len(self.contents)
        if changed == 1 or self.is_directory:
            return []
        return [changed] * (max(content.pages() for content in self.contents) + 1)

    def chosen(self, choice: Sequence[int]) -> bytes:
        """Return what it holds when pages and size persist as chosen."""
        if not choice:
            return self.contents[-1].whole()
        *pages, size = choice
        data = b"".join(self.contents[which].page(index) for index, which in enumerate(pages))
        return Content(0, self.contents[size].size, data.rstrip(b"\0")).whole()


@define(eq=False)
class _Naming:
    """A change of names that may not persist yet.

    Attributes:
        after: What persists before it.
    """

    number: int
    file: _File
    source: str | None
    target: str | None
    after: list[_Naming]

    def names(self) -> Iterator[str]:
        return filter(None, (self.source, self.target))

    def directories(self) -> Iterator[str]:
        return map(_parent, self.names())

    def apply(self, names: dict[str, _File]) -> None:
        if self.source is not None:
            names.pop(self.source, None)
        if self.target is not None:
            names[self.target] = self.file


State = Mapping[str, bytes | None]
"""What there is after a power cut: the content of each file by its path, None for a directory."""


@define(eq=False)
class WeakFileSystem:
    """What is there, and what of it persists for certain."""

    _names: dict[str, _File] = field(factory=dict[str, _File], init=False)
    _persistent: dict[str, _File] = field(factory=dict[str, _File], init=False)
    _pending: list[_Naming] = field(factory=list[_Naming], init=False)

    def take(self, step: Step) -> None:
        """Take in a step."""
        number = step.number
        match step.operation:
            case MakeDirectory(path) if path == ROOT:
                pass  # its own name is somebody else's
            case MakeDirectory(path):
                self._name(number, _File(is_directory=True), None, path)
            case Create(path):
                self._name(number, _File([Content(number)]), None, path)
            case Rename(path, target):
                self._name(number, self._names[path], path, target)
            case Unlink(path):
                self._name(number, self._names[path], path, None)
            case Sync(path, covered) if path == ROOT or self._names[path].is_directory:
                self._persist(covered, path)
            case Sync(path, covered):
                self._names[path].sync(covered)
            case SyncAll(covered):
                self._persist(covered, None)
                for file in self._names.values():
                    file.sync(covered)
            case Write() | Truncate() | Allocate() as change:
                file = self._names[change.path]
                file.contents.append(_changed(file.contents[-1], number, change))
            case Mark():
                pass

    def states(self, chance: random.Random, most: int) -> Iterator[State]:
        """Iterate over what a power cut may leave now, ``most`` of it at most."""
        files = {file: file.choices() for file in self._all_files()}
        ways = [2] * len(self._pending) + [way for choices in files.values() for way in choices]
        for choice in _choices(ways, len(self._pending), chance, most):
            names = self._named(choice)
            rest = iter(choice[len(self._pending) :])
            chosen = {
                file: list(itertools.islice(rest, len(choices))) for file, choices in files.items()
            }
            yield {
                path: None if file.is_directory else file.chosen(chosen[file])
                for path, file in sorted(names.items())
            }

    def _name(self, number: int, file: _File, source: str | None, target: str | None) -> None:
        naming = _Naming(number, file, source, target, [])
        touched = {*naming.names(), *naming.directories()}
        naming.after = [
            earlier
            for earlier in self._pending
            if earlier.file is file or touched.intersection(earlier.names())
        ]
        self._pending.append(naming)
        naming.apply(self._names)

    def _persist(self, covered: int, directory: str | None) -> None:
        """Let what happened in a directory, or everywhere, persist."""
        persists: set[_Naming] = set()
        for naming in self._pending:
            if naming.number <= covered and (
                directory is None or directory in naming.directories()
            ):
                persists |= {naming, *_before(naming)}
        for naming in self._pending:
            if naming in persists:
                naming.apply(self._persistent)
        self._pending = [naming for naming in self._pending if naming not in persists]

    def _named(self, choice: Sequence[int]) -> dict[str, _File]:
        names = dict(self._persistent)
        persisted = set[_Naming]()
        for naming, is_chosen in zip(self._pending, choice, strict=False):
            if is_chosen and all(
                earlier in persisted for earlier in naming.after if earlier in self._pending
            ):
                persisted.add(naming)
                naming.apply(names)
        return names

    def _all_files(self) -> dict[_File, None]:
        pending = (naming.file for naming in self._pending)
        return dict.fromkeys((*self._persistent.values(), *pending))


def _changed(old: Content, number: int, change: Write | Truncate | Allocate) -> Content:
    match change:
        case Write(_, offset, data):
            end = offset + len(data)
            written = old.data.ljust(offset, b"\0")[:offset] + data + old.data[end:]
            return Content(number, max(old.size, end), written)
        case Truncate(_, size):
            return Content(number, size, old.data[:size])
        case Allocate(_, size):
            return evolve(old, number=number, size=max(old.size, size))


def states_after(steps: Sequence[Step], *, most: int, seed: int = 0) -> Iterator[tuple[int, State]]:
    """Iterate over what a power cut may leave, after each step: how many steps there were, and what
    is left.
    """
    filesystem = WeakFileSystem()
    chance = random.Random(seed)  # noqa: S311 (not for secrets)
    for count, step in enumerate(steps, 1):
        filesystem.take(step)
        for state in filesystem.states(chance, most):
            yield count, state


def _choices(
    ways: Sequence[int], namings: int, chance: random.Random, most: int
) -> Iterator[tuple[int, ...]]:
    """Choose one of its ways for each: all there is, or the extremes and a sample."""
    total = 1
    for way in ways:
        total = min(total * way, most + 1)
    if total <= most:
        yield from itertools.product(*map(range, ways))
        return
    last = tuple(way - 1 for way in ways)
    none = (0,) * len(ways)
    extremes = [none, last, none[:namings] + last[namings:], last[:namings] + none[namings:]]
    yield from extremes
    for _ in range(most - len(extremes)):
        yield tuple(map(chance.randrange, ways))


def _before(naming: _Naming) -> Iterator[_Naming]:
    for earlier in naming.after:
        yield earlier
        yield from _before(earlier)


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or ROOT


# --- seen by a reader ----------------------------------------------------------------------------


@define(eq=False)
class Mount:
    """A directory that shows one state after another, and writes only what differs."""

    directory: Path
    _shown: dict[str, bytes | None] = field(factory=dict[str, bytes | None], init=False)

    def show(self, state: State) -> None:
        """Show a state."""
        for path in sorted(self._shown.keys() - state.keys(), reverse=True):
            is_directory = self._shown.pop(path) is None
            (self.directory / path).rmdir() if is_directory else (self.directory / path).unlink()
        for path, content in state.items():
            if path not in self._shown or self._shown[path] != content:
                if content is None:
                    (self.directory / path).mkdir()
                else:
                    (self.directory / path).write_bytes(content)
                self._shown[path] = content

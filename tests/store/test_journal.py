"""The journal: what is open is on disk before it is done, through segments, kills and bad disks."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from attrs import define, evolve
from hypothesis import given
from hypothesis import strategies as st

from acni import StoreError
from acni.host.libc import mount, unmount
from acni.store.frames import read_frames
from acni.store.intents import replay
from acni.store.journal import SEGMENT_BYTES, Journal, Segment
from tests.store.journals import (
    RESULT,
    Observed,
    make_intent,
    make_journal,
    open_in,
    operation,
    read_slot,
)

ONE = operation(1)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = make_journal(tmp_path)
    yield journal
    journal.close()


def sizes(directory: Path) -> list[int]:
    return [(directory / name).stat().st_size for name in ("000", "000.1")]


def fill(journal: Journal) -> None:
    """Let operations come and go until it is time for a new segment."""
    number = 1000
    while not journal.is_full():
        journal.begin(make_intent(number, args="x" * 20000))
        journal.end(operation(number), "gone")
        number += 1


# --- what is noted


def test_an_operation_is_on_disk_as_it_is_here_at_every_step(
    journal: Journal, tmp_path: Path
) -> None:
    def is_noted() -> bool:
        return open_in(tmp_path) == journal.intents

    journal.begin(make_intent())
    assert is_noted()
    journal.step(ONE, 0, RESULT)
    journal.step(ONE, 1, "{}")
    assert is_noted()
    assert journal.intents[ONE].result == "{}"
    journal.named(ONE)
    assert is_noted()
    assert journal.intents[ONE].is_named
    journal.step(ONE, 2, None)
    assert is_noted()
    assert journal.intents[ONE].next == 1
    journal.end(ONE, "owed")
    assert is_noted()
    assert journal.intents == {}


def test_what_is_not_open_has_no_end(journal: Journal, tmp_path: Path) -> None:
    before = read_slot(tmp_path)
    journal.end(ONE, "gone")
    assert read_slot(tmp_path) == before


def test_a_dropped_operation_is_not_open_here(journal: Journal) -> None:
    journal.begin(make_intent())
    journal.drop(ONE)
    journal.drop(ONE)
    assert list(journal.left()) == []


def test_left_is_what_nobody_works_on(journal: Journal) -> None:
    journal.begin(make_intent(1))
    journal.begin(make_intent(2))
    journal.begin(make_intent(3, container_id="c1"))
    journal.under_way.add(operation(2))
    assert [one.operation for one in journal.left()] == [operation(1), operation(3)]
    assert [one.operation for one in journal.of_container("c1")] == [operation(1), operation(3)]
    assert sorted({one.container_id for one in journal.intents.values()}) == ["c1", "c2"]
    journal.under_way.update((operation(1), operation(3)))
    assert list(journal.left()) == []


def test_of_a_container_is_open_what_was_begun_and_has_not_ended(journal: Journal) -> None:
    journal.begin(make_intent(1))
    journal.begin(evolve(make_intent(1), verb="delete"))  # which takes over its entry
    journal.begin(make_intent(3, container_id="c1"))
    for number, left in ((1, [operation(3)]), (3, [])):
        journal.end(operation(number), "gone")
        assert [one.operation for one in journal.of_container("c1")] == left


# --- segments


def test_a_new_segment_repeats_what_is_open_as_it_stands_and_nothing_else(
    journal: Journal, tmp_path: Path
) -> None:
    journal.begin(make_intent(1))
    journal.step(ONE, 0, RESULT)
    journal.named(ONE)
    journal.step(ONE, 2, None)
    journal.begin(make_intent(2))
    journal.end(operation(2), "attached")
    journal.begin_segment()
    journal.make_old_void()
    expected = evolve(make_intent(1), result=RESULT, is_named=True, next=1)
    assert journal.intents == {ONE: expected}
    read = read_slot(tmp_path)
    assert read.intents == {ONE: expected}
    assert read.opener is not None
    assert read.opener.pid == os.getpid()


def test_both_segments_count_until_the_old_one_is_void(journal: Journal, tmp_path: Path) -> None:
    journal.begin(make_intent(1))
    journal.begin(make_intent(2))
    journal.end(operation(2), "attached")
    journal.begin_segment()
    # Its record may not be on disk yet.
    assert set(open_in(tmp_path, boot="another")) == {operation(1), operation(2)}
    journal.make_old_void()
    assert set(open_in(tmp_path, boot="another")) == {operation(1)}
    journal.make_old_void()  # once is enough
    assert journal.renewed_from is None


def test_the_files_take_turns_and_grow_no_more(journal: Journal, tmp_path: Path) -> None:
    journal.begin(make_intent(1))
    for turn in range(6):
        fill(journal)
        journal.begin_segment()
        journal.make_old_void()
        assert open_in(tmp_path) == {ONE: make_intent(1)}, turn
    assert max(sizes(tmp_path)) < 3 * SEGMENT_BYTES


def test_while_both_count_no_other_one_is_begun(journal: Journal) -> None:
    fill(journal)
    assert journal.is_full()
    journal.begin_segment()
    fill_more = [make_intent(number, args="x" * 20000) for number in range(100)]
    for intent in fill_more:
        journal.begin(intent)
        journal.end(intent.operation, "gone")
    assert not journal.is_full()
    journal.make_old_void()
    assert journal.is_full()


def test_what_is_open_does_not_make_a_segment_full_by_itself(journal: Journal) -> None:
    """Else each look would begin another one, and write all of it again."""
    for number in range(60):
        journal.begin(make_intent(number, args="x" * 20000))
    assert journal.is_full()
    for _ in range(3):
        journal.begin_segment()
        journal.make_old_void()
        assert not journal.is_full()


def test_a_segment_gives_back_what_it_grew_by(journal: Journal, tmp_path: Path) -> None:
    intents = [make_intent(number, args="x" * 100_000) for number in range(60)]
    for intent in intents:
        journal.begin(intent)
    assert max(sizes(tmp_path)) > 4 * SEGMENT_BYTES
    for intent in intents:
        journal.end(intent.operation, "gone")
    for _ in range(2):
        journal.begin_segment()
        journal.make_old_void()
    assert max(sizes(tmp_path)) <= 2 * SEGMENT_BYTES


@define(eq=False)
class Copies:
    """What lay on disk after each write: what whoever comes after a kill there finds."""

    directory: Path
    to: Path
    count: int = 0

    def take(self) -> None:
        target = self.to / f"{self.count:03d}"
        target.mkdir(parents=True)
        for segment in self.directory.iterdir():
            shutil.copy(segment, target / segment.name)
        self.count += 1

    def __iter__(self) -> Iterator[Path]:
        return iter(sorted(self.to.iterdir()))


def copied_at_each_write(tmp_path: Path) -> tuple[Journal, Copies]:
    home = tmp_path / "journal"
    home.mkdir()
    journal = make_journal(home)
    copies = Copies(home, tmp_path / "copies")
    for segment in (journal._active, journal._other):
        assert isinstance(segment, Observed)
        segment.on_write = copies.take
    return journal, copies


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_kill_between_any_two_writes_of_a_rotation_loses_nothing(
    turns: int, tmp_path: Path
) -> None:
    journal, copies = copied_at_each_write(tmp_path)
    try:
        for number in range(4):
            journal.begin(make_intent(number))
        journal.step(operation(1), 0, RESULT)
        journal.step(operation(1), 1, "{}")
        journal.named(operation(2))
        journal.step(operation(3), 2, None)
        journal.end(operation(0), "gone")
        copies.count = 0
        shutil.rmtree(copies.to)
        expected = dict(journal.intents)
        for _ in range(turns):
            journal.begin_segment()
            copies.take()
            journal.make_old_void()
    finally:
        journal.close()
    assert copies.count == turns * (1 + 3 + 1 + 1)
    for copy in copies:
        assert open_in(copy) == expected, copy


def test_a_kill_in_the_middle_of_any_write_of_a_rotation_loses_nothing(tmp_path: Path) -> None:
    journal, copies = copied_at_each_write(tmp_path)
    try:
        for number in range(3):
            journal.begin(make_intent(number))
        journal.begin_segment()
        journal.make_old_void()  # so that frames of an earlier use lie in both files
        journal.step(operation(1), 0, RESULT)
        expected = dict(journal.intents)
        copies.count = 0
        shutil.rmtree(copies.to)
        copies.take()
        journal.begin_segment()
        journal.make_old_void()
    finally:
        journal.close()
    snapshots = list(copies)
    for before, after in itertools.pairwise(snapshots):
        for name in ("000", "000.1"):
            old, new = (before / name).read_bytes(), (after / name).read_bytes()
            changed = [
                place
                for place in range(len(new))
                if old[place : place + 1] != new[place : place + 1]
            ]
            for cut in {changed[0], changed[len(changed) // 2], changed[-1]} if changed else ():
                torn = tmp_path / "torn"
                shutil.rmtree(torn, ignore_errors=True)
                shutil.copytree(before, torn)
                (torn / name).write_bytes(new[:cut] + old[cut:])
                assert read_slot(torn, torn=True).intents == expected, (before, name, cut)


def test_a_rotation_that_finds_no_room_leaves_everything_as_it_was(tmp_path: Path) -> None:
    home = tmp_path / "journal"
    home.mkdir()
    journal = make_journal(home)
    try:
        for number in range(3):
            journal.begin(make_intent(number))
        expected = dict(journal.intents)
        writes = iter(range(2))

        def fail_soon() -> None:
            if next(writes, None) is None:
                raise OSError(28, os.strerror(28))

        other = journal._other
        assert isinstance(other, Observed)
        other.on_write = fail_soon
        with pytest.raises(StoreError, match="No space left"):
            journal.begin_segment()
        assert journal.renewed_from is None
        assert open_in(home) == expected
        journal.step(operation(1), 0, RESULT)
        journal.begin(make_intent(7))
        assert open_in(home) == journal.intents
        other.on_write = lambda: None
        journal.begin_segment()
        journal.make_old_void()
        assert open_in(home) == journal.intents
    finally:
        journal.close()


class Rotating:
    """A journal, and what it is to say."""

    def __init__(self, directory: Path) -> None:
        self.journal = make_journal(directory)
        self.directory = directory

    def run(self, words: list[tuple[str, int]]) -> None:
        for word, number in words:
            self.say(word, number)
            assert open_in(self.directory) == self.journal.intents

    def say(self, word: str, number: int) -> None:
        journal, name = self.journal, operation(number)
        is_open = name in journal.intents
        match word:
            case "begin" if not is_open:
                journal.begin(make_intent(number))
            case "result" if is_open:
                journal.step(name, 0, RESULT)
            case "let go" if is_open and journal.intents[name].next >= 0:
                journal.step(name, journal.intents[name].next, None)
            case "named" if is_open:
                journal.named(name)
            case "end" if is_open:
                journal.end(name, "gone")
            case "segment" if journal.renewed_from is None:
                journal.begin_segment()
            case "void":
                journal.make_old_void()
            case "lost":
                journal.poison()
            case _:
                pass


words = st.sampled_from(
    ["begin", "begin", "result", "let go", "named", "end", "segment", "void", "lost"]
)


@given(st.lists(st.tuples(words, st.integers(0, 3)), max_size=40))
def test_whatever_comes_the_disk_says_what_is_open(
    tmp_path_factory: pytest.TempPathFactory, said: list[tuple[str, int]]
) -> None:
    rotating = Rotating(tmp_path_factory.mktemp("journal"))
    try:
        rotating.run(said)
    finally:
        rotating.journal.close()
        shutil.rmtree(rotating.directory)


# --- disks that fail


def read_only(journal: Journal, directory: Path) -> None:
    """Let every write to a slot fail from now on, as on a disk that went away."""
    for segment, name in ((journal._active, "000"), (journal._other, "000.1")):
        os.close(segment.fd)
        segment.fd = os.open(directory / name, os.O_RDONLY)


def writable(journal: Journal, directory: Path) -> None:
    for segment, name in ((journal._active, "000"), (journal._other, "000.1")):
        os.close(segment.fd)
        segment.fd = os.open(directory / name, os.O_RDWR)


ASKED: list[tuple[str, Callable[[Journal], None]]] = [
    ("begin", lambda journal: journal.begin(make_intent(2))),
    ("result", lambda journal: journal.step(ONE, 0, RESULT)),
    ("let go", lambda journal: journal.step(ONE, 2, None)),
    ("named", lambda journal: journal.named(ONE)),
    ("end", lambda journal: journal.end(ONE, "gone")),
    ("segment", lambda journal: journal.begin_segment()),
    ("sign", lambda journal: journal.sign()),
]


@pytest.mark.parametrize("ask", [pytest.param(ask, id=name) for name, ask in ASKED])
def test_what_cannot_be_noted_is_a_typed_error_and_stays_open(
    ask: Callable[[Journal], None], journal: Journal, tmp_path: Path
) -> None:
    journal.begin(make_intent())
    read_only(journal, tmp_path)
    with pytest.raises(StoreError, match="acni/journal/000"):
        ask(journal)
    assert list(journal.intents) == [ONE]
    assert open_in(tmp_path) == {ONE: make_intent()}


def test_a_step_that_could_not_be_noted_is_known_here_and_noted_by_the_next_segment(
    journal: Journal, tmp_path: Path
) -> None:
    journal.begin(make_intent())
    read_only(journal, tmp_path)
    with pytest.raises(StoreError):
        journal.step(ONE, 2, None)
    writable(journal, tmp_path)
    journal.begin_segment()
    assert open_in(tmp_path)[ONE].next == 1


def test_nothing_more_is_begun_of_what_could_not_be_noted_until_it_is(
    journal: Journal, tmp_path: Path
) -> None:
    journal.begin(make_intent())
    journal.catch_up(ONE)
    read_only(journal, tmp_path)
    with pytest.raises(StoreError):
        journal.step(ONE, 2, None)
    with pytest.raises(StoreError):
        journal.catch_up(ONE)
    writable(journal, tmp_path)
    journal.catch_up(ONE)
    assert open_in(tmp_path) == journal.intents
    before = journal._active.end
    journal.catch_up(ONE)
    assert journal._active.end == before


def test_a_step_notes_the_one_before_it_that_could_not_be_noted(
    journal: Journal, tmp_path: Path
) -> None:
    journal.begin(make_intent())
    read_only(journal, tmp_path)
    with pytest.raises(StoreError):
        journal.step(ONE, 0, RESULT)
    writable(journal, tmp_path)
    journal.step(ONE, 2, None)
    assert open_in(tmp_path) == journal.intents
    assert journal.intents[ONE].result == RESULT


def test_a_pipe_cannot_be_synced_and_says_so(tmp_path: Path) -> None:
    """A descriptor on which fdatasync(2) really fails."""
    reading, writing = os.pipe()
    journal = make_journal(tmp_path)
    os.close(journal._active.fd)
    journal._active.fd = writing
    with pytest.raises(OSError, match="Invalid argument"):
        journal.sync()
    os.close(reading)
    journal.close()


def test_after_a_lost_write_everything_open_is_in_another_segment(
    journal: Journal, tmp_path: Path
) -> None:
    journal.begin(make_intent(1))
    journal.step(ONE, 0, RESULT)
    journal.poison()
    (tmp_path / "000").write_bytes(b"nobody knows")
    assert open_in(tmp_path) == journal.intents
    journal.begin(make_intent(2))
    assert open_in(tmp_path) == journal.intents


def test_a_write_that_is_lost_during_a_rotation_is_written_once_more(
    journal: Journal, tmp_path: Path
) -> None:
    journal.begin(make_intent(1))
    journal.begin_segment()
    lost = journal._active.end
    journal.step(ONE, 0, RESULT)
    journal.poison()
    data = bytearray((tmp_path / "000.1").read_bytes())
    data[:lost] = bytes(lost)
    (tmp_path / "000.1").write_bytes(data)
    (tmp_path / "000").write_bytes(b"")
    # Behind the lost ones, which is corruption, and used all the same.
    reading = read_frames((tmp_path / "000.1").read_bytes())
    assert replay(reading.frames).intents == journal.intents


def test_where_nothing_can_be_written_after_a_lost_write_nothing_is_begun(
    journal: Journal, tmp_path: Path
) -> None:
    journal.begin(make_intent(1))
    read_only(journal, tmp_path)
    journal.poison()
    with pytest.raises(StoreError):
        journal.begin(make_intent(2))
    assert list(journal.intents) == [ONE]


def test_once_it_can_be_written_again_the_next_operation_begins(
    journal: Journal, tmp_path: Path
) -> None:
    journal.begin(make_intent(1))
    read_only(journal, tmp_path)
    journal.poison()
    writable(journal, tmp_path)
    journal.begin(make_intent(2))
    assert open_in(tmp_path) == journal.intents
    assert set(journal.intents) == {operation(1), operation(2)}


def test_nothing_is_durable_while_a_lost_write_was_not_made_good(
    journal: Journal, tmp_path: Path
) -> None:
    """The kernel tells of a lost write once; the next sync would succeed without it."""
    journal.begin(make_intent(1))
    read_only(journal, tmp_path)
    journal.poison()
    writable(journal, tmp_path)
    with pytest.raises(OSError, match="lost"):
        journal.sync()
    journal.poison()
    journal.sync()


def test_a_deleted_file_is_noticed(journal: Journal, tmp_path: Path) -> None:
    assert not journal.is_deleted()
    (tmp_path / "000").unlink()
    assert journal.is_deleted()


def test_closing_twice_is_closing_once(tmp_path: Path) -> None:
    journal = make_journal(tmp_path)
    journal.close()
    journal.close()


# --- room


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    with tmpfs(tmp_path / "small", "size=256k") as path:
        yield path


@contextmanager
def tmpfs(path: Path, options: str) -> Iterator[Path]:
    path.mkdir()
    mount("none", str(path), "tmpfs", options=f"mode=0700,{options}")
    try:
        yield path
    finally:
        unmount(str(path))


@pytest.mark.netns
def test_room_is_asked_for_before_an_operation_begins(small: Path) -> None:
    """A step that finds no room would halt a chain half way."""
    (small / "000").touch()
    journal = make_journal(small)
    try:
        with pytest.raises(StoreError, match="has no room: No space left"):
            journal.begin(make_intent())
        assert journal.intents == {}
        assert open_in(small) == {}
    finally:
        journal.close()


def fill_up(directory: Path) -> None:
    with (
        (directory / "ballast").open("wb", buffering=0) as ballast,
        contextlib.suppress(OSError),
    ):
        while True:
            ballast.write(bytes(1 << 16))


@pytest.mark.netns
def test_what_began_may_note_its_results_on_a_disk_that_is_full_since(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "some", "size=3m") as directory:
        journal = make_journal(directory)
        try:
            journal.begin(make_intent())
            fill_up(directory)
            for place in range(3):
                journal.step(ONE, place, RESULT + " " * 4000)
            journal.named(ONE)
            for place in (2, 1, 0):
                journal.step(ONE, place, None)
            assert open_in(directory) == journal.intents
            journal.end(ONE, "owed")
        finally:
            journal.close()


def test_a_write_takes_as_many_calls_as_the_kernel_wants(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "segment", os.O_RDWR | os.O_CREAT, 0o600)
    segment = Segment(fd)
    segment.write(b"ab")
    segment.write(b"c" * 3_000_000)
    os.close(fd)
    assert segment.end == segment.size == 3_000_002
    assert (tmp_path / "segment").stat().st_size == segment.end

"""Slots: taken by the living, taken over from the dead, and whatever stands in their place."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from acni import Busy, StoreError
from acni.host.host import Host
from acni.host.locks import try_lock
from acni.host.processes import own_identity
from acni.store.frames import encode, read_frames
from acni.store.intents import open_facts, since_facts
from acni.store.journal import SEGMENT_BYTES, Journal
from acni.store.quarantine import Quarantine
from acni.store.record import write_record
from acni.store.slots import Slots, look_at_slots
from tests.store.journals import (
    HOST,
    RESULT,
    make_intent,
    make_record,
    open_in,
    operation,
    read_slot,
)

NO_PID = 2**22 + 1
LATER = Host(boot="later", netns=HOST.netns)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    place = tmp_path / "journal"
    place.mkdir()
    return place


@pytest.fixture
def aside(tmp_path: Path) -> Path:
    aside = tmp_path / "quarantine"
    aside.mkdir()
    return aside


Opened = Callable[..., Any]


@pytest.fixture
def opened(place: Path, aside: Path) -> Opened:
    """Take a slot, and close it at the end."""

    @contextmanager
    def open_it(host: Host = HOST) -> Iterator[Journal]:
        with slots_in(place, aside, host) as slots:
            journal = slots.take()
            try:
                yield journal
            finally:
                journal.close()

    return open_it


@contextmanager
def slots_in(place: Path, aside: Path, host: Host = HOST) -> Iterator[Slots]:
    fds = [os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in (place, aside)]
    try:
        yield Slots(fds[0], Quarantine(fds[1]), host)
    finally:
        for fd in fds:
            os.close(fd)


def write(place: Path, *frames: bytes, name: str = "000") -> None:
    """Write a slot as a dead runtime left it."""
    (place / name).write_bytes(b"".join(frames).ljust(4096, b"\0"))
    (place / f"{name}.1").write_bytes(bytes(4096))


def dead() -> dict[str, Any]:
    return dict(open_facts(evolve(own_identity(), pid=NO_PID), HOST.boot))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let another description have the lock, as a forked child of a runtime does."""
    fd = os.open(path, os.O_RDWR)
    try:
        assert try_lock(fd, 0)
        yield
    finally:
        os.close(fd)


# --- taken


def test_the_first_one_is_made_with_room(opened: Opened, place: Path) -> None:
    with opened() as journal:
        assert journal.place == "acni/journal/000"
        assert journal.intents == {}
    assert sorted(path.name for path in place.iterdir()) == ["000", "000.1"]
    for path in place.iterdir():
        assert path.stat().st_size == SEGMENT_BYTES
        assert path.stat().st_blocks * 512 >= SEGMENT_BYTES
        assert path.stat().st_mode & 0o777 == 0o600


def test_it_is_taken_again_and_again_and_no_other_one(opened: Opened, place: Path) -> None:
    inodes = set()
    for number in range(3):
        with opened() as journal:
            assert list(journal.intents) == list(map(operation, range(number)))
            journal.begin(make_intent(number))
            inodes.add((place / "000").stat().st_ino)
    assert sorted(path.name for path in place.iterdir()) == ["000", "000.1"]
    assert len(inodes) == 1


def test_what_was_left_open_is_taken_over_as_far_as_it_came(opened: Opened) -> None:
    with opened() as journal:
        for number in range(3):
            journal.begin(make_intent(number))
        journal.step(operation(0), 0, RESULT)
        journal.named(operation(1))
        journal.end(operation(2), "gone")
        left = dict(journal.intents)
    with opened() as journal:
        assert journal.intents == left
        assert [one.operation for one in journal.left()] == list(left)


def test_an_add_that_ended_in_an_earlier_boot_is_open_again(opened: Opened) -> None:
    with opened() as journal:
        journal.begin(make_intent())
        journal.end(operation(1), "attached")
    with opened() as journal:
        assert journal.intents == {}
    with opened(LATER) as journal:
        assert journal.intents == {operation(1): make_intent(outcome="attached")}


def test_one_who_opens_again_and_again_writes_little(opened: Opened, place: Path) -> None:
    """Each command opens a runtime; what is open may be large."""
    with opened() as journal:
        for number in range(20):
            journal.begin(make_intent(number, args="x" * 10_000))
        before = journal._active.end
    for _ in range(10):
        with opened() as journal:
            assert len(journal.intents) == 20
    assert journal._active.end - before < 10 * 500
    assert len(open_in(place)) == 20


@pytest.mark.parametrize("is_void", [False, True])
def test_segments_are_told_apart_by_their_numbers(
    is_void: bool, opened: Opened, place: Path
) -> None:
    with opened() as journal:
        journal.begin(make_intent(1))
        journal.begin_segment()
        journal.begin(make_intent(2))
        if is_void:
            journal.make_old_void()
        left = dict(journal.intents)
    with opened() as journal:
        assert journal.intents == left
        assert (journal.renewed_from is None) == is_void
        journal.begin(make_intent(3))
        if not is_void:
            journal.make_old_void()
        left = dict(journal.intents)
    assert open_in(place) == left
    with opened() as journal:
        assert journal.intents == left
        assert journal.renewed_from is None


def first_frame(segment: Path) -> bytes:
    frame = read_frames(segment.read_bytes()).frames[0]
    return encode(frame.number, frame.facts)


@pytest.mark.parametrize("is_damaged", [False, True])
def test_a_kill_between_any_two_writes_of_an_opening_loses_nothing(
    is_damaged: bool, opened: Opened, place: Path, aside: Path, tmp_path: Path
) -> None:
    """The one before had died in the middle of a rotation, where both segments count."""
    with opened() as journal:
        for number in range(3):
            journal.begin(make_intent(number))
        journal.step(operation(1), 0, RESULT)
        journal.begin_segment()
        left = dict(journal.intents)
    newer, older = sorted(
        (place / "000", place / "000.1"),
        key=lambda path: -read_frames(path.read_bytes()).frames[-1].number,
    )
    # Of the new segment the disk has the beginning alone.
    data, first = newer.read_bytes(), first_frame(newer)
    newer.write_bytes(first + bytes(len(data) - len(first)))
    if is_damaged:
        data, first = older.read_bytes(), first_frame(older)
        older.write_bytes(bytes(len(first)) + data[len(first) :])
    before = tmp_path / "before"
    shutil.copytree(place, before)
    writes = 0
    while True:
        shutil.rmtree(place)
        shutil.copytree(before, place)
        if not is_killed_after(writes, place, aside):
            break
        with opened() as journal:
            assert journal.intents == left, writes
        writes += 1
    assert writes >= 3


def is_killed_after(writes: int, place: Path, aside: Path) -> bool:
    """Take a slot in a process that ends after so many writes to it; tell whether it did."""
    program = f"""
import os, sys
from pathlib import Path
left = {writes}
def profile(frame, event, argument):
    global left
    if event == "c_call" and argument is os.pwrite:
        if left == 0:
            os._exit(9)
        left -= 1
from tests.store.test_slots import slots_in
with slots_in(Path({str(place)!r}), Path({str(aside)!r})) as slots:
    sys.setprofile(profile)
    slots.take()
    sys.setprofile(None)
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, timeout=30, check=False)
    assert done.returncode in (0, 9)
    return done.returncode == 9


# --- taken by somebody

LIVING = """
import sys
from pathlib import Path
from tests.store.test_slots import slots_in
with slots_in(Path(sys.argv[1]), Path(sys.argv[2])) as slots:
    try:
        slots.take()
    except Exception as error:
        print(type(error).__name__, error, flush=True)
    else:
        print("taken", flush=True)
    sys.stdin.read()
"""


def living(place: Path, aside: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", LIVING, str(place), str(aside)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_living_process_has_it_and_is_named(opened: Opened, place: Path, aside: Path) -> None:
    with living(place, aside) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "taken\n"
        with pytest.raises(Busy, match=rf"\(process {other.pid}\)"), opened():
            pass
        other.communicate(timeout=20)
    with opened():
        pass


def test_a_killed_process_has_it_no_more(opened: Opened, place: Path, aside: Path) -> None:
    with living(place, aside) as other:
        assert other.stdout is not None
        other.stdout.readline()
        other.kill()
    with opened() as journal:
        assert journal.place == "acni/journal/000"


@pytest.mark.timeout(120)
def test_of_many_that_open_at_once_one_at_most_has_it(place: Path, aside: Path) -> None:
    for _ in range(2):
        others = [living(place, aside) for _ in range(6)]
        said = [other.stdout.readline() for other in others if other.stdout is not None]
        for other in others:
            other.communicate(timeout=20)
            if other.stdout is not None:
                other.stdout.close()
        assert said.count("taken\n") <= 1
        assert {words.split()[0] for words in said} <= {"taken", "Busy"}
        shutil.rmtree(place)
        place.mkdir()


def test_while_another_one_is_just_opening_nobody_else_does(opened: Opened, place: Path) -> None:
    """Between its look at who lives, and its own first frame."""
    write(place, encode(1, dead()), encode(2, make_intent().begin()))
    opening = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(opening, fcntl.LOCK_EX)
    with pytest.raises(Busy, match="just being opened"), opened():
        pass
    os.close(opening)
    with opened() as journal:
        assert list(journal.intents) == [operation(1)]
    with opened():  # nothing of it is left locked
        pass


# --- dead and locked all the same


def test_a_lock_of_the_opening_that_cannot_be_let_go_loses_nothing(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its descriptor is closed next; what was opened under it must not be left behind."""
    flock = fcntl.flock

    def refusing(fd: int, operation: int) -> None:
        if operation == fcntl.LOCK_UN:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        flock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", refusing)
    for _ in range(2):
        with opened() as journal:
            journal.begin(make_intent())


def test_a_dead_one_whose_child_keeps_the_lock_is_emptied_into_the_next_slot(
    opened: Opened, place: Path
) -> None:
    write(place, encode(1, dead()), encode(2, make_intent().begin()))
    with locked(place / "000"), opened() as journal:
        assert journal.place == "acni/journal/001"
        assert journal.intents == {operation(1): make_intent()}
    assert open_in(place, "001") == {operation(1): make_intent()}
    assert open_in(place, "000") == {}
    with locked(place / "000"), opened() as journal:  # it is still known as a dead one's
        assert journal.place == "acni/journal/001"
    with opened() as journal:  # once
        assert journal.place == "acni/journal/000"


def test_a_fork_that_outlives_a_killed_runtime_keeps_nothing(
    opened: Opened, place: Path, aside: Path
) -> None:
    program = LIVING.replace("    sys.stdin.read()", """
    import os
    if os.fork() == 0:
        os.read(int(sys.argv[3]), 1)
        os._exit(0)
    print("forked", flush=True)
    sys.stdin.read()
""")  # fmt: skip
    end, keep = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", program, str(place), str(aside), str(end)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=[end],
    ) as runtime:
        assert runtime.stdout is not None
        assert runtime.stdout.readline() == "taken\n"
        assert runtime.stdout.readline() == "forked\n"
        runtime.kill()
    with opened() as journal:
        assert journal.place == "acni/journal/001"
    os.close(keep)
    os.close(end)


def test_a_lock_of_an_earlier_boot_is_a_dead_one_s(opened: Opened, place: Path) -> None:
    here = open_facts(own_identity(), "another boot")
    write(place, encode(1, here), encode(2, make_intent(boot="another boot").begin()))
    with locked(place / "000"), opened() as journal:
        assert list(journal.intents) == [operation(1)]


def test_a_lock_of_somebody_of_whom_nothing_is_known_is_a_living_one_s(
    opened: Opened, place: Path
) -> None:
    elsewhere = evolve(own_identity(), pid=NO_PID, pid_namespace="pid:[1]")
    for opener in ([], [encode(1, open_facts(elsewhere, HOST.boot))]):
        write(place, *opener)
        with locked(place / "000"), pytest.raises(Busy), opened():
            pass


# --- looking


def view_of(place: Path) -> Any:
    fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return list(look_at_slots(fd, HOST.boot))
    finally:
        os.close(fd)


def test_looking_says_what_is_open_and_whether_its_runtime_lives(
    opened: Opened, place: Path
) -> None:
    with opened() as journal:
        journal.begin(make_intent())
        (view,) = view_of(place)
        assert (view.name, view.is_alive) == ("000", True)
        assert view.intents == (make_intent(),)
        assert view.opener == own_identity()
    (view,) = view_of(place)
    assert not view.is_alive
    assert view.intents == (make_intent(),)


def test_looking_passes_over_what_is_no_slot(place: Path, victim: Path) -> None:
    (place / "001").symlink_to(victim)
    (place / "001.1").symlink_to(victim)
    os.mkfifo(place / "002")
    os.mkfifo(place / "002.1")
    (place / "003").mkdir()
    (place / "003.1").touch()
    (place / "004").symlink_to("/dev/zero")
    (place / "notes").touch()
    assert view_of(place) == []
    assert list(look_at_slots(None, HOST.boot)) == []


# --- damage


def copies(aside: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(aside.iterdir())]


def test_damaged_frames_are_kept_aside_and_the_good_ones_used(
    opened: Opened, place: Path, aside: Path
) -> None:
    frames = [
        encode(1, dead()),
        encode(2, make_intent(1).begin()),
        encode(3, make_intent(2).begin()),
        encode(4, make_intent(3).begin()),
    ]
    frames[2] = frames[2][:-1] + b"?"
    write(place, *frames)
    damaged = (place / "000").read_bytes()
    with opened() as journal:
        assert set(journal.intents) == {operation(1), operation(3)}
        assert set(read_slot(place, torn=True).intents) == {operation(1), operation(3)}
    assert damaged in copies(aside)


def test_damage_is_kept_aside_once_however_often_it_is_opened(
    opened: Opened, place: Path, aside: Path
) -> None:
    """Each command opens a runtime; what is kept would push other bad files out."""
    frames = [encode(1, dead()), encode(2, make_intent(1).begin()), encode(3, {"kind": "?"})]
    write(place, *frames)
    counts = []
    for _ in range(3):
        with opened() as journal:
            assert set(journal.intents) == {operation(1)}
        counts.append(len(copies(aside)))
    assert counts[0] == counts[-1] > 0


UNREADABLE: list[tuple[str, dict[str, Any]]] = [
    ("no record", {"record": "{}"}),
    ("half a character", {"record": "\ud800"}),
    ("of another operation", {"operation": operation(9)}),
    ("of another container", {"container_id": "other"}),
    ("a place beyond the chain", {"next": 7}),
    ("a place before the chain", {"next": -2}),
]


@pytest.mark.parametrize("facts", [pytest.param(facts, id=name) for name, facts in UNREADABLE])
def test_an_operation_that_is_not_its_record_s_is_damage(
    facts: dict[str, Any], opened: Opened, place: Path, aside: Path
) -> None:
    bad = {**make_intent(1).begin(), **facts}
    write(place, encode(1, dead()), encode(2, bad), encode(3, make_intent(2).begin()))
    with opened() as journal:
        assert list(journal.intents) == [operation(2)]
    assert copies(aside)


def test_an_operation_of_another_writer_s_record_is_damage(
    opened: Opened, place: Path, aside: Path
) -> None:
    foreign = write_record(evolve(make_record(1), provenance=None)).decode()
    write(place, encode(1, dead()), encode(2, make_intent(1, record=foreign).begin()))
    with opened() as journal:
        assert journal.intents == {}
    assert copies(aside)


def test_a_number_beyond_all_is_no_frame(opened: Opened, place: Path) -> None:
    """The next one could not be written."""
    for number in (2**64 - 1, 2**63):
        write(place, encode(1, dead()), encode(number, make_intent().begin()))
        with opened() as journal:
            journal.begin(make_intent(2))
            assert operation(2) in journal.intents
        assert operation(2) in read_slot(place, torn=True).intents


def test_a_since_beyond_all_hides_nothing_that_comes_after_it(opened: Opened, place: Path) -> None:
    write(
        place, encode(1, dead()), encode(2, since_facts(10**30)), encode(3, make_intent().begin())
    )
    with opened() as journal:
        journal.begin(make_intent(2))
    assert operation(2) in read_slot(place, torn=True).intents


def test_rubbish_and_nothing_and_much_of_it_are_read(opened: Opened, place: Path) -> None:
    for data in (b"", b"\0" * 10, os.urandom(5000), b"\xacni1" * 5000):
        for name in ("000", "000.1"):
            (place / name).write_bytes(data)
        with opened() as journal:
            assert journal.intents == {}


# --- in its place


@pytest.mark.parametrize(
    "kind", ["symlink", "dangling", "hard link", "fifo", "directory", "socket"]
)
@pytest.mark.parametrize("segment", ["000", "000.1"])
def test_what_stands_in_a_segment_s_place_is_moved_aside(
    kind: str, segment: str, opened: Opened, place: Path, aside: Path, victim: Path
) -> None:
    path = place / segment
    match kind:
        case "symlink":
            path.symlink_to(victim)
        case "dangling":
            path.symlink_to(victim.parent / "nowhere")
        case "hard link":
            path.hardlink_to(victim)
        case "fifo":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
        case _:
            with socket.socket(socket.AF_UNIX) as listener:
                os.chdir(place)
                listener.bind(segment)
                os.chdir("/")
    with opened() as journal:
        assert journal.place == "acni/journal/000"
        journal.begin(make_intent())
    assert open_in(place) == {operation(1): make_intent()}
    assert len(list(aside.iterdir())) == 1
    assert not (victim.parent / "nowhere").exists()


def test_a_huge_segment_is_looked_at_up_to_a_bound(opened: Opened, place: Path) -> None:
    write(place, encode(1, dead()), encode(2, make_intent().begin()))
    os.truncate(place / "000", 1 << 40)
    begun = time.process_time()
    with opened() as journal:
        assert list(journal.intents) == [operation(1)]
    assert time.process_time() - begun < 15


def test_where_nothing_can_be_kept_aside_the_error_is_typed(
    opened: Opened, place: Path, aside: Path
) -> None:
    (place / "000").mkdir()
    shutil.rmtree(aside)
    aside.mkdir(mode=0o700)
    with slots_in(place, aside) as slots:
        aside.rmdir()
        with pytest.raises((StoreError, OSError)):
            slots.take()
    aside.mkdir()


def test_every_slot_may_be_taken(place: Path, aside: Path) -> None:
    write(place, encode(1, dead()))
    frames = (place / "000").read_bytes()
    with_locks = []
    try:
        for number in range(20):
            path = place / f"{number:03d}"
            path.write_bytes(frames)
            (place / f"{number:03d}.1").touch()
            fd = os.open(path, os.O_RDWR)
            with_locks.append(fd)
            assert try_lock(fd, 0)
        with slots_in(place, aside) as slots:
            journal = slots.take()
            assert journal.place == "acni/journal/020"
            journal.close()
    finally:
        for fd in with_locks:
            os.close(fd)

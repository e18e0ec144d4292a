"""Slots: taken by the living, ended in by others once they are dead, and whatever stands in their
place.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from acni import StoreError
from acni.host.host import Host
from acni.host.libc import MNT_DETACH, mount, unmount
from acni.host.locks import is_held, try_lock, unlock
from acni.host.processes import own_identity
from acni.store.frames import encode, read_frames
from acni.store.intents import Outcome, end_facts, open_facts, since_facts
from acni.store.journal import SEGMENT_BYTES, Journal
from acni.store.quarantine import Quarantine
from acni.store.record import write_record
from acni.store.slots import Remains, Slots, is_taken, look_at_slot, look_at_slots
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
RENAME_EXCHANGE = 2
LATER = Host(boot="later", netns=HOST.netns)


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


@contextmanager
def directory_of(place: Path) -> Iterator[int]:
    fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


def end(place: Path, *numbers: int, name: str = "000", outcome: Outcome = "gone") -> None:
    """Note in a dead slot how operations ended."""
    with directory_of(place) as directory:
        remains = Remains(directory, name, HOST.boot)
        for number in numbers:
            remains.end(operation(number), outcome)


def files_in(place: Path) -> Mapping[str, bytes]:
    return {path.name: path.read_bytes() for path in place.iterdir()}


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
            assert journal.intents == {}
            journal.begin(make_intent(number))
            journal.end(operation(number), "gone")
            inodes.add((place / "000").stat().st_ino)
    assert sorted(path.name for path in place.iterdir()) == ["000", "000.1"]
    assert len(inodes) == 1


def test_one_in_which_something_is_open_is_passed_over_and_stays_as_it_was(
    opened: Opened, place: Path
) -> None:
    with opened() as journal:
        journal.begin(make_intent(1))
        journal.begin(make_intent(2))
        journal.step(operation(1), 0, RESULT)
        journal.end(operation(2), "gone")
    before = files_in(place)
    for _ in range(2):
        with opened() as journal:
            assert journal.place == "acni/journal/001"
            assert journal.intents == {}
        after = files_in(place)
        assert {name: after[name] for name in before} == before


def test_one_that_is_passed_over_is_not_locked_even_for_a_moment(
    opened: Opened, place: Path
) -> None:
    """Whoever looks just then would think that its runtime lives, and what it left is worked on."""
    write(place, encode(1, dead()), encode(2, make_intent().begin()))
    seen: list[bool] = []
    fd = os.open(place / "000", os.O_RDONLY)

    def profile(_frame: object, event: str, argument: object) -> None:
        if event == "c_return" and getattr(argument, "__module__", "") in ("posix", "fcntl"):
            seen.append(is_held(fd, 0))

    try:
        sys.setprofile(profile)
        with opened() as journal:
            sys.setprofile(None)
            assert journal.place == "acni/journal/001"
    finally:
        sys.setprofile(None)
        os.close(fd)
    assert len(seen) > 10
    assert not any(seen)


def test_it_is_free_again_once_all_that_was_open_has_ended(opened: Opened, place: Path) -> None:
    with opened() as journal:
        for number in range(3):
            journal.begin(make_intent(number))
    for number in range(3):
        with opened() as journal:
            assert journal.place == "acni/journal/001"
        end(place, number)
        assert operation(number) not in open_in(place)
    with opened() as journal:
        assert journal.place == "acni/journal/000"
        assert journal.intents == {}
        journal.begin(make_intent(7))
    assert list(open_in(place)) == [operation(7)]


def test_what_a_copy_of_its_descriptors_holds_is_free_once_it_is_left(
    opened: Opened, place: Path
) -> None:
    """A child that no handler of Python's knows of may have them for years."""
    with slots_in(place, place) as slots:
        journal = slots.take()
        copies = [os.dup(segment.fd) for segment in (journal._active, journal._other)]
        try:
            journal.let_go()
            journal.let_go()
            with opened() as again:
                assert again.place == "acni/journal/000"
        finally:
            for fd in copies:
                os.close(fd)


def test_an_add_that_ended_in_an_earlier_boot_is_open_again(opened: Opened, place: Path) -> None:
    with opened() as journal:
        journal.begin(make_intent())
        journal.end(operation(1), "attached")
    with opened() as journal:
        assert journal.place == "acni/journal/000"
    with opened(LATER) as journal:
        assert journal.place == "acni/journal/001"
    assert open_in(place, boot=LATER.boot) == {operation(1): make_intent(outcome="attached")}


def test_one_who_opens_again_and_again_writes_little(opened: Opened, place: Path) -> None:
    """Each command opens a runtime; what has ended may be large."""
    with opened() as journal:
        for number in range(20):
            journal.begin(make_intent(number, args="x" * 10_000))
            journal.end(operation(number), "attached")
        before = journal._active.end
    for _ in range(10):
        with opened() as journal:
            assert journal.place == "acni/journal/000"
    assert journal._active.end - before < 10 * 500
    assert len(open_in(place, boot=LATER.boot)) == 20


def attached(journal: Journal, *numbers: int) -> None:
    """Note ADDs that came to their end: they count until their records are synced."""
    for number in numbers:
        journal.begin(make_intent(number))
        journal.end(operation(number), "attached")


@pytest.mark.parametrize("is_void", [False, True])
def test_segments_are_told_apart_by_their_numbers(
    is_void: bool, opened: Opened, place: Path
) -> None:
    with opened() as journal:
        attached(journal, 1)
        journal.begin_segment()
        attached(journal, 2)
        if is_void:
            journal.make_old_void()
    known = {2} if is_void else {1, 2}
    assert set(open_in(place, boot=LATER.boot)) == set(map(operation, known))
    with opened() as journal:
        assert (journal.renewed_from is None) == is_void
        attached(journal, 3)
        assert set(open_in(place, boot=LATER.boot)) == set(map(operation, known | {3}))
        if not is_void:
            journal.make_old_void()
    with opened() as journal:
        assert journal.renewed_from is None
        attached(journal, 4)


@pytest.mark.parametrize("is_repeated", [False, True])
def test_where_both_segments_count_what_is_open_in_either_is_open(
    is_repeated: bool, opened: Opened, place: Path
) -> None:
    """Its runtime died in a rotation, or what it repeated did not come to the disk."""
    with opened() as journal:
        journal.begin(make_intent(1))
        journal.begin_segment()
        journal.begin(make_intent(2))
    if not is_repeated:
        newer, _ = newer_and_older(place)
        data, first = newer.read_bytes(), first_frame(newer)
        newer.write_bytes(first + bytes(len(data) - len(first)))
    left = {operation(1), operation(2)} if is_repeated else {operation(1)}
    assert set(open_in(place)) == left
    with opened() as journal:
        assert journal.place == "acni/journal/001"
    end(place, 1)
    assert set(open_in(place)) == left - {operation(1)}
    end(place, 2)
    with opened() as journal:
        assert journal.place == "acni/journal/000"
        assert journal.renewed_from is not None
    assert open_in(place) == {}


def last_number(segment: Path) -> int:
    return max((frame.number for frame in read_frames(segment.read_bytes()).frames), default=0)


def newer_and_older(place: Path, name: str = "000") -> tuple[Path, Path]:
    newer, older = sorted(
        (place / name, place / f"{name}.1"),
        key=last_number,
        reverse=True,
    )
    return newer, older


def first_frame(segment: Path) -> bytes:
    frame = read_frames(segment.read_bytes()).frames[0]
    return encode(frame.number, frame.facts)


# Runs what it is given again and again in children, each of which dies at another one of the calls
# into the kernel that it makes, and looks after each death.
DYING = """
import os, sys
from itertools import count
from pathlib import Path
from tests.store.test_slots import *

def dies_at(call, act):
    child = os.fork()
    if child == 0:
        left = call
        def profile(frame, event, argument):
            nonlocal left
            if event == "c_call" and argument.__module__ in ("posix", "fcntl"):
                if left == 0:
                    os._exit(9)
                left -= 1
        sys.setprofile(profile)
        act()
        sys.setprofile(None)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9

def everywhere(place, act, look):
    before = files_in(place)
    for call in count():
        for path in place.iterdir():
            path.unlink()
        for name, data in before.items():
            (place / name).write_bytes(data)
        is_killed = dies_at(call, act)
        look(is_killed)
        if not is_killed:
            return call

place, aside = map(Path, sys.argv[1:])
"""


def dying(program: str, place: Path, aside: Path) -> int:
    """Run a program of deaths; return how many there were."""
    done = subprocess.run(
        [sys.executable, "-c", DYING + program, str(place), str(aside)],
        cwd=Path(__file__).parents[2],
        timeout=110,
        check=True,
        stdout=subprocess.PIPE,
    )
    return int(done.stdout)


@pytest.mark.deep
@pytest.mark.parametrize("is_damaged", [False, True])
def test_a_kill_anywhere_in_an_opening_loses_nothing(
    is_damaged: bool, opened: Opened, place: Path, aside: Path
) -> None:
    """The one before had died in the middle of a rotation, where both segments count; in the next
    boot all that came to its end is open again.
    """
    with opened() as journal:
        attached(journal, 1, 2, 3)
        journal.begin_segment()
    if is_damaged:
        _, older = newer_and_older(place)
        data, first = older.read_bytes(), first_frame(older)
        older.write_bytes(bytes(len(first)) + data[len(first) :])
    deaths = dying(
        f"""
left = set(map(operation, (1, 2, 3)))
def take():
    with slots_in(place, aside) as slots:
        assert slots.take().place == "acni/journal/000"
def look(is_killed):
    ledger = read_slot(place, torn=True)
    # What is damaged is void in the end: a copy is kept, and all records are synced.
    if is_killed or not {is_damaged}:
        assert set(ledger.intents) == left or (ledger.since and {is_damaged})
    assert not is_taken(os.open(place, os.O_RDONLY), "000")
    take()
print(everywhere(place, take, look))
""",
        place,
        aside,
    )
    assert deaths > 15


# --- taken by somebody

LIVING = """
import sys
from pathlib import Path
from tests.store.test_slots import slots_in
with slots_in(Path(sys.argv[1]), Path(sys.argv[2])) as slots:
    sys.stdin.readline()
    print(slots.take().slot, flush=True)
    sys.stdin.read()
"""


@contextmanager
def living(
    place: Path, aside: Path, *arguments: str, program: str = LIVING, **options: Any
) -> Iterator[subprocess.Popen[str]]:
    """Run a process that takes a slot once it is told to, and keeps it until it has no input."""
    with subprocess.Popen(
        [sys.executable, "-c", program, str(place), str(aside), *arguments],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def say(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_living_process_has_it_and_a_killed_one_has_it_no_more(
    opened: Opened, place: Path, aside: Path
) -> None:
    with living(place, aside) as other:
        say(other)
        assert hear(other) == "000"
        with opened() as journal:
            assert journal.place == "acni/journal/001"
        other.kill()
        other.wait()
        with opened() as journal:
            assert journal.place == "acni/journal/000"


@pytest.mark.deep
@pytest.mark.parametrize("in_the_way", [None, "directory"])
def test_of_many_that_open_at_once_each_has_one_and_there_are_no_more(
    in_the_way: str | None, place: Path, aside: Path
) -> None:
    for _ in range(3):
        with ExitStack() as stack:
            others = [stack.enter_context(living(place, aside)) for _ in range(5)]
            if in_the_way:
                (place / "000").mkdir()
                (place / "001.1").symlink_to("nowhere")
            for other in others:
                say(other)
            said = sorted(map(hear, others))
            assert said == [f"{number:03d}" for number in range(5)]
            # Nobody's file was taken for what stood there.
            with directory_of(place) as directory:
                assert all(is_taken(directory, name) for name in said)
        shutil.rmtree(place)
        place.mkdir()


def test_what_stands_in_the_way_of_one_and_is_moved_by_another_stops_neither(
    place: Path, aside: Path
) -> None:
    """Between the opening that it refuses and the look at it, another one's file may come."""
    done = threading.Event()

    name, standing = place / "000", place / "standing"
    libc = ctypes.CDLL(None)
    done = threading.Event()

    def exchange_again_and_again() -> None:
        while not done.is_set():
            if not standing.is_dir():
                standing.unlink(missing_ok=True)
                standing.mkdir()
            for _ in range(2):
                libc.renameat2(-1, bytes(standing), -1, bytes(name), RENAME_EXCHANGE)

    with slots_in(place, aside, HOST) as slots:
        other = threading.Thread(target=exchange_again_and_again)
        other.start()
        try:
            for _ in range(500):
                slots.take().close()
        finally:
            done.set()
            other.join()


def test_one_in_which_somebody_writes_is_waited_for(opened: Opened, place: Path) -> None:
    write(place, encode(1, dead()))
    fd = os.open(place / "000", os.O_RDWR)
    assert try_lock(fd, 1)
    timer = threading.Timer(0.05, unlock, (fd, 1))
    timer.start()
    with opened() as journal:
        timer.join()
        assert journal.place == "acni/journal/000"
    os.close(fd)


def test_one_in_which_somebody_writes_for_ever_is_passed_over(opened: Opened, place: Path) -> None:
    """He is being stopped by a debugger."""
    write(place, encode(1, dead()), encode(2, make_intent().begin()))
    fd = os.open(place / "000", os.O_RDWR)
    assert try_lock(fd, 1)
    with opened() as journal:
        assert journal.place == "acni/journal/001"
    with pytest.raises(StoreError, match="is another runtime's"):
        end(place, 1)
    os.close(fd)
    end(place, 1)


# --- dead and locked all the same


def test_one_whose_child_keeps_the_lock_is_dead_and_not_taken(opened: Opened, place: Path) -> None:
    write(place, encode(1, dead()), encode(2, make_intent().begin()))
    with locked(place / "000"):
        (view,) = view_of(place)
        assert not view.is_alive
        assert view.intents == (make_intent(),)
        end(place, 1)
        with opened() as journal:
            assert journal.place == "acni/journal/001"
    assert open_in(place) == {}
    with opened() as journal:
        assert journal.place == "acni/journal/000"


def test_a_fork_that_outlives_a_killed_runtime_keeps_nothing_but_the_slot(
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
    inherited, keep = os.pipe()
    with living(place, aside, str(inherited), program=program, pass_fds=[inherited]) as runtime:
        say(runtime)
        assert [hear(runtime), hear(runtime)] == ["000", "forked"]
        (view,) = view_of(place)
        assert view.is_alive
        runtime.kill()
        runtime.wait()
        (view,) = view_of(place)
        assert not view.is_alive
        with opened() as journal:
            assert journal.place == "acni/journal/001"
        os.close(keep)
    os.close(inherited)


def test_a_lock_of_an_earlier_boot_is_a_dead_one_s(place: Path) -> None:
    here = open_facts(own_identity(), "another boot")
    write(place, encode(1, here), encode(2, make_intent(boot="another boot").begin()))
    with locked(place / "000"):
        (view,) = view_of(place)
        assert not view.is_alive
        end(place, 1)
    assert open_in(place) == {}


def test_a_lock_of_somebody_of_whom_nothing_is_known_is_a_living_one_s(place: Path) -> None:
    elsewhere = evolve(own_identity(), pid=NO_PID, pid_namespace="pid:[1]")
    for opener in ([], [encode(1, open_facts(elsewhere, HOST.boot))]):
        write(place, *opener)
        with locked(place / "000"):
            (view,) = view_of(place)
            assert view.is_alive
            with pytest.raises(StoreError, match="is another runtime's"):
                end(place, 1)


# --- ended by others


def test_a_living_one_s_operations_are_ended_by_nobody_else(opened: Opened, place: Path) -> None:
    with opened() as journal:
        journal.begin(make_intent())
        before = files_in(place)
        with pytest.raises(StoreError, match="is another runtime's"):
            end(place, 1)
        assert files_in(place) == before


@pytest.mark.parametrize("is_turned", [False, True])
def test_ends_are_written_behind_the_newest_frame(
    is_turned: bool, opened: Opened, place: Path
) -> None:
    with opened() as journal:
        for number in (1, 2, 3):
            journal.begin(make_intent(number))
        if is_turned:
            journal.begin_segment()
            journal.make_old_void()
    newer, older = newer_and_older(place)
    before, kept = read_frames(newer.read_bytes()), older.read_bytes()
    end(place, 1, 3, outcome="owed")
    after = read_frames(newer.read_bytes())
    assert older.read_bytes() == kept
    assert after.frames[:-2] == before.frames
    last = before.frames[-1].number
    assert [frame.number for frame in after.frames[-2:]] == [last + 1, last + 2]
    assert [frame.facts for frame in after.frames[-2:]] == [
        end_facts(operation(1), "owed"),
        end_facts(operation(3), "owed"),
    ]
    assert list(open_in(place)) == [operation(2)]


def test_an_end_that_is_noted_twice_or_of_nothing_changes_nothing(place: Path) -> None:
    write(place, encode(1, dead()), encode(2, make_intent().begin()))
    end(place, 9)
    assert list(open_in(place)) == [operation(1)]
    end(place, 1)
    end(place, 1)
    assert open_in(place) == {}


def test_a_torn_tail_is_written_over(opened: Opened, place: Path) -> None:
    torn = encode(4, make_intent(3).begin())
    frames = [encode(1, dead()), *(encode(1 + at, make_intent(at).begin()) for at in (1, 2))]
    write(place, *frames, torn[: len(torn) // 2])
    end(place, 1)
    assert list(open_in(place)) == [operation(2)]
    end(place, 2)
    assert open_in(place) == {}
    with opened() as journal:
        assert journal.place == "acni/journal/000"


def test_an_end_is_noted_where_the_other_segment_is_missing_or_none(place: Path) -> None:
    """Else nothing that is open there could ever be brought to an end."""
    ways: list[Callable[[Path], object]] = [Path.mkdir, os.mkfifo, lambda _: None]
    for number, in_its_place in enumerate(ways):
        name = f"{number:03d}"
        write(place, encode(1, dead()), encode(2, make_intent().begin()), name=name)
        (place / f"{name}.1").unlink()
        in_its_place(place / f"{name}.1")
        assert [view.intents for view in view_of(place) if view.name == name] == [(make_intent(),)]
        end(place, 1, name=name)
        with directory_of(place) as directory:
            view = look_at_slot(directory, name, HOST.boot)
        assert view is not None
        assert view.intents == ()


def test_nothing_is_noted_in_what_is_no_slot_any_more(place: Path, victim: Path) -> None:
    end(place, 1)
    (place / "000").symlink_to(victim)
    end(place, 1)
    (place / "000").unlink()
    (place / "000").hardlink_to(victim)
    end(place, 1)


ENDING = """
import sys
from pathlib import Path
from tests.store.test_slots import end
sys.stdin.readline()
for number in sys.argv[3:]:
    end(Path(sys.argv[1]), int(number))
print("ended", flush=True)
"""


@pytest.mark.deep
def test_of_ends_that_many_processes_note_at_once_none_is_lost(
    opened: Opened, place: Path, aside: Path
) -> None:
    with opened() as journal:
        for number in range(100):
            journal.begin(make_intent(number))
    with ExitStack() as stack:
        others = [
            stack.enter_context(
                living(place, aside, *map(str, range(begin, 100, 4)), program=ENDING)
            )
            for begin in range(4)
        ]
        for other in others:
            say(other)
        assert [hear(other) for other in others] == ["ended"] * 4
    assert open_in(place) == {}
    with opened() as journal:
        assert journal.place == "acni/journal/000"


@pytest.mark.deep
def test_a_kill_anywhere_while_ends_are_noted_loses_nothing(
    opened: Opened, place: Path, aside: Path
) -> None:
    with opened() as journal:
        for number in (1, 2, 3):
            journal.begin(make_intent(number))
    deaths = dying(
        """
seen = set()
def note():
    end(place, 1, 2)
def look(is_killed):
    left = frozenset(open_in(place))
    seen.add(left)
    assert left >= {operation(3)}, left
    note()
    assert set(open_in(place)) == {operation(3)}
deaths = everywhere(place, note, look)
assert len(seen) == 3
print(deaths)
""",
        place,
        aside,
    )
    assert deaths > 10


@pytest.mark.netns  # it mounts a file system
def test_on_a_full_disk_ends_are_noted_as_long_as_there_is_room(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount("none", str(disk), "tmpfs", options="size=3m")
    try:
        place, aside = disk / "journal", disk / "quarantine"
        place.mkdir()
        aside.mkdir()
        with slots_in(place, aside) as slots:
            journal = slots.take()
            journal.begin(make_intent(1))
            journal.begin(make_intent(2))
            journal.close()
            # A segment that is as long as its frames: there is no room behind them.
            segment, _ = newer_and_older(place)
            os.truncate(segment, read_frames(segment.read_bytes()).end)
            fill(disk)
            with slots_in(place, aside) as others, pytest.raises((StoreError, OSError)):
                others.take()  # there is no room for a slot
            kept = segment.read_bytes()
            while len(segment.read_bytes()) % 4096:  # the rest of its last page is there
                with segment.open("ab", buffering=0) as file:
                    file.write(b"\0")
            with pytest.raises(StoreError, match="cannot be written"):
                end(place, *range(1000))
            assert segment.read_bytes().startswith(kept)
            (disk / "filler").unlink()
            end(place, 1, 2)
            assert open_in(place) == {}
            journal = slots.take()
            assert journal.place == "acni/journal/000"
            journal.close()
    finally:
        unmount(str(disk), MNT_DETACH)


def fill(directory: Path) -> None:
    with (directory / "filler").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1 << 12))


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
    (place / "005").hardlink_to(victim)
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
    frames = [encode(1, dead()), *(encode(1 + at, make_intent(at).begin()) for at in (1, 2, 3))]
    frames[2] = frames[2][:-1] + b"?"
    write(place, *frames)
    with opened() as journal:
        assert journal.place == "acni/journal/001"
    assert not copies(aside)
    end(place, 1, 3)
    damaged = (place / "000").read_bytes()
    with opened() as journal:
        assert journal.place == "acni/journal/000"
    assert damaged in copies(aside)
    assert read_slot(place, torn=True).intents == {}


def test_damage_is_kept_aside_once_however_often_it_is_opened(
    opened: Opened, place: Path, aside: Path
) -> None:
    """Each command opens a runtime; what is kept would push other bad files out."""
    frames = [encode(1, dead()), encode(2, make_intent(1).begin()), encode(3, {"kind": "?"})]
    write(place, *frames)
    for _ in range(2):
        with opened():
            pass
        assert not copies(aside)
    end(place, 1)
    counts = []
    for _ in range(3):
        with opened() as journal:
            assert journal.place == "acni/journal/000"
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
    (view,) = view_of(place)
    assert [intent.operation for intent in view.intents] == [operation(2)]
    end(place, 2)
    with opened() as journal:
        assert journal.place == "acni/journal/000"
    assert copies(aside)


def test_an_operation_of_another_writer_s_record_is_damage(
    opened: Opened, place: Path, aside: Path
) -> None:
    foreign = write_record(evolve(make_record(1), provenance=None)).decode()
    write(place, encode(1, dead()), encode(2, make_intent(1, record=foreign).begin()))
    with opened() as journal:
        assert journal.place == "acni/journal/000"
    assert copies(aside)


def test_a_number_beyond_all_is_no_frame(opened: Opened, place: Path) -> None:
    """The next one could not be written."""
    for number in (2**64 - 1, 2**63):
        write(place, encode(1, dead()), encode(number, make_intent().begin()))
        with opened() as journal:
            attached(journal, 2)
        assert operation(2) in read_slot(place, torn=True).intents


def test_a_since_beyond_all_hides_nothing_that_comes_after_it(opened: Opened, place: Path) -> None:
    write(
        place, encode(1, dead()), encode(2, since_facts(10**30)), encode(3, make_intent().begin())
    )
    assert list(open_in(place)) == [operation(1)]
    end(place, 1)
    with opened() as journal:
        assert journal.place == "acni/journal/000"
        journal.begin(make_intent(2))
    assert list(open_in(place)) == [operation(2)]


def test_rubbish_and_nothing_and_much_of_it_are_read(opened: Opened, place: Path) -> None:
    for data in (b"", b"\0" * 10, os.urandom(5000), b"\xacni1" * 5000):
        for name in ("000", "000.1"):
            (place / name).write_bytes(data)
        with opened() as journal:
            assert journal.place == "acni/journal/000"


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
    (view,) = view_of(place)
    assert view.intents == (make_intent(),)
    end(place, 1)
    with opened() as journal:
        assert journal.place == "acni/journal/000"
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

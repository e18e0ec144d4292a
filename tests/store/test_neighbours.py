"""What dead runtimes left open is seen by those that live on, without being told and without
looking for it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field

from acni import StoreError
from acni.host.inotify import Watch
from acni.host.libc import inotify, watch
from acni.host.locks import try_lock, unlock
from acni.host.processes import own_identity
from acni.store.frames import encode
from acni.store.intents import end_facts, open_facts, record_of
from acni.store.neighbours import LeftOpen, Neighbours
from acni.store.outline import claim_of
from tests.host.dead_runtime import wait_until
from tests.store.journals import HOST, make_intent, open_in, operation
from tests.store.test_slots import dead, end, hear, living, locked, say, write

# Of the inotify(7) that tells of looks.
IN_ACCESS = 0x1
IN_OPEN = 0x20

NEIGHBOUR = """
import os, sys
from pathlib import Path
from tests.store.journals import make_intent, operation
from tests.store.test_slots import slots_in
with slots_in(Path(sys.argv[1]), Path(sys.argv[2])) as slots:
    journal = slots.take()
    for number in sys.argv[3:]:
        journal.begin(make_intent(int(number)))
    print(journal.slot, flush=True)
    # More operations, each begun when it is told to.
    while (line := sys.stdin.readline().strip()):
        if line == "fork" and os.fork() == 0:
            os.read(int(os.environ["UNTIL"]), 1)
            os._exit(0)
        if line.isdecimal():
            journal.begin(make_intent(int(line)))
        print("done", flush=True)
"""


def refused(_directory: int) -> Watch:
    raise OSError(errno.EMFILE, "too many watches")


@contextmanager
def beside(
    place: Path, watched: Callable[[int], Watch] = Watch.of, own: str = "999", few: int = 0
) -> Iterator[Neighbours]:
    directory = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    neighbours = Neighbours(directory, own, HOST.boot, watched, few=few)
    try:
        yield neighbours
    finally:
        neighbours.close()
        os.close(directory)


@pytest.fixture(params=["watched", "watched soon", "not yet watched", "unwatched"])
def neighbours(request: pytest.FixtureRequest, place: Path) -> Iterator[Neighbours]:
    """With watches, before there are any, and where there are none to be had."""
    few = {"watched soon": 2, "not yet watched": 1000}.get(request.param, 0)
    with beside(place, refused if request.param == "unwatched" else Watch.of, few=few) as made:
        yield made


@pytest.fixture
def begin(place: Path, aside: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Let another process take a slot and begin operations."""
    with ExitStack() as stack:

        def begin_it(slot: str, *numbers: int, **options: Any) -> subprocess.Popen[str]:
            begun = living(place, aside, *map(str, numbers), program=NEIGHBOUR, **options)
            process = stack.enter_context(begun)
            assert hear(process) == slot
            return process

        yield begin_it


def tell(process: subprocess.Popen[str], what: str) -> None:
    assert process.stdin is not None
    process.stdin.write(what)
    say(process)
    assert hear(process) == "done"


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


def left_by(place: Path, *numbers: int, name: str = "000") -> None:
    """Write a slot as a dead runtime left it."""
    begun = [encode(2 + at, make_intent(number).begin()) for at, number in enumerate(numbers)]
    write(place, encode(1, dead()), *begun, name=name)


def left_open(number: int, slot: str = "000") -> LeftOpen:
    intent = make_intent(number)
    return LeftOpen(intent, slot, claim_of(record_of(intent)))


def numbers(left: tuple[LeftOpen, ...] | None) -> list[int]:
    assert left is not None
    return sorted(int(one.intent.operation, 16) for one in left)


Begin = Callable[..., "subprocess.Popen[str]"]


# --- what is seen


def test_what_was_left_before_is_seen(place: Path, neighbours: Neighbours) -> None:
    left_by(place, 1, 2)
    left_by(place, 3, name="001")
    assert numbers(neighbours.left()) == [1, 2, 3]
    assert neighbours.left_of("c2") == (left_open(2),)
    assert neighbours.left_of("c9") == ()


def test_what_a_process_is_killed_over_is_seen_and_not_before(
    begin: Begin, neighbours: Neighbours
) -> None:
    assert neighbours.left() == ()
    first, second = begin("000", 1), begin("001", 2)
    assert neighbours.left() == ()
    tell(first, "3")
    assert neighbours.left_of("c1") == ()
    kill(first)
    assert neighbours.left_of("c1") == (left_open(1),)
    assert numbers(neighbours.left()) == [1, 3]
    kill(second)
    assert numbers(neighbours.left()) == [1, 2, 3]


def test_one_of_whom_nothing_was_known_before_he_died_is_seen(
    begin: Begin, neighbours: Neighbours
) -> None:
    assert neighbours.left() == ()
    kill(begin("000", 1))
    assert numbers(neighbours.left_of("c1")) == [1]


def test_a_slot_that_is_taken_again_and_left_again_is_seen_again(
    begin: Begin, place: Path, neighbours: Neighbours
) -> None:
    for number in range(1, 4):
        process = begin("000", number)
        assert neighbours.left() == ()
        kill(process)
        assert numbers(neighbours.left_of(f"c{number}")) == [number]
        end(place, number)
        assert neighbours.left() == ()
        assert neighbours.left_of(f"c{number}") == ()


def test_the_own_slot_is_none_of_them(place: Path) -> None:
    left_by(place, 1)
    with beside(place, own="000") as neighbours:
        assert neighbours.left() == ()
        end(place, 9)
        assert neighbours.left_of("c1") == ()


def test_what_is_removed_is_no_longer_open(place: Path, neighbours: Neighbours) -> None:
    left_by(place, 1)
    assert numbers(neighbours.left()) == [1]
    for path in place.iterdir():
        path.unlink()
    assert neighbours.left() == ()


# --- the moment of a death


def test_what_is_told_of_before_its_lock_is_dropped_is_seen_once_that_is(place: Path) -> None:
    """The kernel tells of a close first; and the process of this one goes on."""
    here = dict(open_facts(own_identity(), HOST.boot))
    write(place, encode(1, here), encode(2, make_intent().begin()))
    fd = os.open(place / "000", os.O_RDWR)
    assert try_lock(fd, 0)
    with beside(place) as neighbours:
        assert neighbours.left() == ()
        os.close(os.open(place / "000", os.O_WRONLY))
        assert neighbours.left() == ()
        unlock(fd, 0)  # nobody is told of that
        assert numbers(neighbours.left_of("c1")) == [1]
    os.close(fd)


CONTAINER = """
import os, resource, sys
from pathlib import Path
from acni.host.locks import try_lock
from tests.store.journals import make_intent
from tests.store.test_slots import slots_in
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
with slots_in(Path(sys.argv[1]), Path(sys.argv[2])) as slots:
    journal = slots.take()
    sys.stdin.readline()
    between = [os.open("/dev/null", os.O_RDONLY) for _ in range(min(most, 25_000) - 100)]
    lock = os.open(sys.argv[3], os.O_RDWR)
    assert try_lock(lock, 7)
    journal.begin(make_intent(1))
    print(journal.slot, flush=True)
    sys.stdin.read()
"""


def test_who_gets_a_dying_process_s_container_sees_what_it_left_of_that(
    place: Path, aside: Path, tmp_path: Path
) -> None:
    """The kernel closes what was opened last first: the slot is the last thing to be let go of."""
    container = tmp_path / "lock"
    container.touch()
    lock = os.open(container, os.O_RDWR)
    with beside(place) as neighbours:
        for _ in range(3):
            with living(place, aside, str(container), program=CONTAINER) as process:
                say(process)
                assert hear(process) == "000"
                assert neighbours.left_of("c1") == ()
                assert not try_lock(lock, 7)
                process.kill()
                while not try_lock(lock, 7):
                    pass
                while (left := neighbours.left_of("c1")) is None:
                    assert neighbours.left_of("c2") == (), "it has nothing to do with that one"
                    assert numbers(neighbours.left()) == [1], "what it has open is claimed"
                assert numbers(left) == [1]
                end(place, 1)
                unlock(lock, 7)
    os.close(lock)


def test_a_dead_process_whose_child_keeps_its_slot_is_seen(
    begin: Begin, place: Path, neighbours: Neighbours
) -> None:
    """No close tells of it; and what it began since it was looked at counts."""
    until, keep = os.pipe()
    environment = {**os.environ, "UNTIL": str(until)}
    process = begin("000", 1, pass_fds=[until], env=environment)
    tell(process, "fork")
    assert neighbours.left() == ()
    tell(process, "2")
    kill(process)
    assert numbers(neighbours.left_of("c2")) == [2]
    assert numbers(neighbours.left()) == [1, 2]
    end(place, 1, 2)
    assert neighbours.left() == ()
    os.close(keep)
    os.close(until)


@contextmanager
def once_a_slot_is_read(happen: Callable[[], object]) -> Iterator[None]:
    """Let something happen between its reading and the next question about its lock."""
    is_read = False

    def profile(_frame: object, event: str, argument: object) -> None:
        nonlocal is_read
        is_read |= argument is os.pread
        if event == "c_call" and argument is fcntl.fcntl and is_read:
            sys.setprofile(None)
            happen()

    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)


def test_what_was_begun_while_its_slot_was_just_read_is_seen(begin: Begin, place: Path) -> None:
    """It is dead by the time at which that is asked, with a child that keeps the lock."""
    until, keep = os.pipe()
    environment = {**os.environ, "UNTIL": str(until)}
    process = begin("000", 1, pass_fds=[until], env=environment)
    tell(process, "fork")

    def die() -> None:
        tell(process, "2")
        kill(process)

    with beside(place) as neighbours, once_a_slot_is_read(die):
        assert numbers(neighbours.left()) == [1, 2]
    os.close(keep)
    os.close(until)


def test_what_was_begun_while_its_slot_was_just_read_is_not_written_over(
    begin: Begin, place: Path
) -> None:
    process = begin("000", 1)

    def die() -> None:
        tell(process, "2")
        kill(process)

    with once_a_slot_is_read(die):
        end(place, 1)
    assert list(open_in(place)) == [operation(2)]


def test_so_is_one_who_took_an_old_slot_unseen(
    begin: Begin, place: Path, neighbours: Neighbours
) -> None:
    left_by(place)
    assert neighbours.left() == ()
    until, keep = os.pipe()
    environment = {**os.environ, "UNTIL": str(until)}
    process = begin("000", 1, pass_fds=[until], env=environment)
    tell(process, "fork")
    kill(process)
    assert numbers(neighbours.left_of("c1")) == [1]
    os.close(keep)
    os.close(until)


def test_a_dead_process_is_seen_whose_slot_was_taken_while_a_child_kept_the_last_one(
    begin: Begin, place: Path, neighbours: Neighbours
) -> None:
    left_by(place, 1)
    with locked(place / "000"):
        process = begin("001", 2)
        assert numbers(neighbours.left()) == [1]
        kill(process)
        assert numbers(neighbours.left()) == [1, 2]


# --- what it costs


@contextmanager
def accesses(place: Path) -> Iterator[Callable[[], bool]]:
    """Ask the kernel whether anything in a directory was opened or read since the last question."""
    fd = inotify()
    watch(fd, str(place), IN_OPEN | IN_ACCESS)

    def were_there() -> bool:
        try:
            return bool(os.read(fd, 1 << 16))
        except BlockingIOError:
            return False

    try:
        yield were_there
    finally:
        os.close(fd)


def is_settled(neighbours: Neighbours, were_there: Callable[[], bool]) -> bool:
    """Wait until nothing is looked at: what changed lately is unsure for a second."""

    def is_quiet() -> bool:
        neighbours.left()
        return not were_there()

    return wait_until(is_quiet)


def test_a_world_that_did_not_change_costs_no_look(begin: Begin, place: Path) -> None:
    left_by(place, 1)
    left_by(place, name="001")
    begin("001", 2)
    with beside(place) as neighbours, accesses(place) as were_there:
        assert numbers(neighbours.left()) == [1]
        assert were_there()
        assert is_settled(neighbours, were_there)
        for _ in range(100):
            assert numbers(neighbours.left()) == [1]
            assert neighbours.left_of("c2") == ()
        assert not were_there()
        assert numbers(neighbours.left_of("c1")) == [1]
        assert were_there()


def test_what_others_write_costs_no_look_either(begin: Begin, place: Path) -> None:
    process = begin("000", 1)
    with beside(place) as neighbours, accesses(place) as were_there:
        assert is_settled(neighbours, were_there)
        for number in range(2, 10):
            tell(process, str(number))
            assert neighbours.left_of("c1") == ()
        assert not were_there()


# --- what is known may be old


def test_what_a_container_s_own_neighbour_says_is_asked_anew(place: Path) -> None:
    """Somebody noted an end, and has not closed the slot yet."""
    left_by(place, 1, 2)
    with beside(place) as neighbours:
        assert numbers(neighbours.left()) == [1, 2]
        fd = os.open(place / "000", os.O_RDWR)
        frames = (place / "000").read_bytes().rstrip(b"\0")
        os.pwrite(fd, encode(9, end_facts(operation(1), "gone")), len(frames))
        assert neighbours.left_of("c1") == ()
        assert numbers(neighbours.left()) == [2]
        os.close(fd)


def test_where_the_kernel_lost_count_all_is_looked_at(begin: Begin, place: Path) -> None:
    process = begin("000", 1)
    for name in ("a", "b"):
        (place / name).touch()
    with beside(place) as neighbours:
        assert neighbours.left() == ()
        most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
        for _ in range(most // 2 + 1):
            for name in ("a", "b"):
                os.close(os.open(place / name, os.O_WRONLY))
        kill(process)
        assert numbers(neighbours.left()) == [1]


@define(eq=False)
class Halting:
    """A watch that tells of one change, and of that in the first thread that asks only."""

    reached: threading.Event = field(factory=threading.Event)
    goes_on: threading.Event = field(factory=threading.Event)
    _asked: int = 0

    def changed(self) -> Iterator[str]:
        self._asked += 1
        if self._asked == 1:
            self.reached.set()
            assert self.goes_on.wait(10)
            yield "000"

    def close(self) -> None:
        pass


def test_what_one_thread_was_told_the_others_know(place: Path) -> None:
    """Listing is done in threads, while operations ask in the loop's."""
    halting: Any = Halting()
    with beside(place, lambda _: halting) as neighbours:
        assert neighbours.left() == ()
        left_by(place, 1)
        found: list[list[int]] = []
        listing = threading.Thread(target=lambda: found.append(numbers(neighbours.left())))
        asking = threading.Thread(target=lambda: found.append(numbers(neighbours.left_of("c1"))))
        listing.start()
        assert halting.reached.wait(10)
        asking.start()
        asking.join(0.1)
        halting.goes_on.set()
        listing.join()
        asking.join()
    assert found == [[1], [1]]


@contextmanager
def no_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("known", [0, 1, 2])
def test_what_cannot_be_looked_at_just_now_is_refused_and_not_forgotten(
    known: int, begin: Begin, place: Path
) -> None:
    """Else an operation goes on as if nothing had been left of its container."""
    process = begin("000", 1)
    with beside(place) as neighbours:
        if known > 0:
            assert neighbours.left() == ()
        kill(process)
        if known > 1:
            assert numbers(neighbours.left()) == [1]
        for _ in range(2):
            with no_descriptors(), pytest.raises(StoreError):
                neighbours.left_of("c1")
        assert numbers(neighbours.left_of("c1")) == [1]


# --- closed


def descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_a_watch_that_is_ended_leaves_no_descriptor(place: Path) -> None:
    with beside(place) as neighbours:
        before = descriptors()
        for _ in range(3):
            neighbours.left()
            assert len(descriptors() - before) == 1
            neighbours.close()
            neighbours.close()
            assert descriptors() == before


def test_after_its_end_it_can_be_asked_again(place: Path) -> None:
    left_by(place, 1)
    with beside(place) as neighbours:
        assert numbers(neighbours.left()) == [1]
        neighbours.close()
        end(place, 1)
        assert neighbours.left() == ()

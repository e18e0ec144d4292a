"""Lock files: opened with care, kept open, and noticed when they are removed."""

from __future__ import annotations

import math
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack
from pathlib import Path
from subprocess import run

import anyio
import pytest
from attrs import define

from acni import Busy, RuntimeClosed, StoreError
from acni.host.libc import MNT_DETACH, mount, unmount
from acni.host.locks import is_held, place_of
from acni.store.lockfiles import OPENINGS, Description, LockFiles, open_lock_files
from acni.store.locks import Locks, open_locks

Take = Callable[[Locks], AbstractAsyncContextManager[None]]

C1 = place_of("container", "c1").file
# By the name of their file.
TAKES: dict[str, tuple[Take, ...]] = {
    C1: (lambda locks: locks.container("c1", until=math.inf),),
    "types": (lambda locks: locks.first_add("net", until=math.inf),),
    "gate": (
        lambda locks: locks.gate.shared(until=math.inf),
        lambda locks: locks.gate.exclusive(until=math.inf),
    ),
}


@pytest.fixture
def runtimes(state_dir: Path) -> Iterator[list[Locks]]:
    with ExitStack() as stack:
        yield [stack.enter_context(open_locks(state_dir)) for _ in range(3)]


async def is_free(locks: Locks) -> bool:
    try:
        async with locks.container("c1", until=anyio.current_time()):
            return True
    except Busy:
        return False


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


# --- opened


@pytest.mark.anyio
async def test_they_are_made_when_needed_for_their_owner_only_and_stay_open(
    state_dir: Path,
) -> None:
    before = descriptors()
    with open_locks(state_dir) as locks:
        assert not state_dir.exists()
        for _ in range(2):
            async with locks.gate.shared(until=0), locks.container("c1", until=0):
                assert descriptors() == before + 2
            assert descriptors() == before + 2
        made = [path for path in state_dir.rglob("*") if path.is_file()]
        assert {path.relative_to(state_dir / "acni/lock").name for path in made} == {"gate", C1}
        assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in made)
        for path in (state_dir, state_dir / "acni", state_dir / "acni/lock"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert descriptors() == before


@pytest.mark.anyio
async def test_no_child_inherits_one(runtimes: list[Locks]) -> None:
    async with runtimes[0].container("c1", until=0):
        (opened,) = runtimes[0]._files._open
        assert not os.get_inheritable(opened.fd)


def fifo(path: Path, _: Path) -> None:
    os.mkfifo(path)


def link(path: Path, victim: Path) -> None:
    path.symlink_to(victim)


def dangling_link(path: Path, victim: Path) -> None:
    path.symlink_to(victim.with_name("nowhere"))


def directory(path: Path, _: Path) -> None:
    path.mkdir()


def device(path: Path, _: Path) -> None:
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))


def terminal(path: Path, _: Path) -> None:
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(5, 0))


def unix_socket(path: Path, _: Path) -> None:
    os.mknod(path, stat.S_IFSOCK | 0o600)


def file_of_another_user(path: Path, _: Path) -> None:
    path.touch(0o600)
    os.chown(path, 65534, 65534)


HOSTILE = (
    fifo,
    link,
    dangling_link,
    directory,
    device,
    terminal,
    unix_socket,
    file_of_another_user,
)


@pytest.mark.anyio
@pytest.mark.skipif(os.geteuid() != 0, reason="cannot run here: making devices")
@pytest.mark.parametrize("make", HOSTILE, ids=[make.__name__ for make in HOSTILE])
@pytest.mark.parametrize("name", [C1, "types", "gate"])
async def test_what_is_no_file_of_ours_is_neither_followed_nor_waited_for(
    name: str, make: Callable[[Path, Path], None], state_dir: Path, victim: Path
) -> None:
    place = state_dir / "acni/lock" / name
    place.parent.mkdir(parents=True)
    make(place, victim)
    before = place.lstat()
    with open_locks(state_dir) as locks:
        opened = descriptors()
        for take in TAKES[name]:
            with anyio.fail_after(5), pytest.raises(StoreError, match=f"acni/lock/{name}: cannot"):
                async with take(locks):
                    pass
        assert descriptors() == opened
    assert (place.lstat().st_ino, place.lstat().st_mode) == (before.st_ino, before.st_mode)
    assert not victim.with_name("nowhere").exists()


@pytest.mark.anyio
@pytest.mark.parametrize("room", ["acni", "acni/lock"])
async def test_a_link_in_place_of_a_directory_is_not_followed(
    room: str, state_dir: Path, tmp_path: Path, runtimes: list[Locks]
) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "lock").mkdir(parents=True)
    assert await is_free(runtimes[0])
    shutil.rmtree(state_dir / room)
    (state_dir / room).symlink_to(elsewhere)
    for locks in runtimes:  # one has it open, others come to it now
        with pytest.raises(StoreError):
            async with locks.container("c1", until=math.inf):
                pass
    assert list(elsewhere.rglob("*")) == [elsewhere / "lock"]


def make_read_only(path: Path) -> None:
    run(["mount", "-o", "remount,ro", path], check=True, timeout=10)


@pytest.mark.anyio
@pytest.mark.skipif(os.geteuid() != 0, reason="cannot run here: mounting")
async def test_on_a_read_only_disk_nothing_can_be_locked(tmp_path: Path) -> None:
    """A lock that excludes needs a descriptor for writing (fcntl(2)); callers decide without it."""
    mount("none", str(tmp_path), "tmpfs", options="mode=0700")
    try:
        with open_locks(tmp_path) as locks:
            assert await is_free(locks)
        make_read_only(tmp_path)
        for take in (*TAKES[C1], *TAKES["gate"]):
            with open_locks(tmp_path) as locks, pytest.raises(StoreError, match="Read-only"):
                async with take(locks):
                    pass
    finally:
        unmount(str(tmp_path), MNT_DETACH)


# --- removed


def remove_file(state_dir: Path) -> None:
    (state_dir / "acni/lock" / C1).unlink()


def remove_locks(state_dir: Path) -> None:
    shutil.rmtree(state_dir / "acni/lock")


def remove_all(state_dir: Path) -> None:
    shutil.rmtree(state_dir)


def move_all(state_dir: Path) -> None:
    state_dir.rename(state_dir.with_name("moved"))


def replace_file(state_dir: Path) -> None:
    remove_file(state_dir)
    (state_dir / "acni/lock" / C1).touch(0o600)


REMOVALS = (remove_file, remove_locks, remove_all, move_all, replace_file)
HOWEVER = pytest.mark.parametrize("remove", REMOVALS, ids=[each.__name__ for each in REMOVALS])


@pytest.mark.anyio
@HOWEVER
async def test_one_that_is_removed_between_two_turns_is_made_again_and_met_by_others(
    remove: Callable[[Path], None], state_dir: Path, runtimes: list[Locks]
) -> None:
    one, other, _ = runtimes
    assert await is_free(one)
    before = descriptors()
    remove(state_dir)
    async with one.container("c1", until=0):
        assert not await is_free(other)
        assert descriptors() == before + 1  # the other one's
    assert await is_free(other)


@pytest.mark.anyio
@HOWEVER
async def test_one_that_is_removed_while_it_is_held_is_let_go_of_and_not_used_again(
    remove: Callable[[Path], None], state_dir: Path, runtimes: list[Locks]
) -> None:
    one, other, third = runtimes
    async with one.container("c1", until=0):
        remove(state_dir)
        assert not await is_free(one)  # its tasks know of each other all the same
        async with other.container("c1", until=0):
            assert not await is_free(third)
    async with one.container("c1", until=0):
        assert not await is_free(third)


@pytest.mark.anyio
@HOWEVER
async def test_who_waits_for_one_that_is_removed_has_its_turn_and_then_the_new_one(
    remove: Callable[[Path], None], state_dir: Path, runtimes: list[Locks]
) -> None:
    one, other, third = runtimes
    order = list[str]()

    async def wait() -> None:
        async with other.container("c1", until=math.inf):
            order.append("waiter")
            assert not await is_free(third)
            assert not await is_free(one)

    async with anyio.create_task_group() as tasks, one.container("c1", until=0):
        tasks.start_soon(wait)
        await anyio.sleep(0.01)
        remove(state_dir)
        await anyio.sleep(0.01)
        order.append("holder")
    assert order == ["holder", "waiter"]
    assert [each.users for each in other._files._open] == [0]


@pytest.mark.anyio
async def test_a_removal_is_noticed_beside_another_lock_in_the_file(
    state_dir: Path, runtimes: list[Locks]
) -> None:
    """Who holds a lock in the old description keeps it; who comes has another description."""
    one, other, _ = runtimes
    same = [name for name in map(str, range(1000)) if place_of("container", name).file == C1]
    async with one.container("c1", until=0):
        (old,) = one._files._open
        remove_file(state_dir)
        async with one.container(same[0], until=0):
            assert is_held_beside(old, "c1")
            with pytest.raises(Busy):
                async with other.container(same[0], until=0):
                    pass
        assert old.fd >= 0
        (new,) = one._files._open - {old}
    assert old.fd < 0
    assert one._files._open == {new}


def is_held_beside(description: Description, name: str) -> bool:
    """Tell whether a description holds a byte, as another one of its file sees it."""
    beside = os.open(f"/proc/self/fd/{description.fd}", os.O_RDWR | os.O_CLOEXEC)
    try:
        return is_held(beside, place_of("container", name).byte)
    finally:
        os.close(beside)


@define(eq=False)
class Vanishing(LockFiles):
    """Lock files that somebody removes whenever they are looked at."""

    looks: int = 0

    def has_its_name(self, description: Description) -> bool:
        self.looks += 1
        Path(self._state_dir, "acni/lock", description.name).unlink()
        return super().has_its_name(description)


@pytest.mark.anyio
async def test_one_that_is_removed_again_and_again_is_an_error(state_dir: Path) -> None:
    before = descriptors()
    files = Vanishing(str(state_dir))
    locks = Locks(files)
    for take in (*TAKES[C1], *TAKES["gate"]):
        files.looks = 0
        with pytest.raises(StoreError, match=f"was removed {OPENINGS} times"):
            async with take(locks):
                pass
        assert files.looks == OPENINGS
        assert descriptors() == before


# --- ended


@pytest.mark.anyio
async def test_a_forked_child_has_none_and_leaves_its_parents_alone(
    runtimes: list[Locks], state_dir: Path
) -> None:
    one, other, _ = runtimes

    async def hold_and_fork() -> bool:
        async with one.container("c1", until=0), one.gate.shared(until=0):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    opened = [link for link in Path("/proc/self/fd").iterdir() if link.exists()]
                    status = any(each.readlink().is_relative_to(state_dir) for each in opened)
                finally:
                    # What it inherited is left as by who holds it, and lets go of nothing.
                    for description in (*one._files._open, *one.gate._inside):
                        one._files.let_go(description, *range(8))
                    os._exit(status)
            ended = os.waitpid(child, 0)[1] == 0  # noqa: ASYNC222 (it ends at once)
            assert not await is_free(other)
            return ended

    assert await hold_and_fork()


def test_who_uses_them_in_a_child_or_behind_the_end_is_told(state_dir: Path) -> None:
    with open_lock_files(str(state_dir)) as files:
        description = files.use(C1)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                files.use(C1)
            except RuntimeClosed:
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
    for use in (files.use, files.use_alone):
        with pytest.raises(RuntimeClosed):
            use(C1)
    files.let_go(description, 7)


def test_one_whose_byte_cannot_be_let_go_of_is_closed_instead(state_dir: Path) -> None:
    """The kernel may lack the memory to split a lock."""
    with open_lock_files(str(state_dir)) as files:
        description = files.use(C1)
        files.let_go(description, -1)  # there is no such byte
        assert description.fd < 0
        assert files.use(C1) is not description

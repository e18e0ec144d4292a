"""The lock of a directory of leases: the reference's, waited for no longer than one may."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import pytest
from attrs import define, field

from acni.plugins.leaselock import locked_directory, make_directories
from acni.skel import Bounds, Stopped

SECONDS = 20.0


@pytest.fixture
def held(tmp_path: Path) -> Iterator[int]:
    """The lock, held as the reference holds it."""
    fd = os.open(tmp_path / "lock", os.O_RDONLY | os.O_CREAT, 0o750)
    fcntl.flock(fd, fcntl.LOCK_EX)
    yield fd
    os.close(fd)


def is_locked(directory: Path) -> bool:
    """Tell whether somebody has the lock."""
    with (directory / "lock").open() as other:
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def bounds(seconds: float = SECONDS) -> Bounds:
    return Bounds(time.monotonic() + seconds)


@pytest.mark.rule("P7")
def test_the_lock_is_held_in_the_block_and_not_after_it(tmp_path: Path) -> None:
    with locked_directory(str(tmp_path), bounds=bounds()) as fd:
        assert os.path.samestat(os.fstat(fd), tmp_path.stat())
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)
    assert stat.S_IMODE((tmp_path / "lock").stat().st_mode) == 0o600


def test_a_copy_of_the_descriptor_in_a_child_keeps_nothing_locked(tmp_path: Path) -> None:
    with locked_directory(str(tmp_path), bounds=bounds()):
        own = Path("/proc/self/fd")
        copies = [os.dup(int(fd.name)) for fd in own.iterdir() if _is_lock(fd, tmp_path)]
    try:
        assert copies
        assert not is_locked(tmp_path)
    finally:
        for copy in copies:
            os.close(copy)


def _is_lock(fd: Path, directory: Path) -> bool:
    try:
        return fd.readlink() == directory / "lock"
    except FileNotFoundError:  # what the directory was read with
        return False


def test_who_waits_too_long_is_stopped(tmp_path: Path, held: int) -> None:
    with pytest.raises(Stopped), locked_directory(str(tmp_path), bounds=bounds(0.02)):
        pytest.fail("it was locked")


def test_who_waits_can_be_stopped_by_another_thread(tmp_path: Path, held: int) -> None:
    limits = bounds()
    stopped: list[bool] = []

    def wait() -> None:
        try:
            with locked_directory(str(tmp_path), bounds=limits):
                stopped.append(False)
        except Stopped:
            stopped.append(True)

    waiting = Thread(target=wait)
    waiting.start()
    limits.stop()
    waiting.join(SECONDS)
    assert stopped == [True]


@define(eq=False)
class Meanwhile(Bounds):
    """Something happens while one waits: when it is asked for the first time whether to go on.

    Attributes:
        happens: What.
    """

    happens: list[Callable[[], object]] = field(kw_only=True)

    def check(self) -> None:
        """Let it happen."""
        while self.happens:
            self.happens.pop(0)()
        super().check()


def test_who_waits_gets_it_when_it_is_given_back(tmp_path: Path, held: int) -> None:
    limits = Meanwhile(bounds().deadline, happens=[lambda: fcntl.flock(held, fcntl.LOCK_UN)])
    with locked_directory(str(tmp_path), bounds=limits):
        assert limits.happens == []
        assert is_locked(tmp_path)


def test_a_lock_file_that_is_removed_while_one_waits_is_not_the_lock(
    tmp_path: Path, held: int
) -> None:
    unlink: list[Callable[[], object]] = [(tmp_path / "lock").unlink]
    happens = [*unlink, lambda: fcntl.flock(held, fcntl.LOCK_UN)]
    limits = Meanwhile(bounds().deadline, happens=happens)
    with locked_directory(str(tmp_path), bounds=limits):
        assert limits.happens == []
        assert not os.path.samestat((tmp_path / "lock").stat(), os.fstat(held))
        assert is_locked(tmp_path)


def _listen(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


@pytest.mark.parametrize(
    ("make", "number"),
    [
        pytest.param(os.mkfifo, errno.EINVAL, id="FIFO"),
        pytest.param(Path.mkdir, errno.EISDIR, id="directory"),
        pytest.param(lambda path: path.symlink_to("/etc/passwd"), errno.ELOOP, id="link"),
        pytest.param(_listen, errno.ENXIO, id="socket"),
    ],
)
def test_what_is_no_lock_file_is_refused_at_once(
    tmp_path: Path, make: Callable[[Path], object], number: int
) -> None:
    make(tmp_path / "lock")
    with pytest.raises(OSError, match="lock") as caught:  # noqa: SIM117
        with locked_directory(str(tmp_path), bounds=bounds()):
            pytest.fail("it was locked")
    assert caught.value.errno == number


def test_directories_are_made_for_all_to_look_into(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "net"
    mask = os.umask(0o022)
    try:
        make_directories(str(path))
        make_directories(str(path))
    finally:
        os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o755
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755

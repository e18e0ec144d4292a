"""Byte locks of open file descriptions, and where the lock of a name lies."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acni.host import locks
from acni.host.locks import (
    STAGES,
    Kind,
    Place,
    byte_of,
    file_of,
    is_held,
    place_of,
    try_lock,
    unlock,
)

KINDS: tuple[Kind, ...] = get_args(Kind)
FARTHEST = (1 << 62) - 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "lock"
    path.touch()
    return path


@contextmanager
def opened(path: Path, flags: int = os.O_RDWR) -> Iterator[int]:
    fd = os.open(path, flags | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


@pytest.fixture
def one(path: Path) -> Iterator[int]:
    with opened(path) as fd:
        yield fd


@pytest.fixture
def other(path: Path) -> Iterator[int]:
    with opened(path) as fd:
        yield fd


@contextmanager
def holding(fd: int, program: str = "exec sleep 600") -> Iterator[subprocess.Popen[bytes]]:
    """A process that has inherited the description."""
    child = subprocess.Popen(["sh", "-c", program], pass_fds=[fd], stdout=subprocess.PIPE)
    try:
        yield child
    finally:
        child.kill()
        child.communicate(timeout=200)


class Flock(ctypes.Structure):
    """struct flock as a compiler lays it out (fcntl(2))."""

    _fields_ = (
        ("l_type", ctypes.c_short),
        ("l_whence", ctypes.c_short),
        ("l_start", ctypes.c_int64),
        ("l_len", ctypes.c_int64),
        ("l_pid", ctypes.c_int),
    )


def test_the_layout_is_a_compilers() -> None:
    packed = locks._FLOCK.pack(1, 2, FARTHEST, 3, 4)
    assert packed == bytes(Flock(1, 2, FARTHEST, 3, 4))
    assert len(packed) == ctypes.sizeof(Flock) == 32


@pytest.mark.parametrize("offset", [0, 7, FARTHEST])
def test_the_kernel_lists_the_byte_that_was_asked_for(one: int, offset: int) -> None:
    assert try_lock(one, offset)
    assert lock_lines(one) == [("OFDLCK", "WRITE", str(offset), str(offset))]


def test_a_shared_lock_is_listed_as_one(one: int) -> None:
    assert try_lock(one, 7, shared=True)
    assert lock_lines(one) == [("OFDLCK", "READ", "7", "7")]


def lock_lines(fd: int) -> list[tuple[str, ...]]:
    lines = Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines()
    words = [line.split() for line in lines if line.startswith("lock:")]
    return [(word[2], word[4], word[7], word[8]) for word in words]


def test_two_descriptions_of_one_process_exclude_each_other(one: int, other: int) -> None:
    assert try_lock(one, 7)
    assert not try_lock(other, 7)
    assert not try_lock(other, 7, shared=True)
    assert try_lock(other, 8)


def test_a_byte_that_was_let_go_is_free(one: int, other: int) -> None:
    assert try_lock(one, 7)
    unlock(one, 7)
    assert try_lock(other, 7)


def test_letting_go_of_one_byte_keeps_the_next(one: int, other: int) -> None:
    assert try_lock(one, 7)
    assert try_lock(one, 8)
    unlock(one, 7)
    assert not try_lock(other, 8)


def test_letting_go_of_what_is_not_held_is_nothing(one: int, other: int) -> None:
    assert try_lock(one, 7)
    unlock(other, 7)
    unlock(other, 8)
    assert not try_lock(other, 7)


def test_shared_holders_go_together_and_keep_an_exclusive_one_out(one: int, other: int) -> None:
    assert try_lock(one, 7, shared=True)
    assert try_lock(other, 7, shared=True)
    assert not try_lock(other, 7)
    unlock(one, 7)
    assert try_lock(other, 7), "the last holder may make it exclusive"


def test_asking_again_is_no_conflict_with_oneself(one: int) -> None:
    assert try_lock(one, 7)
    assert try_lock(one, 7)


def test_an_exclusive_lock_becomes_a_shared_one(one: int, other: int) -> None:
    assert try_lock(one, 7)
    assert try_lock(one, 7, shared=True)
    assert try_lock(other, 7, shared=True)


def test_closing_another_descriptor_of_the_file_keeps_the_lock(path: Path, one: int) -> None:
    """The trap of POSIX locks."""
    assert try_lock(one, 7)
    with opened(path):
        pass
    with opened(path) as other:
        assert not try_lock(other, 7)


def test_the_last_close_lets_go(path: Path, one: int) -> None:
    with opened(path) as other:
        assert try_lock(other, 7)
    assert try_lock(one, 7)


def test_what_another_holds_is_seen_shared_or_not(one: int, other: int) -> None:
    assert not is_held(other, 7)
    assert try_lock(one, 7)
    assert is_held(other, 7)
    assert try_lock(one, 7, shared=True)
    assert is_held(other, 7)
    unlock(one, 7)
    assert not is_held(other, 7)


def test_looking_does_not_see_its_own_and_changes_nothing(one: int, other: int) -> None:
    assert try_lock(one, 7)
    assert not is_held(one, 7)
    assert is_held(other, 7)


@pytest.mark.parametrize(
    ("held", "seen"),
    [
        pytest.param(9, False, id="before"),
        pytest.param(10, True, id="first"),
        pytest.param(9 + STAGES, True, id="last"),
        pytest.param(10 + STAGES, False, id="after"),
    ],
)
def test_a_range_is_held_when_one_of_its_bytes_is(
    one: int, other: int, held: int, seen: bool
) -> None:
    assert try_lock(one, held)
    assert is_held(other, 10, STAGES) == seen


def test_looking_needs_no_write_access(path: Path, one: int) -> None:
    assert try_lock(one, 7)
    with opened(path, os.O_RDONLY) as looker:
        assert is_held(looker, 7)
        assert not is_held(looker, 8)


def test_locking_without_write_access_is_an_error_and_no_conflict(path: Path) -> None:
    with opened(path, os.O_RDONLY) as looker:
        with pytest.raises(OSError, match="Bad file descriptor") as caught:
            try_lock(looker, 7)
        assert caught.value.errno == errno.EBADF
        assert try_lock(looker, 7, shared=True)


def test_a_descriptor_that_is_closed_is_an_error_and_no_conflict(path: Path) -> None:
    with opened(path) as closed:
        pass
    for call in (try_lock, unlock, is_held):
        with pytest.raises(OSError, match="Bad file descriptor"):
            call(closed, 7)


def test_a_killed_process_lets_go(path: Path, one: int) -> None:
    with opened(path) as theirs:
        assert try_lock(theirs, 7)
        child = subprocess.Popen(["sleep", "600"], pass_fds=[theirs])
    assert is_held(one, 7)
    child.send_signal(signal.SIGKILL)
    child.wait(timeout=200)
    assert not is_held(one, 7)


def test_a_plain_close_leaves_what_a_child_inherited(path: Path, one: int) -> None:
    with opened(path) as theirs:
        assert try_lock(theirs, 7)
        with holding(theirs):
            os.dup2(one, theirs)  # closes it without giving its number to another
            assert is_held(one, 7)
    assert not is_held(one, 7)


def test_letting_go_frees_what_a_child_inherited(one: int, other: int) -> None:
    assert try_lock(one, 7)
    with holding(one) as child:
        unlock(one, 7)
        assert not is_held(other, 7)
        assert child.poll() is None


def test_a_child_holds_what_its_parent_locks_later_too(path: Path, one: int) -> None:
    """They share the description: a plugin must get one of its own."""
    with opened(path) as theirs, holding(theirs):
        assert try_lock(theirs, 7)
        os.dup2(one, theirs)
        assert is_held(one, 7)


@given(st.text(min_size=1), st.sampled_from(KINDS))
def test_every_name_of_every_kind_lies_in_the_ranges_of_that_kind(name: str, kind: Kind) -> None:
    index = KINDS.index(kind)
    place = place_of(kind, name)
    assert 2 * index << 58 <= place.byte < (2 * index + 1) << 58
    assert place.stages is not None
    assert (2 * index + 1) << 58 <= place.stages
    assert place.stages + STAGES <= (2 * index + 2) << 58 <= 1 << 62


@given(st.text(), st.text())
def test_the_stages_of_two_names_are_the_same_bytes_or_none(name: str, another: str) -> None:
    one, other = (place_of("container", each).stages for each in (name, another))
    assert one is not None
    assert other is not None
    distance = abs(one - other)
    assert distance == 0 or distance >= STAGES


@given(st.text(), st.sampled_from(KINDS))
def test_networks_and_plugin_types_share_a_file(name: str, kind: Kind) -> None:
    is_type = kind in {"network", "plugin type"}
    assert place_of(kind, name).file == ("types" if is_type else file_of(name))


@given(st.text())
def test_the_file_of_a_name_is_one_of_64(name: str) -> None:
    assert file_of(name) in {f"{number:02x}" for number in range(64)}


def test_where_a_name_lies_never_changes() -> None:
    """Another version of acni may hold it."""
    assert file_of("web") == "0b"
    assert {kind: place_of(kind, "web") for kind in KINDS} == {
        "container": Place("0b", 0x039B3D1E13929295, 0x05B3D1E139292950),
        "guard": Place("0b", 0x0B9B3D1E13929295, 0x0DB3D1E139292950),
        "record": Place("0b", 0x139B3D1E13929295, 0x15B3D1E139292950),
        "interface": Place("0b", 0x1B9B3D1E13929295, 0x1DB3D1E139292950),
        "network": Place("types", 0x239B3D1E13929295, 0x25B3D1E139292950),
        "plugin type": Place("types", 0x2B9B3D1E13929295, 0x2DB3D1E139292950),
    }
    assert byte_of("guard", "web") == 0x0B9B3D1E13929295


def test_a_thousand_names_are_spread_over_all_files_and_bytes() -> None:
    names = [f"container-{number}" for number in range(1000)]
    assert len({file_of(name) for name in names}) == 64
    for kind in KINDS:
        assert len({byte_of(kind, name) for name in names}) == len(names)


def test_a_name_with_bytes_that_are_no_text_has_a_place() -> None:
    name = os.fsdecode(b"\xff")
    assert byte_of("record", name) != byte_of("record", "ff")

"""Files that are written whole, and directories that are made: nothing else is touched."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from acni.store.durable import make_directory, make_room, write_durably_once


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def test_a_file_is_written_whole_and_once(directory: int, tmp_path: Path) -> None:
    for data in (b"1\n", b"", b"2\n"):
        write_durably_once(directory, "FORMAT", data)
        assert (tmp_path / "FORMAT").read_bytes() == b"1\n"
    assert [path.name for path in tmp_path.iterdir()] == ["FORMAT"]


def test_of_many_that_write_it_at_once_none_fails(tmp_path: Path) -> None:
    at_once = threading.Barrier(8)

    def write(turn: int) -> bytes:
        place = tmp_path / str(turn)
        fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            at_once.wait(20)
            write_durably_once(fd, "FORMAT", b"1\n")
            return (place / "FORMAT").read_bytes()
        finally:
            os.close(fd)

    with ThreadPoolExecutor(8) as threads:
        for turn in range(20):
            (tmp_path / str(turn)).mkdir()
            assert set(threads.map(write, [turn] * 8)) == {b"1\n"}
            assert [path.name for path in (tmp_path / str(turn)).iterdir()] == ["FORMAT"]


def test_who_stands_still_while_it_writes_is_waited_for_no_longer_than_is_said(
    directory: int, tmp_path: Path
) -> None:
    other = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(TimeoutError, match="for too long"):
            write_durably_once(directory, "FORMAT", b"1\n", wait_seconds=0.02)
    finally:
        os.close(other)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["hard link", "link", "fifo", "file"])
def test_what_a_killed_one_or_somebody_else_left_beside_it_is_not_written_to(
    kind: str, directory: int, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    victim = tmp_path / "elsewhere" / "victim"
    victim.write_text("precious")
    beside = tmp_path / "FORMAT.new"
    match kind:
        case "hard link":
            beside.hardlink_to(victim)
        case "link":
            beside.symlink_to(victim)
        case "fifo":
            os.mkfifo(beside)
        case _:
            beside.write_text("half")
    write_durably_once(directory, "FORMAT", b"1\n")
    assert (tmp_path / "FORMAT").read_bytes() == b"1\n"
    assert not beside.exists()
    assert victim.read_text() == "precious"


def test_a_room_is_made_once_for_its_owner_and_opened(directory: int, tmp_path: Path) -> None:
    for _ in range(2):
        fd = make_room(directory, "room")
        assert os.path.samestat(os.fstat(fd), (tmp_path / "room").stat())
        os.close(fd)
    assert (tmp_path / "room").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("kind", ["link", "file", "fifo"])
def test_what_is_no_room_is_refused_and_not_followed(
    kind: str, directory: int, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    room = tmp_path / "room"
    match kind:
        case "link":
            room.symlink_to(tmp_path / "elsewhere")
        case "fifo":
            os.mkfifo(room)
        case _:
            room.touch()
    with pytest.raises(OSError, match="room"):
        make_room(directory, "room")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_directories_above_are_made_too(tmp_path: Path) -> None:
    make_directory(str(tmp_path / "a" / "b"))
    make_directory(str(tmp_path / "a" / "b"))
    assert (tmp_path / "a" / "b").is_dir()

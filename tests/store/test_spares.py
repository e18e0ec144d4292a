"""Spare files: written again, first in, first out, and never what somebody else put there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from acni import StoreError
from acni.store.spares import Spares, is_spare_name

DATA = b"a record"
ARABIC = "\u0660" * 7 + "\u0661"  # digits all the same


@pytest.fixture
def place(tmp_path: Path) -> Path:
    place = tmp_path / "spare"
    place.mkdir()
    return place


@pytest.fixture
def directory(place: Path) -> Iterator[int]:
    fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def looked(directory: int) -> Spares:
    return Spares.look(directory)


def test_files_come_back_in_the_order_in_which_they_were_retired(directory: int) -> None:
    spares = looked(directory)
    names = [spares.take() for _ in range(3)]
    assert len(set(names)) == 3
    for name in reversed(names):
        spares.give_back(name)
    assert [spares.take() for _ in range(3)] == names[::-1]


def test_a_new_file_has_room_for_a_record_and_is_its_owner_s(directory: int, place: Path) -> None:
    status = (place / looked(directory).take()).stat()
    assert status.st_size == 4096
    assert status.st_blocks > 0
    assert status.st_mode & 0o777 == 0o600


def test_what_an_earlier_runtime_left_is_taken_but_for_what_is_made_anew(
    directory: int, place: Path
) -> None:
    for name in ("00000001", "00000003", "00000010", "notes", "0000001", ARABIC):
        (place / name).touch()
    spares = looked(directory)
    spares.make("00000003")
    spares.make("00000020")
    assert [spares.take() for _ in range(3)] == ["00000001", "00000010", "00000021"]


def test_numbers_that_outgrew_their_width_are_found_again(directory: int, place: Path) -> None:
    for name in ("99999999", "100000000"):
        (place / name).touch()
    spares = looked(directory)
    assert [spares.take() for _ in range(3)] == ["99999999", "100000000", "100000001"]


@pytest.mark.parametrize("data", [b"", b"short", b"x" * 10000])
def test_a_file_holds_what_was_written_last_and_nothing_of_before(
    data: bytes, directory: int, place: Path
) -> None:
    spares = looked(directory)
    name = spares.take()
    spares.write(name, b"something before" * 100)
    spares.write(name, data, durably=True)
    assert (place / name).read_bytes() == data


def put(kind: str, path: Path, victim: Path) -> None:
    match kind:
        case "hard link":
            path.hardlink_to(victim)
        case "symbolic link":
            path.symlink_to(victim)
        case "directory":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case _:
            raise AssertionError(kind)


KINDS = ["hard link", "symbolic link", "directory", "fifo"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_of_ours_alone_is_not_taken(
    kind: str, directory: int, place: Path, victim: Path
) -> None:
    put(kind, place / "00000000", victim)
    assert looked(directory).take() == "00000001"


@pytest.mark.parametrize("kind", KINDS)
def test_what_took_a_file_s_place_after_it_was_taken_is_not_written_to(
    kind: str, directory: int, place: Path, victim: Path
) -> None:
    spares = looked(directory)
    name = spares.take()
    (place / name).unlink()
    put(kind, place / name, victim)
    with pytest.raises(OSError, match=name):
        spares.write(name, DATA)


def test_a_file_that_was_linked_elsewhere_meanwhile_is_not_written_to(
    directory: int, place: Path, tmp_path: Path
) -> None:
    """A backup that holds a link of every file must not change."""
    spares = looked(directory)
    name = spares.take()
    spares.write(name, DATA)
    spares.give_back(name)
    (tmp_path / "backup").hardlink_to(place / name)
    assert spares.take() != name
    with pytest.raises(OSError, match="no regular file of ours"):
        spares.write(name, b"another record")
    assert (tmp_path / "backup").read_bytes() == DATA


def test_one_that_vanished_is_passed_over(directory: int, place: Path) -> None:
    spares = looked(directory)
    first, second = spares.take(), spares.take()
    spares.give_back(first)
    spares.give_back(second)
    (place / first).unlink()
    assert spares.take() == second


def test_a_lost_file_is_made_again_by_its_name(directory: int, place: Path) -> None:
    spares = looked(directory)
    spares.make("00000005")
    assert (place / "00000005").is_file()
    (place / "00000006").write_text("there already")
    spares.make("00000006")
    assert (place / "00000006").read_text() == "there already"


def test_a_directory_that_cannot_be_listed_is_a_typed_error(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    os.close(fd)
    with pytest.raises(StoreError, match="cannot be listed"):
        looked(fd)


@pytest.mark.parametrize("name", ["", "0", "0000000a", "../00000", "0000000/", ARABIC, "-0000001"])
def test_other_names_are_none_of_spare_files(name: str) -> None:
    assert not is_spare_name(name)

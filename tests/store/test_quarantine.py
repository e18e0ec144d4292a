"""Quarantine: bad files are kept, and neither their number nor their size grows for ever."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from acni import StoreError
from acni.store import quarantine
from acni.store.quarantine import Quarantine


@pytest.fixture
def place(tmp_path: Path) -> Path:
    place = tmp_path / "quarantine"
    place.mkdir()
    return place


@pytest.fixture
def kept(place: Path) -> Iterator[Quarantine]:
    fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    yield Quarantine(fd)
    os.close(fd)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    results = tmp_path / "results"
    results.mkdir()
    return results


@pytest.fixture
def directory(results: Path) -> Iterator[int]:
    fd = os.open(results, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def test_a_file_is_moved_and_one_of_the_same_name_beside_it(
    kept: Quarantine, place: Path, results: Path, directory: int
) -> None:
    for text in ("bad", "worse"):
        (results / "net-c1-eth0").write_text(text)
        assert kept.keep("net-c1-eth0", directory) == ()
    assert list(results.iterdir()) == []
    assert sorted(path.read_text() for path in place.iterdir()) == ["bad", "worse"]
    assert all(path.name.startswith("net-c1-eth0.") for path in place.iterdir())


@pytest.mark.parametrize("kind", ["link", "fifo", "directory"])
def test_whatever_it_is_it_is_moved_and_not_followed(
    kind: str, kept: Quarantine, place: Path, results: Path, directory: int, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path = results / "net-c1-eth0"
    match kind:
        case "link":
            path.symlink_to(victim)
        case "fifo":
            os.mkfifo(path)
        case _:
            path.mkdir()
            (path / "inside").touch()
    kept.keep("net-c1-eth0", directory)
    assert len(list(place.iterdir())) == 1
    assert victim.read_text() == "precious"


def test_a_name_as_long_as_names_may_be_is_kept_too(
    kept: Quarantine, place: Path, results: Path, directory: int
) -> None:
    (results / ("n" * 255)).touch()
    kept.keep("n" * 255, directory)
    assert len(list(place.iterdir())) == 1


def test_what_is_not_there_is_a_typed_error(kept: Quarantine, directory: int) -> None:
    with pytest.raises(StoreError, match="cannot be moved"):
        kept.keep("net-c1-eth0", directory)


def test_a_copy_is_whole(kept: Quarantine, place: Path) -> None:
    data = os.urandom(3 << 20)
    kept.keep_copy("journal-000", data)
    (copy,) = place.iterdir()
    assert copy.read_bytes() == data
    assert copy.stat().st_mode & 0o777 == 0o600


def age(path: Path, number: int) -> None:
    """What goes is told by when it came, which no program can set: let it come then."""
    path.touch()
    while path.stat().st_ctime_ns <= number:
        path.chmod(0o600)


def test_too_many_files_make_room_the_oldest_first_and_never_the_newest(
    kept: Quarantine, place: Path
) -> None:
    latest = 0
    for number in range(quarantine.MAX_FILES + 2):
        path = place / f"old.{number:04d}"
        path.touch()
        latest = max(latest, path.stat().st_ctime_ns)
    age(place / "old.0000", latest)  # it came again
    kept.keep_copy("newest", b"x")
    names = sorted(path.name.partition(".")[0] for path in place.iterdir())
    assert len(names) == quarantine.MAX_FILES
    assert "newest" in names
    assert (place / "old.0000").exists()
    assert not (place / "old.0001").exists()


def test_too_many_bytes_make_room_too(
    kept: Quarantine, place: Path, results: Path, directory: int
) -> None:
    half = quarantine.MAX_BYTES // 2 + 1
    for number in range(3):
        path = results / f"net-c{number}-eth0"
        path.touch()
        os.truncate(path, half)
        gone = kept.keep(path.name, directory)
        assert [name.partition(".")[0] for name in gone] == (
            [f"net-c{number - 1}-eth0"] if number else []
        )
    assert [path.name.partition(".")[0] for path in place.iterdir()] == ["net-c2-eth0"]


def test_one_file_larger_than_all_is_kept_alone(kept: Quarantine, place: Path) -> None:
    kept.keep_copy("small", b"x")
    path = place / "huge.0"
    path.touch()
    os.truncate(path, quarantine.MAX_BYTES * 2)
    kept.keep_copy("another", b"x")
    assert [one.name.partition(".")[0] for one in place.iterdir()] == ["another"]


def test_a_directory_in_it_that_would_have_to_go_stands_in_nobody_s_way(
    kept: Quarantine, place: Path, results: Path, directory: int
) -> None:
    """A directory in a record's place is moved here like everything else."""
    (results / "net-c1-eth0").mkdir()
    (results / "net-c1-eth0" / "inside").touch()
    kept.keep("net-c1-eth0", directory)
    for number in range(quarantine.MAX_FILES):
        (place / f"newer.{number:04d}").touch()
    (results / "net-c1-eth0").write_text("bad")
    kept.keep("net-c1-eth0", directory)
    assert len(list(place.iterdir())) <= quarantine.MAX_FILES + 1
    assert (place / "newer.0999").exists()

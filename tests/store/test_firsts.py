"""Which networks something was attached to in this boot."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attrs import evolve

from acni.host.netns import NetnsIdentity
from acni.store.firsts import is_marked, mark
from tests.store.journals import HOST


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def test_a_network_is_marked_for_its_boot_and_its_host_alone(directory: int) -> None:
    assert not is_marked(directory, "net", HOST)
    mark(directory, "net", HOST)
    assert is_marked(directory, "net", HOST)
    others = (
        evolve(HOST, boot="later"),
        evolve(HOST, netns=NetnsIdentity(kind=HOST.netns.kind, id=f"{HOST.netns.id}1")),
    )
    assert not any(is_marked(directory, "net", other) for other in others)
    assert not is_marked(directory, "other", HOST)


def test_thousands_of_networks_take_no_more_than_one_mebibyte_and_few_lose_their_mark(
    directory: int, tmp_path: Path
) -> None:
    names = [f"net{number}" for number in range(2000)]
    for name in names:
        mark(directory, name, HOST)
    assert [each.name for each in tmp_path.iterdir()] == ["first"]
    assert (tmp_path / "first").stat().st_size <= 1 << 20
    kept = sum(is_marked(directory, name, HOST) for name in names)
    assert 1900 < kept <= 2000


HOSTILE: dict[str, Callable[[Path, Path], object]] = {
    "link": lambda place, victim: place.symlink_to(victim),
    "second name": lambda place, victim: place.hardlink_to(victim),
    "directory": lambda place, _: place.mkdir(),
    "pipe": lambda place, _: os.mkfifo(place),
}


@pytest.mark.parametrize("stand", HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_file_of_ours_is_not_written_to_and_says_no(
    stand: Callable[[Path, Path], object], directory: int, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    stand(tmp_path / "first", victim)
    with pytest.raises(OSError, match=r"first|no such device|Illegal seek|Is a directory|links"):
        mark(directory, "net", HOST)
    assert not is_marked(directory, "net", HOST)
    assert victim.read_bytes() == b"precious"


def test_rubbish_in_the_file_says_no_and_is_written_over(directory: int, tmp_path: Path) -> None:
    (tmp_path / "first").write_bytes(b"\xff" * (1 << 20))
    assert not is_marked(directory, "net", HOST)
    mark(directory, "net", HOST)
    assert is_marked(directory, "net", HOST)

"""Being told which names of a directory changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from acni.host import inotify
from acni.host.inotify import Watch


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    watch = Watch.of(fd)
    yield watch
    watch.close()
    os.close(fd)


def test_each_change_is_told_of_once(watch: Watch, tmp_path: Path) -> None:
    assert watch.changed() == []
    (tmp_path / "a").touch()
    (tmp_path / "a").rename(tmp_path / "b\udc80")
    assert set(watch.changed()) == {"a", "b\udc80"}
    assert watch.changed() == []


def test_more_changes_than_are_read_at_once_are_all_told_of(watch: Watch, tmp_path: Path) -> None:
    names = {f"{number:0200d}" for number in range(inotify._BUFFER // 200)}
    for name in names:
        (tmp_path / name).touch()  # each is made, and closed
    assert set(watch.changed()) == names


def test_of_a_directory_that_was_moved_nothing_is_known(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    tmp_path.rename(tmp_path.with_name("elsewhere"))
    with pytest.raises(LookupError):
        watch.changed()


def test_a_watch_that_was_ended_knows_nothing(watch: Watch) -> None:
    watch.close()
    with pytest.raises(LookupError):
        watch.changed()
    watch.fd = -1

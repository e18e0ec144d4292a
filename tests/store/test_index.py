"""The names in a directory of records, and what they hold, kept while something works with it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve

from acni.host.netns import NetnsIdentity
from acni.store.index import Index
from acni.store.outline import claim_of
from acni.store.record import Record, write_record
from tests.store.journals import NETWORK, make_record

HERE = NetnsIdentity("id", "7")
ELSEWHERE = NetnsIdentity("id", "8")


@pytest.fixture(params=[0, 1, 1000], ids=["watched", "watched soon", "unwatched"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Index]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    index = Index(fd, request.param)
    yield index
    index.close()
    os.close(fd)


def held(number: int, identity: NetnsIdentity | None) -> Record:
    """Make a record; one of another writer without an identity."""
    record = make_record(number)
    ours = record.provenance
    return evolve(record, provenance=evolve(ours, netns=identity) if ours and identity else None)


def put(directory: Path, record: Record) -> None:
    """Put a record there as its writers do."""
    (directory / ".new").write_bytes(write_record(record))
    (directory / ".new").rename(directory / record.name)


def holders(index: Index, identity: NetnsIdentity = HERE) -> list[str]:
    return [outline.container_id for outline in index.holding("eth0", identity)]


def test_what_comes_and_goes_is_noticed(index: Index, tmp_path: Path) -> None:
    assert index.is_empty()
    put(tmp_path, held(1, HERE))
    put(tmp_path, held(2, ELSEWHERE))
    assert holders(index) == ["c1"]
    assert list(index.ending("c1-eth0")) == [f"{NETWORK.name}-c1-eth0"]
    (tmp_path / f"{NETWORK.name}-c1-eth0").unlink()
    assert holders(index) == []
    assert list(index.ending("c1-eth0")) == []
    assert not index.is_empty()


def test_what_was_there_before_is_known(index: Index, tmp_path: Path) -> None:
    put(tmp_path, held(1, HERE))
    assert holders(index) == ["c1"]


def test_having_read_many_makes_no_later_look_longer(index: Index, tmp_path: Path) -> None:
    """A set that was once full is looked through at its full size."""
    text = write_record(held(1, ELSEWHERE))
    for number in range(3000):
        (tmp_path / f"{NETWORK.name}-c{number}-eth0").write_bytes(text)
    assert holders(index) == []
    assert sys.getsizeof(index._unread) == sys.getsizeof(set[str]())


def test_a_record_of_another_writer_may_hold_any_namespace(index: Index, tmp_path: Path) -> None:
    put(tmp_path, held(1, None))
    assert holders(index) == holders(index, ELSEWHERE) == ["c1"]


def test_a_file_that_is_no_record_holds_nothing(index: Index, tmp_path: Path) -> None:
    index.is_empty()
    (tmp_path / f"{NETWORK.name}-c1-eth0").write_text("{")
    assert holders(index) == []
    assert list(index.ending("c1-eth0")) == [f"{NETWORK.name}-c1-eth0"]


def test_what_this_process_put_there_is_not_read(index: Index, tmp_path: Path) -> None:
    index.is_empty()
    record = held(1, HERE)
    (tmp_path / record.name).write_text("not to be read")
    index.put(record.name, claim_of(record))
    assert holders(index) == ["c1"]
    (tmp_path / record.name).unlink()
    assert holders(index) == []


def test_what_this_process_put_there_and_is_gone_before_the_next_look_holds_nothing(
    index: Index, tmp_path: Path
) -> None:
    """A gc deletes without a look at the index: nobody saw the name there."""
    index.is_empty()
    record = held(1, HERE)
    put(tmp_path, record)
    index.put(record.name, claim_of(record))
    (tmp_path / record.name).unlink()
    assert holders(index) == []
    assert list(index.ending("c1-eth0")) == []


@pytest.mark.parametrize("how", ["replaced", "written again"])
def test_what_somebody_changed_after_it_was_put_there_is_read(
    how: str, index: Index, tmp_path: Path
) -> None:
    index.is_empty()
    record = held(1, HERE)
    put(tmp_path, record)
    index.put(record.name, claim_of(record))
    assert holders(index) == ["c1"]
    other = held(1, ELSEWHERE)
    if how == "replaced":
        put(tmp_path, other)
    else:
        (tmp_path / record.name).write_bytes(write_record(other))
    assert holders(index) == []
    assert holders(index, ELSEWHERE) == ["c1"]


def test_changes_that_were_lost_are_found_by_reading_all_anew(index: Index, tmp_path: Path) -> None:
    for number in range(3):
        put(tmp_path, held(number, HERE))
    assert holders(index) == ["c0", "c1", "c2"]
    events = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    name, other = tmp_path / f"{NETWORK.name}-c1-eth0", tmp_path / "other"
    for _ in range(events // 4 + 1):  # each rename is two events
        name.rename(other)
        other.rename(name)
    (tmp_path / f"{NETWORK.name}-c2-eth0").unlink()
    assert holders(index) == ["c0", "c1"]


def test_a_directory_that_was_removed_holds_nothing(index: Index, tmp_path: Path) -> None:
    put(tmp_path, held(1, HERE))
    assert holders(index) == ["c1"]
    (tmp_path / f"{NETWORK.name}-c1-eth0").unlink()
    tmp_path.rmdir()
    assert holders(index) == []

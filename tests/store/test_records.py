"""Which records there are; and which of them are read as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from attrs import evolve

from acni.spec.names import ContainerId
from acni.store.record import Owed, Record, write_record
from acni.store.records import Records
from tests.store.journals import make_record

OWED = Owed(next=0, cause="in use", origin="delete", attempts=1)


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    (tmp_path / "results").mkdir()
    with closing(Records.look(str(tmp_path))) as records:
        yield records


def put(tmp_path: Path, record: Record) -> None:
    (tmp_path / "results" / record.name).write_bytes(write_record(record))


def owed(record: Record) -> Record:
    assert record.provenance is not None
    return evolve(record, provenance=evolve(record.provenance, owed=OWED))


def test_all_that_can_be_read_are_iterated_over(records: Records, tmp_path: Path) -> None:
    first, second = make_record(1), owed(make_record(2))
    for record in (first, second):
        put(tmp_path, record)
    (tmp_path / "results" / "torn").write_text("{")
    assert [record.id for record in records.readable()] == [first.id, second.id]


def test_those_that_are_chosen_by_their_outline_are_whole(records: Records, tmp_path: Path) -> None:
    first, second = make_record(1), owed(make_record(2))
    for record in (first, second):
        put(tmp_path, record)
    (tmp_path / "results" / "torn").write_text("{")
    chosen = list(records.readable(lambda outline: outline.cause is not None))
    assert [record.owed for record in chosen] == [OWED]
    assert [record.id for record in chosen] == [second.id]
    assert list(records.readable(lambda _: False)) == []


def test_only_what_is_chosen_is_read_as_a_whole(records: Records, tmp_path: Path) -> None:
    """Its outline is read loosely: what is wrong with the rest of it is not looked at."""
    broken = make_record(1)
    text = write_record(broken).replace(b'"operation":"', b'"operation":7,"other":"')
    (tmp_path / "results" / broken.name).write_bytes(text)
    seen: list[ContainerId] = []

    def choose(outline: object) -> bool:
        seen.append(broken.container_id)
        return True

    assert list(records.readable(choose)) == []
    assert seen == [broken.container_id]

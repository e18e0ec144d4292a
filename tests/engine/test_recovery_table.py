"""What an open operation comes to, by what stands in its record's place: every row of the table."""

# ruff: noqa: E501 (a table is read across)

from __future__ import annotations

import itertools
from typing import Any

import pytest
from attrs import evolve

from acni.engine.recovery import Verdict, decide
from acni.host.netns import NetnsIdentity
from acni.store.record import Owed, Provenance, Record
from tests.store.journals import HOST, make_intent, make_record, operation

OWED = Owed(next=1, cause="in use", origin="delete", attempts=1)
ELSEWHERE = NetnsIdentity("id", "another host's")

Place = Record | None


def provenance(record: Record) -> Provenance:
    assert record.provenance is not None
    return record.provenance


def of(number: int, **facts: Any) -> Record:
    """A record of an operation; the intent's is the first."""
    record = make_record(1)
    return evolve(
        record, provenance=evolve(provenance(record), operation=operation(number), **facts)
    )


NOTHING: Place = None
SAME = of(1)
SAME_OWED = of(1, owed=OWED)
OTHER = of(2)
OTHER_OWED = of(2, owed=OWED)
OTHER_EARLIER = of(2, boot="an earlier one")
OTHER_HOST = of(2, host_netns=ELSEWHERE)
FOREIGN = evolve(make_record(1), provenance=None)

# What stands in its place, what is left of an ADD here (named and spare: unnamed; named, and still
# spare; named, and gone from spare), of an ADD of an earlier boot, and of a delete here and of then.
TABLE: list[tuple[str, Place, Verdict, Verdict, Verdict, Verdict, Verdict, Verdict]] = [
    #                          unnamed       spare         gone          earlier       delete        earlier
    ("nothing", NOTHING,       "delete",     "delete",     "superseded", "delete",     "delete",     "delete"),
    ("its own", SAME,          "attached",   "attached",   "attached",   "delete",     "delete",     "delete"),
    ("its own debt", SAME_OWED, "owed",      "owed",       "owed",       "delete",     "delete",     "delete"),
    ("another's", OTHER,       "superseded", "superseded", "superseded", "superseded", "superseded", "superseded"),
    ("another's debt", OTHER_OWED, "superseded", "superseded", "superseded", "superseded", "superseded", "superseded"),
    ("another's of then", OTHER_EARLIER, "delete", "delete", "delete",   "delete",     "delete",     "delete"),
    ("another's of another host", OTHER_HOST, "superseded", "superseded", "superseded", "superseded", "superseded", "superseded"),
    ("another writer's", FOREIGN, "superseded", "superseded", "superseded", "wait",    "superseded", "wait"),
]  # fmt: skip


def rows() -> list[Any]:
    found = []
    for name, in_place, unnamed, spare, gone, then, delete, delete_then in TABLE:
        found += [
            pytest.param(in_place, {}, True, True, unnamed, id=f"add here, {name}"),
            pytest.param(in_place, {}, True, False, unnamed, id=f"add here, lost spare, {name}"),
            pytest.param(in_place, {"is_named": True}, True, True, spare, id=f"add named, {name}"),
            pytest.param(in_place, {"is_named": True}, True, False, gone, id=f"add gone, {name}"),
        ]
        for is_named, has_spare in itertools.product([True, False], repeat=2):
            facts = {"is_named": is_named, "boot": "an earlier one"}
            place = f"{is_named}, {has_spare}, {name}"
            found += [
                pytest.param(in_place, facts, False, has_spare, then, id=f"add then, {place}"),
                pytest.param(
                    in_place,
                    {**facts, "outcome": "attached"},
                    False,
                    has_spare,
                    then,
                    id=f"ended then, {place}",
                ),
            ]
        found += [
            pytest.param(in_place, {"verb": "delete", "spare": None}, True, False, delete,
                         id=f"delete here, {name}"),
            pytest.param(in_place, {"verb": "delete", "spare": None}, False, False, delete_then,
                         id=f"delete then, {name}"),
        ]  # fmt: skip
    return found


@pytest.mark.parametrize(("in_place", "facts", "is_here", "has_spare", "expected"), rows())
def test_every_row(
    in_place: Place, facts: dict[str, Any], is_here: bool, has_spare: bool, expected: Verdict
) -> None:
    intent = make_intent(1, **facts)
    verdict = decide(intent, in_place, HOST, is_here=is_here, has_spare=has_spare)
    assert verdict == expected


def test_by_a_person_s_word_a_record_of_another_host_is_of_an_earlier_boot() -> None:
    """Then it stands in nobody's way."""
    host = evolve(HOST, assumes_reboot=True)
    assert decide(make_intent(1), OTHER_HOST, host, is_here=True, has_spare=True) == "delete"


def test_what_was_taken_over_is_deleted_as_long_as_no_other_record_is_in_its_place() -> None:
    """Who took it over had decided that, and had no part of the first one's spare files."""
    taken: dict[str, Any] = {"spare": None, "is_named": False}
    for is_here in (True, False):
        facts = taken | {"boot": HOST.boot if is_here else "an earlier one"}
        intent = make_intent(1, **facts)
        assert decide(intent, None, HOST, is_here=is_here, has_spare=False) == "delete"
        assert decide(intent, OTHER, HOST, is_here=is_here, has_spare=False) == "superseded"


def test_how_far_it_came_does_not_decide_it() -> None:
    for in_place in (row[1] for row in TABLE):
        seen = {
            decide(make_intent(1, next=next_, result=result), in_place, HOST,
                   is_here=True, has_spare=True)
            for next_, result in itertools.product((2, 0, -1), (None, "{}"))
        }  # fmt: skip
        assert len(seen) == 1

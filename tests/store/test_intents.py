"""What a journal says: frames in, operations out, and whatever stands in a frame is input."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from acni import StoreError, parse_network
from acni.host.netns import NetnsIdentity
from acni.host.processes import ProcessIdentity
from acni.spec.names import ContainerId, IfName
from acni.store.frames import Frame
from acni.store.intents import (
    Intent,
    Ledger,
    advanced,
    end_facts,
    is_open,
    named_facts,
    open_facts,
    record_of,
    replay,
    since_facts,
    step_facts,
)
from acni.store.record import Provenance, Record, write_record

NETWORK = parse_network(
    b'{"cniVersion":"1.0.0","name":"net",'
    b'"plugins":[{"type":"first"},{"type":"second"},{"type":"third"}]}'
)
RESULT = '{"cniVersion":"1.0.0","ips":[{"address":"192.0.2.7/24"}],"big":123456789012345678901}'
OPERATION = "0123456789abcdef" * 2


def record(operation: str = OPERATION, result: str | None = None) -> Record:
    return Record(
        container_id=ContainerId("c1"),
        ifname=IfName("eth0"),
        network=NETWORK,
        netns="",
        cni_args={},
        capability_texts={},
        result=result,
        provenance=Provenance(
            operation=operation,
            boot="now",
            netns=None,
            host_netns=NetnsIdentity("id", "1"),
            plugin_dirs=("/plugins",),
            plugins=(),
            sequence=1,
            added_at="2026-01-01T00:00:00+00:00",
        ),
    )


def intent(**facts: Any) -> Intent:
    given: dict[str, Any] = {
        "operation": OPERATION,
        "verb": "add",
        "container_id": "c1",
        "record": write_record(record()).decode(),
        "next": 2,
        "spare": "00000000",
        "until": 100.5,
        "boot": "now",
    }
    return Intent(**{**given, **facts})


def ledger(*facts: Mapping[str, object], first: int = 1) -> Ledger:
    return replay(Frame(number, one) for number, one in enumerate(facts, first))


intents = st.builds(
    intent,
    verb=st.sampled_from(["add", "delete"]),
    next=st.integers(-1, 2),
    result=st.none() | st.just(RESULT),
    spare=st.none() | st.just("00000007"),
    is_named=st.booleans(),
    until=st.floats(0, 1e9),
    boot=st.sampled_from(["now", "then"]),
    outcome=st.sampled_from([None, "attached", "gone", "owed"]),
)


@given(intents)
def test_what_is_begun_is_read_as_it_was_through_json_too(one: Intent) -> None:
    read = ledger(json.loads(json.dumps(one.begin())))
    assert read.intents == {OPERATION: one}
    assert not read.is_corrupt


def test_steps_carry_the_last_result_and_what_is_next() -> None:
    begun = intent()
    read = ledger(
        begun.begin(),
        step_facts(OPERATION, 0, RESULT),
        named_facts(OPERATION),
        step_facts(OPERATION, 2, None),
        step_facts(OPERATION, 1, None),
    )
    assert read.intents[OPERATION] == evolve(begun, result=RESULT, is_named=True, next=0)


@pytest.mark.parametrize("outcome", ["attached", "gone", "owed"])
def test_an_end_says_how(outcome: Any) -> None:
    (one,) = ledger(intent().begin(), end_facts(OPERATION, outcome)).intents.values()
    assert one.outcome == outcome


def test_a_delete_takes_over_the_entry_of_its_add() -> None:
    read = ledger(
        intent().begin(),
        end_facts(OPERATION, "attached"),
        intent(verb="delete", spare=None).begin(),
    )
    assert read.intents == {OPERATION: intent(verb="delete", spare=None)}


def test_who_wrote_last_is_who_opened_it_last() -> None:
    first, second = (ProcessIdentity(pid=n, started=n, pid_namespace="p") for n in (1, 2))
    read = ledger(open_facts(first, "then"), open_facts(second, "now"))
    assert (read.opener, read.boot) == (second, "now")


def test_what_stands_before_since_is_void_and_what_repeats_it_counts() -> None:
    other = "f" * 32
    repeated = intent(result=RESULT, next=1)
    read = ledger(
        intent().begin(),
        intent(operation=other).begin(),
        end_facts(other, "gone"),
        repeated.begin(),  # 4
        since_facts(4),
    )
    assert read.intents == {OPERATION: repeated}
    assert read.since == 4


@given(st.permutations(range(6)))
def test_frames_count_in_the_order_of_their_numbers_wherever_they_stand(order: list[int]) -> None:
    facts = [
        intent().begin(),
        step_facts(OPERATION, 0, "1"),
        step_facts(OPERATION, 1, RESULT),
        named_facts(OPERATION),
        end_facts(OPERATION, "attached"),
        intent(verb="delete").begin(),
    ]
    read = replay(Frame(place + 1, facts[place]) for place in order)
    assert read.intents == {OPERATION: intent(verb="delete")}


def test_a_step_of_what_began_in_a_frame_that_is_gone_is_no_damage() -> None:
    read = ledger(
        step_facts(OPERATION, 0, RESULT), named_facts(OPERATION), end_facts(OPERATION, "gone")
    )
    assert read.intents == {}
    assert not read.is_corrupt


MEANINGLESS: list[tuple[str, dict[str, Any]]] = [
    ("no kind", {}),
    ("an unknown kind", {"kind": "remember"}),
    ("a kind that is no text", {"kind": []}),
    ("nothing begun", {"kind": "begin"}),
    ("an operation that is no text", {**intent().begin(), "operation": []}),
    ("another verb", {**intent().begin(), "verb": "gc"}),
    ("a verb that is no text", {**intent().begin(), "verb": {}}),
    ("a place that is true", {**intent().begin(), "next": True}),
    ("a place in halves", {**intent().begin(), "next": 1.0}),
    ("a time that is no number", {**intent().begin(), "until": "soon"}),
    ("a time beyond all numbers", {**intent().begin(), "until": 10**400}),
    ("a time that is none", {**intent().begin(), "until": math.nan}),
    ("a time without end", {**intent().begin(), "until": math.inf}),
    ("a spare that is no text", {**intent().begin(), "spare": 7}),
    ("a spare elsewhere", {**intent().begin(), "spare": "../../../elsewhere"}),
    ("another outcome", {**intent().begin(), "outcome": "lost"}),
    ("a step of a list", {"kind": "step", "operation": [], "index": 0, "result": None}),
    ("a step without a place", {"kind": "step", "operation": OPERATION, "result": None}),
    ("half a character of a result", {**step_facts(OPERATION, 0, "\ud800")}),
    ("an end without an outcome", {"kind": "end", "operation": OPERATION}),
    ("an opener without a number", {"kind": "open", "boot": "now"}),
    ("an opener of text", {**open_facts(ProcessIdentity(pid=1, started=1, pid_namespace=""), ""),
                           "pid": "1"}),
]  # fmt: skip


@pytest.mark.parametrize("facts", [pytest.param(facts, id=name) for name, facts in MEANINGLESS])
def test_a_good_frame_that_means_nothing_is_damage_and_hides_nothing(facts: dict[str, Any]) -> None:
    read = ledger(intent().begin(), facts, step_facts(OPERATION, 0, RESULT))
    assert read.intents == {OPERATION: intent(result=RESULT)}
    assert read.is_corrupt


@pytest.mark.parametrize("result", ["\ud800", 7, []])
def test_what_was_begun_with_a_result_that_is_none_is_undone_without_one(result: object) -> None:
    """It could not be written into a debt."""
    read = ledger({**intent().begin(), "result": result})
    assert read.intents == {OPERATION: intent()}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
KEYS = sorted({*intent().begin(), "kind", "index", "number", "pid", "started", "pid_namespace"})
hostile = st.builds(
    lambda kind, rest: {"kind": kind, **rest},
    st.sampled_from(["open", "begin", "step", "named", "end", "since"]),
    st.fixed_dictionaries({}, optional=dict.fromkeys(KEYS, json_values)),
)


@given(st.lists(hostile | st.builds(lambda h: {**intent().begin(), **h}, hostile), max_size=5))
def test_whatever_stands_in_a_frame_reading_succeeds(facts: list[dict[str, Any]]) -> None:
    ledger(*facts)


def test_an_operation_is_about_its_plugins_up_to_the_next_one_with_the_last_result() -> None:
    seen = record_of(intent(next=1, result=RESULT))
    assert [plugin.type for plugin in seen.network.plugins] == ["first", "second"]
    assert seen.result == RESULT
    assert record_of(intent(next=-1)).network.plugins == ()


def test_without_a_result_of_its_own_that_of_its_record_counts() -> None:
    deleted = intent(verb="delete", record=write_record(record(result=RESULT)).decode())
    assert record_of(deleted).result == RESULT


@pytest.mark.parametrize("text", ["", "{}", "rubbish", "\ud800", "[" * 5000])
def test_a_record_that_cannot_be_read_is_a_typed_error(text: str) -> None:
    with pytest.raises(StoreError):
        record_of(intent(record=text))


@pytest.mark.parametrize(
    ("outcome", "boot"), list(itertools.product([None, "attached", "gone", "owed"], ["b1", "b2"]))
)
def test_open_is_what_has_not_ended_and_an_add_that_ended_in_an_earlier_boot(
    outcome: Any, boot: str
) -> None:
    expected = outcome is None or (outcome == "attached" and boot == "b1")
    assert is_open(intent(outcome=outcome, boot=boot), "b2") == expected


@pytest.mark.parametrize(
    ("index", "result", "changed"),
    [(0, RESULT, {"result": RESULT}), (2, None, {"next": 1}), (0, None, {"next": -1})],
)
def test_a_step_is_a_result_or_a_plugin_less(
    index: int, result: str | None, changed: dict[str, Any]
) -> None:
    assert advanced(intent(), index, result) == evolve(intent(), **changed)

"""The judge of traces finds what is against the format."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from tests.observe.drawing import Malformed, judge

Raw = dict[str, Any]

PROCESS: Final[Raw] = {"ph": "M", "name": "process_name", "pid": 7, "args": {"name": "p"}}
LANE: Final[Raw] = {"ph": "M", "name": "thread_name", "pid": 7, "tid": 1, "args": {"name": "l"}}


def event(phase: str, ts: int, name: str = "n", **members: Any) -> Raw:
    return {"ph": phase, "name": name, "cat": "c", "pid": 7, "tid": 1, "ts": ts, **members}


def trace(*events: Raw) -> str:
    document = {"displayTimeUnit": "ms", "otherData": {}, "traceEvents": [PROCESS, LANE, *events]}
    return json.dumps(document)


def test_what_a_valid_trace_draws() -> None:
    text = trace(
        event("B", 1, "outer"),
        event("X", 1, "first", dur=3),
        event("X", 4, "second", dur=2),
        event("i", 5, "instant", s="t"),
        event("X", 6, "third", dur=4),
        event("E", 10, "outer", args={"error": "E"}),
    )
    (outer,) = judge(text).lanes["l"]
    assert (outer.begun, outer.ended, outer.args) == (1, 10, {"error": "E"})
    assert outer.names() == ["first", "second", "third"]
    assert outer.inside[1].names() == ["instant"]


MALFORMED = {
    "a begun one that does not end": [event("B", 1)],
    "an end of nothing": [event("E", 1)],
    "an end of another": [event("B", 1), event("E", 2, "other")],
    "times that go back": [event("B", 2), event("E", 1)],
    "a complete one longer than its outer": [
        event("B", 1),
        event("X", 2, dur=5),
        event("E", 4),
    ],
    "complete ones that overlap": [event("X", 1, dur=5), event("X", 3, dur=5)],
    "one begun in a complete one": [event("X", 1, dur=5), event("B", 3), event("E", 4)],
    "no duration": [event("X", 1)],
    "a duration below nothing": [event("X", 1, dur=-1)],
    "a time that is text": [event("X", 1, dur=1, args={}) | {"ts": "1"}],
    "no scope": [event("i", 1)],
    "an unknown phase": [event("Q", 1)],
    "a thread of 33 bits": [event("i", 1, s="t") | {"tid": 1 << 32}],
    "a lane without a name": [event("i", 1, s="t") | {"tid": 2}],
    "a process without a name": [event("i", 1, s="t") | {"pid": 8}],
    "a lane named twice": [LANE],
    "no name": [event("i", 1, "", s="t")],
    "args that are a list": [event("i", 1, s="t", args=[1])],
    "args in args": [event("i", 1, s="t", args={"a": {}})],
}


@pytest.mark.parametrize("events", MALFORMED.values(), ids=list(MALFORMED))
def test_what_is_against_the_format_is_found(events: list[Raw]) -> None:
    with pytest.raises(Malformed):
        judge(trace(*events))


def test_what_began_may_be_open_where_a_process_died() -> None:
    (open_one,) = judge(trace(event("B", 1)), died=True).lanes["l"]
    assert open_one.ended is None

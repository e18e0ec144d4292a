"""Lanes: who gets which, and slices that never overlap."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from acni.observe.lanes import Lane, Lanes


def made(most: int = 100) -> tuple[Lanes, list[str]]:
    announced: list[str] = []
    return Lanes(7, lambda lane: announced.append(lane.name), most), announced


def test_one_after_the_other_is_one_lane_and_at_once_are_two() -> None:
    lanes, announced = made()
    first = lanes.take("web")
    second = lanes.take("web")
    assert (first.name, second.name) == ("web", "web (2)")
    first.is_taken = False
    assert lanes.take("web") is first
    assert lanes.first("web") is first
    assert lanes.first("db").name == "db"
    assert announced == ["web", "web (2)", "db"]


def test_of_too_many_the_one_that_was_idle_for_longest_is_forgotten() -> None:
    lanes, announced = made(most=3)
    busy = lanes.take("a")
    for name in ("b", "c", "b", "d", "b", "c"):
        lanes.take(name).is_taken = False
    assert busy.is_taken
    assert lanes.take("a").name == "a (2)"
    assert announced == ["a", "b", "c", "d", "c", "a (2)"]


def test_an_inner_slice_that_did_not_end_ends_with_its_outer() -> None:
    lane = Lane(7, 1, "web")
    lane.begun("add", "operation", 1.0)
    lane.begun("ADD first", "plugin", 2.0)
    ended = list(lane.ended("operation", 3.0, error="E"))
    assert [(one["name"], one.get("args")) for one in ended] == [
        ("ADD first", None),
        ("add", {"error": "E"}),
    ]
    assert list(lane.ended("operation", 4.0)) == []


SECONDS = st.floats(0, 10)


@given(st.lists(st.tuples(SECONDS, SECONDS), max_size=20))
def test_what_took_longer_than_there_was_time_begins_where_the_last_one_ended(
    steps: list[tuple[float, float]],
) -> None:
    lane = Lane(7, 1, "web")
    until = 0
    for at, seconds in steps:
        drawn = lane.took("w", "wait", at, seconds)
        begun, lasted = drawn["ts"], drawn["dur"]
        assert isinstance(begun, int)
        assert isinstance(lasted, int)
        assert begun >= until
        assert lasted >= 0
        until = begun + lasted


@given(start=SECONDS, queue=SECONDS, spawn=SECONDS, read=SECONDS, length=SECONDS)
def test_phases_fill_their_run_whatever_was_measured(
    start: float, queue: float, spawn: float, read: float, length: float
) -> None:
    lane = Lane(7, 1, "web")
    lane.begun("ADD first", "plugin", start)
    phases = {"queue": queue, "spawn": spawn, "run": 0.0, "read": read}
    drawn = list(lane.divided(start + length, phases, "run"))
    until = round(start * 1_000_000)
    for one in drawn:
        assert one["ts"] == until
        assert isinstance(one["dur"], int)
        assert one["dur"] > 0
        until += one["dur"]
    assert until == round((start + length) * 1_000_000)
    names = [one["name"] for one in drawn]
    assert names == [name for name in phases if name in names]

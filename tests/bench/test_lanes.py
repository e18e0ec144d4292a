"""Every moment of an operation lies in one lane."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acni.bench.lanes import AFTER, BEFORE, BETWEEN, OTHER, PHASES, WAITING, Waterfall, waterfall_of
from acni.events import (
    Event,
    LockWaited,
    OperationFinished,
    OperationStarted,
    PluginFinished,
    PluginStarted,
)

WHOSE = {"verb": "add", "network": "net", "container_id": "c1", "ifname": "eth0"}


def run(begin: float, end: float, plugin: str, index: int, **seconds: float) -> list[Event]:
    told = {"command": "ADD", "plugin": plugin, "index": index} | WHOSE
    return [
        PluginStarted(at=begin, **told),  # type: ignore[arg-type]
        PluginFinished(at=end, seconds=end - begin, error=None, **told, **seconds),  # type: ignore[arg-type]
    ]


def operation(begin: float, end: float, *events: Event) -> list[Event]:
    started = OperationStarted(at=begin, **WHOSE)
    return [started, *events, OperationFinished(at=end, error=None, **WHOSE)]


def waited(at: float, seconds: float) -> LockWaited:
    return LockWaited(at=at, seconds=seconds, what="container", **WHOSE)


def seconds_of(waterfall: Waterfall) -> dict[str, float]:
    return {lane.name: round(lane.seconds, 9) for lane in waterfall.lanes}


def test_each_lane_has_what_happened_in_it() -> None:
    events = operation(
        101.0,
        130.0,
        waited(105.0, 3.0),
        *run(107.0, 117.0, "bridge", 0, queue_seconds=1, spawn_seconds=2, run_seconds=5,
             read_seconds=0.5),
        *run(118.0, 125.0, "portmap", 1, run_seconds=7),
    )  # fmt: skip
    waterfall = waterfall_of(events, 100.0, 132.0)
    assert seconds_of(waterfall) == {
        WAITING: 3.0,
        BEFORE: 3.0,  # one before the waiting, two after
        "bridge": 10.0,
        "portmap": 7.0,
        BETWEEN: 1.0,
        AFTER: 5.0,
        OTHER: 3.0,  # one before it began, two after it ended
    }
    bridge = waterfall.lane("bridge")
    assert [(piece.phase, piece.begin, piece.seconds) for piece in bridge.pieces] == [
        ("queue", 7.0, 1.0),
        ("spawn", 8.0, 2.0),
        ("run", 10.0, 5.0),
        ("read", 15.0, 0.5),
        ("runtime", 15.5, 1.5),
    ]
    assert waterfall.seconds == 32.0


def test_plugins_of_one_type_and_runs_again_have_lanes_of_their_own() -> None:
    first, second = run(1.0, 2.0, "tuning", 0), run(3.0, 5.0, "tuning", 1)
    again = run(6.0, 9.0, "tuning", 1)
    events = operation(0.0, 9.0, *first, *second, *again)
    names = {lane.name: lane.seconds for lane in waterfall_of(events, 0.0, 9.0).lanes}
    assert [names[name] for name in ("tuning", "tuning (2)", "tuning (3)")] == [1.0, 2.0, 3.0]


def test_an_operation_without_plugins_is_the_runtimes() -> None:
    waterfall = waterfall_of(operation(1.0, 3.0, waited(2.0, 0.5)), 0.0, 3.0)
    assert seconds_of(waterfall) == {
        **{WAITING: 0.5, BEFORE: 1.5, BETWEEN: 0.0, AFTER: 0.0},
        OTHER: 1.0,
    }


def test_times_of_two_clocks_never_take_more_than_there_is() -> None:
    events = operation(0.0, 1.0, *run(0.0, 1.0, "bridge", 0, spawn_seconds=0.4, run_seconds=0.7))
    phases = [piece.seconds for piece in waterfall_of(events, 0.0, 1.0).lane("bridge").pieces]
    assert phases == pytest.approx([0.0, 0.4, 0.6, 0.0, 0.0])


MOMENTS = st.lists(st.floats(0, 100), min_size=12, max_size=12).map(sorted)


@given(MOMENTS, st.lists(st.floats(0, 5), min_size=4, max_size=4), st.floats(0, 60))
def test_the_lanes_together_are_the_time_of_the_call(
    moments: list[float], told: list[float], wait: float
) -> None:
    begun, started, locked, *at, finished, ended = moments
    names = ("queue_seconds", "spawn_seconds", "run_seconds", "read_seconds")
    seconds = dict(zip(names, told, strict=True))
    runs = [
        event
        for index in range(3)
        for event in run(at[2 * index], at[2 * index + 1], f"p{index}", index, **seconds)
    ]
    events = operation(started, finished, waited(locked, wait), *runs)
    waterfall = waterfall_of(events, begun, ended)
    assert sum(lane.seconds for lane in waterfall.lanes) == pytest.approx(ended - begun, abs=1e-6)
    for lane in waterfall.lanes:
        for piece in lane.pieces:
            assert piece.phase in PHASES
            assert piece.seconds >= 0
            assert -1e-9 <= piece.begin <= ended - begun + 1e-9

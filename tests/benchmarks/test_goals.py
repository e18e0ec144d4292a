"""A goal is judged by the worse of ours, and by what was measured."""

from __future__ import annotations

import pytest
from attrs import evolve

from harness.goals import Goal, judge, read_elsewhere, read_goals
from harness.orders import CROWDS, LIBCNI, PROCESS, cells
from harness.results import Key
from tests.benchmarks.conftest import Made

ASYNCIO, TRIO = (Key(peer=peer, phase="add", plugin="no-op in C", at_once=8) for peer in PROCESS)
THEIRS = evolve(ASYNCIO, peer=LIBCNI)
FASTER = Goal(
    words="faster",
    ours=PROCESS,
    figure="ops",
    phases=["add"],
    at_once=[8],
    against={"peer": LIBCNI},
    unit="x",
    least=1.15,
)


def test_the_worse_of_both_loops_counts(made: Made) -> None:
    made.add(ASYNCIO, 130, 130, 130)
    made.add(TRIO, 110, 110, 110)
    made.add(THEIRS, 100, 100, 100)
    outcome = judge(FASTER, made.results())
    assert (outcome.verdict, outcome.value) == ("MISSED", 1.1)
    assert outcome.worst is not None
    assert outcome.worst.key == TRIO
    assert judge(evolve(FASTER, least=1.1), made.results()).verdict == "reached"


def test_of_what_should_be_small_the_larger_counts(made: Made) -> None:
    for key, cost in ((ASYNCIO, 300.0), (TRIO, 500.0)):
        made.add(key, cost, cost, cost, figure="own_us")
    goal = evolve(FASTER, figure="own_us", against={}, compared="beside", least=None, most=400)
    outcome = judge(goal, made.results())
    assert (outcome.verdict, outcome.value) == ("MISSED", 500.0)
    assert judge(evolve(goal, most=500), made.results()).verdict == "reached"
    assert judge(evolve(goal, most=None), made.results()).verdict == "measured"


@pytest.mark.parametrize("missing", [ASYNCIO, TRIO, THEIRS], ids=lambda key: key.peer)
def test_what_one_of_those_compared_lacks_is_not_measured(made: Made, missing: Key) -> None:
    for key in (ASYNCIO, TRIO, THEIRS):
        made.add(key, *([100] * (2 if key == missing else 3)))
    assert judge(FASTER, made.results()).verdict == "not measured"


def test_the_median_of_cells_that_are_there_counts(made: Made) -> None:
    goal = evolve(FASTER, at_once=[1, 8, 64, 256], of_cells="median")
    for at_once, rate in ((1, 90), (8, 120), (64, 150)):
        for key in (ASYNCIO, TRIO):
            made.add(evolve(key, at_once=at_once), rate, rate, rate)
        made.add(evolve(THEIRS, at_once=at_once), 100, 100, 100)
    outcome = judge(goal, made.results())
    assert (outcome.verdict, outcome.value, len(outcome.cells)) == ("reached", 1.2, 3)
    assert judge(evolve(goal, of_cells="worst"), made.results()).value == 0.9


def test_more_records_are_compared_with_fewer_of_the_same_peer(made: Made) -> None:
    goal = evolve(FASTER, records=[100_000], against={"records": 10}, least=None, most=1.1)
    for key in (ASYNCIO, TRIO):
        made.add(evolve(key, records=10), 100, 100, 100)
        made.add(evolve(key, records=100_000), 120, 120, 120)
    assert judge(goal, made.results()).value == 1.2


def test_a_difference_is_measured_and_the_other_told_beside(made: Made) -> None:
    for key, rate in ((ASYNCIO, 100), (TRIO, 90), (THEIRS, 40)):
        made.add(key, rate, rate, rate)
    assert judge(evolve(FASTER, compared="difference"), made.results()).value == 50
    beside = judge(evolve(FASTER, compared="beside"), made.results()).worst
    assert beside is not None
    assert (beside.figure.value, beside.beside) == (90, 40)


def test_a_full_run_has_every_cell_of_every_goal() -> None:
    measured = {
        Key(
            peer=peer,
            phase=phase,
            plugin=cell.plugin,
            at_once=cell.at_once,
            chain_length=cell.chain_length,
            records=records,
        )
        for cell in cells()
        for peer in cell.peers
        for records in (cell.records, *(CROWDS if cell.work in ("crowd", "rules") else ()))
        for phase in ("add", "delete", "help", "hold", "together", "crowd", "turns")
    }
    for goal in read_goals():
        for keys in goal.cells():
            assert set(keys) <= measured, goal.words
            assert {evolve(key, **goal.against) for key in keys} <= measured, goal.words


def test_a_quick_run_is_part_of_a_full_one() -> None:
    quick = {evolve(cell, count=0, rounds=0) for cell in cells(quick=True)}
    assert quick < {evolve(cell, count=0, rounds=0) for cell in cells()}
    assert all(cell.rounds >= 3 for cell in cells(quick=True, share=0.001))


def test_each_goal_has_its_own_words() -> None:
    goals = read_goals()
    assert len({goal.words for goal in goals}) == len(goals) >= 15
    assert {row["peer"] for row in read_elsewhere()} == {
        "ocicni",
        "cnitool",
        "a sketch of the attach",
    }

"""Whether goals are reached: ``goals.toml`` says which there are, the results what was measured.

Rule 1: of several of our peers the worse counts, and of several cells the worst or the median, as
    the goal says. The verdict is the figure's; its interval is told beside.
Rule 2: what was not measured is said to be so. A goal of which some cells are missing counts those
    that are there, and says how many.
"""

from __future__ import annotations

import itertools
import statistics
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from attrs import Factory, evolve, field, frozen

from harness.orders import NOOP
from harness.results import Key, Results
from harness.statistics import Estimate, TooFewRounds, compare, estimate

GOALS: Final = Path(__file__).parents[1] / "goals.toml"

Verdict = Literal["reached", "MISSED", "measured", "not measured"]


def _words(given: Iterable[str]) -> tuple[str, ...]:
    return tuple(given)


def _numbers(given: Iterable[int]) -> tuple[int, ...]:
    return tuple(given)


@frozen(kw_only=True)
class Goal:
    """What is to be reached.

    Attributes:
        words: What is measured, in words.
        ours: The peers of which the worse counts.
        figure: The name of the figure in a peer's line.
        phases: The phases that are cells.
        plugin: The plugin of the cells.
        at_once: The numbers of operations at once that are cells.
        chain_length: The lengths of chain that are cells.
        records: The numbers of records that are cells.
        against: What another's key has instead: who the peer is, or how many records there are.
        compared: Whether the two make a ratio or a difference, or are told beside each other.
        of_cells: Which of the cells counts.
        unit: In what it is told: "x", "%", "µs", "ms", "KiB" or nothing.
        least: What it should be at least.
        most: What it should be at most.
        note: Why it is as it is.
    """

    words: str
    ours: tuple[str, ...] = field(converter=_words)
    figure: str
    phases: tuple[str, ...] = field(converter=_words)
    plugin: str = NOOP
    at_once: tuple[int, ...] = field(converter=_numbers)
    chain_length: tuple[int, ...] = field(default=(1,), converter=_numbers)
    records: tuple[int, ...] = field(default=(0,), converter=_numbers)
    against: Mapping[str, Any] = Factory(dict[str, Any])
    compared: Literal["ratio", "difference", "beside"] = "ratio"
    of_cells: Literal["worst", "median"] = "worst"
    unit: str = ""
    least: float | None = None
    most: float | None = None
    note: str = ""

    def cells(self) -> Iterator[tuple[Key, ...]]:
        """Iterate over the cells: the key of each of our peers in it."""
        situations = itertools.product(self.phases, self.at_once, self.chain_length, self.records)
        for phase, at_once, chain_length, records in situations:
            key = Key(
                peer="",
                phase=phase,
                plugin=self.plugin,
                at_once=at_once,
                chain_length=chain_length,
                records=records,
            )
            yield tuple(evolve(key, peer=peer) for peer in self.ours)

    def holds(self, value: float) -> bool:
        """Tell whether a figure is what it should be."""
        is_enough = self.least is None or value >= self.least
        return is_enough and (self.most is None or value <= self.most)

    def badness(self, value: float) -> float:
        """Return what is larger for what is worse."""
        return value if self.least is None else -value


@frozen(kw_only=True)
class Found:
    """A figure of one cell.

    Attributes:
        key: Whose, and in which cell.
        figure: The figure, of the worse of our peers.
        beside: The other's, when the two are told beside each other.
    """

    key: Key
    figure: Estimate
    beside: float | None = None


@frozen(kw_only=True)
class Outcome:
    """What became of a goal.

    Attributes:
        goal: The goal.
        verdict: Whether it is reached.
        value: The figure, or None.
        worst: The worst cell, or None.
        cells: What was found in each cell.
    """

    goal: Goal
    verdict: Verdict
    value: float | None = None
    worst: Found | None = None
    cells: tuple[Found, ...] = ()


def read_goals() -> list[Goal]:
    """Read all goals."""
    return [Goal(**entry) for entry in tomllib.loads(GOALS.read_text())["goal"]]


def read_elsewhere() -> list[dict[str, str]]:
    """Read the figures that were measured elsewhere."""
    found: list[dict[str, str]] = tomllib.loads(GOALS.read_text())["elsewhere"]
    return found


def judge(goal: Goal, results: Results) -> Outcome:
    """Say what became of a goal."""
    cells = tuple(found for keys in goal.cells() if (found := _worse(goal, keys, results)))
    if not cells:
        return Outcome(goal=goal, verdict="not measured")
    worst = max(cells, key=lambda found: goal.badness(found.figure.value))
    values = [found.figure.value for found in cells]
    value = statistics.median(values) if goal.of_cells == "median" else worst.figure.value
    verdict: Verdict = "reached" if goal.holds(value) else "MISSED"
    if goal.least is None and goal.most is None:
        verdict = "measured"
    return Outcome(goal=goal, verdict=verdict, value=value, worst=worst, cells=cells)


def _worse(goal: Goal, keys: tuple[Key, ...], results: Results) -> Found | None:
    """Return the figure of the worse of our peers in a cell; None where one has none."""
    try:
        found = [_figure(goal, key, results) for key in keys]
    except TooFewRounds:
        return None
    return max(found, key=lambda each: goal.badness(each.figure.value))


def _figure(goal: Goal, key: Key, results: Results) -> Found:
    if goal.compared != "beside" and goal.against:
        pair = results.paired(key, evolve(key, **goal.against), goal.figure)
        return Found(key=key, figure=compare(*pair, goal.compared))
    figure = estimate(list(results.rounds(key, goal.figure).values()))
    other = results.rounds(evolve(key, **goal.against), goal.figure) if goal.against else {}
    beside = statistics.median(other.values()) if other else None
    return Found(key=key, figure=figure, beside=beside)

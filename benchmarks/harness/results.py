"""What was measured: a heading, and a line for each phase of each peer in each round.

It is kept as JSON lines. The times of single operations are not kept, only their percentiles.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import Factory, field, frozen

from harness.statistics import percentile

# Of which the picture of a latency distribution is made.
PERCENTILES: Final = (1, 10, 25, 50, 75, 90, 95, 99, 100)

Line = Mapping[str, Any]


@frozen(kw_only=True)
class Key:
    """Of what a figure is.

    Attributes:
        peer: Who did it.
        phase: What was done: add, delete, hold, together, help.
        plugin: What each plugin was.
        at_once: How many operations were under way.
        chain_length: How many plugins the chain had.
        records: How many other records there were.
    """

    peer: str
    phase: str
    plugin: str
    at_once: int
    chain_length: int = 1
    records: int = 0


@frozen(kw_only=True)
class Results:
    """What one run of the comparison found.

    Attributes:
        heading: Of the run: its date, the machine, whether it was a quick one, who was missing.
        lines: What the peers printed, each with the cell and the round.
    """

    heading: Mapping[str, Any]
    lines: tuple[Line, ...]
    _by_key: Mapping[Key, Mapping[int, Line]] = field(
        init=False, repr=False, default=Factory(lambda self: _by_key(self.lines), takes_self=True)
    )

    def every_key(self) -> Iterable[Key]:
        """Iterate over what there are figures of, in the order in which they were taken."""
        return self._by_key.keys()

    def rounds(self, key: Key, figure: str) -> dict[int, float]:
        """Map each round to a figure of it; rounds that lack it are left out."""
        lines = self._by_key.get(key, {})
        return {number: line[figure] for number, line in lines.items() if figure in line}

    def paired(self, ours: Key, theirs: Key, figure: str) -> tuple[list[float], list[float]]:
        """Return the figures of the rounds that both have."""
        mine, others = self.rounds(ours, figure), self.rounds(theirs, figure)
        both = sorted(mine.keys() & others.keys())
        return [mine[number] for number in both], [others[number] for number in both]

    def last(self, key: Key, figure: str) -> Any:
        """Return what the last round says of something that is no number; None without any."""
        lines = self._by_key.get(key, {})
        return lines[max(lines)].get(figure) if lines else None


def _by_key(lines: Iterable[Line]) -> dict[Key, dict[int, Line]]:
    found: dict[Key, dict[int, Line]] = {}
    for line in lines:
        key = Key(**{name: line[name] for name in Key.__annotations__})
        found.setdefault(key, {})[line["round"]] = line
    return found


def kept(line: Line) -> dict[str, Any]:
    """Return what is kept of a peer's line: four digits, and of the single times of ADDs the
    percentiles.
    """
    times = line.get("took_us")
    short = {name: _rounded(value) for name, value in line.items() if name != "took_us"}
    if times and line["phase"] == "add":
        short["percentiles_us"] = [
            _rounded(percentile(sorted(times), percent)) for percent in PERCENTILES
        ]
    return short


def _rounded(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def read_results(path: Path) -> Results:
    """Read what was written."""
    heading, *lines = map(json.loads, path.read_text().splitlines())
    return Results(heading=heading, lines=tuple(lines))


def renewed(kept: Results, anew: Results, groups: Sequence[str]) -> Results:
    """Return results of which some groups of cells were measured anew; what else there is stays.

    Args:
        kept: What there is.
        anew: What was measured of those groups.
        groups: Their names.
    """
    replaced = frozenset((line["plugin"], line["peer"], line["phase"]) for line in anew.lines)
    lines = [
        line for line in kept.lines if (line["plugin"], line["peer"], line["phase"]) not in replaced
    ]
    others = [
        run for run in kept.heading.get("renewed", ()) if not set(run["groups"]) <= set(groups)
    ]
    run = {**anew.heading, "groups": list(groups), "rounds": rounds_of(anew.lines)}
    heading = {"rounds": rounds_of(kept.lines), **kept.heading, "renewed": [*others, run]}
    return Results(heading=heading, lines=(*lines, *anew.lines))


def rounds_of(lines: Iterable[Line]) -> int:
    """Return the most rounds that there were of anything."""
    return max((line["round"] + 1 for line in lines), default=0)


def write_results(results: Results, path: Path) -> None:
    """Write the heading and the lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    documents = (results.heading, *results.lines)
    path.write_text("".join(json.dumps(each) + "\n" for each in documents))

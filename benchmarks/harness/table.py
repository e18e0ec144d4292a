"""The results as Markdown: the goals with their verdicts, who is faster at what, what was measured
elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import evolve

from harness.goals import Goal, Outcome, judge, read_elsewhere, read_goals
from harness.orders import (
    ALONE,
    BUILT_IN,
    CHAIN,
    EITHER,
    FLOOR,
    FSYNC,
    GO_CNI,
    LIBCNI,
    POWER,
    PROCESS,
    RULES,
    UVLOOP,
)
from harness.results import Key, Results, rounds_of
from harness.statistics import Estimate, TooFewRounds, compare, estimate

# By what a figure is multiplied to be told in a unit that is not its own.
_SCALES: Final = {("ms", "p50_us"): 1e-3, ("%", "ops"): 100.0}
# From here on no digits are told after the point.
_WHOLE: Final = 10
_PEERS: Final = (LIBCNI, FSYNC, GO_CNI, *PROCESS, *POWER, *UVLOOP)
_GRID_PHASES: Final = ("add", "delete")
_NOTHING: Final = "-"


def goals_table(results: Results) -> str:
    """Make the table of goals: what was asked, what was found, the verdict."""
    rows = [_goal_row(judge(goal, results)) for goal in read_goals()]
    return markdown(("goal", "asked", "found", "verdict"), rows)


def _goal_row(outcome: Outcome) -> tuple[str, ...]:
    words = outcome.goal.words + (f" ({outcome.goal.note})" if outcome.goal.note else "")
    return words, asked(outcome.goal), found(outcome), outcome.verdict


def asked(goal: Goal) -> str:
    """Say what a goal asks for."""
    if goal.least is not None:
        return f"{told(goal, goal.least)} or more"
    if goal.most is not None:
        return f"{told(goal, goal.most)} or less"
    return "to be measured"


def found(outcome: Outcome) -> str:
    """Say what was found, how sure that is, and in which cell."""
    goal, worst = outcome.goal, outcome.worst
    if outcome.value is None or worst is None:
        return _NOTHING
    cells = len(outcome.cells)
    asked_cells = len(list(goal.cells()))
    of = f"{cells} cells" if cells == asked_cells else f"{cells} of {asked_cells} cells"
    if goal.of_cells == "median":
        values = sorted(cell.figure.value for cell in outcome.cells)
        ends = f"{number(goal, values[0])} to {number(goal, values[-1])}"
        return f"{told(goal, outcome.value)} ({ends} in {of})"
    figure = worst.figure
    text = f"{told(goal, outcome.value)} ({interval(goal, figure)}"
    if worst.beside is not None:
        text += f"; {goal.against['peer']} {told(goal, worst.beside)}"
    where = [worst.key.peer] if len(goal.ours) > 1 else []
    where += [f"worst of {of}: {_situation(worst.key)}"] if asked_cells > 1 else []
    return "; ".join([text, *where]) + ")"


def interval(goal: Goal, figure: Estimate) -> str:
    """Say where a figure lies in 95 of 100 cases."""
    return f"{number(goal, figure.low)} to {number(goal, figure.high)}"


def told(goal: Goal, value: float) -> str:
    """Tell a figure in the unit of its goal."""
    return f"{number(goal, value)} {goal.unit}".strip()


def number(goal: Goal, value: float) -> str:
    """Write a figure of a goal, in its unit, with the digits that mean something."""
    scaled = value * _SCALES.get((goal.unit, goal.figure), 1.0)
    if goal.unit == "x":
        return f"{scaled:.2f}"
    return f"{scaled:.0f}" if abs(scaled) >= _WHOLE or not scaled % 1 else f"{scaled:.1f}"


def _situation(key: Key) -> str:
    verb = {"add": "ADD", "delete": "DEL"}.get(key.phase, key.phase)
    chain = f", chain of {key.chain_length}" if key.chain_length > 1 else ""
    return f"{verb}, {key.at_once} at once{chain}"


def peers_table(results: Results, phase: str) -> str:
    """Make the table of operations a second: libcni's, and everyone's ratio to it, cell by cell."""
    cells = [key for key in results.every_key() if key.peer == LIBCNI and key.phase == phase]
    peers = [peer for peer in _PEERS[1:] if any(_has(results, cell, peer) for cell in cells)]
    rows = [
        (
            f"{cell.plugin}, {_situation(cell)}",
            _figure(results, cell, "ops"),
            *(_against(results, cell, peer) for peer in peers),
        )
        for cell in cells
    ]
    return markdown(("plugin and cell", "libcni, a second", *peers), rows)


def costs_table(results: Results) -> str:
    """Make the table of what an ADD costs a peer's own process, and how long it takes."""
    cells = [
        key
        for key in results.every_key()
        if key.phase == "add"
        and key.peer in (*_PEERS, FLOOR)
        and not key.records
        and key.plugin not in (EITHER, CHAIN)
    ]
    figures = ("own_us", "children_us", "p50_us", "p99_us", "max_us", "peak_kib", "threads")
    rows = [
        (
            f"{cell.plugin}, {_situation(cell)}",
            cell.peer,
            *(_figure(results, cell, figure) for figure in figures),
        )
        for cell in cells
    ]
    heading = (
        *("plugin and cell", "peer", "own CPU, µs", "plugins' CPU, µs"),
        *("median, µs", "99th percentile, µs", "longest, µs", "memory, KiB", "threads"),
    )
    return markdown(heading, rows)


def builtin_table(results: Results, plugin: str) -> str:
    """Make the table of built-in plugins beside Debian's, and beside more pods.

    Args:
        results: What was measured.
        plugin: What the plugins are.
    """
    peers = (POWER[0], *BUILT_IN, ALONE, RULES)
    keys = [
        key
        for key in results.every_key()
        if key.plugin == plugin and key.phase in _GRID_PHASES and key.peer in peers
    ]
    rows = [
        (
            _situation(key) + (f", beside {key.records:,} pods" if key.records else ""),
            _NAMES.get(key.peer, key.peer),
            _milliseconds(results, key),
            _faster(results, key),
            *(_figure(results, key, figure) for figure in ("own_us", "user_us", "children_us")),
            _figure(results, key, "load"),
        )
        for key in keys
    ]
    heading = (
        *("cell", "peer", "ms a pod", "times as fast", "own CPU, µs", "of it not the kernel's, µs"),
        *("plugins' CPU, µs", "load of the machine"),
    )
    return markdown(heading, rows)


_NAMES: Final = {POWER[0]: "Debian's plugins, through acni"}


def _milliseconds(results: Results, key: Key) -> str:
    try:
        return f"{1e3 / estimate(list(results.rounds(key, 'ops').values())).value:.2f}"
    except TooFewRounds:
        return _NOTHING


def _faster(results: Results, key: Key) -> str:
    if key.peer not in BUILT_IN or key.records:
        return _NOTHING
    return _against(results, evolve(key, peer=POWER[0]), key.peer)


def losses_table(results: Results) -> str:
    """Make the table of where a peer is better: with durability on both sides, and on neither."""
    rows = [*_slower(results, LIBCNI, PROCESS), *_slower(results, FSYNC, POWER)]
    for goal in read_goals():
        outcome = judge(goal, results)
        other = outcome.worst.beside if outcome.worst else None
        if other is not None and outcome.value is not None and outcome.value > other:
            better = f"{goal.against['peer']}: {told(goal, other)}"
            rows.append((goal.words, told(goal, outcome.value), better))
    return markdown(("what", "acni", "who is better"), rows) if rows else "Nowhere."


def _slower(results: Results, theirs: str, ours: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Iterate over the cells in which one of ours does less in a second."""
    for key in results.every_key():
        if key.peer == theirs and key.phase in _GRID_PHASES:
            ratios = {peer: _ratio(results, key, peer) for peer in ours}
            slower = {peer: ratio for peer, ratio in ratios.items() if ratio and ratio.value < 1}
            if slower:
                words = f"{key.plugin}, {_situation(key)}: operations a second"
                told_each = (f"{peer}: {_with_interval(each)}" for peer, each in slower.items())
                yield words, "; ".join(told_each), theirs


def elsewhere_table() -> str:
    """Make the table of figures that were not measured in this run."""
    rows = [(row["peer"], row["what"], row["figure"]) for row in read_elsewhere()]
    return markdown(("peer", "what", "measured elsewhere"), rows)


def machine_words(results: Results) -> str:
    """Say when and on what was measured, in one sentence; in one more of what was done anew."""
    anew = results.heading.get("renewed", ())
    runs = [{"rounds": rounds_of(results.lines), **results.heading}, *anew]
    return "\n".join(_run_words(run) for run in runs)


def _run_words(heading: Mapping[str, Any]) -> str:
    begin = f"{', '.join(heading['groups'])}: anew" if "groups" in heading else "Measured"
    kind = "a quick run" if heading["quick"] else "a run"
    share = heading["share"]
    part = "" if share == 1 else f" with {share:g} of the operations"
    return (
        f"{begin} on {heading['date']} by {kind}{part},"
        f" up to {heading['rounds']} rounds, {_where_words(heading)}."
    )


def _where_words(heading: Mapping[str, Any]) -> str:
    machine = heading["machine"]
    versions = ", ".join(f"{name} {machine[name]}" for name in _VERSIONS if name in machine)
    return (
        f"on {machine['processors']} x {machine['processor']}, {machine['memory']},"
        f" {machine['kernel']}, {machine['file system']}, {machine['system']}; {versions}"
    )


_VERSIONS: Final = (
    *("acni", "Python", "anyio", "trio", "uvloop"),
    *("Go", "libcni", "go-cni", "Debian's plugins"),
)


def missing_words(results: Results) -> str:
    """Say who was missing, and what failed."""
    missing = [f"{name}: {reason}" for name, reason in results.heading["missing"].items()]
    said = [*missing, *results.heading["failures"]]
    return f"Not measured: {'; '.join(said)}." if said else ""


def markdown(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Make a table of Markdown."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _has(results: Results, cell: Key, peer: str) -> bool:
    return bool(results.rounds(evolve(cell, peer=peer), "ops"))


def _ratio(results: Results, cell: Key, peer: str) -> Estimate | None:
    try:
        return compare(*results.paired(evolve(cell, peer=peer), cell, "ops"), "ratio")
    except TooFewRounds:
        return None


def _against(results: Results, cell: Key, peer: str) -> str:
    ratio = _ratio(results, cell, peer)
    return _NOTHING if ratio is None else _with_interval(ratio)


def _with_interval(ratio: Estimate) -> str:
    return f"{ratio.value:.2f} x ({ratio.low:.2f} to {ratio.high:.2f})"


def _figure(results: Results, cell: Key, figure: str) -> str:
    try:
        return f"{estimate(list(results.rounds(cell, figure).values())).value:.0f}"
    except TooFewRounds:
        return _NOTHING

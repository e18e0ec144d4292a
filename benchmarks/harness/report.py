"""The results as one HTML file that needs no network: goals, bars against peers, distributions, the
waterfall of one ADD, and how it scales.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any, Final

from attrs import evolve

from acni.bench import page
from acni.bench.page import Bar, Markup
from harness.goals import judge, read_elsewhere, read_goals
from harness.orders import (
    BRIDGE,
    BUILT_IN,
    CHAIN,
    EITHER,
    FLOOR,
    FSYNC,
    GO_CNI,
    GO_NOOP,
    LIBCNI,
    NOOP,
    POWER,
    PROCESS,
    SH_NOOP,
    UVLOOP,
)
from harness.results import PERCENTILES, Key, Results
from harness.statistics import TooFewRounds, compare, estimate
from harness.table import asked, found, machine_words, missing_words

_PEERS: Final = (FLOOR, LIBCNI, FSYNC, GO_CNI, *PROCESS, *POWER, *UVLOOP)
# Not more than there are colours.
_DRAWN: Final = (LIBCNI, FSYNC, GO_CNI, *PROCESS, *POWER)
# As they are called where the two kinds of plugins are compared.
_KINDS: Final = dict(
    zip((POWER[0], *BUILT_IN), ("Debian's", "built in, asyncio", "built in, trio"), strict=True)
)
_AT_ONCE: Final = (1, 8, 64)
_CHAINS: Final = (1, 3)
_COLD: Final = (
    ("python -c pass", "help"),
    ("acni command", "help"),
    ("cold libcni", "add"),
    ("acni command", "add"),
)


def report(results: Results) -> str:
    """Make the report."""
    sections = (
        ("Goals", [page.paragraph(machine_words(results)), *_missing(results), _goals(results)]),
        ("Operations a second", list(_all_bars(results))),
        ("Built-in plugins beside Debian's", list(_built_in(results))),
        ("How long an ADD takes", list(_distributions(results))),
        ("The way of one ADD", list(_waterfalls(results))),
        ("More at once, longer chains", list(_scaling(results))),
        ("Cold processes", list(_cold(results))),
        ("Measured elsewhere", [_elsewhere()]),
    )
    return page.page(
        "acni beside its peers", [(heading, parts) for heading, parts in sections if parts]
    )


def _missing(results: Results) -> Iterator[Markup]:
    if words := missing_words(results):
        yield page.paragraph(words)


def _goals(results: Results) -> Markup:
    outcomes = [judge(goal, results) for goal in read_goals()]
    rows = [
        (_plain(each.goal.words), asked(each.goal), found(each), each.verdict) for each in outcomes
    ]
    return page.table(("goal", "asked", "found", "verdict"), rows)


def _all_bars(results: Results) -> Iterator[Markup]:
    for plugin in (NOOP, GO_NOOP, SH_NOOP, BRIDGE):
        for phase, verb in (("add", "ADDs"), ("delete", "DELs")):
            for at_once in _AT_ONCE:
                key = Key(peer="", phase=phase, plugin=plugin, at_once=at_once)
                # One bar compares nothing.
                if len(rows := list(_bars(results, key))) > 1:
                    title = f"{verb}, {plugin}, {at_once} at once"
                    yield page.bars(title, rows, unit=f"{verb} a second")


def _built_in(results: Results) -> Iterator[Markup]:
    for plugin, length in ((EITHER, 1), (CHAIN, 3)):
        for phase, verb in (("add", "ADDs"), ("delete", "DELs")):
            for at_once in _AT_ONCE:
                key = Key(peer="", phase=phase, plugin=plugin, at_once=at_once, chain_length=length)
                measured = _bars(results, key, tuple(_KINDS), POWER[0], "Debian's")
                rows = [(_KINDS[bar[0]], *bar[1:]) for bar in measured]
                if len(rows) > 1:
                    title = f"{verb}, {plugin}, {at_once} at once"
                    yield page.bars(title, rows, unit=f"{verb} a second")


def _bars(
    results: Results,
    key: Key,
    peers: tuple[str, ...] = _PEERS,
    other: str = LIBCNI,
    called: str = "libcni",
) -> Iterator[Bar]:
    """Make a bar for each peer, with its interval, and its ratio to another one beside it."""
    for peer in peers:
        mine = evolve(key, peer=peer)
        try:
            figure = estimate(list(results.rounds(mine, "ops").values()))
        except TooFewRounds:
            continue
        note = ""
        if peer != other and results.rounds(evolve(key, peer=other), "ops"):
            pair = results.paired(mine, evolve(key, peer=other), "ops")
            note = f"{compare(*pair, 'ratio').value:.2f} x {called}"
        yield peer, figure.value, figure.low, figure.high, note


def _distributions(results: Results) -> Iterator[Markup]:
    for at_once in _AT_ONCE:
        series = []
        for peer in _DRAWN:
            key = Key(peer=peer, phase="add", plugin=NOOP, at_once=at_once)
            if times := results.last(key, "percentiles_us"):
                series.append((peer, [time / 1e3 for time in times]))
        if series:
            yield page.lines(
                f"An ADD, {NOOP}, {at_once} at once, in the last round",
                [str(percent) for percent in PERCENTILES],
                series,
                unit="ms",
                x_title="so many of 100 took no longer",
            )


def _waterfalls(results: Results) -> Iterator[Markup]:
    for peer in PROCESS:
        key = Key(peer=peer, phase="waterfall", plugin=BRIDGE, at_once=1)
        lanes: list[Any] | None = results.last(key, "lanes")
        if lanes:
            pieces = [(name, [tuple(piece) for piece in those]) for name, those in lanes]
            yield page.waterfall(f"One ADD, {BRIDGE}, {peer}", pieces, unit="ms")


def _scaling(results: Results) -> Iterator[Markup]:
    yield from _lines(
        results,
        "ADDs a second by how many are at once, chain of one",
        {f"{n} at once": Key(peer="", phase="add", plugin=NOOP, at_once=n) for n in _AT_ONCE},
    )
    yield from _lines(
        results,
        "ADDs a second by the length of the chain, 8 at once",
        {
            f"chain of {n}": Key(peer="", phase="add", plugin=NOOP, at_once=8, chain_length=n)
            for n in _CHAINS
        },
    )


def _lines(results: Results, title: str, places: dict[str, Key]) -> Iterator[Markup]:
    series = [
        (peer, [_median(results, evolve(key, peer=peer), "ops") for key in places.values()])
        for peer in _DRAWN
    ]
    # One place is no line.
    known = [(peer, values) for peer, values in series if len(list(filter(None, values))) > 1]
    if known:
        yield page.lines(title, list(places), known, unit="ADDs a second")


def _cold(results: Results) -> Iterator[Markup]:
    rows = []
    for peer, phase in _COLD:
        key = Key(peer=peer, phase=phase, plugin=NOOP, at_once=1)
        times = [time / 1e3 for time in results.rounds(key, "p50_us").values()]
        if times:
            rows.append((f"{peer}, {phase}", statistics.median(times), min(times), max(times), ""))
    if rows:
        yield page.bars("A command, begun anew each time", rows, unit="ms")


def _elsewhere() -> Markup:
    rows = [(row["peer"], _plain(row["what"]), row["figure"]) for row in read_elsewhere()]
    return page.table(("peer", "what", "figure"), rows)


def _median(results: Results, key: Key, figure: str) -> float | None:
    values = results.rounds(key, figure).values()
    return statistics.median(values) if values else None


def _plain(markdown: str) -> str:
    return markdown.replace("`", "").replace("*", "")

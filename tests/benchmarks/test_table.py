"""The tables say what was found, and the pages what the tables say."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from harness.goals import read_goals
from harness.orders import (
    ALONE,
    BUILT_IN,
    CHAIN,
    EITHER,
    FSYNC,
    GO_CNI,
    LIBCNI,
    POWER,
    PROCESS,
    RULES,
)
from harness.pages import KEPT, PAGES, filled, sections
from harness.results import Key, kept, read_results, renewed, write_results
from harness.table import (
    builtin_table,
    goals_table,
    losses_table,
    machine_words,
    missing_words,
    peers_table,
)
from tests.benchmarks.conftest import HEADING, Made

THEIRS = Key(peer=LIBCNI, phase="add", plugin="no-op in C", at_once=1)


@pytest.fixture
def measured(made: Made) -> Made:
    """One cell, in which acni is faster without durability and slower with it."""
    made.add(THEIRS, 1000, 1100, 900)
    made.add(evolve(THEIRS, peer=FSYNC), 800, 900, 700)
    for peer, rate in zip((*PROCESS, *POWER), (1200, 1300, 600, 840), strict=True):
        made.add(evolve(THEIRS, peer=peer), rate, rate, rate)
    return made


def test_every_goal_has_a_row_and_a_verdict(measured: Made) -> None:
    rows = goals_table(measured.results()).splitlines()[2:]
    assert len(rows) == len(read_goals())
    assert all(row.count(" | ") == 3 for row in rows)
    assert rows[0].endswith("| 1.20 x (1.20 to 1.20 in 1 of 12 cells) | reached |")
    assert rows[3].startswith("| ADDs a second, `power`, against libcni + fsync")
    assert "| 1.10 x or more | 0.75 x (0.67 to 0.86; acni, asyncio, power) | MISSED |" in rows[3]
    assert rows[-1].endswith("| to be measured | - | not measured |")


def test_bounds_and_figures_are_told_in_one_unit(made: Made) -> None:
    cold = Key(peer="acni command", phase="add", plugin="no-op in C", at_once=1)
    made.add(cold, 90e3, 91e3, 92e3, figure="p50_us")
    made.add(evolve(cold, peer="cold libcni"), 5.3e3, 5.4e3, 5.5e3, figure="p50_us")
    (row,) = [row for row in goals_table(made.results()).splitlines() if "`acni add`" in row]
    assert "| 100 ms or less | 91 ms (90 to 92; cold libcni 5.4 ms) | reached |" in row
    losses = losses_table(made.results()).splitlines()
    assert "`acni add`, a cold process | 91 ms | cold libcni: 5.4 ms |" in losses[2]


def test_the_peers_of_a_cell_stand_beside_libcni(measured: Made) -> None:
    heading, _, row = peers_table(measured.results(), "add").splitlines()
    assert heading.startswith("| plugin and cell | libcni, a second | libcni + fsync | acni, async")
    assert GO_CNI not in heading
    assert "| no-op in C, ADD, 1 at once | 1000 | 0.80 x (0.78 to 0.82) | 1.20 x (" in row


def test_where_a_peer_is_better_that_is_said(measured: Made) -> None:
    (row,) = losses_table(measured.results()).splitlines()[2:]
    assert "acni, asyncio, power: 0.75 x" in row
    assert "trio" not in row
    assert row.endswith("| libcni + fsync |")


def test_the_machine_is_described_and_who_was_missing(measured: Made) -> None:
    results = measured.results()
    words = machine_words(results)
    assert "2 x A <fast> one, 4 GiB, Linux 6.18, ext4, Debian GNU/Linux 13" in words
    assert words.startswith("Measured on 2026-11-26 by a run, up to 3 rounds")
    assert missing_words(results) == "Not measured: go-cni: there is no go."
    few = evolve(results, heading={**results.heading, "quick": True, "share": 0.1})
    assert "by a quick run with 0.1 of the operations" in machine_words(few)


def test_a_group_that_was_measured_anew_takes_the_place_of_its_cells(
    measured: Made, made: Made
) -> None:
    kept_results = evolve(measured.results(), lines=tuple(made.lines))
    made.lines.clear()
    made.add(evolve(THEIRS, peer=GO_CNI), 1, 2, 3, 4)
    made.add(evolve(THEIRS, peer=FSYNC), 5, 6, 7)
    heading = {**HEADING, "date": "2026-12-24"}
    anew = evolve(measured.results(), heading=heading, lines=tuple(made.lines))
    both = renewed(kept_results, anew, ("throughput",))
    assert both.rounds(THEIRS, "ops") == {0: 1000, 1: 1100, 2: 900}
    assert both.rounds(evolve(THEIRS, peer=FSYNC), "ops") == {0: 5, 1: 6, 2: 7}
    assert len(both.rounds(evolve(THEIRS, peer=GO_CNI), "ops")) == 4
    first, second = machine_words(both).splitlines()
    assert first.startswith("Measured on 2026-11-26 by a run, up to 3 rounds")
    assert second.startswith("throughput: anew on 2026-12-24 by a run, up to 4 rounds, on 2 x A")
    again = renewed(both, anew, ("throughput", "cold"))
    assert [run["groups"] for run in again.heading["renewed"]] == [["throughput", "cold"]]
    assert len(renewed(both, anew, ("cold",)).heading["renewed"]) == 2


def test_built_ins_stand_beside_debians_plugins(made: Made) -> None:
    for peer, rate in ((POWER[0], 50), (BUILT_IN[0], 250), (BUILT_IN[1], 200), (ALONE, 500)):
        made.add(Key(peer=peer, phase="add", plugin=EITHER, at_once=8), rate, rate, rate)
    crowd = Key(peer=BUILT_IN[0], phase="delete", plugin=EITHER, at_once=1, records=1000)
    made.add(crowd, 100, 100)
    _, _, *rows = builtin_table(made.results(), EITHER).splitlines()
    assert rows[0].startswith("| ADD, 8 at once | Debian's plugins, through acni | 20.00 | - |")
    assert "| 4.00 | 5.00 x (5.00 to 5.00) |" in rows[1]
    assert "| 5.00 | 4.00 x (4.00 to 4.00) |" in rows[2]
    assert "| 2.00 | - |" in rows[3]
    assert "beside 1,000 pods" in rows[4]
    assert "| - | - |" in rows[4]
    assert peers_table(made.results(), "add").count("\n") == 1


def test_the_usual_chain_has_a_table_of_its_own(made: Made) -> None:
    key = Key(peer=POWER[0], phase="delete", plugin=CHAIN, at_once=1, chain_length=3)
    made.add(key, 5, 5, 5)
    made.add(evolve(key, peer=BUILT_IN[0]), 300, 300, 300)
    made.add(evolve(key, peer=RULES, phase="add", records=1000), 10_000, 10_000)
    _, _, of_debian, ours, rules = builtin_table(made.results(), CHAIN).splitlines()
    assert "| 200.00 | - |" in of_debian
    assert "| 3.33 | 60.00 x (60.00 to 60.00) |" in ours
    assert rules.startswith("| ADD, 1 at once, chain of 3, beside 1,000 pods | a pod's rules alone")
    assert builtin_table(made.results(), EITHER).count("\n") == 1


def test_what_was_written_is_read(measured: Made, tmp_path: Path) -> None:
    write_results(measured.results(), tmp_path / "new" / "results.jsonl")
    assert read_results(tmp_path / "new" / "results.jsonl") == measured.results()


def test_single_times_are_not_kept() -> None:
    line = kept({"phase": "add", "ops": 1234.5678, "took_us": [3.0, 1.0, 2.0]})
    assert line == {
        "phase": "add",
        "ops": 1235.0,
        "percentiles_us": [1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 3.0],
    }


def test_a_page_is_filled_between_its_comments(measured: Made) -> None:
    page = "before\n<!-- benchmark goals -->\nstale\n<!-- benchmark goals end -->\nafter\n"
    new = filled(page, measured.results())
    assert new.startswith("before\n<!-- benchmark goals -->\n\n| goal |")
    assert new.endswith(" |\n\n<!-- benchmark goals end -->\nafter\n")
    assert "stale" not in new
    assert filled(new, measured.results()) == new
    with pytest.raises(ValueError, match="has no end"):
        filled(page.replace(" end", ""), measured.results())


@pytest.mark.parametrize("path", PAGES, ids=[path.name for path in PAGES])
def test_the_pages_say_what_was_measured_last(path: Path) -> None:
    page = path.read_text()
    assert "<!-- benchmark goals -->\n\n| goal |" in page
    assert filled(page, read_results(KEPT)) == page


def test_every_table_is_on_a_page() -> None:
    pages = "".join(path.read_text() for path in PAGES)
    for name in sections(read_results(KEPT)):
        assert f"<!-- benchmark {name} -->" in pages

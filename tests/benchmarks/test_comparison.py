"""A comparison from end to end, with few operations and whatever peers this machine has."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from attrs import evolve

from harness.building import DEBIAN_PLUGINS
from harness.orders import ALONE, BUILT_IN, CHAIN, EITHER, LIBCNI, POWER, PROCESS, RULES
from harness.results import Key, Line, read_results

COMPARE = Path(__file__).parents[2] / "benchmarks" / "compare.py"
GROUPS = ("throughput", "floor", "cold", "parts", "waterfall")

pytestmark = [pytest.mark.netns, pytest.mark.timeout(600)]


def compare(*arguments: str | Path) -> str:
    command = [sys.executable, str(COMPARE), "--no-install", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.deep
def test_everybody_takes_turns_and_the_report_is_written(tmp_path: Path) -> None:
    if shutil.which("cc") is None:
        pytest.skip("cannot run here: there is no C compiler")
    only = [word for group in GROUPS for word in ("--only", group)]
    printed = compare("quick", "--share", "0.01", *only, "--output", tmp_path)
    assert "| goal | asked | found | verdict |" in printed
    results = read_results(tmp_path / "run.jsonl")
    assert results.heading["failures"] == []
    ours = [*PROCESS, *POWER] + ([] if LIBCNI in results.heading["missing"] else [LIBCNI])
    for peer in ours:
        for phase in ("add", "delete"):
            key = Key(peer=peer, phase=phase, plugin="no-op in C", at_once=8)
            for figure in ("ops", "own_us", "children_us", "p50_us", "p99_us", "peak_kib"):
                rounds = results.rounds(key, figure)
                assert sorted(rounds) == [0, 1, 2], (peer, phase, figure)
                assert min(rounds.values()) > 0, (peer, phase, figure)
    assert_takes_turns([line for line in results.lines if line["phase"] == "add"])
    assert not re.search(r"/(tmp|root|home|var)/", (tmp_path / "run.jsonl").read_text())
    assert "<svg" in (tmp_path / "report.html").read_text()


@pytest.mark.deep
def test_built_ins_and_debians_plugins_take_turns(tmp_path: Path) -> None:
    if not Path(DEBIAN_PLUGINS, "bridge").exists():
        pytest.skip("cannot run here: there are no plugins of Debian")
    printed = compare("quick", "--only", "built-in", "--output", tmp_path)
    assert "| ADD, 8 at once | acni, trio, power, built-in |" in printed
    results = read_results(tmp_path / "run.jsonl")
    assert results.heading["failures"] == []
    for at_once in (1, 8):
        key = Key(peer=POWER[0], phase="delete", plugin=EITHER, at_once=at_once)
        assert min(results.rounds(key, "children_us").values()) > 0
        for peer in BUILT_IN:
            rounds = results.rounds(evolve(key, peer=peer), "children_us")
            assert rounds == dict.fromkeys(range(3), 0.0)
    alone = Key(peer=ALONE, phase="add", plugin=EITHER, at_once=1)
    assert min(results.rounds(alone, "p50_us").values()) > 0


@pytest.mark.deep
def test_the_usual_chain_is_measured_in_both_kinds_and_its_rules_alone(tmp_path: Path) -> None:
    if not Path(DEBIAN_PLUGINS, "portmap").exists():
        pytest.skip("cannot run here: there are no plugins of Debian")
    compare("quick", "--only", "ports", "--output", tmp_path)
    results = read_results(tmp_path / "run.jsonl")
    assert results.heading["failures"] == []
    chain = Key(peer=POWER[0], phase="delete", plugin=CHAIN, at_once=8, chain_length=3)
    for peer in (POWER[0], *BUILT_IN):
        assert len(results.rounds(evolve(chain, peer=peer), "ops")) == 3
    for phase in ("add", "delete"):
        alone = evolve(chain, peer=RULES, phase=phase, at_once=1, records=1000)
        assert len(results.rounds(alone, "p50_us")) == 3


def assert_takes_turns(lines: Sequence[Line]) -> None:
    """Assert that each round of a cell begins with somebody else, and has everybody once."""
    eight = [each for each in lines if each["at_once"] == 8 and each["plugin"] == "no-op in C"]
    rounds = [[each["peer"] for each in eight if each["round"] == n] for n in range(3)]
    assert len({peers[0] for peers in rounds}) == 3
    assert all(sorted(peers) == sorted(set(rounds[0])) for peers in rounds)


def test_the_report_is_made_again_of_results_that_are_there(tmp_path: Path) -> None:
    heading = {"date": "2026-11-26", "quick": True, "share": 1.0, "missing": {}, "failures": []}
    machine = dict.fromkeys(
        ("processor", "processors", "memory", "kernel", "file system", "system"), "any"
    )
    given = tmp_path / "given.jsonl"
    given.write_text(json.dumps(heading | {"machine": machine}) + "\n")
    printed = compare("--results", given, "--output", tmp_path / "out")
    assert "not measured" in printed
    assert (tmp_path / "out" / "run.jsonl").read_text() == given.read_text()
    assert "Goals" in (tmp_path / "out" / "report.html").read_text()

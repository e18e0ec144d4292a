"""The tables of the concept pages are those of the code."""

from __future__ import annotations

import re
import runpy
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from typing import Final, get_args

import pytest
from attrs import evolve

from acni import errors, netns
from acni.engine.habits import HABITS
from acni.engine.recovery import Verdict, decide
from acni.host.host import Host
from acni.netlink.netfilter import Netfilter
from acni.plugins.ruleset import table_messages
from acni.store.intents import Intent, Verb
from acni.store.record import write_record
from tests.docs.conftest import DOCS
from tests.libcni.intended import CONFIGURATIONS, RESULTS
from tests.mutation import read_rules
from tests.netlink.nft import rules_of
from tests.peers import read_rows, read_suites
from tests.plugins.administrator import RULES
from tests.plugins.reaching import WAYS
from tests.store.test_record import DEBT, PROVENANCE, RECORD

ERRORS = (DOCS / "concepts" / "errors.md").read_text()
FIREWALL = (DOCS / "how-to" / "keep-your-firewall.md").read_text()
DEBUG = (DOCS / "how-to" / "debug-a-chain.md").read_text()

_ROW = re.compile(r"^\| `(\w+)` \| `(\w+)` \| (\d+) \| (yes|no) \| (.+) \| (.*) \|$", re.MULTILINE)


def test_the_table_of_errors_has_every_class_as_it_is() -> None:
    rows = [row[:4] for row in _ROW.findall(ERRORS)]
    classes = [getattr(errors, name) for name in errors.__all__]
    expected = [
        (
            kind.__name__,
            kind.__bases__[0].__name__,
            str(kind.exit_status),
            "yes" if kind.retryable else "no",
        )
        for kind in classes
    ]
    assert sorted(rows) == sorted(expected)


def test_what_ran_nothing_is_said_by_the_class_and_by_the_table() -> None:
    for name, _, _, _, _, afterwards in _ROW.findall(ERRORS):
        if afterwards == "nothing ran":
            doc = getattr(errors, name).__doc__
            assert "Nothing ran." in " ".join(doc.split()), name


def test_every_fact_of_an_error_is_named() -> None:
    for fact in errors.Facts.__annotations__:
        assert f"`{fact}`" in ERRORS


def test_there_is_something_to_do_for_every_error() -> None:
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| .+ \|$", DEBUG, re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    abstract = {"AcniError", "PluginError"}
    assert sorted(named) == sorted(set(errors.__all__) - abstract)


def test_the_tables_of_the_peers_tests_have_every_row() -> None:
    tables = runpy.run_path(str(DOCS / "tables.py"))["peer_tests"]()
    differences = tables.pop("differences").splitlines()[2:]
    assert "\n{{ differences }}\n" in (DOCS / "concepts" / "differences.md").read_text()
    page = (DOCS / "concepts" / "peer-tests.md").read_text()
    assert all(f"\n{{{{ {name} }}}}\n" in page for name in tables)
    suites = read_suites()
    assert len(tables.pop("peer_suites").splitlines()) == len(suites) + 2
    lines = [line for table in tables.values() for line in table.splitlines()[2:]]
    assert all(line.count(" | ") == 3 for line in lines)
    assert sorted(re.sub(r"\[([^]]*)\]\(\S*\)", r"\1", line.split(" | ")[0]) for line in lines) == (
        sorted(f"| {row.cases}" for row in read_rows())
    )
    of_libcni = [line for line in tables["peer_libcni"].splitlines() if " | otherwise: " in line]
    assert [line.split(" | ")[0] for line in differences] == [
        line.split(" | ")[0] for line in of_libcni
    ]
    assert "[A1](https://github.com/containernetworking/cni/blob/3f51e88" in lines[0]
    assert "/libcni/api_test.go#L234) |" in lines[0]


def test_the_page_of_the_peers_tests_says_how_many_there_are() -> None:
    page = (DOCS / "concepts" / "peer-tests.md").read_text()
    counts = Counter(suite.peer for suite in read_suites() for _ in suite.lines)
    libcni, ocicni, go_cni = (counts[peer] for peer in ("libcni", "ocicni", "go-cni"))
    said = f"{libcni} of libcni, {ocicni} of ocicni and {go_cni} of go-cni"
    assert f"all {counts.total()} of their cases, {said}" in page


def test_the_tables_of_intended_differences_have_every_row() -> None:
    tables = runpy.run_path(str(DOCS / "tables.py"))["intended"]()
    page = (DOCS / "concepts" / "differences.md").read_text()
    assert all(f"\n{{{{ {name} }}}}\n" in page for name in tables)
    lines = "\n".join(tables.values()).splitlines()
    assert len(lines) == len(RESULTS) + len(CONFIGURATIONS) + 2 * len(tables)
    assert all(line.count(" | ") == 3 for line in lines)


def test_the_tables_of_the_firewall_have_every_row() -> None:
    tables = runpy.run_path(str(DOCS / "tables.py"))["firewall"]()
    assert all(f"\n{{{{ {name} }}}}\n" in FIREWALL for name in tables)
    rules = [line[2:-2].split(" | ") for line in tables["administrator"].splitlines()[2:]]
    assert [row[:2] for row in rules] == [[name, rule.words] for name, rule in RULES.items()]
    by_letter = {row[0]: row for row in rules}
    assert {by_letter[letter][2] for letter in "CF"} == {"holds"}
    assert by_letter["C"][3] == "iptables-nft: bypassed; iptables-legacy, nft: holds"
    assert by_letter["F"][4] == "bypassed (later: holds)"
    ways = [line[2:-2].split(" | ") for line in tables["reaching"].splitlines()[2:]]
    assert [row[0] for row in ways] == [name for name, way in WAYS.items() if way.reason]


@pytest.mark.netns
def test_what_is_said_to_be_in_the_table_of_the_firewall_is_there() -> None:
    named = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", FIREWALL, re.MULTILINE)
    said = {name for row in named for name in re.findall(r"`(\w+)`", row)}
    with netns.anonymous() as host:
        with closing(host.call(Netfilter.open)) as netfilter:
            netfilter.transact(table_messages())
        there = re.findall(r"(?:chain|set|map) (\w+) \{", rules_of(host))
    assert said - set(there) == set()
    assert {name for name in there if name.startswith("admin_")} <= said


def test_the_tables_of_rules_have_every_rule() -> None:
    tables = runpy.run_path(str(DOCS / "tables.py"))["rules"]()
    page = (DOCS / "concepts" / "rules.md").read_text()
    assert all(f"\n{{{{ {name} }}}}\n" in page for name in tables)
    lines = "\n".join(tables.values()).splitlines()
    assert [line.split(" | ")[0] for line in lines if line.startswith(("| R", "| P"))] == [
        f"| {rule.id}" for rule in sorted(read_rules(), key=lambda rule: rule.binds != "runtime")
    ]
    assert all(line.count(" | ") == 4 for line in lines)


def test_the_table_of_habits_has_every_row() -> None:
    (table,) = runpy.run_path(str(DOCS / "tables.py"))["habits"]().values()
    assert "\n{{ habits }}\n" in (DOCS / "concepts" / "habits.md").read_text()
    rows = [line[2:-2].split(" | ") for line in table.splitlines()[2:]]
    assert [row[0] for row in rows] == [f"`{habit.plugin}`" for habit in HABITS]
    assert [row[2] for row in rows] == ["yes" if one.needs_stand_in else "" for one in HABITS]
    assert [row[-1] for row in rows] == [habit.evidence for habit in HABITS]


_HERE: Final = Host(boot=PROVENANCE.boot, netns=PROVENANCE.host_netns)
_OTHER: Final = evolve(PROVENANCE, operation="1" * 32)
_IN_PLACE: Final = {
    "nothing": None,
    "its own record": RECORD,
    "its own debt": DEBT,
    "another operation's, of this boot": evolve(RECORD, provenance=_OTHER),
    "another operation's, of an earlier boot": evolve(
        RECORD, provenance=evolve(_OTHER, boot="earlier")
    ),
    "another writer's": evolve(RECORD, provenance=None),
}
_VERBS: Final[Mapping[str, Verb]] = {"an ADD": "add", "a delete": "delete"}


def test_the_table_of_recovery_says_what_is_decided() -> None:
    page = (DOCS / "concepts" / "store.md").read_text()
    rows = re.findall(
        r"^\| (an ADD|a delete) \| (here|before) \| (.+) \| (.+) \| (\w+) \|$", page, re.MULTILINE
    )
    assert {verdict for *_, verdict in rows} == set(get_args(Verdict))
    for verb, begun, in_place, spare, verdict in rows:
        intent = Intent(
            operation=PROVENANCE.operation,
            verb=_VERBS[verb],
            container_id="c1",
            record=write_record(RECORD).decode(),
            next=1,
            spare=None if spare == "none" else "00000000",
            is_named=spare in ("gone", "named and gone"),
            until=0.0,
            boot=PROVENANCE.boot,
        )
        decided = decide(
            intent,
            _IN_PLACE[in_place],
            _HERE,
            is_here=begun == "here",
            has_spare=spare == "still spare",
        )
        assert decided == verdict, (verb, begun, in_place, spare)


_TESTS_OF_GC: Final = {
    "a plugin's DEL hangs": "a_delete_that_hangs_leaves_the_plugins_their_time",
    "a plugin's GC hangs": "a_plugin_that_hangs_leaves_the_other_plugins_their_time",
    "a plugin's DEL or GC fails, or its executable is missing": (
        "one_failure_stops_nothing_else_and_all_of_them_are_told"
    ),
    "a dead runtime left an ADD open": (
        "what_a_dead_runtime_left_open_is_settled_whatever_is_kept"
    ),
    "a dead runtime left a delete open": "a_delete_that_a_dead_runtime_left_open_is_gone_on_with",
    "a GC plugin of a dead runtime still runs": (
        "a_gc_plugin_that_outlived_its_runtime_is_waited_for"
    ),
    "something is owed": ("a_debt_is_deleted_whatever_is_kept_and_valid_as_long_as_it_is_owed"),
    "another writer attached it": (
        "what_another_writer_attached_is_skipped_and_valid_unless_it_is_meant"
    ),
    "another writer attaches it after the call": (
        "what_another_writer_attaches_after_the_call_is_kept_though_it_is_meant"
    ),
    "a file is no record": "a_file_that_is_no_record_is_told_and_whatever_it_may_be_is_valid",
    "it belongs to another host namespace": "what_belongs_to_another_host_is_told_and_not_touched",
    "64 workers add and delete": "64_workers_add_and_delete_and_nothing_of_theirs_is_collected",
    "an operation lasts longer than ten seconds": (
        "an_operation_in_the_way_is_named_and_nothing_is_deleted"
    ),
    "`keep` changes while gc waits": "who_is_alive_is_asked_when_nothing_else_is_under_way",
    "`keep` raises, or gives no answer": "a_keep_that_raises_or_gives_no_answer_deletes_nothing",
    "the chain changed since": (
        "a_network_that_changed_is_deleted_from_as_it_was_and_its_old_plugins_collect_too"
    ),
    "the network has `disableGC`": "a_network_that_disables_gc_is_left_alone",
    "gc is cancelled": "a_gc_that_is_cancelled_leaves_what_it_did_not_delete_as_it_was",
}


def test_every_row_of_the_table_of_gc_has_its_test() -> None:
    page = (DOCS / "concepts" / "gc.md").read_text()
    rows = re.findall(r"^\| (.+?) \| .+ \|$", page, re.MULTILINE)[1:]
    assert rows == list(_TESTS_OF_GC)
    tests = (DOCS.parent / "tests" / "engine" / "test_gc.py").read_text()
    for name in _TESTS_OF_GC.values():
        assert f"\nasync def test_{name}(" in tests

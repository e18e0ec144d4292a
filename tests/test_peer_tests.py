"""Every case that libcni, ocicni and go-cni test has a test of ours, or a reason to have none."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from functools import cache

import pytest

from tests.mutation import Function, all_tests, read_rules
from tests.peers import Row, Suite, cases_of, read_peers, read_rows, read_suites

ROWS = {row.cases: row for row in read_rows()}
SUITES = read_suites()

_LEFT_OUT = re.compile(r"\bmark\.(skip|xfail)")


@cache
def functions_by_name() -> dict[str, Function]:
    """Find all test functions, by the names that pytest gives them."""
    return {f"{path}::{function.name}": function for path, function in all_tests()}


def test_there_are_as_many_cases_as_the_peers_have() -> None:
    peers = {peer["name"]: peer["commit"][:7] for peer in read_peers()}
    assert peers == {"libcni": "3f51e88", "ocicni": "18fd1eb", "go-cni": "3dbce1d"}
    counts = Counter(suite.peer for suite in SUITES for _ in suite.lines)
    assert counts == {"libcni": 321, "ocicni": 23, "go-cni": 7}


@pytest.mark.parametrize("suite", SUITES, ids=[suite.file for suite in SUITES])
def test_a_file_has_a_line_for_each_of_its_cases(suite: Suite) -> None:
    assert len(suite.lines) == len(list(cases_of(suite.cases)))
    assert len(set(suite.lines)) == len(suite.lines)


def test_no_case_is_missing_and_none_is_there_twice() -> None:
    parts: defaultdict[str, list[str]] = defaultdict(list)
    for row in ROWS.values():
        for case, part in cases_of(row.cases):
            parts[case].append(part)
    expected = [case for suite in SUITES for case, _ in cases_of(suite.cases)]
    assert sorted(parts) == sorted(expected)
    assert len(ROWS) == len(read_rows())
    whole = [[""], *(list("abcdefgh"[:count]) for count in range(2, 9))]
    assert {case: there for case, there in parts.items() if sorted(there) not in whole} == {}


@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
def test_a_row_has_words_and_either_tests_or_a_reason(row: Row) -> None:
    assert bool(row.tests) != bool(row.unbound)
    assert not (row.differs and row.unbound)
    assert len(set(row.tests)) == len(row.tests)
    for words in filter(None, (row.words, row.differs, row.unbound)):
        assert words == words.strip()
        assert words.endswith(".")


@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
def test_every_test_that_a_row_names_is_there_and_runs(row: Row) -> None:
    for name in row.tests:
        function = functions_by_name()[name]
        marks = " ".join(ast.unparse(each) for each in function.decorator_list)
        assert not _LEFT_OUT.search(marks), name


def test_every_rule_that_a_row_names_is_there() -> None:
    said = " ".join(row.differs + row.unbound for row in ROWS.values())
    named = set(re.findall(r"\b[RP][1-9]\d?\b", said))
    assert named - {rule.id for rule in read_rules()} == set()

"""The table of libcni's cases is whole, and the tests that it names are there."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.libcni.table import CASES, EXPECTED, TABLE, Differs, Proof, Row

TESTS = Path(__file__).parents[1]


Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def functions_of(path: str) -> dict[str, Function]:
    tree = ast.parse((TESTS / path).read_text())
    return {node.name: node for node in tree.body if isinstance(node, Function)}


def is_expected_to_fail(function: Function) -> bool:
    return any("xfail" in ast.unparse(decorator) for decorator in function.decorator_list)


def test_no_case_is_missing_and_none_is_there_twice() -> None:
    there = [case for row in TABLE for case in row.ids()]
    expected = Row(EXPECTED, "", Differs("")).ids()
    assert sorted(there) == sorted(expected)


@pytest.mark.parametrize("row", TABLE, ids=[row.cases for row in TABLE])
def test_a_row_has_words_and_a_test_or_a_reason(row: Row) -> None:
    assert all(CASES.fullmatch(part) for part in row.cases.split())
    assert row.words
    match row.ours:
        case Proof(tests):
            assert tests
        case Differs(reason):
            assert reason
    for test in row.ours.tests:
        path, _, name = test.partition("::")
        assert name.startswith("test_")
        assert not is_expected_to_fail(functions_of(path)[name])

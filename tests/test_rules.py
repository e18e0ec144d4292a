"""Every rule of the specification that acni keeps has a test, and a change that it notices."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import acni
from tests.mutation import (
    Rule,
    Sabotage,
    all_tests,
    files_of_rules,
    read_rules,
    read_sabotages,
    rules_of,
)

RULES = {rule.id: rule for rule in read_rules()}
SOURCES = Path(acni.__file__).parents[1]

_ID = re.compile(r"\bR[1-9][0-9]?\b")


def test_no_rule_is_missing_and_none_is_there_twice() -> None:
    expected = [f"R{number}" for number in range(1, 64)] + [f"P{number}" for number in range(1, 13)]
    assert [rule.id for rule in read_rules()] == expected


@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
def test_a_rule_says_what_it_binds_and_what_acni_does(rule: Rule) -> None:
    assert rule.binds in ("runtime", "plugin")
    assert rule.since in (
        "now",
        "the plugin library",
        "the caller's",
        "nothing to do",
    )
    for words in (rule.text, rule.section, rule.decision):
        assert words == words.strip() != ""
    assert rule.text.endswith(".")
    assert rule.decision.endswith(".")


def test_every_rule_that_is_due_has_a_test() -> None:
    due = {rule.id for rule in RULES.values() if rule.is_due}
    assert due - files_of_rules().keys() == set()


def test_no_test_names_a_rule_that_is_none() -> None:
    assert files_of_rules().keys() - RULES.keys() == set()


def test_a_test_that_speaks_of_a_rule_is_marked_with_it() -> None:
    """In its docstring, and in the ids of its parameters."""
    unmarked: dict[str, set[str]] = {}
    for path, function in all_tests():
        nodes = (node for each in function.decorator_list for node in ast.walk(each))
        parameters = (node for node in nodes if isinstance(node, ast.keyword) and node.arg == "id")
        said = [
            ast.get_docstring(function) or "",
            *(ast.unparse(each.value) for each in parameters),
        ]
        named = {rule for text in said for rule in _ID.findall(text)}
        if missing := named - set(rules_of(function)):
            unmarked[f"{path}::{function.name}"] = missing
    assert unmarked == {}


def test_every_rule_that_a_runtime_keeps_has_a_sabotage() -> None:
    kept = {rule.id for rule in RULES.values() if rule.is_due and rule.binds == "runtime"}
    assert {sabotage.rule for sabotage in read_sabotages()} == kept


@pytest.mark.parametrize("sabotage", read_sabotages(), ids=str)
def test_what_a_sabotage_changes_stands_there_once(sabotage: Sabotage, tmp_path: Path) -> None:
    copy = tmp_path / sabotage.file
    copy.parent.mkdir(parents=True)
    copy.write_bytes((SOURCES / sabotage.file).read_bytes())
    sabotage.apply(tmp_path)
    ast.parse(copy.read_text())

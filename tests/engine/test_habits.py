"""The table of habits is the one place in the engine where a plugin has a name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from acni.engine import habits
from acni.engine.habits import HABITS, Habit, habit_of
from acni.spec.names import parse_plugin_type

ENGINE = Path(habits.__file__).parent
MODULES = sorted(ENGINE.glob("*.py"))
OTHERS = [path for path in MODULES if path.name != "habits.py"]
NAMES = re.compile("|".join(rf"\b{re.escape(habit.plugin)}\b" for habit in HABITS))


def named_in(path: Path) -> set[str]:
    """Return the plugins that a module's code names; what it says in words counts nothing."""
    tree = ast.parse(path.read_text())
    words = {docstring for node in ast.walk(tree) if (docstring := _docstring(node)) is not None}
    said = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and node not in words)
    texts = [node.value for node in said if isinstance(node.value, str)]
    return {name for text in [*texts, *_identifiers(tree)] for name in NAMES.findall(text)}


def _docstring(node: ast.AST) -> ast.Constant | None:
    match node:
        case ast.Module(body=[ast.Expr(value=ast.Constant() as first), *_]):
            return first
        case ast.ClassDef(body=[ast.Expr(value=ast.Constant() as first), *_]):
            return first
        case ast.FunctionDef(body=[ast.Expr(value=ast.Constant() as first), *_]):
            return first
        case ast.AsyncFunctionDef(body=[ast.Expr(value=ast.Constant() as first), *_]):
            return first
        case _:
            return None


def _identifiers(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.FunctionDef(name=name):
                yield name.lower().replace("_", " ")
            case ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name.lower().replace("_", " ")
            case _:
                pass


def test_the_search_sees_the_table_itself() -> None:
    assert len(OTHERS) == len(MODULES) - 1 > 20
    assert named_in(ENGINE / "habits.py") >= {habit.plugin for habit in HABITS}


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.stem)
def test_no_other_module_of_the_engine_names_a_plugin(path: Path) -> None:
    assert named_in(path) == set()


@pytest.mark.parametrize("habit", HABITS, ids=lambda habit: habit.plugin)
def test_a_row_is_of_a_plugin_and_has_its_evidence(habit: Habit) -> None:
    assert parse_plugin_type(habit.plugin) == habit.plugin
    assert habit_of(habit.plugin) is habit
    assert habit.evidence.strip() == habit.evidence
    assert habit.evidence.endswith(".")


def test_a_plugin_without_a_row_has_no_habits() -> None:
    assert habit_of("unheard-of") == Habit(plugin="", evidence="")


def test_what_a_stand_in_would_mislead_gets_none() -> None:
    assert not any(habit_of(kind).needs_stand_in for kind in ("host-device", "sriov"))

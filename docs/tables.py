"""Markdown tables made from data: libcni's tests, and the rules of the specification."""

from __future__ import annotations

import runpy
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_TABLE = Path(__file__).parents[1] / "tests" / "libcni" / "table.py"
_RULES = Path(__file__).parent / "rules.toml"


def differences() -> dict[str, str]:
    """Make the tables: what differs on purpose, what comes later, what a test of ours proves."""
    names = runpy.run_path(str(_TABLE))
    made: dict[type, list[Any]] = {names[kind]: [] for kind in ("Differs", "Later", "Proof")}
    for row in names["TABLE"]:
        made[type(row.ours)].append(row)
    differs, later, proof = made.values()
    return {
        "differences": _table(
            ("cases", "what libcni's tests fix", "acni"),
            ((row.cases, row.words, row.ours.reason) for row in differs),
        ),
        "later": _table(
            ("cases", "what libcni's tests fix", "waits for"),
            ((row.cases, row.words, row.ours.what) for row in later),
        ),
        "proved": _table(
            ("cases", "what libcni's tests fix", "tests of acni"),
            ((row.cases, row.words, _tests(row.ours.tests)) for row in proof),
        ),
    }


def rules() -> dict[str, str]:
    """Make the tables: what binds a runtime, what binds a plugin."""
    listed = tomllib.loads(_RULES.read_text())["rule"]
    columns = ("id", "text", "section", "decision", "since")
    return {
        f"{binds}_rules": _table(
            ("number", "rule", "section", "acni", "since"),
            (
                tuple(rule[column] for column in columns)
                for rule in listed
                if rule["binds"] == binds
            ),
        )
        for binds in ("runtime", "plugin")
    }


def _tests(tests: Iterable[str]) -> str:
    files = dict.fromkeys(test.partition("::")[0] for test in tests)
    return ", ".join(f"`{file}`" for file in files)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "\\<")

"""The tables of the concept pages are those of the code."""

from __future__ import annotations

import re
import runpy

from acni import errors
from tests.docs.conftest import DOCS
from tests.libcni.intended import CONFIGURATIONS, RESULTS
from tests.libcni.table import TABLE
from tests.mutation import read_rules

ERRORS = (DOCS / "concepts" / "errors.md").read_text()
DEBUG = (DOCS / "how-to" / "debug-a-chain.md").read_text()

_ROW = re.compile(r"^\| `(\w+)` \| `(\w+)` \| (\d+) \| (yes|no) \| (.+) \| (.*) \|$", re.MULTILINE)


def test_the_table_of_errors_has_every_class_as_it_is() -> None:
    rows = [row[:4] for row in _ROW.findall(ERRORS)]
    classes = [getattr(errors, name) for name in errors.__all__]
    expected = [
        (
            kind.__name__,
            kind.__base__.__name__,
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


def test_the_tables_of_differences_have_every_row() -> None:
    tables = runpy.run_path(str(DOCS / "tables.py"))["differences"]()
    page = (DOCS / "concepts" / "differences.md").read_text()
    assert all(f"\n{{{{ {name} }}}}\n" in page for name in tables)
    lines = "\n".join(tables.values()).splitlines()
    assert len(lines) == len(TABLE) + 2 * len(tables)
    assert all(line.count(" | ") == 2 for line in lines)


def test_the_tables_of_intended_differences_have_every_row() -> None:
    tables = runpy.run_path(str(DOCS / "tables.py"))["intended"]()
    page = (DOCS / "concepts" / "differences.md").read_text()
    assert all(f"\n{{{{ {name} }}}}\n" in page for name in tables)
    lines = "\n".join(tables.values()).splitlines()
    assert len(lines) == len(RESULTS) + len(CONFIGURATIONS) + 2 * len(tables)
    assert all(line.count(" | ") == 3 for line in lines)


def test_the_tables_of_rules_have_every_rule() -> None:
    tables = runpy.run_path(str(DOCS / "tables.py"))["rules"]()
    page = (DOCS / "concepts" / "rules.md").read_text()
    assert all(f"\n{{{{ {name} }}}}\n" in page for name in tables)
    lines = "\n".join(tables.values()).splitlines()
    assert [line.split(" | ")[0] for line in lines if line.startswith(("| R", "| P"))] == [
        f"| {rule.id}" for rule in sorted(read_rules(), key=lambda rule: rule.binds != "runtime")
    ]
    assert all(line.count(" | ") == 4 for line in lines)

"""What the sweeps of tests/crash are tried against is a change of the sources as they are now: who
moves code is told at once, and not by the sweeps, which take long.
"""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest

import acni
from tests.crash.sabotages import SABOTAGES

SOURCES = Path(acni.__file__).parents[1]


@pytest.mark.parametrize("name", SABOTAGES)
def test_what_a_sabotage_changes_stands_there_once(name: str, tmp_path: Path) -> None:
    files = {change["file"] for change in SABOTAGES[name].change}
    for file in files:
        copy = tmp_path / file
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(SOURCES / file, copy)
    SABOTAGES[name].apply(tmp_path)
    for file in files:
        changed = (tmp_path / file).read_text()
        ast.parse(changed)
        assert changed != (SOURCES / file).read_text()

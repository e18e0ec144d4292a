"""The room is pure: importing it loads no loop, no socket and no process machinery."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import acni.spec

_FORBIDDEN = {
    "_socket",
    "_ssl",
    "anyio",
    "asyncio",
    "cattrs",
    "ctypes",
    "select",
    "selectors",
    "socket",
    "ssl",
    "subprocess",
    "trio",
}


def _modules_after(statement: str) -> set[str]:
    program = f"{statement}\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    printed = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=200
    ).stdout
    return set(json.loads(printed))


@pytest.mark.parametrize("module", ["acni.spec", "acni.errors", "acni.events"])
def test_importing_a_pure_module_loads_no_loop_and_no_socket(module: str) -> None:
    modules = _modules_after(f"import {module}")
    assert module in modules
    assert modules & _FORBIDDEN == set()


def test_importing_the_room_loads_only_pure_rooms_of_acni() -> None:
    ours = {name for name in _modules_after("import acni.spec") if name.startswith("acni.")}
    assert {name.split(".")[1] for name in ours} <= {"spec", "errors", "events"}


def test_every_public_name_of_the_room_is_there() -> None:
    assert [name for name in acni.spec.__all__ if not hasattr(acni.spec, name)] == []
    assert len(set(acni.spec.__all__)) == len(acni.spec.__all__)

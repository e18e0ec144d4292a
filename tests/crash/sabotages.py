"""What keeps an attachment, taken away piece by piece: changes of the sources that tests have to
find.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest
from attrs import frozen

from tests.crash.forkserver import CHECKOUT


@frozen(kw_only=True)
class Sabotage:
    """A change of the sources, and who has to find it.

    Attributes:
        name: What is taken away.
        sweep: "kill", "fail" or "cut"; "host": a kill, of built-in plugins; or "random": runtimes
            that are killed at random moments.
        change: The files, and what takes the place of what.
        case: The case of the sweep.
        at: The points that are struck, around what is taken away.
        workers: How many runtimes there are at once, at random moments.
        finds: Parts of what they complain of: they have to find one of these, or what plugins and
            the world show, and nothing else will do.
    """

    name: str
    sweep: str
    change: Sequence[Mapping[str, str]]
    case: str = ""
    at: Sequence[str] = ()
    workers: int = 1
    finds: Sequence[str] = ()

    def apply(self, sources: Path) -> None:
        """Change a copy of the sources."""
        for change in self.change:
            path = sources / change["file"]
            text = path.read_text()
            assert text.count(change["before"]) == 1, f"{path.name} has it once: {change['before']}"
            path.write_text(text.replace(change["before"], change["after"]))


def run_against(sabotage: Sabotage, tests: str, file: str, directory: Path) -> str:
    """Run tests of a file, chosen as `-k` does, against a changed copy of the sources, and return
    what they print; some must fail.
    """
    sources = changed_sources(sabotage, directory)
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"),
            *(f"--basetemp={directory / 'pytest'}", "-k", tests, file),
        ],
        env=os.environ | {"PYTHONPATH": str(sources), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert ran.returncode == pytest.ExitCode.TESTS_FAILED, ran.stdout + ran.stderr
    return ran.stdout


def _read() -> tuple[Sabotage, ...]:
    document = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())
    return tuple(Sabotage(**sabotage) for sabotage in document["sabotage"])


SABOTAGES: Final = {sabotage.name: sabotage for sabotage in _read()}


def changed_sources(sabotage: Sabotage, directory: Path) -> Path:
    """Make a changed copy of the sources.

    Args:
        sabotage: What is changed.
        directory: Where; the sources are to be found in "src" there.
    """
    sources = directory / "src"
    shutil.copytree(CHECKOUT / "src", sources)
    sabotage.apply(sources)
    return sources

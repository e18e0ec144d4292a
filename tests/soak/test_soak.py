"""A piece of the soak: ``nox -s soak`` runs the whole, on both loops."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

CHECKOUT: Final = Path(__file__).parents[2]


@pytest.mark.deep
@pytest.mark.netns
@pytest.mark.timeout(600)
def test_two_thousand_cycles_leave_nothing_and_grow_nothing() -> None:
    """Twenty seconds on a quiet machine. In a process of its own: descriptors, threads, children
    and memory are then nobody else's.
    """
    if shutil.which("cc") is None:
        pytest.skip("cannot run here: no C compiler")
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak.soak", "--cycles", "2000"],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=550,
        check=False,
    )
    print(done.stdout.decode())
    assert done.returncode == 0
    assert "1910 no trouble: done" in done.stdout.decode()

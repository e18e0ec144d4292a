"""Whatever comes, a runtime does what the model of it does: same records, same resources held, same
errors, and the plugins are asked the same.

In a process of its own, for what it preloads: its wall clock jumps.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from tests.engine.machine.counts import sum_of_kinds, what_is_rare

HERE: Final = Path(__file__).parent
CHECKOUT: Final = HERE.parents[1]

# On each loop; a quiet machine does some hundred and eighty a second.
OPERATIONS: Final = 5_000
ALL_OPERATIONS: Final = 100_000


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile what lets a wall clock jump."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("cannot run here: no C compiler")
    library = tmp_path_factory.mktemp("clock") / "clock.so"
    options = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    source = HERE / "machine" / "clock.c"
    subprocess.run([compiler, *options, "-o", str(library), str(source)], check=True, timeout=60)
    return library


@pytest.mark.deep
@pytest.mark.netns
@pytest.mark.timeout(0)  # a hundred thousand take half an hour; the process has a bound of its own
@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_a_runtime_does_what_the_model_does(
    loop: str, clock: Path, request: pytest.FixtureRequest
) -> None:
    """With ``--crash whole`` a hundred thousand operations a loop."""
    is_whole = request.config.getoption("--crash") == "whole"
    operations = ALL_OPERATIONS if is_whole else OPERATIONS
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.machine.machine", loop, str(operations)],
        cwd=CHECKOUT,
        env={**os.environ, "LD_PRELOAD": str(clock)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=600 + operations / 10,  # a failure shrinks for five minutes
        check=False,
    )
    assert done.returncode == 0, done.stdout.decode()
    counts = Counter[str](json.loads(done.stdout.splitlines()[-1]))
    seconds = time.monotonic() - began
    print(f"{sum_of_kinds(counts)} operations in {seconds:.0f} s: {dict(sorted(counts.items()))}")
    assert sum_of_kinds(counts) >= operations
    assert what_is_rare(counts, operations) == {}

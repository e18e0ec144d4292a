"""What a pod costs of built-in plugins is what it costs with few others on the host."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.crash.forkserver import CHECKOUT

pytestmark = [pytest.mark.deep, pytest.mark.netns]

FEW, MANY = 10, 500


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_a_pod_of_the_usual_chain_calls_as_many_functions_beside_five_hundred_as_beside_ten(
    loop: str,
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.costs.crowded", loop, str(FEW), str(MANY)],
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=True,
        timeout=250,
    )
    for verb, (few, many) in json.loads(done.stdout).items():
        assert many < 1.05 * few, verb

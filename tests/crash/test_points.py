"""The shim meets every call that the kernel sees."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.crash.conftest import Compiled, warm
from tests.crash.forkserver import LOOPS, serving
from tests.crash.scenarios import Ground
from tests.crash.systemcalls import calls_in_state, strace
from tests.crash.world import copy_ground, make_ground, tell

pytestmark = [pytest.mark.crash, pytest.mark.netns]


@pytest.mark.parametrize("loop", LOOPS)
def test_no_call_on_the_state_directory_is_missed(
    loop: str, compiled: Compiled, room: Path, ground: Ground, tmp_path: Path
) -> None:
    if shutil.which("strace") is None:
        pytest.skip("cannot run here: no strace")
    empty = make_ground(Path(mkdtemp(dir=room)), room / "plugin")
    for scenario in ("add_and_delete", "failed_add", "failed_delete"):
        log = tmp_path / scenario
        with serving(compiled.shim, tmp_path / "errors", prefix=strace(log)) as server:
            warm(server, ground, room)
            copy_ground(empty, ground)
            if scenario == "failed_delete":
                server.run("add", loop, ground)
            tell(
                ground,
                {"third.ADD": "fail"} if scenario == "failed_add" else {"second.DEL": "fail"},
            )
            hits = server.run(scenario, loop, ground).hits
            server.wait(1)
        seen = calls_in_state(log.read_text(), ground)
        assert len(seen) > 10
        assert seen - hits.keys() == set()

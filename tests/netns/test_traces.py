"""What Debian's plugins do, drawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from acni import PluginFailed, observe, open_runtime
from tests.netns.conftest import PLUGINS
from tests.netns.test_plugins import BRIDGE, FIREWALL, MASQUERADED, PORTMAP
from tests.observe.drawing import read

if TYPE_CHECKING:
    from tests.netns.conftest import Host, Pod

pytestmark = [pytest.mark.anyio, pytest.mark.netns]

PHASES = ["queue", "spawn", "run", "read"]


async def test_pods_that_come_and_go_at_once(
    host: Host, make_pod: Callable[[str], Pod], tmp_path: Path
) -> None:
    network = host.network(MASQUERADED, PORTMAP, FIREWALL)
    pods = [make_pod(f"pod{number}") for number in range(6)]
    path = tmp_path / "trace.json"
    with observe.trace(path) as tracer:
        async with open_runtime(
            state_dir=host.state_dir, plugin_dirs=[PLUGINS], observers=[tracer]
        ) as runtime:
            async with anyio.create_task_group() as tasks:
                for pod in pods:
                    tasks.start_soon(runtime.add, network, pod.attachment())
            async with anyio.create_task_group() as tasks:
                for pod in pods:
                    tasks.start_soon(runtime.delete, pod.attachment().id)
    drawing = read(path)
    assert sorted(drawing.lanes) == [pod.name for pod in pods]
    for added, deleted in drawing.lanes.values():
        runs = [one for one in added.inside if one.category == "plugin"]
        assert [run.name for run in runs] == ["ADD bridge", "ADD portmap", "ADD firewall"]
        assert deleted.names() == ["DEL firewall", "DEL portmap", "DEL bridge"]
        for run in (*runs, *deleted.inside):
            phases = [one.name for one in run.inside if one.category == "phase"]
            assert phases == [name for name in PHASES if name in phases]
            assert "run" in phases
            assert sum(one.length for one in run.inside) <= run.length
    # Those that came before the first ADD to the network had ended waited for it.
    waits = [one.name for one in drawing.all("wait")]
    assert 0 < waits.count("waits: first add") < len(pods)


async def test_an_add_that_a_plugin_refuses(
    host: Host, pods: tuple[Pod, Pod], tmp_path: Path
) -> None:
    pool = {**BRIDGE["ipam"], "subnet": "10.22.0.0/29", "rangeStart": "10.22.0.2"}
    refusing = host.network({**BRIDGE, "ipam": {**pool, "rangeEnd": "10.22.0.2"}})
    path = tmp_path / "trace.json"
    with observe.trace(path) as tracer:
        async with open_runtime(
            state_dir=host.state_dir, plugin_dirs=[PLUGINS], observers=[tracer]
        ) as runtime:
            await runtime.add(refusing, pods[0].attachment())
            with pytest.raises(PluginFailed):
                await runtime.add(refusing, pods[1].attachment())
            await runtime.delete(pods[0].attachment().id)
    (refused,) = read(path).lanes[pods[1].name]
    assert refused.args["error"] == "PluginFailed"
    assert refused.names() == ["ADD bridge", "rollback"]
    assert refused.inside[1].names() == ["DEL bridge"]
    assert refused.inside[1].args == {"deleted": "bridge", "complete": True}

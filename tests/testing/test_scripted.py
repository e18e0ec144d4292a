"""The runner double without processes."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping

import anyio
import pytest
import trio
from attrs import define

from acni.errors import PluginNotFound
from acni.spec.names import PluginType
from acni.spec.plugin import Caps, Ending, Request, Response
from acni.testing import Behaviour, Call, RunnerContract, ScriptedRunner

_DIRECTORIES = ("/opt/cni/bin", "/usr/lib/cni")


@define(eq=False)
class _Script:
    """The contract's world without processes."""

    runner: ScriptedRunner

    @property
    def directories(self) -> tuple[str, ...]:
        return _DIRECTORIES

    @property
    def calls(self) -> list[Call]:
        return self.runner.calls

    def tell(self, plugin_type: str, command: str, behaviour: Behaviour) -> None:
        self.runner.tell(plugin_type, command, behaviour)


@pytest.mark.anyio
class TestScriptedRunner(RunnerContract):
    @pytest.fixture
    def world(self) -> _Script:
        runner = ScriptedRunner()
        runner.remove("absent")
        return _Script(runner)


async def _run(
    runner: ScriptedRunner,
    command: str = "ADD",
    *,
    seconds: float = 60.0,
    config: Mapping[str, object] | None = None,
    caps: Caps | None = None,
) -> Response:
    environment = {"CNI_COMMAND": command, "CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0"}
    return await runner.run(
        runner.find(PluginType("bridge"), _DIRECTORIES),
        Request(environment=environment, stdin=json.dumps(config or {}).encode()),
        deadline=anyio.current_time() + seconds,
        caps=caps or Caps(),
    )


@pytest.mark.trio
async def test_a_run_takes_exactly_the_time_it_was_told(
    scripted: ScriptedRunner, autojump_clock: trio.testing.MockClock
) -> None:
    scripted.tell("bridge", "ADD", Behaviour(seconds=30))
    started = trio.current_time()
    response = await _run(scripted)
    assert (response.ending, response.seconds) == (Ending.EXITED, 30.0)
    assert trio.current_time() - started == 30.0


@pytest.mark.trio
@pytest.mark.parametrize(
    ("deadline", "ending", "seconds"),
    [
        pytest.param(10.0, Ending.OUT_OF_TIME, 10.0, id="before_its_end"),
        pytest.param(29.999, Ending.OUT_OF_TIME, 29.999, id="just_before_its_end"),
        pytest.param(30.001, Ending.EXITED, 30.0, id="just_after_its_end"),
        pytest.param(-1.0, Ending.OUT_OF_TIME, 0.0, id="past"),
    ],
)
async def test_a_deadline_ends_a_run_exactly_then(
    scripted: ScriptedRunner,
    autojump_clock: trio.testing.MockClock,
    deadline: float,
    ending: Ending,
    seconds: float,
) -> None:
    scripted.tell("bridge", "ADD", Behaviour(seconds=30))
    response = await _run(scripted, seconds=deadline)
    assert response.ending is ending
    assert response.seconds == pytest.approx(seconds, abs=1e-9)


@pytest.mark.trio
async def test_runs_take_their_time_beside_each_other(
    scripted: ScriptedRunner, autojump_clock: trio.testing.MockClock
) -> None:
    scripted.tell("bridge", "ADD", Behaviour(seconds=30))
    started = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(_run, scripted)
    assert trio.current_time() - started == 30.0
    assert len(scripted.calls) == 100


@pytest.mark.trio
async def test_a_cancelled_run_holds_nothing(
    scripted: ScriptedRunner, autojump_clock: trio.testing.MockClock
) -> None:
    scripted.tell("bridge", "ADD", Behaviour(seconds=30))
    with trio.move_on_after(29):
        await _run(scripted)
    assert [str(call) for call in scripted.calls] == ["ADD bridge"]
    assert scripted.held == set()


def test_any_plugin_is_found_until_it_is_removed(scripted: ScriptedRunner) -> None:
    plugin = scripted.find(PluginType("any"), _DIRECTORIES)
    assert (plugin.path, plugin.runner) == ("/opt/cni/bin/any", "scripted")
    scripted.remove("any")
    with pytest.raises(PluginNotFound, match="/opt/cni/bin, /usr/lib/cni"):
        scripted.find(PluginType("any"), _DIRECTORIES)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("config", "printed"),
    [
        pytest.param(
            {"cniVersion": "1.1.0"},
            {"cniVersion": "1.1.0", "ips": [{"address": "192.0.2.7/24", "gateway": "192.0.2.1"}]},
            id="first_of_a_chain",
        ),
        pytest.param(
            {"cniVersion": "0.4.0"},
            {
                "cniVersion": "0.4.0",
                "ips": [{"address": "192.0.2.7/24", "gateway": "192.0.2.1", "version": "4"}],
            },
            id="with_the_family_before_1_0_0",
        ),
        pytest.param(
            {"cniVersion": "0.2.0"},
            {"cniVersion": "0.2.0", "ip4": {"ip": "192.0.2.7/24"}},
            id="old_shape",
        ),
        pytest.param(
            {"cniVersion": "1.1.0", "prevResult": {"cniVersion": "1.1.0", "x": [1]}},
            {"cniVersion": "1.1.0", "x": [1]},
            id="previous_result",
        ),
    ],
)
async def test_an_untold_add_prints_a_result(
    scripted: ScriptedRunner, config: dict[str, object], printed: dict[str, object]
) -> None:
    response = await _run(scripted, config=config)
    assert json.loads(response.stdout) == printed


@pytest.mark.anyio
@pytest.mark.parametrize("command", ["DEL", "CHECK", "GC", "STATUS"])
async def test_an_untold_other_verb_prints_nothing(scripted: ScriptedRunner, command: str) -> None:
    response = await _run(scripted, command)
    assert (response.ending, response.status, response.stdout) == (Ending.EXITED, 0, b"")


@pytest.mark.anyio
async def test_a_resource_is_held_from_add_to_delete(scripted: ScriptedRunner) -> None:
    await _run(scripted)
    assert scripted.held == {"bridge/c1/eth0"}
    await _run(scripted, "CHECK")
    assert scripted.held == {"bridge/c1/eth0"}
    await _run(scripted, "DEL")
    await _run(scripted, "DEL")
    assert scripted.held == set()


@pytest.mark.anyio
@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(Behaviour.failing(), id="failure"),
        pytest.param(Behaviour(signal=signal.SIGKILL), id="signal"),
        pytest.param(Behaviour(holds=False), id="told_to_hold_nothing"),
    ],
)
async def test_nothing_is_held_or_let_go_by(scripted: ScriptedRunner, behaviour: Behaviour) -> None:
    scripted.tell("bridge", "ADD", behaviour)
    await _run(scripted)
    assert scripted.held == set()
    scripted.tell("bridge", "ADD", Behaviour())
    scripted.tell("bridge", "DEL", behaviour)
    await _run(scripted)
    await _run(scripted, "DEL")
    assert scripted.held == {"bridge/c1/eth0"}


@pytest.mark.anyio
async def test_a_cap_of_nothing_takes_nothing(scripted: ScriptedRunner) -> None:
    scripted.tell("bridge", "DEL", Behaviour(stdout="out", stderr="err"))
    caps = Caps(stdout_bytes=0, stderr_bytes=0, ends_at_cap=False)
    response = await _run(scripted, "DEL", caps=caps)
    assert (response.stdout, response.stderr) == (b"", b"")


def test_a_failing_behaviour_prints_an_error_object() -> None:
    behaviour = Behaviour.failing(11, "later", "because")
    assert behaviour.status == 1
    printed = json.loads(behaviour.stdout or "")
    assert printed == {"code": 11, "msg": "later", "details": "because"}


def test_a_call_is_shown_without_its_secrets() -> None:
    call = Call(plugin="bridge", environment={"CNI_COMMAND": "ADD", "TOKEN": "s3"}, stdin=b"s3")
    assert str(call) == "ADD bridge"
    assert "s3" not in repr(call)


@pytest.mark.anyio
async def test_pauses_within_each_other_each_hold_what_came_in_them(
    scripted: ScriptedRunner,
) -> None:
    ended: list[str] = []

    async def run(name: str) -> None:
        await _run(scripted, seconds=30)
        ended.append(name)

    async with anyio.create_task_group() as tasks:
        with scripted.paused("bridge", "ADD") as outer:
            tasks.start_soon(run, "outer")
            await outer.wait()
            with scripted.paused("bridge", "ADD") as inner:
                tasks.start_soon(run, "inner")
                await inner.wait()
            await anyio.wait_all_tasks_blocked()
            assert ended == ["inner"]
    assert ended == ["inner", "outer"]

"""The tests that every runner must pass: subclass, mark for your event loops, give a ``world``.

A world has ``runner``, ``directories`` and ``tell(plugin_type, command, behaviour)``, and knows the
plugin type ``probe``; both doubles of this package are made for it::

    class TestMyRunner(RunnerContract):
        @pytest.fixture
        def world(self): ...
"""

from __future__ import annotations

import signal
from typing import Protocol

import anyio

from acni.engine.runner import Runner
from acni.errors import PluginNotFound
from acni.spec.names import PluginType
from acni.spec.plugin import Caps, Ending, Request, Response
from acni.testing.behaviour import Behaviour, Call

_PROBE = PluginType("probe")


class World(Protocol):
    """What the contract's tests need around a runner."""

    @property
    def runner(self) -> Runner: ...

    @property
    def directories(self) -> tuple[str, ...]: ...

    @property
    def calls(self) -> list[Call]: ...

    def tell(self, plugin_type: str, command: str, behaviour: Behaviour) -> None: ...


async def _run(
    world: World,
    command: str = "ADD",
    *,
    seconds: float = 10.0,
    caps: Caps | None = None,
    stdin: bytes = b'{"cniVersion": "1.0.0", "name": "n"}',
) -> Response:
    plugin = world.runner.find(_PROBE, world.directories)
    environment = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": "c1",
        "CNI_NETNS": "/proc/self/ns/net",
        "CNI_IFNAME": "eth0",
    }
    return await world.runner.run(
        plugin,
        Request(environment=environment, stdin=stdin),
        deadline=anyio.current_time() + seconds,
        caps=caps or Caps(),
    )


class RunnerContract:
    """What :class:`acni.engine.runner.Runner` promises.

    Example:
        >>> import pytest
        >>> class World:
        ...     def __init__(self):
        ...         self.runner = testing.ScriptedRunner()
        ...         self.runner.remove("absent")
        ...         self.directories, self.calls = ("/opt/cni/bin",), self.runner.calls
        ...         self.tell = self.runner.tell
        >>> @pytest.mark.anyio
        ... class TestMyRunner(testing.RunnerContract):
        ...     @pytest.fixture
        ...     def world(self):
        ...         return World()
        >>> anyio.run(TestMyRunner().test_success_brings_standard_output, World())
    """

    async def test_finding_names_type_and_runner(self, world: World) -> None:
        plugin = world.runner.find(_PROBE, world.directories)
        assert plugin.type == "probe"
        assert plugin.runner

    async def test_what_an_add_was_run_by_is_found_again(self, world: World) -> None:
        plugin = world.runner.find(_PROBE, world.directories)
        again = world.runner.find(_PROBE, world.directories, added_by=plugin.runner)
        assert (again, again.runner) == (plugin, plugin.runner)

    async def test_a_missing_plugin_is_a_typed_error(self, world: World) -> None:
        try:
            world.runner.find(PluginType("absent"), world.directories)
        except PluginNotFound as error:
            assert error.plugin == "absent"  # noqa: PT017 (no pytest in here)
        else:
            raise AssertionError("found what is not there")

    async def test_the_request_arrives_byte_for_byte(self, world: World) -> None:
        stdin = '{"cniVersion":"1.0.0",  "name":"n","x":1e2,"y":"é"}'.encode()
        await _run(world, stdin=stdin)
        assert world.calls[-1].stdin == stdin
        assert world.calls[-1].environment["CNI_CONTAINERID"] == "c1"

    async def test_success_brings_standard_output(self, world: World) -> None:
        world.tell("probe", "ADD", Behaviour(stdout='{"a": 1}', stderr="by the way"))
        response = await _run(world)
        assert (response.ending, response.status) == (Ending.EXITED, 0)
        assert (response.stdout, response.stderr) == (b'{"a": 1}', b"by the way")

    async def test_failure_brings_the_status_and_what_was_printed(self, world: World) -> None:
        world.tell("probe", "DEL", Behaviour.failing(7, "no"))
        response = await _run(world, "DEL")
        assert (response.ending, response.status) == (Ending.EXITED, 1)
        assert b'"no"' in response.stdout

    async def test_a_signal_is_told_from_an_exit(self, world: World) -> None:
        world.tell("probe", "ADD", Behaviour(signal=signal.SIGUSR1))
        response = await _run(world)
        assert (response.ending, response.status) == (Ending.SIGNALLED, signal.SIGUSR1)

    async def test_a_deadline_ends_the_run(self, world: World) -> None:
        world.tell("probe", "ADD", Behaviour(seconds=30))
        response = await _run(world, seconds=0.2)
        assert response.ending is Ending.OUT_OF_TIME
        assert response.seconds < 20  # noqa: PLR2004

    async def test_output_over_the_cap_ends_the_run_where_it_is_read(self, world: World) -> None:
        world.tell("probe", "ADD", Behaviour(stdout="x" * 200_000))
        response = await _run(world, caps=Caps(stdout_bytes=1000))
        assert response.ending is Ending.OVER_CAP

    async def test_output_over_the_cap_is_dropped_where_it_is_not_read(self, world: World) -> None:
        world.tell("probe", "DEL", Behaviour(stdout="x" * 200_000))
        response = await _run(world, "DEL", caps=Caps(stdout_bytes=1000, ends_at_cap=False))
        assert (response.ending, response.stdout) == (Ending.EXITED, b"x" * 1000)

    async def test_of_standard_error_the_last_is_kept(self, world: World) -> None:
        world.tell("probe", "DEL", Behaviour(stderr="first" * 100 + "last"))
        response = await _run(world, "DEL", caps=Caps(stderr_bytes=4))
        assert response.stderr == b"last"

    async def test_cancellation_ends_the_run(self, world: World) -> None:
        world.tell("probe", "ADD", Behaviour(seconds=30))
        with anyio.move_on_after(0.2) as scope:
            await _run(world, seconds=60)
        assert scope.cancelled_caught

"""A runner without processes: it answers as it is told, in whatever time the loop's clock says."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager

import anyio
from attrs import Factory, define, field

from acni.errors import PluginNotFound
from acni.spec.names import PluginType
from acni.spec.plugin import Caps, Ending, Plugin, Request, Response
from acni.testing.behaviour import Behaviour, Call, default_output

SCRIPTED = "scripted"


@define(eq=False)
class _Pause:
    reached: anyio.Event = Factory(anyio.Event)
    over: anyio.Event = Factory(anyio.Event)


@define(eq=False)
class ScriptedRunner:
    """A runner double (see :class:`acni.engine.runner.Runner`).

    Attributes:
        calls: What was asked, in order.
        held: The resources held: ``<type>/<container>/<ifname>``.

    Example:
        >>> runner = testing.ScriptedRunner()
        >>> async def main():
        ...     async with acni.open_runtime(state_dir=state_dir, runner=runner) as runtime:
        ...         await runtime.add(network, attachment)
        >>> anyio.run(main)
        >>> [str(asked) for asked in runner.calls], sorted(runner.held)
        (['ADD bridge', 'ADD portmap'], ['bridge/web/eth0', 'portmap/web/eth0'])
    """

    _behaviours: dict[tuple[str, str], Behaviour] = Factory(dict[tuple[str, str], Behaviour])
    _versions_told: dict[str, int] = Factory(dict[str, int])
    _missing: set[str] = Factory(set[str])
    _pauses: dict[tuple[str, str], _Pause] = field(
        factory=dict[tuple[str, str], _Pause], init=False
    )
    calls: list[Call] = Factory(list[Call])
    held: set[str] = Factory(set[str])

    def tell(self, plugin_type: str, command: str, behaviour: Behaviour) -> None:
        """Tell a plugin how to behave on a verb from now on; untold ones succeed at once.

        Args:
            plugin_type: The plugin's type.
            command: The verb: "ADD", "DEL", "CHECK", "STATUS", "GC" or "VERSION".
            behaviour: What it does.

        Example:
            >>> scripted.tell("portmap", "ADD", testing.Behaviour.failing(code=11, msg="locked"))
            >>> try:
            ...     call("add", network, attachment)
            ... except acni.TryAgain as error:
            ...     print(error.msg, scripted.held)
            locked set()
        """
        self._behaviours[plugin_type, command] = behaviour
        if command == "VERSION":
            self._versions_told[plugin_type] = self._versions_told.get(plugin_type, 0) + 1

    @contextmanager
    def paused(self, plugin_type: str, command: str) -> Generator[anyio.Event]:
        """Let every run of a plugin on a verb stand still until the block is left: what happens
        meanwhile needs no clock. Deadlines and cancellation count as ever.

        The block is given an event, which is set once a run stands there.

        Args:
            plugin_type: The plugin's type.
            command: The verb.

        Example:
            >>> async def main():
            ...     async with runtime_over(scripted) as runtime:
            ...         async with anyio.create_task_group() as tasks:
            ...             with scripted.paused("portmap", "ADD") as reached:
            ...                 tasks.start_soon(runtime.add, network, attachment)
            ...                 await reached.wait()
            ...                 print(sorted(scripted.held))
            ...     print(sorted(scripted.held))
            >>> anyio.run(main)
            ['bridge/web/eth0']
            ['bridge/web/eth0', 'portmap/web/eth0']
        """
        place = plugin_type, command
        outer = self._pauses.get(place)
        pause = self._pauses[place] = _Pause()
        try:
            yield pause.reached
        finally:
            if outer is None:
                del self._pauses[place]
            else:
                self._pauses[place] = outer
            pause.over.set()

    def remove(self, plugin_type: str) -> None:
        """Let a plugin be missing from now on.

        Args:
            plugin_type: The plugin's type.

        Example:
            >>> scripted.remove("portmap")
            >>> try:
            ...     call("add", network, attachment)
            ... except acni.PluginNotFound as error:
            ...     print(error.plugin)
            portmap
        """
        self._missing.add(plugin_type)

    def find(
        self, plugin_type: PluginType, directories: Sequence[str], *, added_by: str | None = None
    ) -> Plugin:
        """Find any plugin that was not removed, in the first directory.

        Args:
            plugin_type: The plugin's type.
            directories: Where it is said to be; at least one.
            added_by: By which kind of runner an ADD had it run; it stands for all of them.

        Raises:
            PluginNotFound: it was removed.

        Example:
            >>> scripted.find("bridge", ["/opt/cni/bin", "/usr/lib/cni"]).path
            '/opt/cni/bin/bridge'
        """
        if plugin_type in self._missing:
            raise PluginNotFound(
                f"no executable in {', '.join(directories)}", plugin=plugin_type, expected="one"
            )
        path = f"{directories[0]}/{plugin_type}"
        # Another answer to VERSION is another executable.
        identity = str(self._versions_told.get(plugin_type, 0))
        return Plugin(type=plugin_type, path=path, identity=identity, runner=SCRIPTED)

    async def run(
        self,
        plugin: Plugin,
        request: Request,
        *,
        deadline: float,
        caps: Caps,
        guard: int | None = None,
    ) -> Response:
        """Answer as told; every run takes at least one turn of the loop.

        Args:
            plugin: What :meth:`find` returned.
            request: Its environment and standard input.
            deadline: When it is out of time, on the event loop's clock (``anyio.current_time``).
            caps: How much output is taken.
            guard: Held by processes; there is none here.

        Example:
            >>> async def main():
            ...     plugin = scripted.find("bridge", ["/opt/cni/bin"])
            ...     given = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0"}
            ...     request = spec.Request(environment=given, stdin=b'{"cniVersion": "0.2.0"}')
            ...     deadline = anyio.current_time() + 10
            ...     return await scripted.run(plugin, request, deadline=deadline, caps=spec.Caps())
            >>> anyio.run(main).stdout
            b'{"cniVersion": "0.2.0", "ip4": {"ip": "192.0.2.7/24"}}'
        """
        call = Call(plugin=plugin.type, environment=request.environment, stdin=request.stdin)
        self.calls.append(call)
        behaviour = self._behaviours.get((plugin.type, call.command), Behaviour())
        started = anyio.current_time()
        with anyio.CancelScope(deadline=deadline) as scope:
            if pause := self._pauses.get((plugin.type, call.command)):
                pause.reached.set()
                await pause.over.wait()
            await anyio.sleep(behaviour.seconds)
        seconds = anyio.current_time() - started
        if scope.cancelled_caught:
            return Response(ending=Ending.OUT_OF_TIME, seconds=seconds)
        return self._answer(call, behaviour, caps, seconds)

    def _answer(self, call: Call, behaviour: Behaviour, caps: Caps, seconds: float) -> Response:
        is_success = behaviour.status == 0 and behaviour.signal == 0
        if is_success and behaviour.holds:
            self._hold(call)
        printed = behaviour.stdout
        if printed is None:
            printed = default_output(call.command, call.stdin) if is_success else ""
        stdout = printed.encode()
        ending = Ending.SIGNALLED if behaviour.signal else Ending.EXITED
        status = behaviour.signal or behaviour.status
        if len(stdout) > caps.stdout_bytes:
            stdout = stdout[: caps.stdout_bytes]
            if caps.ends_at_cap and not behaviour.signal:
                ending, status = Ending.OVER_CAP, 0
        return Response(
            ending=ending,
            status=status,
            stdout=stdout,
            stderr=_last(behaviour.stderr.encode(), caps.stderr_bytes),
            seconds=seconds,
        )

    def _hold(self, call: Call) -> None:
        container, ifname = call.environment["CNI_CONTAINERID"], call.environment["CNI_IFNAME"]
        resource = f"{call.plugin}/{container}/{ifname}"
        if call.command == "ADD":
            self.held.add(resource)
        if call.command == "DEL":
            self.held.discard(resource)


def _last(data: bytes, at_most: int) -> bytes:
    return data[max(len(data) - at_most, 0) :]

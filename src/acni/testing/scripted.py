"""A runner without processes: it answers as it is told, in whatever time the loop's clock says."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
from attrs import Factory, define

from acni.errors import PluginNotFound
from acni.spec.names import PluginType
from acni.spec.plugin import Caps, Ending, Plugin, Request, Response
from acni.testing.behaviour import Behaviour, Call, default_output

SCRIPTED = "scripted"


@define(eq=False)
class ScriptedRunner:
    """A runner double (see :class:`acni.engine.runner.Runner`).

    Attributes:
        calls: What was asked, in order.
        held: The resources held: ``<type>/<container>/<ifname>``.
    """

    _behaviours: dict[tuple[str, str], Behaviour] = Factory(dict[tuple[str, str], Behaviour])
    _missing: set[str] = Factory(set[str])
    calls: list[Call] = Factory(list[Call])
    held: set[str] = Factory(set[str])

    def tell(self, plugin_type: str, command: str, behaviour: Behaviour) -> None:
        """Tell a plugin how to behave on a verb from now on; untold ones succeed at once."""
        self._behaviours[plugin_type, command] = behaviour

    def remove(self, plugin_type: str) -> None:
        """Let a plugin be missing from now on."""
        self._missing.add(plugin_type)

    def find(self, plugin_type: PluginType, directories: Sequence[str]) -> Plugin:
        """Find any plugin that was not removed, in the first directory.

        Raises:
            PluginNotFound: it was removed.
        """
        if plugin_type in self._missing:
            raise PluginNotFound(
                f"no executable in {', '.join(directories)}", plugin=plugin_type, expected="one"
            )
        path = f"{directories[0]}/{plugin_type}"
        return Plugin(type=plugin_type, path=path, identity="0", runner=SCRIPTED)

    async def run(
        self, plugin: Plugin, request: Request, *, deadline: float, caps: Caps
    ) -> Response:
        """Answer as told; every run takes at least one turn of the loop."""
        call = Call(plugin=plugin.type, environment=request.environment, stdin=request.stdin)
        self.calls.append(call)
        behaviour = self._behaviours.get((plugin.type, call.command), Behaviour())
        started = anyio.current_time()
        with anyio.CancelScope(deadline=deadline) as scope:
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

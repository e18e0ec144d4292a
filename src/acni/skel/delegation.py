"""Delegating to the plugin that ``ipam.type`` names.

Which one runs depends on the type alone: the built-in of that type where there is one, otherwise an
executable of CNI_PATH. So an ADD and its DEL meet the same one, whatever was installed or removed
meanwhile.

Rule 1: it gets the same environment, but for the verb, and the whole configuration (P8).
Rule 2: after its failed ADD it is told to delete, and the first error is returned as it is (P8).
    Where the caller is out of time or cancelled it is not: whoever undoes the ADD does that, in a
    time of its own.
Rule 3: an executable holds the container's guard as long as it runs: it lives on when this process
    is killed, and whoever takes over waits for it.

(specification, section 4)
"""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Callable, Mapping
from typing import Final

from attrs import Factory, define, evolve, field, frozen

from acni.errors import InvalidName, PluginFailed, PluginNotFound
from acni.errors import PluginError as PluginTrouble
from acni.host.plugins import find_executable
from acni.host.spawn import Spawner, make_spawner
from acni.host.threadprocess import run_process
from acni.skel.bounds import Bounds, Stopped
from acni.skel.call import Call, Verbs
from acni.skel.calls import require_version
from acni.skel.errors import Code, PluginError
from acni.spec.configuration import PluginConfig
from acni.spec.names import PluginType, parse_plugin_type
from acni.spec.plan import Command, Step
from acni.spec.plugin import Caps, Ending, Request, Response
from acni.spec.response import read_response
from acni.spec.result import Result

_CAPS: Final = Caps()
# Between the tries of an executable that is just being written.
_BUSY_PAUSES: Final = (0.01, 0.04, 0.16, 0.64)


@frozen(kw_only=True)
class Delegates:
    """Where the plugins come from that others delegate to.

    Attributes:
        built_in: Those of this process, by type.
        spawner: Starts the others.
    """

    built_in: Mapping[str, Verbs] = field(factory=dict[str, Verbs])
    spawner: Spawner = Factory(make_spawner)


@define(eq=False)
class Delegation:
    """What one call delegates: a :class:`acni.skel.Delegate`.

    Attributes:
        request: The request of the call.
        bounds: How long it may go on.
        delegates: Where they come from.
        guard: A descriptor that an executable inherits, or None.
        call: The call, once it is made.
    """

    request: Request
    bounds: Bounds
    delegates: Delegates
    guard: int | None = None
    _call: Call | None = field(default=None, init=False)

    @property
    def call(self) -> Call:
        """The call that delegates."""
        if self._call is None:
            raise AssertionError("a call is made before its plugin runs")
        return self._call

    @call.setter
    def call(self, call: Call) -> None:
        self._call = call

    @property
    def type(self) -> str | None:
        """Its type; None where the configuration names none."""
        return self.call.fields.inner("ipam").text("type") or None

    def add(self) -> Result:
        """Let it add; after its failure it is told to delete."""
        try:
            result = self._run(Command.ADD, lambda verbs, call: verbs.add(call))
        except Stopped:
            raise
        except Exception:
            with contextlib.suppress(PluginError):
                self.delete()
            raise
        if result is None:
            raise AssertionError("an ADD has a result")
        return result

    def delete(self) -> None:
        """Let it delete."""
        self._run(Command.DEL, lambda verbs, call: verbs.delete(call))

    def check(self) -> None:
        """Let it check."""
        self._run(Command.CHECK, lambda verbs, call: verbs.check and verbs.check(call))

    def gc(self) -> None:
        """Let it collect garbage."""
        self._run(Command.GC, lambda verbs, call: verbs.gc and verbs.gc(call))

    def status(self) -> None:
        """Ask it whether it is ready."""
        self._run(Command.STATUS, lambda verbs, call: verbs.status and verbs.status(call))

    def _run(self, command: Command, verb: Callable[[Verbs, Call], Result | None]) -> Result | None:
        self.bounds.check()
        plugin_type = self._named_type()
        verbs = self.delegates.built_in.get(plugin_type)
        if verbs is None:
            return self._run_executable(plugin_type, command)
        require_version(verbs, command, self.call.cni_version)
        return verb(verbs, evolve(self.call, command=command))

    def _named_type(self) -> PluginType:
        ipam = self.call.fields.inner("ipam")
        try:
            return parse_plugin_type(ipam.required_text("type"))
        except InvalidName:
            raise ipam.error("type", "no type of a plugin", "one path component") from None

    def _run_executable(self, plugin_type: PluginType, command: Command) -> Result | None:
        try:
            plugin = find_executable(plugin_type, self.call.plugin_dirs)
        except PluginNotFound as error:
            message = f"the plugin {plugin_type} of $.ipam.type is missing: {error.message}"
            raise PluginError(Code.INVALID_CONFIG, message) from None
        environment = {**self.request.environment, "CNI_COMMAND": str(command)}
        response = self._respond(plugin.path, evolve(self.request, environment=environment))
        step = Step(command=command, index=0, plugin=_named(plugin_type), takes_previous=False)
        try:
            return read_response(step, response, self.call.cni_version)
        except PluginFailed as error:
            raise PluginError(
                Code.INTERNAL if error.code is None else error.code,
                error.msg or error.message,
                details=error.details or "",
                reason=error.reason,
            ) from None
        except PluginTrouble as error:
            message = f"the plugin {plugin_type} of $.ipam.type: {error.message}"
            raise PluginError(Code.INTERNAL, message) from None

    def _respond(self, path: str, request: Request) -> Response:
        for pause in (*_BUSY_PAUSES, 0.0):
            response = run_process(
                self.delegates.spawner,
                path,
                request,
                seconds_left=self.bounds.seconds_left,
                caps=_CAPS,
                guard=self.guard,
            )
            if response.ending is Ending.OUT_OF_TIME:
                self.bounds.check()
            is_busy = (response.ending, response.status) == (Ending.NOT_STARTED, errno.ETXTBSY)
            if not is_busy or not pause:
                return response
            time.sleep(min(pause, self.bounds.seconds_left()))
            self.bounds.check()
        raise AssertionError("the last try is the last")


def _named(plugin_type: PluginType) -> PluginConfig:
    return PluginConfig(type=plugin_type, capabilities=frozenset(), text="{}")

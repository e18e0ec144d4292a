"""Delegating to the plugin that ``ipam.type`` names.

In a runtime's process, which one runs depends on the type alone: the built-in of that type where
there is one, otherwise an executable of CNI_PATH. So an ADD and its DEL meet the same one, whatever
was installed or removed meanwhile. Where no runtime of ours is around, in an executable, CNI_PATH
comes first, as the specification has it.

Rule 1: it gets the same environment, but for the verb, and the whole configuration (P8).
Rule 2: after its failed ADD it is told to delete, and the first error is returned as it is (P8).
    Where the caller is out of time or cancelled it is not: whoever undoes the ADD does that, in a
    time of its own. Nor is it where it says that the attachment has its address already: that is
    an earlier ADD's, which a DEL would free while the container lives.
Rule 3: an executable holds the container's guard as long as it runs: it lives on when this process
    is killed, and whoever takes over waits for it.
Rule 4: an executable of CNI_PATH that is this very program, by another name, is not started once
    more: what it would do is done here.
Rule 5: a delegate delegates to nobody: by the same configuration it would be to itself, without
    end. That is refused; its DEL has nothing to delete, for no ADD came so far.

(specification, section 4)
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from attrs import define, evolve, field, frozen

from acni.errors import InvalidName, PluginNotFound
from acni.host.plugins import find_executable, is_there
from acni.skel.bounds import Bounds, Stopped
from acni.skel.call import Call, Verbs
from acni.skel.calls import require_version
from acni.skel.errors import Code, PluginError
from acni.spec.commands import Command
from acni.spec.names import PluginType, parse_plugin_type
from acni.spec.plugin import Plugin, Request
from acni.spec.reasons import ALREADY_ALLOCATED
from acni.spec.result import Result

if TYPE_CHECKING:
    from acni.host.spawn import Spawner


@frozen(kw_only=True)
class Delegates:
    """Where the plugins come from that others delegate to.

    Attributes:
        built_in: Those of this process, by type.
        executables_first: Whether one of these runs only where CNI_PATH has none.
        program: Device and inode of this program, where executables are links to it; or None.
    """

    built_in: Mapping[str, Verbs] = field(factory=dict[str, Verbs])
    executables_first: bool = False
    program: tuple[int, int] | None = None

    @cached_property
    def spawner(self) -> Spawner:
        """What starts executables."""
        from acni.host.spawn import make_spawner  # noqa: PLC0415 (most calls start none)

        return make_spawner()


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
    _is_asking: bool = field(default=False, init=False)

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
        """Let it add; after its failure it is told to delete, unless an earlier ADD gave that."""
        try:
            result = self._run(Command.ADD, lambda verbs, call: verbs.add(call))
        except Stopped:
            raise
        except Exception as error:
            if not (isinstance(error, PluginError) and error.reason == ALREADY_ALLOCATED):
                with contextlib.suppress(PluginError):
                    self.delete()
            raise
        if result is None:
            raise AssertionError("an ADD has a result")
        return result

    def delete(self) -> None:
        """Let it delete."""
        if self._is_asking:
            return
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
        if self._is_asking:
            raise self._delegates_itself(plugin_type)
        verbs = self.delegates.built_in.get(plugin_type)
        if verbs is None or self._has_executable(plugin_type):
            plugin = self._found(plugin_type)
            if verbs is None or not self._is_program(plugin):
                return self._run_executable(plugin, command)
        require_version(verbs, command, self.call.cni_version)
        self._is_asking = True
        try:
            return verb(verbs, evolve(self.call, command=command))
        finally:
            self._is_asking = False

    def _delegates_itself(self, plugin_type: PluginType) -> PluginError:
        message = f"the plugin {plugin_type} of $.ipam.type gives no addresses: it asks for them"
        return PluginError(Code.INVALID_CONFIG, message, details="host-local or static, say")

    def _has_executable(self, plugin_type: PluginType) -> bool:
        """Tell whether an executable is to run. One that is there and may not be used is not
        replaced in silence.
        """
        return self.delegates.executables_first and is_there(plugin_type, self.call.plugin_dirs)

    def _is_program(self, plugin: Plugin) -> bool:
        """Tell whether an executable is this very program."""
        found = os.stat(plugin.path)
        return (found.st_dev, found.st_ino) == self.delegates.program

    def _named_type(self) -> PluginType:
        ipam = self.call.fields.inner("ipam")
        try:
            return parse_plugin_type(ipam.required_text("type"))
        except InvalidName:
            raise ipam.error("type", "no type of a plugin", "one path component") from None

    def _found(self, plugin_type: PluginType) -> Plugin:
        try:
            return find_executable(plugin_type, self.call.plugin_dirs)
        except PluginNotFound as error:
            message = f"the plugin {plugin_type} of $.ipam.type is missing: {error.message}"
            raise PluginError(Code.INVALID_CONFIG, message) from None

    def _run_executable(self, plugin: Plugin, command: Command) -> Result | None:
        from acni.skel.delegated import run_delegated  # noqa: PLC0415 (most calls run none)

        return run_delegated(
            plugin,
            command,
            self.request,
            cni_version=self.call.cni_version,
            bounds=self.bounds,
            spawner=self.delegates.spawner,
            guard=self.guard,
        )

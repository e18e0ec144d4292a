"""Which of two runs a plugin: an executable, or a built-in where there is none.

Rule 1: what an ADD was run by, its CHECK and DEL are run by, whatever was installed or removed
    meanwhile: it alone knows what it made.
Rule 2: an executable that is there and may not be used (everybody may write to it) is not replaced
    in silence: that is refused, as without built-ins.

(specification, section 3, "Attachment Parameters": the search path)
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Self

from attrs import Factory, define, evolve, field

from acni.errors import PluginNotFound
from acni.host.plugins import BUILTIN, is_there
from acni.host.process import Executables
from acni.spec.names import PluginType
from acni.spec.plugin import Caps, Plugin, Request, Response

if TYPE_CHECKING:
    from acni.plugins.builtins import BuiltIns


@define(eq=False, kw_only=True)
class ExecutablesFirst:
    """Runs the executable of a plugin, or the built-in plugin where there is none: what a runtime
    has by default.

    As a context manager, or by :meth:`close`, the threads of its built-ins end.

    Attributes:
        executables: Runs executables.

    Example:
        >>> async def main():
        ...     with acni.ExecutablesFirst() as runner:
        ...         plugins_found = [
        ...             runner.find(kind, [plugins.directory]) for kind in ("bridge", "loopback")
        ...         ]
        ...         return [plugin.runner for plugin in plugins_found]
        >>> anyio.run(main)
        ['executable', 'builtin']
    """

    executables: Executables = Factory(Executables)
    _built_ins: BuiltIns | None = None
    # Held by who makes it: a runtime asks for tables in a thread.
    _making: Lock = field(factory=Lock, init=False, repr=False)

    @property
    def built_ins(self) -> BuiltIns:
        """What runs built-in plugins. It is loaded when it is first asked for, as they are: whoever
        has executables pays for none of it.

        Raises:
            PluginNotFound: it cannot be loaded: there is no descriptor left to read it, say.

        Example:
            >>> with acni.ExecutablesFirst() as runner:
            ...     "bridge" in runner.built_ins.plugins
            True
        """
        with self._making:
            if self._built_ins is None:
                self._built_ins = _load_built_ins()
            return self._built_ins

    def find(
        self, plugin_type: PluginType, directories: Sequence[str], *, added_by: str | None = None
    ) -> Plugin:
        """Find the executable of a plugin, or the built-in where there is none.

        Args:
            plugin_type: The plugin's type.
            directories: Where executables are looked for: absolute paths, the first match wins.
            added_by: By which kind of runner an ADD had it run, or None: then nothing was added
                yet, and it is chosen.

        Raises:
            PluginNotFound: there is none, or not of the kind that it was added by.

        Example:
            >>> with acni.ExecutablesFirst() as runner:
            ...     runner.find("loopback", [plugins.directory]).replaces
            'no executable in ...'
        """
        if added_by == BUILTIN:
            return self.built_ins.find(plugin_type, directories, added_by=added_by)
        try:
            return self.executables.find(plugin_type, directories, added_by=added_by)
        except PluginNotFound as missing:
            is_built_in = plugin_type in self.built_ins.plugins
            if added_by is not None or not is_built_in or is_there(plugin_type, directories):
                raise
            why = missing.message
        return evolve(self.built_ins.find(plugin_type, directories), replaces=why)

    async def run(
        self,
        plugin: Plugin,
        request: Request,
        *,
        deadline: float,
        caps: Caps,
        guard: int | None = None,
    ) -> Response:
        """Run a plugin once, by what found it.

        Args:
            plugin: What :meth:`find` returned.
            request: Its environment and standard input.
            deadline: When it is out of time, on the event loop's clock.
            caps: How much output is taken.
            guard: A descriptor that a process inherits, or None.

        Returns:
            The response, whatever the plugin did.

        Example:
            >>> async def main():
            ...     with acni.ExecutablesFirst() as runner:
            ...         plugin = runner.find("bridge", [plugins.directory])
            ...         request = spec.Request(environment={"CNI_COMMAND": "VERSION"}, stdin=b"{}")
            ...         deadline = anyio.current_time() + 10
            ...         return await runner.run(
            ...             plugin, request, deadline=deadline, caps=spec.Caps()
            ...         )
            >>> anyio.run(main).status
            0
        """
        runner = self.built_ins if plugin.runner == BUILTIN else self.executables
        return await runner.run(plugin, request, deadline=deadline, caps=caps, guard=guard)

    def restores(self, plugin: Plugin) -> bool:
        """Tell whether a plugin puts back what somebody took away; see :meth:`BuiltIns.restores`.

        Args:
            plugin: What :meth:`find` returned, or a record says. No executable does.

        Example:
            >>> with acni.ExecutablesFirst() as runner:
            ...     runner.restores(runner.find("bridge", [plugins.directory]))
            False
        """
        return plugin.runner == BUILTIN and self.built_ins.restores(plugin)

    def look(self, plugin: Plugin, request: Request, *, seconds: float) -> Response:
        """Look whether somebody took something away; see :meth:`BuiltIns.look`.

        Args:
            plugin: One of which :meth:`restores` is true.
            request: Like CHECK's; without CNI_NETNS.
            seconds: How long it may take.

        Example:
            >>> given = {"CNI_COMMAND": "CHECK", "CNI_CONTAINERID": "web", "CNI_IFNAME": "eth0"}
            >>> request = spec.Request(environment=given, stdin=b'{"name": "net"}')
            >>> with acni.ExecutablesFirst() as runner:
            ...     runner.look(runner.find("loopback", []), request, seconds=10).stdout
            b''
        """
        return self.built_ins.look(plugin, request, seconds=seconds)

    def tables(self) -> Hashable:
        """Say in which tables plugins have what they restore; see :meth:`BuiltIns.tables`.

        Example:
            >>> with acni.ExecutablesFirst() as runner:
            ...     runner.tables() == runner.tables()
            True
        """
        return self.built_ins.tables()

    async def restore(self, plugin: Plugin, request: Request, *, deadline: float) -> Response:
        """Put back what somebody took away; see :meth:`BuiltIns.restore`.

        Args:
            plugin: One of which :meth:`restores` is true.
            request: Like CHECK's; without CNI_NETNS.
            deadline: When it is out of time, on the event loop's clock.

        Example:
            >>> given = {"CNI_COMMAND": "CHECK", "CNI_CONTAINERID": "web", "CNI_IFNAME": "eth0"}
            >>> request = spec.Request(environment=given, stdin=b'{"name": "net"}')
            >>> async def main():
            ...     with acni.ExecutablesFirst() as runner:
            ...         plugin = runner.find("loopback", [])
            ...         deadline = anyio.current_time() + 10
            ...         return await runner.restore(plugin, request, deadline=deadline)
            >>> anyio.run(main).stdout
            b''
        """
        return await self.built_ins.restore(plugin, request, deadline=deadline)

    def close(self) -> None:
        """End the threads of its built-ins; see :meth:`BuiltIns.close`.

        Example:
            >>> acni.ExecutablesFirst().close()
        """
        if self._built_ins is not None:
            self._built_ins.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _load_built_ins() -> BuiltIns:
    try:
        from acni.plugins.builtins import BuiltIns  # noqa: PLC0415 (not for executables)
    except (ImportError, OSError) as error:
        raise PluginNotFound(
            f"the built-in plugins cannot be loaded: {error}",
            expected="all of acni, and descriptors to read it",
        ) from error
    return BuiltIns()

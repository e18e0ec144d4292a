"""The seam: what the engine needs of whatever runs a plugin.

A process, an in-process plugin, a long-running one behind a socket and a scripted double are
implementations. Limits, retries and budgets are the engine's.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Protocol, runtime_checkable

from acni.spec.names import PluginType
from acni.spec.plugin import Caps, Plugin, Request, Response


class Runner(Protocol):
    """Finds and runs plugins.

    Example:
        >>> class Announcing(acni.Executables):
        ...     async def run(self, plugin, request, **bounds):
        ...         print(request.environment["CNI_COMMAND"], plugin.type)
        ...         return await super().run(plugin, request, **bounds)
        >>> async def main():
        ...     async with runtime_over(Announcing()) as runtime:
        ...         await runtime.add(network, attachment)
        >>> anyio.run(main)
        ADD bridge
        ADD portmap
    """

    def find(
        self, plugin_type: PluginType, directories: Sequence[str], *, added_by: str | None = None
    ) -> Plugin:
        """Find a plugin in directories, the first match.

        Args:
            plugin_type: The plugin's type.
            directories: Where to look: absolute paths.
            added_by: Which kind of runner an ADD had it run by, as its ``Plugin.runner`` said:
                what was added by one plugin is no other one's to check or delete. None where
                nothing was added yet, and whatever runs plugins may choose.

        Raises:
            PluginNotFound: there is none, or none of that kind.

        Example:
            >>> runner: acni.Runner = acni.Executables()
            >>> runner.find("bridge", [plugins.directory]).type
            'bridge'
        """
        ...

    async def run(
        self,
        plugin: Plugin,
        request: Request,
        *,
        deadline: float,
        caps: Caps,
        guard: int | None = None,
    ) -> Response:
        """Run a plugin once.

        It never raises for what a plugin does: the response says exited, signalled, out of time or
        over its cap. It returns, or raises cancellation, only when nothing of a failed run lives
        but daemons that took a session of their own.

        Args:
            plugin: What ``find`` returned.
            request: Environment and standard input.
            deadline: When it is out of time, on the event loop's clock.
            caps: How much output is taken.
            guard: A descriptor that a process inherits as its descriptor 3 and keeps as long as it
                runs, or None. It holds a lock that tells others that a plugin still runs for the
                container, even when this process was killed.

        Example:
            >>> async def main(runner: acni.Runner):
            ...     plugin = runner.find("bridge", [plugins.directory])
            ...     given = {"CNI_COMMAND": "DEL", "CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0"}
            ...     request = spec.Request(environment=given, stdin=b'{"cniVersion": "1.0.0"}')
            ...     deadline = anyio.current_time() + 10
            ...     return await runner.run(plugin, request, deadline=deadline, caps=spec.Caps())
            >>> anyio.run(main, acni.Executables()).ending, anyio.run(main, scripted).ending
            (<Ending.EXITED: 'exited'>, <Ending.EXITED: 'exited'>)
        """
        ...


@runtime_checkable
class Restorer(Protocol):
    """A runner of plugins in this process, which can be asked for more than the specification's
    verbs. :class:`acni.BuiltIns` says what each does; no executable is ever asked.
    """

    def restores(self, plugin: Plugin) -> bool:
        """Tell whether a plugin puts back what somebody took away that an ADD had made."""
        ...

    def look(self, plugin: Plugin, request: Request, *, seconds: float) -> Response:
        """Look whether somebody did; blocks the calling thread."""
        ...

    def tables(self) -> Hashable:
        """Return what changes whenever somebody has taken everything away; None where nobody can
        say. Blocks the calling thread.
        """
        ...

    async def restore(self, plugin: Plugin, request: Request, *, deadline: float) -> Response:
        """Put it back."""
        ...

"""The seam: what the engine needs of whatever runs a plugin.

A process, an in-process plugin, a long-running one behind a socket and a scripted double are
implementations. Limits, retries and budgets are the engine's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from acni.spec.names import PluginType
from acni.spec.plugin import Caps, Plugin, Request, Response


class Runner(Protocol):
    """Finds and runs plugins."""

    def find(self, plugin_type: PluginType, directories: Sequence[str]) -> Plugin:
        """Find a plugin in directories, the first match.

        Raises:
            PluginNotFound: there is none.
        """
        ...

    async def run(
        self, plugin: Plugin, request: Request, *, deadline: float, caps: Caps
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
        """
        ...

"""A runner that lets each plugin of a chain begin for all containers at the same moment.

Without it the first plugins of a chain, which wait for each other in the kernel, spread the runs of
those behind them: two firewall plugins were seen to make one chain in one of 48 ADDs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import anyio
from attrs import Factory, define, field

from acni.engine.runner import Runner
from acni.spec.names import PluginType
from acni.spec.plugin import Caps, Plugin, Request, Response

# Who waited so long for the others goes on without them: one of their plugins hangs.
_MOST_SECONDS: Final = 20.0


@define(eq=False)
class Together:
    """A runner in front of another one (see :class:`acni.engine.runner.Runner`): the n-th ADD of a
    container waits until all other containers have reached their n-th, or have ended.

    Attributes:
        runner: What runs the plugins.
        containers: The containers that wait for each other.
        is_on: They do, from now on.
    """

    runner: Runner
    containers: frozenset[str]
    is_on: bool = True
    # How many ADDs each container has come to.
    _reached: dict[str, int] = field(factory=dict[str, int], init=False)
    _ended: set[str] = field(factory=set[str], init=False)
    _changed: anyio.Event = field(default=Factory(anyio.Event), init=False)

    def find(
        self, plugin_type: PluginType, directories: Sequence[str], *, added_by: str | None = None
    ) -> Plugin:
        """Find a plugin as the other runner does."""
        return self.runner.find(plugin_type, directories, added_by=added_by)

    async def run(
        self,
        plugin: Plugin,
        request: Request,
        *,
        deadline: float,
        caps: Caps,
        guard: int | None = None,
    ) -> Response:
        """Run a plugin; an ADD together with those of the other containers."""
        if request.environment.get("CNI_COMMAND") == "ADD":
            await self._wait(request.environment["CNI_CONTAINERID"])
        return await self.runner.run(plugin, request, deadline=deadline, caps=caps, guard=guard)

    def end(self, container_id: str) -> None:
        """Wait no more for a container."""
        self._ended.add(container_id)
        self._wake()

    async def _wait(self, container_id: str) -> None:
        place = self._reached[container_id] = self._reached.get(container_id, 0) + 1
        self._wake()
        with anyio.move_on_after(_MOST_SECONDS):
            while self.is_on and any(self._behind(place)):
                await self._changed.wait()

    def _behind(self, place: int) -> Iterable[bool]:
        return (self._reached.get(other, 0) < place for other in self.containers - self._ended)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

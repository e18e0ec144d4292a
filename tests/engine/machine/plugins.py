"""The plugins of a machine."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

import anyio
import anyio.lowlevel
from attrs import Factory, define

from acni.errors import PluginNotFound
from acni.spec.names import PluginType
from acni.spec.plugin import Caps, Ending, Plugin, Request, Response
from acni.testing import Behaviour, ScriptedRunner
from tests.engine.machine.troubles import Place, Troubles, asked, is_freed

BEHAVIOURS: Final = {
    None: Behaviour(),
    "fails": Behaviour.failing(),
    "fails for now": Behaviour.failing(code=11),
    "is killed": Behaviour(signal=9),
    "prints rubbish": Behaviour(stdout="{"),
}


@define(eq=False)
class Plugins(ScriptedRunner):
    """Plugins with troubles, which a kill of the runtime outlives.

    Attributes:
        asked: What they were asked within the operation, for each attachment and network.
        troubles: What goes wrong within it.
        scopes: Those that a cancellation ends, by container; of others, under the empty text.
        ready: Set whenever an operation ended, or a plugin stands still.
        standing: How many stand still.
        killed: Their runtime was killed.
    """

    asked: defaultdict[object, list[str]] = Factory(lambda: defaultdict(list))
    troubles: Troubles = Factory(Troubles)
    scopes: dict[str, anyio.CancelScope] = Factory(dict[str, anyio.CancelScope])
    ready: anyio.Event = Factory(anyio.Event)
    standing: int = 0
    killed: anyio.Event = Factory(anyio.Event)

    def find(
        self, plugin_type: PluginType, directories: Sequence[str], *, added_by: str | None = None
    ) -> Plugin:
        if self.troubles.is_missing(plugin_type):
            raise PluginNotFound("it is missing", plugin=plugin_type, expected="one")
        return super().find(plugin_type, directories, added_by=added_by)

    async def run(
        self,
        plugin: Plugin,
        request: Request,
        *,
        deadline: float,
        caps: Caps,
        guard: int | None = None,
    ) -> Response:
        if self.killed.is_set():
            return Response(ending=Ending.EXITED, status=1)
        verb, config = request.environment["CNI_COMMAND"], json.loads(request.stdin)
        valid = _valid(config)
        whose: Place | str = config["name"]
        if verb != "GC":
            whose = Place(request.environment["CNI_CONTAINERID"], request.environment["CNI_IFNAME"])
        self.asked[whose].append(asked(verb, plugin.type, valid))
        how = self.troubles.take(verb, plugin.type, whose)
        if how == "is cancelled":
            container = whose.container if isinstance(whose, Place) else ""
            (self.scopes.get(container) or self.scopes[""]).cancel()
        if how == "is killed before":
            return await self._stand()
        if how == "hangs":
            await anyio.lowlevel.checkpoint()
            return Response(ending=Ending.OUT_OF_TIME)
        self.tell(plugin.type, verb, BEHAVIOURS.get(how, Behaviour()))
        response = await super().run(plugin, request, deadline=deadline, caps=caps, guard=guard)
        if how == "is killed after":
            return await self._stand()
        if verb == "GC" and response.status == 0:
            self.held -= {one for one in self.held if is_freed(one, plugin.type, valid)}
        return response

    async def _stand(self) -> Response:
        self.standing += 1
        self.ready.set()
        await self.killed.wait()
        return Response(ending=Ending.EXITED, status=1)


def _valid(config: dict[str, Any]) -> frozenset[Place]:
    told = config.get("cni.dev/valid-attachments", ())
    return frozenset(Place(one["containerID"], one["ifname"]) for one in told)

"""In ten thousand random histories nothing that is alive is ever collected.

A history: some containers that are attached and detached again, with failures, while gc is called
again and again, by callers who know what they had when they called it, and by callers who are asked
inside. What every plugin is told and does is looked at as it happens.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import anyio
import anyio.lowlevel
import pytest
from attrs import Factory, define

from acni import (
    AcniError,
    Attachment,
    AttachmentId,
    NetworkConfig,
    Runtime,
    netns,
    open_runtime,
    parse_network,
)
from acni.spec.plugin import Caps, Ending, Plugin, Request, Response
from acni.testing import ScriptedRunner

HISTORIES: Final = 10_000
AT_LEAST: Final = 100
SECONDS: Final = 15.0

_NETWORK: Final = b'{"cniVersion":"1.1.0","name":"net","plugins":[{"type":"first"}]}'
_FAILED: Final = b'{"code":999,"msg":"told to fail"}'


@define(eq=False)
class Witness(ScriptedRunner):
    """Runs plugins in random times, some of which fail, and looks whom they take something from.

    Attributes:
        alive: What is attached, and nobody has asked to detach.
        broken: What was done to it.
        under_way: The verbs of the plugins that run just now.
    """

    random: random.Random = Factory(random.Random)
    alive: set[AttachmentId] = Factory(set[AttachmentId])
    broken: list[str] = Factory(list[str])
    under_way: list[str] = Factory(list[str])
    collected: int = 0

    async def run(
        self,
        plugin: Plugin,
        request: Request,
        *,
        deadline: float,
        caps: Caps,
        guard: int | None = None,
    ) -> Response:
        """Answer after some turns of the loop, and look before and after."""
        command = request.environment["CNI_COMMAND"]
        self._look(command, request)
        self.under_way.append(command)
        try:
            for _ in range(self.random.choice((0, 0, 1, 3))):
                await anyio.lowlevel.checkpoint()
            self._look(command, request)
            if self.random.random() < 0.04:
                return Response(ending=Ending.EXITED, status=1, stdout=_FAILED)
            return await super().run(plugin, request, deadline=deadline, caps=caps, guard=guard)
        finally:
            self.under_way.remove(command)
            self.calls.clear()

    def _look(self, command: str, request: Request) -> None:
        if command == "GC":
            told = json.loads(request.stdin)["cni.dev/valid-attachments"]
            valid = {AttachmentId(one["containerID"], one["ifname"]) for one in told}
            held = {AttachmentId(*name.split("/")[1:]) for name in self.held}
            self.broken += [f"GC frees {lost}" for lost in (self.alive | held) - valid]
            self.broken += [f"{other} beside GC" for other in self.under_way if other != "GC"]
        if command == "DEL":
            identity = AttachmentId(
                request.environment["CNI_CONTAINERID"], request.environment["CNI_IFNAME"]
            )
            if identity in self.alive:
                self.broken.append(f"DEL of {identity}")
            self.collected += 1


@define(eq=False)
class History:
    """One history in a runtime that saw others before it."""

    runtime: Runtime
    witness: Witness
    network: NetworkConfig
    random: random.Random

    async def run(self, pods: Sequence[Attachment]) -> None:
        async with anyio.create_task_group() as tasks:
            for pod in pods:
                tasks.start_soon(self._live, pod)
            for _ in range(self.random.randint(1, 2)):
                tasks.start_soon(self._collect)

    async def _live(self, pod: Attachment) -> None:
        alive = self.witness.alive
        for _ in range(self.random.randint(1, 2)):
            await self._wait()
            if pod.id not in alive:
                with contextlib.suppress(AcniError):
                    await self.runtime.add(self.network, pod)
                    alive.add(pod.id)
            elif self.random.random() < 0.5:
                alive.discard(pod.id)  # from here on anybody may detach it
                with contextlib.suppress(AcniError):
                    await self.runtime.delete(pod.id)

    async def _collect(self) -> None:
        await self._wait()
        alive = self.witness.alive
        if self.random.random() < 0.5:
            await self.runtime.gc(self.network, keep=frozenset(alive))
        else:
            await self.runtime.gc(self.network, keep=lambda: alive)

    async def _wait(self) -> None:
        for _ in range(self.random.choice((0, 1, 2, 5))):
            await anyio.lowlevel.checkpoint()


@pytest.mark.deep
@pytest.mark.netns
@pytest.mark.rule("R24", "R27", "R59")
def test_in_random_histories_nothing_that_is_alive_is_ever_collected(
    state_dir: Path, request: pytest.FixtureRequest
) -> None:
    """As many as there is time for, and some; with ``--crash whole`` all of them."""
    seed = random.randrange(1 << 32)  # noqa: S311
    seconds = math.inf if request.config.getoption("--crash") == "whole" else SECONDS
    count, witness = anyio.run(_histories, state_dir, seed, seconds)
    print(f"seed {seed}: {count} histories, {witness.collected} DELs")
    assert witness.broken == [], f"seed {seed}"
    assert count > AT_LEAST


async def _histories(state_dir: Path, seed: int, seconds: float) -> tuple[int, Witness]:
    chance = random.Random(seed)  # noqa: S311
    witness = Witness(random=chance)
    network = parse_network(_NETWORK)
    give_up = time.monotonic() + seconds
    with contextlib.ExitStack() as stack:
        boxes = [stack.enter_context(netns.anonymous()) for _ in range(3)]
        pods = [
            Attachment(container_id=f"c{number}", netns=box.path)
            for number, box in enumerate(boxes)
        ]
        async with open_runtime(
            state_dir=state_dir,
            plugin_dirs=["/plugins"],
            runner=witness,
            durability="process",
            recover=False,
        ) as runtime:
            for count in itertools.count():
                is_late = count > AT_LEAST and time.monotonic() > give_up
                if count == HISTORIES or witness.broken or is_late:
                    return count, witness
                chosen = chance.sample(pods, chance.randint(1, len(pods)))
                await History(runtime, witness, network, chance).run(chosen)
    raise AssertionError

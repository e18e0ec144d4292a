"""Who waits for a plugin that hangs: nobody but its own container and its network's first ones.

``python benchmarks/fairness.py [ROUNDS]``, as root, in a private host. In each round 100 containers
are attached and detached, 16 at once, once with an ADD of another network hanging for all of that
time and once without, by turns. The plugin double answers after 2 ms. Printed is the time that an
attach and detach took, the 99th of 100, as the median of the rounds, and the ratio of both.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack, nullcontext

import anyio

from acni import Attachment, Limits, Runtime, netns, open_runtime, parse_network
from acni.testing import Behaviour, ScriptedRunner, enter_private_host

CONTAINERS = 100
AT_ONCE = 16
MOST_RATIO = 1.3

CHAIN = [{"type": "bridge"}, {"type": "portmap"}]
NETWORK, HANGING = (
    parse_network(json.dumps({"cniVersion": "1.0.0", "name": name, "plugins": chain}).encode())
    for name, chain in (("net", CHAIN), ("hanging", [{"type": "hangs"}]))
)


async def come_and_go(runtime: Runtime, spaces: list[netns.Namespace]) -> float:
    """Attach and detach every container; return the 99th of 100 of what each took, in seconds."""
    took: list[float] = []
    limiter = anyio.CapacityLimiter(AT_ONCE)

    async def one(number: int, space: netns.Namespace) -> None:
        async with limiter:
            begun = time.perf_counter()
            attachment = Attachment(container_id=f"c{number}", netns=space.path)
            await runtime.add(NETWORK, attachment)
            await runtime.delete(attachment.id)
            took.append(time.perf_counter() - begun)

    async with anyio.create_task_group() as tasks:
        for number, space in enumerate(spaces):
            tasks.start_soon(one, number, space)
    return sorted(took)[-1 - len(took) // 100]


async def main(rounds: int) -> None:
    """Print the figures."""
    scripted = ScriptedRunner()
    for kind in ("bridge", "portmap"):
        scripted.tell(kind, "ADD", Behaviour(seconds=0.002))
        scripted.tell(kind, "DEL", Behaviour(seconds=0.002))
    scripted.tell("hangs", "ADD", Behaviour(seconds=3600))
    figures: dict[bool, list[float]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        spaces = [stack.enter_context(netns.anonymous()) for _ in range(CONTAINERS)]
        stuck = Attachment(container_id="stuck", netns=stack.enter_context(netns.anonymous()).path)
        async with open_runtime(
            state_dir=f"{directory}/state",
            plugin_dirs=["/plugins"],
            runner=scripted,
            limits=Limits(plugins=AT_ONCE + 1),
        ) as runtime:
            await come_and_go(runtime, spaces)
            for _ in range(rounds):
                for hangs in (False, True):
                    async with anyio.create_task_group() as tasks:
                        pause = scripted.paused("hangs", "ADD") if hangs else nullcontext()
                        with pause as reached:
                            if reached is not None:
                                tasks.start_soon(runtime.add, HANGING, stuck)
                                await reached.wait()
                            figures[hangs].append(await come_and_go(runtime, spaces))
                            tasks.cancel_scope.cancel()
    alone, beside = (statistics.median(figures[hangs]) for hangs in (False, True))
    print(f"99 of 100 attached and detached within {alone * 1e3:.1f} ms")
    print(f"beside an ADD that hangs within {beside * 1e3:.1f} ms: {beside / alone:.2f} times")
    print(f"asked: {MOST_RATIO} times at most, {rounds} rounds")


if __name__ == "__main__":
    enter_private_host()
    for backend in ("asyncio", "trio"):
        print(backend)
        anyio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 15, backend=backend)

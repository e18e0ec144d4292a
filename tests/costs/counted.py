"""Adds and deletes so often, and prints what that cost, as JSON: a program of its own.

``python -m tests.costs.counted LOOP DURABILITY COUNT PLUGIN_DIR``: tasks and own processor time;
with ``ACNI_COSTS=profile`` in the environment calls of functions and waits for threads, too, and
the time is good for nothing.
"""

from __future__ import annotations

import asyncio
import cProfile
import json
import os
import pstats
import resource
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, cast

import anyio
import trio
from attrs import define

from acni import Attachment, netns, networks, open_runtime
from acni.host import process
from acni.testing import enter_private_host


@define(eq=False)
class Counter(trio.abc.Instrument):
    """How many tasks were started."""

    tasks: int = 0

    def task_spawned(self, task: object) -> None:
        """Count one on trio."""
        self.tasks += 1

    def asyncio_task(self, loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> Any:
        """Count one on asyncio, and make it."""
        self.tasks += 1
        return asyncio.Task(coro, loop=loop, **options)

    def begin(self, loop: str) -> None:
        """Count from now on."""
        if loop == "trio":
            trio.lowlevel.add_instrument(self)
        else:
            asyncio.get_running_loop().set_task_factory(self.asyncio_task)


def main(loop: str, durability: str, count: str, plugin_dir: str) -> None:
    """Count everything at once; the profile's own calls count for nothing."""
    enter_private_host()
    take_all_for_quick()
    counter, profile = Counter(), cProfile.Profile()
    with tempfile.TemporaryDirectory(prefix="acni-costs-") as directory, ExitStack() as stack:
        boxes = [stack.enter_context(netns.anonymous()) for _ in range(int(count))]
        options = (directory, durability, plugin_dir, boxes, lambda: counter.begin(loop), profile)
        own = anyio.run(add_and_delete, *options, backend=loop)
    print(json.dumps({"tasks": counter.tasks, "own_us": own} | in_profile(profile)))


def take_all_for_quick() -> None:
    """Let no plugin be slow because the machine is busy: a reader would be counted, too."""
    vars(process)["QUICK_SECONDS"] = 3600.0


def in_profile(profile: cProfile.Profile) -> dict[str, int]:
    """Return how many functions were called, and how often a thread was waited for."""
    try:
        stats = cast("Any", pstats.Stats(profile))
    except TypeError:  # nothing was profiled
        return {}
    waits = sum(
        calls
        for (_, _, name), (_, calls, *_) in stats.stats.items()
        if name in {"run_sync_in_worker_thread", "to_thread_run_sync"}
    )
    return {"calls": stats.total_calls, "waits": waits}


async def add_and_delete(
    directory: str,
    durability: Any,
    plugin_dir: str,
    boxes: list[netns.Namespace],
    begin: Callable[[], None],
    profile: cProfile.Profile,
) -> float:
    """Attach to each namespace and detach from it; microseconds of processor time of our own."""
    network = networks.from_plugins("net", {"type": "noop"}, version="1.0.0")
    profiled = os.environ.get("ACNI_COSTS") == "profile"
    async with open_runtime(
        state_dir=directory, plugin_dirs=[plugin_dir], durability=durability
    ) as runtime:
        begin()
        before = cpu_microseconds()
        if profiled:
            profile.enable()
        for number, box in enumerate(boxes):
            attachment = Attachment(container_id=f"c{number}", netns=box)
            await runtime.add(network, attachment)
            await runtime.delete(attachment.id)
        profile.disable()
        return cpu_microseconds() - before


def cpu_microseconds() -> float:
    """Return the processor time that this process used so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return (usage.ru_utime + usage.ru_stime) * 1e6


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Adds and deletes through acni, as the order in the first argument says: see `harness/orders.py`.

``python runtime.py ORDER``: what it did is printed as a JSON line for each phase, as by every peer.
"""

from __future__ import annotations

import functools
import gc
import json
import resource
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.lowlevel
from attrs import define

import acni
from acni import spec
from acni.events import Event, OperationFinished, OperationStarted, PluginFinished, PluginStarted
from phases import Meter, descriptors, print_phase, status

Do = Callable[[acni.Attachment], Awaitable[object]]
Piece = tuple[str, float, float]

_FIRST_PORT: Final = 10_000


def main(order: dict[str, Any]) -> None:
    """Carry out an order on the loop and with the durability that the peer's name says."""
    _, loop, durability = order["peer"].split(", ")
    options = {"use_uvloop": True} if loop == "uvloop" else {}
    backend = "trio" if loop == "trio" else "asyncio"
    network = spec.parse_network(Path(order["chain"]).read_bytes())
    job = functools.partial(carry_out, order, network, durability, runner=acni.Executables())
    anyio.run(job, backend=backend, backend_options=options)


async def carry_out(
    order: dict[str, Any],
    network: acni.NetworkConfig,
    durability: Any,
    *,
    runner: acni.Executables | acni.BuiltIns,
) -> None:
    """Warm up, and do the work that was ordered."""
    work = order.get("work", "churn")
    limits, seen = None, list[Event]()
    if work == "hold":
        limits = acni.Limits(plugins=order["count"])
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(order["count"] * 8 + 1024, hard), hard))
    async with acni.open_runtime(
        state_dir=order["state"],
        plugin_dirs=order["plugin_dirs"],
        durability=durability,
        runner=runner,
        limits=limits,
        observers=[seen.append] if work == "waterfall" else [],
        # What looks through all records in the background would be measured with the ADDs.
        recover=work != "records",
    ) as runtime:
        if work == "hold":
            await runtime.recover()  # an idle one has looked for what dead ones left, in a thread
        threads = status("Threads")
        add: Do = functools.partial(runtime.add, network)

        async def delete(attachment: acni.Attachment) -> None:
            await runtime.delete(attachment.id)

        await measure(order, "", order["warm_up"], "warm", add)
        await measure(order, "", order["warm_up"], "warm", delete)
        if work == "hold":
            await hold(order, threads, add, delete)
            return
        seen.clear()
        await measure(order, "add", order["count"], "box", add)
        added = tuple(seen)
        await measure(order, "delete", order["count"], "box", delete)
    if work == "waterfall":
        print(json.dumps({"phase": "waterfall", "lanes": lanes(added)}), flush=True)


async def measure(
    order: dict[str, Any],
    phase: str,
    count: int,
    prefix: str,
    do: Do,
    *,
    first: int = 0,
    **more: float,
) -> None:
    """Do something so often, by so many tasks, and print what it took.

    Args:
        order: The order.
        phase: Its name; without one nothing is printed.
        count: How often.
        prefix: What the containers' names begin with.
        do: What is done.
        first: The number of the first container: namespace and interface follow from it.
        more: What is printed beside.
    """
    took: list[float] = []
    numbers = iter(range(first, first + count))
    netns = order["netns"]

    async def work() -> None:
        for number in numbers:
            container_id = f"{prefix}{number:061d}"
            started = time.perf_counter()
            await do(
                acni.Attachment(
                    container_id=container_id,
                    netns=netns[number % len(netns)],
                    ifname=f"eth{number // len(netns)}",
                    cni_args=arguments(container_id),
                    capability_args=ports(number),
                )
            )
            took.append((time.perf_counter() - started) * 1e6)

    before = Meter()
    async with anyio.create_task_group() as tasks:
        for _ in range(min(order["at_once"], count)):
            tasks.start_soon(work)
    if phase:
        print_phase(phase, took, Meter().since(before), **more)


async def hold(order: dict[str, Any], threads: int, add: Do, delete: Do) -> None:
    """Print what each of many ADDs needs while its plugin takes its time, and for how long the loop
    stands still when as many start together.

    Args:
        order: The order.
        threads: How many threads there were before the first ADD.
        add: Adds an attachment.
        delete: Deletes one.
    """
    count = order["count"]
    gc.collect()
    memory, files = status("VmRSS"), descriptors()
    done = 0
    more = {"held": 0.0, "kib_each": 0.0, "threads_more": 0.0, "descriptors_each": 0.0}
    before = Meter()

    async def counted(attachment: acni.Attachment) -> None:
        nonlocal done
        await add(attachment)
        done += 1

    async def watch() -> None:
        while True:
            await anyio.sleep(0.1)
            more["threads_more"] = max(more["threads_more"], status("Threads") - threads)
            # When most plugins run; what waits for its plugin to be started is in flight, too.
            if (running := children()) >= max(more["held"], 1) and done < count:
                more["held"] = running
                more["kib_each"] = (status("VmRSS") - memory) / (count - done)
                more["descriptors_each"] = (descriptors() - files) / (count - done)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        await measure(order, "", count, "box", counted)
        tasks.cancel_scope.cancel()
    print_phase("hold", [0.0] * count, Meter().since(before), **more)
    await measure(order, "", count, "box", delete)
    gc.collect()
    await stand_still(order, add)


async def stand_still(order: dict[str, Any], add: Do) -> None:
    """Start as many ADDs together, of a plugin that is quick; print for how long at most a task
    that does nothing else had no turn.
    """
    async with turns() as lag:
        before = Meter()
        await measure(order, "", order["count"], "lag", add)
        longest = lag.wall
    took = [0.0] * order["count"]
    print_phase("together", took, Meter().since(before), lag_ms=longest)


@define
class Lag:
    """For how long at most a task had to wait for its turn, in milliseconds.

    Attributes:
        wall: As a clock tells it; a machine that does other things lets it wait, too.
        own: How much of a wait the loop's thread computed.
    """

    wall: float = 0.0
    own: float = 0.0


@asynccontextmanager
async def turns() -> AsyncGenerator[Lag]:
    """Let a task do nothing but give up its turns for the length of the block; yields what is known
    of that so far.
    """
    lag = Lag()

    async def tick() -> None:
        wall, own = time.perf_counter(), time.thread_time()
        while True:
            await anyio.lowlevel.checkpoint()
            turn, used = time.perf_counter(), time.thread_time()
            lag.wall = max(lag.wall, (turn - wall) * 1e3)
            lag.own = max(lag.own, (used - own) * 1e3)
            wall, own = turn, used

    async with anyio.create_task_group() as everything:
        everything.start_soon(tick)
        await anyio.sleep(0.1)
        lag.wall = lag.own = 0.0
        yield lag
        everything.cancel_scope.cancel()


def children() -> int:
    """Count the processes that are ours."""
    return len(Path("/proc/thread-self/children").read_text().split())


def lanes(events: tuple[Event, ...]) -> list[tuple[str, list[Piece]]]:
    """Lay out the events of one ADD: a lane for the engine and one for each plugin, each with
    pieces of a kind, a beginning and a length in milliseconds.
    """
    begun = next(event.at for event in events if isinstance(event, OperationStarted))
    ended = next(event.at for event in events if isinstance(event, OperationFinished))
    plugins: list[tuple[str, list[Piece]]] = []
    engine: list[Piece] = []
    free, started = begun, begun
    for event in events:
        if isinstance(event, PluginStarted):
            engine.append(("engine", (free - begun) * 1e3, (event.at - free) * 1e3))
            started = event.at
        elif isinstance(event, PluginFinished):
            free = event.at
            spent = {
                "wait": event.queue_seconds,
                "spawn": event.spawn_seconds,
                "run": 0.0,
                "read": event.read_seconds,
            }
            spent["run"] = free - started - sum(spent.values())
            pieces, at = [], started - begun
            for kind, seconds in spent.items():
                pieces.append((kind, at * 1e3, seconds * 1e3))
                at += seconds
            plugins.append((event.plugin, pieces))
    engine.append(("engine", (free - begun) * 1e3, (ended - free) * 1e3))
    return [("acni", engine), *plugins]


def ports(number: int) -> dict[str, Any]:
    """Return the capability arguments of a pod: a port of its own. A chain that has no such
    capability is not told.
    """
    port = {"hostPort": _FIRST_PORT + number, "containerPort": 80, "protocol": "tcp"}
    return {"portMappings": [port]}


def arguments(container_id: str) -> dict[str, str]:
    """Return the arguments that every container runtime gives its pods."""
    return {
        "IgnoreUnknown": "1",
        "K8S_POD_NAMESPACE": "default",
        "K8S_POD_NAME": container_id,
        "K8S_POD_INFRA_CONTAINER_ID": container_id,
    }


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))

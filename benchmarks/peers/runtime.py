"""Adds and deletes through acni, as the order in the first argument says: see ``compare.py``.

``python acni.py ORDER``: what it did is printed as a JSON line for each phase, like every peer's.
"""

from __future__ import annotations

import functools
import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio

import acni
from acni import spec

Do = Callable[[acni.Attachment], Awaitable[object]]


def main(order: dict[str, Any]) -> None:
    """Carry out an order on the loop and with the durability that the peer's name says."""
    _, loop, durability = order["peer"].split(", ")
    options = {"use_uvloop": True} if loop == "uvloop" else {}
    backend = "trio" if loop == "trio" else "asyncio"
    anyio.run(carry_out, order, durability, backend=backend, backend_options=options)


async def carry_out(order: dict[str, Any], durability: Any) -> None:
    """Warm up, add and delete."""
    network = load(order["chain"])
    async with acni.open_runtime(
        state_dir=order["state"], plugin_dirs=order["plugin_dirs"], durability=durability
    ) as runtime:
        add: Do = functools.partial(runtime.add, network)

        async def delete(attachment: acni.Attachment) -> None:
            await runtime.delete(attachment.id)

        for phase, count, prefix, do in (
            ("", order["warm_up"], "warm", add),
            ("", order["warm_up"], "warm", delete),
            ("add", order["count"], "box", add),
            ("delete", order["count"], "box", delete),
        ):
            await measure(order, phase, count, prefix, do)


def load(path: str) -> acni.NetworkConfig:
    """Load the chain."""
    return spec.parse_network(Path(path).read_bytes())


async def measure(order: dict[str, Any], phase: str, count: int, prefix: str, do: Do) -> None:
    """Do something so often, by so many tasks, and print what it took."""
    took: list[float] = []
    numbers = iter(range(count))
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
                )
            )
            took.append((time.perf_counter() - started) * 1e6)

    own, children, begun = cpu(resource.RUSAGE_SELF), cpu(resource.RUSAGE_CHILDREN), now()
    async with anyio.create_task_group() as tasks:
        for _ in range(order["at_once"]):
            tasks.start_soon(work)
    wall = now() - begun
    own, children = cpu(resource.RUSAGE_SELF) - own, cpu(resource.RUSAGE_CHILDREN) - children
    if phase:
        took.sort()
        line = {
            "phase": phase,
            "ops": count / wall,
            "own_us": own / count,
            "children_us": children / count,
            "p50_us": took[(count - 1) * 50 // 100],
            "p99_us": took[(count - 1) * 99 // 100],
            "max_us": took[-1],
            "took_us": took,
            "peak_kib": status("VmHWM"),
            "threads": status("Threads"),
            "descriptors": len(list(Path("/proc/self/fd").iterdir())) - 1,
        }
        print(json.dumps(line), flush=True)


def arguments(container_id: str) -> dict[str, str]:
    """Return the arguments that every container runtime gives its pods."""
    return {
        "IgnoreUnknown": "1",
        "K8S_POD_NAMESPACE": "default",
        "K8S_POD_NAME": container_id,
        "K8S_POD_INFRA_CONTAINER_ID": container_id,
    }


def now() -> float:
    """Return the time, in seconds."""
    return time.perf_counter()


def cpu(who: int) -> float:
    """Return the processor time used so far, in microseconds."""
    usage = resource.getrusage(who)
    return (usage.ru_utime + usage.ru_stime) * 1e6


def status(name: str) -> int:
    """Return a number of this process's status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise LookupError(name)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))

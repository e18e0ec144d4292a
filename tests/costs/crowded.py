"""Adds and deletes by the usual chain of built-in plugins, with few pods on the host and with many,
and prints how many functions that called, as JSON: a program of its own.

``python -m tests.costs.crowded LOOP FEW MANY``. What the kernel does, and how the processor's time
is divided between it and us, changes nothing in that.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
from contextlib import ExitStack
from typing import Any, Final

import anyio
from attrs import define

from acni import Attachment, BuiltIns, NetworkConfig, Runtime, netns, networks, open_runtime
from acni.testing import enter_private_host

MEASURED: Final = 8
NAMESPACES: Final = 50


@define(eq=False)
class Calls:
    """How many functions were called, in all threads that start after :meth:`begin`."""

    count: int = 0
    is_counting: bool = False

    def begin(self) -> None:
        """Look at each call from now on; count none before ``is_counting``."""
        threading.setprofile(self._look)
        sys.setprofile(self._look)

    def _look(self, frame: object, event: str, argument: object) -> None:
        if self.is_counting and event in {"call", "c_call"}:
            self.count += 1


def main(loop: str, few: str, many: str) -> None:
    """Count everything at once."""
    enter_private_host()
    with tempfile.TemporaryDirectory(prefix="acni-crowd-") as directory, ExitStack() as stack:
        boxes = [stack.enter_context(netns.anonymous()) for _ in range(NAMESPACES)]
        told = anyio.run(measure, directory, boxes, int(few), int(many), backend=loop)
    print(json.dumps(told))


async def measure(
    directory: str, boxes: list[netns.Namespace], few: int, many: int
) -> dict[str, list[float]]:
    """Return calls of an ADD and of a DEL: first beside few pods, then beside many."""
    calls = Calls()
    calls.begin()
    network = usual_chain(f"{directory}/leases")
    told: dict[str, list[float]] = {"add": [], "delete": []}
    with BuiltIns() as runner:
        async with open_runtime(
            state_dir=f"{directory}/state", plugin_dirs=[directory], runner=runner
        ) as runtime:
            there = 0
            for crowd in (few, many):
                for number in range(there, crowd):
                    await runtime.add(network, pod(number, boxes))
                there = crowd
                await one_more(runtime, network, boxes, there)  # what only the first one does
                for verb, count in (await one_more(runtime, network, boxes, there, calls)).items():
                    told[verb].append(count)
    return told


async def one_more(
    runtime: Runtime,
    network: NetworkConfig,
    boxes: list[netns.Namespace],
    there: int,
    calls: Calls | None = None,
) -> dict[str, float]:
    """Add some pods, and delete them; return how many functions each called."""
    calls = calls or Calls()
    pods = [pod(there + number, boxes) for number in range(MEASURED)]
    found: dict[str, float] = {}
    for verb in ("add", "delete"):
        calls.count, calls.is_counting = 0, True
        for one in pods:
            if verb == "add":
                await runtime.add(network, one)
            else:
                await runtime.delete(one.id)
        calls.is_counting = False
        found[verb] = calls.count / MEASURED
    return found


def pod(number: int, boxes: list[netns.Namespace]) -> Attachment:
    """Return an attachment with a port of the host."""
    mapping: dict[str, Any] = {"hostPort": 10_000 + number, "containerPort": 80, "protocol": "tcp"}
    return Attachment(
        container_id=f"c{number}",
        netns=boxes[number % len(boxes)],
        ifname=f"eth{number // len(boxes)}",
        capability_args={"portMappings": [mapping]},
    )


def usual_chain(leases: str) -> NetworkConfig:
    """Return the chain that most nodes have."""
    ipam = {"type": "host-local", "dataDir": leases, "ranges": [[{"subnet": "10.88.0.0/16"}]]}
    return networks.from_plugins(
        "net",
        {"type": "bridge", "bridge": "br0", "isGateway": True, "ipMasq": True, "ipam": ipam},
        {"type": "portmap", "capabilities": {"portMappings": True}},
        {"type": "firewall"},
        version="1.0.0",
    )


if __name__ == "__main__":
    main(*sys.argv[1:])

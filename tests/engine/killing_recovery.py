"""A runtime that is killed after each message to the kernel by which recover puts back what
somebody flushed, as the script of a process.

Called with a directory and a network's configuration in a network namespace of its own:
prints how many points there were, and fails where the next recover does not make all of it whole.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import anyio

import acni
from acni.netlink.wire import KernelWire

MOST = 100
PODS = 1
KILLED = 9


def rules() -> list[Any]:
    """What the table has, but for handles."""
    listed = subprocess.run(
        ["nft", "-j", "list", "ruleset"], capture_output=True, timeout=30, check=True
    )
    found = [one for one in json.loads(listed.stdout)["nftables"] if "metainfo" not in one]
    for one in found:
        for said in one.values():
            said.pop("handle", None)
    return sorted(found, key=json.dumps)


def die_after(number: int) -> None:
    """Die after the message of this number from now on."""
    send, numbers = KernelWire.send, count(1)

    def sending(wire: KernelWire, data: bytes) -> None:
        is_this = next(numbers) == number  # of several threads
        send(wire, data)
        if is_this:
            os._exit(KILLED)

    KernelWire.send = sending  # type: ignore[method-assign, assignment]


async def work(
    directory: Path, network: acni.NetworkConfig, boxes: Sequence[acni.netns.Namespace]
) -> None:
    """Attach a pod in each of these namespaces, and recover."""
    with acni.BuiltIns() as runner:
        async with acni.open_runtime(
            state_dir=directory / "state",
            plugin_dirs=["/plugins"],
            runner=runner,
            recover=False,
            durability="process",
        ) as runtime:
            for number, box in enumerate(boxes):
                wanted = [{"hostPort": 8080 + number, "containerPort": 80, "protocol": "tcp"}]
                attachment = acni.Attachment(
                    container_id=f"c{number}",
                    netns=box.path,
                    capability_args={"portMappings": wanted},
                )
                await runtime.add(network, attachment)
            assert (await runtime.recover()).failures == ()


def status_of(run: Callable[[], object]) -> int:
    """Return the exit status of a child: this process runs no loop, and so has no thread."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            run()
            status = 0
        except BaseException:  # noqa: ASYNC103, BLE001 (whatever it is, the test is told)
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    directory, text = Path(sys.argv[1]), sys.argv[2]
    network = acni.parse_network(text.encode())

    for module in ("anyio._backends._asyncio", "acni.plugins.bridge", "acni.plugins.portmap"):
        importlib.import_module(module)  # children need not

    def run(*boxes: acni.netns.Namespace) -> None:
        anyio.run(work, directory, network, boxes)

    def die(point: int) -> None:
        die_after(point)
        run()

    with ExitStack() as made:
        boxes = [made.enter_context(acni.netns.anonymous()) for _ in range(PODS)]
        assert status_of(lambda: run(*boxes)) == 0
        whole = rules()
        for point in range(1, MOST):
            subprocess.run(["nft", "flush", "ruleset"], check=True, timeout=30)
            status = status_of(partial(die, point))
            if status == 0:
                print(point)
                return
            assert status == KILLED
            assert status_of(run) == 0
            assert rules() == whole, point


if __name__ == "__main__":
    main()

"""Built-in plugins: through acni as in `runtime.py`, beside more and more pods, and alone.

``python builtin.py ORDER``: a JSON line for each phase, like every peer's.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import json
import socket
import sys
import time
from collections.abc import Iterable
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final

import anyio

import acni
from acni import spec
from acni.netlink.netfilter import Netfilter
from acni.plugins.catalog import BUILT_IN
from acni.plugins.elements import put, take_out
from acni.plugins.owners import Owner
from acni.plugins.podelements import Port, masquerading, publishing
from acni.plugins.tables import Entry
from acni.plugins.workers import Sleepers
from acni.skel import Bounds
from acni.skel.delegation import Delegates
from acni.skel.respond import respond
from harness.orders import ALONE, CROWDS, IDLE, RULES
from phases import Meter, print_phase, status
from runtime import Do, carry_out, measure, turns

# Between the two of them memory is looked at: before, the interpreter's own still grows.
_SETTLED: Final = 100
_IDLE_SECONDS: Final = 0.3
_FIRST_ADDRESS: Final = IPv4Address("10.88.0.2")
_FIRST_PORT: Final = 10_000


def main(order: dict[str, Any]) -> None:
    """Carry out an order."""
    if order["peer"] == ALONE:
        alone(order)
        return
    if order["peer"] == RULES:
        rules(order)
        return
    if order["peer"] == IDLE:
        anyio.run(idle)
        return
    _, loop, durability, _ = order["peer"].split(", ")
    network = spec.parse_network(Path(order["chain"]).read_bytes())
    works = {"churn": carry_out, "crowd": crowd, "turns": take_turns}
    with acni.BuiltIns() as runner:
        job = functools.partial(works[order["work"]], order, network, durability, runner=runner)
        anyio.run(job, backend=loop)


def alone(order: dict[str, Any]) -> None:
    """Run the verbs of the plugin in this thread, without a runtime around them."""
    chain = json.loads(Path(order["chain"]).read_bytes())
    plugin = {**chain["plugins"][0], "cniVersion": chain["cniVersion"], "name": chain["name"]}
    sleepers, delegates = Sleepers(), Delegates(built_in=BUILT_IN)
    results: dict[int, dict[str, object]] = {}

    def run(command: str, number: int) -> float:
        environment = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": f"box{number:061d}",
            "CNI_NETNS": order["netns"][number],
            "CNI_IFNAME": "eth0",
            "CNI_PATH": order["plugin_dirs"][0],
        }
        previous = {"prevResult": results.pop(number)} if command == "DEL" else {}
        stdin = json.dumps({**plugin, **previous}).encode()
        request = spec.Request(environment=environment, stdin=stdin)
        bounds = Bounds(time.monotonic() + 60)
        started = time.perf_counter()
        response = respond(
            BUILT_IN["bridge"], request, bounds=bounds, delegates=delegates, leave=sleepers.leave
        )
        took = (time.perf_counter() - started) * 1e6
        if response.status:
            raise RuntimeError(response.stdout.decode())
        if command == "ADD":
            results[number] = json.loads(response.stdout)
        return took

    for is_measured in (False, True):
        for command, phase in (("ADD", "add"), ("DEL", "delete")):
            before = Meter()
            took = [run(command, number) for number in range(order["count"])]
            if is_measured:
                print_phase(phase, took, Meter().since(before))
    sleepers.close(time.monotonic() + 10)


def rules(order: dict[str, Any]) -> None:
    """Put what one pod has into the table and take it out again, as bridge and portmap do, beside
    what 10, 100 and 1,000 others have there.
    """
    with contextlib.closing(Netfilter.open()) as netfilter:
        beside = 0
        for others in CROWDS:
            for number in range(beside, others):
                _put_in(netfilter, _rules_of(number))
            beside = others
            own = [_rules_of(others + number) for number in range(order["count"])]
            for is_measured in (False, True):
                for do, phase in ((_put_in, "add"), (_take_out, "delete")):
                    before, took = Meter(), list[float]()
                    for entries in own:
                        started = time.perf_counter()
                        do(netfilter, entries)
                        took.append((time.perf_counter() - started) * 1e6)
                    if is_measured:
                        print_phase(phase, took, Meter().since(before), records=others)


def _rules_of(number: int) -> tuple[Entry, Entry]:
    owner = Owner("net", acni.AttachmentId(f"box{number:061d}", "eth0"))
    address = _FIRST_ADDRESS + number
    port = Port(protocol=socket.IPPROTO_TCP, host_port=_FIRST_PORT + number, pod_port=80)
    return masquerading(owner, address), publishing(owner, address, [port])


def _put_in(netfilter: Netfilter, entries: Iterable[Entry]) -> None:
    for entry in entries:
        put(netfilter, [entry])


def _take_out(netfilter: Netfilter, entries: Iterable[Entry]) -> None:
    for entry in entries:
        take_out(netfilter, [entry])


async def crowd(
    order: dict[str, Any], network: acni.NetworkConfig, durability: Any, *, runner: acni.BuiltIns
) -> None:
    """Add and delete some pods beside 10, 100 and 1,000 others; print what they cost, and by how
    much each of the others lets this process grow.
    """
    async with acni.open_runtime(
        state_dir=order["state"],
        plugin_dirs=order["plugin_dirs"],
        durability=durability,
        runner=runner,
        recover=False,
    ) as runtime:
        add, delete = _verbs(runtime, network)
        together = order | {"at_once": 8}
        beside, settled = 0, 0
        before = Meter()
        for others in CROWDS:
            await measure(together, "", others - beside, "pod", add, first=beside)
            beside = others
            for is_measured in (False, True):
                for verb, phase in ((add, "add"), (delete, "delete")):
                    await measure(
                        order,
                        phase if is_measured else "",
                        order["count"],
                        "box",
                        verb,
                        first=beside,
                        records=others,
                    )
            gc.collect()
            settled = status("VmRSS") if others == _SETTLED else settled
        grown = (status("VmRSS") - settled) / (beside - _SETTLED)
        print_phase("crowd", [0.0] * beside, Meter().since(before), kib_each=grown)
        await measure(together, "", beside, "pod", delete)


async def take_turns(
    order: dict[str, Any], network: acni.NetworkConfig, durability: Any, *, runner: acni.BuiltIns
) -> None:
    """Add and delete pods beside a task that does nothing but give up its turns."""
    async with acni.open_runtime(
        state_dir=order["state"],
        plugin_dirs=order["plugin_dirs"],
        durability=durability,
        runner=runner,
        recover=False,
    ) as runtime:
        add, delete = _verbs(runtime, network)
        await measure(order, "", order["count"], "warm", add)
        await measure(order, "", order["count"], "warm", delete)
        before = Meter()
        async with turns() as lag:
            await measure(order, "", order["count"], "box", add)
            await measure(order, "", order["count"], "box", delete)
            longest = {"lag_ms": lag.wall, "lag_own_ms": lag.own}
        print_phase("turns", [0.0] * order["count"], Meter().since(before), **longest)


async def idle() -> None:
    """Do the same without anything beside: what the machine itself lets a task wait."""
    before = Meter()
    async with turns() as lag:
        await anyio.sleep(_IDLE_SECONDS)
        longest = {"lag_ms": lag.wall, "lag_own_ms": lag.own}
    print_phase("turns", [0.0], Meter().since(before), **longest)


def _verbs(runtime: acni.Runtime, network: acni.NetworkConfig) -> tuple[Do, Do]:
    async def delete(attachment: acni.Attachment) -> None:
        await runtime.delete(attachment.id)

    return functools.partial(runtime.add, network), delete


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))

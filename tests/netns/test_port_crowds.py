"""Crowds of pods in two processes, on one table of the firewall: each gets the ports that it wants,
or none of them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from typing import IO, TYPE_CHECKING, Any, Final

import pytest
from attrs import frozen

from acni.netlink.netfilter import Netfilter
from acni.plugins.elements import put
from acni.plugins.owners import Owner
from acni.plugins.podelements import Port, masquerading, publishing
from acni.spec.attachment import AttachmentId
from tests.crash.rules import elements
from tests.crash.scenarios import PORTS_CHAIN, built_in
from tests.engine.builtin_world import RULES

if TYPE_CHECKING:
    from tests.netns.conftest import Host, Pod

pytestmark = [pytest.mark.netns, pytest.mark.deep]

PODS: Final = 32
CONTESTED: Final = 12
SECONDS: Final = 120.0

# A runtime of its own, which does what it is told line by line, with all its pods at once, and says
# what became of each.
RUNTIME: Final = """
import json, sys
import anyio, anyio.to_thread, acni

SECONDS = acni.Timeouts(add=100, delete=100, wait=100)
state_dir, network, pods, loop = sys.argv[1:]
pods = json.loads(pods)

async def do(runtime, parsed, verb, name, said):
    ports = [acni.PortMapping(**each) for each in pods[name]]
    attachment = acni.Attachment(
        container_id=name,
        netns=f"/run/netns/{name}",
        capability_args={"portMappings": ports},
    )
    try:
        if verb == "add":
            await runtime.add(parsed, attachment)
        else:
            await runtime.delete(attachment.id, missing_ok=True)
    except acni.AcniError as error:
        said[name] = [getattr(error, "code", None), str(error)]
    else:
        said[name] = None

async def main():
    parsed = acni.parse_network(network.encode())
    with acni.BuiltIns() as runner:
        async with acni.open_runtime(
            state_dir=state_dir, runner=runner, timeouts=SECONDS
        ) as runtime:
            print("ready", flush=True)
            while verb := (await anyio.to_thread.run_sync(sys.stdin.readline)).strip():
                said = {}
                async with anyio.create_task_group() as tasks:
                    for name in pods:
                        tasks.start_soon(do, runtime, parsed, verb, name, said)
                print(json.dumps(said), flush=True)

anyio.run(main, backend=loop)
"""

Ports = Sequence[Mapping[str, Any]]
Said = Mapping[str, tuple[int | None, str] | None]


def network(host: Host) -> str:
    leases = str(host.state_dir.with_name("leases"))
    plugins = [built_in(plugin, leases=leases, backups="") for plugin in PORTS_CHAIN.split()]
    return json.dumps({"cniVersion": "1.1.0", "name": "net", "plugins": plugins})


def ports_of(side: int, number: int) -> Ports:
    """Return what a pod wants: ports of its own, one that is picked, and of the first pods one
    more, which one of the other process wants as well; at each address of the host, or at one.
    """
    own = 20_000 + 100 * side + number
    ports = [{"host": own, "container": 80, "protocol": name} for name in ("tcp", "udp")]
    ports.append({"host": 0, "container": 82})
    if number < CONTESTED:
        wanted: dict[str, Any] = {"host": 21_000 + number, "container": 81}
        if side == 0 and number % 3 == 0:
            wanted["host_ip"] = "127.0.0.1"
        if number % 2:
            wanted["protocol"] = "udp"
        ports.append(wanted)
    return ports


@frozen
class Process:
    """A process with a runtime.

    Attributes:
        told: Where it is told.
        says: Where it says something.
    """

    told: IO[str]
    says: IO[str]

    def tell(self, verb: str) -> None:
        """Have something done."""
        self.told.write(f"{verb}\n")
        self.told.flush()

    def said(self) -> Said:
        """Return what became of it."""
        said: Said = json.loads(self.says.readline())
        return said


@contextmanager
def process(host: Host, pods: Mapping[str, Ports], loop: str) -> Iterator[Process]:
    arguments = [str(host.state_dir), network(host), json.dumps(pods), loop]
    with subprocess.Popen(
        [sys.executable, "-c", RUNTIME, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as started:
        assert started.stdin is not None
        assert started.stdout is not None
        try:
            assert started.stdout.readline() == "ready\n"
            yield Process(started.stdin, started.stdout)
            started.stdin.close()
            assert started.wait(SECONDS) == 0
        finally:
            started.kill()


def leave_former_owners() -> None:
    """Leave elements of nobody at each address that is given, as of pods that were lost."""
    firewall = Netfilter.open()
    try:
        for number in range(2, 2 * PODS + 2):
            owner = Owner("net", AttachmentId(f"former{number}"))
            for text in (f"10.9.0.{number}", f"fd00:9::{number:x}"):
                address = ip_address(text)
                port = Port(protocol=6, host_port=30_000 + number, pod_port=80)
                put(firewall, [masquerading(owner, address), publishing(owner, address, [port])])
    finally:
        firewall.close()


@pytest.mark.parametrize("has_former", [False, True], ids=["new addresses", "former owners"])
def test_no_element_is_lost_and_no_port_is_given_twice(
    host: Host, make_pod: Callable[[str], Pod], has_former: bool
) -> None:
    if has_former:
        leave_former_owners()
    sides = [{f"p{side}-{n}": ports_of(side, n) for n in range(PODS)} for side in range(2)]
    for pods in sides:
        for name in pods:
            make_pod(name)
    with ExitStack() as stack:
        processes = [
            stack.enter_context(process(host, pods, loop))
            for pods, loop in zip(sides, ("asyncio", "trio"), strict=True)
        ]
        said = at_once(processes, "add")
        refused = {name: error for name, error in said.items() if error is not None}
        for number in range(CONTESTED):
            assert len({f"p{side}-{number}" for side in range(2)} & refused.keys()) == 1, number
        assert len(refused) == CONTESTED, refused
        assert {code for code, _ in refused.values()} == {110}, refused
        attached = sorted(said.keys() - refused.keys())
        assert host.records() == sorted(f"net-{name}-eth0" for name in attached)
        assert elements() == expected(attached)
        assert {*at_once(processes, "delete").values()} == {None}
        assert (elements(), host.records()) == ([], [])
    assert [line for line in host.look().links if line.startswith("veth")] == []


def at_once(processes: Sequence[Process], verb: str) -> dict[str, tuple[int | None, str] | None]:
    """Have all processes do something with all their pods."""
    for each in processes:
        each.tell(verb)
    return {name: error for each in processes for name, error in each.said().items()}


def expected(attached: Sequence[str]) -> list[str]:
    """Return what the firewall has of pods; a port at one address is in a map of its own."""
    found: list[str] = []
    for name in attached:
        side, number = map(int, name[1:].split("-"))
        names = [one for one in RULES if not one.startswith("host")]
        for one in ports_of(side, number):
            names += ["hostaddresses4"] if "host_ip" in one else ["hostports4", "hostports6"]
        found += [f"acni net {name} eth0: {one}" for one in names]
    return sorted(found)

"""``nft flush ruleset`` by anybody, at any moment of many ADDs: after recover nothing that was
added lacks anything, and nothing is left of what failed.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread
import pytest
from attrs import define

import acni
from acni import Attachment, AttachmentId, BuiltIns, PluginFailed, netns
from acni.events import Event, PluginFinished
from acni.host.netns import own
from acni.netns import Namespace
from acni.plugins.catalog import BUILT_IN
from acni.skel import Call, PluginError, Verbs
from acni.spec.result import Result
from tests.engine.builtin_world import ip, leases_in, links
from tests.netlink.nft import all_elements
from tests.plugins.traffic import seen_from

pytestmark = [
    pytest.mark.netns,
    pytest.mark.usefixtures("clean_host", "no_plugin_thread_left"),
]

AT_ONCE: Final = 16
FIRST_PORT: Final = 8000
HOST, OUTSIDE = "192.0.2.1", "192.0.2.9"
REFUSAL: Final = "one of those that fail"
FLUSHES: Final = ("flush ruleset", "delete table inet acni")
# Of each container, but for its port.
SETS: Final = ("owners4", "masquerade4", "published4", "returning4", "selves4")


def refuse_some(call: Call) -> Result:
    """Refuse every fifth container, behind all that was made for it."""
    if int(call.container_id[1:]) % 5 == 4:
        raise PluginError(120, REFUSAL)
    assert call.previous is not None
    return call.previous


@pytest.fixture
def runner() -> Iterator[BuiltIns]:
    verbs = Verbs(add=refuse_some, delete=lambda _: None)
    with BuiltIns(plugins={**BUILT_IN, "second": verbs}) as made:
        yield made


@define(eq=False)
class Flushing:
    """Somebody who flushes the rules whenever so many plugins have ended, while others run.

    Attributes:
        every: How many.
    """

    every: int
    ended: int = 0
    flushes: int = 0
    _is_due: anyio.Event | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, PluginFinished) and event.command == "ADD":
            self.ended += 1
            if self.ended % self.every == 0 and self._is_due is not None:
                self._is_due.set()

    async def run(self) -> None:
        while True:
            self._is_due = anyio.Event()
            await self._is_due.wait()
            words = FLUSHES[self.flushes % len(FLUSHES)].split()
            self.flushes += 1
            run = partial(subprocess.run, ["nft", *words], capture_output=True, timeout=30)
            await anyio.to_thread.run_sync(partial(run, check=False))  # it may be gone already


@contextmanager
def outside() -> Iterator[Namespace]:
    """A neighbour of the host, which knows no way to the containers."""
    with netns.anonymous() as made:
        peer = ("peer", "name", "eth0", "netns", made.path)
        ip("link", "add", "up0", "type", "veth", *peer)
        ip("address", "add", f"{HOST}/24", "dev", "up0")
        ip("link", "set", "up0", "up")
        made.call(lambda: ip("address", "add", f"{OUTSIDE}/24", "dev", "eth0"))
        made.call(lambda: ip("link", "set", "eth0", "up"))
        yield made
        ip("link", "delete", "up0")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("pods", "every"),
    [(16, 7), *(pytest.param(64, every, marks=pytest.mark.deep) for every in (5, 17))],
)
async def test_whenever_somebody_flushes_the_rules_recover_puts_back_all_that_was_added(
    state_dir: Path, tmp_path: Path, runner: BuiltIns, pods: int, every: int
) -> None:
    leases, flushing = tmp_path / "leases", Flushing(every)
    network = acni.parse_network(json.dumps(configuration(leases)).encode())
    added: dict[AttachmentId, Result] = {}
    refused: list[tuple[str | None, object]] = []
    limiter = anyio.CapacityLimiter(AT_ONCE)
    with ExitStack() as made, outside() as neighbour, own() as host:
        boxes = [made.enter_context(netns.anonymous()) for _ in range(pods)]
        async with acni.open_runtime(
            state_dir=state_dir,
            plugin_dirs=["/plugins"],
            runner=runner,
            recover=False,
            durability="process",
            observers=[flushing],
        ) as runtime:

            async def add(number: int) -> None:
                attachment = attachment_of(number, boxes[number])
                async with limiter:
                    try:
                        added[attachment.id] = await runtime.add(network, attachment)
                    except PluginFailed as error:
                        refused.append((error.msg, error.debt))

            async with anyio.create_task_group() as flushes:
                flushes.start_soon(flushing.run)
                async with anyio.create_task_group() as adds:
                    for number in range(pods):
                        adds.start_soon(add, number)
                flushes.cancel_scope.cancel()
            assert flushing.flushes > 0
            assert refused == [(REFUSAL, None)] * (pods // 5)
            assert len(added) == pods - len(refused)

            report = await runtime.recover()
            assert (report.settled, report.owed, report.failures) == ((), (), ())
            assert elements(host) == expected(added)
            assert leases_in(leases) == {str(one) for one in added} == links() - {"?"}
            for one in added:
                await runtime.check(one)
            number = min(int(one.container_id[1:]) for one in added)
            port = FIRST_PORT + number
            assert seen_from(neighbour, boxes[number], HOST, port=port, listens=80) == OUTSIDE
            assert seen_from(boxes[number], neighbour, OUTSIDE) == HOST
            assert (await runtime.recover()).restored == ()

            for one in added:
                await runtime.delete(one)
            assert elements(host) == {}
            assert leases_in(leases) == links() - {"?"} == set()


def configuration(leases: Path) -> Mapping[str, Any]:
    ipam = {"type": "host-local", "dataDir": str(leases), "subnet": "10.9.0.0/16"}
    bridge = {"type": "bridge", "bridge": "br0", "isDefaultGateway": True, "ipMasq": True}
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    plugins = [{**bridge, "ipam": ipam}, portmap, {"type": "second"}]
    return {"cniVersion": "1.1.0", "name": "net", "plugins": plugins}


def attachment_of(number: int, box: Namespace) -> Attachment:
    wanted = [{"hostPort": FIRST_PORT + number, "containerPort": 80, "protocol": "tcp"}]
    return Attachment(
        container_id=f"c{number}", netns=box.path, capability_args={"portMappings": wanted}
    )


def elements(host: Namespace) -> dict[str, set[Any]]:
    """What is in the table of whom: each as the owner and what leads to it."""
    found: dict[str, set[Any]] = {}
    for name, there in all_elements(host).items():
        for one in there if name != "ways" else ():
            key, value = one if isinstance(one, list) else (one, None)
            said = key["elem"]
            pod = value["concat"] if isinstance(value, dict) else None
            found.setdefault(name, set()).add((said["comment"], str(said["val"]), str(pod)))
    return found


def expected(added: Mapping[AttachmentId, Result]) -> dict[str, set[Any]]:
    found: dict[str, set[Any]] = {}
    for one, result in added.items():
        comment, address = f"acni net {one.container_id} {one.ifname}", str(result.ipv4)
        port = FIRST_PORT + int(one.container_id[1:])
        for name in SETS:
            pair = {"concat": [address, address]}
            said = str(pair) if name == "selves4" else address
            found.setdefault(name, set()).add((comment, said, "None"))
        said = str({"concat": ["tcp", port]})
        found.setdefault("hostports4", set()).add((comment, said, str([address, 80])))
    return found

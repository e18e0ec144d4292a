"""Crowds of pods on Debian's plugins: some are cancelled, some killed with their runtime, some gone
before their delete, and nothing is left of any.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread
import pytest
from attrs import Factory, define

from acni import (
    AcniError,
    AttachmentId,
    NetworkConfig,
    PortMapping,
    Runtime,
    Timeouts,
    netns,
    open_runtime,
)
from acni.events import Event, PluginStarted
from tests.commands import all_at_once
from tests.netns.conftest import PLUGINS
from tests.netns.test_plugins import BANDWIDTH, FIREWALL, MASQUERADED, PORTMAP, TUNING

if TYPE_CHECKING:
    from tests.netns.conftest import Host, Pod

pytestmark = [pytest.mark.netns, pytest.mark.deep, pytest.mark.timeout(600)]

CHAIN: Final = (MASQUERADED, TUNING, BANDWIDTH, PORTMAP, FIREWALL)
PODS: Final = 32
ROUNDS: Final = 3
ONE_IN_TEN: Final = 3
COMMANDS: Final = 100
# Nothing here is out of time, however busy the machine is.
PATIENT: Final = Timeouts(wait=500, add=500, delete=500, undo=500)

# A runtime of its own for some of the pods, which says how far it came, until it is killed.
OTHER_RUNTIME: Final = """
import json, sys
import anyio, acni
from acni.events import PluginStarted

state_dir, plugin_dir, network, pods = sys.argv[1:]

def say(event):
    if isinstance(event, PluginStarted):
        print(event.plugin, flush=True)

async def main():
    parsed = acni.parse_network(network.encode())
    async with acni.open_runtime(
        state_dir=state_dir, plugin_dirs=[plugin_dir], observers=[say]
    ) as runtime, anyio.create_task_group() as tasks:
        for name, port in json.loads(pods).items():
            attachment = acni.Attachment(
                container_id=name,
                netns=f"/run/netns/{name}",
                capability_args={"portMappings": [acni.PortMapping(host=port, container=80)]},
            )
            tasks.start_soon(runtime.add, parsed, attachment)
    print("all", flush=True)
    sys.stdin.read()

anyio.run(main)
"""


@define(eq=False)
class Cancelling:
    """An observer that cancels the add of a pod when so many of its plugins were started."""

    scopes: dict[str, tuple[anyio.CancelScope, int]] = Factory(
        dict[str, tuple[anyio.CancelScope, int]]
    )
    started: Counter[str] = Factory(Counter[str])

    def __call__(self, event: Event) -> None:
        if isinstance(event, PluginStarted) and event.command == "ADD":
            self.started[event.container_id] += 1
            scope, at = self.scopes.get(event.container_id, (None, 0))
            if scope is not None and self.started[event.container_id] == at:
                scope.cancel()


@define(eq=False)
class Crowd:
    """The pods of a round, and what becomes of them."""

    network: NetworkConfig
    host: Host
    pods: list[Pod]
    chance: random.Random
    failures: list[AcniError] = Factory(list[AcniError])

    @property
    def cancelled(self) -> list[Pod]:
        return self.pods[:ONE_IN_TEN]

    @property
    def killed(self) -> list[Pod]:
        return self.pods[ONE_IN_TEN : 2 * ONE_IN_TEN]

    @property
    def gone(self) -> list[Pod]:
        return self.pods[2 * ONE_IN_TEN : 3 * ONE_IN_TEN]

    def port(self, pod: Pod) -> int:
        return 20_000 + self.pods.index(pod)

    async def come(self, runtime: Runtime, cancelling: Cancelling) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, self._have_some_killed)
            for pod in self.pods:
                if pod in self.cancelled:
                    at = self.chance.randint(1, len(CHAIN))
                    tasks.start_soon(self._cancel, runtime, cancelling, pod, at)
                elif pod not in self.killed:
                    tasks.start_soon(self._add, runtime, pod)

    async def _add(self, runtime: Runtime, pod: Pod) -> None:
        mapping = PortMapping(host=self.port(pod), container=80)
        attachment = pod.attachment(capability_args={"portMappings": [mapping]})
        try:
            await runtime.add(self.network, attachment)
        except AcniError as error:
            self.failures.append(error)

    async def _cancel(self, runtime: Runtime, cancelling: Cancelling, pod: Pod, at: int) -> None:
        with anyio.CancelScope() as scope:
            cancelling.scopes[pod.name] = scope, at
            await self._add(runtime, pod)

    def _have_some_killed(self) -> None:
        ports = {pod.name: self.port(pod) for pod in self.killed}
        text = json.dumps({"cniVersion": "1.0.0", "name": "net", "plugins": CHAIN})
        arguments = [str(self.host.state_dir), PLUGINS, text, json.dumps(ports)]
        stopped_at = self.chance.randint(1, ONE_IN_TEN * len(CHAIN))
        with subprocess.Popen(
            [sys.executable, "-c", OTHER_RUNTIME, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            for number, _ in enumerate(process.stdout, 1):
                if number == stopped_at:
                    break
            process.kill()

    async def go(self, runtime: Runtime) -> None:
        for pod in self.gone:
            pod.namespace.close()
            netns.delete(pod.name)
        async with anyio.create_task_group() as tasks:
            for pod in self.pods:
                tasks.start_soon(self._delete, runtime, pod)

    async def _delete(self, runtime: Runtime, pod: Pod) -> None:
        try:
            await runtime.delete(pod.attachment().id, missing_ok=True)
        except AcniError as error:
            self.failures.append(error)


@pytest.mark.anyio
@pytest.mark.parametrize("seed", [7])
async def test_of_crowds_on_a_long_chain_nothing_is_left_whatever_became_of_each_pod(
    seed: int, host: Host, make_pod: Callable[[str], Pod]
) -> None:
    network = host.network(*CHAIN)
    cancelling = Cancelling()
    chance = random.Random(seed)  # noqa: S311 (moments, no secrets)
    async with open_runtime(
        state_dir=host.state_dir,
        plugin_dirs=[PLUGINS],
        observers=[cancelling],
        timeouts=PATIENT,
    ) as runtime:
        first = make_pod("first")
        mapping = PortMapping(host=20_000, container=80)
        arguments = {"portMappings": [mapping]}
        await runtime.add(network, first.attachment(capability_args=arguments))
        await runtime.delete(first.attachment().id)
        before = host.look()
        for number in range(ROUNDS):
            pods = [make_pod(f"pod-{number}-{each}") for each in range(PODS)]
            crowd = Crowd(network, host, pods, chance)
            await crowd.come(runtime, cancelling)
            assert crowd.failures == []
            links = len(host.look().links)
            assert links >= len(before.links) + 2 * (PODS - 2 * ONE_IN_TEN)  # veth and ifb
            await crowd.go(runtime)
            await runtime.recover()
            assert crowd.failures == []
            assert await runtime.attachments() == ()
            for pod in pods:
                if pod not in crowd.gone:
                    pod.namespace.close()
                    netns.delete(pod.name)
            host.settles(before, but=[])


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", [pytest.param("asyncio", id="asyncio")])
async def test_a_hundred_commands_on_a_fresh_boot_all_attach_through_the_firewall_plugin(
    host: Host, tmp_path: Path
) -> None:
    """Without a turn for the first one two of them may make one chain, and one fails."""
    before = host.look()
    text = {"cniVersion": "1.0.0", "name": "net", "plugins": [MASQUERADED, FIREWALL]}
    (tmp_path / "net.conflist").write_text(json.dumps(text))
    places = ["--state-dir", str(host.state_dir), "--plugin-dir", PLUGINS]
    places += ["--conf-dir", str(tmp_path)]
    with ExitStack() as stack:
        boxes = [stack.enter_context(netns.anonymous()) for _ in range(COMMANDS)]
        done = all_at_once(
            [
                ["add", "net", box.path, "--container-id", f"c{number}", *places]
                for number, box in enumerate(boxes)
            ]
        )
        assert [(status, said) for status, said in done if status] == []
        assert len(host.records()) == COMMANDS
        async with (
            open_runtime(
                state_dir=host.state_dir, plugin_dirs=[PLUGINS], timeouts=PATIENT
            ) as runtime,
            anyio.create_task_group() as tasks,
        ):
            for number in range(COMMANDS):
                tasks.start_soon(runtime.delete, AttachmentId(f"c{number}"))
    assert [line for line in host.look().beyond(before) if "lease" in line] == []

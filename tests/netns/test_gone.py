"""Containers whose namespace is gone before their delete: Debian's plugins leave nothing on the
host all the same.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from acni import Runtime, netns

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.netns.conftest import Host, Pod

pytestmark = [pytest.mark.anyio, pytest.mark.netns]

BOTH: dict[str, Any] = {
    "type": "host-local",
    "ranges": [[{"subnet": "10.22.0.0/24"}], [{"subnet": "fd00:22::/64"}]],
    "routes": [{"dst": "0.0.0.0/0"}],
}
BRIDGE: dict[str, Any] = {"type": "bridge", "bridge": "br0", "isGateway": True, "ipam": BOTH}
MASQUERADED = BRIDGE | {"ipMasq": True}
PTP: dict[str, Any] = {"type": "ptp", "ipMasq": True, "ipam": BOTH}
MACVLAN: dict[str, Any] = {"type": "macvlan", "master": "up0", "ipam": BOTH}
SBR: dict[str, Any] = {"type": "sbr"}
FIREWALL: dict[str, Any] = {"type": "firewall"}

# The chain, and how many rules of its own a container has in the tables of nat: for each address a
# jump, a chain, and two rules in that.
CHAINS = [
    pytest.param([MASQUERADED], 8, id="bridge"),
    pytest.param([PTP], 8, id="ptp"),
    pytest.param([MASQUERADED, FIREWALL], 8, id="bridge-firewall"),
    pytest.param([BRIDGE, SBR], 0, id="bridge-sbr"),
    pytest.param([MACVLAN, SBR], 0, id="macvlan-sbr"),
]


@pytest.mark.parametrize(("plugins", "count"), CHAINS)
async def test_nothing_is_left_of_a_container_whose_namespace_is_gone(
    plugins: list[dict[str, Any]],
    count: int,
    runtime: Runtime,
    host: Host,
    pods: tuple[Pod, Pod],
    uplink: str,
) -> None:
    network = host.network(*plugins)
    pod, neighbour = pods
    answers = await runtime.add(network, neighbour.attachment())
    await runtime.add(network, pod.attachment())
    await runtime.delete(pod.attachment().id)
    before = host.look()
    await runtime.add(network, pod.attachment())
    assert len(masquerading(host.look().beyond(before))) == count

    pod.namespace.close()
    netns.delete(pod.name)
    host.ran()
    await runtime.delete(pod.attachment().id)

    assert host.ran() == [f"DEL {plugin['type']}" for plugin in reversed(plugins)]
    host.settles(before, but=[f"missing namespace: {pod.name}"])
    assert host.records() == [f"net-{neighbour.name}-eth0"]
    # The neighbour still has its own.
    assert neighbour.namespace.has_interface("eth0")
    assert answers.ipv4 is not None
    await runtime.delete(neighbour.attachment().id)


def masquerading(lines: list[str]) -> list[str]:
    """Choose the lines that name a chain which is one container's."""
    return [line for line in lines if re.search(r"CNI-[0-9a-f]{24}", line)]


async def test_whoever_has_the_path_now_keeps_everything(
    runtime: Runtime, host: Host, pods: tuple[Pod, Pod], make_pod: Callable[[str], Pod]
) -> None:
    network = host.network(MASQUERADED)
    old, neighbour = pods
    await runtime.add(network, neighbour.attachment())
    await runtime.add(network, old.attachment())
    await runtime.delete(old.attachment().id)
    before = host.look()
    await runtime.add(network, old.attachment())
    old.namespace.close()
    netns.delete(old.name)
    new = make_pod(old.name)
    new.ip("link", "add", "eth0", "type", "veth", "peer", "name", "other")
    link = new.ip("addr", "show", "eth0")

    await runtime.delete(old.attachment().id)

    assert new.ip("addr", "show", "eth0") == link
    host.settles(before, but=[])

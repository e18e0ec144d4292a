"""Namespaces that are taken, gone or replaced: nobody's interface is touched but one's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from acni import AttachmentExists, NetnsChanged, NetnsInUse, NetworkConfig, Runtime, netns

if TYPE_CHECKING:
    from tests.netns.conftest import Host, Pod

pytestmark = [pytest.mark.anyio, pytest.mark.netns]

BRIDGE: dict[str, Any] = {
    "type": "bridge",
    "bridge": "br0",
    "isGateway": True,
    "ipam": {"type": "host-local", "subnet": "10.22.0.0/24"},
}
PORTMAP: dict[str, Any] = {"type": "portmap", "capabilities": {"portMappings": True}}
FIREWALL: dict[str, Any] = {"type": "firewall"}
PORTS = {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}


@pytest.fixture
def network(host: Host) -> NetworkConfig:
    return host.network(BRIDGE, PORTMAP, FIREWALL)


# "adjust" lets an interface be there, never another container's.
@pytest.mark.parametrize("existing", ["refuse", "adjust"])
async def test_a_second_container_in_one_namespace_is_refused_before_anything_runs(
    existing: str, runtime: Runtime, host: Host, network: NetworkConfig, pods: tuple[Pod, Pod]
) -> None:
    first, neighbour = pods
    await runtime.add(network, first.attachment())
    answers = (await runtime.add(network, neighbour.attachment())).ipv4
    before = host.look()
    host.ran()

    intruder = first.attachment(container_id="intruder", existing=existing)
    with pytest.raises(NetnsInUse):
        await runtime.add(network, intruder)

    assert host.ran() == []
    assert host.look() == before
    assert await first.pings(answers)
    assert host.records() == ["net-a-eth0", "net-b-eth0"]
    # Nor does deleting the intruder by its configuration take the first one's interface.
    await runtime.delete(intruder, network=network)
    assert host.look() == before
    assert await first.pings(answers)


async def test_of_two_containers_that_claim_one_interface_at_once_one_gets_it(
    runtime: Runtime, host: Host, network: NetworkConfig, pods: tuple[Pod, Pod]
) -> None:
    pod, neighbour = pods
    answers = (await runtime.add(network, neighbour.attachment())).ipv4
    refused: dict[str, NetnsInUse] = {}

    async def claim(container_id: str) -> None:
        try:
            await runtime.add(network, pod.attachment(container_id=container_id))
        except NetnsInUse as error:
            refused[container_id] = error

    async with anyio.create_task_group() as claims:
        for container_id in ("x", "y"):
            claims.start_soon(claim, container_id)

    (winner,) = {"x", "y"} - set(refused)
    assert all(error.rollback is None for error in refused.values())
    assert host.records() == sorted(["net-b-eth0", f"net-{winner}-eth0"])
    assert await pod.pings(answers)


async def test_an_interface_that_merely_exists_is_left_alone(
    runtime: Runtime, host: Host, network: NetworkConfig, pods: tuple[Pod, Pod]
) -> None:
    pod, _ = pods
    pod.ip("link", "add", "eth0", "type", "veth", "peer", "name", "other")
    link = pod.ip("link", "show", "eth0")
    before = host.look()

    with pytest.raises(NetnsInUse):
        await runtime.add(network, pod.attachment())

    assert host.ran() == []
    assert host.look() == before
    assert host.records() == []
    assert pod.ip("link", "show", "eth0") == link


async def test_an_attachment_is_not_added_twice(
    runtime: Runtime, host: Host, network: NetworkConfig, pods: tuple[Pod, Pod]
) -> None:
    first, neighbour = pods
    await runtime.add(network, first.attachment())
    answers = (await runtime.add(network, neighbour.attachment())).ipv4
    before = host.look()
    host.ran()

    # Neither in the same namespace nor in another one.
    for attachment in (first.attachment(), neighbour.attachment(container_id=first.name)):
        with pytest.raises(AttachmentExists):
            await runtime.add(network, attachment)

    assert host.ran() == []
    assert host.look() == before
    assert await first.pings(answers)


async def test_a_namespace_deleted_before_its_delete_leaves_nothing(
    runtime: Runtime, host: Host, network: NetworkConfig, pods: tuple[Pod, Pod]
) -> None:
    pod, neighbour = pods
    for earlier in (pod, neighbour):
        await runtime.add(network, earlier.attachment(capability_args=PORTS))
        await runtime.delete(earlier.attachment().id)
    before = host.look()
    await runtime.add(network, pod.attachment(capability_args=PORTS))
    assert "lease: net/" in "\n".join(host.look().beyond(before))

    pod.namespace.close()
    netns.delete(pod.name)
    with pytest.raises(NetnsChanged):
        await runtime.check(pod.attachment().id)
    await runtime.delete(pod.attachment().id)

    host.settles(before, but=[f"missing namespace: {pod.name}"])
    assert host.records() == []


async def test_a_delete_does_not_touch_the_namespace_that_took_the_path(
    runtime: Runtime,
    host: Host,
    network: NetworkConfig,
    pods: tuple[Pod, Pod],
    make_pod: Callable[[str], Pod],
) -> None:
    old, neighbour = pods
    answers = (await runtime.add(network, neighbour.attachment())).ipv4
    (gone,) = (await runtime.add(network, old.attachment())).ips
    old.namespace.close()
    netns.delete(old.name)
    new = make_pod(old.name)
    assert new.namespace.path == old.namespace.path
    successor = new.attachment(container_id="successor")
    (kept,) = (await runtime.add(network, successor)).ips
    link = new.ip("addr", "show", "eth0")

    await runtime.delete(old.attachment().id)

    assert new.ip("addr", "show", "eth0") == link
    assert await new.pings(answers)
    leases = host.look().leases
    assert f"net/{gone.ip.ip}" not in leases
    assert f"net/{kept.ip.ip}" in leases
    assert host.records() == ["net-b-eth0", "net-successor-eth0"]
    await runtime.delete(successor.id)
    assert not new.namespace.has_interface("eth0")

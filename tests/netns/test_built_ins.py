"""What passes between pods on built-in plugins, and what is left of them: nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from acni import BuiltIns, NetworkConfig, PortMapping, Runtime, networks, open_runtime
from acni.host.netns import own
from tests.netlink.nft import elements_of

if TYPE_CHECKING:
    from tests.netns.conftest import Host, Pod

pytestmark = [pytest.mark.anyio, pytest.mark.netns]

SUBNETS = ("10.22.0.0/24", "fd00:22::/64")


@pytest.fixture
async def built_in(host: Host) -> AsyncIterator[Runtime]:
    """A runtime without any executable."""
    with BuiltIns() as runner:
        async with open_runtime(state_dir=host.state_dir, runner=runner) as opened:
            yield opened


def bridge_of(isolate: bool) -> Any:
    """A network whose whole chain is built in, on a bridge that the host's look knows."""
    whole = networks.bridge("net", *SUBNETS, isolate=isolate)
    first, *others = (dict(plugin.values) for plugin in whole.plugins)
    return networks.from_plugins("net", first | {"bridge": "br0"}, *others)


@pytest.mark.parametrize("isolate", [False, True], ids=["shared", "isolated"])
async def test_pods_reach_the_host_and_each_other_unless_they_are_isolated(
    isolate: bool, built_in: Runtime, host: Host, pods: tuple[Pod, Pod]
) -> None:
    before = host.look()
    network = bridge_of(isolate)
    one, other = pods
    first = await built_in.add(network, one.attachment())
    second = await built_in.add(network, other.attachment())
    with one.serving(80):
        for address in (first.ipv4, first.ipv6):
            assert await host.asks(str(address), 80) == "a hello"
        asked = await other.asks(str(first.ipv4), 80)
        assert asked == ("TimeoutError" if isolate else "a hello")
    assert await other.pings(second.gateway)
    await built_in.check(one.attachment().id)
    for pod in pods:
        await built_in.delete(pod.attachment().id)
    host.settles(before, but=["new link: br0"])
    assert host.records() == []


async def test_routed_pods_reach_the_host_and_each_other_and_share_no_wire(
    built_in: Runtime, host: Host, pods: tuple[Pod, Pod]
) -> None:
    before = host.look()
    network = networks.routed("net", *SUBNETS)
    one, other = pods
    first = await built_in.add(network, one.attachment())
    second = await built_in.add(network, other.attachment())
    with one.serving(80):
        for address in (first.ipv4, first.ipv6):
            assert await host.asks(str(address), 80) == "a hello"
            assert await other.asks(str(address), 80) == "a hello"
    assert await other.pings(second.gateway)
    heard = {line.split()[0] for line in other.ip("neigh").splitlines()}
    assert heard.isdisjoint({str(first.ipv4), str(first.ipv6)})
    await built_in.check(one.attachment().id)
    await built_in.gc(network, keep=[one.attachment().id])
    assert (one.ip("link").count("eth0"), other.ip("link").count("eth0")) == (1, 0)
    await built_in.delete(one.attachment().id)
    host.settles(before, but=[])
    assert host.records() == []


def published() -> NetworkConfig:
    """A chain in which a plugin stands behind portmap."""
    first = networks.bridge("net", *SUBNETS, ports=False).plugins[0].values
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return networks.from_plugins(
        "net", dict(first) | {"bridge": "br0"}, portmap, {"type": "tuning", "mtu": 1400}
    )


async def test_ports_that_are_picked_are_said_and_go_with_their_pods(
    built_in: Runtime, host: Host, pods: tuple[Pod, Pod]
) -> None:
    before = host.look()
    network = published()
    asked = {"portMappings": [PortMapping(host=0, container=80), PortMapping(host=0, container=81)]}
    attachments = [evolve(pod.attachment(), capability_args=asked) for pod in pods]
    results = [await built_in.add(network, attachment) for attachment in attachments]
    said = [result.port_mappings for result in results]
    assert len({port.host for ports in said for port in ports}) == 4
    for pod, (port, _) in zip(pods, said, strict=True):
        with pod.serving(80):
            assert await host.asks("127.0.0.1", port.host) == f"{pod.name} hello"
    assert [row.ports for row in await built_in.attachments()] == said
    for attachment in attachments:
        await built_in.check(attachment.id)
    await built_in.gc(network, keep=[attachments[0].id])
    with own() as here:
        assert len(elements_of(here, "hostports4")) == 2
        await built_in.check(attachments[0].id)
        await built_in.delete(attachments[0].id)
        assert elements_of(here, "hostports4") == []
    host.settles(before, but=["new link: br0"])
    assert host.records() == []

"""A thousand routed pods on one host: more than a bridge has ports, and none costs more than the
first.
"""

from __future__ import annotations

import resource
import statistics
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from attrs import frozen

from acni import Attachment, AttachmentId, BuiltIns, netns, networks, open_runtime
from acni.cli.ping import ping

if TYPE_CHECKING:
    from tests.netns.conftest import Host

pytestmark = [pytest.mark.anyio, pytest.mark.netns, pytest.mark.deep]

PODS: Final = 1040
BATCH: Final = 40
EACH_PINGED: Final = 97
# What others do meanwhile makes one third dearer, or the other; what grows is dearer each time.
MEASUREMENTS: Final = 4

# How much more the last third of the pods may cost than the first.
OWN_GROWTH: Final = 1.25
# The kernel keeps an address that all pods have for their gateway once for each, in one list.
KERNEL_GROWTH: Final = 3.0


@frozen
class Spent:
    """The processor time of a pod.

    Attributes:
        own: This process's own, in seconds.
        kernel: What the kernel took for it.
    """

    own: float
    kernel: float

    def __str__(self) -> str:
        return f"own {self.own * 1e6:.0f} us and the kernel's {self.kernel * 1e6:.0f} us"


@frozen
class Growth:
    """The processor time of a pod, in the first third and in the last."""

    verb: str
    first: Spent
    last: Spent

    @property
    def is_small(self) -> bool:
        """Whether the last third cost about as much as the first."""
        is_own_small = self.last.own <= OWN_GROWTH * self.first.own
        return is_own_small and self.last.kernel <= KERNEL_GROWTH * self.first.kernel

    def __str__(self) -> str:
        return f"{self.verb} of a pod: {self.first} in the first third, {self.last} in the last"


@pytest.fixture
def paths(tmp_path: Path) -> Iterator[Sequence[str]]:
    """The namespaces of a thousand containers: pinned, so that no descriptor is kept of any."""
    pinned: list[str] = []
    try:
        for number in range(PODS):
            path = f"{tmp_path}/pod{number}"
            with netns.anonymous() as made:
                netns.pin(made, path).close()
            pinned.append(path)
        yield pinned
    finally:
        for path in pinned:
            netns.unpin(path)


# In no debug mode, and once: what a plugin's thread does is the same on both loops.
@pytest.mark.parametrize("anyio_backend", [pytest.param(("asyncio", {}), id="asyncio")])
async def test_a_thousand_routed_pods_come_and_go_and_none_costs_more_than_the_first(
    host: Host, paths: Sequence[str], count: Callable[[object], None]
) -> None:
    before = host.look()
    network = networks.routed("net", "10.22.0.0/16", ports=False)
    names = [f"c{number}" for number in range(PODS)]
    addresses: dict[str, str] = {}
    paths_of = dict(zip(names, paths, strict=True))
    both: tuple[Growth, ...] = ()

    with BuiltIns() as runner:
        async with open_runtime(
            state_dir=host.state_dir, runner=runner, durability="process"
        ) as runtime:

            async def attach(name: str) -> None:
                attachment = Attachment(container_id=name, netns=paths_of[name])
                addresses[name] = str((await runtime.add(network, attachment)).ipv4)

            async def detach(name: str) -> None:
                await runtime.delete(AttachmentId(name))

            for _ in range(MEASUREMENTS):
                attached = await _grown("ADD", attach, names)
                assert len(set(addresses.values())) == PODS
                for name, other in zip(names[::EACH_PINGED], names[1::EACH_PINGED], strict=False):
                    with netns.open(paths_of[name]) as namespace:
                        for address in ("10.22.0.1", addresses[other]):
                            assert namespace.call(partial(ping, address)) is not None, address
                both = attached, await _grown("DEL", detach, names)
                for grown in both:
                    count(grown)
                if all(grown.is_small for grown in both):
                    break

    host.settles(before, but=[])
    assert host.records() == []
    assert all(grown.is_small for grown in both), "; ".join(map(str, both))


async def _grown(
    verb: str, operation: Callable[[str], Awaitable[None]], names: Sequence[str]
) -> Growth:
    """Do something for each pod, and see what it costs; the first few warm up."""
    batches: list[Spent] = []
    for begin in range(0, PODS, BATCH):
        own, kernel = _spent()
        for name in names[begin : begin + BATCH]:
            await operation(name)
        now_own, now_kernel = _spent()
        batches.append(Spent((now_own - own) / BATCH, (now_kernel - kernel) / BATCH))
    third = len(batches) // 3
    return Growth(verb, _middle(batches[1 : 1 + third]), _middle(batches[-third:]))


def _middle(batches: Sequence[Spent]) -> Spent:
    """Take the median: what disturbs one batch says nothing of the others."""
    own = statistics.median(batch.own for batch in batches)
    return Spent(own, statistics.median(batch.kernel for batch in batches))


def _spent() -> tuple[float, float]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime, usage.ru_stime

"""What a runtime is doing when it is struck, and what another one does beside it: each in a process
of its own, in the fork server.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Final

import anyio
from attrs import asdict, field, frozen

from acni import (
    AcniError,
    Attachment,
    AttachmentId,
    CleanupIncomplete,
    NetworkConfig,
    PluginFailed,
    PortMapping,
    Runtime,
    Timeouts,
    open_runtime,
    parse_network,
)
from acni.events import Event
from acni.host import netns as host_netns

NETNS: Final = "/run/netns/acni-crash"
PLUGINS: Final = ("first", "second", "third")
# On a host with links, what is built in of a chain, as a text.
BRIDGE_CHAIN: Final = "bridge loopback"
TUNED_CHAIN: Final = f"{BRIDGE_CHAIN} tuning bandwidth"
# With what the firewall is told: masquerading, whose senders are checked, ports of the host, and
# who may reach the container.
_PORTS: Final = "portmap"
PORTS_CHAIN: Final = f"masquerading loopback {_PORTS} firewall"
CONTAINER: Final = AttachmentId("c1")

# No run comes near it, or the machine's load would have a say in what is found.
_SECONDS: Final = 60.0
# What holds the guard and is no plugin is waited for that long; in a case of its own.
_SECONDS_WITH_DAEMON: Final = 1.0
# Some twenty times of what it takes; who stands still may have a lock, and then it is waited out.
_SECONDS_ASIDE: Final = 1.0
# It may be out of its time in each verb and its undo; a plugin that does not end is left after ten.
_MOST_SECONDS_ASIDE: Final = 9.0


@frozen
class Ground:
    """Where a scenario runs.

    Attributes:
        state_dir: The state directory.
        world: Where the plugins live and hold things.
        host: The name of the network namespace that it runs in, where the first plugins of the
            chain are built in; else empty, and all are executables that hold things.
        leases: Where addresses are leased there.
        chain: The types of the built-in plugins there, one after another.
    """

    state_dir: Path
    world: Path
    host: str = ""
    chain: str = BRIDGE_CHAIN
    leases: Path = field(converter=Path)

    @leases.default
    def _leases_of_world(self) -> Path:
        return self.world / "leases"

    @property
    def backups(self) -> Path:
        """Where it is written down what tuning changed."""
        return self.leases.with_name("tuning")

    @property
    def netns(self) -> str:
        """The path of the containers' namespace."""
        return f"/run/netns/{self.host}-pod" if self.host else NETNS

    def network(self, **keys: str) -> NetworkConfig:
        """Make a chain of three; further keys are for nobody."""
        plugins: list[Mapping[str, object]] = [{"type": plugin} for plugin in PLUGINS]
        if self.host:
            built_ins = (
                built_in(plugin, leases=str(self.leases), backups=str(self.backups))
                for plugin in self.chain.split()
            )
            plugins = [*built_ins, plugins[-1]]
        return parse_network(
            json.dumps({"cniVersion": "1.1.0", "name": "net", "plugins": plugins, **keys}).encode()
        )

    def attachment(self) -> Attachment:
        """Name the attachment of the container."""
        return Attachment(
            container_id=CONTAINER.container_id, netns=self.netns, capability_args=self._ports(0)
        )

    def attachment_of(self, number: int) -> Attachment:
        """Name the attachment of one of several containers, all in one namespace."""
        return Attachment(
            container_id=f"c{number}",
            ifname=f"eth{number}",
            netns=self.netns,
            capability_args=self._ports(number),
        )

    def _ports(self, number: int) -> Mapping[str, object]:
        return ports_of(number) if _PORTS in self.chain.split() else {}

    def open_runtime(
        self,
        add: float = _SECONDS,
        *,
        name: str = "-",
        recover: bool = True,
        seconds: float = _SECONDS,
        observers: Iterable[Callable[[Event], object]] = (),
    ) -> AbstractAsyncContextManager[Runtime]:
        """Open a runtime.

        Args:
            add: The seconds that its ADDs have.
            name: What its plugins call it in their log.
            recover: It undoes in the background what dead ones left.
            seconds: What everything else has, and how long it waits for others.
            observers: Called with every event.
        """
        return open_runtime(
            state_dir=self.state_dir,
            plugin_dirs=[self.world / "plugins"],
            timeouts=Timeouts(
                add=add,
                delete=seconds,
                check=seconds,
                undo=seconds,
                grace=0.2,
                wait=seconds,
            ),
            environment={"PATH": "/usr/bin:/bin", "RUNTIME": name},
            inherit=(),
            recover=recover,
            observers=observers,
        )

    def described(self) -> Mapping[str, str]:
        """Return it as texts, for another process."""
        return {key: str(value) for key, value in asdict(self).items()}

    def enter_host(self) -> None:
        """Let this process, which has one thread, run in its host."""
        with host_netns.open(f"/run/netns/{self.host}") as host:
            host_netns.enter(host.fd, host.path)

    def says(self, what: str) -> None:
        """Leave word that a caller was told something: it must be true from then on."""
        (self.world / "said").joinpath(what).touch()


def ports_of(number: int) -> Mapping[str, object]:
    """Return what one of several containers asks for besides: a port of TCP and one of UDP, one at
    a single address of the host, and one that is picked.
    """
    port = 8000 + number
    return {
        "portMappings": [
            PortMapping(host=port, container=80, protocol="tcp"),
            PortMapping(host=port, container=53, protocol="udp"),
            PortMapping(host=1000 + port, container=53, protocol="udp", host_ip="127.0.0.1"),
            PortMapping(host=0, container=53, protocol="udp"),
        ]
    }


def described_ground(texts: Mapping[str, str]) -> Ground:
    """Make a ground of what :meth:`Ground.described` returned."""
    paths = {key: Path(text) for key, text in texts.items() if key not in ("host", "chain")}
    return Ground(**paths, host=texts["host"], chain=texts["chain"])


# What each is configured with beside its addresses, of both families; macvlan has none of IPv6, for
# which it would look for others on its wire for a second or two.
_LINKS: Final[Mapping[str, Mapping[str, object]]] = {
    "bridge": {"isDefaultGateway": True, "hairpinMode": True},
    "masquerading": {
        "type": "bridge",
        "isDefaultGateway": True,
        "ipMasq": True,
        "macspoofchk": True,
    },
    "ptp": {"mtu": 1400},
    "macvlan": {"master": "low0"},
}
# What changes the container's interface, and what limits it.
_CHAINED: Final[Mapping[str, Mapping[str, object]]] = {
    "loopback": {},
    "tuning": {"mtu": 1400, "promisc": True, "sysctl": {"net.ipv4.conf.IFNAME.arp_ignore": "1"}},
    "bandwidth": {
        "ingressRate": 8_000_000,
        "ingressBurst": 800_000,
        "egressRate": 8_000_000,
        "egressBurst": 800_000,
    },
    _PORTS: {"capabilities": {"portMappings": True}},
    "firewall": {"ingressPolicy": "isolated"},
}


def built_in(plugin: str, *, leases: str, backups: str) -> Mapping[str, object]:
    """Configure a built-in plugin.

    Args:
        plugin: Its type; or "masquerading", a bridge that does.
        leases: Where addresses are leased.
        backups: Where tuning notes what was.
    """
    if plugin in _CHAINED:
        noted = {"dataDir": backups} if plugin == "tuning" else {}
        return {"type": plugin, **noted, **_CHAINED[plugin]}
    ranges = [[{"subnet": "10.9.0.0/24"}], [{"subnet": "fd00:9::/64"}]]
    if plugin == "macvlan":
        ranges = ranges[:1]
    ipam = {"type": "host-local", "dataDir": leases, "ranges": ranges}
    return {"type": plugin, **_LINKS[plugin], "ipam": ipam}


# What another runtime works on meanwhile.
BESIDE: Final[Mapping[str, Attachment]] = {
    "another container": Attachment(container_id="n1", ifname="eth9", netns=NETNS),
    "the same container": Attachment(container_id="c1", ifname="eth9", netns=NETNS),
}


async def add(ground: Ground) -> None:
    """Attach."""
    async with ground.open_runtime() as runtime:
        await runtime.add(ground.network(), ground.attachment())
        ground.says("attached")


async def add_with_a_daemon(ground: Ground) -> None:
    """Attach, where a plugin leaves a daemon."""
    async with ground.open_runtime(add=_SECONDS_WITH_DAEMON) as runtime:
        await runtime.add(ground.network(), ground.attachment())
        ground.says("attached")


async def add_and_delete(ground: Ground) -> None:
    """Attach and detach."""
    async with ground.open_runtime() as runtime:
        await runtime.add(ground.network(), ground.attachment())
        ground.says("attached")
        ground.says("detaching")
        await runtime.delete(CONTAINER)
        ground.says("detached")


async def write_journal(ground: Ground) -> None:
    """Attach and detach, and tell nobody."""
    async with ground.open_runtime() as runtime:
        await runtime.add(ground.network(), ground.attachment())
        await runtime.delete(CONTAINER)


async def failed_add(ground: Ground) -> None:
    """Attach, where the last plugin takes what it wants and then fails: undone."""
    async with ground.open_runtime() as runtime:
        ground.says("detaching")
        try:
            await runtime.add(ground.network(), ground.attachment())
        except PluginFailed as error:
            if error.debt is not None:
                raise
            ground.says("detached")


async def delete(ground: Ground) -> None:
    """Detach what was attached before."""
    async with ground.open_runtime() as runtime:
        ground.says("detaching")
        await runtime.delete(CONTAINER)
        ground.says("detached")


async def failed_delete(ground: Ground) -> None:
    """Detach what was attached before, where the second plugin fails: owed, and settled when it no
    longer does.
    """
    async with ground.open_runtime() as runtime:
        ground.says("detaching")
        try:
            await runtime.delete(CONTAINER)
        except CleanupIncomplete as error:
            if error.debt is None:
                raise
            (ground.world / "told" / "second.DEL").unlink()
            await runtime.settle(error.debt)
            ground.says("detached")


async def add_two(ground: Ground) -> None:
    """Attach two containers: the sync that the second one waits for makes the end of the first one
    durable, and nothing makes its record so.
    """
    async with ground.open_runtime() as runtime:
        for number in (1, 2):
            await runtime.add(ground.network(), ground.attachment_of(number))


async def fill_segment(ground: Ground) -> None:
    """Attach so many that the journal goes on in another segment before the last one: 16 times some
    50 KiB are more than three quarters of a segment.
    """
    big = ground.network(padding="." * (37 << 10))
    async with ground.open_runtime() as runtime:
        for number in range(18):
            await runtime.add(big, ground.attachment_of(number))


async def check(ground: Ground) -> None:
    """Check what was attached before."""
    async with ground.open_runtime() as runtime:
        await runtime.check(CONTAINER)


async def leave_some(ground: Ground) -> None:
    """Attach some for a gc: the first is kept; the second is not; the third is owed."""
    async with ground.open_runtime() as runtime:
        await runtime.add(ground.network(), ground.attachment())
        ground.says("attached")
        for number in (2, 3):
            await runtime.add(ground.network(), ground.attachment_of(number))
        fails = ground.world / "told" / f"{PLUGINS[-1] if ground.host else PLUGINS[1]}.DEL"
        fails.write_text("fail")
        with suppress(CleanupIncomplete):
            await runtime.delete(ground.attachment_of(3).id)
        fails.unlink()


async def add_one_more(ground: Ground) -> None:
    """Attach a fourth."""
    async with ground.open_runtime() as runtime:
        await runtime.add(ground.network(), ground.attachment_of(4))


async def collect(ground: Ground) -> None:
    """Have everything collected but the first, and what another runtime has."""
    async with ground.open_runtime() as runtime:
        report = await runtime.gc(ground.network(), keep=[CONTAINER, BESIDE["another container"]])
        report.raise_for_failures()
        ground.says("collected")


async def work_aside(ground: Ground) -> None:
    """Attach, check and detach another container while somebody stands still, with what lock that
    may be: done, or refused in time and owed at most.
    """
    began = anyio.current_time()
    attachment = ground.attachment_of(7)
    opening = ground.open_runtime(
        _SECONDS_ASIDE, name="aside", recover=False, seconds=_SECONDS_ASIDE
    )
    with suppress(AcniError):
        async with opening as runtime:
            await runtime.add(ground.network(), attachment)
            await runtime.check(attachment.id)
            await runtime.delete(attachment.id)
    if (took := anyio.current_time() - began) > _MOST_SECONDS_ASIDE:
        raise AssertionError(f"it took {took:.1f} s")


async def recover(ground: Ground) -> None:
    """Undo what a dead runtime left."""
    async with ground.open_runtime() as runtime:
        await settled(runtime)


async def flush(ground: Ground) -> None:
    """Let all rules of the firewall be gone, as by somebody who loads others."""
    await anyio.run_process(["nft", "flush", "ruleset"])


async def clear(ground: Ground) -> None:
    """Detach whatever is attached."""
    async with ground.open_runtime() as runtime:
        await settled(runtime)
        for one in await runtime.attachments():
            await runtime.delete(AttachmentId(one.container_id, one.ifname), missing_ok=True)


async def settled(runtime: Runtime) -> None:
    """Wait until what dead runtimes left is undone."""
    await runtime.recover()
    for debt in await runtime.debts():
        await runtime.settle(debt)


SCENARIOS: Final[Mapping[str, Callable[[Ground], Awaitable[None]]]] = {
    scenario.__name__: scenario
    for scenario in (
        add,
        add_with_a_daemon,
        add_and_delete,
        write_journal,
        failed_add,
        delete,
        failed_delete,
        add_two,
        fill_segment,
        check,
        leave_some,
        add_one_more,
        collect,
        work_aside,
        recover,
        flush,
        clear,
    )
}


@frozen
class Beside:
    """What a runtime beside the one that is struck is told, and says.

    Attributes:
        ready: Says that it has begun.
        is_to_end: Tells whether it is to come to its end: it goes round once more.
    """

    ready: Callable[[], None]
    is_to_end: Callable[[], bool]

    async def work(self, ground: Ground, attachment: Attachment) -> None:
        """Attach, check and detach, again and again: whatever becomes of the other one, to whom
        what dead ones left is left.
        """
        async with ground.open_runtime(name="beside", recover=False) as runtime:
            is_last = False
            while not is_last:
                is_last = self.is_to_end()
                await runtime.add(ground.network(), attachment)
                self.ready()
                await runtime.check(attachment.id)
                await runtime.delete(attachment.id)

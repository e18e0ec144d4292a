"""What one of several runtimes on a state directory does until it is killed: whatever comes to its
mind, for a few containers that the others work for, too.

A worker is a process. It says what it begins and what came of it, a line of JSON each.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from random import Random
from typing import Final, NoReturn

import anyio
from attrs import define, evolve, field, frozen

from acni import (
    Attachment,
    AttachmentExists,
    AttachmentId,
    AttachmentNotFound,
    CheckFailed,
    CleanupIncomplete,
    NetworkConfig,
    PluginFailed,
    Runtime,
    RuntimeClosed,
    parse_network,
)
from acni.events import Event, GCFinished
from tests.crash.scenarios import PLUGINS, Ground

# Few, so that two often want the same one.
CONTAINERS: Final = tuple(f"c{number}" for number in range(10))

# A container has two attachments: who needs one settles what was left of the other.
CHAINS: Final[Mapping[str, tuple[str, ...]]] = {"eth0": PLUGINS, "eth1": PLUGINS[:2]}

ATTACHMENTS: Final = tuple(
    AttachmentId(container, ifname) for container in CONTAINERS for ifname in CHAINS
)

# What may come of an operation beside success. Not Busy: nothing that is waited for here takes
# seconds, and no living runtime leaves anything open. Not CheckFailed: what is attached is held.
EXPECTED: Final = (
    AttachmentExists,
    AttachmentNotFound,
    CleanupIncomplete,
    PluginFailed,
    RuntimeClosed,
)


def netns_of(container: str) -> str:
    """Name the namespace of a container: the path of the file."""
    return f"/run/netns/acni-crash-{container}"


def held_by(attachment: AttachmentId) -> frozenset[str]:
    """Name what plugins hold of what is attached, as the world has it."""
    name = f"{attachment.container_id}-{attachment.ifname}"
    return frozenset(f"{plugin}/{name}" for plugin in CHAINS[attachment.ifname])


def network_of(attachment: AttachmentId) -> NetworkConfig:
    """Make the network of an attachment, which is called by its interface."""
    plugins = [{"type": plugin} for plugin in CHAINS[attachment.ifname]]
    document = {"cniVersion": "1.1.0", "name": f"net{attachment.ifname}", "plugins": plugins}
    return parse_network(json.dumps(document).encode())


@frozen(kw_only=True)
class Orders:
    """What a worker is told.

    Attributes:
        ground: Where it works.
        name: What it is called; no other worker of this ground is.
        loop: Its loop.
        seed: What it comes to think of depends on it.
        linger: The library that leaves a child.
        container: For whom it works first; None for anybody.
    """

    ground: Ground
    name: str
    loop: str
    seed: str
    linger: Path
    container: str | None


@define(eq=False)
class Keeper:
    """Sees to it that a gc collects nothing of what its caller keeps; an observer of the runtime,
    in which one gc at a time gets that far.

    Attributes:
        ground: Where it looks.
        kept: What is attached, and is kept.
        lost: What of it is not attached any more at the end of a gc, which is told inside the gate.
    """

    ground: Ground
    kept: frozenset[AttachmentId] = frozenset()
    lost: frozenset[AttachmentId] = frozenset()

    def keep(self, attached: Iterable[AttachmentId]) -> frozenset[AttachmentId]:
        """Keep what is attached."""
        self.kept = frozenset(attached)
        return self.kept

    def __call__(self, event: Event) -> None:
        """Look, where a gc comes to its end."""
        if isinstance(event, GCFinished):
            self.lost |= {one for one in self.kept if not self._is_attached(one)}

    def _is_attached(self, attachment: AttachmentId) -> bool:
        name = f"{network_of(attachment).name}-{attachment.container_id}-{attachment.ifname}"
        held = (self.ground.world / "held" / each for each in held_by(attachment))
        record = self.ground.state_dir / "results" / name
        return all(path.exists() for path in (record, *held))

    def require_kept(self) -> None:
        """Raise what was seen."""
        assert not self.lost, f"collected although it is kept: {sorted(map(str, self.lost))}"


@frozen
class Bench:
    """What an operation works with.

    Attributes:
        runtime: The runtime.
        chance: Decides what is left to chance.
        keeper: An observer of the runtime.
    """

    runtime: Runtime
    chance: Random
    keeper: Keeper


@define(eq=False)
class Worker:
    """Opens runtimes, one after the other, and works with them.

    Attributes:
        orders: What it is told.
        is_to_end: It opens no other runtime.
    """

    orders: Orders
    _say: Callable[..., None]
    _chance: Random
    _linger: Callable[[int], int]
    _numbers: count[int] = field(factory=count, init=False)
    is_to_end: bool = field(default=False, init=False)
    _container: str | None = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._container = self.orders.container

    async def run(self) -> None:
        """Work until it is told to end."""
        while not self.is_to_end:
            await self._work_with_one()

    async def _work_with_one(self) -> None:
        """Open a runtime, let some tasks work with it, and leave it: mostly when they are done."""
        recover = self._chance.random() < 0.5
        is_left_early = self._chance.random() < 0.25
        lanes = self._chance.randint(1, 3)
        keeper = Keeper(self.orders.ground)
        async with (
            anyio.create_task_group() as tasks,
            self.orders.ground.open_runtime(
                name=self.orders.name, recover=recover, observers=[keeper]
            ) as runtime,
        ):
            bench = Bench(runtime, self._chance, keeper)
            async with anyio.create_task_group() as waited_for:
                owner = tasks if is_left_early else waited_for
                for _ in range(lanes):
                    owner.start_soon(self._work, bench, self._chance.randint(2, 8))
            if is_left_early:
                await anyio.sleep(self._chance.uniform(0, 0.1))

    async def _work(self, bench: Bench, operations: int) -> None:
        attachment = self._first()
        for _ in range(operations):
            if self.is_to_end:
                return
            operation = self._chance.choices(list(_OPERATIONS), list(_OPERATIONS.values()))[0]
            async with self._told(operation.__name__.strip("_"), attachment):
                # Some callers lose their patience.
                patience = self._chance.uniform(0, 0.04) if self._chance.random() < 0.1 else None
                with anyio.move_on_after(patience):
                    await operation(bench, attachment)
            if self._chance.random() < 0.5:
                attachment = self._chance.choice(ATTACHMENTS)

    def _first(self) -> AttachmentId:
        container, self._container = self._container, None
        attachment = self._chance.choice(ATTACHMENTS)
        return attachment if container is None else evolve(attachment, container_id=container)

    @asynccontextmanager
    async def _told(self, verb: str, attachment: AttachmentId) -> AsyncGenerator[None]:
        """Say what is begun, and what came of it."""
        number = next(self._numbers)
        if self._chance.random() < 0.1:
            self._linger(self._chance.randint(50, 500))
        self._say(begun=number, verb=verb, container=attachment.container_id)
        outcome = "done"
        try:
            yield
        except EXPECTED as error:
            if isinstance(error, CheckFailed):
                raise
            outcome = type(error).__name__
        self._say(ended=number, verb=verb, outcome=outcome)


def _wanted(attachment: AttachmentId) -> Attachment:
    return Attachment(
        container_id=attachment.container_id,
        ifname=attachment.ifname,
        netns=netns_of(attachment.container_id),
    )


async def _add(bench: Bench, attachment: AttachmentId) -> None:
    await bench.runtime.add(network_of(attachment), _wanted(attachment))


async def _delete(bench: Bench, attachment: AttachmentId) -> None:
    if bench.chance.random() < 0.25:
        await bench.runtime.delete(_wanted(attachment), network=network_of(attachment))
    else:
        await bench.runtime.delete(attachment)


async def _check(bench: Bench, attachment: AttachmentId) -> None:
    await bench.runtime.check(attachment)


async def _settle(bench: Bench, _: AttachmentId) -> None:
    if debts := await bench.runtime.debts():
        await bench.runtime.settle(bench.chance.choice(debts))


async def _list(bench: Bench, _: AttachmentId) -> None:
    await bench.runtime.attachments()
    await bench.runtime.debts()


async def _recover(bench: Bench, _: AttachmentId) -> None:
    for failure in (await bench.runtime.recover()).failures:
        raise failure


async def _gc(bench: Bench, attachment: AttachmentId) -> None:
    network = network_of(attachment)

    async def keep() -> frozenset[AttachmentId]:
        # Asked inside the gate: what is attached now is attached until the gc has come to its end.
        listed = await bench.runtime.attachments(network=network.name)
        attached = [
            AttachmentId(one.container_id, one.ifname) for one in listed if one.state == "attached"
        ]
        most = len(attached)
        return bench.keeper.keep(bench.chance.sample(attached, bench.chance.randint(0, most)))

    report = await bench.runtime.gc(network, keep=keep)
    bench.keeper.require_kept()
    for failure in report.failures:
        raise failure


Operation = Callable[[Bench, AttachmentId], Awaitable[None]]

# How often each comes to its mind.
_OPERATIONS: Final[Mapping[Operation, int]] = {
    _add: 40,
    _delete: 25,
    _check: 15,
    _settle: 8,
    _list: 8,
    _recover: 4,
    _gc: 4,
}


async def recover(ground: Ground) -> None:
    """Settle whatever is left; nothing may be owed after it.

    Raises:
        ExceptionGroup: something could not be settled.
    """
    async with ground.open_runtime(name="last", recover=False) as runtime:
        report = await runtime.recover()
        if report.failures:
            raise ExceptionGroup("not settled", report.failures)
        assert not await runtime.debts()


async def clear(ground: Ground) -> None:
    """Detach everything."""
    async with ground.open_runtime(name="last", recover=False) as runtime:
        for attachment in ATTACHMENTS:
            await runtime.delete(attachment, missing_ok=True)


def be_worker(orders: Orders, fd: int) -> NoReturn:
    """Be a worker until SIGTERM, or a failure that is said."""
    say = _sayer(fd)
    linger = ctypes.CDLL(str(orders.linger)).linger
    worker = Worker(orders, say, Random(orders.seed), linger)  # noqa: S311 (not for secrets)

    def end(*_: object) -> None:
        worker.is_to_end = True

    signal.signal(signal.SIGTERM, end)
    _be(worker.run, orders.loop, say)


def be_last(
    do: Callable[[Ground], Awaitable[None]], ground: Ground, loop: str, fd: int
) -> NoReturn:
    """Do one thing, and say whether it failed."""
    _be(lambda: do(ground), loop, _sayer(fd))


def _be(do: Callable[[], Awaitable[None]], loop: str, say: Callable[..., None]) -> NoReturn:
    try:
        anyio.run(do, backend=loop)
    except BaseException as error:  # noqa: BLE001, ASYNC103 (whatever it is, it is said)
        say(failed="".join(traceback.format_exception(error)))
    os._exit(0)


def _sayer(fd: int) -> Callable[..., None]:
    def say(**facts: object) -> None:
        # A line is written at once, or a kill could leave half of one.
        os.write(fd, json.dumps(facts).encode() + b"\n")

    return say

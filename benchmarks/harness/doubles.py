"""Engines of which a part is a double that does nothing, or which have one more: what the part
costs is the difference.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any, Final, Literal

import anyio
from attrs import evolve

import acni
from acni import netns
from acni.engine.add import add
from acni.engine.admission import Admission
from acni.engine.delete import delete
from acni.engine.engine import Engine
from acni.engine.turns import Turns
from acni.host.blocks import Block
from acni.store.records import Found, Records
from acni.store.spares import Spare
from acni.testing import ScriptedRunner

Durability = Literal["power", "process"]
Way = Callable[[str, ScriptedRunner, Durability], AbstractAsyncContextManager[Engine]]

NETWORK: Final = acni.parse_network(
    b'{"cniVersion":"1.0.0","name":"dbnet","plugins":[{"type":"bridge","bridge":"acni0",'
    b'"isGateway":true,"ipam":{"type":"host-local","ranges":[[{"subnet":"10.88.0.0/16"}]]}}]}'
)
_TRACE: Final = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}


class NothingRecorded(Records):
    """Holds nothing and finds nothing."""

    def find(self, _: object) -> Found:
        """Find nothing."""
        return Found((), (), ())

    def read(self, _: object) -> None:
        """Read nothing."""

    def holding(self, *_: object) -> Any:
        """Hold nothing."""
        return ()


class NothingStored:
    """A store that does nothing, for what the rest of an ADD costs."""

    def __init__(self) -> None:
        self.records = NothingRecorded(None, None)
        self.journal = None
        self.neighbours = None

    def require_journal(self) -> NothingStored:
        """Be the journal, too."""
        return self

    def take_spare(self) -> Spare:
        """Name nothing."""
        return Spare("")

    @contextmanager
    def guard(self, _: object) -> Generator[None]:
        """Hold nothing."""
        yield

    busy = contextlib.nullcontext

    @property
    def under_way(self) -> set[str]:
        """Keep nothing."""
        return set()

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


@asynccontextmanager
async def stored(
    directory: str, runner: ScriptedRunner, durability: Durability
) -> AsyncGenerator[Engine]:
    """Open a runtime and take its engine."""
    async with acni.open_runtime(
        state_dir=f"{directory}/{time.monotonic_ns()}",
        plugin_dirs=["/plugins"],
        runner=runner,
        durability=durability,
        recover=False,
    ) as runtime:
        yield runtime._engine


@asynccontextmanager
async def unlocked(
    directory: str, runner: ScriptedRunner, durability: Durability
) -> AsyncGenerator[Engine]:
    """Take an engine that knows of no other runtime."""
    async with stored(directory, runner, durability) as engine:
        yield evolve(engine, turns=Turns(None, engine.timeouts.wait))


@asynccontextmanager
async def unstored(directory: str, runner: ScriptedRunner, _: Durability) -> AsyncGenerator[Engine]:
    """Take such an engine over the store that does nothing."""
    async with unlocked(directory, runner, "process") as engine:
        yield evolve(engine, store=NothingStored(), commits=None)  # type: ignore[arg-type]


class NoLimits(Admission):
    """Has a place for everyone, at once."""

    @contextmanager
    def line(self, verb: str) -> Generator[None]:
        """Let everyone in."""
        yield

    def place(self, *_: Any, **__: Any) -> Block[None]:
        """Hold nothing."""
        return Block(_nothing, object)


async def _nothing() -> None:
    pass


@asynccontextmanager
async def unlimited(
    directory: str, runner: ScriptedRunner, durability: Durability
) -> AsyncGenerator[Engine]:
    """Take an engine without limits."""
    async with stored(directory, runner, durability) as engine:
        yield evolve(engine, admission=NoLimits())


@asynccontextmanager
async def observed(
    directory: str, runner: ScriptedRunner, durability: Durability
) -> AsyncGenerator[Engine]:
    """Take an engine with an observer that does nothing."""
    async with stored(directory, runner, durability) as engine:
        yield evolve(engine, observers=(lambda _: None,))


@asynccontextmanager
async def traced(
    directory: str, runner: ScriptedRunner, durability: Durability
) -> AsyncGenerator[Engine]:
    """Take an engine whose plugins are told of a trace."""
    async with stored(directory, runner, durability) as engine:
        yield engine.traced(_TRACE)


async def adds(
    opened: Way, directory: str, durability: Durability, at_once: int, count: int
) -> float:
    """Return the own CPU of an ADD, in µs; its delete is not counted, nor who comes first."""
    runner = ScriptedRunner()
    used = 0.0
    boxes = [netns.anonymous() for _ in range(at_once)]
    async with opened(directory, runner, durability) as engine:
        turns = count // at_once
        first = turns // 4
        for turn in range(first + turns):
            attachments = [
                acni.Attachment(container_id=f"c{turn}-{number}", netns=box.path)
                for number, box in enumerate(boxes)
            ]
            before = time.process_time()
            async with anyio.create_task_group() as tasks:
                for attachment in attachments:
                    tasks.start_soon(add, engine, NETWORK, attachment)
            used += time.process_time() - before if turn >= first else 0.0
            for attachment in attachments:
                with contextlib.suppress(acni.AttachmentNotFound):
                    await delete(engine, attachment.id)
    for box in boxes:
        box.close()
    return used / (turns * at_once) * 1e6


WAYS: Final[dict[str, Way]] = {
    "the engine": stored,
    "the engine without locks": unlocked,
    "the engine without limits": unlimited,
    "the engine with an observer": observed,
    "the engine with a trace": traced,
}

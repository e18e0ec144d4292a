"""Attaching and detaching, again and again, so many at once, and timing each.

Whatever ends it, a signal included, what was attached is detached: every ADD that succeeded is
followed by its DEL, which nothing cancels.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import anyio
from attrs import Factory, define, field, frozen

from acni.bench.failures import Failure, failure_of, group
from acni.bench.lanes import Waterfall
from acni.bench.pool import Pool
from acni.bench.report import Phase, Step, Verb, summarize_verb
from acni.bench.stopwatch import Stopwatch
from acni.engine.runtime import Runtime
from acni.errors import AcniError
from acni.spec.attachment import Attachment
from acni.spec.configuration import NetworkConfig

# What nothing cancels has a bound all the same: a runtime's own are shorter by default, for the
# wait and the plugins of a delete.
_DETACH_SECONDS: Final = 240.0

# Told how many cycles have ended.
Progress = Callable[[int], object]


@frozen(kw_only=True)
class Workload:
    """What is done again and again.

    Attributes:
        network: The network that is measured.
        count: How many containers are attached and detached.
        warm_up: How many before, unmeasured, one after the other.
        ifname: The interface.
        cni_args: The containers' CNI_ARGS.
        capability_args: The containers' capability arguments.
    """

    network: NetworkConfig
    count: int
    warm_up: int = 1
    ifname: str = "eth0"
    cni_args: Mapping[str, str] = field(factory=dict[str, str], repr=False)
    capability_args: Mapping[str, Any] = field(factory=dict[str, Any], repr=False)

    def attachment(self, path: str) -> Attachment:
        """Name a container that nobody else has."""
        return Attachment(
            container_id=f"acni-bench-{secrets.token_hex(6)}",
            netns=path,
            ifname=self.ifname,
            cni_args=self.cni_args,
            capability_args=self.capability_args,
        )


@define(eq=False)
class Tally:
    """What was measured so far with so many at once; it can be looked at any time.

    Attributes:
        at_once: How many at once.
        count: How many cycles there are to be.
        adds: The ADDs that succeeded.
        deletes: The DELs that succeeded.
        failures: What failed.
        ended: How many cycles have ended.
        namespaces: What the namespaces took.
        owed: What could not be deleted is owed.
        limit: How many cycles may begin until others take their turn; None, all of them.
    """

    at_once: int
    count: int
    adds: list[Waterfall] = Factory(list[Waterfall])
    deletes: list[Waterfall] = Factory(list[Waterfall])
    failures: list[Failure] = Factory(list[Failure])
    ended: int = 0
    namespaces: list[Phase] = Factory(list[Phase])
    owed: bool = False
    limit: int | None = None
    _begun: int = 0
    _seconds: float = 0.0
    _stopped: float = 0.0

    @property
    def is_complete(self) -> bool:
        """Every cycle has ended."""
        return self.ended == self.count

    def begin(self) -> bool:
        """Take the next cycle, if there is one left."""
        if self._begun >= (self.count if self.limit is None else self.limit):
            return False
        self._begun += 1
        return True

    def end(self) -> None:
        """Count a cycle."""
        self.ended += 1
        self._stopped = time.monotonic()

    @contextmanager
    def turn(self) -> Generator[None]:
        """Count the time of the block, to the end of the last cycle in it."""
        started, ended = time.monotonic(), self.ended
        try:
            yield
        finally:
            if self.ended > ended:
                self._seconds += self._stopped - started

    def step(self) -> Step:
        """Put together what there is."""
        of_verbs = (("ADD", self.adds), ("DEL", self.deletes))
        verbs: list[Verb] = [summarize_verb(name, found) for name, found in of_verbs if found]
        return Step(
            at_once=self.at_once,
            cycles=self.ended,
            seconds=self._seconds,
            verbs=tuple(verbs),
            namespaces=tuple(self.namespaces),
            failures=group(self.failures),
        )


async def warm_up(runtime: Runtime, workload: Workload, paths: Sequence[str]) -> None:
    """Attach and detach before anything is measured: what the network shares is made, files are
    read, and what does not work at all is found.

    Raises:
        AcniError: it does not work.
    """
    for number in range(workload.warm_up):
        attachment = workload.attachment(paths[number % len(paths)])
        await runtime.add(workload.network, attachment)
        with anyio.move_on_after(_DETACH_SECONDS, shield=True):
            await runtime.delete(attachment.id)


async def measure(
    runtime: Runtime,
    stopwatch: Stopwatch,
    workload: Workload,
    *,
    pool: Pool,
    tally: Tally,
    progress: Progress,
) -> None:
    """Attach and detach as often as there is to be done, or as the tally's limit says, so many at
    once.

    Args:
        runtime: The runtime; the stopwatch observes it.
        stopwatch: What times.
        workload: What to do.
        pool: The namespaces, as many at least as containers are attached at once.
        tally: Where figures go, also those of a measurement that is ended early.
        progress: Is told how many cycles have ended.
    """

    async def work() -> None:
        while tally.begin():
            path = pool.take()
            is_clean = await _cycle(runtime, stopwatch, workload.attachment(path), workload, tally)
            tally.end()
            progress(tally.ended)
            if not is_clean:  # the namespace holds what could not be detached
                return
            pool.give_back(path)

    with tally.turn():
        async with anyio.create_task_group() as tasks:
            # In a turn before this one, a namespace may have kept what could not be detached.
            for _ in range(min(tally.at_once, pool.free)):
                tasks.start_soon(work)


async def _cycle(
    runtime: Runtime,
    stopwatch: Stopwatch,
    attachment: Attachment,
    workload: Workload,
    tally: Tally,
) -> bool:
    """Attach and detach once; tell whether the namespace is as before."""
    identity = attachment.id
    add = partial(runtime.add, workload.network, attachment)
    try:
        tally.adds.append(await stopwatch.time(identity.container_id, add))
    except AcniError as error:
        tally.failures.append(failure_of("ADD", error))
        tally.owed |= error.debt is not None
        return error.debt is None
    with anyio.move_on_after(_DETACH_SECONDS, shield=True):
        delete = partial(runtime.delete, identity)
        try:
            tally.deletes.append(await stopwatch.time(identity.container_id, delete))
        except AcniError as error:
            tally.failures.append(failure_of("DEL", error))
            tally.owed |= error.debt is not None
            return False
    return True

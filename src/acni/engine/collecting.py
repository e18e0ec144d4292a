"""Doing what a gc decided, inside the gate: settle, delete, have the plugins collect.

Containers at once, the attachments of each one after the other (R26, R47); whatever fails is
collected. Half of the time is for settling and deleting, so that plugins that hang there leave some
for GC; what cannot begin in time is left as it is, and not made a debt.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial

import anyio
from attrs import Factory, define, evolve

from acni.engine.chain import Chain
from acni.engine.engine import Engine, Operation
from acni.engine.fates import Found, PastStep
from acni.engine.recovery import for_each, settle_container
from acni.engine.targets import delete_target, sequence_of, target_of
from acni.engine.versions import negotiated
from acni.errors import AcniError, Busy, PluginNotFound, StoreError
from acni.spec.attachment import AttachmentId
from acni.spec.commands import Command
from acni.spec.configuration import NetworkConfig
from acni.spec.names import ContainerId
from acni.spec.planning import plan
from acni.spec.plugin import Plugin
from acni.spec.request import network_parameters
from acni.store.intents import record_of


@define(eq=False, repr=False)
class Collecting:
    """One gc under way.

    Attributes:
        operation: The operation.
        network: The network, as it is configured now.
        deadline: When all of it is out of time, on the event loop's clock.
        deleted: What was deleted.
        failures: What went wrong.
    """

    operation: Operation
    network: NetworkConfig
    deadline: float
    deleted: set[AttachmentId] = Factory(set[AttachmentId])
    failures: list[AcniError] = Factory(list[AcniError])
    _unsettled: set[ContainerId] = Factory(set[ContainerId])
    _settled: set[AttachmentId] = Factory(set[AttachmentId])

    def seconds_to_delete(self) -> float:
        """Return how much is left of the time for deletes."""
        until = self.deadline - self.operation.engine.timeouts.gc / 2
        return max(until - anyio.current_time(), 0.0)

    async def settle_open(self) -> None:
        """Settle what dead runtimes left open of the network, with all that they left of the same
        containers.
        """
        opened: defaultdict[ContainerId, set[AttachmentId]] = defaultdict(set)
        for intent in self.operation.engine.left_open():
            try:
                record = record_of(intent)
            except StoreError as error:
                self.failures.append(error)
                continue
            if record.network.name == self.network.name:
                opened[record.container_id].add(record.id)
        await for_each(opened.items(), lambda each: self._settle(*each))

    async def _settle(self, container_id: ContainerId, opened: Iterable[AttachmentId]) -> None:
        async def attempt(own: Operation) -> None:
            async with own.engine.turns.of_container_alone(container_id):
                settled = await settle_container(own, container_id)
            self._settled |= settled
            self.deleted |= settled & frozenset(opened)

        if not await self._attempt(min(opened, key=str), attempt):
            self._unsettled.add(container_id)

    async def delete(self, doomed: Iterable[Found]) -> None:
        """Delete records, each with its own configuration."""
        by_container: defaultdict[ContainerId, list[Found]] = defaultdict(list)
        for found in doomed:
            by_container[found.record.container_id].append(found)
        await for_each(by_container.items(), lambda each: self._delete(*each))

    async def _delete(self, container_id: ContainerId, doomed: Sequence[Found]) -> None:
        """Delete what is doomed of a container, the last attached first (R47); nothing where it has
        something else open that cannot be settled.
        """
        for found in sorted(doomed, key=lambda found: sequence_of(found.record), reverse=True):
            if container_id in self._unsettled:
                return
            identity = found.record.id
            # Settled just now, and asked twice it could take what is another's.
            is_gone = identity in self._settled
            if is_gone or await self._attempt(identity, partial(self._delete_found, found)):
                self.deleted.add(identity)

    async def _delete_found(self, found: Found, own: Operation) -> None:
        container_id = found.record.container_id
        async with own.engine.turns.of_container_alone(container_id):
            # Asked here as well: a runtime that was just ending had let go of the gate, and not of
            # its slot, when all that is open was listed.
            self._unsettled.add(container_id)
            self._settled |= await settle_container(own, container_id)
            self._unsettled.discard(container_id)
            if found.record.id in self._settled:
                return
            target = target_of(own.engine, found.record, is_aside=found.is_aside)
            await delete_target(own, target)

    async def have_collected(
        self,
        of_now: Sequence[Plugin],
        of_then: Iterable[PastStep],
        valid: Sequence[AttachmentId],
    ) -> None:
        """Run GC: of the chain of now, then of plugins that are in it no more. Each has its share
        of the time that is left.

        Args:
            of_now: The plugins of the chain of now, as they were found.
            of_then: GC of the others.
            valid: The attachments that are still valid.
        """
        planned = [*await self._plan(of_now), *self._still_there(of_then)]
        engine = self.operation.engine
        for index, (each, found) in enumerate(planned):
            now = anyio.current_time()
            chain = Chain(
                operation=self.operation,
                network=each.network,
                kinds=each.kinds,
                parameters=network_parameters(engine.plugin_dirs, engine.environment),
                deadline=now + (self.deadline - now) / (len(planned) - index),
            )
            try:
                await chain.run(each.step, valid=valid, found=found)
            except AcniError as error:
                self._take_in(error)

    async def _plan(self, of_now: Sequence[Plugin]) -> list[tuple[PastStep, Plugin | None]]:
        """Plan GC in the version that the plugins which are there have in common; what was missing
        is looked for once more by its own step, which says so.
        """
        if not plan(Command.GC, self.network):  # no version that is offered has it
            return []
        found = [plugin if plugin.identity else None for plugin in of_now]
        try:
            network = await negotiated(self.operation, self.network, [*filter(None, found)])
        except AcniError as error:
            self._take_in(error)
            return []
        return [
            (PastStep(network=network, step=step, kinds=()), found[step.index])
            for step in plan(Command.GC, network)
        ]

    def _still_there(self, of_then: Iterable[PastStep]) -> Iterator[tuple[PastStep, Plugin]]:
        """Find plugins of then; nobody says that they have to be there."""
        engine = self.operation.engine
        for then in of_then:
            kind, plugin_type = then.kinds[then.step.index], then.step.plugin.type
            with contextlib.suppress(PluginNotFound):
                yield then, engine.find_one(plugin_type, engine.plugin_dirs, added_by=kind)

    async def _attempt(
        self, identity: AttachmentId, attempt: Callable[[Operation], Awaitable[None]]
    ) -> bool:
        """Do something for one attachment; tell whether it went well."""
        own = evolve(self.operation, id=identity)
        try:
            with own.reported():
                await attempt(evolve(own, engine=self._in_time()))
        except AcniError as error:
            self.failures.append(error)
            return False
        return True

    def _in_time(self) -> Engine:
        """Return an engine whose deletes end in time, what they wait for their places included.

        Raises:
            Busy: there is none left.
        """
        engine, left = self.operation.engine, self.seconds_to_delete()
        if left <= 0:
            raise Busy("gc ran out of time before its turn came", expected="another gc")
        bounds = engine.timeouts
        wait, delete = min(bounds.wait, left), min(bounds.delete, left)
        return evolve(engine, timeouts=evolve(bounds, wait=wait, delete=delete))

    def _take_in(self, error: AcniError) -> None:
        self.failures.append(error.learn(verb="gc", network=self.network.name))

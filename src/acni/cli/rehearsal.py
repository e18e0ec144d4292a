"""What the engine would run for a verb, found without running anything: the same records, the same
plan, the same requests.

What it would refuse is an obstacle: told beside the plan, which is made all the same. So is what
keeps a built-in plugin from adding, of which STATUS tells: it looks, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import anyio
from attrs import Factory, define, evolve, frozen

from acni.engine.add import begin
from acni.engine.chain import Chain, chain_of_record
from acni.engine.check import netns_to_check, records_to_check
from acni.engine.engine import Engine, Operation
from acni.engine.guards import look_at_ground
from acni.engine.kinds import kinds_of
from acni.engine.takedown import dels_of
from acni.engine.targets import (
    owed_first,
    record_to_delete,
    to_delete,
)
from acni.errors import AcniError, PluginNotFound
from acni.host import netns
from acni.host.plugins import EXECUTABLE
from acni.spec.attachment import Attachment, AttachmentId
from acni.spec.commands import Command
from acni.spec.configuration import NetworkConfig
from acni.spec.jsontext import dump
from acni.spec.names import record_name
from acni.spec.planning import Step, plan
from acni.spec.plugin import Plugin, Request
from acni.spec.request import build_request, network_parameters
from acni.spec.versions import SUPPORTED_VERSIONS
from acni.store.record import Record, recorded_result

_NO_RESULT: Final = "none"


@frozen(kw_only=True)
class Run:
    """One plugin run that would be.

    Attributes:
        step: The step of the plan.
        network: The network whose chain it is of.
        plugin: What would be run; None where it is missing.
        request: What the plugin would be given.
        previous: Where ``prevResult`` comes from, in words.
        placeholder: The JSON text that stands for the predecessor's output in the request, or None.
        has_stand_in: CNI_NETNS would be a stand-in for a namespace that is gone, made for the run.
    """

    step: Step
    network: NetworkConfig
    plugin: Plugin | None
    request: Request
    previous: str
    placeholder: str | None = None
    has_stand_in: bool = False

    @property
    def undecided(self) -> str | None:
        """Say that the plugins would be asked for their versions first; None for a single one."""
        *lower, highest = self.network.versions
        if not lower:
            return None
        return f"{highest}, unless a plugin supports only {' or '.join(reversed(lower))}"


@define(eq=False, repr=False)
class Rehearsal:
    """A verb that is gone through without running a plugin.

    Attributes:
        engine: An engine to look with.
        verb: "add", "check", "delete" or "status".
        runs: The plugin runs, in order.
        obstacles: What the engine would refuse, or halt at, as things stand.
    """

    engine: Engine
    verb: str
    runs: list[Run] = Factory(list[Run])
    obstacles: list[AcniError] = Factory(list[AcniError])

    def add(self, network: NetworkConfig, attachment: Attachment) -> None:
        """Go through an ADD; what is owed for the attachment is deleted first."""
        operation = self._operation(network.name, attachment.id)
        with self._obstacle(operation):
            record_name(network.name, attachment.container_id, attachment.ifname)
        with self._obstacle(operation):
            for target in owed_first(self.engine, network, attachment):
                self._take_down(operation, target.record)
        with self._obstacle(operation), netns.open(attachment.netns) as namespace:
            existed = namespace.has_interface(attachment.ifname)
            identity = namespace.identity()
            look_at_ground(self.engine, attachment, identity, existed=existed)
        record = begin(self.engine, network, attachment, (), None)
        chain = chain_of_record(operation, record, netns=record.netns, deadline=0.0)
        before: Step | None = None
        for step in plan(Command.ADD, network):
            origin = f"the output of {before.plugin.type}" if before else _NO_RESULT
            self._append(chain, step, None, origin, dump(f"({origin})") if before else None)
            before = step
        anyio.run(self._ask_built_ins, operation, network)

    def delete(
        self, target: Attachment | AttachmentId, network: NetworkConfig | str | None
    ) -> None:
        """Go through a delete, from the record where there is one.

        Raises:
            AttachmentNotFound, AttachmentExists, HostChanged, StoreError: it would be refused.
        """
        identity = target.id if isinstance(target, Attachment) else target
        name = network.name if isinstance(network, NetworkConfig) else network or ""
        operation = self._operation(name, identity)
        with operation.reported():
            for found in to_delete(self.engine, target, network):
                self._take_down(operation, record_to_delete(self.engine, found))

    def check(self, target: Attachment | AttachmentId, network: str | None) -> None:
        """Go through a check of what is recorded.

        Raises:
            AttachmentNotFound, NetnsChanged, VersionUnsupported, HostChanged, StoreError: it would
                be refused.
        """
        identity = target.id if isinstance(target, Attachment) else target
        operation = self._operation(network or "", identity)
        with operation.reported():
            for record in records_to_check(self.engine, target, network):
                self._check(operation, record)

    def status(self, network: NetworkConfig) -> None:
        """Go through a STATUS."""
        operation = self._operation(network.name, None)
        chain = Chain(
            operation=operation,
            network=network,
            parameters=network_parameters(self.engine.plugin_dirs, self.engine.environment),
            deadline=0.0,
        )
        for step in plan(Command.STATUS, network):
            self._append(chain, step, None, _NO_RESULT)

    async def _ask_built_ins(self, operation: Operation, network: NetworkConfig) -> None:
        """Ask the built-in plugins of an ADD for their STATUS, in the newest version, which has it:
        of the network's they are asked in any case.
        """
        newest = evolve(network, versions=SUPPORTED_VERSIONS[-1:])
        chain = Chain(
            operation=operation,
            network=newest,
            parameters=network_parameters(self.engine.plugin_dirs, self.engine.environment),
            deadline=anyio.current_time() + self.engine.timeouts.status,
        )
        built_in = {run.step.index: run.plugin for run in self.runs if _is_built_in(run)}
        for step in plan(Command.STATUS, newest):
            if (plugin := built_in.get(step.index)) is not None:
                with self._obstacle(operation):
                    await chain.run(step, found=plugin)

    def _check(self, operation: Operation, record: Record) -> None:
        steps = plan(Command.CHECK, record.network)
        if not steps:  # disableCheck
            return
        chain = chain_of_record(
            operation,
            record,
            netns=netns_to_check(record, self.engine.host),
            deadline=0.0,
            kinds=kinds_of(record),
        )
        previous = recorded_result(record)
        for step in steps:
            self._append_recorded(chain, step, previous)

    def _take_down(self, operation: Operation, record: Record) -> None:
        dels = dels_of(operation, record, deadline=0.0)
        for step in plan(Command.DEL, record.network):
            has_stand_in = dels.needs_stand_in(step)
            self._append_recorded(dels.chain, step, dels.previous, has_stand_in=has_stand_in)

    def _append_recorded(
        self, chain: Chain, step: Step, previous: str | None, *, has_stand_in: bool = False
    ) -> None:
        is_sent = previous is not None and step.takes_previous
        origin = "the result in the record" if is_sent else _NO_RESULT
        self._append(chain, step, previous, origin, has_stand_in=has_stand_in)

    def _append(
        self,
        chain: Chain,
        step: Step,
        previous: str | None,
        origin: str,
        placeholder: str | None = None,
        *,
        has_stand_in: bool = False,
    ) -> None:
        request = build_request(
            step, chain.network, chain.parameters, previous=placeholder or previous
        )
        self.runs.append(
            Run(
                step=step,
                network=chain.network,
                plugin=self._find(chain, step),
                request=request,
                previous=origin,
                placeholder=placeholder,
                has_stand_in=has_stand_in,
            )
        )

    def _find(self, chain: Chain, step: Step) -> Plugin | None:
        directories, kind = chain.parameters.plugin_dirs, chain.kind_of(step)
        try:
            return self.engine.runner.find(step.plugin.type, directories, added_by=kind)
        except PluginNotFound as error:
            error.learn(verb=self.verb, network=chain.network.name, index=step.index)
            self.obstacles.append(error)
            return None

    @contextmanager
    def _obstacle(self, operation: Operation) -> Generator[None]:
        try:
            with operation.reported():
                yield
        except AcniError as error:
            self.obstacles.append(error)

    def _operation(self, network: str, identity: AttachmentId | None) -> Operation:
        return Operation(engine=self.engine, verb=self.verb, network=network, id=identity)


def _is_built_in(run: Run) -> bool:
    is_there = run.plugin is not None and run.plugin.runner != EXECUTABLE
    return is_there and run.step.command is Command.ADD

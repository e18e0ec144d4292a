"""Stepping through a chain: one plugin found, asked, run and read.

(specification, section 3: the four numbered steps that all verbs have in common)
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Final

import anyio
from attrs import define, evolve, field

from acni.engine.engine import Operation, PluginRun
from acni.engine.lines import Urgency
from acni.engine.orphans import GC_GUARD
from acni.errors import StoreError
from acni.host.blocks import Block
from acni.spec.attachment import AttachmentId
from acni.spec.commands import RULES, Command
from acni.spec.configuration import NetworkConfig
from acni.spec.planning import Step
from acni.spec.plugin import Plugin, Response
from acni.spec.request import Parameters, build_request
from acni.spec.response import read_response
from acni.spec.result import Result
from acni.store.record import Record
from acni.store.waiting import Watch

# Over the cap there is no result to be had of an ADD; what other verbs print is not read, so it may
# as well go on.
_ENDS_AT_CAP: Final[Mapping[Command, bool]] = {
    command: rule.has_result for command, rule in RULES.items()
}


@define(kw_only=True)
class Chain:
    """A chain being run for an operation.

    Attributes:
        operation: The operation.
        network: The network whose chain it is.
        parameters: What every plugin of it is given alike.
        deadline: When the plugins are out of time, on the event loop's clock.
        found: The plugins, where they were found before; others are looked up one by one.
        kinds: By which kind of runner each plugin was run before; nothing where none was.
        is_undo: It undoes an ADD of this operation.
        has_begun: A plugin of it ran.
    """

    operation: Operation
    network: NetworkConfig
    parameters: Parameters
    deadline: float
    found: tuple[Plugin, ...] = ()
    kinds: tuple[str, ...] = ()
    is_undo: bool = False
    has_begun: bool = field(default=False, init=False)
    # The place of the first plugin's run, where it was waited for before.
    _place: Block[None] | None = field(default=None, init=False)
    _result: Result | None = field(default=None, init=False)

    def admitted(self, step: Step, until: float) -> Block[None]:
        """Wait for the first plugin's place before anything is noted of its run, and hold it until
        that run is over, or the block is.

        Args:
            step: The first step.
            until: When waiting ends, on the event loop's clock.

        Raises:
            Busy: there was none until then, or too many wait.
        """
        place = self._admission(step, until, partial(self.operation.waiting, "place"))

        async def enter() -> None:
            await place.__aenter__()
            self._place = place

        return Block(enter, place.leave)

    async def run(
        self,
        step: Step,
        previous: str | None = None,
        *,
        valid: Iterable[AttachmentId] | None = None,
        netns: str | None = None,
        first_error: str | None = None,
        found: Plugin | None = None,
    ) -> Result | None:
        """Run one step.

        Args:
            step: The step, of a plan for the network.
            previous: The text of the previous result; sent where the plan says so.
            valid: For GC: the attachments that are still valid.
            netns: CNI_NETNS of this run, where that is not the chain's.
            first_error: Why it is run again.
            found: The plugin, where it alone was found before.

        Returns:
            The result of an ADD, None for the other verbs.

        Raises:
            PluginNotFound: its executable is missing.
            PluginError: it failed.
        """
        running = self.operation.running(
            step.command, step.plugin.type, step.index, first_error=first_error
        )
        parameters = self.parameters if netns is None else evolve(self.parameters, netns=netns)
        with running as run:
            async with self._taken(step, run):
                self._begin(run, step)
                run.response = await self._respond(step, parameters, previous, valid, found)
            # What one waits for its start is not charged to those that follow either.
            self.deadline += run.response.times.queue
            result = read_response(
                step, run.response, self.network.cni_version, previous=self._result
            )
            self._result = result or self._result
            return result

    def _begin(self, run: PluginRun, step: Step) -> None:
        if not self._has_its_time(step):
            self.deadline += run.waited
        self.has_begun = True

    def _taken(self, step: Step, run: PluginRun) -> Block[None]:
        place, self._place = self._place, None
        if place is not None:
            return Block(_nothing, place.leave)
        wait = self.operation.engine.timeouts.wait
        until = self.deadline if self._has_its_time(step) else anyio.current_time() + wait
        return self._admission(step, until, partial(self._waiting, run))

    @contextmanager
    def _waiting(self, run: PluginRun) -> Generator[None]:
        begun = anyio.current_time()
        is_first = not self.has_begun and not self.is_undo
        try:
            with self.operation.waiting("place") if is_first else nullcontext():
                yield
        finally:
            run.waited = anyio.current_time() - begun

    def _has_its_time(self, step: Step) -> bool:
        """Tell whether its time is all that there is, waiting included: an undo is shielded for so
        long, and a gc keeps everybody else waiting.
        """
        return self.is_undo or step.command is Command.GC

    def _admission(self, step: Step, until: float, watch: Watch = nullcontext) -> Block[None]:
        admission = self.operation.engine.admission
        urgency = self._urgency(step)
        return admission.place(step.plugin.type, urgency, until=until, watch=watch)

    def _urgency(self, step: Step) -> Urgency:
        match step.command:
            case Command.DEL | Command.GC:
                return Urgency.UNDO if self.is_undo else Urgency.DELETE
            case _:
                return Urgency.BEGUN if self.has_begun else Urgency.NEW

    async def _respond(
        self,
        step: Step,
        parameters: Parameters,
        previous: str | None,
        valid: Iterable[AttachmentId] | None,
        found: Plugin | None,
    ) -> Response:
        engine = self.operation.engine
        plugin = found or self._find(step, parameters.plugin_dirs)
        request = build_request(step, self.network, parameters, previous=previous, valid=valid)
        caps = engine.admission.caps(ends_at_cap=_ENDS_AT_CAP[step.command])
        with self._guarded(step.command) as guard:
            return await engine.runner.run(
                plugin, request, deadline=self.deadline, caps=caps, guard=guard
            )

    def _find(self, step: Step, directories: Sequence[str]) -> Plugin:
        if self.found:
            return self.found[step.index]
        engine = self.operation.engine
        return engine.find_one(step.plugin.type, directories, added_by=self.kind_of(step))

    def kind_of(self, step: Step) -> str | None:
        """Return by which kind of runner a step's plugin was run before; None where it was not."""
        return self.kinds[step.index] if self.kinds else None

    def _guarded(self, command: Command) -> AbstractContextManager[int | None]:
        """Hold the container's guard while a plugin runs, or that of GC: if this process is killed,
        whoever takes over sees that the plugin still runs. Only a DEL goes without where there is
        none to be had.
        """
        store = self.operation.engine.store
        guarded = GC_GUARD if command is Command.GC else self.parameters.container_id
        if not guarded or command is Command.CHECK:
            return nullcontext()
        guard = store.guard(guarded)
        return _if_any(guard) if command is Command.DEL else guard


@contextmanager
def _if_any(guard: AbstractContextManager[int]) -> Generator[int | None]:
    with ExitStack() as held:
        try:
            fd = held.enter_context(guard)
        except StoreError:
            fd = None
        yield fd


async def _nothing() -> None:  # noqa: ASYNC124 (a block that was entered before)
    pass


def chain_of_record(
    operation: Operation,
    record: Record,
    *,
    netns: str,
    deadline: float,
    found: tuple[Plugin, ...] = (),
    kinds: tuple[str, ...] = (),
    is_undo: bool = False,
) -> Chain:
    """Make the chain of an attachment from its record.

    Args:
        operation: The operation.
        record: Configuration, names and arguments.
        netns: CNI_NETNS; empty when the namespace is gone.
        deadline: When the plugins are out of time.
        found: The plugins, where they were found before.
        kinds: By which kind of runner each was run before; nothing where none was.
        is_undo: It undoes an ADD of this operation.
    """
    # The runtime's directories, then those of the ADD: a plugin that moved is still found.
    ours = operation.engine.plugin_dirs
    recorded = record.provenance.plugin_dirs if record.provenance else ()
    parameters = Parameters(
        container_id=record.container_id,
        netns=netns,
        ifname=record.ifname,
        cni_args=record.cni_args,
        capability_texts=record.capability_texts,
        plugin_dirs=ours + tuple(directory for directory in recorded if directory not in ours),
        inherited=operation.engine.environment,
    )
    return Chain(
        operation=operation,
        network=record.network,
        parameters=parameters,
        deadline=deadline,
        found=found,
        kinds=kinds,
        is_undo=is_undo,
    )

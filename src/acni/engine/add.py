"""Adding an attachment (specification, section 3, "Adding an attachment").

The story of an ADD, from the names to the record. It is noted durably before its first plugin
runs, and every result before the next one does. Whatever goes wrong after the first plugin began,
a failed write or a cancellation included, is undone before the caller hears of it; the first error
is what the caller sees.
"""

from __future__ import annotations

from typing import Final

import anyio
from attrs import evolve

from acni.engine.chain import Chain, chain_of_record
from acni.engine.engine import Engine, Operation, sequence_now
from acni.engine.entering import first_add, turn
from acni.engine.guards import Ground, look_at_ground
from acni.engine.notes import Note
from acni.engine.one_del import cause_of
from acni.engine.recovery import require_ended, settle_container
from acni.engine.takedown import STORE_SECONDS, TakeDown, keep_context
from acni.engine.targets import delete_target, owed_first
from acni.engine.versions import negotiated
from acni.errors import AcniError, StoreError
from acni.events import RollbackFinished, RollbackStarted
from acni.host import netns
from acni.host.netns import NetnsIdentity
from acni.spec.attachment import Attachment
from acni.spec.commands import Command
from acni.spec.configuration import NetworkConfig
from acni.spec.names import record_name
from acni.spec.planning import Step, plan
from acni.spec.plugin import Plugin
from acni.spec.result import Result
from acni.store.record import Record

# What the undo's shield lasts beyond its plugins' deadline: their end, and the debt's write.
_UNDO_MARGIN: Final = STORE_SECONDS + 10.0


async def add(engine: Engine, network: NetworkConfig, attachment: Attachment) -> Result:
    """Attach a container to a network.

    Raises:
        InvalidName, PluginNotFound, VersionUnsupported, AttachmentExists, NetnsInUse, HostChanged,
            Busy: nothing ran.
        CleanupIncomplete: what was owed for the attachment could not be deleted first.
        PluginError, StoreError: undone; see the error's ``rollback`` and ``debt``.
    """
    operation = Operation(engine=engine, verb="add", network=network.name, id=attachment.id)
    with operation.reported():
        # 1. Every name and every executable, before anything runs.
        name = record_name(network.name, attachment.container_id, attachment.ifname)
        network = network.with_args(attachment.args)
        plugins = engine.find(network)
        async with turn(operation, attachment.container_id) as until:
            entered = anyio.current_time()
            network = await negotiated(operation, network, plugins)
            with netns.open(attachment.netns) as namespace:
                identity = namespace.identity()
                async with (
                    engine.turns.claim_record(name, attachment.container_id),
                    engine.turns.claim_interface(
                        identity, attachment.ifname, attachment.container_id
                    ),
                ):
                    # 2. What is owed here is deleted first; what is there already is refused.
                    settled = await settle_container(operation, attachment.container_id)
                    owed = owed_first(engine, network, attachment)
                    for target in owed:
                        await delete_target(operation, target)
                    if settled or owed:
                        await require_ended(engine, attachment.id)
                    existed = engine.visitor.has_interface(namespace, attachment.ifname)
                    ground = look_at_ground(engine, attachment, identity, existed=existed)
                    record = begin(engine, network, attachment, plugins, identity)
                    # What ran meanwhile was no waiting.
                    later = until + anyio.current_time() - entered
                    # 3. Alone, where nothing was attached to the network in this boot.
                    async with first_add(operation, later):
                        # 4. The chain, its result kept; or all of it undone.
                        return await _attach(operation, record, plugins, ground, later)


async def _attach(
    operation: Operation,
    record: Record,
    plugins: tuple[Plugin, ...],
    ground: Ground,
    until: float,
) -> Result:
    chain = chain_of_record(operation, record, netns=record.netns, deadline=0.0, found=plugins)
    steps = plan(Command.ADD, record.network)
    async with chain.admitted(steps[0], until):
        return await _run(chain, steps, record, ground)


async def _run(chain: Chain, steps: tuple[Step, ...], record: Record, ground: Ground) -> Result:
    operation = chain.operation
    engine = operation.engine
    # An interface that existed before is not ours to delete: whoever undoes passes no namespace.
    to_undo = evolve(record, netns="") if ground.existed else record
    bounds = engine.timeouts
    with await Note.of_add(engine, to_undo, bounds.add + bounds.grace) as note:
        chain.deadline = anyio.current_time() + bounds.add
        result: Result | None = None
        try:
            for step in steps:
                result = await chain.run(step, result.raw if result else None)
                note.made(step.index, result)
            note.keep(_attached_now(record, result))
        except BaseException as error:
            with anyio.move_on_after(engine.timeouts.undo + _UNDO_MARGIN, shield=True):
                undone = evolve(to_undo, result=result.raw if result else None)
                await _undo(operation, undone, note, error)
            raise
        note.end("attached")
    if result is None:
        raise AssertionError("a network has at least one plugin")
    return result


def _attached_now(record: Record, result: Result | None) -> Record:
    """Give a record its result, and the place in the order of attaching that is its own: who calls
    gc while an ADD is under way cannot name what it makes, so what counts is when it ends.
    """
    if record.provenance is None:
        raise AssertionError("an ADD gives its record a provenance")
    provenance = evolve(record.provenance, sequence=sequence_now())
    return evolve(record, result=result.raw if result else None, provenance=provenance)


async def _undo(operation: Operation, record: Record, note: Note, error: BaseException) -> None:
    """Delete the whole chain in reverse, plugins that never ran included (R46), with the last good
    result.
    """
    undo = TakeDown(operation, record, "add", note=note, is_undo=True)
    failure: str | None = None
    try:
        operation.notify(RollbackStarted)
        await _retire_first(undo, note)
        await undo.run(anyio.current_time() + operation.engine.timeouts.undo)
    except AcniError as unfinished:
        failure = unfinished.message
    except Exception as unfinished:  # noqa: BLE001 (the first error stays, whatever this one is)
        failure = cause_of(unfinished)
    except BaseException as interruption:
        failure = cause_of(interruption)
        keep_context(interruption, error)
        raise
    finally:
        if failure is not None:
            error.add_note(f"the undo did not finish: {failure}")
        finished = operation.notify(
            RollbackFinished, deleted=tuple(undo.deleted), debt=undo.debt, error=failure
        )
        if isinstance(error, AcniError):
            error.learn(rollback=finished, debt=undo.debt)


async def _retire_first(undo: TakeDown, note: Note) -> None:
    """Retire the record, where there may be one, before the first DEL: else whoever finds record
    and intent takes what is half undone for what is attached. Where it stays, all of it is owed.
    """
    failure: StoreError | None = None
    try:
        if note.is_named:
            undo.operation.engine.store.retire(undo.record, note.spare)
    except StoreError as error:
        failure = error
    if failure is not None:
        await undo.owe(len(undo.record.network.plugins) - 1, failure)
        raise failure


def begin(
    engine: Engine,
    network: NetworkConfig,
    attachment: Attachment,
    plugins: tuple[Plugin, ...],
    identity: NetnsIdentity | None,
) -> Record:
    """Make the record of an attachment that begins now, without a result yet."""
    return Record(
        container_id=attachment.container_id,
        ifname=attachment.ifname,
        network=network,
        netns=attachment.netns,
        cni_args=attachment.cni_args,
        capability_texts=attachment.capability_texts,
        result=None,
        provenance=engine.provenance(identity, plugins),
    )

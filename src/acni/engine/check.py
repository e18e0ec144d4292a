"""Checking an attachment (specification, section 3, "Checking an attachment").

Everything comes from the record: "all parameters ... must be the same as the corresponding ADD"
    (section 2, "CHECK").
"""

from __future__ import annotations

import anyio
from attrs import evolve

from acni.engine.chain import chain_of_record
from acni.engine.engine import Engine, Operation
from acni.engine.entering import turn
from acni.engine.guards import raise_unreadable
from acni.engine.kinds import kinds_of
from acni.engine.recovery import settle_container
from acni.engine.takedown import is_of_this_boot, require_this_host, standing_netns
from acni.engine.targets import with_namespace_of
from acni.errors import AttachmentNotFound, NetnsChanged
from acni.host.host import Host
from acni.spec.attachment import Attachment, AttachmentId
from acni.spec.commands import Command
from acni.spec.planning import plan
from acni.store.record import Record, recorded_result


async def check(
    engine: Engine, attachment: Attachment | AttachmentId, *, network: str | None = None
) -> None:
    """Ask every plugin of an attachment whether it is still as it was made.

    Args:
        engine: The runtime's engine.
        attachment: Its identity; the namespace counts for a record of another writer that has
            none.
        network: The network it is expected on; by default any.

    Raises:
        AttachmentNotFound: no record knows it (on that network), or it is owed a delete.
        VersionUnsupported: its configuration is older than 0.4.0.
        NetnsChanged: the recorded namespace no longer stands behind the path.
        HostChanged, Busy, StoreError: nothing ran.
        CheckFailed: a plugin found a difference.
        PluginError: a plugin did not answer.
    """
    identity = attachment.id if isinstance(attachment, Attachment) else attachment
    operation = Operation(engine=engine, verb="check", network=network or "", id=identity)
    with operation.reported():
        async with turn(operation, identity.container_id):
            await settle_container(operation, identity.container_id)
            for record in records_to_check(engine, attachment, network):
                await _check(evolve(operation, network=record.network.name), record)


def records_to_check(
    engine: Engine, attachment: Attachment | AttachmentId, network: str | None
) -> list[Record]:
    """Find the records of an attachment, on that network or on any.

    Raises:
        AttachmentNotFound: no record knows it.
        StoreError: the file that may be its record cannot be read.
    """
    identity = attachment.id if isinstance(attachment, Attachment) else attachment
    found = engine.store.records.find(identity)
    records = [record for record in found.records if network in (None, record.network.name)]
    if not records and (found.aside or found.unreadable):
        raise_unreadable(found)
    if not records:
        raise AttachmentNotFound("no record knows it", expected="an attachment that was added")
    return [with_namespace_of(record, attachment) for record in records]


def netns_to_check(record: Record, host: Host) -> str:
    """Return the namespace of an attachment that can be checked.

    Raises:
        AttachmentNotFound: it is owed a delete.
        NetnsChanged: the recorded namespace no longer stands behind the path.
        HostChanged: it was made from another host network namespace.
    """
    require_this_host(record, host)
    if record.owed is not None or not is_of_this_boot(record, host):
        raise AttachmentNotFound(
            "it is not attached: a delete of it is owed", expected="an attachment that was added"
        )
    netns = standing_netns(record, host)
    if not netns:
        raise NetnsChanged(
            f"the namespace it was added to no longer stands behind {record.netns}",
            expected="the same network namespace",
        )
    return netns


async def _check(operation: Operation, record: Record) -> None:
    steps = plan(Command.CHECK, record.network)
    if not steps:  # disableCheck
        return
    netns = netns_to_check(record, operation.engine.host)
    deadline = anyio.current_time() + operation.engine.timeouts.check
    chain = chain_of_record(
        operation, record, netns=netns, deadline=deadline, kinds=kinds_of(record)
    )
    previous = recorded_result(record)
    for step in steps:
        await chain.run(step, previous)

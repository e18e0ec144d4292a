"""Deleting an attachment (specification, section 3, "Deleting an attachment").

Configuration, arguments and result are those of *then*, from the record; a caller's configuration
counts only where no record knows the attachment. A debt resumes where it halted.
"""

from __future__ import annotations

from attrs import evolve

from acni.engine.engine import Engine, Operation
from acni.engine.entering import turn
from acni.engine.recovery import settle_container
from acni.engine.targets import Target, delete_target, to_delete
from acni.engine.versions import negotiated_to_delete
from acni.errors import AttachmentNotFound
from acni.spec.attachment import Attachment, AttachmentId
from acni.spec.configuration import NetworkConfig


async def delete(
    engine: Engine,
    attachment: Attachment | AttachmentId,
    *,
    network: NetworkConfig | str | None = None,
) -> None:
    """Detach a container.

    Args:
        engine: The runtime's engine.
        attachment: Its identity; the namespace and arguments count only where there is no record.
        network: The network to delete it from, or its name; a configuration is what runs where
            there is no record.

    Raises:
        AttachmentExists: no record knows it, and its record's file name is another attachment's.
        AttachmentNotFound: no record knows it and no network was given, or it is attached to
            another network.
        HostChanged, Busy: nothing ran.
        StoreError: nothing ran, or all plugins succeeded and the record cannot be removed.
        CleanupIncomplete: a plugin failed; what is left is a debt.
    """
    identity = attachment.id if isinstance(attachment, Attachment) else attachment
    name = network.name if isinstance(network, NetworkConfig) else network or ""
    operation = Operation(engine=engine, verb="delete", network=name, id=identity)
    with operation.reported():
        async with turn(operation, identity.container_id):
            settled = await settle_container(operation, identity.container_id)
            try:
                targets = to_delete(engine, attachment, network)
            except AttachmentNotFound:
                if identity in settled:
                    return
                raise
            for target in targets:
                await delete_target(operation, await _in_one_version(operation, target))


async def _in_one_version(operation: Operation, target: Target) -> Target:
    """Settle the version of what only the caller's configuration knows; a record knows its own."""
    if target.origin != "caller":
        return target
    network = await negotiated_to_delete(operation, target.record.network)
    return evolve(target, record=evolve(target.record, network=network))

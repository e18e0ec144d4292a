"""Deleting an attachment (specification, section 3, "Deleting an attachment").

Configuration, arguments and result are those of *then*, from the record; a caller's configuration
counts only where no record knows the attachment. A debt resumes where it halted.
"""

from __future__ import annotations

import anyio
import anyio.to_thread
from attrs import evolve

from acni.engine.engine import Engine, Operation
from acni.engine.guards import require_own_name
from acni.engine.takedown import TakeDown, is_of_this_boot, require_this_host
from acni.errors import AttachmentNotFound, InvalidName
from acni.host import netns
from acni.host.netns import NetnsIdentity
from acni.spec.attachment import Attachment, AttachmentId
from acni.spec.configuration import NetworkConfig
from acni.store.record import Origin, Record


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
        HostChanged, Busy, StoreError: nothing ran.
        CleanupIncomplete: a plugin failed; what is left is a debt.
    """
    identity = attachment.id if isinstance(attachment, Attachment) else attachment
    operation = Operation(engine=engine, verb="delete", network=_name_of(network), id=identity)
    with operation.reported():
        async with engine.queues.turn(identity.container_id, engine.timeouts.wait):
            deadline = anyio.current_time() + engine.timeouts.delete
            for record, origin in await anyio.to_thread.run_sync(
                _to_delete, engine, attachment, network
            ):
                await TakeDown(evolve(operation, network=record.network.name), record, origin).run(
                    deadline
                )


def _to_delete(
    engine: Engine, attachment: Attachment | AttachmentId, network: NetworkConfig | str | None
) -> list[tuple[Record, Origin]]:
    """Find what is to be deleted: the records of the attachment, the last attached first (R47), or
    the caller's word.
    """
    identity = attachment.id if isinstance(attachment, Attachment) else attachment
    found = engine.store.records.find(identity)
    for record in found:
        require_this_host(record, engine.host)
    name = _name_of(network)
    named = [record for record in found if name in ("", record.network.name)]
    if named:
        return [
            (_adopted(engine, record), "delete")
            for record in sorted(named, key=_sequence, reverse=True)
        ]
    if found:
        raise AttachmentNotFound(
            f"it is attached to network {found[0].network.name}", expected="that network's name"
        )
    if not isinstance(network, NetworkConfig):
        raise AttachmentNotFound(
            "no record knows it", expected="an attachment, or a configuration to delete it with"
        )
    require_own_name(engine, network.name, identity)
    return [(_from_caller(engine, attachment, network), "caller")]


def _name_of(network: NetworkConfig | str | None) -> str:
    return network.name if isinstance(network, NetworkConfig) else network or ""


def _sequence(record: Record) -> int:
    return record.provenance.sequence if record.provenance else 0


def _adopted(engine: Engine, record: Record) -> Record:
    """Give the record of another writer a provenance, so that what a failed delete leaves can be
    owed.
    """
    if record.provenance is not None:
        return record
    return evolve(record, provenance=engine.provenance(_identity_of(engine, record.netns), ()))


def _from_caller(
    engine: Engine, attachment: Attachment | AttachmentId, network: NetworkConfig
) -> Record:
    """Make a record of what the caller says, for an attachment that no record knows.

    Its namespace is passed only if it is one, and no other container holds that interface in it.
    """
    path = attachment.netns if isinstance(attachment, Attachment) else ""
    identity = _identity_of(engine, path)
    is_ours = identity is not None and not _is_held(engine, attachment, identity)
    return Record(
        container_id=attachment.container_id,
        ifname=attachment.ifname,
        network=network,
        netns=path if is_ours else "",
        cni_args=attachment.cni_args if isinstance(attachment, Attachment) else {},
        capability_texts=attachment.capability_texts if isinstance(attachment, Attachment) else {},
        result=None,
        provenance=engine.provenance(identity if is_ours else None, ()),
    )


def _identity_of(engine: Engine, path: str) -> NetnsIdentity | None:
    if not path:
        return None
    try:
        identity = netns.identity(path)
    except InvalidName:
        return None
    return None if identity == engine.host.netns else identity


def _is_held(
    engine: Engine, attachment: Attachment | AttachmentId, identity: NetnsIdentity
) -> bool:
    return any(
        record.container_id != attachment.container_id
        and record.provenance is not None
        and record.provenance.netns == identity
        and is_of_this_boot(record, engine.host)
        for record in engine.store.records.of_interface(attachment.ifname)
    )

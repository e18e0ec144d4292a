"""What there is to delete: the records of an attachment, its debts, or what a caller says of one
that no record knows.

A file in a record's place that is no record is normal input: the delete goes on with the caller's
configuration. Kubelet and containerd refuse to start on one; libcni removes it first and then
forgets what was owed.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import anyio
from attrs import evolve, frozen

from acni.engine.engine import Engine, Operation
from acni.engine.guards import holds_interface, raise_unreadable, require_own_name
from acni.engine.takedown import TakeDown, is_of_this_boot, require_this_host
from acni.errors import AttachmentExists, AttachmentNotFound, InvalidName
from acni.host import netns
from acni.host.netns import NetnsIdentity
from acni.spec.attachment import Attachment, AttachmentId
from acni.spec.configuration import NetworkConfig
from acni.spec.names import record_name
from acni.store.record import Origin, Record
from acni.store.records import Found


@frozen(kw_only=True)
class Target:
    """Something to delete.

    Attributes:
        record: What it is.
        origin: What a debt of it is put down to.
        is_aside: A file that is no record stands in the record's place.
    """

    record: Record
    origin: Origin
    is_aside: bool = False


async def delete_target(operation: Operation, target: Target) -> None:
    """Delete something, within the time that a delete has.

    Raises:
        AttachmentExists: another attachment is just being given the record's file name.
        CleanupIncomplete: a plugin failed; what is left is a debt.
        StoreError: the record cannot be removed.
    """
    deadline = anyio.current_time() + operation.engine.timeouts.delete
    own = evolve(operation, network=target.record.network.name)
    with _claimed(operation.engine, target) as record:
        await TakeDown(own, record, target.origin, target.is_aside).run(deadline)


@contextmanager
def _claimed(engine: Engine, target: Target) -> Generator[Record]:
    """Claim what a delete by the caller's word is about, as an ADD would; its record knows no
    better. An interface that an ADD is just making is not its: the plugins get no namespace.
    """
    record = target.record
    identity = record.provenance.netns if record.provenance else None
    if target.origin != "caller":
        yield record
        return
    with engine.claims.record(record.name):
        if identity is None or engine.claims.has_interface(identity, record.ifname):
            yield evolve(record, netns="")
            return
        with engine.claims.interface(identity, record.ifname):
            yield record


def owed_first(
    engine: Engine, network: NetworkConfig, attachment: Attachment
) -> tuple[Target, ...]:
    """Find what must be deleted before an attachment can be made: its debts, what an earlier boot
    left, and what stands in its record's place.

    Raises:
        AttachmentExists: it is attached, or its record's file name is another attachment's.
        HostChanged: its record belongs to another host.
    """
    found = engine.store.records.find(attachment.id)
    targets = _aside(found)
    for record in found.records:
        require_this_host(record, engine.host)
        if record.owed is None and is_of_this_boot(record, engine.host):
            raise AttachmentExists(
                f"it is attached to network {record.network.name}",
                expected="a delete before it is added again",
            )
        targets.append(Target(record=record, origin="add"))
    if not _is_bad(found, network, attachment.id):
        require_own_name(engine, network.name, attachment.id)
    elif not targets:
        target = _from_caller(engine, attachment, network, is_bad=True)
        targets.append(evolve(target, origin="add"))
    return tuple(targets)


def to_delete(
    engine: Engine, attachment: Attachment | AttachmentId, network: NetworkConfig | str | None
) -> tuple[Target, ...]:
    """Find what a delete is about: what is recorded, the last attached first (R47), or the caller's
    word.

    Raises:
        AttachmentNotFound: no record knows it and there is no configuration to delete it with, or
            it is attached to another network.
        AttachmentExists: the record's file name is another attachment's.
        HostChanged: its record belongs to another host.
        StoreError: the file that may be its record cannot be read, and there is no configuration.
    """
    identity = attachment.id if isinstance(attachment, Attachment) else attachment
    found = engine.store.records.find(identity)
    name = network.name if isinstance(network, NetworkConfig) else network or ""
    for record in found.records:
        require_this_host(record, engine.host)
    records = sorted(found.records, key=_sequence, reverse=True)
    recorded = [
        Target(record=_adopted(engine, with_namespace_of(record, attachment)), origin="delete")
        for record in records
    ]
    known = _aside(found) + recorded
    named = tuple(target for target in known if name in ("", target.record.network.name))
    if named:
        return named
    if known:
        raise AttachmentNotFound(
            f"it is attached to network {known[0].record.network.name}",
            expected="that network's name",
        )
    if not isinstance(network, NetworkConfig):
        if found.unreadable:
            raise_unreadable(found)
        raise AttachmentNotFound(
            "no record knows it", expected="an attachment, or a configuration to delete it with"
        )
    is_bad = _is_bad(found, network, identity)
    if not is_bad:
        require_own_name(engine, network.name, identity)
    return (_from_caller(engine, attachment, network, is_bad=is_bad),)


def _aside(found: Found) -> list[Target]:
    return [Target(record=record, origin="delete", is_aside=True) for record in found.aside]


def _is_bad(found: Found, network: NetworkConfig, identity: AttachmentId) -> bool:
    return record_name(network.name, identity.container_id, identity.ifname) in found.unreadable


def _sequence(record: Record) -> int:
    return record.provenance.sequence if record.provenance else 0


def with_namespace_of(record: Record, attachment: Attachment | AttachmentId) -> Record:
    """Give a record of another writer that has no namespace the one of the caller: libcni 1.1
    records none, and its callers name it with every verb.
    """
    is_without = record.provenance is None and not record.netns
    if is_without and isinstance(attachment, Attachment):
        return evolve(record, netns=attachment.netns)
    return record


def _adopted(engine: Engine, record: Record) -> Record:
    """Give the record of another writer a provenance, so that what a failed delete leaves can be
    owed.
    """
    if record.provenance is not None:
        return record
    return evolve(record, provenance=engine.provenance(_identity_of(engine, record.netns), ()))


def _from_caller(
    engine: Engine,
    attachment: Attachment | AttachmentId,
    network: NetworkConfig,
    *,
    is_bad: bool,
) -> Target:
    """Make a target of what the caller says, for an attachment that no record knows.

    Its namespace is passed only if it is one, and no other container holds that interface in it. A
    bare result in the record's place, as libcni wrote before it had records, is the result.
    """
    path = attachment.netns if isinstance(attachment, Attachment) else ""
    identity = _identity_of(engine, path)
    is_ours = identity is not None and not _is_held(engine, attachment, identity)
    record = Record(
        container_id=attachment.container_id,
        ifname=attachment.ifname,
        network=network,
        netns=path if is_ours else "",
        cni_args=attachment.cni_args if isinstance(attachment, Attachment) else {},
        capability_texts=attachment.capability_texts if isinstance(attachment, Attachment) else {},
        result=None,
        provenance=engine.provenance(identity if is_ours else None, ()),
    )
    if not is_bad:
        return Target(record=record, origin="caller")
    result = engine.store.records.bare_result(record.name, network.cni_version)
    return Target(record=evolve(record, result=result), origin="caller", is_aside=result is None)


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
        and holds_interface(record, identity, engine.host)
        for record in engine.store.records.of_interface(attachment.ifname)
    )

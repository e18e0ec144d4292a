"""What there is to delete: the records of an attachment, its debts, or what a caller says of one
that no record knows.

A file in a record's place that is no record is normal input: the delete goes on with the caller's
configuration. Kubelet and containerd refuse to start on one; libcni removes it first and then
forgets what was owed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import (
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
)

import anyio
from attrs import astuple, evolve, frozen

from acni.engine.engine import Engine, Operation
from acni.engine.guards import other_holder, raise_unreadable, require_own_name
from acni.engine.kinds import plugins_of_now
from acni.engine.notes import Note
from acni.engine.orphans import wait_for_orphans
from acni.engine.takedown import TakeDown, is_of_this_boot, require_this_host
from acni.errors import AttachmentExists, AttachmentNotFound, InvalidName, NetnsInUse, StoreError
from acni.host import netns
from acni.host.netns import NetnsIdentity
from acni.spec.attachment import Attachment, AttachmentId
from acni.spec.configuration import NetworkConfig
from acni.spec.names import NetworkName, record_name
from acni.store.record import Origin, Record
from acni.store.records import Found


@frozen(kw_only=True)
class Target:
    """Something to delete.

    Attributes:
        record: What it is.
        origin: What a debt of it is put down to.
        is_aside: A file that is no record stands in the record's place.
        is_by_word: No record of ours knows its namespace; a caller names it.
    """

    record: Record
    origin: Origin
    is_aside: bool = False
    is_by_word: bool = False


async def delete_target(operation: Operation, target: Target) -> None:
    """Delete something, within the time that a delete has.

    Raises:
        AttachmentExists: another attachment is just being given the record's file name.
        CleanupIncomplete: a plugin failed; what is left is a debt.
        StoreError: the record cannot be removed.
    """
    engine = operation.engine
    own = evolve(operation, network=target.record.network.name)
    async with _claimed(engine, target) as record:
        if record.owed is not None:
            await wait_for_orphans(own, record, until=0.0)
        with _noted(own, record) as note:
            deadline = anyio.current_time() + engine.timeouts.delete
            await TakeDown(own, record, target.origin, target.is_aside, note).run(deadline)


def _noted(operation: Operation, record: Record) -> AbstractContextManager[Note | None]:
    """Note a delete. What somebody asked for runs even where nothing can be noted, and stays
    recorded; what is only owed waits for better times.
    """
    bounds = operation.engine.timeouts
    try:
        return Note.of_delete(operation.engine, record, bounds.delete + bounds.grace)
    except StoreError:
        if operation.verb != "delete":
            raise
        return nullcontext()


@asynccontextmanager
async def _claimed(engine: Engine, target: Target) -> AsyncGenerator[Record]:
    """Claim what a delete by somebody's word is about, as an ADD would, and only then look who
    holds the interface: between a look and a claim an ADD may begin and end. Where it is not this
    attachment's, the plugins get no namespace.
    """
    record = target.record
    if not target.is_by_word:
        yield record
        return
    identity = record.provenance.netns if record.provenance else None
    async with (
        engine.turns.claim_record(record.name, record.container_id),
        AsyncExitStack() as claims,
    ):
        if identity is not None:
            try:
                await claims.enter_async_context(
                    engine.turns.claim_interface(identity, record.ifname, record.container_id)
                )
            except NetnsInUse:
                identity = None
        yield record_to_delete(engine, target) if identity else evolve(record, netns="")


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
    targets = _aside(engine, found)
    for record in found.records:
        require_this_host(record, engine.host)
        if record.owed is None and is_of_this_boot(record, engine.host):
            raise AttachmentExists(
                f"it is attached to network {record.network.name}",
                expected="a delete before it is added again",
            )
        targets.append(Target(record=record, origin="add"))
    name = record_name(network.name, attachment.container_id, attachment.ifname)
    if name not in found.unreadable:
        require_own_name(engine, network.name, attachment.id)
    elif not any(target.is_aside and target.record.name == name for target in targets):
        target = _from_caller(engine, attachment, network, is_bad=True)
        # The ADD holds the claims itself, and looks at the interface before it runs anything.
        targets.append(evolve(target, origin="add", is_by_word=False))
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
    records = sorted(found.records, key=sequence_of, reverse=True)
    recorded = [_recorded(engine, record, attachment) for record in records]
    known = _aside(engine, found) + recorded
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
    is_bad = record_name(network.name, *astuple(identity)) in found.unreadable
    if not is_bad:
        require_own_name(engine, network.name, identity)
    return (_from_caller(engine, attachment, network, is_bad=is_bad),)


def owed_targets(
    engine: Engine,
    attachment: AttachmentId,
    network: NetworkName,
    is_wanted: Callable[[Record], bool],
) -> tuple[Target, ...]:
    """Find what is to be deleted of an attachment without anybody asking for the attachment itself;
    nothing where nothing is.

    Raises:
        HostChanged, StoreError: as by :func:`to_delete`.
    """
    try:
        targets = to_delete(engine, attachment, network)
    except AttachmentNotFound:
        return ()
    return tuple(evolve(target, origin="delete") for target in targets if is_wanted(target.record))


def target_of(engine: Engine, record: Record, *, is_aside: bool) -> Target:
    """Make a target of what was found.

    Raises:
        HostChanged: it belongs to another host.
    """
    require_this_host(record, engine.host)
    if is_aside:
        return Target(record=record, origin="delete", is_aside=True)
    return _recorded(engine, record, record.id)


def retire_target(engine: Engine, target: Target) -> None:
    """Remove a target's record without running a plugin.

    Raises:
        StoreError: it cannot be removed.
    """
    if target.is_aside:
        engine.store.retire_aside(target.record)
    else:
        engine.store.retire(target.record)


def _aside(engine: Engine, found: Found) -> list[Target]:
    for record in found.aside:
        require_this_host(record, engine.host)
    return [Target(record=record, origin="delete", is_aside=True) for record in found.aside]


def _recorded(engine: Engine, record: Record, attachment: Attachment | AttachmentId) -> Target:
    """Make a target of a record; one of another writer is taken over first, so that what a failed
    delete leaves can be owed.
    """
    if record.provenance is not None:
        return Target(record=record, origin="delete")
    named = with_namespace_of(record, attachment)
    provenance = engine.provenance(_identity_of(engine, named.netns), ())
    is_by_word = named.netns != record.netns
    return Target(
        record=evolve(named, provenance=provenance), origin="delete", is_by_word=is_by_word
    )


def sequence_of(record: Record) -> int:
    """Return a record's place in the order of attaching; those of other writers come first."""
    return record.provenance.sequence if record.provenance else 0


def with_namespace_of(record: Record, attachment: Attachment | AttachmentId) -> Record:
    """Give a record of another writer that has no namespace the one of the caller: libcni 1.1
    records none, and its callers name it with every verb.
    """
    is_without = record.provenance is None and not record.netns
    if is_without and isinstance(attachment, Attachment):
        return evolve(record, netns=attachment.netns)
    return record


def _from_caller(
    engine: Engine,
    attachment: Attachment | AttachmentId,
    network: NetworkConfig,
    *,
    is_bad: bool,
) -> Target:
    """Make a target of what the caller says, for an attachment that no record knows.

    Its namespace is passed only if it is one, and no other container holds that interface in it.
    A bare result in the record's place, as libcni wrote before it had records, is the result.
    """
    path = attachment.netns if isinstance(attachment, Attachment) else ""
    identity = _identity_of(engine, path)
    record = Record(
        container_id=attachment.container_id,
        ifname=attachment.ifname,
        network=network,
        netns=path if identity else "",
        cni_args=attachment.cni_args if isinstance(attachment, Attachment) else {},
        capability_texts=attachment.capability_texts if isinstance(attachment, Attachment) else {},
        result=None,
        provenance=engine.provenance(identity, plugins_of_now(engine, network)),
    )
    if not is_bad:
        return Target(record=record, origin="caller", is_by_word=True)
    result = engine.store.records.bare_result(record.name, network.cni_version)
    return Target(
        record=evolve(record, result=result),
        origin="caller",
        is_aside=result is None,
        is_by_word=True,
    )


def _identity_of(engine: Engine, path: str) -> NetnsIdentity | None:
    if not path:
        return None
    try:
        identity = netns.identity(path)
    except InvalidName:
        return None
    return None if identity == engine.host.netns else identity


def record_to_delete(engine: Engine, target: Target) -> Record:
    """Return a target's record, without its namespace where another container holds the interface
    in it.
    """
    record = target.record
    identity = record.provenance.netns if record.provenance else None
    if not target.is_by_word or identity is None:
        return record
    is_held = other_holder(engine, record.id, identity) is not None
    return evolve(record, netns="") if is_held else record

"""Settling what is owed, and giving it up by a person's word."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from acni.engine.engine import Engine, Operation
from acni.engine.entering import turn
from acni.engine.listing import LEFT_OPEN
from acni.engine.recovery import (
    Opened,
    is_same_operation,
    opened_of,
    read_in_place,
    settle_container,
)
from acni.engine.takedown import is_of_this_boot, require_this_host
from acni.engine.targets import Target, delete_target, owed_targets, retire_target
from acni.errors import AttachmentNotFound, StoreError
from acni.events import Debt, DebtForgotten
from acni.spec.attachment import AttachmentId
from acni.spec.names import parse_network_name
from acni.store.intents import Intent, record_of
from acni.store.record import Record


def list_debts(engine: Engine) -> tuple[Debt, ...]:
    """List what is owed, sorted by record; files that are no records owe nothing that is known.

    Raises:
        StoreError: the state directory cannot be listed.
    """
    records = engine.store.records
    in_place = records.readable(lambda outline: outline.cause is not None)
    found = (*in_place, *records.debts_aside())
    owed = {record.id: record.debt for record in found if record.debt is not None}
    opened = {record.id: _debt(record) for record in left_open(engine)}
    return tuple({**opened, **owed}.values())


def left_open(engine: Engine) -> Iterator[Record]:
    """Iterate over what journals have open and nobody works on, but for what recovery keeps."""
    for intent in _left_by_all(engine):
        with contextlib.suppress(StoreError):
            record = record_of(intent)
            if not _is_kept(engine, intent, record):
                yield record


def _left_by_all(engine: Engine) -> Iterator[Intent]:
    if engine.store.journal is not None:
        yield from engine.left_open()
    else:  # only looking
        for slot in engine.store.records.slots(engine.host.boot):
            yield from () if slot.is_alive else slot.intents


def _is_kept(engine: Engine, intent: Intent, record: Record) -> bool:
    """Tell whether an ADD had come to its end in this boot: recovery keeps it."""
    is_in_place = _is_in_place(engine, record)
    return intent.verb == "add" and is_in_place and is_of_this_boot(record, engine.host)


def _is_in_place(engine: Engine, record: Record) -> bool:
    in_place, _ = read_in_place(engine, record)
    return in_place is not None and is_same_operation(in_place, record)


def _debt(record: Record) -> Debt:
    plugins = record.network.plugins
    return Debt(
        network=record.network.name,
        container_id=record.container_id,
        ifname=record.ifname,
        plugin=plugins[-1].type if plugins else "",
        cause=LEFT_OPEN,
    )


async def settle(engine: Engine, debt: Debt) -> None:
    """Delete what is owed; nothing where it is no longer owed.

    Raises:
        Busy: the container stayed busy.
        CleanupIncomplete: a plugin failed again; the rest is still owed.
    """
    operation = _operation(engine, "settle", debt)
    with operation.reported():
        async with turn(operation, _id(debt).container_id):
            await settle_container(operation, debt.container_id)
            for target in _owed(engine, debt):
                await delete_target(operation, target)


async def forget(engine: Engine, debt: Debt, reason: str) -> None:
    """Drop what is owed without running a plugin; what the plugins hold stays held.

    Raises:
        AttachmentNotFound: it is no longer owed.
        Busy: the container stayed busy.
        StoreError: the record cannot be removed, or it cannot be noted that nothing is owed.
    """
    operation = _operation(engine, "forget", debt)
    with operation.reported():
        async with turn(operation, _id(debt).container_id):
            targets = _owed(engine, debt)
            opened = await _open_of(engine, debt)
            if not targets and not opened:
                raise AttachmentNotFound("it is not owed", expected="a debt that is still owed")
            for target in targets:
                retire_target(engine, target)
            for one, record in opened:
                _forget_open(engine, one, record)
            operation.notify(DebtForgotten, debt=debt, reason=reason)


async def _open_of(engine: Engine, debt: Debt) -> tuple[tuple[Opened, Record], ...]:
    """Find what journals have open of a debt, under its container's lock.

    Raises:
        HostChanged: it belongs to another host.
    """
    found: list[tuple[Opened, Record]] = []
    for one in await opened_of(engine, debt.container_id):
        record = record_of(one.intent)
        is_of_debt = (record.id, record.network.name) == (_id(debt), debt.network)
        if is_of_debt and not _is_kept(engine, one.intent, record):
            require_this_host(record, engine.host)
            found.append((one, record))
    return tuple(found)


def _forget_open(engine: Engine, opened: Opened, record: Record) -> None:
    if _is_in_place(engine, record):
        engine.store.retire(record)
    with opened.note as note:
        note.end_surely("gone")


def _owed(engine: Engine, debt: Debt) -> tuple[Target, ...]:
    network = parse_network_name(debt.network)
    return owed_targets(engine, _id(debt), network, lambda record: record.owed is not None)


def _operation(engine: Engine, verb: str, debt: Debt) -> Operation:
    return Operation(engine=engine, verb=verb, network=debt.network, id=_id(debt))


def _id(debt: Debt) -> AttachmentId:
    return AttachmentId(debt.container_id, debt.ifname)

"""Restoring: what plugins in this process made for attached containers, and somebody else took away
since, as ``nft flush ruleset`` and the reload of a firewall service do.

Rule 1: an attached record says what there was. Only plugins that ran in this process are asked, and
    only about what was attached in this boot from this host namespace: an executable is called with
    the specification's verbs alone.
Rule 2: first all are looked at, without a lock and without a word to observers: mostly nothing is
    missing. What seems to lack something is looked at again under its container's lock, after what
    is left of the container was settled, and then it counts. So it is for STATUS, which settles
    nothing: a delete under way has taken out what its record still says.
Rule 3: may be killed at any point, and is done again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Final, Literal

import anyio
from attrs import evolve, frozen

from acni.engine.chain import chain_of_record
from acni.engine.engine import Engine, Operation
from acni.engine.entering import turn
from acni.engine.lines import Urgency
from acni.engine.recovery import Left, RecoveryReport, for_each, recover, settle_container
from acni.engine.runner import Restorer
from acni.errors import AcniError, StoreError
from acni.events import AttachmentRestored
from acni.host.plugins import EXECUTABLE
from acni.spec.attachment import AttachmentId
from acni.spec.commands import Command
from acni.spec.names import record_name
from acni.spec.planning import Step
from acni.spec.plugin import Plugin, Request
from acni.spec.request import build_request
from acni.spec.response import require_success
from acni.store.outline import Outline
from acni.store.record import Record, recorded_result

RESTORE: Final = "RESTORE"

# So many are looked at in one go, which nobody can cancel: some milliseconds.
_LOOKED_AT_ONCE: Final = 8
# How long STATUS waits for those who work on a container.
_MOST_SECONDS: Final = 2.0

Look = Literal["whole", "lost", "unknown"]


@frozen(kw_only=True)
class Restored:
    """What became of what somebody took away.

    Attributes:
        restored: The attachments of which something was missing, and is there again.
        failures: Why something could not be put back.
    """

    restored: tuple[AttachmentId, ...] = ()
    failures: tuple[AcniError, ...] = ()


@frozen(kw_only=True)
class _Asked:
    """A plugin of an attachment, and what it is asked.

    Attributes:
        step: The plugin's place in the chain.
        plugin: The plugin.
        request: Like CHECK's; without a namespace, since what is asked for is the host's.
    """

    step: Step
    plugin: Plugin
    request: Request


async def recover_and_restore(engine: Engine) -> RecoveryReport:
    """Settle everything that was left, then put back what somebody took away.

    Raises:
        StoreError: the state directory cannot be listed.
    """
    report = await recover(engine)
    found = await restore(engine)
    return evolve(report, restored=found.restored, failures=(*report.failures, *found.failures))


async def restore(engine: Engine) -> Restored:
    """Put back what somebody took away of any container that is attached.

    Raises:
        StoreError: the state directory cannot be listed.
    """
    restored: list[AttachmentId] = []
    failures: list[AcniError] = []

    async def one(left: Left) -> None:
        try:
            await _restore_one(engine, left, restored)
        except AcniError as error:
            failures.append(error)

    # What cannot be looked at is told by whoever tries to put it back.
    found = await look(engine, lambda said: said != "whole")
    await for_each((left for left, _ in found), one)
    return Restored(restored=tuple(restored), failures=tuple(failures))


async def find_lost(engine: Engine, network: str) -> tuple[AttachmentId, str] | None:
    """Return an attachment of a network of which somebody took something away, and the type of the
    plugin that had made it; None where nobody did.

    Where nothing was missing before, and the tables are the same, nothing is looked at: what is
    taken out of a table that stays is found by :func:`restore` and by CHECK.

    A DEL takes everything out before its record is gone. So what seems to lack something counts
    once nobody works on its container; who is worked on for longer than that is waited for is not
    told of.

    Raises:
        StoreError: the state directory cannot be listed.
    """
    restorer = engine.runner
    if not isinstance(restorer, Restorer):
        return None
    tables = await engine.in_thread(restorer.tables)
    if tables is not None and engine.whole.get(network) == tables:
        return None
    told = set[Look]()

    def is_lost(said: Look) -> bool:
        told.add(said)
        return _is_lost(said)

    found = await look(engine, is_lost, network=network, is_first_enough=True)
    if found:
        with anyio.move_on_after(_MOST_SECONDS):
            lost = await _first_still_lost(engine, found)
            if lost is None:
                found = await look(engine, _is_lost, network=network)
                lost = await _first_still_lost(engine, found)
            return lost
        return None
    if "unknown" not in told:
        engine.whole[network] = tables
    return None


async def _first_still_lost(
    engine: Engine, found: Iterable[tuple[Left, str]]
) -> tuple[AttachmentId, str] | None:
    """Look again, under the locks of the containers."""
    lost: list[tuple[AttachmentId, str]] = []

    async def one(left: Left) -> None:
        if not lost and (plugin := await _still_lost(engine, left)) is not None:
            lost.append((left.id, plugin))

    await for_each((left for left, _ in found), one)
    return lost[0] if lost else None


async def _still_lost(engine: Engine, left: Left) -> str | None:
    restorer = engine.runner
    operation = Operation(engine=engine, verb="status", network=left.network, id=left.id)
    try:
        async with turn(operation, left.id.container_id):
            record = _record_of(engine, left)
            if record is None or not isinstance(restorer, Restorer):
                return None
            looking = partial(_first_chosen, engine, restorer, record, _is_lost)
            return await engine.in_thread(looking)
    except AcniError:
        return None  # others work on it, or it cannot be looked at


async def look(
    engine: Engine,
    chosen: Callable[[Look], bool],
    *,
    network: str | None = None,
    is_first_enough: bool = False,
) -> list[tuple[Left, str]]:
    """Look at all that is attached, and change nothing.

    Args:
        engine: The runtime's engine.
        chosen: Which are wanted.
        network: Only this network; by default any.
        is_first_enough: Whether the others do not matter once there is one.

    Returns:
        The attachments, each with the type of the first plugin of which that is so.

    Raises:
        StoreError: the state directory cannot be listed.
    """
    restorer = engine.runner
    if not isinstance(restorer, Restorer):
        return []
    records = _records(engine, network)
    found: list[tuple[Left, str]] = []

    def look_at_some() -> bool:
        some = list(islice(records, _LOOKED_AT_ONCE))
        for record in some:
            kind = _first_chosen(engine, restorer, record, chosen)
            if kind is not None:
                found.append((Left(id=record.id, network=record.network.name), kind))
        return bool(some) and not (found and is_first_enough)

    while await engine.in_thread(look_at_some):
        pass
    return found


def _is_lost(said: Look) -> bool:
    return said == "lost"


def _first_chosen(
    engine: Engine, restorer: Restorer, record: Record, chosen: Callable[[Look], bool]
) -> str | None:
    """Return the type of the first plugin of an attachment of which something is so."""
    try:
        for asked in _asked(engine, restorer, record):
            if chosen(_look(engine, restorer, asked)):
                return asked.plugin.type
    except StoreError:
        return "" if chosen("unknown") else None
    return None


def _look(engine: Engine, restorer: Restorer, asked: _Asked) -> Look:
    response = restorer.look(asked.plugin, asked.request, seconds=engine.timeouts.check)
    try:
        require_success(RESTORE, asked.step, response)
    except AcniError:
        return "unknown"
    return "lost" if response.stdout else "whole"


async def _restore_one(engine: Engine, left: Left, restored: list[AttachmentId]) -> None:
    """Put back what is missing of an attachment.

    Raises:
        AcniError: something of it cannot be put back, and stays missing; the rest is there again.
    """
    operation = Operation(engine=engine, verb="recover", network=left.network, id=left.id)
    with operation.reported():
        async with turn(operation, left.id.container_id):
            await settle_container(operation, left.id.container_id)
            record = _record_of(engine, left)
            if record is None:
                return  # deleted meanwhile, or to be
            plugins, failures = await _put_back(operation, record)
        if plugins:
            restored.append(left.id)
            operation.notify(AttachmentRestored, plugins=plugins)
        for failure in failures[1:]:
            failures[0].add_note(f"and: {failure}")
        if failures:
            raise failures[0]


async def _put_back(
    operation: Operation, record: Record
) -> tuple[tuple[str, ...], list[AcniError]]:
    """Ask each plugin; one that fails keeps no other from it."""
    restorer = operation.engine.runner
    plugins: list[str] = []
    failures: list[AcniError] = []
    if isinstance(restorer, Restorer):
        deadline = anyio.current_time() + operation.engine.timeouts.check
        for asked in _asked(operation.engine, restorer, record):
            try:
                if await _ask(operation, restorer, asked, deadline):
                    plugins.append(asked.plugin.type)
            except AcniError as error:
                failures.append(error)
    return tuple(plugins), failures


async def _ask(operation: Operation, restorer: Restorer, asked: _Asked, deadline: float) -> bool:
    kind = asked.plugin.type
    with operation.running(RESTORE, kind, asked.step.index) as run:
        async with operation.engine.admission.place(kind, Urgency.BEGUN, until=deadline):
            run.response = await restorer.restore(asked.plugin, asked.request, deadline=deadline)
        require_success(RESTORE, asked.step, run.response)
        return bool(run.response.stdout)


def _records(engine: Engine, network: str | None) -> Iterator[Record]:
    """Iterate over the records of what is attached by plugins of this process."""

    def is_wanted(outline: Outline) -> bool:
        return (
            network in (None, outline.network)
            and any(kind != EXECUTABLE for kind in outline.runners)
            and outline.cause is None
            and outline.host_netns == engine.host.netns
            and outline.is_here(engine.host)
        )

    return engine.store.records.readable(is_wanted)


def _record_of(engine: Engine, left: Left) -> Record | None:
    """Return the record of what is attached; None where it is not any more.

    Raises:
        StoreError: it cannot be read.
    """
    record = engine.store.records.read(
        record_name(left.network, left.id.container_id, left.id.ifname)
    )
    is_there = record is not None and record.id == left.id and _is_attached(record, engine)
    return record if is_there else None


def _is_attached(record: Record, engine: Engine) -> bool:
    provenance, host = record.provenance, engine.host
    return (
        provenance is not None
        and provenance.owed is None
        and provenance.host_netns == host.netns
        and host.is_here(provenance.boot, provenance.host_netns)
    )


def _asked(engine: Engine, restorer: Restorer, record: Record) -> Iterator[_Asked]:
    """Iterate over the plugins of an attachment that put back, in the order of the chain.

    Raises:
        StoreError: the recorded result is none.
    """
    recorded = record.provenance.plugins if record.provenance else ()
    chosen = [(index, one) for index, one in enumerate(recorded) if restorer.restores(one)]
    if not chosen:
        return
    operation = Operation(engine=engine, verb="recover", network=record.network.name, id=record.id)
    parameters = chain_of_record(operation, record, netns="", deadline=0.0).parameters
    previous = recorded_result(record)
    for index, plugin in chosen:
        step = Step(
            command=Command.CHECK,
            index=index,
            plugin=record.network.plugins[index],
            takes_previous=True,
        )
        request = build_request(step, record.network, parameters, previous=previous)
        yield _Asked(step=step, plugin=plugin, request=request)

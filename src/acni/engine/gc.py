"""Collecting what is left of a network (specification, section 3, "Garbage-collecting a network").

What nobody keeps is deleted first, each by its own DEL and with the configuration of *then*: GC is
no substitute for DEL (R23). Then every plugin is asked to free what is not valid.

Rule 1: nothing is attached, detached or checked meanwhile (R27, R58).
Rule 2: what is owed, or was left open by a dead runtime, is deleted whatever the caller keeps.
Rule 3: what was attached after gc was called is kept: its caller could not name it.
Rule 4: valid is what the caller keeps, and all that is not deleted, for whatever reason: a plugin
    may free the rest (R59).
Rule 5: one failure keeps nothing else from being done, and all of them are told (R36).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from inspect import isawaitable
from typing import Final, TypeAlias, cast

import anyio
from attrs import astuple, evolve, frozen

from acni.engine.collecting import Collecting
from acni.engine.debts import left_open
from acni.engine.engine import Engine, Operation, sequence_now
from acni.engine.fates import Calling, Fate, Held, fate_of, list_foreign, list_held, plan_of_then
from acni.engine.kinds import plugins_of_now
from acni.engine.orphans import wait_for_gc_orphans
from acni.engine.turns import describe_operations
from acni.errors import AcniError, Busy, ConfigError, GCFailed, StoreError
from acni.events import GCFinished
from acni.spec.attachment import Attachment, AttachmentId
from acni.spec.configuration import NetworkConfig

# How long a gc waits for everybody else; meanwhile it is in their way.
_WAIT_SECONDS: Final = 10.0

Kept: TypeAlias = Iterable[Attachment | AttachmentId]
Keep: TypeAlias = Kept | Callable[[], Kept | Awaitable[Kept]]


@frozen(kw_only=True)
class GCReport:
    """What became of the attachments of a network.

    Attributes:
        deleted: What was deleted; with ``dry_run`` what would be.
        kept: What is attached and stays: the caller keeps it, or it was attached meanwhile.
        skipped: What another writer attached.
        unreadable: Files that may be records of the network and are none.
        failures: What could not be deleted, and which plugins could not collect.

    Example:
        >>> result = call("add", network, attachment)
        >>> async def main():
        ...     async with runtime_over(scripted) as runtime:
        ...         return await runtime.gc(network, keep=[attachment])
        >>> [str(identity) for identity in anyio.run(main).kept]
        ['web/eth0']
    """

    deleted: tuple[AttachmentId, ...] = ()
    kept: tuple[AttachmentId, ...] = ()
    skipped: tuple[AttachmentId, ...] = ()
    unreadable: tuple[str, ...] = ()
    failures: tuple[AcniError, ...] = ()

    def raise_for_failures(self) -> None:
        """Raise all failures as one, if there are any.

        Raises:
            GCFailed: with all of ``failures``.

        Example:
            >>> scripted.tell("bridge", "GC", testing.Behaviour.failing(msg="no leases"))
            >>> async def main():
            ...     async with runtime_over(scripted) as runtime:
            ...         report = await runtime.gc(network, keep=[])
            ...         report.raise_for_failures()
            >>> try:
            ...     anyio.run(main)
            ... except acni.GCFailed as error:
            ...     print([failure.msg for failure in error.exceptions])
            ['no leases']
        """
        if self.failures:
            debt = next((error.debt for error in self.failures if error.debt is not None), None)
            network = self.failures[0].network
            said = "; ".join(map(str, self.failures))
            raise GCFailed(said, self.failures, verb="gc", network=network, debt=debt)


async def gc(
    engine: Engine,
    network: NetworkConfig,
    keep: Keep,
    *,
    foreign: bool = False,
    dry_run: bool = False,
) -> GCReport:
    """Delete every attachment of a network that is not kept, and have the plugins collect.

    Args:
        engine: The runtime's engine.
        network: The network.
        keep: What is kept, or who is asked for it when nothing else is under way.
        foreign: What other writers attached is collected, too.
        dry_run: Only say what would be deleted.

    Raises:
        ConfigError: ``keep`` is none.
        Busy: others were in the way all the time, or ``keep`` gave no answer; nothing was deleted
            but what is owed.
        StoreError: the state directory cannot be read or written.
    """
    operation = Operation(engine=engine, verb="gc", network=network.name, id=None)
    with operation.reported():
        if not callable(keep):
            keep = kept_ids(keep)
        if network.disable_gc:
            return GCReport()
        calling = await _calling(engine, network, foreign=foreign)
        if dry_run:
            return await _rehearse(engine, network, keep, calling)
        engine.store.require_journal()
        wait = min(engine.timeouts.wait, _WAIT_SECONDS)
        describe = partial(describe_operations, engine.store.records, engine.host.boot)
        async with engine.turns.alone(wait, describe):
            await wait_for_gc_orphans(operation)
            return await _collect(operation, network, keep, calling)


async def _collect(
    operation: Operation, network: NetworkConfig, keep: Keep, calling: Calling
) -> GCReport:
    engine = operation.engine
    collecting = Collecting(operation, network, anyio.current_time() + engine.timeouts.gc)
    # 1. What dead runtimes left open is settled.
    await collecting.settle_open()
    # 2. Who is alive is asked now: from here on nothing else is attached.
    kept = await _answer(keep, collecting.seconds_to_delete())
    # 3. What nobody keeps is deleted, with its own configuration.
    before = await engine.in_thread(list_held, engine, network.name)
    fates = _fates(before, kept, calling, engine)
    doomed = [found for found, fate in zip(before.found, fates, strict=True) if fate == "delete"]
    await collecting.delete(doomed)
    # 4. The plugins collect what is not valid: neither kept, nor still there.
    try:
        after = await engine.in_thread(list_held, engine, network.name)
    except StoreError as error:
        after = before
        collecting.failures.append(error)
    else:
        of_now = plugins_of_now(engine, network)
        now = ((each.type, each.runner) for each in of_now)
        of_then = plan_of_then(now, (found.record for found in before.found))
        valid = sorted(kept | after.ids(network.name), key=astuple)
        await collecting.have_collected(of_now, of_then, valid)
    report = _report(after, before, fates, collecting.deleted, collecting.failures)
    operation.notify(
        GCFinished,
        deleted=len(report.deleted),
        kept=len(report.kept),
        skipped=len(report.skipped),
        failed=len(report.failures),
    )
    return report


async def _rehearse(
    engine: Engine, network: NetworkConfig, keep: Keep, calling: Calling
) -> GCReport:
    """Say what a gc would delete. Takes no lock: what is under way stands there as it is."""
    kept = await _answer(keep, engine.timeouts.gc)
    held = await engine.in_thread(list_held, engine, network.name)
    opened = await engine.in_thread(_left_of, engine, network)
    # What is open would be settled first, whatever is kept, and its record be gone by then.
    found = tuple(each for each in held.found if each.record.id not in opened)
    left = evolve(held, found=found)
    fates = _fates(left, kept, calling, engine)
    decided = zip(left.found, fates, strict=True)
    doomed = {each.record.id for each, fate in decided if fate == "delete"}
    return _report(left, left, fates, doomed | opened, ())


def _left_of(engine: Engine, network: NetworkConfig) -> frozenset[AttachmentId]:
    return frozenset(left.id for left in left_open(engine) if left.network.name == network.name)


async def _calling(engine: Engine, network: NetworkConfig, *, foreign: bool) -> Calling:
    sequence = sequence_now()
    if not foreign:
        return Calling(sequence=sequence)
    listed = await engine.in_thread(list_foreign, engine, network.name)
    return Calling(sequence=sequence, foreign=listed)


async def _answer(keep: Keep, seconds: float) -> frozenset[AttachmentId]:
    """Ask for what is kept.

    Raises:
        ConfigError: it is none.
        Busy: there was no answer in time.
    """
    if not callable(keep):
        return kept_ids(keep)
    with anyio.move_on_after(seconds):
        given = keep()
        return kept_ids(await given if isawaitable(given) else given)
    raise Busy(f"keep gave no answer within {seconds:g} s", expected="what is kept")


def kept_ids(keep: object) -> frozenset[AttachmentId]:
    """Take in what is kept.

    Raises:
        ConfigError: it is no collection of attachments.
    """
    kind = type(keep).__name__
    if isinstance(keep, Iterable):
        given = list(cast("Iterable[object]", keep))
        kept = [one.id if isinstance(one, Attachment) else one for one in given]
        ids = [one for one in kept if isinstance(one, AttachmentId)]
        if len(ids) == len(kept):
            return frozenset(ids)
    raise ConfigError(
        f"{kind} is no collection of attachments",
        place="keep",
        expected="attachments or their identities, or a callable that returns them",
    )


def _fates(
    held: Held, kept: frozenset[AttachmentId], calling: Calling, engine: Engine
) -> list[Fate]:
    return [fate_of(found.record, kept, calling, engine.host) for found in held.found]


def _report(
    after: Held,
    before: Held,
    fates: Iterable[Fate],
    deleted: Iterable[AttachmentId],
    failures: Iterable[AcniError],
) -> GCReport:
    ids: dict[Fate, list[AttachmentId]] = {"delete": [], "keep": [], "skip": []}
    for found, fate in zip(before.found, fates, strict=True):
        ids[fate].append(found.record.id)
    return GCReport(
        deleted=_in_order(deleted),
        kept=_in_order(ids["keep"]),
        skipped=_in_order(ids["skip"]),
        unreadable=after.unreadable,
        failures=tuple(failures),
    )


def _in_order(ids: Iterable[AttachmentId]) -> tuple[AttachmentId, ...]:
    return tuple(sorted(frozenset(ids), key=astuple))

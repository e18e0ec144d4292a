"""What a gc finds of a network, and what becomes of each: deciding, nothing is done here."""

from __future__ import annotations

import contextlib
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Final, Literal

from attrs import frozen

from acni.engine.engine import Engine
from acni.engine.kinds import kinds_of, was_found
from acni.engine.takedown import is_of_this_boot
from acni.engine.targets import sequence_of
from acni.errors import InvalidName, StoreError
from acni.host.host import Host
from acni.spec.attachment import AttachmentId
from acni.spec.commands import Command
from acni.spec.configuration import NetworkConfig
from acni.spec.names import NetworkName
from acni.spec.planning import Step, plan
from acni.store.intents import Intent, record_of
from acni.store.record import Record

Fate = Literal["delete", "keep", "skip"]

_SEPARATOR: Final = "-"


@frozen(kw_only=True)
class Calling:
    """What was so when gc was called.

    Attributes:
        sequence: The place in the order of attaching.
        foreign: The records of other writers by name, where these are to be collected, too; else
            None.
    """

    sequence: int
    foreign: Mapping[str, Record] | None = None


@frozen(kw_only=True)
class Found:
    """A record of a network.

    Attributes:
        record: The record.
        is_aside: It is a debt whose name is taken by a file that is no record.
    """

    record: Record
    is_aside: bool = False


@frozen(kw_only=True)
class Held:
    """What is known of a network.

    Attributes:
        found: Its records, attached and owed.
        open: What journals have open of it.
        unreadable: The names of files that may be its records and are none.
    """

    found: tuple[Found, ...]
    open: frozenset[AttachmentId]
    unreadable: tuple[str, ...]

    def ids(self, network: NetworkName) -> frozenset[AttachmentId]:
        """Return every attachment of which something may be held."""
        recorded = {each.record.id for each in self.found}
        guessed = {one for name in self.unreadable for one in possible_ids(network, name)}
        return self.open | recorded | guessed


def list_held(engine: Engine, network: NetworkName) -> Held:
    """List what is known of a network.

    Blocks for the disk: to be called in a worker thread.

    Raises:
        StoreError: it cannot be listed, or a record cannot be read just now.
    """
    records = engine.store.records
    in_place = tuple(records.of_network(network))
    aside = (record for record in records.debts_aside() if record.network.name == network)
    return Held(
        found=(
            *(Found(record=record) for _, record in in_place if record is not None),
            *(Found(record=record, is_aside=True) for record in aside),
        ),
        open=frozenset(_open(engine, network)),
        unreadable=tuple(name for name, record in in_place if record is None),
    )


def _open(engine: Engine, network: NetworkName) -> Iterator[AttachmentId]:
    for intent in _intents(engine):
        with contextlib.suppress(StoreError):
            record = record_of(intent)
            if record.network.name == network:
                yield record.id


def _intents(engine: Engine) -> Iterator[Intent]:
    """Iterate over what all journals have open; ours need not be read for that (12 ms)."""
    journal = engine.store.journal
    yield from tuple(journal.intents.values()) if journal else ()
    for slot in engine.store.records.slots(engine.host.boot, but=journal.slot if journal else None):
        yield from slot.intents


def list_foreign(engine: Engine, network: NetworkName) -> Mapping[str, Record]:
    """List the records of other writers by name.

    Blocks for the disk: to be called in a worker thread.

    Raises:
        StoreError: they cannot be listed.
    """
    listed = engine.store.records.of_network(network)
    return {name: one for name, one in listed if one is not None and one.provenance is None}


def possible_ids(network: NetworkName, name: str) -> Iterator[AttachmentId]:
    """Iterate over the attachments of a network whose record has this file name: a container's ID
    and an interface's name may have dashes, too.
    """
    rest = name.removeprefix(f"{network}{_SEPARATOR}")
    for place, letter in enumerate(rest):
        if letter == _SEPARATOR:
            with contextlib.suppress(InvalidName):
                yield AttachmentId(rest[:place], rest[place + 1 :])


def fate_of(record: Record, kept: Container[AttachmentId], calling: Calling, host: Host) -> Fate:
    """Decide what becomes of a record.

    What was attached after gc was called is kept, since its caller could not name it. What is owed,
    or of an earlier boot, is nobody's any more.

    Args:
        record: The record.
        kept: What the caller keeps.
        calling: What was so when gc was called.
        host: This boot and this host's namespace.
    """
    if record.provenance is None:
        if calling.foreign is None:
            return "skip"
        is_meant = record.id not in kept and calling.foreign.get(record.name) == record
        return "delete" if is_meant else "keep"
    if record.owed is not None or not is_of_this_boot(record, host):
        return "delete"
    is_newer = record.provenance.sequence >= calling.sequence
    return "keep" if is_newer or record.id in kept else "delete"


@frozen(kw_only=True)
class PastStep:
    """The GC of a plugin of a record's chain.

    Attributes:
        network: The network as it was configured then.
        step: The step.
        kinds: By which kind of runner each plugin of that chain was run.
    """

    network: NetworkConfig
    step: Step
    kinds: tuple[str, ...]


def plan_of_then(now: Iterable[tuple[str, str]], records: Iterable[Record]) -> Iterator[PastStep]:
    """Plan GC of the plugins that the chain of a network had and has no more, or that were run by
    another kind of runner: what they hold for whom nobody remembers, no other plugin frees. Of each
    as it was configured last.

    Args:
        now: The plugins of the chain as it is now: each one's type and kind of runner.
        records: The network's records.
    """
    seen = set(now)
    types = {each for each, _ in seen}
    for record in sorted(records, key=sequence_of, reverse=True):
        kinds = kinds_of(record)
        for step in plan(Command.GC, record.network):
            one = (step.plugin.type, kinds[step.index])
            if one in seen or (step.plugin.type in types and not was_found(record, step.index)):
                continue
            seen.add(one)
            yield PastStep(network=record.network, step=step, kinds=kinds)

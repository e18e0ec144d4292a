"""What there is, for a person: every file in ``results/`` and what it means now. Takes no lock and
changes nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Container, Iterator

from attrs import frozen

from acni.engine.takedown import is_of_this_boot, standing_netns
from acni.errors import StoreError
from acni.host.host import Host
from acni.spec.result import ResultError, parse_result
from acni.store.intents import record_of
from acni.store.record import Record
from acni.store.records import Records


@frozen(kw_only=True)
class AttachmentRecord:
    """What one file in ``results/`` means now.

    Attributes:
        state: "attached", "adding", "deleting", "owed", "earlier boot", "foreign" or "unreadable".
        container_id: The container's ID; empty for an unreadable file.
        ifname: The interface's name; empty for an unreadable file.
        network: The network's name; for an unreadable file the file's name.
        addresses: The addresses of the result.
        netns: "ok", or "gone" where the recorded namespace no longer stands behind the path; empty
            where unknown.
        since: When it was added (RFC 3339); empty where unknown.
        reason: Why it is owed or unreadable.

    Example:
        >>> result = call("add", network, attachment)
        >>> (record,) = call("attachments")
        >>> record.state, record.network, record.container_id, record.netns
        ('attached', 'dbnet', 'web', 'ok')
    """

    state: str
    container_id: str
    ifname: str
    network: str
    addresses: tuple[str, ...]
    netns: str
    since: str
    reason: str


def list_records(
    records: Records, host: Host, left: Container[str] = frozenset()
) -> list[AttachmentRecord]:
    """List every file in ``results/``, sorted by name, and what is under way or was left open.

    Args:
        records: The state directory.
        host: This boot and this host's namespace.
        left: The operations that a living runtime took over and has not come to yet.
    """
    opened = _open(records, host, left)
    open_ones = {record.name: (state, record) for state, record in opened}
    listed: list[AttachmentRecord] = []
    for name in records.names():
        try:
            record = records.read(name)
        except StoreError as error:
            listed.append(_unreadable(name, error))
        else:
            if record is not None:
                state, begun = open_ones.pop(name, ("", record))
                is_made = begun is record or state == "adding"
                listed.append(_listed(record, host, _state(record, host) if is_made else state))
    listed += (_listed(record, host, state) for state, record in open_ones.values())
    return sorted(listed, key=lambda one: (one.network, one.container_id, one.ifname))


def _open(records: Records, host: Host, left: Container[str]) -> Iterator[tuple[str, Record]]:
    """Iterate over what journals have open: under way as long as its runtime lives, else owed."""
    for slot in records.slots(host.boot):
        for intent in slot.intents:
            under_way = "adding" if intent.verb == "add" else "deleting"
            with contextlib.suppress(StoreError):
                is_worked_on = slot.is_alive and intent.operation not in left
                yield (under_way if is_worked_on else "owed"), record_of(intent)


def _listed(record: Record, host: Host, state: str) -> AttachmentRecord:
    return AttachmentRecord(
        state=state,
        container_id=record.container_id,
        ifname=record.ifname,
        network=record.network.name,
        addresses=_addresses(record),
        netns="ok" if standing_netns(record, host) else "gone",
        since=record.provenance.added_at if record.provenance else "",
        reason=_reason(record, state),
    )


def _reason(record: Record, state: str) -> str:
    if record.owed is not None:
        return record.owed.cause
    return "its runtime ended in between" if state == "owed" else ""


def _state(record: Record, host: Host) -> str:
    if record.provenance is None:
        return "foreign"
    if record.owed is not None:
        return "owed"
    return "attached" if is_of_this_boot(record, host) else "earlier boot"


def _addresses(record: Record) -> tuple[str, ...]:
    try:
        result = parse_result(record.result, record.network.cni_version) if record.result else None
    except ResultError:
        return ()
    return tuple(ip.address for ip in result.ips) if result else ()


def _unreadable(name: str, error: StoreError) -> AttachmentRecord:
    return AttachmentRecord(
        state="unreadable",
        container_id="",
        ifname="",
        network=name,
        addresses=(),
        netns="",
        since="",
        reason=error.message,
    )

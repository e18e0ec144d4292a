"""What there is, for a person: every file in ``results/`` and what it means now. Takes no lock and
changes nothing.
"""

from __future__ import annotations

from attrs import frozen

from acni.engine.takedown import is_of_this_boot, standing_netns
from acni.errors import StoreError
from acni.host.host import Host
from acni.spec.result import ResultError, parse_result
from acni.store.record import Record
from acni.store.records import Records


@frozen(kw_only=True)
class AttachmentRecord:
    """What one file in ``results/`` means now.

    Attributes:
        state: "attached", "owed", "earlier boot", "foreign" or "unreadable".
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


def list_records(records: Records, host: Host) -> list[AttachmentRecord]:
    """List every file in ``results/``, sorted by name."""
    listed: list[AttachmentRecord] = []
    for name in records.names():
        try:
            record = records.read(name)
        except StoreError as error:
            listed.append(_unreadable(name, error))
        else:
            if record is not None:
                listed.append(_listed(record, host))
    return listed


def _listed(record: Record, host: Host) -> AttachmentRecord:
    return AttachmentRecord(
        state=_state(record, host),
        container_id=record.container_id,
        ifname=record.ifname,
        network=record.network.name,
        addresses=_addresses(record),
        netns="ok" if standing_netns(record, host) else "gone",
        since=record.provenance.added_at if record.provenance else "",
        reason=record.owed.cause if record.owed else "",
    )


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

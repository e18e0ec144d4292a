"""What there is, for a person: every file in ``results/`` and what it means now. Takes no lock and
changes nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Container, Iterator
from typing import Final

from attrs import frozen

from acni.errors import StoreError
from acni.host.host import Host
from acni.spec.capabilities import PortMapping, read_port_mappings
from acni.store.intents import record_of
from acni.store.outline import Outline, outline_of
from acni.store.records import Records

# Why what a journal has open is owed.
LEFT_OPEN: Final = "its runtime ended in between"


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
        runners: What ran each plugin of its chain, in their order: "executable" or "builtin" with
            the runners of acni; empty where unknown.
        ports: The ports of the host that lead to the container: as its result says, or else as they
            were asked for; those of which neither names the host's port are left out.

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
    runners: tuple[str, ...] = ()
    ports: tuple[PortMapping, ...] = ()


def list_records(
    records: Records, host: Host, left: Container[str] = frozenset()
) -> list[AttachmentRecord]:
    """List every file in ``results/``, and what is under way or was left open.

    Args:
        records: The state directory.
        host: This boot and this host's namespace.
        left: The operations that a living runtime took over and has not come to yet.
    """
    opened = {name: (state, outline) for state, name, outline in _open(records, host, left)}
    listed: list[AttachmentRecord] = []
    for name in records.names():
        try:
            outline = records.outline(name)
        except StoreError as error:
            listed.append(_unreadable(name, error))
        else:
            if outline is not None:
                state, _ = opened.pop(name, ("", outline))
                # An ADD that has its record has come to its end.
                is_made = state in ("", "adding") or outline.cause is not None
                listed.append(_listed(outline, host, _state(outline, host) if is_made else state))
    listed += (_listed(outline, host, state) for state, outline in opened.values())
    return sorted(listed, key=lambda one: (one.network, one.container_id, one.ifname))


def _open(records: Records, host: Host, left: Container[str]) -> Iterator[tuple[str, str, Outline]]:
    """Iterate over what journals have open: under way as long as its runtime lives, else owed."""
    for slot in records.slots(host.boot):
        for intent in slot.intents:
            under_way = "adding" if intent.verb == "add" else "deleting"
            is_worked_on = slot.is_alive and intent.operation not in left
            with contextlib.suppress(StoreError):
                record = record_of(intent)
                yield under_way if is_worked_on else "owed", record.name, outline_of(record)


def _listed(outline: Outline, host: Host, state: str) -> AttachmentRecord:
    stands = outline.is_here(host) and host.has(outline.netns, outline.identity)
    return AttachmentRecord(
        state=state,
        container_id=outline.container_id,
        ifname=outline.ifname,
        network=outline.network,
        addresses=outline.addresses,
        netns="ok" if stands else "gone",
        since=outline.added_at,
        reason=_reason(outline, state),
        runners=outline.runners,
        ports=tuple(port for port in read_port_mappings(outline.ports) if port.host),
    )


def _reason(outline: Outline, state: str) -> str:
    if outline.cause is not None:
        return outline.cause
    return LEFT_OPEN if state == "owed" else ""


def _state(outline: Outline, host: Host) -> str:
    if outline.boot is None:
        return "foreign"
    if outline.cause is not None:
        return "owed"
    return "attached" if outline.is_here(host) else "earlier boot"


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

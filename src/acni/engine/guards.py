"""What an ADD looks at before it runs anything: is the attachment there, is the namespace one, is
the interface taken.

All of it is decided under the container's lock, in one call to a worker thread: it lists the state
directory.

(specification, section 2, "ADD": "A runtime should not call ADD twice"; rules R15, R18)
"""

from __future__ import annotations

from typing import NoReturn

from attrs import frozen

from acni.engine.engine import Engine
from acni.engine.takedown import is_of_this_boot
from acni.errors import AttachmentExists, InvalidName, NetnsInUse, StoreError
from acni.host import netns
from acni.host.host import Host
from acni.host.netns import Namespace, NetnsIdentity
from acni.spec.attachment import Attachment, AttachmentId
from acni.spec.names import NetworkName, record_name
from acni.store.record import Record
from acni.store.records import Found


@frozen(kw_only=True)
class Ground:
    """What was found where an attachment is to be made.

    Attributes:
        identity: The namespace's identity.
        existed: The interface is there already, and may be.
    """

    identity: NetnsIdentity
    existed: bool


def raise_unreadable(found: Found) -> NoReturn:
    """Refuse what depends on a file that is no record.

    Raises:
        StoreError: always; names the file and what would help.
    """
    raise StoreError(
        "is no record",
        place=f"results/{found.unreadable[0]}" if found.unreadable else "acni/debts",
        expected="a record; a delete with the network's configuration goes on without one",
    )


def require_own_name(engine: Engine, network: NetworkName, identity: AttachmentId) -> None:
    """Refuse an attachment whose record has the file name of another one's (``a-b`` with ``c``,
    ``a`` with ``b-c``).

    Raises:
        AttachmentExists: that other attachment has a record.
        StoreError: the file cannot be read.
    """
    name = record_name(network, identity.container_id, identity.ifname)
    in_place = engine.store.records.read(name)
    if in_place is not None and in_place.id != identity:
        raise AttachmentExists(
            f"its record would be the file of {in_place.id} on network {in_place.network.name}",
            expected="another network name or container ID",
        )


def look_at_ground(engine: Engine, attachment: Attachment, namespace: Namespace) -> Ground:
    """Look at the namespace and at the interface's name in it.

    Raises:
        InvalidName: the namespace is the runtime's own.
        NetnsInUse: the interface exists, or another container's record holds it.
    """
    identity = namespace.identity()
    if identity == engine.host.netns:
        raise InvalidName(
            f"{attachment.netns} is the runtime's own network namespace",
            place="netns",
            expected="a network namespace of the container's own",
        )
    for record in engine.store.records.of_interface(attachment.ifname):
        if record.container_id != attachment.container_id and holds_interface(
            record, identity, engine.host
        ):
            raise NetnsInUse(
                f"container {record.container_id} holds {attachment.ifname} in {attachment.netns}",
                place="netns",
                expected="a namespace of its own for each container, or another interface name",
            )
    existed = namespace.has_interface(attachment.ifname)
    if existed and attachment.ifname != "lo" and attachment.existing != "adjust":
        raise NetnsInUse(
            f"an interface {attachment.ifname} exists already in {attachment.netns}",
            place="netns",
            expected="another interface name, or existing='adjust' for a chain that changes one",
        )
    return Ground(identity=identity, existed=existed)


def holds_interface(record: Record, identity: NetnsIdentity, host: Host) -> bool:
    """Tell whether a record, attached or owed, claims its interface in that namespace.

    A record of another writer has no identity: the namespace behind its path is the one it means.
    """
    if record.provenance is not None:
        return is_of_this_boot(record, host) and record.provenance.netns == identity
    try:
        return bool(record.netns) and netns.identity(record.netns) == identity
    except InvalidName:
        return False

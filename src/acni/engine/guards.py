"""What an ADD looks at before it runs anything: is the attachment there, is the namespace one, is
the interface taken.

All of it is decided under the container's lock.

(specification, section 2, "ADD": "A runtime should not call ADD twice"; rules R15, R18)
"""

from __future__ import annotations

from typing import NoReturn

from attrs import frozen

from acni.engine.engine import Engine
from acni.errors import AttachmentExists, InvalidName, NetnsInUse, StoreError
from acni.host import netns
from acni.host.host import Host
from acni.host.netns import NetnsIdentity
from acni.spec.attachment import Attachment, AttachmentId
from acni.spec.names import NetworkName, is_of_one_attachment, record_name
from acni.store.outline import Outline
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
    if is_of_one_attachment(name):
        return
    in_place = engine.store.records.read(name)
    if in_place is not None and in_place.id != identity:
        raise AttachmentExists(
            f"its record would be the file of {in_place.id} on network {in_place.network.name}",
            expected="another network name or container ID",
        )


def look_at_ground(
    engine: Engine, attachment: Attachment, identity: NetnsIdentity, *, existed: bool
) -> Ground:
    """Look at the namespace and at the interface's name in it.

    Args:
        engine: The runtime's engine.
        attachment: What is to be made.
        identity: The identity of its namespace.
        existed: An interface of its name is there.

    Raises:
        InvalidName: the namespace is the runtime's own.
        NetnsInUse: the interface exists, or another container holds it.
    """
    if identity == engine.host.netns:
        raise InvalidName(
            f"{attachment.netns} is the runtime's own network namespace",
            place="netns",
            expected="a network namespace of the container's own",
        )
    holder = other_holder(engine, attachment.id, identity)
    if holder is not None:
        raise NetnsInUse(
            f"container {holder} holds {attachment.ifname} in {attachment.netns}",
            place="netns",
            expected="a namespace of its own for each container, or another interface name",
        )
    if existed and attachment.ifname != "lo" and attachment.existing != "adjust":
        raise NetnsInUse(
            f"an interface {attachment.ifname} exists already in {attachment.netns}",
            place="netns",
            expected="another interface name, or existing='adjust' for a chain that changes one",
        )
    return Ground(identity=identity, existed=existed)


def other_holder(engine: Engine, attachment: AttachmentId, identity: NetnsIdentity) -> str | None:
    """Find another container that holds an interface in a namespace: by a record, a debt, or an
    operation that was left open.
    """
    left = engine.left_claims()
    for outline in (*engine.store.records.holding(attachment.ifname, identity), *left):
        is_other = outline.container_id != attachment.container_id
        is_same = outline.ifname == attachment.ifname
        if is_other and is_same and _holds_interface(outline, identity, engine.host):
            return outline.container_id
    return None


def _holds_interface(outline: Outline, identity: NetnsIdentity, host: Host) -> bool:
    """Tell whether a record, attached or owed, claims its interface in that namespace.

    A record of another writer has no identity: the namespace behind its path is the one it means.
    """
    if outline.boot is not None:
        return outline.is_here(host) and outline.identity == identity
    try:
        return bool(outline.netns) and netns.identity(outline.netns) == identity
    except InvalidName:
        return False

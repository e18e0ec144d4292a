"""Records: the format of one attachment on disk, libcni's ``cniCacheV1`` with one key more.

Rule 1: libcni, CRI-O and containerd read the same file, so their keys mean what they mean there;
    all that is ours is under ``"acni"``, which they ignore (Go folds the case of keys: ours must
    not fold to one of theirs).
Rule 2: a record read back is input: it passes the checks of a caller's names, and its content must
    agree with its file name, since two attachments can map to one name (``a-b`` + ``c``, ``a`` +
    ``b-c``).
Rule 3: ``config`` is the effective list; in a debt it is the list up to the plugin that is owed, so
    that a DEL by libcni begins where ours halted.

(specification, section 3, "Adding an attachment": "the runtime must store the result ...
persistently")
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final, Literal

from attrs import evolve, field, frozen

from acni.errors import AcniError, StoreError
from acni.events import Debt
from acni.host.netns import NetnsIdentity
from acni.host.plugins import parse_plugin_dirs
from acni.spec.attachment import AttachmentId
from acni.spec.configuration import NetworkConfig, parse_recorded_network
from acni.spec.jsontext import (
    DOCUMENT,
    Bounds,
    JsonError,
    Member,
    decode,
    dump,
    is_array,
    is_object,
    join,
    object_members,
    require_bounds,
)
from acni.spec.names import (
    ContainerId,
    IfName,
    parse_container_id,
    parse_ifname,
    parse_network_name,
    parse_plugin_type,
    parse_recorded_cni_args,
    record_name,
)
from acni.spec.plugin import Plugin
from acni.spec.result import ResultError, parse_result
from acni.store.values import Mismatch, list_at, mapping_at, number_at, text_at, texts_at

KIND: Final = "cniCacheV1"
FORMAT: Final = 1

# A record holds a result and arguments, each of which keeps to the bounds of a document; its
# configuration is one text.
_BOUNDS: Final = Bounds(
    structure=8 * DOCUMENT.structure,
    depth=DOCUMENT.depth + 2,
    characters=16 * DOCUMENT.characters,
)

Origin = Literal["add", "delete", "caller"]


@frozen(kw_only=True)
class Owed:
    """What makes a record a debt.

    Attributes:
        next: The place in ``plugins`` of the plugin whose DEL is owed next; the ones before it
            follow.
        cause: Why, in one line.
        origin: The operation that left it: an add's undo, a delete, or a delete of what no record
            knew ("caller").
        attempts: How often it was tried.
    """

    next: int
    cause: str
    origin: Origin
    attempts: int


@frozen(kw_only=True)
class Provenance:
    """What acni adds to a record, under the key ``"acni"``.

    Attributes:
        operation: The random ID of the ADD, in hexadecimal; the attachment's for life.
        boot: The boot ID of the ADD.
        netns: The identity of the container's namespace, where it was known.
        host_netns: The identity of the namespace in which the plugins ran.
        plugin_dirs: The plugin directories of the ADD.
        plugins: The plugins as they were found.
        sequence: Orders the attachments of one boot: when the ADD ended, in nanoseconds since
            boot; when it began, as long as it has not.
        added_at: The wall-clock time of the ADD (RFC 3339), for display only.
        owed: What is owed, when the record is a debt.
    """

    operation: str
    boot: str
    netns: NetnsIdentity | None
    host_netns: NetnsIdentity
    plugin_dirs: tuple[str, ...]
    plugins: tuple[Plugin, ...]
    sequence: int
    added_at: str
    owed: Owed | None = None


@frozen(kw_only=True)
class Record:
    """One attachment as the store holds it.

    Attributes:
        container_id: The container's ID.
        ifname: The interface's name.
        network: The effective network configuration.
        netns: The path of the namespace; empty where there was none.
        cni_args: The pairs of CNI_ARGS.
        capability_texts: Capability arguments: name to JSON text.
        result: The text of the final result; in the record of an unfinished add the last good one,
            or None.
        provenance: What acni adds; None in the record of another writer.
    """

    container_id: ContainerId
    ifname: IfName
    network: NetworkConfig
    netns: str
    cni_args: Mapping[str, str] = field(repr=False)
    capability_texts: Mapping[str, str] = field(repr=False)
    result: str | None = field(repr=False)
    provenance: Provenance | None

    @property
    def id(self) -> AttachmentId:
        """The attachment's identity."""
        return AttachmentId(self.container_id, self.ifname)

    @property
    def name(self) -> str:
        """The record's file name."""
        return record_name(self.network.name, self.container_id, self.ifname)

    @property
    def owed(self) -> Owed | None:
        """What is owed, when the record is a debt."""
        return self.provenance.owed if self.provenance else None

    @property
    def debt(self) -> Debt | None:
        """What is owed, as callers see it."""
        if self.owed is None:
            return None
        plugins = self.network.plugins
        return Debt(
            network=self.network.name,
            container_id=self.container_id,
            ifname=self.ifname,
            # All of them may have let go, and only the record be left.
            plugin=plugins[self.owed.next].type if plugins else "",
            cause=self.owed.cause,
        )

    def up_to(self, index: int) -> Record:
        """Return the record as it stands when the plugins after ``index`` have let go."""
        network = self.network.up_to(index)
        if self.provenance is None or self.provenance.owed is None:
            return evolve(self, network=network)
        owed = evolve(self.provenance.owed, next=min(self.provenance.owed.next, index))
        return evolve(self, network=network, provenance=evolve(self.provenance, owed=owed))


def recorded_result(record: Record) -> str | None:
    """Return the recorded result in the version of the recorded configuration: libcni records what
    the last plugin printed, and converts it when it is used (R42).

    Raises:
        StoreError: what is recorded is no result.
    """
    if record.result is None:
        return None
    try:
        return parse_result(record.result, record.network.cni_version).raw
    except ResultError as error:
        raise _bad(record.name, f"its result is none: {error}") from None


def write_record(record: Record) -> bytes:
    """Write a record as it stands on disk.

    Raises:
        StoreError: it would be too large to be read back.
    """
    ours = dump(
        {
            "kind": KIND,
            "containerId": record.container_id,
            "config": base64.b64encode(record.network.effective().encode()).decode(),
            "ifName": record.ifname,
            "networkName": record.network.name,
            "netns": record.netns,
            "cniArgs": [list(pair) for pair in record.cni_args.items()],
        }
    )
    members = {"capabilityArgs": join(record.capability_texts)}
    if record.result is not None:
        members["result"] = record.result
    if record.provenance is not None:
        members["acni"] = dump(_provenance_document(record.provenance))
    text = f"{ours[:-1]},{join(members)[1:]}"
    try:
        require_bounds(text, _BOUNDS)
    except JsonError as error:
        place = f"results/{record.name}"
        message = f"the record could not be read back: {error}"
        raise StoreError(message, place=place, expected="smaller arguments") from None
    return text.encode()


def read_record(name: str | None, raw: bytes) -> Record:
    """Read a record from the bytes of the file of that name; without a name, of one kept aside.

    Raises:
        StoreError: it is no record, or the record of another attachment; says what was expected
            where.
    """
    try:
        members = object_members(decode(raw), _BOUNDS)
        record = _record(members)
    except JsonError as error:
        raise _bad(name, f"no JSON object: {error}") from None
    except Mismatch as error:
        raise _bad(name, str(error)) from None
    except AcniError as error:
        raise _bad(name, str(error)) from error
    if name is not None and record.name != name:
        raise _bad(name, f"it is the record {record.name}")
    return record


def _bad(name: str | None, why: str) -> StoreError:
    place = "acni/debts" if name is None else f"results/{name}"
    return StoreError(f"is no record: {why}", place=place, expected=f"a {KIND} record of that name")


def _record(members: Mapping[str, Member]) -> Record:
    values = {key: member.value for key, member in members.items()}
    if values.get("kind") != KIND:
        raise Mismatch(f"expected {KIND!r} at $.kind")
    network = _in_its_version(_network(text_at(values, "config")), values.get("result"))
    if parse_network_name(text_at(values, "networkName")) != network.name:
        raise Mismatch("$.networkName is not the name in $.config")
    ours = values.get("acni")
    provenance = None if ours is None else _provenance(mapping_at(values, "acni"))
    if provenance and provenance.owed and not 0 <= provenance.owed.next < len(network.plugins):
        raise Mismatch("$.acni.next is no place in the configuration's plugins")
    return Record(
        container_id=parse_container_id(text_at(values, "containerId")),
        ifname=parse_ifname(text_at(values, "ifName")),
        network=network,
        netns=text_at(values, "netns") if "netns" in values else "",
        cni_args=_cni_args(values.get("cniArgs")),
        capability_texts=_capability_texts(members.get("capabilityArgs")),
        result=members["result"].text if values.get("result") is not None else None,
        provenance=provenance,
    )


def _network(config: str) -> NetworkConfig:
    try:
        raw = base64.b64decode(config, validate=True)
    except ValueError:  # binascii.Error, or text that is not ASCII
        raise Mismatch("expected base64 at $.config") from None
    return parse_recorded_network(raw)


def _in_its_version(network: NetworkConfig, result: object) -> NetworkConfig:
    """Settle which of several versions an attachment was made in: the result says. Without a word
    from it, it was the highest: that is what libcni runs, if it knows cniVersions.
    """
    said = result.get("cniVersion") if is_object(result) else None
    if isinstance(said, str) and said in network.versions:
        return network.at_version(said)
    return network.at_version(network.cni_version)


def _cni_args(value: Any) -> Mapping[str, str]:
    pairs: object = [] if value is None else value
    if not is_array(pairs):
        raise Mismatch("expected a list of pairs at $.cniArgs")
    return parse_recorded_cni_args(dict(map(_pair, pairs)))


def _pair(pair: Any) -> tuple[str, str]:
    match pair:
        case [str(key), str(text)]:
            return key, text
        case _:
            raise Mismatch("expected pairs of text at $.cniArgs")


def _capability_texts(member: Member | None) -> Mapping[str, str]:
    if member is None or member.value is None:
        return {}
    if not isinstance(member.value, dict):
        raise Mismatch("expected an object at $.capabilityArgs")
    return {key: argument.text for key, argument in object_members(member.text).items()}


def _provenance_document(provenance: Provenance) -> dict[str, object]:
    document: dict[str, object] = {
        "format": FORMAT,
        "state": "debt" if provenance.owed else "attached",
        "operation": provenance.operation,
        "boot": provenance.boot,
        "netns": _identity_document(provenance.netns) if provenance.netns else None,
        "host_netns": _identity_document(provenance.host_netns),
        "plugin_dirs": list(provenance.plugin_dirs),
        "plugins": [
            {
                "type": plugin.type,
                "path": plugin.path,
                "identity": plugin.identity,
                "runner": plugin.runner,
            }
            for plugin in provenance.plugins
        ],
        "sequence": provenance.sequence,
        "added_at": provenance.added_at,
    }
    if provenance.owed is not None:
        owed = provenance.owed
        document |= {
            "next": owed.next,
            "cause": owed.cause,
            "origin": owed.origin,
            "attempts": owed.attempts,
        }
    return document


def _provenance(values: Mapping[str, Any]) -> Provenance:
    if number_at(values, "format") != FORMAT:
        raise Mismatch(
            f"expected {FORMAT} at $.acni.format: it was written by another version of acni"
        )
    netns = values.get("netns")
    return Provenance(
        operation=text_at(values, "operation"),
        boot=text_at(values, "boot"),
        netns=None if netns is None else identity_of(mapping_at(values, "netns")),
        host_netns=identity_of(mapping_at(values, "host_netns")),
        plugin_dirs=parse_plugin_dirs(texts_at(values, "plugin_dirs")),
        plugins=tuple(_plugin(entry) for entry in list_at(values, "plugins")),
        sequence=number_at(values, "sequence"),
        added_at=text_at(values, "added_at"),
        owed=_owed(values),
    )


def _owed(values: Mapping[str, Any]) -> Owed | None:
    match values.get("state"):
        case "attached":
            return None
        case "debt":
            origin = values.get("origin")
            if origin not in ("add", "delete", "caller"):
                raise Mismatch("expected 'add', 'delete' or 'caller' at $.acni.origin")
            return Owed(
                next=number_at(values, "next"),
                cause=text_at(values, "cause"),
                origin=origin,
                attempts=number_at(values, "attempts"),
            )
        case _:
            raise Mismatch("expected 'attached' or 'debt' at $.acni.state")


def _plugin(entry: object) -> Plugin:
    if not is_object(entry):
        raise Mismatch("expected objects at $.acni.plugins")
    return Plugin(
        type=parse_plugin_type(text_at(entry, "type")),
        path=text_at(entry, "path"),
        identity=text_at(entry, "identity"),
        runner=text_at(entry, "runner"),
    )


def _identity_document(identity: NetnsIdentity) -> dict[str, str]:
    return {"kind": identity.kind, "id": identity.id}


def identity_of(values: Mapping[str, Any]) -> NetnsIdentity:
    """Read what tells a namespace from others.

    Raises:
        Mismatch: it does not.
    """
    return NetnsIdentity(text_at(values, "kind"), text_at(values, "id"))

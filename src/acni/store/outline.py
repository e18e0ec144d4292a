"""What a record says at a glance: enough for a listing and for the guards of an ADD, which look at
thousands of them.

Read loosely: a text of usual size and shape is taken as it parses (some 10 µs); whatever is
otherwise is read as a record, with all its checks, and that decides.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from attrs import evolve, frozen

from acni.host.host import Host
from acni.host.netns import NetnsIdentity
from acni.spec.jsontext import is_array, is_object
from acni.spec.result import ResultError, parse_result
from acni.store.record import FORMAT, KIND, Record, identity_of, read_record
from acni.store.values import text_at

_PORTS: Final = "portMappings"
# Beyond this the bounds of a document are looked at before it is parsed.
_USUAL_BYTES: Final = 64 << 10


@frozen(kw_only=True)
class Outline:
    """What a record says at a glance.

    Attributes:
        container_id: The container's ID.
        ifname: The interface's name.
        network: The network's name.
        netns: The path of the namespace, or empty.
        addresses: The addresses of the result.
        ports: What says which ports of the host lead to the container, unread: the result, or else
            the capability arguments, where a plugin of the chain takes them.
        boot: The boot of the ADD; None in the record of another writer.
        identity: The identity of the namespace, where it was known.
        host_netns: That of the host's namespace; None in the record of another writer.
        added_at: When it was added (RFC 3339), or empty.
        cause: Why it is owed; None where it is not.
        runners: By which kind of runner each plugin of its chain was run; empty where unknown.
    """

    container_id: str
    ifname: str
    network: str
    netns: str
    addresses: tuple[str, ...]
    ports: object = None
    boot: str | None = None
    identity: NetnsIdentity | None = None
    host_netns: NetnsIdentity | None = None
    added_at: str = ""
    cause: str | None = None
    runners: tuple[str, ...] = ()

    def is_here(self, host: Host) -> bool:
        """Tell whether it was made in this boot; the record of another writer counts as such."""
        if self.boot is None or self.host_netns is None:
            return True
        return host.is_here(self.boot, self.host_netns)


def read_outline(name: str, raw: bytes) -> Outline:
    """Read the outline of the record of that name.

    Raises:
        StoreError: it is no record, or the record of another attachment.
    """
    if len(raw) <= _USUAL_BYTES:
        try:
            return _usual(name, json.loads(raw.decode()))
        except (KeyError, TypeError, AttributeError, ValueError, RecursionError):
            pass  # unusual; it may be a record all the same
    return outline_of(read_record(name, raw))


def outline_of(record: Record) -> Outline:
    """Return the outline of a record."""
    return evolve(claim_of(record), addresses=_addresses(record), ports=_ports_of(record))


def claim_of(record: Record) -> Outline:
    """Return the outline of a record without its addresses: what it claims."""
    provenance = record.provenance
    owed = record.owed
    return Outline(
        container_id=record.container_id,
        ifname=record.ifname,
        network=record.network.name,
        netns=record.netns,
        addresses=(),
        boot=provenance.boot if provenance else None,
        identity=provenance.netns if provenance else None,
        host_netns=provenance.host_netns if provenance else None,
        added_at=provenance.added_at if provenance else "",
        cause=owed.cause if owed else None,
        runners=tuple(plugin.runner for plugin in provenance.plugins) if provenance else (),
    )


def _usual(name: str, values: Mapping[str, Any]) -> Outline:
    """Read what has the usual shape.

    Raises:
        KeyError, TypeError, ValueError: it has not.
    """
    network, container_id, ifname = (
        text_at(values, key) for key in ("networkName", "containerId", "ifName")
    )
    config = json.loads(base64.b64decode(text_at(values, "config"), validate=True).decode())
    is_named = values["kind"] == KIND and f"{network}-{container_id}-{ifname}" == name
    if not is_named or config["name"] != network or not is_array(config["plugins"]):
        raise ValueError(name)
    return Outline(
        container_id=container_id,
        ifname=ifname,
        network=network,
        netns=text_at(values, "netns") if "netns" in values else "",
        addresses=tuple(text_at(ip, "address") for ip in _result(values).get("ips", ())),
        ports=_ports(values.get("result"), values.get("capabilityArgs"), config["plugins"]),
        **(_provenance(values["acni"]) if "acni" in values else {}),
    )


def _result(values: Mapping[str, Any]) -> Mapping[str, Any]:
    result = values.get("result", {})
    # Before 0.3.0 addresses stood elsewhere.
    if not is_object(result) or "ip4" in result or "ip6" in result:
        raise ValueError(result)
    return result


def _ports(result: object, arguments: object, plugins: Iterable[object]) -> object:
    """Return what says which ports lead to the container, as it is written."""
    if is_object(result) and _PORTS in result:
        return result[_PORTS]
    if not is_object(arguments) or _PORTS not in arguments:
        return None
    declared = (plugin.get("capabilities") for plugin in plugins if is_object(plugin))
    is_taken = any(is_object(one) and one.get(_PORTS) for one in declared)
    return arguments[_PORTS] if is_taken else None


def _ports_of(record: Record) -> object:
    result = json.loads(record.result) if record.result else None
    arguments = {key: json.loads(text) for key, text in record.capability_texts.items()}
    plugins = [
        {"capabilities": dict.fromkeys(plugin.capabilities, True)}
        for plugin in record.network.plugins
    ]
    return _ports(result, arguments, plugins)


def _provenance(values: Mapping[str, Any]) -> dict[str, Any]:
    if values["format"] != FORMAT or values["state"] not in ("attached", "debt"):
        raise ValueError(values)
    netns = values["netns"]
    return {
        "boot": text_at(values, "boot"),
        "identity": None if netns is None else identity_of(netns),
        "host_netns": identity_of(values["host_netns"]),
        "added_at": text_at(values, "added_at"),
        "cause": text_at(values, "cause") if values["state"] == "debt" else None,
        "runners": tuple(text_at(plugin, "runner") for plugin in values["plugins"]),
    }


def _addresses(record: Record) -> tuple[str, ...]:
    try:
        result = parse_result(record.result, record.network.cni_version) if record.result else None
    except ResultError:
        return ()
    return tuple(ip.address for ip in result.ips) if result else ()

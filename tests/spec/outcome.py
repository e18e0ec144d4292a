"""What comes out of a reader, whatever went in: a value that bears looking at, or that reader's own
error, which can be shown.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable

from acni.errors import StoreError, VersionUnsupported
from acni.spec import (
    AttachmentId,
    Command,
    NetworkConfig,
    Parameters,
    Result,
    Step,
    build_request,
    parse_network,
    parse_result,
    plan,
)
from acni.spec.names import ContainerId, IfName
from acni.store.record import Record, read_record, recorded_result, write_record

Reader = Callable[[bytes], object]

PARAMETERS = Parameters(
    container_id=ContainerId("c1"),
    netns="/run/netns/c1",
    ifname=IfName("eth0"),
    cni_args={},
    capability_texts={},
    plugin_dirs=["/plugins"],
    inherited={},
)


def request_of(step: Step, network: NetworkConfig, previous: str | None = None) -> bytes:
    """What a plugin reads on standard input; for GC with one attachment that is valid."""
    valid = [AttachmentId("c1")] if step.command is Command.GC else None
    return build_request(step, network, PARAMETERS, previous=previous, valid=valid).stdin


def require_sound(error: Exception) -> None:
    """An error can be shown, logged as UTF-8 and sent to another process, whatever is in it."""
    str(error).encode()
    repr(error).encode()
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert (type(copy), str(copy), copy.args) == (type(error), str(error), error.args)
    assert vars(copy) == vars(error)


def _look_at(value: object) -> None:
    """Touch everything that a caller can: each attribute and each property."""
    repr(value)
    match value:
        case Result():
            for name in ("ipv4", "ipv6", "gateway", "mac", "routes", "dns", "interfaces", "ips"):
                repr(getattr(value, name))
            for ip in value.ips:
                assert ip.interface is None or value.interfaces[ip.interface] is not None
                assert ip.ip.network.prefixlen == int(ip.address.partition("/")[2])
            assert json.loads(value.raw)["cniVersion"] == value.cni_version
            assert parse_result(value.raw.encode(), value.cni_version).raw == value.raw
        case NetworkConfig():
            assert parse_network(value.effective().encode()).effective() == value.effective()
            for command in Command:
                _look_at_requests(command, value)
        case Record():
            assert read_record(value.name, write_record(value)).id == value.id
            outcome_of(lambda _: recorded_result(value), b"", StoreError)
        case tuple():  # the versions of a plugin
            assert all(isinstance(version, str) for version in value)
        case _:
            pass


def _look_at_requests(command: Command, network: NetworkConfig) -> None:
    try:
        steps = plan(command, network)
    except VersionUnsupported as error:
        require_sound(error)
        return
    for step in steps:
        document = json.loads(request_of(step, network, previous='{"ips":[]}'))
        assert document["cniVersion"] == network.cni_version
        assert document["name"] == network.name
        folded = {key.lower(): value for key, value in document.items()}
        assert folded["type"] == step.plugin.type


def outcome_of(read: Reader, raw: bytes, *errors: type[Exception]) -> object:
    """Read a text; what comes is a value that bears looking at, or one of these errors, sound."""
    try:
        value = read(raw)
    except errors as error:
        require_sound(error)
        return error
    _look_at(value)
    return value

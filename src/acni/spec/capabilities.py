"""Capability arguments with types: port mappings and bandwidth, as CONVENTIONS.md shapes them.

A capability argument is any JSON value; these two may stand in for theirs.

(CONVENTIONS.md, "Well-known Capabilities"; rule R51)
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final, Literal, TypeGuard

from attrs import Attribute, field, frozen

from acni.errors import ConfigError
from acni.spec.jsontext import dump, fold_key, is_array, is_object

_MAX_PORT: Final = 65_535
# Of a longer number only its type is shown: over 4,300 digits it has no text at all.
_MAX_SHOWN_BITS: Final = 64


def _require_port(_: object, attribute: Attribute[int], value: object) -> None:
    least = 0 if attribute.name == "host" else 1
    if not _is_number(value) or not least <= value <= _MAX_PORT:
        raise _error(value, f"PortMapping.{attribute.name}", f"a port from {least} to {_MAX_PORT}")


def _require_protocol(_: object, __: object, value: object) -> None:
    if value not in ("tcp", "udp", "sctp"):
        raise _error(value, "PortMapping.protocol", "'tcp', 'udp' or 'sctp'")


def _parse_host_ip(value: object) -> IPv4Address | IPv6Address | None:
    if value is None:
        return None
    expected = "an address of the host without a zone, or None"
    # A number would be an address to ipaddress, too.
    if not isinstance(value, str | IPv4Address | IPv6Address) or "%" in str(value):
        raise _error(value, "PortMapping.host_ip", expected)
    try:
        return ip_address(value)
    except ValueError:
        raise _error(value, "PortMapping.host_ip", expected) from None


@frozen(kw_only=True)
class PortMapping:
    """A port of the host that leads to a port of the container: an entry of ``portMappings``.

    Attributes:
        host: The host's port, 1 to 65535; 0 has one picked, which
            :attr:`acni.Result.port_mappings` names. acni's ``portmap`` does that, the reference's
            refuses it.
        container: The container's port, 1 to 65535.
        protocol: "tcp", "udp" or "sctp".
        host_ip: The host's address on which it is open, as text or an address object; None for
            all of them.

    Raises:
        ConfigError: one of them is not allowed; ``place`` says which.

    Example:
        >>> ports = [acni.PortMapping(host=8080, container=80)]
        >>> attachment = acni.Attachment(
        ...     container_id="db", netns=attachment.netns, capability_args={"portMappings": ports}
        ... )
        >>> result = call("add", network, attachment)
        >>> scripted.calls[-1].config["runtimeConfig"]
        {'portMappings': [{'hostPort': 8080, 'containerPort': 80, 'protocol': 'tcp'}]}
    """

    host: int = field(validator=_require_port)
    container: int = field(validator=_require_port)
    protocol: Literal["tcp", "udp", "sctp"] = field(default="tcp", validator=_require_protocol)
    host_ip: IPv4Address | IPv6Address | None = field(default=None, converter=_parse_host_ip)

    def __str__(self) -> str:
        """Write it as ``acni run -p`` takes it.

        Example:
            >>> str(acni.PortMapping(host=8080, container=80, host_ip="127.0.0.1"))
            '127.0.0.1:8080:80/tcp'
        """
        at = "" if self.host_ip is None else f"{self.host_ip}:"
        if isinstance(self.host_ip, IPv6Address):
            at = f"[{self.host_ip}]:"
        return f"{at}{self.host}:{self.container}/{self.protocol}"


def read_port_mappings(value: object) -> tuple[PortMapping, ...]:
    """Read what is written as a list of port mappings; what is none is left out.

    Keys fold as in Go: containerd's records have them with capitals.
    """
    entries = value if is_array(value) else ()
    return tuple(port for port in map(_port_mapping, entries) if port is not None)


def _port_mapping(entry: object) -> PortMapping | None:
    fields = {fold_key(key): one for key, one in entry.items()} if is_object(entry) else {}
    given: dict[str, Any] = {
        "host": fields.get("hostport"),
        "container": fields.get("containerport"),
        "protocol": fields.get("protocol", "tcp"),
        "host_ip": fields.get("hostip") or None,
    }
    try:
        return PortMapping(**given)
    except ConfigError:
        return None


def _require_positive(_: object, attribute: Attribute[int | None], value: object) -> None:
    if value is not None and (not _is_number(value) or value <= 0):
        raise _error(value, f"Bandwidth.{attribute.name}", "a positive whole number, or None")


@frozen(kw_only=True)
class Bandwidth:
    """Limits of an interface's bandwidth: the value of ``bandwidth``.

    The reference plugin takes a rate only together with its burst.

    Attributes:
        ingress_rate: Towards the container, in bits per second; None for no limit.
        ingress_burst: What may go beyond that rate at once, in bits.
        egress_rate: From the container, in bits per second; None for no limit.
        egress_burst: What may go beyond that rate at once, in bits.

    Raises:
        ConfigError: one of them is not positive; ``place`` says which.

    Example:
        >>> limits = acni.Bandwidth(egress_rate=1_000_000, egress_burst=500_000)
        >>> attachment = acni.Attachment(
        ...     container_id="web", netns="/run/netns/web", capability_args={"bandwidth": limits}
        ... )
        >>> attachment.capability_args["bandwidth"].egress_rate
        1000000
    """

    ingress_rate: int | None = field(default=None, validator=_require_positive)
    ingress_burst: int | None = field(default=None, validator=_require_positive)
    egress_rate: int | None = field(default=None, validator=_require_positive)
    egress_burst: int | None = field(default=None, validator=_require_positive)


def capability_text(argument: object) -> str:
    """Write a capability argument as JSON.

    A port mapping that is the whole argument becomes a list of one: there is no other shape that a
    plugin reads.

    Raises:
        JsonError: it has no JSON form.
    """
    return dump([argument] if isinstance(argument, PortMapping) else argument, _json_value)


def _json_value(value: object) -> object:
    match value:
        case PortMapping():
            return _members(
                hostPort=value.host,
                containerPort=value.container,
                protocol=value.protocol,
                # Not in CONVENTIONS.md; the reference plugin reads it.
                hostIP=None if value.host_ip is None else str(value.host_ip),
            )
        case Bandwidth():
            return _members(
                ingressRate=value.ingress_rate,
                ingressBurst=value.ingress_burst,
                egressRate=value.egress_rate,
                egressBurst=value.egress_burst,
            )
        case _:
            raise TypeError(f"{type(value).__name__} has no JSON form")


def _is_number(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _members(**members: Any) -> dict[str, Any]:
    return {key: value for key, value in members.items() if value is not None}


def _error(value: object, place: str, expected: str) -> ConfigError:
    if isinstance(value, str):
        shown = ascii(value)[:80]
    elif _is_number(value) and value.bit_length() <= _MAX_SHOWN_BITS:
        shown = str(value)
    else:
        shown = type(value).__name__
    return ConfigError(
        f"{shown} is not allowed; expected {expected}", place=place, expected=expected
    )

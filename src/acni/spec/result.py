"""Results: what a successful ADD yields, the text as it came and a typed view of it.

Read loosely: an interface index that is missing, negative or too large, an odd ``mac``, no
interfaces at all are what AWS, azure, calico, istio and linkerd print; the typed view says None.
Refused is only what cannot be understood: no JSON object, wrong JSON types, an address that is
none, an unknown version. Addresses become objects when asked for.

(specification, section 5, "Success"; rules R42, R61, R62)
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from acni.spec.jsontext import JsonError, Member, decode, dump, is_object, join, object_members
from acni.spec.versions import RESULT_SHAPES, SUPPORTED_VERSIONS, have_same_shape


class ResultError(ValueError):
    """A text is no result; the border that reads it turns this into an error with a plugin or a
    file.
    """


@frozen(kw_only=True)
class Interface:
    """An interface that a plugin made or changed.

    Attributes:
        name: Its name.
        mac: Its hardware address as text, or None.
        sandbox: The namespace it is in; None for one on the host.
    """

    name: str
    mac: str | None
    sandbox: str | None


@frozen(kw_only=True)
class IpConfig:
    """An address that was given.

    Attributes:
        address: The address with its prefix length, as written.
        gateway: The gateway as written, or None.
        interface: The place of its interface in ``Result.interfaces``, or None.
    """

    address: str
    gateway: str | None
    interface: int | None

    @property
    def ip(self) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface:
        """The address as an object."""
        return ipaddress.ip_interface(self.address)


@frozen(kw_only=True)
class Result:
    """What a successful ADD yields.

    Attributes:
        raw: The JSON text as the last plugin printed it, with the selected ``cniVersion`` stamped
            in.
        cni_version: The selected version.
        interfaces: The interfaces, in the plugin's order.
        ips: The addresses, in the plugin's order.
    """

    raw: str = field(repr=False)
    cni_version: str
    interfaces: tuple[Interface, ...]
    ips: tuple[IpConfig, ...]

    @property
    def ipv4(self) -> ipaddress.IPv4Address | None:
        """The first IPv4 address, without its prefix length."""
        return next(
            (ip.ip.ip for ip in self.ips if isinstance(ip.ip, ipaddress.IPv4Interface)), None
        )

    @property
    def ipv6(self) -> ipaddress.IPv6Address | None:
        """The first IPv6 address, without its prefix length."""
        return next(
            (ip.ip.ip for ip in self.ips if isinstance(ip.ip, ipaddress.IPv6Interface)), None
        )


def parse_result(raw: bytes | str, cni_version: str) -> Result:
    """Parse a result and stamp the selected version into it.

    Args:
        raw: What a plugin printed, or what a record holds.
        cni_version: The selected version.

    Raises:
        ResultError: it is no result, or one of a version whose shape differs from the selected
            one's.
    """
    try:
        members = object_members(decode(raw) if isinstance(raw, bytes) else raw)
    except JsonError as error:
        raise ResultError(str(error)) from None
    if "code" in members and not _RESULT_KEYS & members.keys():
        raise ResultError("an error object, where a result was expected")
    printed = _typed(members, "cniVersion", str, "$") or cni_version
    if printed not in SUPPORTED_VERSIONS:
        raise ResultError(f"unknown version {ascii(printed)[:40]} at $.cniVersion")
    if not have_same_shape(printed, cni_version):
        raise ResultError(f"a result of version {printed}, where {cni_version} was asked for")
    is_oldest = cni_version in RESULT_SHAPES[0]
    interfaces = () if is_oldest else _interfaces(members)
    return Result(
        raw=_stamp(members, cni_version),
        cni_version=cni_version,
        interfaces=interfaces,
        ips=_oldest_ips(members) if is_oldest else _ips(members, len(interfaces)),
    )


_RESULT_KEYS = frozenset({"interfaces", "ips", "ip4", "ip6", "routes", "dns"})


def _stamp(members: Mapping[str, Member], cni_version: str) -> str:
    texts = {key: member.text for key, member in members.items()}
    stamped = dump(cni_version)
    return join(
        texts | {"cniVersion": stamped}
        if "cniVersion" in texts
        else {"cniVersion": stamped, **texts}
    )


def _interfaces(members: Mapping[str, Member]) -> tuple[Interface, ...]:
    found: list[Interface] = []
    for index, entry in enumerate(_typed(members, "interfaces", list, "$") or ()):
        place = f"$.interfaces[{index}]"
        fields = _object(entry, place)
        name = fields.get("name")
        if not isinstance(name, str):
            raise ResultError(f"expected text at {place}.name")
        mac, sandbox = fields.get("mac"), fields.get("sandbox")
        found.append(
            Interface(
                name=name,
                mac=mac if isinstance(mac, str) and mac else None,
                sandbox=sandbox if isinstance(sandbox, str) and sandbox else None,
            )
        )
    return tuple(found)


def _ips(members: Mapping[str, Member], interfaces: int) -> tuple[IpConfig, ...]:
    found: list[IpConfig] = []
    for index, entry in enumerate(_typed(members, "ips", list, "$") or ()):
        place = f"$.ips[{index}]"
        fields = _object(entry, place)
        interface = fields.get("interface")
        has_interface = type(interface) is int and 0 <= interface < interfaces
        found.append(
            IpConfig(
                address=_address(fields.get("address"), f"{place}.address"),
                gateway=_gateway(fields.get("gateway"), f"{place}.gateway"),
                interface=interface if has_interface else None,
            )
        )
    return tuple(found)


def _oldest_ips(members: Mapping[str, Member]) -> tuple[IpConfig, ...]:
    """Read ``ip4`` and ``ip6`` of 0.1.0 and 0.2.0."""
    found: list[IpConfig] = []
    for key in ("ip4", "ip6"):
        fields = _typed(members, key, dict, "$")
        if fields is not None:
            found.append(
                IpConfig(
                    address=_address(fields.get("ip"), f"$.{key}.ip"),
                    gateway=_gateway(fields.get("gateway"), f"$.{key}.gateway"),
                    interface=None,
                )
            )
    return tuple(found)


def _address(value: object, place: str) -> str:
    if not isinstance(value, str) or "/" not in value or "%" in value:
        raise ResultError(f"expected an address with a prefix length at {place}")
    _, _, length = value.partition("/")
    try:
        ipaddress.ip_interface(value)
    except ValueError:
        raise ResultError(f"no address at {place}") from None
    if not (
        length.isascii() and length.isdecimal()
    ):  # ipaddress also takes a netmask, Go's ParseCIDR does not
        raise ResultError(f"no prefix length at {place}")
    return value


def _gateway(value: object, place: str) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ResultError(f"expected text at {place}")
    try:
        ipaddress.ip_address(value)
    except ValueError:
        raise ResultError(f"no address at {place}") from None
    return value


def _typed(members: Mapping[str, Member], key: str, kind: type, place: str) -> Any:
    value = members[key].value if key in members else None
    if value is not None and not isinstance(value, kind):
        raise ResultError(f"expected {kind.__name__} at {place}.{key}")
    return value


def _object(value: object, place: str) -> Mapping[str, Any]:
    if not is_object(value):
        raise ResultError(f"expected an object at {place}")
    return value

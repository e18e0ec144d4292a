"""Results: what a successful ADD yields, the text as it came and a typed view of it.

Read loosely: an interface index that is missing, negative or too large, an odd ``mac``, no
interfaces at all are what AWS, azure, calico, istio and linkerd print; the typed view says None.
Refused is only what cannot be understood: no JSON object, wrong JSON types, an address that is
none, an unknown version. Addresses become objects, routes and DNS settings are read, when asked
for; nothing of acni depends on these, so what cannot be understood of them is left out.

(specification, section 5, "Success"; rules R42, R61, R62)
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from itertools import chain
from typing import Any, Final

from attrs import field, frozen

from acni.spec.addresses import address_of, interface_of, is_address, is_with_length
from acni.spec.capabilities import PortMapping, read_port_mappings
from acni.spec.conversion import fold_keys, reshape
from acni.spec.jsontext import (
    SURELY_WITHIN,
    JsonError,
    Member,
    decode,
    fold_key,
    is_array,
    is_object,
    join,
    object_members,
    require_bounds,
    strip,
)
from acni.spec.versions import RESULT_SHAPES, SUPPORTED_VERSIONS, have_same_shape

_MAC: Final = re.compile(r"[0-9a-fA-F]{2}(?:[:-][0-9a-fA-F]{2}){1,31}")


class ResultError(ValueError):
    """A text is no result; the border that reads it turns this into an error with a plugin or a
    file.

    Example:
        >>> try:
        ...     spec.parse_result('{"ips": [{"address": "10.88.0.2"}]}', "1.0.0")
        ... except spec.ResultError as error:
        ...     print(error)
        expected an address with a prefix length at $.ips[0].address
    """


@frozen(kw_only=True)
class Interface:
    """An interface that a plugin made or changed.

    Attributes:
        name: Its name.
        mac: Its hardware address as written, or None.
        sandbox: The namespace it is in; None for one on the host.
        mtu: Its MTU in bytes, or None (from 1.1.0 on).
        socket_path: The absolute path of a socket that belongs to it, or None (from 1.1.0 on).
        pci_id: The ID of its PCI device, or None (from 1.1.0 on).

    Example:
        >>> raw = '{"interfaces": [{"name": "cni0"}, {"name": "eth0", "sandbox": "/run/netns/c1"}]}'
        >>> on_host, in_container = spec.parse_result(raw, "1.0.0").interfaces
        >>> on_host.sandbox, in_container.name
        (None, 'eth0')
    """

    name: str
    mac: str | None
    sandbox: str | None
    mtu: int | None = None
    socket_path: str | None = None
    pci_id: str | None = None


@frozen(kw_only=True)
class IpConfig:
    """An address that was given.

    Attributes:
        address: The address with its prefix length, as written.
        gateway: The gateway as written, or None.
        interface: The place of its interface in ``Result.interfaces``, or None.

    Example:
        >>> result = call("add", network, attachment)
        >>> result.ips
        (IpConfig(address='192.0.2.7/24', gateway='192.0.2.1', interface=None),)
    """

    address: str
    gateway: str | None
    interface: int | None

    @property
    def ip(self) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface:
        """The address as an object.

        Example:
            >>> address = spec.IpConfig(address="192.0.2.7/24", gateway=None, interface=None)
            >>> address.ip.network
            IPv4Network('192.0.2.0/24')
        """
        return interface_of(self.address)


@frozen(kw_only=True)
class Route:
    """A route that was set up in the container.

    Attributes:
        dst: The destination with its prefix length, as written.
        gw: The gateway as written, or None.
        mtu: The path's MTU in bytes, or None.
        advmss: The maximal segment size to advertise, in bytes, or None.
        priority: The metric, lower is preferred, or None.
        table: The number of the routing table, or None.
        scope: The scope, as the kernel numbers it, or None.

    Example:
        >>> raw = '{"routes": [{"dst": "0.0.0.0/0", "gw": "10.88.0.1"}]}'
        >>> (route,) = spec.parse_result(raw, "1.0.0").routes
        >>> route.dst, route.gw, route.mtu
        ('0.0.0.0/0', '10.88.0.1', None)
    """

    dst: str
    gw: str | None = None
    mtu: int | None = None
    advmss: int | None = None
    priority: int | None = None
    table: int | None = None
    scope: int | None = None


@frozen(kw_only=True)
class Dns:
    """The DNS settings that were given.

    Attributes:
        nameservers: The servers in order of priority, as written.
        domain: The local domain, or None.
        search: The domains to search, in order of priority.
        options: The options of the resolver.

    Example:
        >>> raw = '{"dns": {"nameservers": ["10.88.0.1"], "search": ["example.org"]}}'
        >>> spec.parse_result(raw, "1.0.0").dns
        Dns(nameservers=('10.88.0.1',), domain=None, search=('example.org',), options=())
    """

    nameservers: tuple[str, ...]
    domain: str | None
    search: tuple[str, ...]
    options: tuple[str, ...]


@frozen(kw_only=True)
class Result:
    """What a successful ADD yields.

    Attributes:
        raw: The JSON text as the last plugin printed it, with the selected ``cniVersion`` stamped
            in.
        cni_version: The selected version.
        interfaces: The interfaces, in the plugin's order.
        ips: The addresses, in the plugin's order.
        routes: The routes, in the plugin's order; in 0.1.0 and 0.2.0 those of IPv4 come first.
        dns: The DNS settings; empty where there are none.
        port_mappings: The ports of the host that lead to the container, in the order in which they
            were asked for, where a plugin says so: acni's ``portmap`` does where it picked one of
            them, for a :class:`acni.PortMapping` with the host's port 0. The specification has no
            word for it, and programs in Go do not pass it on.

    Example:
        >>> result = call("add", network, attachment)
        >>> str(result.ipv4), str(result.gateway), [ip.address for ip in result.ips]
        ('192.0.2.7', '192.0.2.1', ['192.0.2.7/24'])
    """

    raw: str = field(repr=False)
    cni_version: str
    interfaces: tuple[Interface, ...]
    ips: tuple[IpConfig, ...]

    @property
    def ipv4(self) -> ipaddress.IPv4Address | None:
        """The first IPv4 address, without its prefix length, or None.

        Example:
            >>> spec.parse_result('{"ips": [{"address": "10.88.0.2/16"}]}', "1.0.0").ipv4
            IPv4Address('10.88.0.2')
        """
        return next(
            (ip.ip.ip for ip in self.ips if isinstance(ip.ip, ipaddress.IPv4Interface)), None
        )

    @property
    def ipv6(self) -> ipaddress.IPv6Address | None:
        """The first IPv6 address, without its prefix length, or None.

        Example:
            >>> spec.parse_result('{"ips": [{"address": "fd00:88::2/64"}]}', "1.0.0").ipv6
            IPv6Address('fd00:88::2')
        """
        return next(
            (ip.ip.ip for ip in self.ips if isinstance(ip.ip, ipaddress.IPv6Interface)), None
        )

    @property
    def gateway(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """The gateway of the first address that has one, else that of a default route, or None.

        0.0.0.0 and :: are none: dhcp prints them for routes of the link.

        Example:
            >>> raw = '{"ips": [{"address": "10.88.0.2/16", "gateway": "10.88.0.1"}]}'
            >>> spec.parse_result(raw, "1.0.0").gateway
            IPv4Address('10.88.0.1')
        """
        of_addresses = (ip.gateway for ip in self.ips)
        of_defaults = (
            route.gw for route in self.routes if interface_of(route.dst).network.prefixlen == 0
        )
        gateways = (address_of(written) for written in chain(of_addresses, of_defaults) if written)
        return next((gateway for gateway in gateways if not gateway.is_unspecified), None)

    @property
    def mac(self) -> str | None:
        """The hardware address, as written, of the last interface that is in a sandbox, or None.

        Example:
            >>> inside = '{"name": "eth0", "mac": "02:00:00:00:00:01", "sandbox": "/n"}'
            >>> spec.parse_result(f'{{"interfaces": [{inside}]}}', "1.0.0").mac
            '02:00:00:00:00:01'
        """
        inside = (interface for interface in reversed(self.interfaces) if interface.sandbox)
        return next((interface.mac for interface in inside), None)

    @cached_property
    def routes(self) -> tuple[Route, ...]:
        """The routes, in the plugin's order; in 0.1.0 and 0.2.0 those of IPv4 come first."""
        result = fold_keys(json.loads(self.raw))
        is_oldest = self.cni_version in RESULT_SHAPES[0]
        homes = [result.get("ip4"), result.get("ip6")] if is_oldest else [result]
        return tuple(route for home in homes for route in _routes(home))

    @cached_property
    def dns(self) -> Dns:
        """The DNS settings; empty where there are none."""
        return _dns(fold_keys(json.loads(self.raw)).get("dns"))

    @cached_property
    def port_mappings(self) -> tuple[PortMapping, ...]:
        """The ports of the host that lead to the container, where a plugin says so.

        Example:
            >>> ports = '[{"hostPort": 61234, "containerPort": 80, "protocol": "tcp"}]'
            >>> result = spec.parse_result(f'{{"portMappings": {ports}}}', "1.0.0")
            >>> result.port_mappings[0].host
            61234
        """
        members = {fold_key(key): value for key, value in json.loads(self.raw).items()}
        return read_port_mappings(members.get("portmappings"))


def parse_result(raw: bytes | str, cni_version: str) -> Result:
    """Parse a result and stamp the selected version into it (specification, section 5, "Success").

    Args:
        raw: What a plugin printed, or what a record holds.
        cni_version: The selected version.

    Raises:
        ResultError: it is no result, or one that cannot be converted to the selected version.

    Example:
        >>> result = spec.parse_result(b'{"ips": [{"address": "10.88.0.2/16"}]}', "1.0.0")
        >>> result.raw
        '{"cniVersion":"1.0.0","ips": [{"address": "10.88.0.2/16"}]}'
    """
    if cni_version not in SUPPORTED_VERSIONS:
        raise ResultError(f"{ascii(cni_version)[:40]} is no version that acni knows")
    try:
        text = strip(decode(raw) if isinstance(raw, bytes) else raw)
        spelled = object_members(text)
    except JsonError as error:
        raise ResultError(str(error)) from None
    members = fold_keys(spelled)
    if not _RESULT_KEYS & members.keys() and "code" in map(fold_key, members):
        raise ResultError("an error object, where a result was expected")
    printed = _typed(members, "cniVersion", str) or cni_version
    if printed not in SUPPORTED_VERSIONS:
        raise ResultError(f"unknown version {ascii(printed)[:40]} at $.cniVersion")
    if not have_same_shape(printed, cni_version):
        try:
            text = reshape(members, printed, cni_version)
            members = spelled = object_members(text)
        except JsonError as error:
            raise ResultError(f"{printed} as {cni_version}: {error}") from None
    stamped = _stamp(text, spelled, cni_version)
    _require_readable(stamped, text)
    is_oldest = cni_version in RESULT_SHAPES[0]
    interfaces = () if is_oldest else _interfaces(members)
    return Result(
        raw=stamped,
        cni_version=cni_version,
        interfaces=interfaces,
        ips=_oldest_ips(members) if is_oldest else _ips(members, len(interfaces)),
    )


_RESULT_KEYS = frozenset({"interfaces", "ips", "ip4", "ip6", "routes", "dns"})


def _stamp(text: str, members: Mapping[str, Member], cni_version: str) -> str:
    """Stamp the selected version in. A text that has it, once, stays as it came; one without any is
    changed at its front only.
    """
    stamped = f'"{cni_version}"'  # a supported version: nothing in it to escape
    spellings = [key for key in members if fold_key(key) == "cniversion"]
    if not spellings:
        return f'{{"cniVersion":{stamped}{"," if members else ""}{text[1:]}'
    if (
        spellings == ["cniVersion"]
        and members["cniVersion"].value == cni_version
        and text.count('"cniVersion"') == 1
    ):
        return text
    texts = {key: member.text for key, member in fold_keys(members).items()}
    return join(texts | {"cniVersion": stamped})


def _require_readable(stamped: str, text: str) -> None:
    """Refuse a result that only its version made too large to be read back from a record."""
    if stamped is text or len(stamped) <= SURELY_WITHIN:
        return
    try:
        require_bounds(stamped)
    except JsonError as error:
        raise ResultError(f"with its version: {error}") from None


def _interfaces(members: Mapping[str, Member]) -> tuple[Interface, ...]:
    found: list[Interface] = []
    for index, entry in enumerate(_typed(members, "interfaces", list) or ()):
        place = f"$.interfaces[{index}]"
        fields = _object(entry, place)
        name = fields.get("name")
        if not isinstance(name, str):
            raise ResultError(f"expected text at {place}.name")
        found.append(
            Interface(
                name=name,
                mac=_hardware_address(fields.get("mac")),
                sandbox=_text(fields.get("sandbox")),
                mtu=_number(fields.get("mtu")),
                socket_path=_text(fields.get("socketPath")),
                pci_id=_text(fields.get("pciID")),
            )
        )
    return tuple(found)


def _ips(members: Mapping[str, Member], interfaces: int) -> tuple[IpConfig, ...]:
    found: list[IpConfig] = []
    for index, entry in enumerate(_typed(members, "ips", list) or ()):
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
        value = _typed(members, key, dict)
        if value is not None:
            fields = fold_keys(value)
            found.append(
                IpConfig(
                    address=_address(fields.get("ip"), f"$.{key}.ip"),
                    gateway=_gateway(fields.get("gateway"), f"$.{key}.gateway"),
                    interface=None,
                )
            )
    return tuple(found)


def _routes(home: object) -> Iterator[Route]:
    """Read the routes of the object that has them; what is no route is left out."""
    entries = fold_keys(home).get("routes") if is_object(home) else None
    for route in entries if is_array(entries) else ():
        entry = fold_keys(route) if is_object(route) else {}
        if dst := _readable(_address, entry.get("dst")):
            yield Route(
                dst=dst,
                gw=_readable(_gateway, entry.get("gw")),
                mtu=_number(entry.get("mtu")),
                advmss=_number(entry.get("advmss")),
                priority=_number(entry.get("priority")),
                table=_number(entry.get("table")),
                scope=_number(entry.get("scope")),
            )


def _dns(value: object) -> Dns:
    fields = fold_keys(value) if is_object(value) else {}
    return Dns(
        nameservers=_texts(fields.get("nameservers")),
        domain=_text(fields.get("domain")),
        search=_texts(fields.get("search")),
        options=_texts(fields.get("options")),
    )


def _readable(read: Callable[[object, str], str | None], value: object) -> str | None:
    try:
        return read(value, "")
    except ResultError:
        return None


def _hardware_address(value: object) -> str | None:
    """Read a hardware address of any length; AWS's plugin keeps a VLAN's number in its place."""
    return value if isinstance(value, str) and _MAC.fullmatch(value) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: object) -> int | None:
    return value if type(value) is int else None


def _texts(value: object) -> tuple[str, ...]:
    return tuple(text for text in value if isinstance(text, str)) if is_array(value) else ()


def _address(value: object, place: str) -> str:
    if not isinstance(value, str) or "/" not in value:
        raise ResultError(f"expected an address with a prefix length at {place}")
    if not is_with_length(value):
        raise ResultError(f"no address at {place}")
    return value


def _gateway(value: object, place: str) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ResultError(f"expected text at {place}")
    if not is_address(value):
        raise ResultError(f"no address at {place}")
    return value


def _typed(members: Mapping[str, Member], key: str, kind: type) -> Any:
    value = members[key].value if key in members else None
    if value is not None and not isinstance(value, kind):
        raise ResultError(f"expected {kind.__name__} at $.{key}")
    return value


def _object(value: object, place: str) -> Mapping[str, Any]:
    if not is_object(value):
        raise ResultError(f"expected an object at {place}")
    return fold_keys(value)

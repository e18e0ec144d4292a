"""Network configurations without writing JSON: ``bridge``, ``routed``, ``from_plugins``.

Plain functions; what they return is what :func:`acni.parse_network` makes of the same JSON.

Example:
    >>> network = acni.networks.bridge("dbnet", "10.88.0.0/16", "fd00:88::/64", masquerade=True)
    >>> [plugin.type for plugin in network.plugins]
    ['bridge', 'portmap', 'firewall']
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_interface
from typing import Any, Final, cast

from acni.errors import ConfigError
from acni.spec.configuration import NetworkConfig, parse_network
from acni.spec.jsontext import JsonError, dump, join
from acni.spec.names import MAX_IFNAME_BYTES, NetworkName, parse_network_name

__all__ = ["bridge", "from_plugins", "routed"]

# The first for the plugins of Debian 13, calico and azure, which stop there; each plugin is asked
# (R9).
_VERSIONS: Final = ("1.0.0", "1.1.0")
_DEFAULT_ROUTES: Final = {4: "0.0.0.0/0", 6: "::/0"}
# The network's own address and a gateway take two; host-local refuses what is smaller.
_HOST_BITS: Final = 2


def bridge(
    name: str,
    *subnets: str | IPv4Network | IPv6Network,
    masquerade: bool = False,
    isolate: bool = False,
) -> NetworkConfig:
    """Return a network whose containers share a bridge of the host and reach each other on it.

    The chain is bridge with host-local, portmap (capability ``portMappings``) and firewall, offered
    in the versions 1.0.0 and 1.1.0. The bridge is the containers' gateway; its name is ``acni-``
    and the network's, or ``acni_`` and a hash of it where that is longer than 15 bytes.

    Args:
        name: The network's name.
        subnets: What addresses are taken from, one of each: text such as "10.88.0.0/16", or an
            object. A container's default route is set for each family among them.
        masquerade: Traffic that leaves the subnets gets the host's address.
        isolate: The containers do not reach each other over the bridge, only the host and what is
            behind it. The built-in bridge does that, and the reference's from version 1.6 on; older
            ones, such as Debian 13's, take no notice of it.

    Raises:
        InvalidName: the name is not allowed.
        ConfigError: there is no subnet, or one is none, has host bits set, is smaller than a /30
            (/126) or overlaps another; ``place`` is ``subnets[i]``.

    Example:
        >>> network = acni.networks.bridge("dbnet", "10.88.0.0/16", masquerade=True)
        >>> network.name, network.versions, network.plugins[0].type
        ('dbnet', ('1.0.0', '1.1.0'), 'bridge')
    """
    # Without hairpin a container does not reach itself through a port of the host.
    options = {"bridge": _device(parse_network_name(name)), "isGateway": True, "hairpinMode": True}
    if isolate:
        options["portIsolation"] = True
    return _addressed(name, {"type": "bridge", **options}, subnets, masquerade)


def routed(
    name: str, *subnets: str | IPv4Network | IPv6Network, masquerade: bool = False
) -> NetworkConfig:
    """Return a network in which a routed link of its own leads from each container to the host.

    The chain is ptp with host-local, portmap (capability ``portMappings``) and firewall, offered in
    the versions 1.0.0 and 1.1.0. No bridge limits the number of containers, and none of them sees
    the others' broadcasts.

    Args:
        name: The network's name.
        subnets: As in :func:`bridge`.
        masquerade: As in :func:`bridge`.

    Raises:
        InvalidName: as in :func:`bridge`.
        ConfigError: as in :func:`bridge`.

    Example:
        >>> network = acni.networks.routed("jobs", "10.89.0.0/16", "fd00:89::/64")
        >>> [plugin.type for plugin in network.plugins]
        ['ptp', 'portmap', 'firewall']
    """
    return _addressed(parse_network_name(name), {"type": "ptp"}, subnets, masquerade)


def from_plugins(
    name: str, *plugins: Mapping[str, Any], version: str | None = None
) -> NetworkConfig:
    """Return a network of any plugins.

    Args:
        name: The network's name.
        plugins: The plugin configurations in the order of ADD: mappings of what JSON can hold.
        version: The version of the specification. By default 1.0.0 and 1.1.0 are offered, and the
            highest that all plugins support is used.

    Raises:
        InvalidName: the name or a plugin's ``type`` is not allowed.
        ConfigError: a plugin configuration, or the version, cannot be understood; ``place`` is
            ``plugins[i]``, ``version`` or a JSON path.
        VersionUnsupported: acni does not know the version.

    Example:
        >>> network = acni.networks.from_plugins("loop", {"type": "loopback"}, version="1.1.0")
        >>> network.plugins[0].text
        '{"type":"loopback"}'
    """
    if version == "" or not isinstance(cast("object", version), str | None):
        raise ConfigError("no text", place="version", expected="a version such as 1.0.0")
    texts = (_plugin_text(plugin, f"plugins[{index}]") for index, plugin in enumerate(plugins))
    offered = _VERSIONS if version is None else (version,)
    members = {
        "cniVersion": dump(offered[0]),
        "cniVersions": dump(offered),
        "name": dump(parse_network_name(name)),
        "plugins": "[" + ",".join(texts) + "]",
    }
    return parse_network(join(members).encode())


def _plugin_text(plugin: object, place: str) -> str:
    expected = "a mapping: one plugin configuration"
    if not isinstance(plugin, Mapping):
        raise ConfigError(f"no mapping but {type(plugin).__name__}", place=place, expected=expected)
    members = dict(cast("Mapping[object, object]", plugin))
    if not all(isinstance(key, str) for key in members):
        raise ConfigError("a name that is no text", place=place, expected=expected)
    try:
        return dump(members)
    except JsonError as error:
        raise ConfigError(str(error), place=place, expected=expected) from None


def _addressed(
    name: str, attaching: Mapping[str, Any], subnets: Sequence[object], masquerade: bool
) -> NetworkConfig:
    networks = _parse_subnets(subnets)
    families = dict.fromkeys(network.version for network in networks)
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": str(network)}] for network in networks],
        "routes": [{"dst": _DEFAULT_ROUTES[family]} for family in families],
    }
    return from_plugins(
        name,
        {**attaching, "ipMasq": masquerade, "ipam": ipam},
        {"type": "portmap", "capabilities": {"portMappings": True}},
        {"type": "firewall"},
    )


def _parse_subnets(subnets: Sequence[object]) -> Sequence[IPv4Network | IPv6Network]:
    if not subnets:
        raise ConfigError("no subnet", place="subnets", expected="at least one subnet")
    networks: list[IPv4Network | IPv6Network] = []
    for index, subnet in enumerate(subnets):
        place = f"subnets[{index}]"
        network = _parse_subnet(subnet, place)
        for other in networks:
            if network.overlaps(other):
                expected = "subnets that do not overlap"
                raise ConfigError(f"{network} overlaps {other}", place=place, expected=expected)
        networks.append(network)
    return networks


def _parse_subnet(value: object, place: str) -> IPv4Network | IPv6Network:
    expected = "a subnet such as 10.88.0.0/16 or fd00:88::/64"
    # A number would be an address to ipaddress, too.
    if not isinstance(value, str | IPv4Network | IPv6Network):
        message = f"expected {expected}, got {type(value).__name__}"
        raise ConfigError(message, place=place, expected=expected)
    try:
        interface = ip_interface(str(value))
    except ValueError:
        interface = None
    if interface is None or "%" in str(value):
        message = f"expected {expected}, got {ascii(str(value))[:80]}"
        raise ConfigError(message, place=place, expected=expected)
    network = interface.network
    if interface.ip != network.network_address:
        raise ConfigError(f"{interface} has host bits set", place=place, expected=str(network))
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped:
        # Go takes the address for IPv4 and the prefix length for IPv6 (host-local: "mismatch").
        raise ConfigError(f"{network} is IPv4 in IPv6", place=place, expected="the IPv4 subnet")
    if network.max_prefixlen - network.prefixlen < _HOST_BITS:
        smallest = f"/{network.max_prefixlen - _HOST_BITS} or larger"
        raise ConfigError(f"{network} is too small", place=place, expected=smallest)
    return network


def _device(name: NetworkName) -> str:
    """Name the bridge of a network: the same for the same network, never the same for two.

    The hash has 50 bits; no readable name has its underscore.
    """
    device = f"acni-{name}"
    if len(device) <= MAX_IFNAME_BYTES:
        return device
    digest = base64.b32encode(hashlib.sha256(name.encode()).digest()).decode().lower()
    return f"acni_{digest}"[:MAX_IFNAME_BYTES]

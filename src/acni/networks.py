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
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Final, cast

from acni.errors import ConfigError
from acni.spec.configuration import NetworkConfig, parse_network
from acni.spec.jsontext import JsonError, dump, join
from acni.spec.names import MAX_IFNAME_BYTES, NetworkName, parse_network_name
from acni.spec.subnets import Subnet, parse_bridge_subnets, parse_subnets

__all__ = ["bridge", "from_plugins", "routed"]

# The first for the plugins of Debian 13, calico and azure, which stop there; each plugin is asked
# (R9).
_VERSIONS: Final = ("1.0.0", "1.1.0")
_DEFAULT_ROUTES: Final = {4: "0.0.0.0/0", 6: "::/0"}


def bridge(
    name: str,
    *subnets: str | IPv4Network | IPv6Network,
    masquerade: bool = False,
    isolate: bool = False,
    ports: bool = True,
) -> NetworkConfig:
    """Return a network whose containers share a bridge of the host and reach each other on it.

    The chain is bridge with host-local, portmap (capability ``portMappings``) and firewall, offered
    in the versions 1.0.0 and 1.1.0. The bridge is the containers' gateway; its name is ``acni-``
    and the network's, or ``acni_`` and a hash of it where that is longer than 15 bytes.

    Args:
        name: The network's name.
        subnets: What addresses are taken from, one of each: text such as "10.88.0.0/16", or an
            object; one of IPv4 and any number of IPv6. A container's default route is set for each
            family among them.
        masquerade: Traffic that leaves the subnets gets the host's address.
        isolate: The containers do not reach each other over the bridge, only the host and what is
            behind it. The built-in bridge does that, and the reference's from version 1.6 on; older
            ones, such as Debian 13's, take no notice of it.
        ports: Containers may have ports of the host, and the reference's firewall lets their
            traffic through the host's; the built-in one refuses a container whose traffic a policy
            of the host's drops. Without, the chain is its first plugin alone.

    Raises:
        InvalidName: the name is not allowed.
        ConfigError: there is no subnet, or one is none, has host bits set, is smaller than a /30
            (/126), overlaps another, is a second one of IPv4, or has addresses that no container
            can have: loopback, multicast, 0.0.0.0/8, link-local ones of IPv6; ``place`` is
            ``subnets[i]``.

    Example:
        >>> network = acni.networks.bridge("dbnet", "10.88.0.0/16", masquerade=True)
        >>> network.name, network.versions, network.plugins[0].type
        ('dbnet', ('1.0.0', '1.1.0'), 'bridge')
    """
    # Without hairpin a container does not reach itself through a port of the host.
    options = {"bridge": _device(parse_network_name(name)), "isGateway": True, "hairpinMode": True}
    if isolate:
        options["portIsolation"] = True
    networks = parse_bridge_subnets(subnets, place="subnets")
    attaching = {"type": "bridge", **options}
    return _addressed(name, attaching, networks, masquerade=masquerade, ports=ports)


def routed(
    name: str,
    *subnets: str | IPv4Network | IPv6Network,
    masquerade: bool = False,
    ports: bool = True,
) -> NetworkConfig:
    """Return a network in which a link of its own leads from each container to the host, which
    routes.

    The chain is ptp with host-local, portmap (capability ``portMappings``) and firewall, offered in
    the versions 1.0.0 and 1.1.0. Containers share no layer 2: they reach each other through the
    host alone, and none hears the others' broadcasts or gets what is sent to another. Their number
    is not limited by the 1,023 ports of a bridge.

    Args:
        name: The network's name.
        subnets: As in :func:`bridge`, but any number of each family.
        masquerade: As in :func:`bridge`.
        ports: As in :func:`bridge`.

    Raises:
        InvalidName: as in :func:`bridge`.
        ConfigError: as in :func:`bridge`, but there may be several of IPv4.

    Example:
        >>> network = acni.networks.routed("jobs", "10.89.0.0/16", "fd00:89::/64")
        >>> [plugin.type for plugin in network.plugins]
        ['ptp', 'portmap', 'firewall']
        >>> network = acni.networks.routed("jobs", "10.89.0.0/16", ports=False)
        >>> [plugin.type for plugin in network.plugins]
        ['ptp']
    """
    network_name = parse_network_name(name)
    networks = parse_subnets(subnets, place="subnets")
    return _addressed(network_name, {"type": "ptp"}, networks, masquerade=masquerade, ports=ports)


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
    name: str,
    attaching: Mapping[str, Any],
    networks: Sequence[Subnet],
    *,
    masquerade: bool,
    ports: bool,
) -> NetworkConfig:
    families = dict.fromkeys(network.version for network in networks)
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": str(network)}] for network in networks],
        "routes": [{"dst": _DEFAULT_ROUTES[family]} for family in families],
    }
    behind = [{"type": "portmap", "capabilities": {"portMappings": True}}, {"type": "firewall"}]
    first = {**attaching, "ipMasq": masquerade, "ipam": ipam}
    return from_plugins(name, first, *(behind if ports else ()))


def _device(name: NetworkName) -> str:
    """Name the bridge of a network: the same for the same network, never the same for two.

    The hash has 50 bits; no readable name has its underscore.
    """
    device = f"acni-{name}"
    if len(device) <= MAX_IFNAME_BYTES:
        return device
    digest = base64.b32encode(hashlib.sha256(name.encode()).digest()).decode().lower()
    return f"acni_{digest}"[:MAX_IFNAME_BYTES]

"""What ``ptp`` makes of the addresses that IPAM gave: pure decisions.

A pair of links is a wire with two ends, but the kernel takes each for a network of many. So nothing
is on the container's end but its gateway, which is an address of the host's end, and everything
else is behind that.

(the reference's plugins/main/ptp, setupContainerVeth, setupHostVeth)
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from attrs import frozen

from acni.netlink.families import Interface, IpAddress, Network
from acni.plugins.addressing import parse_interface
from acni.plugins.ranges import parse_address
from acni.skel.errors import Code, PluginError
from acni.spec.result import IpConfig

# The host's end comes first in a result.
CONTAINER_PLACE: Final = 1


@frozen(kw_only=True)
class End:
    """An address of the container, and the host's end of it.

    Attributes:
        address: The container's address with its network.
        gateway: The address of the host's end.
    """

    address: Interface
    gateway: IpAddress

    @property
    def has_network(self) -> bool:
        """Whether its network holds more than itself."""
        return self.address.network.prefixlen < self.address.max_prefixlen

    @property
    def gateway_network(self) -> Network:
        """The gateway alone, as a destination."""
        return ipaddress.ip_network(self.gateway)

    @property
    def gateway_interface(self) -> Interface:
        """The gateway alone, as the host's end has it."""
        return ipaddress.ip_interface(self.gateway)

    @property
    def container_network(self) -> Network:
        """The container alone, as a destination of the host."""
        return ipaddress.ip_network(self.address.ip)


def ends_of(ips: Sequence[IpConfig]) -> tuple[End, ...]:
    """Return the ends of each address.

    Raises:
        PluginError: an address is none ("0.0.0.0"), or its gateway is missing, none, the address
            itself or of the other family.
    """
    return tuple(_ends(ips))


def ways_to_networks(ends: Sequence[End]) -> Mapping[Network, End]:
    """Return the end through which each network of the addresses is reached: the first in it."""
    return {end.address.network: end for end in reversed(ends) if end.has_network}


def _ends(ips: Sequence[IpConfig]) -> Iterator[End]:
    for ip in ips:
        address = parse_interface(ip.address)
        if address.ip.is_unspecified:
            raise _refused(f"{ip.address} is the address of nobody", "no-address")
        if ip.gateway is None:
            raise _refused(f"{ip.address} has no gateway, which the host's end would have")
        gateway = parse_address(ip.gateway)
        is_own = gateway == address.ip
        if gateway.version != address.version or is_own or gateway.is_unspecified:
            raise _refused(f"{gateway} cannot be the gateway of {ip.address}")
        yield End(address=address, gateway=gateway)


def _refused(message: str, reason: str = "no-gateway") -> PluginError:
    details = "a gateway of its family for each address, from the plugin of $.ipam.type"
    return PluginError(Code.INVALID_CONFIG, message, details=details, reason=reason)

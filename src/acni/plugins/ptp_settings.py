"""What ``ptp`` is configured with, parsed once.

(the reference's plugins/main/ptp; specification, section 5, "Error")
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Interface
from typing import Final

from attrs import frozen

from acni.plugins.linksettings import parse_mtu, parse_own_dns
from acni.plugins.masquerading import parse_masquerade
from acni.plugins.ptp_layout import End
from acni.skel.call import Call
from acni.spec.result import Dns

_LEAST_IPV6_MTU: Final = 1280  # RFC 8200, section 5


@frozen(kw_only=True)
class Settings:
    """What ``ptp`` is to do.

    Attributes:
        mtu: The MTU in bytes; None is the kernel's.
        dns: What the result says of DNS instead of what IPAM says; None, that stays.
        masquerades: Whether what its addresses send elsewhere leaves with the host's.
    """

    mtu: int | None
    dns: Dns | None
    masquerades: bool


def parse_settings(call: Call) -> Settings:
    """Parse the configuration of an ADD or a CHECK.

    Raises:
        PluginError: a member is not what was expected, or asks for what is not done here; names the
            place.
    """
    fields = call.fields
    fields.inner("ipam").required_text("type")  # without addresses there is nothing to route
    return Settings(
        mtu=parse_mtu(fields), dns=parse_own_dns(fields), masquerades=parse_masquerade(fields)
    )


def require_room(call: Call, mtu: int | None, ends: Iterable[End]) -> None:
    """Refuse an MTU with which the kernel has no IPv6, where IPAM gave an address of it.

    Raises:
        PluginError: it is too small; names the place.
    """
    has_ipv6 = any(isinstance(end.address, IPv6Interface) for end in ends)
    if has_ipv6 and mtu is not None and mtu < _LEAST_IPV6_MTU:
        message, expected = f"{mtu} is too small for IPv6", f"at least {_LEAST_IPV6_MTU}, or 0"
        raise call.fields.error("mtu", message, expected)

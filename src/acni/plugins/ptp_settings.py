"""What ``ptp`` is configured with, parsed once.

(the reference's plugins/main/ptp; specification, section 5, "Error")
"""

from __future__ import annotations

from attrs import frozen

from acni.plugins.linksettings import parse_mtu, parse_own_dns
from acni.plugins.masquerading import parse_masquerade
from acni.skel.call import Call
from acni.spec.result import Dns


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

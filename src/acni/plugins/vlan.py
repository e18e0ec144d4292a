"""``vlan``: a link of the container in a VLAN of one of the host's.

What it does is what :mod:`acni.plugins.uppers` does.

(the reference's plugins/main/vlan)
"""

from __future__ import annotations

from functools import partial
from typing import Final

from acni.netlink.stacked import new_vlan
from acni.plugins.linksettings import parse_mtu, parse_own_dns
from acni.plugins.upper_settings import Settings, parse_master
from acni.plugins.uppers import verbs_of
from acni.skel.call import Call

_MOST_VLAN: Final = 4094


def parse_settings(call: Call) -> Settings:
    """Parse the configuration.

    Raises:
        PluginError: a member is not what was expected, or is missing; names the place.
    """
    fields = call.fields
    fields.required_text("master")
    fields.inner("ipam").required_text("type")
    return Settings(
        kind="vlan",
        make=partial(new_vlan, vlan=fields.number("vlanId", 0, least=0, most=_MOST_VLAN)),
        master=parse_master(fields),
        is_inside=fields.flag("linkInContainer"),
        mtu=parse_mtu(fields),
        dns=parse_own_dns(fields),
        has_ipam=True,
    )


VERBS: Final = verbs_of("vlan", parse_settings)

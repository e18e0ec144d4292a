"""``ipvlan``: a link of the container on one of the host's, with the hardware address of that one.

What it does is what :mod:`acni.plugins.uppers` does. Behind another plugin it may lie on the one
interface that this one made, and have its addresses: its result then takes the place of that one's.

(the reference's plugins/main/ipvlan)
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from acni.netlink.stacked import IpvlanMode, new_ipvlan
from acni.plugins.linksettings import parse_mtu, parse_own_dns
from acni.plugins.upper_settings import Settings, parse_master, parse_mode
from acni.plugins.uppers import verbs_of
from acni.skel.call import Call

_MODES: Final[Mapping[str, IpvlanMode]] = {
    "l2": IpvlanMode.L2,
    "l3": IpvlanMode.L3,
    "l3s": IpvlanMode.L3S,
}


def parse_settings(call: Call) -> Settings:
    """Parse the configuration.

    Raises:
        PluginError: a member is not what was expected, or is missing; names the place.
    """
    fields, previous = call.fields, call.previous
    mode = parse_mode(fields, _MODES, "l2")
    takes_addresses = call.ipam.type is None and previous is not None and bool(previous.ips)
    if not takes_addresses:
        fields.inner("ipam").required_text("type")
    return Settings(
        kind="ipvlan",
        make=partial(new_ipvlan, mode=mode),
        master=parse_master(fields) or _made_before(call),
        is_inside=fields.flag("linkInContainer"),
        mtu=parse_mtu(fields),
        dns=parse_own_dns(fields),
        has_ipam=not takes_addresses,
        takes_addresses=takes_addresses,
    )


def _made_before(call: Call) -> str | None:
    """Return the one interface that an earlier plugin made; None where there is no earlier one."""
    if call.previous is None:
        return None
    if len(call.previous.interfaces) != 1:
        expected = "the name of an interface, or one interface in $.prevResult"
        raise call.fields.error("master", "no master", expected)
    return call.previous.interfaces[0].name


VERBS: Final = verbs_of("ipvlan", parse_settings)

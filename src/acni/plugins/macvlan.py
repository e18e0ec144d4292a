"""``macvlan``: a link of the container on one of the host's, with a hardware address of its own.

Rule: a hardware address of ``runtimeConfig`` comes before one of CNI_ARGS, and that before the
    configuration's.

What it does is what :mod:`acni.plugins.uppers` does. The keys ``linkInContainer`` and
``bcqueuelen`` are those of newer references.

(the reference's plugins/main/macvlan)
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from acni.netlink.stacked import MacvlanMode, new_macvlan
from acni.plugins.addressing import parsed_argument
from acni.plugins.hardwareaddresses import MAC_EXPECTED, parse_hardware_address
from acni.plugins.linksettings import parse_mtu, parse_own_dns, require_result, unsupported
from acni.plugins.upper_settings import Settings, parse_master, parse_mode
from acni.plugins.uppers import verbs_of
from acni.skel.call import Call

_MODES: Final[Mapping[str, MacvlanMode]] = {
    "bridge": MacvlanMode.BRIDGE,
    "private": MacvlanMode.PRIVATE,
    "vepa": MacvlanMode.VEPA,
    "passthru": MacvlanMode.PASSTHRU,
}
_MOST_QUEUE: Final = (1 << 32) - 1


def parse_settings(call: Call) -> Settings:
    """Parse the configuration.

    Raises:
        PluginError: a member is not what was expected, or does not go with another one; names the
            place.
    """
    fields = call.fields
    mode = parse_mode(fields, _MODES, "bridge")
    mac = _parse_mac(call)
    if mac is not None and mode is MacvlanMode.PASSTHRU:
        instead = "no hardware address with it: the link has that of the one below"
        raise unsupported(fields, "mode", instead)
    has_ipam = call.ipam.type is not None
    require_result(has_ipam, call.cni_version)
    queue = fields.number("bcqueuelen", 0, least=0, most=_MOST_QUEUE) or None
    return Settings(
        kind="macvlan",
        make=partial(new_macvlan, mode=mode, queue=queue),
        master=parse_master(fields),
        is_inside=fields.flag("linkInContainer"),
        mtu=parse_mtu(fields),
        mac=mac,
        mode=mode,
        dns=parse_own_dns(fields),
        has_ipam=has_ipam,
    )


def _parse_mac(call: Call) -> bytes | None:
    parse, expected = parse_hardware_address, MAC_EXPECTED
    by_runtime = call.fields.inner("runtimeConfig").parsed("mac", parse, expected)
    if by_runtime is not None:
        return by_runtime
    if text := call.args.get("MAC"):
        return parsed_argument("MAC", text, parse, expected)
    return call.fields.parsed("mac", parse, expected)


VERBS: Final = verbs_of("macvlan", parse_settings)

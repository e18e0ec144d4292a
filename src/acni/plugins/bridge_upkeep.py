"""GC and STATUS of ``bridge``, and of the other plugins that make pairs of links.

(specification, section 2, "GC", "STATUS"; rules P5, P6)
"""

from __future__ import annotations

from typing import Final

from acni.netlink.bridges import new_bridge
from acni.netlink.links import Link, list_links
from acni.netlink.removal import remove_link
from acni.netlink.sockets import open_here
from acni.plugins.bridge_refusals import doing
from acni.plugins.elementkeeping import collect, require_table
from acni.plugins.linkkinds import NO_NAME, require_kind, require_pairs
from acni.plugins.losses import require_all_masqueraded
from acni.plugins.masquerading import parse_masquerade
from acni.plugins.owners import Owner, network_mark
from acni.plugins.senderchecks import parse_sender_check, require_checks
from acni.skel.call import Call
from acni.skel.errors import PluginError

_REMOVAL_SECONDS: Final = 10.0


def gc(call: Call) -> None:
    """Remove the links of this network whose attachments are not valid, and what the table has of
    them, then let IPAM do the same: as much as possible.
    """
    failures: list[PluginError] = []
    for link in _unowned(call):
        call.bounds.check()
        try:
            with doing(f"removing {link.name}"):
                within = min(_REMOVAL_SECONDS, call.bounds.seconds_left())
                remove_link(link.index, within=within, leave=call.leave)
        except PluginError as error:
            failures.append(error)
    try:
        collect(call)
    except PluginError as error:
        failures.append(error)
    if call.ipam.type is not None:
        try:
            call.ipam.gc()
        except PluginError as error:
            failures.append(error)
    if failures:
        raise failures[0]


def status(call: Call) -> None:
    """Raise where an ADD could not succeed."""
    with open_here() as host:
        require_kind(host, "bridge", new_bridge(NO_NAME))
        require_pairs(host)
    if parse_masquerade(call.fields):
        require_table(call)
    if parse_sender_check(call.fields):
        require_checks(call)
    if call.ipam.type is not None:
        call.ipam.status()
        if parse_masquerade(call.fields):  # without addresses nothing is
            require_all_masqueraded(call)


def _unowned(call: Call) -> list[Link]:
    if call.valid is None:
        return []
    valid = {Owner(call.network, one).mark for one in call.valid}
    prefix = network_mark(call.network)
    with open_here() as host, doing("listing links"):
        return [
            link
            for link in list_links(host)
            if link.kind == "veth"
            and link.alias is not None
            and link.alias.startswith(prefix)
            and link.alias not in valid
        ]

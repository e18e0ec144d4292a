"""STATUS of ``bridge``.

(specification, section 2, "STATUS"; rule P5)
"""

from __future__ import annotations

from acni.netlink.bridges import new_bridge
from acni.netlink.sockets import open_here
from acni.plugins.elementkeeping import require_table
from acni.plugins.linkkinds import NO_NAME, require_kind, require_pairs
from acni.plugins.losses import require_all_masqueraded
from acni.plugins.masquerading import parse_masquerade
from acni.plugins.senderchecks import parse_sender_check, require_checks
from acni.skel.call import Call


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

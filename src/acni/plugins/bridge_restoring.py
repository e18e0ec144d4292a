"""What ``bridge`` puts back of what somebody took away: masquerading, and the check of what a
container sends.

Rule: what can be put back is, whatever cannot; the first error is told.
"""

from __future__ import annotations

from acni.netlink.sockets import open_here
from acni.plugins.attaching import owner_of
from acni.plugins.bridge_chain import interface_of_others, mac_of_container
from acni.plugins.bridge_settings import parse_bridge
from acni.plugins.elementkeeping import put_back_all, restoring
from acni.plugins.framerules import checking
from acni.plugins.linkchecks import previous_of
from acni.plugins.masquerading import restore_masquerading
from acni.plugins.senderchecks import parse_sender_check
from acni.skel.call import Call, PutBack


def restore(call: Call) -> PutBack | None:
    """Look whether somebody took away what an ADD put in; return what puts it back."""
    return put_back_all([_restore_check(call), restore_masquerading(call)])


def _restore_check(call: Call) -> PutBack | None:
    if not parse_sender_check(call.fields):
        return None
    owner, previous = owner_of(call), previous_of(call)
    with open_here() as host:
        joined = interface_of_others(host, previous, parse_bridge(call))
    port = owner.link_name if joined is None else joined.name
    return restoring(call, [checking(owner, port, mac_of_container(call, previous))])

"""What STATUS tells of what somebody took away, as ``nft flush ruleset`` does, where nothing was
written down: behind libcni no record of ours says what there was.

Rule 1: where a link of the host carries the mark of an attachment, and its network masquerades, the
    claim of its address is there. What was attached before the network masqueraded has none, and is
    told as well. What ports a container had, nobody says.
Rule 2: rules that were taken, and the elements not, are told as well: all containers lack them.
Rule 3: in a runtime of ours the records say what there was, and the runtime tells.
Rule 4: an ADD makes the link first. So a link without a claim is looked at again for as long as
    that takes; what comes and goes meanwhile says nothing.

(specification, section 2, "STATUS": code 51)
"""

from __future__ import annotations

import time
from typing import Final

from acni.netlink.links import list_links
from acni.netlink.sockets import open_here
from acni.plugins.elements import claimants, netfilter_of
from acni.plugins.owners import network_mark
from acni.plugins.refusals import doing
from acni.plugins.ruleset import OF_PACKETS
from acni.plugins.tablerules import state_of
from acni.plugins.tables import TABLE, comment_of_mark
from acni.skel.call import Call
from acni.skel.errors import Code, PluginError
from acni.spec.reasons import RULES_LOST

# From a container's link to its masquerading; IPv6 looks for other ones with its address.
_ADD_SECONDS: Final = 2.0
_PAUSE_SECONDS: Final = 0.05


def require_all_masqueraded(call: Call) -> None:
    """Raise where somebody took away the masquerading of a container of a network.

    Args:
        call: A STATUS of a plugin that masquerades, and gives all its containers addresses.

    Raises:
        PluginError: somebody did.
    """
    if not call.is_alone:
        return
    _require_rules(call)
    lost = _without_claim(call)
    until = time.monotonic() + _ADD_SECONDS
    while lost and time.monotonic() < until:
        call.bounds.check()
        time.sleep(_PAUSE_SECONDS)
        lost &= _without_claim(call)
    if lost:
        _, mark = min(lost)
        others = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        message = f"{mark}{others} had a place in the table {TABLE}, and has none"
        details = "no record says what: another ADD of the container puts it back"
        raise PluginError(Code.LIMITED, message, details=details, reason=RULES_LOST)


def _require_rules(call: Call) -> None:
    with doing("looking at the table acni"), netfilter_of(call) as netfilter:
        chain = state_of(netfilter, OF_PACKETS).lacking
    if chain is not None:
        message = f"the chain {chain} of the table {TABLE} lacks a rule"
        details = "the next ADD of any container makes them again"
        raise PluginError(Code.LIMITED, message, details=details, reason=RULES_LOST)


def _without_claim(call: Call) -> set[tuple[int, str]]:
    """Return indexes and marks of links of the network whose attachments have no address."""
    prefix = network_mark(call.network)
    with open_here() as host, netfilter_of(call) as netfilter, doing("looking at the table acni"):
        marked = {
            (link.index, link.alias)
            for link in list_links(host)
            if link.kind == "veth" and link.alias is not None and link.alias.startswith(prefix)
        }
        claims = claimants(netfilter) if marked else set[str]()
    return {one for one in marked if comment_of_mark(one[1], call.network) not in claims}

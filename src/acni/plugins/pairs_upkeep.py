"""GC of the plugins that make pairs of links: ``bridge`` and ``ptp``.

(specification, section 2, "GC"; rule P6)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from acni.netlink.sockets import open_here
from acni.plugins.attaching import remove
from acni.plugins.elementkeeping import collect
from acni.plugins.ownlinks import list_unowned
from acni.plugins.thorough import do_all
from acni.skel.call import Call


def gc(call: Call) -> None:
    """Remove the links of this network whose attachments are not valid, and what the table has of
    them, then let IPAM do the same: as much as possible, as long as there is time.
    """
    do_all(_collecting(call), bounds=call.bounds)


def _collecting(call: Call) -> Iterator[Callable[[], object]]:
    with open_here() as host:
        links = list_unowned(host, call, kind="veth")
    for link in links:
        yield partial(remove, call, link, within=call.bounds.seconds_left())
    yield partial(collect, call)
    if call.ipam.type is not None:
        yield call.ipam.gc

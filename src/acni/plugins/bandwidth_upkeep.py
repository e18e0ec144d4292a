"""GC and STATUS of ``bandwidth``.

(specification, section 2, "GC", "STATUS"; rules P5, P6)
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from acni.errors import AcniError
from acni.host import netns
from acni.netlink.links import Link, get_link
from acni.netlink.sockets import Netlink, open_here, open_inside
from acni.plugins.attaching import remove
from acni.plugins.bandwidth_limits import bucket_of
from acni.plugins.bandwidth_links import IFB, divert, find_ends, make_ifb, release_ends, shape
from acni.plugins.owners import Owner
from acni.plugins.ownlinks import list_unowned
from acni.plugins.refusals import doing
from acni.plugins.thorough import do_all
from acni.skel.call import Call
from acni.skel.errors import Code, PluginError
from acni.spec.attachment import AttachmentId

_LO: Final = "lo"
_ANY: Final = bucket_of(8_000_000, 8_000_000)


def gc(call: Call) -> None:
    """Remove the ifbs of this network whose attachments are not valid, and what leads to them: as
    much as possible.
    """
    with open_here() as host:
        unowned = list_unowned(host, call, kind=IFB)
        if unowned:
            with doing("listing links"):
                ends = find_ends(host)
            removals = (
                partial(_remove, call, host, ifb, ends.get(ifb.index, ())) for ifb in unowned
            )
            do_all(removals, bounds=call.bounds)


def status(call: Call) -> None:
    """Raise where an ADD could not succeed: all of one is tried in a namespace of its own, which
    goes with what is in it.
    """
    try:
        with netns.anonymous() as box, open_inside(box.fd, path=box.path) as inside:
            _try_all(inside, Owner(call.network, AttachmentId("status")))
    except PluginError as error:
        message = f"nothing can be limited: {error.msg}"
        raise PluginError(Code.NOT_AVAILABLE, message, reason=error.reason) from error
    except AcniError as error:
        message = f"no network namespace can be made to try it in: {error.message}"
        raise PluginError(Code.NOT_AVAILABLE, message, reason="not-permitted") from error


def _remove(call: Call, host: Netlink, ifb: Link, ends: Sequence[Link]) -> None:
    release_ends(host, ends, ifb=ifb)
    remove(call, ifb, within=call.bounds.seconds_left())


def _try_all(inside: Netlink, owner: Owner) -> None:
    with doing("looking for the loopback"):
        lo = get_link(inside, _LO)
    ifb = make_ifb(inside, owner, mtu=lo.mtu)
    shape(inside, ifb, _ANY)
    divert(inside, lo, ifb)

"""GC and STATUS of ``bandwidth``.

(specification, section 2, "GC", "STATUS"; rules P5, P6)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from acni.errors import AcniError
from acni.host import netns
from acni.netlink.links import Link, get_link, list_links
from acni.netlink.removal import remove_link
from acni.netlink.sockets import Netlink, open_here, open_inside
from acni.plugins.bandwidth_limits import bucket_of
from acni.plugins.bandwidth_links import IFB, divert, find_ends, make_ifb, release_ends, shape
from acni.plugins.bridge_refusals import doing
from acni.plugins.owners import Owner, network_mark
from acni.skel.call import Call
from acni.skel.errors import Code, PluginError
from acni.spec.attachment import AttachmentId

_REMOVAL_SECONDS: Final = 10.0
_LO: Final = "lo"
_ANY: Final = bucket_of(8_000_000, 8_000_000)


def gc(call: Call) -> None:
    """Remove the ifbs of this network whose attachments are not valid, and what leads to them: as
    much as possible.
    """
    if call.valid is None:
        return
    failures: list[PluginError] = []
    with open_here() as host:
        with doing("listing links"):
            unowned = _unowned(call, host, call.valid)
            ends: Mapping[int, tuple[Link, ...]] = find_ends(host) if unowned else {}
        for link in unowned:
            call.bounds.check()
            try:
                release_ends(host, ends.get(link.index, ()), ifb=link)
                with doing(f"removing {link.name}"):
                    within = min(_REMOVAL_SECONDS, call.bounds.seconds_left())
                    remove_link(link.index, within=within, leave=call.leave)
            except PluginError as error:
                failures.append(error)
    if failures:
        raise failures[0]


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


def _try_all(inside: Netlink, owner: Owner) -> None:
    with doing("looking for the loopback"):
        lo = get_link(inside, _LO)
    ifb = make_ifb(inside, owner, mtu=lo.mtu)
    shape(inside, ifb, _ANY)
    divert(inside, lo, ifb)


def _unowned(call: Call, host: Netlink, valid: Iterable[AttachmentId]) -> list[Link]:
    marks = {Owner(call.network, one).mark for one in valid}
    prefix = network_mark(call.network)
    return [
        link
        for link in list_links(host)
        if link.kind == IFB
        and link.alias is not None
        and link.alias.startswith(prefix)
        and link.alias not in marks
    ]

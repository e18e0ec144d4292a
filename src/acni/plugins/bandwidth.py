"""``bandwidth``: limits how much a container gets and sends, and how fast.

    ADD  link that queues what it sends -> what arrives from it goes there -> what it gets queues
    DEL  the same backwards, as far as it is there

What a container gets is what the host's end of its pair of links sends, and is queued there. What
it sends arrives at that end, and what arrives cannot be queued: it goes by a link of the kind ifb.

Configuration, result and what is left in the kernel are the reference's. What it does otherwise,
each for a reason:

* The ifb carries a mark (:mod:`acni.plugins.owners`): so GC, which the reference has not, finds
  what nobody owns.
* Several interfaces of a container can be limited in one network; the reference names the ifb by
  the container alone, and cannot.
* DEL removes the queues and filters of the host's end, too, and so does GC: the reference leaves a
  filter there that leads to nothing, by which all is lost that the container still sends.
* CHECK wants what ADD made; the reference is content with any queue that is no token bucket, and
  does not look at the filter.
* A failed ADD undoes what it made.

(the reference's plugins/meta/bandwidth)
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final

from acni.netlink.links import Link
from acni.netlink.qdiscs import MOST, Bucket, find_root
from acni.netlink.sockets import Netlink, open_here
from acni.plugins.attaching import owner_of, remove, undo_with
from acni.plugins.bandwidth_limits import Limits, held_bytes, parse_limits
from acni.plugins.bandwidth_links import (
    IFB,
    divert,
    find_end,
    find_ends,
    find_ifb,
    find_references,
    leads_to,
    make_ifb,
    release,
    release_ends,
    require_end,
    require_no_ifb,
    shape,
)
from acni.plugins.bandwidth_upkeep import gc, status
from acni.plugins.hardwareaddresses import mac_text
from acni.plugins.owners import Owner
from acni.plugins.ownlinks import find_marked
from acni.plugins.passing import require_previous, with_interface
from acni.plugins.refusals import differs, doing
from acni.skel.call import Call, Verbs
from acni.skel.errors import PluginError
from acni.spec.result import Interface, Result
from acni.spec.versions import SUPPORTED_VERSIONS

# As the reference: those below have no interfaces in their results.
_VERSIONS: Final = SUPPORTED_VERSIONS[SUPPORTED_VERSIONS.index("0.3.0") :]
_NO_LIMITS: Final = Limits(ingress=None, egress=None)


def add(call: Call) -> Result:
    """Limit what a container gets and sends; when this raises, nothing of it is left."""
    limits = parse_limits(call)
    result = require_previous(call)
    if limits.are_none:
        return result
    with open_here() as host, ExitStack() as undo:
        end = require_end(host, call)
        if limits.egress is not None:
            ifb = _limit_what_is_sent(call, host, end, limits.egress, undo)
            told = Interface(name=ifb.name, mac=mac_text(ifb.mac), sandbox=None)
            result = with_interface(result, told)
            call.bounds.check()
        if limits.ingress is not None:
            shape(host, end, limits.ingress)
        undo.pop_all()
    _warn_of_small_bursts(call, limits, end.mtu)
    return result


def delete(call: Call) -> None:
    """Remove what ADD made, in any configuration and as far as it is there (P3)."""
    owner, limits = owner_of(call), _limits_of_delete(call)
    with open_here() as host:
        end = find_end(host, call)
        with doing(f"looking for what limits {call.ifname}"):
            ifb = find_ifb(host, owner) or find_references(host, call, owner, end)
            if ifb is None and limits.egress is not None:
                ifb = find_marked(host, owner, kind=IFB)
        if end is not None:
            release(host, end, ifb=ifb, ingress=limits.ingress)
        elif ifb is not None:  # the container may live, though nobody says where
            with doing(f"looking for what leads to {ifb.name}"):
                ends = find_ends(host).get(ifb.index, ())
            release_ends(host, ends, ifb=ifb)
        if ifb is not None:
            remove(call, ifb)


def check(call: Call) -> None:
    """Raise where something is not as the ADD left it."""
    limits = parse_limits(call)
    require_previous(call)
    if limits.are_none:
        return
    owner = owner_of(call)
    with open_here() as host, doing(f"looking at what limits {call.ifname}"):
        end = require_end(host, call)
        if limits.ingress is not None:
            _require_bucket(host, end, limits.ingress)
        if limits.egress is not None:
            ifb = find_ifb(host, owner) or find_references(host, call, owner, end)
            if ifb is None:
                raise differs(f"no link queues what {call.ifname} sends", "interface-missing")
            if not ifb.is_up:
                raise differs(f"{ifb.name} is down", "interface-down")
            if not leads_to(host, end, ifb):
                raise differs(f"what arrives at {end.name} does not go by {ifb.name}", "no-filter")
            _require_bucket(host, ifb, limits.egress)


def _limit_what_is_sent(
    call: Call, host: Netlink, end: Link, bucket: Bucket, undo: ExitStack
) -> Link:
    owner = owner_of(call)
    require_no_ifb(host, owner)
    undo_with(undo, lambda: _remove_own(call, host, owner))
    ifb = make_ifb(host, owner, mtu=end.mtu)
    shape(host, ifb, bucket)
    call.bounds.check()
    undo_with(undo, lambda: release(host, end, ifb=ifb, ingress=None))
    divert(host, end, ifb)
    return ifb


def _require_bucket(host: Netlink, link: Link, bucket: Bucket) -> None:
    root = find_root(host, link.index)
    if root is None or root.bucket is None:
        raise differs(f"nothing limits what {link.name} sends", "no-shaper")
    if root.bucket != bucket:
        raise differs(f"{link.name} sends {root.bucket}, not {bucket}", "shaper-differs")


def _warn_of_small_bursts(call: Call, limits: Limits, mtu: int) -> None:
    """Warn of a bucket that never holds a packet: the kernel drops what does not fit."""
    for direction, bucket in (("ingress", limits.ingress), ("egress", limits.egress)):
        if bucket is None or bucket.buffer == MOST:
            continue
        if (holds := held_bytes(bucket)) < mtu:
            call.warn(f"{direction}Burst: packets of more than {holds} of {mtu} bytes are dropped")


def _limits_of_delete(call: Call) -> Limits:
    try:
        return parse_limits(call)
    except PluginError:
        return _NO_LIMITS


def _remove_own(call: Call, host: Netlink, owner: Owner) -> None:
    if (ifb := find_ifb(host, owner)) is not None:
        remove(call, ifb)


VERBS: Final = Verbs(add=add, delete=delete, check=check, gc=gc, status=status, versions=_VERSIONS)

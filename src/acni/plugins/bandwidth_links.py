"""The host's side of ``bandwidth``: the link that queues what a container sends, and the end of the
container's pair of links, at which it arrives.

Rule 1: such a link of ours is made under a name that follows from the attachment, marked
    (:mod:`acni.plugins.owners`), and then named as the reference names its own: killed anywhere, it
    is known by its name, its mark or both. Where that name is taken (it says nothing of the
    interface) it keeps the first.
Rule 2: one of the reference's has no mark. It is the attachment's where the result that ADD
    returned names it, where the container's interface leads to it, where it is half made, and where
    the whole container is gone.
Rule 3: what is removed from the end of a pair is what ADD put there, with its numbers.
Rule 4: no link is removed while an end leads to it: what arrives there would be lost. Where nobody
    says which end that is, the filters do.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Final

from acni.netlink import links, qdiscs
from acni.netlink.errors import NetlinkError
from acni.netlink.filters import list_filters, redirect
from acni.netlink.links import Link, find_link, get_link, list_links
from acni.netlink.qdiscs import INGRESS_KIND, Bucket, find_ingress, find_root
from acni.netlink.sockets import Netlink
from acni.plugins.bandwidth_limits import is_of_a_limit
from acni.plugins.containerlinks import open_container
from acni.plugins.owners import Owner
from acni.plugins.ownlinks import other_end
from acni.plugins.refusals import doing, interface_exists, kernel_lacks
from acni.skel.call import Call
from acni.skel.errors import PluginError

IFB: Final = "ifb"
NO_PAIR: Final = 107

_REFERENCES_PREFIX: Final = "bwp"
_OWN_PREFIX: Final = "bwa"
_NAME_BYTES: Final = 15

# Where a filter leads to whose link is gone: what arrives there is lost.
_NOWHERE: Final = 0
# Something is gone, and with it what is to be removed.
_GONE: Final = (errno.ENODEV, errno.ENOENT)


def references_name(owner: Owner) -> str:
    """Return what the reference calls the link of a container."""
    text = f"{owner.network}{owner.attachment.container_id}"
    return (_REFERENCES_PREFIX + hashlib.sha512(text.encode()).hexdigest())[:_NAME_BYTES]


def own_name(owner: Owner) -> str:
    """Return the name that a link is made under, which is no other attachment's."""
    text = f"{owner.network}\n{owner.attachment.container_id}\n{owner.attachment.ifname}"
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return (_OWN_PREFIX + base64.b32encode(digest).decode().lower())[:_NAME_BYTES]


def find_end(host: Netlink, call: Call) -> Link | None:
    """Return the host's end of the container's pair of links; None where there is none here.

    Raises:
        PluginError: the kernel does not say.
    """
    if call.netns is None:
        return None
    with doing(f"looking for the other end of {call.ifname}"):
        with open_container(call.netns) as container:
            inside = find_link(container, call.ifname)
        return None if inside is None else other_end(host, call.netns.fd, inside)


def require_end(host: Netlink, call: Call) -> Link:
    """Return the host's end of the container's pair of links.

    Raises:
        PluginError: there is none: what is no pair cannot be shaped from here.
    """
    end = find_end(host, call)
    if end is None:
        message = f"{call.ifname} of the container is no end of a pair that begins on this host"
        raise PluginError(NO_PAIR, message, reason="no-pair")
    return end


def find_ifb(host: Netlink, owner: Owner) -> Link | None:
    """Return the link of an attachment that was made here; None where there is none.

    Raises:
        NetlinkError: the kernel does not say.
    """
    own = _find(host, own_name(owner))
    if own is not None and owner.may_own(own.alias):
        return own
    other = _find(host, references_name(owner))
    return other if other is not None and other.alias == owner.mark else None


def find_references(host: Netlink, call: Call, owner: Owner, end: Link | None) -> Link | None:
    """Return the link of an attachment that the reference made; None where there is none.

    Args:
        host: The host's socket.
        call: What is called.
        owner: The attachment.
        end: The host's end of its pair of links, if there is one.

    Raises:
        NetlinkError: the kernel does not say.
    """
    link = _find(host, references_name(owner))
    if link is None or link.alias is not None:
        return None
    is_proved = (
        call.netns is None
        or _is_named(call, link.name)
        or (end is not None and leads_to(host, end, link))
        or _is_half_made(host, link)
    )
    return link if is_proved else None


def require_no_ifb(host: Netlink, owner: Owner) -> None:
    """Refuse an attachment that has its link already.

    Raises:
        PluginError: it was added, and not deleted since.
    """
    with doing(f"looking for the link of {owner.attachment}"):
        ifb = find_ifb(host, owner)
    if ifb is not None:
        details = f"it queues what {owner.attachment} sends: delete it first"
        raise interface_exists(ifb.name, details)


def make_ifb(host: Netlink, owner: Owner, *, mtu: int) -> Link:
    """Make the link that queues what a container sends: marked, and up.

    Raises:
        PluginError: the kernel refuses.
    """
    name = own_name(owner)
    with doing(f"making {name}"):
        with _having(f"links of the kind {IFB}"):
            host.request(links.new_ifb(name, mtu=mtu), links.change(name, alias=owner.mark))
        index = get_link(host, name).index
        with contextlib.suppress(NetlinkError):  # taken: it keeps the first
            host.request(links.change(index, name=references_name(owner)))
        host.request(links.change(index, up=True))
        return get_link(host, index)


def shape(host: Netlink, link: Link, bucket: Bucket) -> None:
    """Shape what a link sends.

    Raises:
        PluginError: somebody shapes it already, or the kernel refuses.
    """
    with doing(f"shaping {link.name}"), _having("token buckets (sch_tbf)"):
        host.request(qdiscs.add_bucket(link.index, bucket))


def divert(host: Netlink, end: Link, ifb: Link) -> None:
    """Send what arrives from a container by its link.

    Raises:
        PluginError: something is in the way, or the kernel refuses.
    """
    with doing(f"redirecting what arrives at {end.name}"):
        with _having("filters of what arrives (sch_ingress)"):
            host.request(qdiscs.add_ingress(end.index))
        with _having("redirection (cls_u32, act_mirred)"):
            host.request(redirect(end.index, ifb.index))


def leads_to(host: Netlink, end: Link, ifb: Link) -> bool:
    """Tell whether what arrives from a container goes by a link.

    Raises:
        NetlinkError: the kernel does not say.
    """
    return any(ifb.index in one.targets for one in list_filters(host, end.index))


def release(host: Netlink, end: Link, *, ifb: Link | None, ingress: Bucket | None) -> None:
    """Let everything pass at the end of a pair again, as far as it is there.

    Args:
        host: The host's socket.
        end: The end.
        ifb: The link that was redirected to.
        ingress: How it was shaped.

    Raises:
        PluginError: the kernel refuses.
    """
    with doing(f"releasing {end.name}"):
        with _unless_gone():
            found = find_ingress(host, end.index)
            if found is not None and found.kind == INGRESS_KIND:  # "clsact" has the same place
                filters = list_filters(host, end.index)
                targets = {target for one in filters for target in one.targets}
                ours = {_NOWHERE} if ifb is None else {_NOWHERE, ifb.index}
                if not filters or (targets and targets <= ours):
                    host.request(qdiscs.remove_ingress(end.index))
        with _unless_gone():
            root = find_root(host, end.index)
            if root is not None and ingress is not None and root.bucket == ingress:
                host.request(qdiscs.remove_root(end.index))


def find_ends(host: Netlink) -> Mapping[int, tuple[Link, ...]]:
    """Return the links of the host at which what arrives goes by another one, by the index of that.

    Raises:
        NetlinkError: the kernel does not say.
    """
    ends: dict[int, tuple[Link, ...]] = {}
    for link in list_links(host):
        for target in {target for one in list_filters(host, link.index) for target in one.targets}:
            ends[target] = (*ends.get(target, ()), link)
    return ends


def release_ends(host: Netlink, ends: Iterable[Link], *, ifb: Link) -> None:
    """Let everything pass again at the ends that lead to a link.

    Args:
        host: The host's socket.
        ends: Those that :func:`find_ends` knows of it.
        ifb: The link, which is about to be removed.

    Raises:
        PluginError: the kernel refuses.
    """
    for end in ends:
        bucket = None
        with doing(f"looking at {end.name}"), _unless_gone():
            root = find_root(host, end.index)
            if root is not None and root.bucket is not None and is_of_a_limit(root.bucket):
                bucket = root.bucket
        release(host, end, ifb=ifb, ingress=bucket)


def _find(host: Netlink, name: str) -> Link | None:
    link = find_link(host, name)
    return link if link is not None and link.kind == IFB else None


def _is_half_made(host: Netlink, link: Link) -> bool:
    try:
        return find_root(host, link.index) is None
    except NetlinkError as error:
        if error.is_verdict(*_GONE):
            return False
        raise


def _is_named(call: Call, name: str) -> bool:
    interfaces = () if call.previous is None else call.previous.interfaces
    return any(one.name == name and not one.sandbox for one in interfaces)


@contextmanager
def _having(feature: str) -> Generator[None]:
    """Say what this kernel lacks: of a kind that it does not know it says that there is none."""
    try:
        yield
    except NetlinkError as error:
        if error.is_verdict(errno.ENOENT, errno.EOPNOTSUPP):
            raise kernel_lacks(feature) from error
        raise


@contextmanager
def _unless_gone() -> Generator[None]:
    try:
        yield
    except NetlinkError as error:
        if not error.is_verdict(*_GONE):
            raise

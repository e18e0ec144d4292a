"""Whether this kernel makes links of a kind, tried without making one.

(specification, section 2, "STATUS"; rule P5)
"""

from __future__ import annotations

import errno
from typing import Final

from acni.host import netns
from acni.netlink.errors import NetlinkError
from acni.netlink.links import Peer, new_veth
from acni.netlink.messages import Message
from acni.netlink.sockets import Netlink
from acni.plugins.refusals import kernel_refusal
from acni.skel.errors import Code, PluginError

# No link can have this name: the kernel looks for the kind first, and then makes nothing.
NO_NAME: Final = "."


def require_kind(host: Netlink, kind: str, attempt: Message) -> None:
    """Raise where this kernel makes no links of a kind, or lets nobody here make them.

    Args:
        host: The host's socket.
        kind: The kind.
        attempt: Makes one of the name ``NO_NAME``, which no link can have.

    Raises:
        PluginError: it does not; STATUS says so.
    """
    try:
        host.request(attempt)
    except NetlinkError as error:
        if error.errno == errno.EINVAL:  # the name, and nothing else
            return
        refusal = kernel_refusal(error, f"links of the kind {kind}")
        raise PluginError(Code.NOT_AVAILABLE, refusal.msg, reason=refusal.reason) from error


def require_pairs(host: Netlink) -> None:
    """Raise where this kernel makes no pairs of links, or lets nobody here make them."""
    with netns.own() as own:
        peer = Peer(name=NO_NAME, netns_fd=own.fd)
        require_kind(host, "veth", new_veth(NO_NAME, peer=peer))

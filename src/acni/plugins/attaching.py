"""What ADD and DEL of the plugins have in common that make links.

Rule: what an ADD has done is undone when it fails, the last first; the first error is what is told.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

from acni.netlink.links import Link
from acni.netlink.removal import remove_link
from acni.netlink.sockets import open_inside
from acni.plugins.owners import Owner
from acni.plugins.refusals import doing
from acni.skel.call import Call, OpenNetns
from acni.skel.errors import PluginError
from acni.spec.attachment import AttachmentId
from acni.spec.result import Result

_REMOVAL_SECONDS: Final = 10.0


def owner_of(call: Call) -> Owner:
    """Return the attachment of a call."""
    return Owner(call.network, AttachmentId(call.container_id, call.ifname))


def netns_of(call: Call) -> OpenNetns:
    """Return the container's namespace, which an ADD and a CHECK have."""
    if call.netns is None:
        raise AssertionError("an ADD and a CHECK have a namespace")
    return call.netns


def lease(call: Call, undo: ExitStack) -> Result:
    """Let IPAM give addresses.

    Raises:
        PluginError: it refuses; then it has been told to delete what is not an earlier ADD's.
    """
    given = call.ipam.add()
    undo_with(undo, call.ipam.delete)
    return given


def has_ipam(call: Call) -> bool:
    """Tell whether there is an IPAM plugin to be told; with ``ipam`` that is none, ADD failed."""
    try:
        return call.ipam.type is not None
    except PluginError:
        return False


def remove(
    call: Call,
    link: Link,
    *,
    within: float = _REMOVAL_SECONDS,
    container: OpenNetns | None = None,
) -> None:
    """Remove a link.

    Args:
        call: What is called.
        link: The link.
        within: Seconds that there are for it; what a removal may take at the most is less.
        container: The namespace that it is in; None, it is the host's.

    Raises:
        PluginError: the kernel refuses.
    """
    inside = None
    if container is not None:
        inside = open_inside(container.fd, path=container.path, seconds=_REMOVAL_SECONDS)
    within = min(within, _REMOVAL_SECONDS)
    with doing(f"removing {link.name}"):
        remove_link(link.index, within=within, leave=call.leave, netlink=inside)


def undo_with(undo: ExitStack, function: Callable[[], object]) -> None:
    """Have a step of an ADD undone if the ADD fails."""
    undo.callback(_try, function)


def _try(function: Callable[[], object]) -> None:
    with contextlib.suppress(Exception):
        function()

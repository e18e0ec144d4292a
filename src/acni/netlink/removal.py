"""Links removed without waiting for what the kernel does afterwards.

A link and its other end are gone, and their names free, in less than a millisecond. Then the kernel
gives its lock back and sleeps some 15 ms until nobody can hold the memory any more (rcu_barrier in
netdev_run_todo, net/core/dev.c), and only then answers. That sleep is taken by a thread.

Rule 1: a thread touches nothing but a socket that was made for it in the namespace of the one that
    asked; in which namespace it is itself does not matter.
Rule 2: who asked is answered when the index is nobody's, not when the name is free: that may be
    another link's already.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from threading import Event
from typing import Final

from attrs import Factory, define

from acni.netlink.errors import NetlinkError, NetlinkTimeout
from acni.netlink.links import delete
from acni.netlink.lookup import has_index, index_of
from acni.netlink.sockets import Netlink, open_here

# It mostly takes 0.7 ms; where the kernel's lock of all links is in demand, longer. So the first
# looks are close together.
_FIRST_STEP_SECONDS: Final = 0.0001
_LAST_STEP_SECONDS: Final = 0.002
_STEP_GROWTH: Final = 1.2


@define(eq=False, repr=False)
class _Removal:
    """What is left to a thread, and what came of it.

    Attributes:
        is_done: Set when the kernel has answered.
        error: What it refused with.
    """

    netlink: Netlink
    index: int
    is_done: Event = Factory(Event)
    error: BaseException | None = None

    def run(self) -> None:
        try:
            with self.netlink:
                self.netlink.request(delete(self.index))
        except BaseException as error:  # noqa: ASYNC103, BLE001 (raised where it was asked)
            self.error = error
        finally:
            self.is_done.set()


def remove_link(
    which: int | str,
    *,
    within: float,
    leave: Callable[[Callable[[], object]], object],
    netlink: Netlink | None = None,
) -> bool:
    """Remove a link and return when it is gone.

    Args:
        which: Its index or its name.
        within: Seconds after which it is given up.
        leave: Leaves the removal to a thread, which waits for the kernel.
        netlink: A socket of its namespace, which is this one's from now on; by default the link is
            one of the calling thread's namespace.

    Returns:
        Whether it was there.

    Raises:
        NetlinkError: the kernel refuses.
        NetlinkTimeout: it is not gone in time; that may still happen.
        OSError: there is no descriptor left.
    """
    until = time.monotonic() + within
    netlink = netlink or open_here(seconds=within)
    is_left = False
    try:
        index = _present_index(netlink, which)
        if index is None:
            return False
        removal = _Removal(netlink, index)
        # The socket is the thread's from now on; a second descriptor asks beside it.
        probe = os.dup(netlink.fileno())
        try:
            leave(removal.run)
            is_left = True
            return _is_gone(removal, probe, until)
        finally:
            os.close(probe)
    finally:
        if not is_left:
            netlink.close()


def _is_gone(removal: _Removal, probe: int, until: float) -> bool:
    """Wait until a link is gone; tell whether it was there."""
    step = _FIRST_STEP_SECONDS
    while not removal.is_done.wait(step):
        if not has_index(probe, removal.index):
            return True
        if time.monotonic() > until:
            raise NetlinkTimeout(errno.ETIMEDOUT, f"link {removal.index} is not gone")
        step = min(_STEP_GROWTH * step, _LAST_STEP_SECONDS)
    if removal.error is None:
        return True
    # Whatever it was refused with: a link that is there is not gone, and one that is not, is.
    if has_index(probe, removal.index):
        raise removal.error
    return getattr(removal.error, "errno", None) != errno.ENODEV


def _present_index(netlink: Netlink, which: int | str) -> int | None:
    if isinstance(which, int):
        return which if has_index(netlink.fileno(), which) else None
    try:
        return index_of(netlink, which)
    except NetlinkError as error:
        if error.errno != errno.ENODEV:
            raise
        return None

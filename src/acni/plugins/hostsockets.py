"""Sockets of the host that calls lend each other: to make one takes eight system calls."""

from __future__ import annotations

import os
from collections.abc import Hashable
from contextlib import AbstractContextManager

from acni.netlink.sockets import Netlink, open_here
from acni.skel.call import Call


def netlink_of(call: Call) -> AbstractContextManager[Netlink]:
    """Lend a socket that asks about the host's links.

    Raises:
        OSError: there is no descriptor left.
    """
    return call.kept.lent(key_of_host("route"), open_here)


def key_of_host(protocol: str) -> Hashable:
    """Return by what sockets of the calling thread's namespace are kept. They hold it, so that its
    number is no other one's meanwhile.
    """
    place = os.stat("/proc/thread-self/ns/net")
    return protocol, place.st_dev, place.st_ino

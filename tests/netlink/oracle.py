"""What pyroute2 says the kernel has: an independent reader of the same lists."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from pyroute2 import IPRoute  # type: ignore[import-untyped]

from acni.netns import Namespace


def asked(box: Namespace, question: Callable[[Any], Any]) -> list[Any]:
    """Ask pyroute2 inside a namespace."""

    def inside() -> list[Any]:
        with IPRoute() as oracle:
            return list(question(oracle))

    return box.call(inside)


def link_of(box: Namespace, name: str) -> Any:
    (link,) = asked(box, lambda oracle: oracle.get_links(ifname=name))
    return link


def agree(ours: Callable[[], object], theirs: Callable[[], object]) -> None:
    """Wait until two readers of a list see the same: IPv6 adds the routes and the address of a
    link when it comes to it (addrconf_dad_work, net/ipv6/addrconf.c).
    """
    until = time.monotonic() + 30
    while (one := ours()) != (other := theirs()):
        assert time.monotonic() < until, (one, other)

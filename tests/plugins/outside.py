"""A host with a network behind it: a namespace that is neither the host nor a container."""

from __future__ import annotations

from typing import Final

from acni.netns import Namespace
from tests.plugins.hosts import Host

OUTSIDE: Final = "outside"
HOST4, HOST6 = "192.0.2.1", "2001:db8::1"
OUTSIDE4, OUTSIDE6 = "192.0.2.9", "2001:db8::9"


def add_outside(host: Host, *, knows_the_way: bool = False) -> Namespace:
    """Connect a host with an outside; return that.

    Args:
        host: The host.
        knows_the_way: Whether the outside has routes to the containers by the host.
    """
    outside = host.container(OUTSIDE)
    host.ip("link", "add", "up0", "type", "veth", "peer", "name", "eth0", "netns", outside.path)
    for inside, device, addresses in (
        (None, "up0", (f"{HOST4}/24", f"{HOST6}/64")),
        (OUTSIDE, "eth0", (f"{OUTSIDE4}/24", f"{OUTSIDE6}/64")),
    ):
        for address in addresses:
            nodad = ["nodad"] if ":" in address else []
            host.ip("address", "add", address, "dev", device, *nodad, inside=inside)
        host.ip("link", "set", device, "up", inside=inside)
    if knows_the_way:
        host.ip("route", "add", "10.0.0.0/8", "via", HOST4, inside=OUTSIDE)
        host.ip("route", "add", "fd00::/16", "via", HOST6, inside=OUTSIDE)
    return outside


def look_for_no_duplicates(host: Host, *containers: str) -> None:
    """Have the kernel use addresses of IPv6 at once, which are made afterwards."""
    for inside in (None, OUTSIDE, *containers):
        host.write("ipv6/conf/default/accept_dad", "0", inside=inside)

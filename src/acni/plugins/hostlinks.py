"""The host's side of the plugins that make pairs of links, whatever it is connected with.

Rule: nothing here lists the links of the host, so that a container costs as much beside a thousand
    others as alone.
"""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Sequence
from typing import Final

from acni.netlink.errors import NetlinkError
from acni.netlink.families import Interface, is_v4
from acni.netlink.links import Link, get_link
from acni.netlink.settings import Ipv4Setting, read_sysctl, set_ipv4, write_sysctl
from acni.netlink.sockets import Netlink
from acni.plugins.refusals import doing
from acni.skel.bounds import Bounds
from acni.skel.errors import PluginError

PORT_DOWN: Final = 104

# The kernel looks at a port's other end in a thread of its own (linkwatch), as a rule at once.
_PORT_SECONDS: Final = 3.0
_FIRST_STEP_SECONDS: Final = 0.0002
_LAST_STEP_SECONDS: Final = 0.05


def enable_forwarding(host: Netlink, index: int, gateways: Sequence[Interface]) -> None:
    """Let the host forward packets of the gateways' families.

    Args:
        host: The host's socket.
        index: The link's that has the gateways.
        gateways: The gateways.

    Raises:
        PluginError: it may not be changed.
    """
    for family, setting in (("IPv4", "ipv4/ip_forward"), ("IPv6", "ipv6/conf/all/forwarding")):
        if not any(is_v4(gateway) == (family == "IPv4") for gateway in gateways):
            continue
        with doing(f"forwarding {family}"):
            # Not written where it is set: that would set it for each interface anew.
            if read_sysctl(setting) == "1":
                continue
            try:
                write_sysctl(setting, "1")
            except NetlinkError as error:
                if error.errno != errno.EROFS or family == "IPv6":
                    raise
                # Without /proc/sys, as in containers: for the link by itself.
                host.request(set_ipv4(index, Ipv4Setting.FORWARDING, 1))


def wait_for_port(host: Netlink, name: str, bounds: Bounds) -> Link:
    """Return a pair's end once packets go through it: before, what is sent is dropped.

    Raises:
        PluginError: none do after three seconds.
    """
    until = time.monotonic() + min(_PORT_SECONDS, bounds.seconds_left())
    step = _FIRST_STEP_SECONDS
    with doing(f"looking at {name}"):
        while not (port := get_link(host, name)).is_running:
            if time.monotonic() > until:
                message = f"{name} does not come up"
                raise PluginError(PORT_DOWN, message, reason="port-down")
            bounds.check()
            time.sleep(step)
            step = min(2 * step, _LAST_STEP_SECONDS)
    return port


def own_routes(name: str) -> None:
    """Let no router advertise routes to the host through a link of its own (CVE-2020-10749)."""
    with contextlib.suppress(NetlinkError):  # no IPv6, or /proc/sys cannot be written
        write_sysctl(f"ipv6/conf/{name}/accept_ra", "0")

"""Messages that are sent together, told apart when one is refused."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from ipaddress import ip_interface
from pathlib import Path

import pytest

from acni.host import netns
from acni.netlink import addresses, links
from acni.netlink.bridges import new_bridge
from acni.netlink.links import find_link
from acni.netlink.sockets import Netlink, open_inside
from acni.plugins.steps import Step, take
from acni.skel import PluginError

pytestmark = pytest.mark.netns


@pytest.fixture
def host() -> Iterator[netns.Namespace]:
    with netns.anonymous() as made:
        yield made


@pytest.fixture
def on_host(host: netns.Namespace) -> Iterator[Netlink]:
    with open_inside(host.fd, path=host.path) as netlink:
        yield netlink


def test_the_first_that_is_refused_is_named(on_host: Netlink) -> None:
    steps = [
        Step(new_bridge("br0"), "making br0"),
        Step(new_bridge("br0"), "making br0 again", as_good=errno.EEXIST),
        Step(links.change("br9", up=True), "setting br9 up", as_good=errno.EEXIST),
        Step(links.change("br8", up=True), "setting br8 up"),
    ]
    with pytest.raises(PluginError, match=r"setting br9 up: No such device") as raised:
        take(on_host, steps, what="all of it")
    assert raised.value.code == 5
    assert find_link(on_host, "br0") is not None


def test_only_the_errno_that_is_named_is_as_good(on_host: Netlink) -> None:
    again = [Step(new_bridge("br0"), "making br0", as_good=errno.ESRCH)] * 2
    with pytest.raises(PluginError, match=r"making br0: File exists"):
        take(on_host, again, what="all of it")


def test_ipv6_that_is_disabled_is_told(host: netns.Namespace, on_host: Netlink) -> None:
    on_host.request(new_bridge("br0"))
    host.call(lambda: Path("/proc/sys/net/ipv6/conf/br0/disable_ipv6").write_text("1"))
    link = find_link(on_host, "br0")
    assert link is not None
    message = addresses.add(ip_interface("fd00::1/64"), index=link.index)
    with pytest.raises(PluginError) as raised:
        take(on_host, [Step(message, "an address", is_ipv6=True)], what="all of it")
    assert (raised.value.code, raised.value.reason) == (103, "ipv6-disabled")

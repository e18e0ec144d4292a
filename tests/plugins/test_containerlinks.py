"""The container's side of bridge."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from acni.host import netns
from acni.netlink.bridges import new_bridge
from acni.netlink.links import Peer, new_veth
from acni.netlink.sockets import open_inside
from acni.plugins.containerlinks import configure, open_container, set_up
from acni.plugins.layouts import Layout, lay_out
from acni.skel import Bounds, OpenNetns, PluginError
from acni.spec.result import IpConfig, Route

pytestmark = pytest.mark.netns

MAC = bytes.fromhex("c21122334455")


@pytest.fixture
def container() -> Iterator[OpenNetns]:
    """A namespace with a link eth0, a bridge that is nobody's."""
    with netns.anonymous() as made:
        with open_inside(made.fd, path=made.path) as netlink:
            netlink.request(new_bridge("eth0", mac=MAC))
        yield OpenNetns(path=made.path, fd=made.fd)


def run_configure(container: OpenNetns, layout: Layout, *, duplicates: bool = False) -> None:
    bounds = Bounds(time.monotonic() + 20)
    with open_container(container) as inside:
        configure(
            container, inside, "eth0", MAC, layout, detects_duplicates=duplicates, bounds=bounds
        )


def laid_out(*addresses: str, routes: tuple[Route, ...] = ()) -> Layout:
    ips = [IpConfig(address=one, gateway=None, interface=None) for one in addresses]
    return lay_out(ips, routes, place=2)


def write(container: OpenNetns, setting: str, value: str) -> None:
    with container.entered():
        Path("/proc/sys/net", setting).write_text(value)


def read(container: OpenNetns, setting: str) -> str:
    with container.entered():
        return Path("/proc/thread-self/net", setting).read_text()


def test_ipv6_that_a_runtime_disabled_is_enabled_where_it_is_needed(container: OpenNetns) -> None:
    for name in ("lo", "eth0"):
        write(container, f"ipv6/conf/{name}/disable_ipv6", "1")
    run_configure(container, laid_out("10.9.0.2/24"))
    assert read(container, "if_inet6") == ""
    run_configure(container, laid_out("fd00:9::2/64"))
    present = read(container, "if_inet6")
    assert "fd000009000000000000000000000002" in present
    # The link-local one is there as well, and nobody looks for others with it (0x82).
    assert "fe80000000000000c01122fffe334455 02 40 20 82" in present


def test_an_address_that_is_there_is_refused(container: OpenNetns) -> None:
    run_configure(container, laid_out("10.9.0.2/24"))
    with pytest.raises(PluginError, match=r"the address 10\.9\.0\.2/24 of eth0") as raised:
        run_configure(container, laid_out("10.9.0.2/24"))
    assert raised.value.code == 5


def test_a_route_that_the_kernel_refuses_is_named(container: OpenNetns) -> None:
    routes = (Route(dst="10.20.0.0/16", gw="192.0.2.1"),)
    with pytest.raises(PluginError, match=r"the route to 10\.20\.0\.0/16: Network is unreachable"):
        run_configure(container, laid_out("10.9.0.2/24", routes=routes))


def test_an_interface_that_is_not_there_is_an_error(container: OpenNetns) -> None:
    bounds = Bounds(time.monotonic() + 20)
    layout = laid_out("10.9.0.2/24")
    with open_container(container) as inside:
        with pytest.raises(PluginError, match="looking for eth9"):
            configure(
                container, inside, "eth9", MAC, layout, detects_duplicates=False, bounds=bounds
            )
        with pytest.raises(PluginError, match="setting eth9 up"):
            set_up(inside, "eth9")


def test_an_address_that_somebody_else_has_is_found_where_that_is_asked_for() -> None:
    """Two containers on one wire."""
    layout = laid_out("fd00:9::2/64")
    with netns.anonymous() as one, netns.anonymous() as other:
        with open_inside(one.fd, path=one.path) as netlink:
            peer = Peer(name="eth0", netns_fd=other.fd, mac=MAC)
            netlink.request(new_veth("eth0", peer=peer))
        first = OpenNetns(path=one.path, fd=one.fd)
        run_configure(first, layout)
        second = OpenNetns(path=other.path, fd=other.fd)
        with pytest.raises(PluginError) as raised:
            run_configure(second, layout, duplicates=True)
        assert raised.value.reason == "address-taken"

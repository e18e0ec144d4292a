"""Stand-ins for namespaces that are gone."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import resource
import threading
from pathlib import Path
from typing import Any

import pytest

from acni import Busy, NotPermitted, netns
from acni.engine.stand_in import StandIn

pytestmark = pytest.mark.netns

DESCRIPTORS = Path("/proc/self/fd")
ADDRESSES = tuple(
    map(ipaddress.ip_interface, ("192.0.2.7/24", "198.51.100.9/32", "2001:db8::7/64"))
)


def shown(path: str) -> list[dict[str, Any]]:
    done = netns.run(path, ["ip", "-json", "addr"], timeout=10)
    links: list[dict[str, Any]] = json.loads(done.stdout)
    return links


def addresses_of(path: str, ifname: str) -> list[str]:
    (link,) = (link for link in shown(path) if link["ifname"] == ifname)
    return [f"{one['local']}/{one['prefixlen']}" for one in link["addr_info"]]


def lowest_free() -> int:
    fd = os.dup(0)
    os.close(fd)
    return fd


def open_namespaces() -> int:
    found = 0
    for fd in DESCRIPTORS.iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that lists them
            found += str(fd.readlink()).startswith("net:")
    return found


@pytest.mark.parametrize("ifname", ["eth0", "peer0", "a" * 15, "ä.0"])
def test_it_holds_a_link_of_that_name_with_the_addresses(ifname: str) -> None:
    with StandIn() as made:
        path = made.make(ifname, ADDRESSES)
        assert addresses_of(path, ifname) == [str(address) for address in ADDRESSES]
        (link,) = (link for link in shown(path) if link["ifname"] == ifname)
        assert "UP" not in link["flags"]


def test_it_is_nobody_elses_namespace() -> None:
    with StandIn() as made, StandIn() as other:
        own = netns.identity(f"/proc/{os.getpid()}/ns/net")
        identities = {netns.identity(one.make("eth0", ())) for one in (made, other)}
        assert len(identities - {own}) == 2
        with netns.from_pid(os.getpid()) as host:
            assert not host.has_interface("eth0")


def test_nothing_of_it_is_left_after_the_block() -> None:
    before = open_namespaces()
    with contextlib.suppress(ZeroDivisionError), StandIn() as made:
        made.make("eth0", ADDRESSES)
        assert open_namespaces() == before + 1
        _ = 1 / 0
    assert open_namespaces() == before


@pytest.mark.parametrize("refused", ["192.0.2.7/24", "ff02::1/64", "::/0"])
def test_an_address_that_no_link_can_have_hinders_nothing(refused: str) -> None:
    first, *others = ADDRESSES
    with StandIn() as made:
        path = made.make("eth0", [first, ipaddress.ip_interface(refused), *others])
        assert addresses_of(path, "eth0") == [str(address) for address in ADDRESSES]


def test_a_link_that_cannot_be_made_is_an_error_and_leaves_nothing() -> None:
    before = open_namespaces()
    with StandIn() as made, pytest.raises(NotPermitted, match="File exists"):
        made.make("lo", ())
    assert open_namespaces() == before


def test_without_a_descriptor_left_it_is_busy() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with StandIn() as made:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free(), hard))
        try:
            with pytest.raises(Busy):
                made.make("eth0", ())
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_comes_after_the_block_makes_nothing() -> None:
    before = open_namespaces()
    with StandIn() as made:
        pass
    assert made.make("eth0", ADDRESSES) == ""
    assert open_namespaces() == before


def test_a_block_that_is_left_while_it_is_being_made_leaves_nothing() -> None:
    """As a native cancellation of asyncio leaves it, whose thread goes on."""
    before = open_namespaces()
    for _ in range(20):
        thread_is_in = threading.Event()

        def make(made: StandIn, thread_is_in: threading.Event = thread_is_in) -> None:
            thread_is_in.set()
            made.make("eth0", ADDRESSES)

        with StandIn() as made:
            thread = threading.Thread(target=make, args=(made,))
            thread.start()
            thread_is_in.wait(10)
        thread.join(10)
        assert open_namespaces() == before

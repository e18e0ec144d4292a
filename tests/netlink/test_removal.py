"""Links that are removed while threads take the kernel's sleep."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from acni.netlink.bridges import new_bridge
from acni.netlink.errors import NetlinkError, NetlinkTimeout
from acni.netlink.links import Peer, new_veth
from acni.netlink.lookup import has_link, index_of
from acni.netlink.removal import remove_link
from acni.netlink.sockets import Netlink, open_inside
from acni.netlink.wire import KernelWire
from acni.netns import Namespace

pytestmark = pytest.mark.netns

# None of these waits is over before something has happened.
ENDLESS = 60.0


@pytest.fixture
def remove(host: Namespace) -> Iterator[Callable[[int | str], bool]]:
    """Remove a link of the host, with threads that take the kernel's sleep."""
    with ThreadPoolExecutor(32) as threads:

        def call(which: int | str) -> bool:
            return host.call(lambda: remove_link(which, within=ENDLESS, leave=threads.submit))

        yield call


def make(on_host: Netlink, pod: Namespace, *names: str) -> None:
    for name in names:
        on_host.request(new_veth(name, peer=Peer(name=f"e-{name}", netns_fd=pod.fd)))


@pytest.mark.parametrize("by_index", [False, True])
def test_a_link_is_gone_when_it_was_removed(
    pod: Namespace, on_host: Netlink, remove: Callable[[int | str], bool], by_index: bool
) -> None:
    make(on_host, pod, "veth1")
    assert remove(index_of(on_host, "veth1") if by_index else "veth1")
    assert not has_link(on_host, "veth1")


def test_a_link_that_is_not_there_needs_no_removal(host: Namespace) -> None:
    def refuse(run: Callable[[], object]) -> None:
        raise AssertionError("left")

    assert not host.call(lambda: remove_link("veth1", within=ENDLESS, leave=refuse))
    assert not host.call(lambda: remove_link(99, within=ENDLESS, leave=refuse))


def test_the_name_can_be_given_again_at_once(
    pod: Namespace, on_host: Netlink, remove: Callable[[int | str], bool]
) -> None:
    for _ in range(50):
        make(on_host, pod, "veth1")
        assert remove("veth1")
    assert not has_link(on_host, "veth1")


def test_another_link_of_the_name_is_not_waited_for(
    host: Namespace, pod: Namespace, on_host: Netlink, remove: Callable[[int | str], bool]
) -> None:
    """Another one may have the name as soon as it is free."""
    make(on_host, pod, "veth1")
    stop = threading.Event()

    def make_again() -> None:
        again = new_veth("veth1", peer=Peer(name="again", netns_fd=pod.fd))
        with open_inside(host.fd, path=host.path) as netlink:
            while netlink.exchange([again]).verdicts[0].code and not stop.is_set():
                pass

    again = threading.Thread(target=make_again)
    again.start()
    try:
        assert remove(index_of(on_host, "veth1"))
        again.join(ENDLESS)
    finally:
        stop.set()
        again.join(ENDLESS)
    assert has_link(on_host, "veth1")


def test_of_two_who_remove_the_same_link_nobody_fails(
    pod: Namespace, on_host: Netlink, remove: Callable[[int | str], bool]
) -> None:
    for _ in range(10):
        make(on_host, pod, "veth1")
        with ThreadPoolExecutor(4) as callers:
            assert any(callers.map(lambda _: remove("veth1"), range(4)))
        assert not has_link(on_host, "veth1")


def test_what_the_kernel_refuses_is_raised_at_once(remove: Callable[[int | str], bool]) -> None:
    with pytest.raises(NetlinkError) as raised:
        remove("lo")
    assert raised.value.errno == errno.EOPNOTSUPP


def test_a_link_that_is_there_is_not_gone_whatever_was_answered(
    pod: Namespace,
    on_host: Netlink,
    remove: Callable[[int | str], bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """ENODEV of the socket, not of the link."""
    make(on_host, pod, "veth1")

    def fail(wire: KernelWire, data: bytes) -> None:
        raise OSError(errno.ENODEV, "as the test wants it")

    with monkeypatch.context() as patch:
        patch.setattr(KernelWire, "send", fail)
        with pytest.raises(NetlinkError, match="could not be sent"):
            remove("veth1")
    assert remove("veth1")


def test_no_descriptor_is_left_by_what_fails(remove: Callable[[int | str], bool]) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        assert not remove("veth1")
        with pytest.raises(NetlinkError):
            remove("lo")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_removal_may_be_left_to_somebody_elses_threads(
    host: Namespace, pod: Namespace, on_host: Netlink
) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    make(on_host, pod, "veth1", "veth2")

    def remove(*which: int | str) -> list[bool]:
        with ThreadPoolExecutor(2) as threads:
            return [
                remove_link(one, within=ENDLESS, leave=threads.submit) for one in (*which, *which)
            ]

    index = index_of(on_host, "veth2")
    assert host.call(lambda: remove("veth1", index)) == [True, True, False, False]
    assert not has_link(on_host, "veth1")
    assert not has_link(on_host, "veth2")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_who_is_left_nothing_to_removes_it_at_once(host: Namespace, on_host: Netlink) -> None:
    on_host.request(new_bridge("br0"))
    assert host.call(lambda: remove_link("br0", within=ENDLESS, leave=lambda run: run()))
    assert not has_link(on_host, "br0")


def test_what_is_left_to_nobody_is_a_timeout_and_closes_its_socket(
    host: Namespace, on_host: Netlink
) -> None:
    on_host.request(new_bridge("br0"))
    left: list[Callable[[], object]] = []

    def remove() -> None:
        remove_link("br0", within=0.01, leave=left.append)

    with pytest.raises(NetlinkTimeout):
        host.call(remove)
    left[0]()
    assert not has_link(on_host, "br0")


def test_what_cannot_be_left_leaves_no_descriptor(host: Namespace, on_host: Netlink) -> None:
    on_host.request(new_bridge("br0"))
    before = len(list(Path("/proc/self/fd").iterdir()))

    def refuse(run: Callable[[], object]) -> None:
        raise RuntimeError("no thread")

    with pytest.raises(RuntimeError):
        host.call(lambda: remove_link("br0", within=ENDLESS, leave=refuse))
    assert has_link(on_host, "br0")
    assert len(list(Path("/proc/self/fd").iterdir())) == before

"""Links that are removed while threads take the kernel's sleep."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from acni.netlink.bridges import new_bridge
from acni.netlink.errors import NetlinkError, NetlinkTimeout
from acni.netlink.links import Peer, delete, list_links, new_veth
from acni.netlink.lookup import has_link, index_of
from acni.netlink.removal import MOST_THREADS, Removal, Removals, remove_link
from acni.netlink.sockets import Netlink, open_here, open_inside
from acni.netns import Namespace
from tests.netlink.scripted import keeps_silent, scripted, verdict

pytestmark = pytest.mark.netns

# None of these waits is over before something has happened.
ENDLESS = 60.0


@pytest.fixture
def removals() -> Iterator[Removals]:
    made = Removals()
    yield made
    assert made.close(within=ENDLESS)
    assert threads() == []


def threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "acni-removal"]


def make(on_host: Netlink, pod: Namespace, *names: str) -> None:
    for name in names:
        on_host.request(new_veth(name, peer=Peer(name=f"e-{name}", netns_fd=pod.fd)))


@pytest.mark.parametrize("by_index", [False, True])
def test_a_link_is_gone_when_it_was_removed(
    host: Namespace,
    pod: Namespace,
    on_host: Netlink,
    in_pod: Netlink,
    removals: Removals,
    by_index: bool,
) -> None:
    make(on_host, pod, "veth1")
    which = index_of(on_host, "veth1") if by_index else "veth1"
    assert removals.remove(which, within=ENDLESS, namespace=host)
    assert not has_link(on_host, "veth1")
    assert removals.close(within=ENDLESS)
    assert [link.name for link in list_links(in_pod)] == ["lo"]


def test_a_link_that_is_not_there_needs_no_removal(host: Namespace, removals: Removals) -> None:
    assert not removals.remove("veth1", within=ENDLESS, namespace=host)
    assert not removals.remove(99, within=ENDLESS, namespace=host)
    assert threads() == []


def test_where_no_namespace_is_named_it_is_the_callers(
    pod: Namespace, host: Namespace, removals: Removals
) -> None:
    """Whichever the threads were made in."""

    def make_here() -> None:
        with open_here() as netlink:
            netlink.request(new_bridge("br7"))

    for box in (pod, host):
        box.call(make_here)
    assert pod.call(lambda: removals.remove("br7", within=ENDLESS))
    assert host.call(lambda: removals.remove("br7", within=ENDLESS))
    assert not pod.has_interface("br7")
    assert not host.has_interface("br7")


def test_the_name_can_be_given_again_at_once(
    host: Namespace, pod: Namespace, on_host: Netlink, removals: Removals
) -> None:
    for _ in range(50):
        make(on_host, pod, "veth1")
        assert removals.remove("veth1", within=ENDLESS, namespace=host)
    assert not has_link(on_host, "veth1")
    assert 1 <= len(threads()) <= MOST_THREADS


def test_another_link_of_the_name_is_not_waited_for(
    host: Namespace, pod: Namespace, on_host: Netlink, removals: Removals
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
        index = index_of(on_host, "veth1")
        assert removals.remove(index, within=ENDLESS, namespace=host)
        again.join(ENDLESS)
    finally:
        stop.set()
        again.join(ENDLESS)
    assert has_link(on_host, "veth1")


def test_many_at_once_are_all_removed_by_no_more_threads_than_there_may_be(
    host: Namespace, pod: Namespace, on_host: Netlink, removals: Removals
) -> None:
    names = [f"v{number}" for number in range(3 * MOST_THREADS)]
    make(on_host, pod, *names)
    with ThreadPoolExecutor(2 * MOST_THREADS) as callers:
        done = list(
            callers.map(lambda name: removals.remove(name, within=ENDLESS, namespace=host), names)
        )
    assert done == [True] * len(names)
    assert [link.name for link in list_links(on_host)] == ["lo"]
    assert len(threads()) <= MOST_THREADS


def test_of_two_who_remove_the_same_link_nobody_fails(
    host: Namespace, pod: Namespace, on_host: Netlink, removals: Removals
) -> None:
    for _ in range(10):
        make(on_host, pod, "veth1")
        with ThreadPoolExecutor(4) as callers:
            done = list(
                callers.map(
                    lambda _: removals.remove("veth1", within=ENDLESS, namespace=host), range(4)
                )
            )
        assert any(done)
        assert not has_link(on_host, "veth1")


def test_what_the_kernel_refuses_is_raised(host: Namespace, removals: Removals) -> None:
    with pytest.raises(NetlinkError) as raised:
        removals.remove("lo", within=ENDLESS, namespace=host)
    assert raised.value.errno == errno.EOPNOTSUPP


def waiting(proceed: threading.Event) -> Removal:
    """A removal whose answer comes only when it may."""
    netlink, wire = scripted(keeps_silent, seconds=ENDLESS)

    def answer() -> None:
        proceed.wait(ENDLESS)
        wire.said.append(verdict(1))

    wire.on_wait = answer
    return Removal(netlink, 1)


def answered(removals: Removals) -> None:
    """Let a thread do something to its end."""
    proceed = threading.Event()
    removal = waiting(proceed)
    proceed.set()
    removals._hand_over(removal)
    assert removal.is_done.wait(ENDLESS)


def test_a_thread_that_has_its_answer_does_the_next_one(removals: Removals) -> None:
    for _ in range(5):
        answered(removals)
    assert len(threads()) == 1


def test_a_link_that_is_gone_is_gone_whatever_the_threads_do(
    host: Namespace, pod: Namespace, on_host: Netlink, removals: Removals
) -> None:
    """All threads are busy, and somebody else removes it: nobody waits for an answer."""
    proceed = threading.Event()
    make(on_host, pod, "veth1")
    with ThreadPoolExecutor(1) as caller:
        try:
            for _ in range(MOST_THREADS):
                removals._hand_over(waiting(proceed))
            done = caller.submit(removals.remove, "veth1", within=ENDLESS, namespace=host)
            wait_until(lambda: removals._unfinished > MOST_THREADS)
            on_host.request(delete("veth1"))
            assert done.result(ENDLESS / 2)
        finally:
            proceed.set()


def wait_until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + ENDLESS
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.001)


def test_what_is_not_gone_in_time_is_a_timeout_and_may_go_later(
    host: Namespace, pod: Namespace, on_host: Netlink, removals: Removals
) -> None:
    """All threads are busy, so this one is not begun."""
    proceed = threading.Event()
    try:
        for _ in range(MOST_THREADS):
            removals._hand_over(waiting(proceed))
        make(on_host, pod, "veth1")
        with pytest.raises(NetlinkTimeout):
            removals.remove("veth1", within=0.01, namespace=host)
        assert has_link(on_host, "veth1")
        assert len(threads()) == MOST_THREADS
        assert not removals.close(within=0.01)
    finally:
        proceed.set()
    assert removals.close(within=ENDLESS)
    assert not has_link(on_host, "veth1")


def test_nothing_is_removed_any_more_once_it_is_closed(
    host: Namespace, on_host: Netlink, removals: Removals
) -> None:
    on_host.request(new_bridge("br0"))
    assert removals.close(within=ENDLESS)
    assert removals.close(within=ENDLESS)
    with pytest.raises(NetlinkError) as raised:
        removals.remove("br0", within=ENDLESS, namespace=host)
    assert raised.value.errno == errno.ESHUTDOWN
    assert has_link(on_host, "br0")


def test_a_forked_child_has_threads_of_its_own(
    host: Namespace, pod: Namespace, on_host: Netlink, removals: Removals
) -> None:
    make(on_host, pod, "veth2")
    answered(removals)
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        os._exit(0 if removals.remove("veth2", within=30, namespace=host) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not has_link(on_host, "veth2")


def test_no_descriptor_is_left_by_what_fails(host: Namespace, removals: Removals) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for which in ("lo", "veth1"):
        for _ in range(3):
            try:
                removals.remove(which, within=ENDLESS, namespace=host)
            except NetlinkError:
                continue
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

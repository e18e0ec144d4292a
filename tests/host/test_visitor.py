"""A thread that looks into namespaces, and is back before it answers."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from queue import SimpleQueue

import pytest
from attrs import evolve

from acni import netns
from acni.errors import AcniError
from acni.host.visitor import Visitor

pytestmark = pytest.mark.netns


@pytest.fixture
def visitor() -> Iterator[Visitor]:
    with closing(Visitor()) as visitor:
        yield visitor


def visitors() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "acni-visitor"]


def test_it_sees_what_is_there_and_nothing_else(visitor: Visitor) -> None:
    with netns.anonymous() as box, netns.anonymous() as other:
        box.call(lambda: make_bridge("eth7"))
        assert visitor.has_interface(box, "lo")
        assert visitor.has_interface(box, "eth7")
        assert not visitor.has_interface(other, "eth7")
        assert not visitor.has_interface(box, "eth0")


def make_bridge(name: str) -> None:
    subprocess.run(["ip", "link", "add", name, "type", "bridge"], check=True)


def test_one_thread_answers_all_questions_and_ends_with_it() -> None:
    before = visitors()
    with netns.anonymous() as box, closing(Visitor()) as visitor:
        for _ in range(50):
            assert visitor.has_interface(box, "lo")
        assert len(visitors()) == len(before) + 1
    assert visitors() == before
    visitor.close()


def test_it_comes_back_so_that_a_namespace_ends_with_its_last_user(visitor: Visitor) -> None:
    home = netns.identity("/proc/thread-self/ns/net")
    with netns.anonymous() as box:
        assert visitor.has_interface(box, "lo")
        guest = visitor._guest
        assert guest is not None
        assert netns.identity(f"/proc/self/task/{guest.thread.native_id}/ns/net") == home


def test_what_went_wrong_is_raised_and_the_next_question_is_answered(visitor: Visitor) -> None:
    with netns.anonymous() as box:
        with pytest.raises(AcniError, match="entering"):
            visitor.has_interface(evolve(box, fd=-1), "lo")
        assert visitor.has_interface(box, "lo")


def test_who_cannot_come_back_ends_and_another_one_is_asked(visitor: Visitor) -> None:
    with netns.anonymous() as box:
        assert visitor.has_interface(box, "lo")
        guest = visitor._guest
        assert guest is not None
        guest.home.close()
        assert visitor.has_interface(box, "lo")  # it still has its answer
        guest.thread.join(30)
        assert not guest.thread.is_alive()
        assert visitor.has_interface(box, "lo")
        assert visitor._guest is not guest


def test_who_is_interrupted_leaves_the_answer_with_the_thread(visitor: Visitor) -> None:
    """The next question must not be given the answer to this one."""
    with netns.anonymous() as box:
        reached, goes_on = SimpleQueue[None](), SimpleQueue[None]()
        assert visitor.has_interface(box, "lo")
        guest = visitor._guest
        assert guest is not None

        def hang() -> bool:
            reached.put(None)
            goes_on.get(timeout=60)
            return True

        struck = threading.Event()

        def interrupt() -> None:
            reached.get(timeout=60)
            while not struck.wait(0.05):  # one that comes just before it waits does not wake it
                os.kill(os.getpid(), signal.SIGINT)

        def strike(*_: object) -> None:
            if not struck.is_set():
                struck.set()
                raise KeyboardInterrupt

        interrupter = threading.Thread(target=interrupt)
        interrupter.start()
        with at_sigint(strike):
            with pytest.raises(KeyboardInterrupt):
                visitor._ask(hang)
            interrupter.join()
        assert not visitor.has_interface(box, "eth0")
        goes_on.put(None)
        guest.thread.join(30)  # it is left, and ends by itself
        assert not guest.thread.is_alive()


@contextmanager
def at_sigint(handle: Callable[..., None]) -> Iterator[None]:
    """Let a function handle SIGINT, whoever started the tests."""
    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_forked_child_asks_a_thread_of_its_own(visitor: Visitor) -> None:
    with netns.anonymous() as box:
        assert visitor.has_interface(box, "lo")
        assert status_of_child(lambda: visitor.has_interface(box, "lo")) == 0
        assert visitor.has_interface(box, "lo")


def status_of_child(question: Callable[[], bool]) -> int:
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        os._exit(0 if question() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

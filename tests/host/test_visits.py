"""A thread that is in another namespace for a moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from attrs import evolve

from acni import NotPermitted, netns
from acni.host.netns import NetnsIdentity, own
from acni.host.visits import Stranded, visit, visiting

pytestmark = pytest.mark.netns


def here() -> NetnsIdentity:
    return netns.identity("/proc/thread-self/ns/net")


def test_the_function_is_called_there_and_the_thread_is_back() -> None:
    home = here()
    with netns.anonymous() as box:
        assert visit(box.fd, here, path=box.path) == box.identity() != home
        with netns.from_pid(threading.get_native_id()) as known:
            assert visit(box.fd, here, path=box.path, home=known) == box.identity()
    assert here() == home


def test_who_raises_there_is_back_too() -> None:
    home = here()
    with netns.anonymous() as box:
        for error in (ValueError("no"), KeyboardInterrupt()):

            def fail(error: BaseException = error) -> None:
                raise error

            with pytest.raises(type(error)):
                visit(box.fd, fail, path=box.path)
            assert here() == home


def test_where_nobody_gets_in_nothing_is_called() -> None:
    home, called = here(), list[None]()
    with open("/proc/self/ns/mnt") as other, pytest.raises(NotPermitted, match="/proc/self"):  # noqa: PTH123
        visit(other.fileno(), lambda: called.append(None), path="/proc/self/ns/mnt")
    assert (called, here()) == ([], home)


def in_thread(function: Callable[[], object]) -> BaseException | None:
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(function).exception(30)


def test_who_cannot_come_back_is_stopped_by_what_nobody_handles() -> None:
    with netns.anonymous() as box, own() as home:
        lost = evolve(home, fd=-1)
        error = in_thread(lambda: visit(box.fd, here, path=box.path, home=lost))
        assert isinstance(error, Stranded)
        assert not isinstance(error, Exception)

        def fail() -> None:
            raise ValueError("no")

        error = in_thread(lambda: visit(box.fd, fail, path=box.path, home=lost))
        assert isinstance(error, Stranded)
        assert isinstance(error.__context__, ValueError)


def test_a_block_that_is_never_left_in_order_brings_the_thread_back() -> None:
    """An interrupt may come when the thread is there and the block has not begun."""
    home = here()
    with netns.anonymous() as box:
        block = visiting(box.fd, path=box.path)
        block.__enter__()
        assert here() == box.identity()
        del block
        assert here() == home

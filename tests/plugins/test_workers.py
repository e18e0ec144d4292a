"""The threads that run built-in plugins, and those that only wait."""

from __future__ import annotations

import os
import resource
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from threading import Event

import pytest

from acni.errors import Busy
from acni.plugins.workers import Job, Sleepers, Worker
from acni.skel import Bounds

pytestmark = pytest.mark.usefixtures("no_plugin_thread_left")


def closing_time() -> float:
    return time.monotonic() + 20


def test_a_function_that_is_left_is_done_by_another_thread() -> None:
    sleepers, by = Sleepers(), list[int]()
    sleepers.leave(lambda: by.append(threading.get_ident()))
    sleepers.close(closing_time())
    assert by
    assert by != [threading.get_ident()]


def test_one_that_fails_disturbs_nobody() -> None:
    sleepers, done = Sleepers(), list[int]()
    sleepers.leave(lambda: 1 // 0)
    sleepers.leave(lambda: done.append(1))
    sleepers.close(closing_time())
    assert done == [1]


def test_what_finds_no_thread_is_waited_for_by_its_caller() -> None:
    sleepers, go_on, by = Sleepers(), Event(), list[int]()
    for _ in range(32):
        sleepers.leave(lambda: go_on.wait(20))
    sleepers.leave(lambda: by.append(threading.get_ident()))
    assert by == [threading.get_ident()]
    go_on.set()
    sleepers.close(closing_time())


def test_a_thread_that_is_free_is_used_again() -> None:
    sleepers, by, done = Sleepers(), list[int](), Event()

    def note() -> None:
        by.append(threading.get_native_id())
        done.set()

    for _ in range(20):
        done.clear()
        sleepers.leave(note)
        assert done.wait(20)
    sleepers.close(closing_time())
    assert len(set(by)) < 20


def test_where_no_thread_can_be_started_the_caller_waits() -> None:
    sleepers, by = Sleepers(), list[int]()
    before = threading.stack_size(1 << 46)  # more than there is room for
    try:
        sleepers.leave(lambda: by.append(threading.get_ident()))
    finally:
        threading.stack_size(before)
    sleepers.close(closing_time())
    assert by == [threading.get_ident()]


def test_what_is_left_after_closing_is_done() -> None:
    sleepers, go_on, done = Sleepers(), Event(), list[int]()
    sleepers.leave(lambda: go_on.wait(20))
    sleepers.close(time.monotonic())  # without the one that still waits
    go_on.set()
    for thread in threading.enumerate():
        if thread.name == "acni-sleeper":
            thread.join(20)
    sleepers.leave(lambda: done.append(1))
    sleepers.close(closing_time())
    assert done == [1]


def test_a_forked_child_leaves_nothing_to_the_threads_of_its_parent() -> None:
    sleepers, all_there = Sleepers(), threading.Barrier(9)
    for _ in range(8):
        sleepers.leave(lambda: all_there.wait(20))
    all_there.wait(20)
    done = Event()
    sleepers.leave(done.set)  # by then most of the eight are free again
    assert done.wait(20)
    pid = os.fork()
    if pid == 0:
        again = Event()
        sleepers.leave(again.set)
        os._exit(0 if again.wait(5) else 1)
    _, status = os.waitpid(pid, 0)
    sleepers.close(closing_time())
    assert os.waitstatus_to_exitcode(status) == 0


def test_closing_waits_no_longer_than_it_is_told() -> None:
    sleepers, go_on = Sleepers(), Event()
    sleepers.leave(lambda: go_on.wait(20))
    begun = time.monotonic()
    sleepers.close(begun + 0.05)
    assert time.monotonic() - begun < 10
    go_on.set()
    for thread in threading.enumerate():
        if thread.name == "acni-sleeper":
            thread.join(20)


def test_a_forked_child_does_not_use_the_threads_of_its_parent() -> None:
    worker = Worker()
    assert worker.is_usable()
    pid = os.fork()
    if pid == 0:
        os._exit(1 if worker.is_usable() else 0)
    _, status = os.waitpid(pid, 0)
    worker.end()
    worker.join(20)
    assert os.waitstatus_to_exitcode(status) == 0
    assert not worker.is_usable()


def test_a_verb_that_ends_its_thread_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or whoever waits for it would wait for ever."""
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    worker, job = Worker(), Job(sys.exit, Bounds(closing_time()))
    worker.begin(job)
    assert job.ended.wait(20)
    worker.join(20)
    assert not worker.is_usable()


@pytest.mark.parametrize("room", [0, 1])
def test_where_there_is_no_descriptor_left_none_is_kept_for_a_thread_that_is_not_made(
    room: int,
) -> None:
    """It wants two: one that says when a verb has ended, and its namespace."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = _descriptors()
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(before) + 8, hard))
        fillers = [os.open("/dev/null", os.O_RDONLY)]
        while fillers[-1] < max(before) + 7:
            fillers.append(os.open("/dev/null", os.O_RDONLY))
        for fd in fillers[:room]:
            os.close(fd)
        for fd in fillers[room:]:
            stack.callback(os.close, fd)
        with pytest.raises((OSError, Busy)):
            Worker()
    assert _descriptors() == before


def _descriptors() -> set[int]:
    """Return which descriptors are open, but for the one that it takes to look."""
    found = {int(path.name) for path in Path("/proc/self/fd").iterdir()}
    return {fd for fd in found if _is_open(fd)}


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True

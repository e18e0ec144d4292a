"""Calls into a loop's thread, and the end of that thread with the interpreter."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import PIPE

import anyio
import anyio.lowlevel
import pytest

from acni import netns
from acni.blocking.calls import Call, Caller
from acni.blocking.portal import Letter, Portal, open_portal
from acni.errors import RuntimeClosed, StoreError
from acni.testing import Behaviour, RecordingPlugins
from tests.blocking.conftest import SECONDS


@asynccontextmanager
async def something() -> AsyncGenerator[list[str]]:
    """What is open in the loop's thread."""
    done: list[str] = []
    yield done
    await anyio.lowlevel.checkpoint()
    done.append("closed")


@pytest.fixture
def portal(backend: str) -> Iterator[Portal[list[str]]]:
    """A portal with that."""
    with open_portal(something(), backend) as opened:
        yield opened


async def answer() -> int:
    """Answer at once."""
    await anyio.lowlevel.checkpoint()
    return 42


class Struck(Caller):
    """A thread that is interrupted when its call was done, before it took the result."""

    def wait(self, is_over: Callable[[], bool]) -> None:
        super().wait(is_over)
        raise KeyboardInterrupt


def test_what_was_done_too_fast_to_be_cancelled_is_undone(portal: Portal[list[str]]) -> None:
    undone: list[int] = []

    async def undo(value: int) -> None:
        await anyio.sleep(0.05)
        undone.append(value)

    with pytest.raises(KeyboardInterrupt):
        portal.call(answer, undo=undo, caller=Struck())
    assert undone == [42]


def test_what_could_not_be_undone_is_a_note(portal: Portal[list[str]]) -> None:
    async def undo(_: int) -> None:
        await anyio.lowlevel.checkpoint()
        raise StoreError("disk full")

    with pytest.raises(KeyboardInterrupt) as caught:
        portal.call(answer, undo=undo, caller=Struck())
    assert caught.value.__notes__ == ["the undo did not finish: disk full"]


class StruckAtOnce(Caller):
    """A thread that is interrupted once its call is under way."""

    reached: threading.Event

    def wait(self, is_over: Callable[[], bool]) -> None:
        assert not is_over()
        assert self.reached.wait(SECONDS)
        raise KeyboardInterrupt


def test_a_call_that_was_given_up_is_over_when_it_is_left_meanwhile(backend: str) -> None:
    """It is cancelled twice then, and who gave it up still waits for its end."""
    struck = StruckAtOnce()
    struck.reached = threading.Event()
    ended: list[bool] = []

    async def end_late() -> None:
        try:
            struck.reached.set()
            await anyio.sleep_forever()
        finally:
            leaving.start()
            with anyio.CancelScope(shield=True):
                while portal.opened != ["closed"]:  # noqa: ASYNC110 (another thread's doing)
                    await anyio.sleep(0.01)
                await anyio.sleep(0.1)
            ended.append(True)

    with open_portal(something(), backend) as portal:
        leaving = threading.Thread(target=portal.leave)
        with pytest.raises(KeyboardInterrupt):
            portal.call(end_late, caller=struck)
        assert ended
    leaving.join(SECONDS)
    assert not leaving.is_alive()


class StruckBefore(Portal[list[str]]):
    """A portal whose callers are interrupted before their call is on its way."""

    def post(self, letter: Letter) -> bool:
        if isinstance(letter, Call):
            raise KeyboardInterrupt
        return super().post(letter)


def test_a_call_that_never_got_there_is_given_up_at_once(backend: str) -> None:
    portal = StruckBefore(something(), backend)
    portal.start()
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            portal.call(answer)
        portal.leave()


def test_what_a_call_raises_even_a_system_exit_is_raised_here_only(
    portal: Portal[list[str]],
) -> None:
    async def leave() -> None:
        await anyio.lowlevel.checkpoint()
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        portal.call(leave)
    assert portal.call(answer) == 42


def test_what_goes_wrong_at_the_end_is_raised_by_who_leaves(backend: str) -> None:
    @asynccontextmanager
    async def failing() -> AsyncGenerator[None]:
        yield
        await anyio.lowlevel.checkpoint()
        raise StoreError("disk full")

    with pytest.raises(StoreError, match="disk full"), open_portal(failing(), backend):
        pass


def test_calls_that_come_while_it_is_left_are_done_or_refused(backend: str) -> None:
    """Never forgotten: every thread returns."""

    def call() -> None:
        with contextlib.suppress(RuntimeClosed):
            while True:
                assert opened[-1].call(answer) == 42

    opened: list[Portal[list[str]]] = []
    for _ in range(20):
        with open_portal(something(), backend) as portal:
            opened.append(portal)
            threads = [threading.Thread(target=call) for _ in range(8)]
            for thread in threads:
                thread.start()
            portal.call(answer)
        for thread in threads:
            thread.join(SECONDS)
            assert not thread.is_alive()


class Late(deque[Letter]):
    """A letter box whose portal ends between the look at its bell and the first call's letter."""

    def __init__(self, portal: Portal[list[str]]) -> None:
        super().__init__()
        self.portal = portal

    def append(self, letter: Letter) -> None:
        if isinstance(letter, Call):
            self.portal.leave()
        super().append(letter)


def test_a_call_that_comes_just_after_the_end_is_refused(backend: str) -> None:
    with open_portal(something(), backend) as portal:
        portal._letters = Late(portal)
        with pytest.raises(RuntimeClosed):
            portal.call(answer)


def test_a_thread_that_could_not_be_started_is_not_waited_for(backend: str) -> None:
    """Nor one that begins only then: it opens and closes."""
    portal = Portal(something(), backend)
    portal.leave()
    portal.start()
    portal.leave()
    assert portal.opened == ["closed"]
    with pytest.raises(RuntimeClosed):
        portal.call(answer)


def test_it_may_be_left_more_than_once_and_by_any_thread(backend: str) -> None:
    with open_portal(something(), backend) as portal:
        done = portal.opened
        threads = [threading.Thread(target=portal.leave) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)
            assert not thread.is_alive()
    portal.leave()
    assert done == ["closed"]


# --- the interpreter's end ---------------------------------------------------

# What each program begins with; "second" stands still on ADD for as long as a test says.
BEGINNING = """
import os, sys, threading, time
from contextlib import ExitStack
import acni
from acni import blocking, networks

home, plugin_dir, netns, backend = sys.argv[1:5]
network = networks.from_plugins("net", {"type": "first"}, {"type": "second"}, version="1.0.0")
attachment = acni.Attachment(container_id="c1", netns=netns)

def open_one():
    return blocking.open_runtime(
        state_dir=home + "/state", plugin_dirs=[plugin_dir], backend=backend
    )

def add():
    try:
        runtime.add(network, attachment)
    except acni.RuntimeClosed as error:
        print("RuntimeClosed", error.rollback is not None, flush=True)
    else:
        print("added", flush=True)

def add_in_a_thread(*, daemon):
    threading.Thread(target=add, daemon=daemon).start()
    while plugins_run() < 2:
        time.sleep(0.02)

def plugins_run():
    try:
        with open(home + "/plugins/calls") as calls:
            return len(calls.readlines())
    except FileNotFoundError:
        return 0

stack = ExitStack()
runtime = stack.enter_context(open_one())
"""


class Node:
    """A state directory, plugins and a namespace for a program that ends."""

    def __init__(self, home: Path, box: netns.Namespace, backend: str) -> None:
        self.home, self.box, self.backend = home, box, backend
        self.plugins = RecordingPlugins(home / "plugins")
        self.plugins.install("first", "second")

    @property
    def records(self) -> list[str]:
        return [path.name for path in (self.home / "state" / "results").iterdir()]

    def start(self, program: str) -> subprocess.Popen[str]:
        places = (str(self.home), self.plugins.directory, self.box.path, self.backend)
        text = BEGINNING + textwrap.dedent(program)
        argv = [sys.executable, "-W", "error", "-c", text, *places]
        return subprocess.Popen(argv, stdout=PIPE, stderr=PIPE, text=True)

    def run(self, program: str) -> tuple[int, str, str]:
        with self.start(program) as process:
            try:
                stdout, stderr = process.communicate(timeout=200)
            finally:
                process.kill()
        return process.returncode, stdout, stderr

    def wait_for(self, command: str) -> None:
        deadline = time.monotonic() + SECONDS
        while command not in [str(call) for call in self.plugins.calls]:
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.fixture
def node(tmp_path: Path, box: netns.Namespace, backend: str) -> Node:
    """A node on which the plugin "second" takes an hour for an ADD."""
    node = Node(tmp_path, box, backend)
    node.plugins.tell("second", "ADD", Behaviour(seconds=3600))
    return node


ENDS = {
    "falls off": ("", 0, ""),
    "sys.exit": ("sys.exit(3)", 3, ""),
    "raises": ("raise ValueError('mine')", 1, "ValueError: mine"),
}


@pytest.mark.netns
@pytest.mark.parametrize("end", ENDS)
def test_an_interpreter_that_ends_undoes_what_a_daemon_is_at(end: str, node: Node) -> None:
    last_line, expected, said = ENDS[end]
    status, stdout, stderr = node.run(f"add_in_a_thread(daemon=True)\n{last_line}")
    assert (status, stdout) == (expected, "RuntimeClosed True\n"), stderr
    assert said in stderr
    assert bool(stderr) == bool(said)
    assert node.plugins.held == set()
    assert node.records == []


@pytest.mark.netns
@pytest.mark.parametrize("end", ENDS)
def test_a_block_that_ends_so_undoes_what_any_thread_is_at(end: str, node: Node) -> None:
    last_line, expected, _ = ENDS[end]
    status, stdout, stderr = node.run(f"""
        with stack:
            add_in_a_thread(daemon=False)
            {last_line}
    """)
    assert (status, stdout) == (expected, "RuntimeClosed True\n"), stderr
    assert node.plugins.held == set()
    assert node.records == []


@pytest.mark.netns
def test_the_interpreter_waits_for_a_thread_that_is_no_daemon(node: Node) -> None:
    node.plugins.tell("second", "ADD", Behaviour(seconds=1))
    assert node.run("add_in_a_thread(daemon=False)\nsys.exit(0)") == (0, "added\n", "")
    assert node.records == ["net-c1-eth0"]


@pytest.mark.netns
def test_a_thread_that_outlives_the_main_one_goes_on(node: Node) -> None:
    node.plugins.tell("second", "ADD", Behaviour())
    program = """
        def serve():
            threading.main_thread().join()
            time.sleep(1)  # longer than the end of the main thread takes to be seen
            add()
            runtime.delete(attachment)

        threading.Thread(target=serve).start()
    """
    assert node.run(program) == (0, "added\n", "")
    assert node.plugins.held == set()


@pytest.mark.netns
def test_a_block_that_nobody_leaves_is_detached(node: Node) -> None:
    node.plugins.tell("second", "ADD", Behaviour())
    program = """
        other = stack.enter_context(open_one())
        box = stack.enter_context(other.attached(network, "job-1"))
        print(box.result.ipv4)
    """
    assert node.run(program) == (0, "192.0.2.7\n", "")
    assert node.plugins.held == set()
    assert node.records == []


@pytest.mark.netns
def test_a_context_that_is_dropped_is_left(node: Node) -> None:
    program = """
        del stack
        try:
            runtime.debts()
        except acni.RuntimeClosed:
            print("closed")
    """
    assert node.run(program) == (0, "closed\n", "")


@pytest.mark.netns
def test_ctrl_c_ends_the_program_when_its_add_is_undone(node: Node) -> None:
    with node.start("with stack: runtime.add(network, attachment)") as process:
        node.wait_for("ADD second")
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=200)
    assert process.returncode == -signal.SIGINT
    assert stderr.endswith("KeyboardInterrupt\n")
    assert node.plugins.held == set()
    assert node.records == []


@pytest.mark.netns
def test_ctrl_c_at_the_interpreters_end_loses_nothing(node: Node) -> None:
    node.plugins.tell("second", "DEL", Behaviour(seconds=2))
    with node.start("add_in_a_thread(daemon=True)") as process:
        node.wait_for("DEL second")
        for _ in range(3):
            process.send_signal(signal.SIGINT)
            time.sleep(0.1)  # one by one: those that come together are one
        process.communicate(timeout=200)
    assert node.plugins.held == set()
    assert node.records == []


@pytest.mark.netns
def test_a_forked_child_is_refused_and_ends_and_its_parent_goes_on(node: Node) -> None:
    node.plugins.tell("second", "ADD", Behaviour())
    program = """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # threads, and a fork
        with stack:
            child = os.fork()
            if not child:
                add()
                sys.exit(7)
            _, status = os.waitpid(child, 0)
            print(os.waitstatus_to_exitcode(status), flush=True)
            add()
    """
    assert node.run(program) == (0, "RuntimeClosed False\n7\nadded\n", "")

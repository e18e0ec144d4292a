"""Telling a process from every other that ever had its number."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator

import pytest
from attrs import evolve

from acni.host.processes import is_ending, is_gone, own_identity, start_time

NO_PID = 2**22 + 1  # beyond what the kernel gives


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"]) as child:
        yield child
        child.kill()


def test_this_process_is_not_gone() -> None:
    own = own_identity()
    assert own.pid == os.getpid()
    assert own.started == start_time(os.getpid())
    assert not is_gone(own)
    assert not is_ending(own)


def test_another_one_of_the_same_number_is_another_one() -> None:
    own = own_identity()
    assert is_gone(evolve(own, started=own.started - 1))
    assert is_ending(evolve(own, started=own.started - 1))


def test_a_number_that_nobody_has_is_gone() -> None:
    assert start_time(NO_PID) is None
    assert is_gone(evolve(own_identity(), pid=NO_PID))
    assert is_ending(evolve(own_identity(), pid=NO_PID))


def test_a_process_that_has_ended_is_gone_before_anybody_reaps_it(
    child: subprocess.Popen[bytes],
) -> None:
    started = start_time(child.pid)
    assert started is not None
    identity = evolve(own_identity(), pid=child.pid, started=started)
    assert not is_gone(identity)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert start_time(child.pid) is None
    assert is_gone(identity)
    assert is_ending(identity)


def test_one_that_lets_go_of_what_it_has_is_ending_before_it_is_gone() -> None:
    """It tells of its first closed descriptor, and closes many thousand after that."""
    program = (
        "import os, resource; _, most = resource.getrlimit(resource.RLIMIT_NOFILE);"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (most, most));"
        "kept = [os.open('/dev/null', os.O_RDONLY) for _ in range(min(most, 20_000) - 100)];"
        "end = os.dup(1); print('ready', flush=True); os.close(1); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        started = start_time(child.pid)
        assert started is not None
        identity = evolve(own_identity(), pid=child.pid, started=started)
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        assert not is_ending(identity)
        child.kill()
        assert child.stdout.read() == b""
        assert is_ending(identity)


def test_of_one_in_another_namespace_of_numbers_nobody_here_can_say() -> None:
    own = own_identity()
    assert not is_gone(evolve(own, pid=NO_PID, pid_namespace="pid:[1]"))
    assert not is_ending(evolve(own, pid=NO_PID, pid_namespace="pid:[1]"))


@pytest.mark.parametrize("name", [b"a) R 1 1 1 (b", b") Z 0", b"\xff) (", b"a b c"])
def test_a_name_may_hold_anything(name: bytes) -> None:
    """It stands between the number and the state, in parentheses that nobody escapes."""
    program = (
        "import sys; open('/proc/self/comm', 'wb').write(bytes.fromhex(sys.argv[1]));"
        "print('named', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, name.hex()], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        before = start_time(child.pid)
        assert child.stdout is not None
        assert child.stdout.readline() == b"named\n"
        assert start_time(child.pid) == before is not None
        child.communicate(timeout=200)


def test_of_a_process_that_cannot_be_looked_at_just_now_nobody_says_that_it_has_ended() -> None:
    """A runtime without a descriptor left would take a living one for dead."""
    own = own_identity()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        said = is_gone(own), is_ending(own)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert said == (False, False)

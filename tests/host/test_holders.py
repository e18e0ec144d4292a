"""Which processes hold a byte lock, as /proc tells it."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from acni.host.holders import (
    Holders,
    Process,
    all_processes,
    find_holders,
    find_process,
    locks_byte,
    members_of,
    parse_stat,
)
from acni.host.locks import try_lock
from tests.host.dead_runtime import BYTE, DeadRuntime, dead_runtime

SECONDS = 60.0
LINE = b"lock:\t1: OFDLCK  ADVISORY  READ -1 08:01:1234 10 12\n"


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[DeadRuntime]:
    with dead_runtime(tmp_path) as runtime:
        yield runtime


def holders_of(runtime: DeadRuntime, offset: int = BYTE) -> Holders:
    status = os.fstat(runtime.lock)
    return find_holders((status.st_dev, status.st_ino), offset, SECONDS)


def pids_of(processes: tuple[Process, ...]) -> set[int]:
    return {process.pid for process in processes}


def process(pid: int, *, started: int = 100, session: int | None = None) -> Process:
    return Process(pid=pid, started=started, session=pid if session is None else session)


def test_nobody_is_found_where_nobody_holds_it(runtime: DeadRuntime) -> None:
    assert holders_of(runtime) == Holders()


def test_a_holder_is_found_with_its_session_and_command(runtime: DeadRuntime) -> None:
    path = runtime.script("plugin", "echo > ready; read line")
    pid = runtime.starts(path)
    assert runtime.has_written("ready")
    (found,) = holders_of(runtime).processes
    assert (found.pid, found.session) == (pid, pid)
    assert found.command == ("/bin/sh", path)
    assert holders_of(runtime).leaders == (found,)


def test_who_has_inherited_it_is_found_and_so_is_the_leader_that_closed_it(
    runtime: DeadRuntime,
) -> None:
    path = runtime.script("plugin", "sleep 600 & echo $! > child; exec 3>&-; echo > ready; read x")
    leader = runtime.starts(path)
    assert runtime.has_written("ready")
    found = holders_of(runtime)
    assert pids_of(found.processes) == {int((runtime.directory / "child").read_text())}
    assert pids_of(found.leaders) == {leader}


def test_who_has_the_file_open_but_not_the_byte_is_none(
    runtime: DeadRuntime, tmp_path: Path
) -> None:
    assert try_lock(runtime.lock, BYTE + 1)
    other = tmp_path / "other"
    other.touch()
    with other.open("r+b") as same_byte_elsewhere:
        assert try_lock(same_byte_elsewhere.fileno(), BYTE)
        assert holders_of(runtime) == Holders()
    assert pids_of(holders_of(runtime, BYTE + 1).processes) == {os.getpid()}


def test_the_time_for_it_is_bounded(runtime: DeadRuntime) -> None:
    runtime.starts("/bin/cat")
    status = os.fstat(runtime.lock)
    assert find_holders((status.st_dev, status.st_ino), BYTE, -1.0) == Holders()


@contextmanager
def nobody() -> Iterator[None]:
    """Be a user who may not look at other people's processes."""
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="cannot run here: becoming another user")
def test_what_may_not_be_looked_at_is_not_seen(runtime: DeadRuntime) -> None:
    runtime.starts("/bin/cat")
    with nobody():
        assert holders_of(runtime) == Holders()
    assert len(holders_of(runtime).processes) == 1


def test_that_there_are_no_descriptors_is_said(runtime: DeadRuntime) -> None:
    """It does not look as if nobody held the byte."""
    runtime.starts("/bin/cat")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        with pytest.raises(OSError, match="Too many open files") as caught:
            holders_of(runtime)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert caught.value.errno == errno.EMFILE


def test_a_zombie_is_a_process_but_holds_nothing(runtime: DeadRuntime) -> None:
    pid = runtime.starts("/bin/true")
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert find_process(pid) is not None
    assert holders_of(runtime) == Holders()


def test_a_leader_that_is_a_zombie_has_no_command(runtime: DeadRuntime) -> None:
    pid = runtime.starts(runtime.script("plugin", "sleep 600 &"))
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    (leader,) = holders_of(runtime).leaders
    assert (leader.pid, leader.command) == (pid, ())


def test_a_process_that_is_gone_is_none() -> None:
    with subprocess.Popen(["true"]) as child:
        child.wait(timeout=40)
    assert find_process(child.pid) is None


def test_this_process_is_among_all() -> None:
    own = find_process(os.getpid())
    assert own is not None
    assert own.session == os.getsid(0)
    assert own in all_processes()


@pytest.mark.skipif(os.geteuid() != 0, reason="cannot run here: another pid namespace")
def test_the_processes_of_another_pid_namespace_are_not_taken_for_ours() -> None:
    """Their numbers are other processes' here."""
    program = "from acni.host import holders; print(holders.all_processes())"
    command = ["unshare", "--pid", "--fork", sys.executable, "-c", program]
    assert subprocess.check_output(command, timeout=40, env=os.environ) == b"[]\n"


@pytest.mark.parametrize("name", [b"cat", b"", b"a b", b"x) Z 1 1 1", b"((", b"\n) ("])
def test_whatever_a_process_is_called_its_facts_are_read(name: bytes) -> None:
    words = [b"S", *(b"%d" % number for number in range(4, 53))]
    line = b"42 (%s) %s\n" % (name, b" ".join(words))
    assert parse_stat(line) == Process(pid=42, started=22, session=6)


@pytest.mark.parametrize(
    ("line", "offset", "expected"),
    [
        pytest.param(LINE, 9, False, id="before"),
        pytest.param(LINE, 10, True, id="first"),
        pytest.param(LINE, 12, True, id="last"),
        pytest.param(LINE, 13, False, id="after"),
        pytest.param(LINE.replace(b" 12", b" EOF"), 1 << 62, True, id="to the end"),
        pytest.param(LINE.replace(b"READ", b"WRITE"), 10, True, id="exclusive"),
        pytest.param(LINE.replace(b"OFDLCK", b"POSIX "), 10, False, id="POSIX"),
        pytest.param(LINE.replace(b"OFDLCK", b"FLOCK "), 10, False, id="flock"),
        pytest.param(b"pos:\t0\n", 0, False, id="another line"),
        pytest.param(b"\n", 0, False, id="empty line"),
    ],
)
def test_a_line_says_whether_a_byte_is_locked(line: bytes, offset: int, expected: bool) -> None:
    assert locks_byte(line, offset) == expected


def test_who_is_in_a_session_is_selected_whether_its_leader_lives_or_not() -> None:
    leader, child = process(7), process(8, session=7)
    others = [process(1), process(10), process(11, session=10)]
    assert members_of([leader], [leader, child, *others]) == [leader, child]
    assert members_of([leader], [child, *others]) == [child]


def test_the_session_of_who_has_the_leaders_number_by_now_is_another() -> None:
    others = [process(7, started=200), process(8, started=201, session=7)]
    assert members_of([process(7)], others) == []

"""Running one plugin from a thread that waits for it."""

from __future__ import annotations

import errno
import os
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from acni.host.spawn import make_spawner
from acni.host.threadprocess import run_process
from acni.spec.plugin import Caps, Ending, Request, Response
from tests.host.marks import living_with

MIB = 1 << 20


def run(
    directory: Path,
    text: str,
    *,
    seconds: float = 20.0,
    stdin: bytes = b"",
    caps: Caps | None = None,
    seconds_left: Callable[[], float] | None = None,
) -> Response:
    path = directory / "plugin"
    path.write_text(f"#!/bin/sh\n{text}")
    path.chmod(0o755)
    until = time.monotonic() + seconds
    return run_process(
        make_spawner(),
        str(path),
        Request(environment={"MARK": str(directory), "PATH": "/usr/bin:/bin"}, stdin=stdin),
        seconds_left=seconds_left or (lambda: until - time.monotonic()),
        caps=caps or Caps(),
    )


def is_gone(directory: Path) -> bool:
    """Tell whether nothing of a run lives; what is killed may take a moment."""
    until = time.monotonic() + 10
    while living_with(f"MARK={directory}") and time.monotonic() < until:
        time.sleep(0.01)
    return not living_with(f"MARK={directory}")


def test_what_it_reads_and_prints_arrives(tmp_path: Path) -> None:
    response = run(tmp_path, "cat; echo aside >&2; exit 3\n", stdin=b"in")
    assert (response.ending, response.status) == (Ending.EXITED, 3)
    assert (response.stdout, response.stderr) == (b"in", b"aside\n")
    assert response.seconds > 0


def test_a_large_request_and_a_large_answer_arrive(tmp_path: Path) -> None:
    data = b"x" * (3 * MIB)
    response = run(tmp_path, "cat\n", stdin=data, caps=Caps(stdout_bytes=4 * MIB))
    assert response.stdout == data


def test_a_signal_is_told_from_an_exit(tmp_path: Path) -> None:
    response = run(tmp_path, "kill -USR1 $$\n")
    assert (response.ending, response.status) == (Ending.SIGNALLED, signal.SIGUSR1)


def test_over_its_cap_it_is_ended(tmp_path: Path) -> None:
    response = run(tmp_path, "cat /dev/zero\n", caps=Caps(stdout_bytes=1000))
    assert response.ending is Ending.OVER_CAP
    assert len(response.stdout) == 1000


def test_out_of_time_all_of_its_group_is_ended(tmp_path: Path) -> None:
    response = run(tmp_path, "trap '' TERM\nsleep 60 &\nsleep 60\n", seconds=0.2)
    assert response.ending is Ending.OUT_OF_TIME
    assert is_gone(tmp_path)


def test_it_is_asked_again_and_again_whether_it_may_go_on(tmp_path: Path) -> None:
    answers = iter([20.0, 20.0, 20.0])
    response = run(tmp_path, "sleep 60\n", seconds_left=lambda: next(answers, 0.0))
    assert response.ending is Ending.OUT_OF_TIME


def test_after_a_failure_nothing_of_its_group_lives(tmp_path: Path) -> None:
    assert run(tmp_path, "sleep 60 &\nexit 1\n").status == 1
    assert is_gone(tmp_path)


def test_its_exit_ends_the_run_even_when_a_child_holds_its_output(tmp_path: Path) -> None:
    response = run(tmp_path, "echo '{}'\nsleep 60 &\nexit 0\n")
    assert (response.stdout, response.status) == (b"{}\n", 0)
    until = time.monotonic() + 10  # who just executes a program has no environment
    while not (living := living_with(f"MARK={tmp_path}")) and time.monotonic() < until:
        time.sleep(0.01)
    (child,) = living
    os.kill(child, signal.SIGKILL)


def test_what_cannot_be_started_says_so(tmp_path: Path) -> None:
    request = Request(environment={}, stdin=b"")
    response = run_process(
        make_spawner(),
        str(tmp_path / "missing"),
        request,
        seconds_left=lambda: 20.0,
        caps=Caps(),
    )
    assert (response.ending, response.status) == (Ending.NOT_STARTED, errno.ENOENT)


def test_a_host_program_that_reaps_everything_makes_no_success(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert run(tmp_path, "exit 0\n").ending is Ending.LOST
    finally:
        signal.signal(signal.SIGCHLD, before)


@pytest.mark.parametrize("descriptors", [0, 1, 2, 3])
def test_no_descriptor_is_left_when_there_are_too_few(descriptors: int, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 1 + descriptors, hard))
    try:
        response = run_process(
            make_spawner(),
            "/bin/true",
            Request(environment={}, stdin=b""),
            seconds_left=lambda: 20.0,
            caps=Caps(),
        )
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert response.ending in (Ending.NOT_STARTED, Ending.EXITED)

"""The one call that starts a process."""

from __future__ import annotations

import ctypes
import errno
import os
import select
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from acni.host.spawn import NO_DESCRIPTOR, GlibcSpawner, PosixSpawner, Spawner, make_spawner


@pytest.fixture(
    params=[pytest.param(make_spawner, id="glibc"), pytest.param(PosixSpawner, id="posix")]
)
def spawner(request: pytest.FixtureRequest) -> Spawner:
    """The best one here, and the one for other C libraries."""
    made: Spawner = request.param()
    return made


def test_here_the_best_spawner_is_glibcs() -> None:
    assert isinstance(make_spawner(), GlibcSpawner)


def test_what_is_returned_is_a_descriptor_of_the_process(spawner: Spawner) -> None:
    with _spawned(spawner, "/bin/true", {}) as pidfd:
        assert not os.get_inheritable(pidfd)
        assert select.select([pidfd], [], [], 10)[0] == [pidfd]
        ended = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT)
    assert ended is not None
    assert (ended.si_code, ended.si_status) == (os.CLD_EXITED, 0)


def test_the_path_is_the_only_argument(spawner: Spawner, tmp_path: Path) -> None:
    program = _program(tmp_path, 'echo "$# $0"')
    assert _output_of(spawner, program, {}) == f"0 {program}\n".encode()


def test_descriptors_become_0_1_and_2_in_order(spawner: Spawner, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("in", "out", "err")]
    for path in files:
        path.write_bytes(b"given")
    descriptors = [os.open(path, os.O_RDWR | os.O_CLOEXEC) for path in files]
    program = _program(
        tmp_path, "readlink /proc/self/fd/0; out=$(readlink /proc/$$/fd/1); echo $out >&2"
    )
    try:
        with _spawned(spawner, program, {}, descriptors) as pidfd:
            select.select([pidfd], [], [], 10)
    finally:
        for fd in descriptors:
            os.close(fd)
    assert files[1].read_text() == f"{files[0]}\n"
    assert files[2].read_text() == f"{files[1]}\n"


def test_more_than_three_descriptors_are_passed_on(spawner: Spawner, tmp_path: Path) -> None:
    """The next user is a guard byte at 3."""
    program = _program(tmp_path, "exec ls /proc/self/fd")
    guard = os.open("/", os.O_RDONLY | os.O_CLOEXEC)
    try:
        passed = _output_of(spawner, program, {}, [guard]).split()
        # The last is ls's own. posix_spawn also passes on what this process inherited itself.
        assert passed == [b"0", b"1", b"2", b"3", b"4"] or isinstance(spawner, PosixSpawner)
        assert {b"0", b"1", b"2", b"3"} <= set(passed)
    finally:
        os.close(guard)


@pytest.mark.parametrize("count", [0, 1, 5000])
def test_an_environment_of_any_size_is_passed_on(
    spawner: Spawner, tmp_path: Path, count: int
) -> None:
    environment = {f"NAME_{number}": f"={number}" for number in range(count)}
    printed = _output_of(spawner, _program(tmp_path, "cat /proc/$$/environ"), environment)
    expected = [f"{name}={value}".encode() for name, value in environment.items()]
    assert printed.split(b"\0")[:-1] == expected


@pytest.mark.parametrize(
    ("path", "number"),
    [
        pytest.param("/absent", errno.ENOENT, id="absent"),
        pytest.param("/etc", errno.EACCES, id="directory"),
        pytest.param("/etc/hostname/x", errno.ENOTDIR, id="below_a_file"),
        pytest.param("/" + "x" * 300, errno.ENAMETOOLONG, id="too_long"),
    ],
)
def test_what_cannot_be_started_is_an_error_with_its_number(
    spawner: Spawner, path: str, number: int
) -> None:
    pidfd = ctypes.c_int(NO_DESCRIPTOR)
    with pytest.raises(OSError, match=r".") as caught:
        spawner.spawn(path, {}, (), pidfd)
    assert (caught.value.errno, caught.value.filename) == (number, path)
    assert pidfd.value == NO_DESCRIPTOR


def test_a_path_with_nul_is_refused_not_cut_short(spawner: Spawner) -> None:
    with pytest.raises(ValueError, match="NUL"):
        spawner.spawn("/bin/true\0.safe", {}, (), ctypes.c_int(NO_DESCRIPTOR))


def test_one_spawner_starts_many(spawner: Spawner, tmp_path: Path) -> None:
    program = _program(tmp_path, "echo $NUMBER")
    for number in range(20):
        assert _output_of(spawner, program, {"NUMBER": str(number)}) == f"{number}\n".encode()


def _program(tmp_path: Path, script: str) -> str:
    path = tmp_path / "program"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def _output_of(
    spawner: Spawner, path: str, environment: Mapping[str, str], others: list[int] | None = None
) -> bytes:
    read_end, write_end = os.pipe()
    null = os.open(os.devnull, os.O_RDWR)
    descriptors = [null, write_end, null, *(others or [])]
    try:
        with _spawned(spawner, path, environment, descriptors):
            os.close(write_end)
            with os.fdopen(read_end, "rb") as output:
                return output.read()
    finally:
        os.close(null)


@contextmanager
def _spawned(
    spawner: Spawner,
    path: str,
    environment: Mapping[str, str],
    descriptors: list[int] | None = None,
) -> Iterator[int]:
    owned = ctypes.c_int(NO_DESCRIPTOR)
    spawner.spawn(path, environment, descriptors or (), owned)
    pidfd = owned.value
    try:
        yield pidfd
    finally:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
        os.close(pidfd)


def test_posix_spawn_ends_what_it_can_get_no_descriptor_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The autouse fixture sees a child that is left."""
    started: list[int] = []

    def refuse(pid: int) -> int:
        started.append(pid)
        raise OSError(errno.ENFILE, "no room")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    pidfd = ctypes.c_int(NO_DESCRIPTOR)
    with pytest.raises(OSError, match="no room"):
        PosixSpawner().spawn(_program(tmp_path, "sleep 30 & sleep 30"), {}, (), pidfd)
    assert len(started) == 1
    assert _is_gone(started[0])


def _is_gone(group: int) -> bool:
    """Tell whether nothing of a group is left: what was killed needs a moment."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False

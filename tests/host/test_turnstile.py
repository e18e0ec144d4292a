"""A fair lock between processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import anyio
import pytest

from acni.host.locks import STAGES, is_held, try_lock, unlock
from acni.host.turnstile import Pace, pass_through, try_pass
from acni.testing import cancelled_at
from tests.host.asking import Counted

LOCK: Final = 100
FRONT: Final = 200
BACK: Final = FRONT + STAGES - 1
# Some places of it, from the end.
LINE: Final = (BACK, BACK - 1, FRONT, LOCK)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "lock"
    path.touch()
    return path


@contextmanager
def opened(path: Path, count: int) -> Iterator[list[int]]:
    """Descriptions, each of which the kernel takes for another process."""
    fds = [os.open(path, os.O_RDWR | os.O_CLOEXEC) for _ in range(count)]
    try:
        yield fds
    finally:
        for fd in fds:
            os.close(fd)


@pytest.mark.anyio
async def test_a_free_lock_is_taken_without_a_checkpoint_and_alone(path: Path) -> None:
    with opened(path, 2) as (one, other):
        assert await cancelled_at(1, pass_through(one, LOCK, FRONT, Pace())) == (0, False)
        assert is_held(other, LOCK)
        assert not is_held(other, FRONT, STAGES)
        assert not try_pass(other, LOCK, FRONT)


@pytest.mark.anyio
@pytest.mark.parametrize("stage", [FRONT, FRONT + 1, BACK])
async def test_a_newcomer_does_not_pass_who_waits(path: Path, stage: int) -> None:
    with opened(path, 2) as (one, other):
        assert try_lock(other, stage)
        assert not try_pass(one, LOCK, FRONT)
        with anyio.move_on_after(0.02) as scope:
            await pass_through(one, LOCK, FRONT, Pace())
        assert scope.cancelled_caught
        assert not is_held(other, LOCK)


@pytest.mark.anyio
async def test_who_waits_has_the_lock_and_nothing_of_the_line_in_the_end(path: Path) -> None:
    with opened(path, 3) as (one, other, looker):
        assert try_lock(other, LOCK)

        async def let_go() -> None:
            await anyio.wait_all_tasks_blocked()
            assert is_held(other, FRONT)
            unlock(other, LOCK)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(let_go)
            await pass_through(one, LOCK, FRONT, Pace())
        assert is_held(looker, LOCK)
        assert not is_held(looker, FRONT, STAGES)


@pytest.mark.anyio
async def test_who_is_cancelled_at_any_place_in_line_holds_nothing(path: Path) -> None:
    """The line moves one place after the other: it is waited for before and at every place."""
    places = set[int]()
    point, suspensions = 0, 0
    with opened(path, 3) as (one, other, looker):
        while suspensions >= point:
            point += 1
            for byte in LINE:
                assert try_lock(other, byte)
            async with anyio.create_task_group() as tasks:
                pace = Counted()
                tasks.start_soon(move, other, places, pace)
                suspensions, was_cancelled = await cancelled_at(
                    point, pass_through(one, LOCK, FRONT, pace)
                )
                tasks.cancel_scope.cancel()
            for byte in LINE:
                unlock(other, byte)
            assert is_held(looker, LOCK) != was_cancelled
            assert not is_held(looker, FRONT, STAGES)
            unlock(one, LOCK)
    assert places == {0, BACK, FRONT + 1, FRONT}


async def move(fd: int, places: set[int], pace: Counted) -> None:
    """Let the line move once who waits has asked in vain, and see where it stands."""
    for byte in LINE:
        await pace.has_asked(pace.in_vain + 1)
        stages = [each for each in range(byte + 1, BACK + 1) if is_held(fd, each)]
        places.add(min(stages, default=0))
        unlock(fd, byte)


@pytest.mark.anyio
async def test_an_error_leaves_nothing_held(path: Path) -> None:
    with opened(path, 2) as (one, other):
        assert try_lock(other, LOCK)
        closed = os.dup(one)
        os.close(closed)
        with pytest.raises(OSError, match="Bad file descriptor"):
            await pass_through(closed, LOCK, FRONT, Pace())
        assert not is_held(other, FRONT, STAGES)


@pytest.mark.trio
async def test_the_more_wait_the_more_seldom_each_of_them_asks(autojump_clock: object) -> None:
    async def asked_in_a_second(waiting: int) -> int:
        pace = Pace()
        asked = 0

        def ask() -> None:
            nonlocal asked
            asked += 1

        async with anyio.create_task_group() as tasks:
            for _ in range(waiting):
                tasks.start_soon(pace.ask, ask)
            await anyio.sleep(1)
            tasks.cancel_scope.cancel()
        assert pace.waiting == 0
        return asked

    assert 300 < await asked_in_a_second(1) < 400
    assert await asked_in_a_second(2000) < 40_000


# --- between processes

WORKER: Final = """
import os, sys, time
import anyio
from acni.host.turnstile import Pace, pass_through
from acni.host.locks import unlock

async def main(path, log, turns, lock, stages):
    fd = os.open(path, os.O_RDWR)
    written = os.open(log, os.O_WRONLY | os.O_APPEND)

    class Noting(Pace):
        async def ask(self, attempt):
            noted = False

            def noting():
                nonlocal noted
                answer = attempt()
                if not answer and not noted:  # it stands in line from now on
                    os.write(written, b"waits %d\\n" % os.getpid())
                    noted = True
                return answer

            return await super().ask(noting)

    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(turns):
        await pass_through(fd, lock, stages, Noting())
        os.write(written, b"has %d\\n" % os.getpid())
        time.sleep(0.002)
        unlock(fd, lock)

anyio.run(main, sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]), backend="BACKEND")
"""


@contextmanager
def workers(path: Path, log: Path, turns: Sequence[int], loop: str) -> Iterator[list[Process]]:
    """Processes that take turns, once they are told to begin; killed in the end."""
    with ExitStack() as stack:
        found = [stack.enter_context(worker(path, log, each, loop)) for each in turns]
        for each in found:
            assert each.stdout is not None
            assert each.stdout.readline() == b"ready\n"
        yield found


Process = subprocess.Popen[bytes]


@contextmanager
def worker(path: Path, log: Path, turns: int, loop: str) -> Iterator[Process]:
    program = WORKER.replace("BACKEND", loop)
    arguments = [str(each) for each in (path, log, turns, LOCK, FRONT)]
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def begin(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_nobody_is_passed_often(tmp_path: Path, path: Path, loop: str) -> None:
    """Who lets go and asks again at once would have the lock again before anybody else asks."""
    log = tmp_path / "log"
    log.touch()
    with workers(path, log, [40] * 4, loop) as processes:
        for each in processes:
            begin(each)
        for each in processes:
            assert each.wait(timeout=200) == 0
    lines = log.read_text().splitlines()
    assert sum(line.startswith("has") for line in lines) == 160
    assert sum(line.startswith("waits") for line in lines) > 20
    # Three are before whoever comes last, and each may just have found the line empty.
    assert most_passed(lines) <= 6


def most_passed(lines: list[str]) -> int:
    """Return how many turns others had, at most, while one stood in line."""
    passed = Counter[str]()
    most = 0
    for line in lines:
        what, who = line.split()
        if what == "waits":
            passed[who] = 0
        else:
            most = max(most, passed.pop(who, 0))
            passed.update(passed.keys())
    return most


@pytest.mark.anyio
async def test_who_is_killed_in_line_or_with_the_lock_is_waited_for_no_longer(
    tmp_path: Path, path: Path
) -> None:
    log = tmp_path / "log"
    log.touch()
    with workers(path, log, [100_000] * 3, "asyncio") as processes, opened(path, 1) as (fd,):
        for each in processes:
            begin(each)
        with anyio.fail_after(30):
            while not is_held(fd, FRONT, STAGES):  # noqa: ASYNC110 (other processes stand there)
                await anyio.sleep(0.001)
            await pass_through(fd, LOCK, FRONT, Pace())
        for each in processes:
            each.send_signal(signal.SIGSTOP)  # wherever they stand
        unlock(fd, LOCK)
        for each in processes:
            each.kill()
            each.wait(timeout=30)
        assert try_pass(fd, LOCK, FRONT)

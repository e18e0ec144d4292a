"""A command inside a namespace, started by a process of its own; more in tests/cli/test_run.py."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest

pytestmark = pytest.mark.netns

# Attends the command that its arguments name, on the loop that the first one names.
ATTEND = """if True:
    import sys
    import anyio
    from acni.errors import AcniError
    from acni.host import command, netns
    from acni.host.arrivals import arrivals

    async def main(argv, arrived):
        with netns.anonymous() as box:
            blocked = arrived.blocked
            started = command.start(argv, box.path, blocked=blocked, grace_seconds=0.2)
            async with anyio.create_task_group() as tasks:
                async def serve():
                    while True:
                        await anyio.wait_readable(arrived.fd)
                        for arrival in arrived.read():
                            started.take(arrival)
                tasks.start_soon(serve)
                status = await started.wait()
                tasks.cancel_scope.cancel()
        return status

    loop, *argv = sys.argv[1:]
    with arrivals(command.WATCHED) as arrived:
        print(anyio.run(main, argv, arrived, backend=loop))
"""

STATUSES = [
    pytest.param(["sh", "-c", "exit 7"], 7, id="exit"),
    pytest.param(["sh", "-c", "kill -TERM $$"], 143, id="signal"),
    pytest.param(["sh", "-c", "trap '' TERM; kill -TERM $PPID; sleep 1000"], 137, id="told to end"),
    pytest.param(
        ["sh", "-c", "trap 'exit 5' USR1; kill -USR1 $PPID; sleep 9 & wait"], 5, id="told"
    ),
    pytest.param(["no-such-program"], 127, id="not found"),
    pytest.param(["/"], 126, id="not executable"),
]


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
@pytest.mark.parametrize(("argv", "status"), STATUSES)
def test_its_end_is_told_as_a_shell_tells_it(loop: str, argv: Sequence[str], status: int) -> None:
    assert _attend(loop, *argv) == [str(status)]


def test_it_finds_the_signals_as_its_callers_caller_left_them() -> None:
    script = "import signal; print(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])))"
    assert _attend("asyncio", sys.executable, "-c", script) == ["[]", "0"]


def _attend(loop: str, *argv: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", ATTEND, loop, *argv],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


# Cancels the waiting for a command that has left a child, with nobody to tell of signals.
CANCEL = """if True:
    import os
    import sys
    import anyio
    from acni.host import command, netns
    from acni.host.arrivals import arrivals

    async def main(arrived):
        argv = ["sh", "-c", "setsid sleep 1234 2>&- & echo $!; exec sleep 1234 2>&-"]
        with netns.anonymous() as box:
            blocked = arrived.blocked
            started = command.start(argv, box.path, blocked=blocked, grace_seconds=0.2)
            told = await anyio.to_thread.run_sync(os.read, piped[0], 100)
            with anyio.CancelScope() as scope:
                scope.cancel()
                await started.wait()
            for pid in (started.pid, int(told)):
                try:
                    os.kill(pid, 0)
                except ProcessLookupError:
                    print("gone", file=sys.stderr)

    piped = os.pipe()
    os.dup2(piped[1], 1)
    with arrivals(command.WATCHED) as arrived:
        anyio.run(main, arrived, backend=sys.argv[1])
"""


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_nothing_of_a_command_outlives_who_was_cancelled(loop: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CANCEL, loop], capture_output=True, timeout=200, check=False
    )
    assert done.stderr.split() == [b"gone", b"gone"]

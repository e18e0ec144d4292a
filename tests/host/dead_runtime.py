"""A runtime that is gone, and the plugins that it left running."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from attrs import define, field

from acni.host.locks import try_lock
from tests.host.marks import living_with

BYTE: Final = (1 << 61) + 7
GUARD: Final = 3


@define(eq=False)
class DeadRuntime:
    """Starts plugins as a runtime does that dies at once: in a session of their own, with the guard
    byte held shared by their descriptor 3, which nobody else has.

    Attributes:
        directory: Where the plugins lie and run; they write their files there.
        lock: A descriptor of who takes over.
    """

    directory: Path
    lock: int
    children: list[int] = field(factory=list, init=False)
    _ends: list[int] = field(factory=list, init=False)

    @property
    def mark(self) -> str:
        """A variable of their environment that no other process has."""
        return f"ACNI_TEST_MARK={self.directory}"

    def script(self, name: str, script: str) -> str:
        """Install a plugin that is a shell script."""
        return self.program(name, f"#!/bin/sh\ncd {self.directory}\n{script}\n".encode())

    def program(self, name: str, content: bytes) -> str:
        """Install a plugin."""
        path = self.directory / name
        path.write_bytes(content)
        path.chmod(0o755)
        return str(path)

    @contextmanager
    def guard(self) -> Iterator[int]:
        """Hold the guard byte, and close it in the end as the kernel does for who is killed."""
        guard = os.open(self.directory / "lock", os.O_RDWR | os.O_CLOEXEC)
        try:
            assert try_lock(guard, BYTE, shared=True)
            yield guard
        finally:
            os.close(guard)

    def starts(self, path: str, *arguments: str, own_session: bool = True) -> int:
        """Start a plugin and die."""
        with self.guard() as guard:
            return self.starts_with(guard, path, *arguments, own_session=own_session)

    def starts_with(self, guard: int, path: str, *arguments: str, own_session: bool = True) -> int:
        """Start a plugin, whose standard input does not end."""
        request, end = os.pipe2(os.O_CLOEXEC)
        self._ends.append(end)
        name, _, value = self.mark.partition("=")
        try:
            pid = os.posix_spawn(
                path,
                [path, *arguments],
                {name: value, "PATH": os.environ["PATH"]},
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, request, 0),
                    (os.POSIX_SPAWN_DUP2, guard, GUARD),
                ],
                setsid=own_session,
            )
        finally:
            os.close(request)
        self.children.append(pid)
        return pid

    def close_inputs(self) -> None:
        """End the standard inputs."""
        while self._ends:
            os.close(self._ends.pop())

    def has_written(self, name: str) -> bool:
        """Wait until a plugin has written a file."""
        return wait_until((self.directory / name).exists)

    def living(self) -> set[int]:
        """Return the processes that came of the plugins; a zombie has no environment."""
        return living_with(self.mark)

    def exit_code(self, pid: int) -> int:
        """Reap a plugin and return its exit code; that of a signal is negative."""
        assert wait_until(lambda: _is_zombie(pid)), "it has not ended"
        self.children.remove(pid)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def clean(self) -> None:
        """Kill all that came of the plugins, and reap them."""
        self.close_inputs()
        for pid in self.living():
            os.kill(pid, signal.SIGKILL)
        for pid in list(self.children):
            self.exit_code(pid)


@contextmanager
def dead_runtime(directory: Path) -> Iterator[DeadRuntime]:
    """Make the runtime, and clean up behind it."""
    (directory / "lock").touch()
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CLOEXEC)
    runtime = DeadRuntime(directory, lock)
    try:
        yield runtime
    finally:
        runtime.clean()
        os.close(lock)


def wait_until(condition: Callable[[], bool]) -> bool:
    """Wait half a minute at most for what will surely come."""
    until = time.monotonic() + 30
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.001)
    return True


def _is_zombie(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

"""A person's command inside a network namespace: it has the terminal and the signals, and nothing
that it started outlives it.

Rule 1: it stays in the process group of its caller, so that job control and pipelines work as if
    there were nobody between. What a terminal sends it has already; what a process sent to the
    caller alone is passed on.
Rule 2: it ends with its caller, however that ends (PR_SET_PDEATHSIG), unless it is setuid. Where
    the caller was killed, what it started itself lives on: only a namespace of processes would end
    that for certain, and is not made unasked. Inside, processes outside are not to be seen, and
    files that hold the number of who locked them, which are the same outside, would be taken for
    stale; an own /proc, which many containers forbid, would change only what is shown.
Rule 3: what its descendants leave running is adopted, and killed at its end: a namespace whose
    address is taken away is nothing to run in.
Rule 4: once it was told to end, every wait has a bound.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import anyio
from attrs import Factory, define, field

from acni.errors import machine_error
from acni.host.arrivals import Arrival
from acni.host.libc import adopt_orphans
from acni.host.processes import words_of_stat

ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
# Those that would end the caller, and the one that tells of a new size of the terminal.
WATCHED: Final = (*ENDING, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH, signal.SIGCHLD)

# The statuses of a shell, and of env(1) where it fails itself.
FAILED: Final = 125
NOT_EXECUTABLE: Final = 126
NOT_FOUND: Final = 127

# SIGINT is none of these: a command may go on after Ctrl-C.
_LAST_WORDS: Final = (signal.SIGTERM, signal.SIGHUP)
# For what was killed to be gone, unless the kernel holds it.
_GONE_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.05

# Where in the words behind a process's name in /proc/<pid>/stat its parent stands.
_PARENT: Final = 1

# A process of its own until it is the command: no thread of the caller enters the namespace, and
# the thread that is the parent, whose end PR_SET_PDEATHSIG watches, is the one that stays.
_BECOME: Final = f"""\
import ctypes, os, signal, sys
place, parent, blocked, *argv = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
if libc.setns(fd, 0x40000000):
    print("acni: run:", os.strerror(ctypes.get_errno()), file=sys.stderr)
    sys.exit({FAILED})
libc.prctl(1, signal.SIGKILL, 0, 0, 0)
if os.getppid() != int(parent):
    sys.exit({FAILED})
for number in (signal.SIGPIPE, signal.SIGXFSZ):
    signal.signal(number, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_SETMASK, map(int, blocked.split()))
try:
    os.execvp(argv[0], argv)
except OSError as error:
    print(f"acni: run: {{argv[0]}}: {{error.strerror}}", file=sys.stderr)
    sys.exit({NOT_FOUND} if isinstance(error, FileNotFoundError) else {NOT_EXECUTABLE})
"""


@define(eq=False)
class Command:
    """A command that was started."""

    pid: int
    _grace_seconds: float
    _status: int | None = field(default=None, init=False)
    _ended: anyio.Event = field(default=Factory(anyio.Event), init=False)
    _reaped: anyio.Event = field(default=Factory(anyio.Event), init=False)
    _patience: anyio.CancelScope = field(default=Factory(anyio.CancelScope), init=False)

    def take(self, arrival: Arrival) -> None:
        """Do what an arriving signal asks for."""
        if arrival.signal is signal.SIGCHLD:
            self._reap()
            return
        if not arrival.is_from_kernel:
            self._send(arrival.signal)
        if arrival.signal in _LAST_WORDS:
            last = anyio.current_time() + self._grace_seconds
            self._patience.deadline = min(self._patience.deadline, last)

    async def wait(self) -> int:
        """Wait for its end, and end what it left; cancelled, end it as well.

        Returns:
            Its exit status; 128 and the number of the signal that ended it.
        """
        try:
            with self._patience:
                await self._ended.wait()
        except BaseException:
            self._send(signal.SIGKILL)
            with anyio.move_on_after(_GONE_SECONDS, shield=True):
                await self._kill_rest()
            raise
        if self._status is None:
            self._send(signal.SIGKILL)
            with anyio.move_on_after(_GONE_SECONDS):
                await self._ended.wait()
        with anyio.move_on_after(_GONE_SECONDS):
            await self._kill_rest()
        return 128 + signal.SIGKILL if self._status is None else self._status

    async def _kill_rest(self) -> None:
        while rest := _children():
            for pid in rest:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            self._reaped = anyio.Event()
            with anyio.move_on_after(_LOOK_SECONDS):
                await self._reaped.wait()
            self._reap()  # whoever tells of signals may have ended

    def _send(self, number: signal.Signals) -> None:
        if self._status is None:  # not reaped: the number is its own
            with contextlib.suppress(PermissionError):  # a setuid program
                os.kill(self.pid, number)

    def _reap(self) -> None:
        """Take the status of every child that ended; adopted ones have no other parent."""
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = ended
                if pid == self.pid:
                    code = os.waitstatus_to_exitcode(status)
                    self._status = code if code >= 0 else 128 - code
                    self._ended.set()
        self._reaped.set()


def start(
    argv: Sequence[str],
    netns: str,
    *,
    blocked: frozenset[signal.Signals],
    grace_seconds: float,
) -> Command:
    """Start a command inside a namespace, from the main thread, while no other child is waited for.

    Its standard streams, directory, environment and process group are this process's.

    Args:
        argv: The command and its arguments.
        netns: The path of the namespace.
        blocked: The signals that it finds blocked.
        grace_seconds: How long it may go on once it was told to end.

    Raises:
        Busy: no process can be started.
    """
    adopt_orphans(is_wanted=True)
    numbers = " ".join(str(int(number)) for number in blocked)
    program = [sys.executable, "-IS", "-c", _BECOME, netns, str(os.getpid()), numbers, *argv]
    # With the caller's signals blocked: what arrives now waits until the command is there.
    try:
        pid = os.posix_spawn(sys.executable, program, os.environ)
    except OSError as error:
        raise machine_error(error, "the command") from error
    return Command(pid, grace_seconds)


def _children() -> list[int]:
    """List the children of this process."""
    own = str(os.getpid()).encode()
    return [
        pid for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))) if _parent(pid) == own
    ]


def _parent(pid: int) -> bytes | None:
    try:
        return words_of_stat(Path(f"/proc/{pid}/stat").read_bytes())[_PARENT]
    except OSError:
        return None

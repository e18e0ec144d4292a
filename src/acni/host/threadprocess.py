"""Running one plugin from a thread that waits for it: what a plugin in this process delegates to.

The event loop's way (:mod:`acni.host.process`) without the loop, and plainer: no turns, no control
groups. The thread starts the process where it is, so in the network namespace that it is in.

Rule 1: the request is there before the process is.
Rule 2: the exit ends the run; the leader is reaped last, so that its group can be ended by number.
Rule 3: after anything but a success its process group is killed.

(specification, section 4)
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
from collections.abc import Callable
from time import monotonic, perf_counter
from typing import Final

from attrs import define, field

from acni.host.files import close_all
from acni.host.pipes import Output, bytes_in, guard_copy, output_pipe, pid_of, request_end
from acni.host.spawn import NO_DESCRIPTOR, Spawner
from acni.spec.plugin import Caps, Ending, Request, Response

# Between two looks whether it may go on: who is cancelled waits for no longer.
_STEP_SECONDS: Final = 0.05
_CHUNK: Final = 1 << 16
_GRACE_SECONDS: Final = 1.0
# A killed process is gone in less, unless it is in an uninterruptible sleep.
_REAP_SECONDS: Final = 5.0


def run_process(
    spawner: Spawner,
    path: str,
    request: Request,
    *,
    seconds_left: Callable[[], float],
    caps: Caps,
    guard: int | None = None,
) -> Response:
    """Run an executable and wait for it.

    Args:
        spawner: Starts it.
        path: The executable.
        request: Its environment and standard input.
        seconds_left: Says how long it may still go on; asked many times a second.
        caps: How much output is taken.
        guard: A descriptor that it inherits, or None.

    Returns:
        The response, whatever it did.
    """
    began = perf_counter()
    opened: list[int] = []
    child: _Child | None = None
    try:
        try:
            child = _started(spawner, path, request, caps=caps, guard=guard, opened=opened)
        except ProcessLookupError:  # somebody else reaped it at once
            return Response(ending=Ending.LOST)
        except OSError as error:
            return Response(ending=Ending.NOT_STARTED, status=error.errno or 0)
        ending, status = child.wait(seconds_left)
        return Response(
            ending=ending,
            status=status,
            stdout=bytes(child.stdout.data),
            stderr=bytes(child.stderr.data),
            seconds=perf_counter() - began,
        )
    finally:
        if child is not None:
            child.close()
        close_all(*opened)


def _started(
    spawner: Spawner,
    path: str,
    request: Request,
    *,
    caps: Caps,
    guard: int | None,
    opened: list[int],
) -> _Child:
    ends = [request_end(request.stdin, opened)]
    stdout, stdout_end = output_pipe(opened)
    stderr, stderr_end = output_pipe(opened)
    ends += [stdout_end, stderr_end]
    if guard is not None:
        ends.append(guard_copy(guard, opened))
    pidfd = ctypes.c_int(NO_DESCRIPTOR)
    spawner.spawn(path, request.environment, ends, pidfd)
    for end in ends:
        opened.remove(end)
    close_all(*ends)
    return _Child(
        pidfd=pidfd.value,
        stdout=Output(stdout, caps.stdout_bytes, keeps_tail=False),
        stderr=Output(stderr, caps.stderr_bytes, keeps_tail=True),
    )


@define(eq=False, repr=False, kw_only=True)
class _Child:
    """A process of ours until it is reaped."""

    pidfd: int
    stdout: Output
    stderr: Output
    _is_reaped: bool = field(default=False, init=False)

    def wait(self, seconds_left: Callable[[], float]) -> tuple[Ending, int]:
        """Wait for the exit; end the process when it is out of time or over its cap."""
        while (left := seconds_left()) > 0:
            if self._exits_within(min(left, _STEP_SECONDS), is_capped=True):
                return self._reap()
            if self.stdout.is_over:
                self._end(0.0)
                return Ending.OVER_CAP, 0
        self._end(_GRACE_SECONDS)
        return Ending.OUT_OF_TIME, 0

    def close(self) -> None:
        """Let go of it; what an error left alive is killed."""
        try:
            if not self._is_reaped:
                self._end(0.0)
        finally:
            os.close(self.pidfd)

    def _exits_within(self, seconds: float, *, is_capped: bool = False) -> bool:
        """Wait for the exit, reading what is printed meanwhile; tell whether it came. It is not
        waited for any longer where standard output goes over its cap.
        """
        poll = select.poll()
        streams = {stream.fd: stream for stream in (self.stdout, self.stderr)}
        for fd in (self.pidfd, *streams):
            poll.register(fd, select.POLLIN)
        until = monotonic() + seconds
        while True:
            left = until - monotonic()
            ready = {fd for fd, _ in poll.poll(max(0.0, left) * 1000)}
            for fd in ready & streams.keys():
                if streams[fd].read(_CHUNK):
                    poll.unregister(fd)
                    del streams[fd]
            if self.pidfd in ready:
                return True
            if left <= 0 or (is_capped and self.stdout.is_over):
                return False

    def _reap(self) -> tuple[Ending, int]:
        for stream in (self.stdout, self.stderr):
            stream.read(bytes_in(stream.fd))
        try:
            info = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOWAIT)
            if info is None:
                return Ending.LOST, 0
            has_exited = info.si_code == os.CLD_EXITED
            if not (has_exited and info.si_status == 0):
                self._signal(signal.SIGKILL)
            os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)
        except ChildProcessError:  # somebody else was faster: it is no success
            return Ending.LOST, 0
        finally:
            self._is_reaped = True
        if self.stdout.is_over:
            return Ending.OVER_CAP, 0
        return Ending.EXITED if has_exited else Ending.SIGNALLED, info.si_status

    def _end(self, grace_seconds: float) -> None:
        """End the process group: TERM, grace, KILL; then reap the leader."""
        if grace_seconds > 0:
            self._signal(signal.SIGTERM)
            self._exits_within(grace_seconds)
        self._signal(signal.SIGKILL)
        if self._exits_within(_REAP_SECONDS):
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)
        self._is_reaped = True

    def _signal(self, number: signal.Signals) -> None:
        """Signal the group of a process that is not reaped, so that its number is its own."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid_of(self.pidfd), number)

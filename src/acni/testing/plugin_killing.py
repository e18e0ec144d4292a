"""A plugin killed in the middle of an ADD, as a process is: nothing is undone.

Functions are killed before calls that change something, in a child of this process; an executable
at moments spread over the time that an ADD takes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from types import FrameType
from typing import Final

from acni.host import netns
from acni.skel.call import Verbs
from acni.spec.plugin import Request
from acni.testing.plugin_bench import BenchContainer, PluginBench

# What changes something, and locks; by their names in C, as a profiler sees them.
_CALLS: Final = frozenset(
    (
        *("open", "mkdir", "rename", "replace", "link", "symlink", "unlink", "rmdir", "write"),
        *("pwrite", "ftruncate", "utime", "chmod", "flock", "lockf"),
        *("send", "sendto", "sendmsg", "ioctl"),
    )
)
_KILLED: Final = 9
_NEVER: Final = sys.maxsize
_SECONDS: Final = 60.0


def kill_points(bench: PluginBench, *, most: int = 64) -> tuple[float, ...]:
    """Find points at which an ADD can be killed, spread over it from its beginning on.

    Args:
        bench: The plugin.
        most: How many at most; of an executable a quarter of that.

    Returns:
        The numbers of calls, for functions; seconds, for an executable.

    Example:
        >>> with testing.PluginBench(acni.BuiltIns().plugins["loopback"], {}) as bench:
        ...     testing.kill_points(bench)[0]
        0
    """
    box = bench.container()
    began = time.monotonic()
    try:
        if isinstance(bench.plugin, Verbs):
            _, calls = _forked(bench, bench.request("ADD", box), at=_NEVER)
            return tuple(range(0, calls, max(1, -(-calls // most))))
        bench.run("ADD", box)
        seconds, moments = time.monotonic() - began, max(1, most // 4)
        return tuple(seconds * number / moments for number in range(moments))
    finally:
        bench.run("DEL", box)


def add_killed(bench: PluginBench, container: BenchContainer, *, at: float) -> bool:
    """Begin an ADD and kill it.

    Args:
        bench: The plugin.
        container: What it adds to.
        at: One of :func:`kill_points`.

    Returns:
        Whether it was killed; else it had ended before.

    Example:
        >>> with testing.PluginBench(acni.BuiltIns().plugins["loopback"], {}) as bench:
        ...     box = bench.container()
        ...     testing.add_killed(bench, box, at=0), bench.run("DEL", box).status
        (True, 0)
    """
    request = bench.request("ADD", container)
    if isinstance(bench.plugin, Verbs):
        killed, _ = _forked(bench, request, at=int(at))
        return killed
    path = os.fspath(bench.plugin)
    return bench.host.call(lambda: _run_killed(path, request, at))


def _forked(bench: PluginBench, request: Request, *, at: int) -> tuple[bool, int]:
    """Ask functions in a child that dies before a call; return whether it did, and how many calls
    there were.
    """
    read, write = os.pipe()
    try:
        with warnings.catch_warnings():
            # The child runs nothing but the plugin, and ends.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            _be_child(bench, request, at, write)
        os.close(write)
        write = -1
        counted = os.read(read, 20)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        os.close(read)
        if write >= 0:
            os.close(write)
    return status == _KILLED, int(counted or b"0")


def _be_child(bench: PluginBench, request: Request, at: int, write: int) -> None:
    calls = 0

    def count(_: FrameType, event: str, function: object) -> None:
        nonlocal calls
        if event == "c_call" and getattr(function, "__name__", "") in _CALLS:
            if calls == at:
                os._exit(_KILLED)
            calls += 1

    try:
        netns.enter(bench.host.fd, bench.host.path)
        sys.setprofile(count)
        bench.ask(request)
        sys.setprofile(None)
        os.write(write, str(calls).encode())
    finally:
        os._exit(0)


def _run_killed(path: str, request: Request, seconds: float) -> bool:
    with subprocess.Popen(
        [path],
        env=request.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        if process.stdin is None:
            raise AssertionError("it was given a pipe")
        try:
            process.stdin.write(request.stdin)
            process.stdin.close()
        except BrokenPipeError:  # it does not read
            process.stdin = None
        time.sleep(seconds)
        has_ended = process.poll() is not None
        if not has_ended:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(_SECONDS)
    return not has_ended

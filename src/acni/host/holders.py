"""Which processes hold a byte lock, as /proc tells it.

Everything here reads only. Processes that end meanwhile, or that this process may not look at, are
not seen.

(proc_pid_fdinfo(5), proc_pid_stat(5))
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from typing import Final

from attrs import evolve, field, frozen

from acni.host.processes import SESSION, STARTED, words_of_stat

# More of a command line is of no plugin.
_COMMAND_BYTES: Final = 1 << 16
# An empty command line is a zombie's, and for some microseconds that of a process which executes a
# program: read at once after a posix_spawn it was empty 1,974 times of 2,000. A plugin must not be
# taken for a daemon by that.
_LOOKS_AT_COMMAND: Final = 5
_PAUSE_SECONDS: Final = 0.002
# How /proc says that a process has ended, or is not ours to look at. That there are no descriptors
# left to look with is something else, and leaves.
_UNSEEN: Final = (FileNotFoundError, ProcessLookupError, PermissionError)


@frozen(kw_only=True)
class Process:
    """A process, at the moment it was looked at.

    Attributes:
        pid: Its number, which may be another's by now.
        started: When it started, in ticks of the clock: with the number it is that process alone.
        session: The number of its session; that of its leader.
        command: Its command line, where it was asked for; a zombie has none. May hold secrets.
    """

    pid: int
    started: int
    session: int
    command: tuple[str, ...] = field(default=(), repr=False)


@frozen(kw_only=True)
class Holders:
    """Who holds a byte.

    Attributes:
        processes: Those with a descriptor of a description that holds it, itself or inherited.
        leaders: The leaders of their sessions, as far as they live.
    """

    processes: tuple[Process, ...] = ()
    leaders: tuple[Process, ...] = ()


def find_holders(file: tuple[int, int], offset: int, seconds: float) -> Holders:
    """Find who holds a byte of a file; blocks, a few milliseconds on a small host.

    Args:
        file: Its device and inode, as stat(2) tells them. The kernel's list of locks names other
            devices on btrfs and overlayfs.
        offset: The byte.
        seconds: Who was not found in this time is left out.
    """
    until = time.monotonic() + seconds
    holders: list[Process] = []
    # The newest first: orphans are no old processes.
    for pid in sorted(_pids(), reverse=True):
        if time.monotonic() > until:
            break
        if _holds(pid, file, offset) and (holder := _find_with_command(pid)) is not None:
            holders.append(holder)
    sessions = sorted({holder.session for holder in holders})
    leaders = [leader for pid in sessions if (leader := _find_with_command(pid)) is not None]
    return Holders(processes=tuple(holders), leaders=tuple(leaders))


def all_processes() -> list[Process]:
    """List every process, zombies included, without their command lines."""
    return [process for pid in _pids() if (process := find_process(pid)) is not None]


def find_process(pid: int) -> Process | None:
    """Find a process by its number, without its command line; None when there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return parse_stat(stat.read())
    except _UNSEEN:
        return None


def parse_stat(line: bytes) -> Process:
    """Read a line of /proc/<pid>/stat."""
    number, _, _ = line.partition(b" (")
    words = words_of_stat(line)
    return Process(pid=int(number), started=int(words[STARTED]), session=int(words[SESSION]))


def locks_byte(line: bytes, offset: int) -> bool:
    """Tell whether a line of /proc/<pid>/fdinfo/<fd> says that its description locks a byte.

    Such as ``lock: 1: OFDLCK  ADVISORY  READ -1 08:01:1234 7 7``; the last word may be ``EOF``.
    """
    words = line.split()
    if words[:1] != [b"lock:"] or b"OFDLCK" not in words:
        return False
    first, last = words[-2:]
    return int(first) <= offset and (last == b"EOF" or offset <= int(last))


def members_of(leaders: Iterable[Process], processes: Iterable[Process]) -> list[Process]:
    """Select the processes in the sessions of these leaders, whether those live or not."""
    now = {process.pid: process for process in processes}
    # A number that another process has by now names no session of ours: it would not be free.
    ours = {
        leader.pid for leader in leaders if now.get(leader.pid, leader).started == leader.started
    }
    return [process for process in now.values() if process.session in ours]


def _pids() -> list[int]:
    # In another pid namespace's /proc the numbers mean other processes than here.
    if os.readlink("/proc/self") != str(os.getpid()):
        return []
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def _find_with_command(pid: int) -> Process | None:
    # In this order: a command line that belongs to who has the number by now comes with the start
    # of who had it before, and is nobody's.
    process = find_process(pid)
    command = _command_of(pid)
    looks = 1
    while command == () and looks < _LOOKS_AT_COMMAND:
        time.sleep(_PAUSE_SECONDS)
        command = _command_of(pid)
        looks += 1
    return process and evolve(process, command=command or ())


def _command_of(pid: int) -> tuple[str, ...] | None:
    """Read a command line; None where that is not allowed or the process is gone."""
    with contextlib.suppress(*_UNSEEN), open(f"/proc/{pid}/cmdline", "rb") as cmdline:
        return tuple(os.fsdecode(word) for word in cmdline.read(_COMMAND_BYTES).split(b"\0")[:-1])
    return None


def _holds(pid: int, file: tuple[int, int], offset: int) -> bool:
    with contextlib.suppress(*_UNSEEN):
        return any(
            _is_locked(pid, fd, offset) and _is_open(pid, fd, file)
            for fd in os.listdir(f"/proc/{pid}/fdinfo")
        )
    return False


def _is_locked(pid: int, fd: str, offset: int) -> bool:
    with contextlib.suppress(*_UNSEEN), open(f"/proc/{pid}/fdinfo/{fd}", "rb") as info:
        return any(locks_byte(line, offset) for line in info)
    return False


def _is_open(pid: int, fd: str, file: tuple[int, int]) -> bool:
    """Tell whether this descriptor is of the file: asked last, and of what holds such a lock only,
    for stat(2) of other people's files may hang with their file system.
    """
    with contextlib.suppress(OSError):
        status = os.stat(f"/proc/{pid}/fd/{fd}")
        return (status.st_dev, status.st_ino) == file
    return False

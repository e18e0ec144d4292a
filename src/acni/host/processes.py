"""Telling a process from every other that ever had its number."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from attrs import frozen

# Where in the words behind a process's name in /proc/<pid>/stat its facts stand (proc_pid_stat(5)).
STATE: Final = 0
SESSION: Final = 3
FLAGS: Final = 6
STARTED: Final = 19

# include/linux/sched.h
_PF_EXITING: Final = 0x4
# Linux 6.9, include/uapi/linux/pidfd.h
PIDFD_SIGNAL_PROCESS_GROUP: Final = 1 << 2


@frozen(kw_only=True)
class ProcessIdentity:
    """A process of this boot.

    Attributes:
        pid: Its number.
        started: When it started, in clock ticks since boot.
        pid_namespace: The namespace in which the number counts.
    """

    pid: int
    started: int
    pid_namespace: str


def own_identity() -> ProcessIdentity:
    """Identify this process.

    Raises:
        OSError: /proc is not there.
    """
    started = start_time(os.getpid())
    if started is None:
        raise ProcessLookupError("/proc does not know this process")
    return ProcessIdentity(
        pid=os.getpid(), started=started, pid_namespace=os.readlink("/proc/self/ns/pid")
    )


def start_time(pid: int) -> int | None:
    """Return when a process started; None where there is none, or only its remains."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    words = words_of_stat(text)
    return None if words[STATE] in b"ZX" else int(words[STARTED])


def words_of_stat(line: bytes) -> list[bytes]:
    """Split what follows the name in a line of /proc/<pid>/stat; a name may hold anything."""
    return line[line.rindex(b")") + 1 :].split()


def is_gone(identity: ProcessIdentity) -> bool:
    """Tell whether a process has certainly ended; of one in another PID namespace, or where /proc
    cannot be read just now, nobody here can say.
    """
    try:
        words = _words_of(identity)
    except OSError:
        return False
    return not _is_same(words, identity)


def is_ending(identity: ProcessIdentity) -> bool:
    """Tell whether a process has ended, or is about to let go of what it has: it runs no code any
    more. Where nobody can say, it does not.
    """
    try:
        words = _words_of(identity)
    except OSError:
        return False
    return not _is_same(words, identity) or bool(int(words[FLAGS]) & _PF_EXITING)


def _words_of(identity: ProcessIdentity) -> list[bytes]:
    """Return what /proc says of a process; nothing where it has ended.

    Raises:
        OSError: that cannot be said.
    """
    if identity.pid_namespace != os.readlink("/proc/self/ns/pid"):
        raise PermissionError("in another PID namespace")
    try:
        return words_of_stat(Path(f"/proc/{identity.pid}/stat").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return []


def _is_same(words: list[bytes], identity: ProcessIdentity) -> bool:
    """Tell whether it is that process, and not its remains."""
    return bool(words) and words[STATE] not in b"ZX" and int(words[STARTED]) == identity.started

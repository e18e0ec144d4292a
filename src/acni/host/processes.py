"""Telling a process from every other that ever had its number."""

from __future__ import annotations

import os
from pathlib import Path

from attrs import frozen

# proc(5): the 22nd field of /proc/<pid>/stat, counted from behind the name, which may hold
# anything.
_STARTED = 22 - 3


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
    fields = text[text.rindex(b")") + 2 :].split()
    return None if fields[0] in b"ZX" else int(fields[_STARTED])


def is_gone(identity: ProcessIdentity) -> bool:
    """Tell whether a process has certainly ended; of one in another PID namespace nobody here can
    say.
    """
    if identity.pid_namespace != os.readlink("/proc/self/ns/pid"):
        return False
    return start_time(identity.pid) != identity.started

"""Fault points: the calls of the C library that a process makes, and what is done at one of them.

The shim ``faultpoints.c`` counts the calls and ends the process, or fails the call, at the one that
it was given. A point is a call, what it touches, and how often both met: worker threads and two
event loops make the calls in an order of their own, so that a running number would name another
call in the next run.
"""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from attrs import frozen


class Mode(IntEnum):
    """What happens at a point; the numbers are the shim's."""

    RECORD = 0
    KILL_BEFORE = 1
    KILL_AFTER = 2
    FAIL_ONCE = 3
    FAIL_FROM = 4
    PAUSE = 5


# What a call is, as the shim knows it.
IN_STATE: Final = 1
MODIFIES: Final = 2
OPENS: Final = 4

# What the kernel refuses a message about links with; the calls on files know none of these.
_OF_NETLINK: Final = (errno.ENOBUFS, errno.EPERM, errno.EBUSY, errno.ENODEV)

ERRORS: Final = (
    errno.EIO,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EMFILE,
    errno.EINTR,
    errno.EACCES,
    errno.ENOMEM,
    *_OF_NETLINK,
)

# What fails from a point on. A full disk and one that went read-only can still be read; whoever has
# no descriptor left gets none anywhere. An empty scope is the same call, whatever it touches.
SCOPES: Final[Mapping[int, int]] = {
    errno.EIO: IN_STATE,
    errno.ENOSPC: IN_STATE | MODIFIES,
    errno.EDQUOT: IN_STATE | MODIFIES,
    errno.EROFS: IN_STATE | MODIFIES,
    errno.EMFILE: OPENS,
    errno.EACCES: IN_STATE | MODIFIES,
    errno.ENOMEM: 0,
}


@frozen(order=True)
class Pair:
    """A call and what it touches.

    Attributes:
        call: The call's name, one for all its variants.
        path: Where it leads: "state/results/net-c1-eth0", "world/plugins/first", "pipe".
    """

    call: str
    path: str

    def __str__(self) -> str:
        return f"{self.call} {self.path}"


@frozen(order=True)
class Point:
    """The nth time of a pair in one run."""

    pair: Pair
    n: int

    def __str__(self) -> str:
        return f"{self.pair} #{self.n}"


@frozen
class Fault:
    """What happens at a point.

    Attributes:
        point: Where.
        mode: What.
        error: The errno of a failure.
    """

    point: Point
    mode: Mode
    error: int = 0

    def __str__(self) -> str:
        what = self.mode.name.lower().replace("_", " ")
        return f"{what} {errno.errorcode.get(self.error, '')} at {self.point}".replace("  ", " ")


# Named by what the shim calls them; IN_STATE is told by the path.
_MODIFYING: Final = frozenset(
    {
        *("write", "pwrite", "ftruncate", "truncate", "fallocate", "fchmod", "chmod"),
        *("fsync", "fdatasync", "syncfs"),
        *("rename", "link", "symlink", "unlink", "mkdir", "utime"),
    }
)
_OPENING: Final = frozenset(
    {
        *("open", "opendir", "pipe", "socket", "memfd_create", "epoll_create", "inotify_init"),
        *("spawn", "pidfd_open", "eventfd"),
    }
)


def may_begin(pair: Pair, scope: int) -> bool:
    """Tell whether a failure of that scope may begin at a pair: at one that is outside it, it would
    be the same as at the next one inside.
    """
    kind = IN_STATE if pair.path.split("/", 1)[0] == "state" else 0
    # Whether an open modifies is in its flags, which the pair does not know.
    kind |= MODIFIES if pair.call in _MODIFYING | {"open"} else 0
    kind |= OPENS if pair.call in _OPENING else 0
    return kind & scope == scope


def lets_nothing_be_noted(fault: Fault) -> bool:
    """Tell whether a fault is a disk that takes no note any more."""
    if fault.mode is not Mode.FAIL_FROM:
        return False
    return bool(SCOPES[fault.error] & IN_STATE) or fault.point.pair.call in ("pwrite", "fallocate")


_ON_CLOSING: Final = frozenset({errno.EIO, errno.EINTR, errno.ENOSPC, errno.EDQUOT})
_ON_NETLINK: Final = frozenset({"bind", "getsockname", "setsockopt", "send", "receive"})
# A setting of a socket that an older kernel does not know is done without.
_OF_MESSAGES: Final[Mapping[str, frozenset[int]]] = {
    "send": frozenset({errno.EINTR, errno.ENOMEM, *_OF_NETLINK}),
    "receive": frozenset({errno.EINTR, errno.ENOMEM, errno.ENOBUFS}),
    "bind": frozenset({errno.ENOMEM, errno.EPERM}),
    "getsockname": frozenset({errno.ENOBUFS}),
    "setsockopt": frozenset({errno.ENOMEM, errno.EPERM}),
    "setns": frozenset({errno.EPERM, errno.ENOMEM}),
}
# A scenario's own.
_NOTES: Final = ("world/said", "world/told")


def can_fail(pair: Pair, error: int) -> bool:
    """Tell whether a call can fail so: a close says what the disk did not take before (close(2)),
    and of anything else it has nothing to say; waiting for a child needs nothing of the machine;
    messages to the kernel and entering a namespace have errors of their own; what a scenario notes
    for itself is not acni's.
    """
    is_to_the_kernel = pair.call in _ON_NETLINK or pair.call == "setns"
    if error in _OF_NETLINK or is_to_the_kernel:
        return is_to_the_kernel and error in _OF_MESSAGES[pair.call]
    if pair.path.startswith(_NOTES) or (pair.call == "waitid" and error != errno.EINTR):
        return False
    return pair.call != "close" or (pair.path.startswith("state") and error in _ON_CLOSING)


def is_of_the_loop(pair: Pair) -> bool:
    """Tell whether the event loop makes a call for itself: to be woken from a thread. Where it
    fails trio ends ("internal error"), and what waits for a thread meanwhile waits for ever.
    """
    return pair.call == "epoll_ctl" and pair.path.startswith("socket")


class Shim:
    """The shim in this process, which was started with it preloaded."""

    def __init__(self, path: str) -> None:
        self._library = ctypes.CDLL(path)
        self._library.faultpoints_log.restype = ctypes.c_char_p

    def start(self, state_dir: str, world: str, leases: str, fault: Fault | None) -> None:
        """Count from here on, and let the fault happen."""
        self._library.faultpoints_roots(state_dir.encode(), world.encode(), leases.encode())
        if fault is None:
            self._library.faultpoints_start(b"", 0, Mode.RECORD, 0, 0)
            return
        point = fault.point
        self._library.faultpoints_start(
            f"{point.pair.call}\t{point.pair.path}".encode(),
            point.n,
            fault.mode,
            fault.error,
            SCOPES.get(fault.error, 0) if fault.mode is Mode.FAIL_FROM else 0,
        )

    def stop(self) -> Mapping[Pair, int]:
        """Let everything pass again; return how often each pair was met, the first met first."""
        self._library.faultpoints_stop()
        lines = self._library.faultpoints_log().decode().splitlines()
        return {Pair(call, path): int(n) for call, path, n in (line.split("\t") for line in lines)}

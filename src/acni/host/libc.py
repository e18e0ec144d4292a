"""The few calls of the C library that Python lacks: namespaces, mounts, file systems, signals.

CDLL, not PyDLL: these may sleep in the kernel, so the interpreter's lock is given up meanwhile.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from typing import Final

CLONE_NEWNS: Final = 0x00020000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWNET: Final = 0x40000000

MS_BIND: Final = 4096
MS_REC: Final = 16384
MS_PRIVATE: Final = 1 << 18
MS_SHARED: Final = 1 << 20
MNT_DETACH: Final = 2
UMOUNT_NOFOLLOW: Final = 8

# include/uapi/linux/prctl.h
_PR_SET_CHILD_SUBREAPER: Final = 36
# sizeof sigset_t in glibc and musl.
_SIGSET_BYTES: Final = 128

# struct statfs has 15 words on 64-bit Linux; some more are room.
_STATFS_LONGS: Final = 32

_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Give the calling thread namespaces of its own (unshare(2))."""
    _checked(_LIBC.unshare(flags), "unshare")


def setns(fd: int, kind: int) -> None:
    """Move the calling thread into a namespace (setns(2))."""
    _checked(_LIBC.setns(fd, kind), "setns")


def mount(
    source: str, target: str, filesystem: str = "", flags: int = 0, options: str = ""
) -> None:
    """Mount a file system, or bind a path (mount(2))."""
    texts = (source.encode(), target.encode(), filesystem.encode() or None)
    _checked(_LIBC.mount(*texts, flags, options.encode() or None), target)


def unmount(target: str, flags: int = 0) -> None:
    """Unmount a path (umount2(2))."""
    _checked(_LIBC.umount2(target.encode(), flags), target)


def inotify() -> int:
    """Make an empty set of watches, which is read without waiting (inotify_init1(2))."""
    return _checked(_LIBC.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK), "inotify_init1")


def watch(fd: int, path: str, events: int) -> None:
    """Add a watch (inotify_add_watch(2))."""
    _checked(_LIBC.inotify_add_watch(fd, path.encode(), events), path)


def signalfd(signals: Iterable[int]) -> int:
    """Make a descriptor from which signals that are blocked are read, without waiting
    (signalfd(2)).
    """
    mask = sum(1 << (number - 1) for number in signals).to_bytes(_SIGSET_BYTES, "little")
    return _checked(_LIBC.signalfd(-1, mask, os.O_CLOEXEC | os.O_NONBLOCK), "signalfd")


def adopt_orphans(*, is_wanted: bool) -> None:
    """Become the parent of descendants whose own parent ends, or no longer
    (PR_SET_CHILD_SUBREAPER(2const)).
    """
    _checked(_LIBC.prctl(_PR_SET_CHILD_SUBREAPER, int(is_wanted), 0, 0, 0), "prctl")


def syncfs(fd: int) -> None:
    """Make everything written to a file system durable (syncfs(2))."""
    _checked(_LIBC.syncfs(fd), "syncfs")


def file_system_type(fd: int) -> int:
    """Return the magic number of the file system of an open file (statfs(2))."""
    answer = (ctypes.c_long * _STATFS_LONGS)()
    _checked(_LIBC.fstatfs(fd, ctypes.byref(answer)), "fstatfs")
    # Signed on some, and sign-extended.
    return int(answer[0]) & 0xFFFFFFFF


def _checked(code: int, what: str) -> int:
    if code < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return code

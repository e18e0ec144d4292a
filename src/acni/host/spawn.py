"""Starting one process, by glibc's ``pidfd_spawn`` (glibc 2.39): one call gives the descriptor, an
own session, closed descriptors, default signals, the working directory and the cgroup.

``os.posix_spawn``, for other C libraries, can do less: it cannot close descriptors that somebody
else left inheritable, nor change the directory or enter a cgroup, and needs a second call for the
descriptor: its caller keeps a KeyboardInterrupt from coming between the two. ``subprocess`` does
most of it, at three to seven times the cost.

PyDLL keeps the interpreter's lock, as ``os.posix_spawn`` does. The call returns when the child has
executed the program or failed to; where it puts the descriptor belongs to the caller before the
call, so that no interrupt can strike between the start of a process and its ownership.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Final, Protocol

# sizeof posix_spawnattr_t, posix_spawn_file_actions_t and sigset_t are 336, 80 and 128 in glibc on
# x86-64 and AArch64 (bits/spawn.h: both end in padding that keeps them so); rounded up here.
_ATTRIBUTES_BYTES: Final = 512
_ACTIONS_BYTES: Final = 128
_SIGSET_BYTES: Final = 128

_SETSIGDEF: Final = 0x04
_SETSIGMASK: Final = 0x08
_SETSID: Final = 0x80
_SETCGROUP: Final = 0x100

# How many sets of descriptors are remembered: the lowest free ones are used again and again, and
# telling the C library about them costs a tenth of what a spawn costs.
_REMEMBERED: Final = 256

NO_DESCRIPTOR: Final = -1


class Spawner(Protocol):
    """Starts processes in a session of their own, with the signals that a shell would give them:
    nothing blocked, nothing ignored (Python itself ignores SIGPIPE and SIGXFSZ, and a spawn passes
    that on).
    """

    def spawn(
        self,
        path: str,
        environment: Mapping[str, str],
        descriptors: Sequence[int],
        pidfd: ctypes.c_int,
        cgroup: int | None = None,
    ) -> None:
        """Start ``path``.

        Args:
            path: The executable; also its only argument.
            environment: All of its environment.
            descriptors: What becomes its descriptors 0, 1, 2, …; each must be above that range in
                this process.
            pidfd: Where the descriptor of the process is put.
            cgroup: The descriptor of the cgroup it starts in.

        Raises:
            ProcessLookupError: it was started, and somebody else reaped it at once.
            OSError: the kernel refused; nothing was started.
            ValueError: the path or the environment cannot be passed on.
        """


def make_spawner() -> Spawner:
    """Make the best spawner that this C library has."""
    libc = ctypes.PyDLL(None)
    return GlibcSpawner(libc) if hasattr(libc, "pidfd_spawn") else PosixSpawner()


class GlibcSpawner:
    """Starts processes by ``pidfd_spawn``: in ``/``, with the descriptors given and no others."""

    def __init__(self, libc: ctypes.PyDLL) -> None:
        self._libc = libc
        self._attributes = self._make_attributes()
        self._actions = lru_cache(_REMEMBERED)(partial(_Actions, libc))
        # ctypes forgets such a type, and making it again is dear.
        self._array_of = lru_cache(_REMEMBERED)(_array_of)

    def spawn(
        self,
        path: str,
        environment: Mapping[str, str],
        descriptors: Sequence[int],
        pidfd: ctypes.c_int,
        cgroup: int | None = None,
    ) -> None:
        """Start ``path`` (see :class:`Spawner`)."""
        program, *entries = _encoded([path, *map("=".join, environment.items())])
        actions = self._actions(tuple(descriptors))
        attributes = self._attributes if cgroup is None else self._make_attributes(cgroup)
        code = self._libc.pidfd_spawn(
            ctypes.byref(pidfd),
            program,
            actions.block,
            attributes,
            self._array_of(2)(program, None),
            self._array_of(len(entries) + 1)(*entries, None),
        )
        if code != 0:
            pidfd.value = NO_DESCRIPTOR
            raise OSError(code, os.strerror(code), path)

    def _make_attributes(self, cgroup: int | None = None) -> ctypes.Array[ctypes.c_char]:
        attributes = ctypes.create_string_buffer(_ATTRIBUTES_BYTES)
        signals = ctypes.create_string_buffer(_SIGSET_BYTES)
        self._libc.posix_spawnattr_init(attributes)
        self._libc.sigemptyset(signals)
        self._libc.posix_spawnattr_setsigmask(attributes, signals)
        self._libc.sigfillset(signals)
        self._libc.posix_spawnattr_setsigdefault(attributes, signals)
        flags = _SETSIGDEF | _SETSIGMASK | _SETSID
        if cgroup is not None:
            self._libc.posix_spawnattr_setcgroup_np(attributes, cgroup)
            flags |= _SETCGROUP
        self._libc.posix_spawnattr_setflags(attributes, ctypes.c_short(flags))
        return attributes


class _Actions:
    """What the child does before it executes the program: it moves descriptors to 0, 1, 2, …,
    closes all others, and goes to ``/``.
    """

    def __init__(self, libc: ctypes.PyDLL, descriptors: tuple[int, ...]) -> None:
        self.block = ctypes.create_string_buffer(_ACTIONS_BYTES)
        self._libc = libc
        libc.posix_spawn_file_actions_init(self.block)
        for target, fd in enumerate(descriptors):
            libc.posix_spawn_file_actions_adddup2(self.block, fd, target)
        libc.posix_spawn_file_actions_addclosefrom_np(self.block, len(descriptors))
        libc.posix_spawn_file_actions_addchdir_np(self.block, b"/")

    def __del__(self) -> None:
        self._libc.posix_spawn_file_actions_destroy(self.block)


class PosixSpawner:
    """Starts processes by ``os.posix_spawn``: in the directory of this process, with the
    descriptors given and those that somebody left inheritable.
    """

    def spawn(
        self,
        path: str,
        environment: Mapping[str, str],
        descriptors: Sequence[int],
        pidfd: ctypes.c_int,
        cgroup: int | None = None,
    ) -> None:
        """Start ``path`` (see :class:`Spawner`)."""
        if cgroup is not None:
            raise ValueError("os.posix_spawn enters no cgroup")
        _encoded([path])
        # Opening the descriptor of what was started must not fail for want of a descriptor.
        reserved = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        try:
            pid = self._posix_spawn(path, environment, descriptors)
        finally:
            os.close(reserved)
        try:
            pidfd.value = os.pidfd_open(pid)
        except BaseException:
            # It leads its group, whose number is nobody else's while anything of it lives.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
            raise

    def _posix_spawn(
        self, path: str, environment: Mapping[str, str], descriptors: Sequence[int]
    ) -> int:
        return os.posix_spawn(
            path,
            [path],
            environment,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, fd, target) for target, fd in enumerate(descriptors)
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
        )


def _array_of(length: int) -> type[ctypes.Array[ctypes.c_char_p]]:
    return ctypes.c_char_p * length


def _encoded(texts: Sequence[str]) -> list[bytes]:
    """Encode texts all at once."""
    joined = "\0".join(texts)
    if joined.count("\0") >= len(texts):  # C would take what stands before it
        raise ValueError("a path or an environment cannot hold NUL")
    return os.fsencode(joined).split(b"\0")

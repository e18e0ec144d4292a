"""Starting one process by glibc's ``pidfd_spawn`` (glibc 2.39): one call gives the descriptor, an
own session, closed descriptors, default signals and the working directory.

``os.posix_spawn`` can do three of these at most: it cannot close descriptors that somebody else
left inheritable, nor change the directory, and needs a second call for the descriptor.
``subprocess`` does it all, at three to seven times the cost.

PyDLL keeps the interpreter's lock, as ``os.posix_spawn`` does: nothing of ours runs between the
spawn and the ownership of what was spawned. The call returns when the child has executed the
program or failed to.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping, Sequence
from typing import Final

from acni.errors import NotPermitted

# sizeof posix_spawnattr_t, posix_spawn_file_actions_t and sigset_t are 336, 80 and 128 in glibc on
# x86-64 and AArch64 (bits/spawn.h: both end in padding that keeps them so); rounded up here.
_ATTRIBUTES_BYTES: Final = 512
_ACTIONS_BYTES: Final = 128
_SIGSET_BYTES: Final = 128

_SETSIGDEF: Final = 0x04
_SETSIGMASK: Final = 0x08
_SETSID: Final = 0x80


class Spawner:
    """Starts processes in a session of their own, in ``/``, with the descriptors given and no
    others.

    Signals are as a shell would give them: nothing blocked, nothing ignored (Python itself ignores
    SIGPIPE and SIGXFSZ, and posix_spawn passes that on).
    """

    def __init__(self) -> None:
        self._libc = ctypes.PyDLL(None)
        if not hasattr(self._libc, "pidfd_spawn"):
            raise NotPermitted(
                "this C library has no pidfd_spawn", place="glibc", expected="glibc 2.39 or newer"
            )
        self._attributes = ctypes.create_string_buffer(_ATTRIBUTES_BYTES)
        signals = ctypes.create_string_buffer(_SIGSET_BYTES)
        self._libc.posix_spawnattr_init(self._attributes)
        self._libc.sigemptyset(signals)
        self._libc.posix_spawnattr_setsigmask(self._attributes, signals)
        self._libc.sigfillset(signals)
        self._libc.posix_spawnattr_setsigdefault(self._attributes, signals)
        self._libc.posix_spawnattr_setflags(
            self._attributes, ctypes.c_short(_SETSIGDEF | _SETSIGMASK | _SETSID)
        )

    def spawn(self, path: str, environment: Mapping[str, str], descriptors: Sequence[int]) -> int:
        """Start ``path`` and return its pidfd.

        Args:
            path: The executable; also its only argument.
            environment: All of its environment.
            descriptors: What becomes its descriptors 0, 1, 2, …; each must be above that range in
                this process.

        Raises:
            OSError: the kernel refused; nothing was started.
            ValueError: the path or the environment cannot be passed on.
        """
        program = _encoded(path)
        entries = [_encoded(f"{name}={value}") for name, value in environment.items()]
        actions = self._actions(descriptors)
        argv = (ctypes.c_char_p * 2)(program, None)
        envp = (ctypes.c_char_p * (len(entries) + 1))(*entries, None)
        pidfd = ctypes.c_int(-1)
        code = self._libc.pidfd_spawn(
            ctypes.byref(pidfd), program, actions, self._attributes, argv, envp
        )
        self._libc.posix_spawn_file_actions_destroy(actions)
        if code != 0:
            raise OSError(code, os.strerror(code), path)
        return pidfd.value

    def _actions(self, descriptors: Sequence[int]) -> ctypes.Array[ctypes.c_char]:
        actions = ctypes.create_string_buffer(_ACTIONS_BYTES)
        self._libc.posix_spawn_file_actions_init(actions)
        for target, fd in enumerate(descriptors):
            self._libc.posix_spawn_file_actions_adddup2(actions, fd, target)
        self._libc.posix_spawn_file_actions_addclosefrom_np(actions, len(descriptors))
        self._libc.posix_spawn_file_actions_addchdir_np(actions, b"/")
        return actions


def _encoded(text: str) -> bytes:
    if "\0" in text:  # C would take what stands before it
        raise ValueError("a path or an environment cannot hold NUL")
    return os.fsencode(text)

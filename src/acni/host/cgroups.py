"""A control group of its own for each plugin run, so that a run that failed can be killed whole:
daemons in sessions of their own included, which no signal to a process group reaches.

Opt-in, below a directory that was delegated to this process. A group that its run's processes
outlive, as daemons do after a success, is removed once it is empty: by a later run, or by the next
process that uses the directory.

(Linux, Documentation/admin-guide/cgroup-v2.rst: "cgroup.kill", "cgroup.events")
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from typing import Final

import anyio
from attrs import Factory, define

from acni.errors import ConfigError, PluginNotStarted

_PREFIX: Final = "acni-run-"
_DELEGATED: Final = "the absolute path of a delegated cgroup v2 directory (Linux 5.14 or newer)"
# A group of this age is of nobody who is just about to start a process in it.
_SURELY_USED_SECONDS: Final = 60.0
# How many groups that were left a run tries to remove.
_AT_ONCE: Final = 4
# A killed group is empty within a few milliseconds, unless a process sleeps uninterruptibly.
_PAUSES: Final = (0.0, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256)


@define(eq=False, repr=False)
class Cgroup:
    """The control group of one run.

    Attributes:
        path: Its directory.
    """

    path: str
    # Open from the beginning: killing needs no descriptor when there is none left.
    _kill: int

    @classmethod
    def make(cls, path: str) -> Cgroup:
        """Make the group.

        Raises:
            OSError: it cannot be made; nothing is left.
        """
        os.mkdir(path)
        try:
            return cls(path, os.open(f"{path}/cgroup.kill", os.O_WRONLY | os.O_CLOEXEC))
        except BaseException:
            os.rmdir(path)
            raise

    def kill(self) -> None:
        """Kill every process in it; a fork cannot escape."""
        with contextlib.suppress(OSError):  # it was removed
            os.write(self._kill, b"1")

    def close(self) -> None:
        """Close it for killing: the run is over."""
        if self._kill >= 0:
            os.close(self._kill)
            self._kill = -1

    def remove(self) -> bool:
        """Remove it; False while there are processes in it."""
        try:
            os.rmdir(self.path)
        except FileNotFoundError:
            return True
        except OSError:  # EBUSY
            return self._is_empty() and self._remove_below()
        return True

    def _is_empty(self) -> bool:
        """Tell whether there is no process in it or below; the plugin may have made groups there,
        which a daemon of it may yet want.
        """
        try:
            with open(f"{self.path}/cgroup.events", "rb") as events:
                return b"populated 0" in events.read()
        except OSError:
            return False

    def _remove_below(self) -> bool:
        try:
            for path, _, _ in os.walk(self.path, topdown=False):
                os.rmdir(path)
        except OSError:
            return False
        return True


@define(eq=False, repr=False)
class Cgroups:
    """The control groups of the runs below a delegated directory.

    Attributes:
        directory: The directory.
    """

    directory: str
    _left: list[Cgroup] = Factory(list[Cgroup])

    def __attrs_post_init__(self) -> None:
        try:
            _require_delegated(self.directory)
            self._remove_old()
        except OSError as error:
            raise _refused(f"{self.directory!a}: {error.strerror}") from error

    def make(self) -> Cgroup:
        """Make the group of a run.

        Raises:
            PluginNotStarted: it cannot be made: the directory is gone, for instance.
        """
        for _ in range(min(_AT_ONCE, len(self._left))):
            # To the end of the queue when it is not empty: a daemon may live for months.
            with contextlib.suppress(IndexError):  # another thread was faster
                self.leave(self._left.pop(0))
        try:
            return Cgroup.make(_new_path(self.directory))
        except OSError as error:
            raise PluginNotStarted(
                f"could not be started: no control group can be made in {self.directory!a}:"
                f" {error.strerror}",
                place="cgroup",
                expected=_DELEGATED,
            ) from error

    def leave(self, cgroup: Cgroup) -> None:
        """Remove a group, now or once it is empty."""
        if not cgroup.remove():
            self._left.append(cgroup)

    async def end(self, cgroup: Cgroup) -> None:
        """Kill a group, wait until it is empty and remove it; what the kernel does not end within
        half a second is left.
        """
        cgroup.kill()
        # Left first: a native cancellation of asyncio pierces the shield around this.
        self._left.append(cgroup)
        for pause in _PAUSES:
            if cgroup.remove():
                with contextlib.suppress(ValueError):  # another run was faster
                    self._left.remove(cgroup)
                return
            await anyio.sleep(pause)

    def _remove_old(self) -> None:
        """Remove what earlier processes left; only what is empty goes."""
        now = time.time()
        for entry in os.scandir(self.directory):
            if entry.name.startswith(_PREFIX):
                with contextlib.suppress(OSError):
                    if now - entry.stat().st_ctime > _SURELY_USED_SECONDS:
                        os.rmdir(entry.path)


def _require_delegated(directory: str) -> None:
    """Refuse a directory in which no group can be made: better now than with the first plugin.

    Raises:
        ConfigError: it is relative, is none of cgroup v2, or has no ``cgroup.kill``.
        OSError: a group cannot be made there.
    """
    if not directory.startswith("/"):
        raise _refused(f"{directory!a} is not absolute")
    if not os.path.isfile(f"{directory}/cgroup.controllers"):
        raise _refused(f"{directory!a} is no directory of cgroup v2")
    if not os.path.isfile(f"{directory}/cgroup.kill"):
        raise _refused(f"{directory!a} has no cgroup.kill: the root of all, or an older Linux")
    trial = Cgroup.make(_new_path(directory))
    trial.close()
    os.rmdir(trial.path)


def _refused(message: str) -> ConfigError:
    return ConfigError(message, place="cgroup", expected=_DELEGATED)


def _new_path(directory: str) -> str:
    return f"{directory}/{_PREFIX}{secrets.token_hex(8)}"

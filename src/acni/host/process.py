"""Running one plugin, bounded whatever it forks, at little more than the cost of the spawn.

Rule 1: the request is in the pipe before the spawn and its write end is closed: no writer task, no
    broken pipe, and a plugin that never reads is fine.
Rule 2: no await stands between the spawn and the ownership of the child.
Rule 3: the plugin's exit ends the run, even when a grandchild still holds its output.
Rule 4: the leader is reaped last: as long as it is a zombie its process group cannot be somebody
    else's, so the group can be killed by number.
Rule 5: after a success all that the plugin started lives on (plugins start daemons); after anything
    else its process group is killed, and its control group where it has one.

(specification, section 2, "CNI operations"; the descriptors and their order are those of POSIX)
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import signal
import sys
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Final
from weakref import WeakKeyDictionary

import anyio
import anyio.lowlevel
from attrs import Factory, define, field

from acni.errors import ConfigError
from acni.host.cgroups import Cgroup, Cgroups
from acni.host.files import close_all
from acni.host.pipes import (
    CHUNK,
    Output,
    bytes_in,
    guard_copy,
    output_pipe,
    pid_of,
    request_end,
)
from acni.host.plugins import EXECUTABLE, added_by_another, find_executable
from acni.host.processes import PIDFD_SIGNAL_PROCESS_GROUP
from acni.host.spawn import NO_DESCRIPTOR, GlibcSpawner, Spawner, make_spawner
from acni.spec.names import PluginType
from acni.spec.plugin import Caps, Ending, Plugin, Request, Response, Times

# Most plugins end within this time and fit their output into the pipe: they cost one wait and no
# reader.
QUICK_SECONDS: Final = 0.02
# How long a killed process may take to be gone; one in an uninterruptible sleep takes longer and is
# left to the kernel.
_REAP_SECONDS: Final = 5.0
# The same where the loop must not be waited for, and is blocked meanwhile; most are gone in less
# than one.
_KILL_MILLISECONDS: Final = 100
_GONE: Final = -1
# Between the tries of an executable that is just being written: some 1.3 seconds in all.
_BUSY_PAUSES: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64)

_Exit = tuple[Ending, int]


def _can_signal_groups() -> bool:
    """Tell whether a pidfd reaches a process group; Linux 6.9 brought that."""
    try:
        own = os.pidfd_open(os.getpid())
    except OSError:  # no descriptor left: then nothing is started either
        return False
    try:
        signal.pidfd_send_signal(own, 0, None, PIDFD_SIGNAL_PROCESS_GROUP)
    except OSError as error:
        return error.errno != errno.EINVAL  # ESRCH: this process leads no group
    finally:
        os.close(own)
    return True


# Whether it has, without waiting and without reaping.
_EXITED: Final = os.WEXITED | os.WNOWAIT | os.WNOHANG


@define(eq=False)
class Executables:
    """Runs plugins as processes: the runner that a runtime has by default.

    Attributes:
        grace_seconds: Between SIGTERM and SIGKILL for a plugin that is out of time or cancelled.
        cgroup: A cgroup v2 directory that was delegated to this process, or None. Each run then has
            a control group of its own there, and of a run that failed nothing lives, daemons in
            sessions of their own included.

    Raises:
        ConfigError: ``cgroup`` is no such directory, or this C library cannot start in one.

    Example:
        >>> async def main():
        ...     async with acni.open_runtime(
        ...         state_dir=state_dir,
        ...         plugin_dirs=[plugins.directory],
        ...         runner=acni.Executables(grace_seconds=0.5),
        ...     ) as runtime:
        ...         return await runtime.add(network, attachment)
        >>> anyio.run(main).ipv4
        IPv4Address('192.0.2.7')
    """

    grace_seconds: float = 2.0
    cgroup: str | None = None
    _spawner: Spawner = field(factory=make_spawner, init=False, repr=False)
    _cgroups: Cgroups | None = field(
        default=Factory(lambda self: _cgroups_below(self.cgroup, self._spawner), True),
        init=False,
        repr=False,
    )
    # By what stands for a loop in its own library.
    _turns: WeakKeyDictionary[object, _Turns] = field(
        factory=WeakKeyDictionary[object, "_Turns"], init=False, repr=False
    )
    _signals_groups: bool = field(factory=_can_signal_groups, init=False, repr=False)

    def find(
        self, plugin_type: PluginType, directories: Sequence[str], *, added_by: str | None = None
    ) -> Plugin:
        """Find the executable of a plugin.

        Args:
            plugin_type: The plugin's type: the file's name.
            directories: Where to look: absolute paths, the first match wins.
            added_by: By which kind of runner an ADD had it run, or None.

        Raises:
            PluginNotFound: there is none, everybody may write to it, or it was added by another
                kind than executables.

        Example:
            >>> plugin = acni.Executables().find("bridge", [plugins.directory])
            >>> plugin.path == f"{plugins.directory}/bridge"
            True
        """
        if added_by not in (None, EXECUTABLE):
            raise added_by_another(plugin_type, added_by)
        return find_executable(plugin_type, directories)

    async def run(
        self,
        plugin: Plugin,
        request: Request,
        *,
        deadline: float,
        caps: Caps,
        guard: int | None = None,
    ) -> Response:
        """Run a plugin once.

        An executable that is just being written ("text file busy") is tried again for about a
        second; only its start is repeated.

        Args:
            plugin: What :meth:`find` returned.
            request: Its environment and standard input.
            deadline: When it is out of time, on the event loop's clock (``anyio.current_time``);
                moved by what it waits for its start.
            caps: How much output is taken.
            guard: A descriptor that it inherits as its descriptor 3, or None.

        Returns:
            The response, whatever the plugin did. When this returns, or raises cancellation,
            nothing of a run that failed is left but what took a process group or a session of its
            own.

        Example:
            >>> async def main():
            ...     runner = acni.Executables()
            ...     plugin = runner.find("bridge", [plugins.directory])
            ...     request = spec.Request(environment={"CNI_COMMAND": "VERSION"}, stdin=b"{}")
            ...     deadline = anyio.current_time() + 10
            ...     return await runner.run(plugin, request, deadline=deadline, caps=spec.Caps())
            >>> response = anyio.run(main)
            >>> response.ending, response.status
            (<Ending.EXITED: 'exited'>, 0)
        """
        for pause in _BUSY_PAUSES:
            response = await self._run(plugin, request, deadline=deadline, caps=caps, guard=guard)
            if (response.ending, response.status) != (Ending.NOT_STARTED, errno.ETXTBSY):
                return response
            if anyio.current_time() + pause >= deadline:
                return response
            await anyio.sleep(pause)
        return await self._run(plugin, request, deadline=deadline, caps=caps, guard=guard)

    async def _run(
        self,
        plugin: Plugin,
        request: Request,
        *,
        deadline: float,
        caps: Caps,
        guard: int | None,
    ) -> Response:
        asked = perf_counter()
        turns = self._turns_of_loop()
        await turns.wait()
        turn = perf_counter()
        queued = turn - asked
        try:
            child = _Child.prepare(request.stdin, caps, guard)
        except OSError as error:
            turns.pass_on(None)
            return _not_started(error)
        except BaseException:
            turns.pass_on(None)
            raise
        ending, status = Ending.LOST, 0
        try:
            try:
                self._start(child, plugin.path, request.environment)
            except ProcessLookupError:
                return Response(ending=Ending.LOST)
            except OSError as error:
                return _not_started(error)
            finally:
                turns.pass_on(child)
            started = perf_counter()
            try:
                ending, status = await child.wait_until(deadline + queued, self.grace_seconds)
            except OSError:  # the loop or the kernel cannot wait for it; it is ended
                return Response(ending=Ending.LOST)
            stdout, stderr = child.output()
        finally:
            turns.come_back(child)
            try:
                child.close()
            finally:
                if child.cgroup is not None:
                    try:
                        with anyio.move_on_after(_REAP_SECONDS, shield=True):
                            await self._leave_cgroup(child.cgroup, (ending, status))
                    finally:
                        child.cgroup.close()
        return Response(
            ending=ending,
            status=status,
            stdout=stdout,
            stderr=stderr,
            seconds=perf_counter() - turn,
            times=Times(queue=queued, spawn=started - turn, read=child.read_seconds),
        )

    def _start(self, child: _Child, path: str, environment: Mapping[str, str]) -> None:
        """Start a process, in a control group of its own where there are any."""
        if self._cgroups is None:
            child.start(self._spawner, path, environment, None)
        else:
            child.cgroup = self._cgroups.make()
            fd = os.open(child.cgroup.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                child.start(self._spawner, path, environment, fd)
            finally:
                os.close(fd)
        if not self._signals_groups:
            child.learn_pid()

    async def _leave_cgroup(self, cgroup: Cgroup, ending: _Exit) -> None:
        if self._cgroups is None:
            return
        if ending == (Ending.EXITED, 0):
            self._cgroups.leave(cgroup)
        else:
            await self._cgroups.end(cgroup)

    def _turns_of_loop(self) -> _Turns:
        """Return the turns of the running loop: a program may have several, one after another or in
        threads.
        """
        loop = anyio.lowlevel.current_token().native_token
        turns = self._turns.get(loop)
        if turns is None:
            _guard_from_interrupts(Executables._run)
            turns = self._turns[loop] = _Turns()
        return turns


def _guard_from_interrupts(function: object) -> None:
    """Have trio raise KeyboardInterrupt in a function only where it waits, as asyncio does: between
    the making of a descriptor and its keeping the descriptor would be lost.
    """
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_run():
        trio.lowlevel.enable_ki_protection(function)


@define(eq=False, repr=False)
class _Turns:
    """Lets the runs of one loop start their processes, one in a turn of the loop.

    A spawn blocks the loop for 0.1 to 0.4 ms; a thousand back to back would stall it for half a
    second. So the right to spawn is a lock that is passed on after the spawn: to whom it is handed
    runs in a later turn, and who finds it free lets a turn pass while the latest spawn may have
    been in this one.
    """

    _lock: anyio.Lock = field(factory=lambda: anyio.Lock(fast_acquire=True), init=False)
    # The child that was started last, until the loop has come back to it.
    _latest: _Child | None = field(default=None, init=False)

    async def wait(self) -> None:
        """Wait for the right to spawn; :meth:`pass_on` must follow."""
        is_handed_over = self._lock.locked()
        await self._lock.acquire()
        if is_handed_over or self._latest is None:
            return
        try:
            await anyio.lowlevel.checkpoint()
        except BaseException:
            self._lock.release()
            raise

    def pass_on(self, child: _Child | None) -> None:
        """Pass the right on after ``child`` was started, or nothing was."""
        if child is not None:
            self._latest = child
        self._lock.release()

    def come_back(self, child: _Child) -> None:
        """Learn that the loop has come back to a child."""
        if self._latest is child:
            self._latest = None


@define(eq=False, repr=False)
class _Child:
    """A process of ours until it is reaped: its pidfd and its output."""

    stdout: Output
    stderr: Output
    caps: Caps
    ends: list[int]
    cgroup: Cgroup | None = field(default=None, init=False)
    read_seconds: float = field(default=0.0, init=False)
    is_reaped: bool = field(default=False, init=False)
    _pid: int = field(default=0, init=False)
    # The spawn puts the descriptor where it belongs to us already.
    _pidfd: ctypes.c_int = field(factory=lambda: ctypes.c_int(NO_DESCRIPTOR), init=False)

    @classmethod
    def prepare(cls, stdin: bytes, caps: Caps, guard: int | None) -> _Child:
        """Make the pipes of a process, its request ready to read.

        Raises:
            OSError: there are no descriptors or no memory; nothing is left open.
        """
        opened: list[int] = []
        try:
            ends = [request_end(stdin, opened)]
            stdout, stdout_end = output_pipe(opened)
            stderr, stderr_end = output_pipe(opened)
            ends += [stdout_end, stderr_end]
            if guard is not None:
                ends.append(guard_copy(guard, opened))
        except BaseException:
            close_all(*opened)
            raise
        return cls(
            Output(stdout, caps.stdout_bytes, keeps_tail=False),
            Output(stderr, caps.stderr_bytes, keeps_tail=True),
            caps,
            ends,
        )

    @property
    def pidfd(self) -> int:
        return self._pidfd.value

    def start(
        self,
        spawner: Spawner,
        path: str,
        environment: Mapping[str, str],
        cgroup: int | None,
    ) -> None:
        """Start the process. Nothing is awaited in here.

        Raises:
            ProcessLookupError: it was started, and somebody else reaped it at once.
            OSError: it could not be started.
        """
        spawner.spawn(path, environment, self.ends, self._pidfd, cgroup)
        close_all(*self.ends)
        self.ends = []

    def learn_pid(self) -> None:
        """Learn the number of the process, where the kernel signals no group by pidfd: now, for
        when it is to be ended there may be no descriptor left to look it up with.
        """
        try:
            self._pid = pid_of(self.pidfd)
        except ProcessLookupError:  # somebody else was faster: nobody can signal its group
            self._pid = _GONE

    async def wait_until(self, deadline: float, grace_seconds: float) -> _Exit:
        """Wait for the exit; end the process when it is out of time, over its cap, or the caller is
        cancelled.
        """
        quick = anyio.current_time() + QUICK_SECONDS
        try:
            with anyio.CancelScope(deadline=min(quick, deadline)):
                await self._exits()
                return self._reap()
            with anyio.CancelScope(deadline=deadline):
                if await self._exits_while_read():
                    return self._reap()
                return await self._end(Ending.OVER_CAP, 0.0)
        except GeneratorExit:  # nobody awaits this any more: closing ends the process
            raise
        except BaseException:
            # Lexical and shielded: whatever interrupts us, the process is ours to end and to reap.
            with anyio.move_on_after(grace_seconds + _REAP_SECONDS, shield=True):
                await self._end(Ending.OUT_OF_TIME, grace_seconds)
            raise
        with anyio.move_on_after(grace_seconds + _REAP_SECONDS, shield=True):
            return await self._end(Ending.OUT_OF_TIME, grace_seconds)
        return Ending.OUT_OF_TIME, 0

    async def _exits(self) -> None:
        """Wait for the exit. trio may wake who waits for a descriptor for what another file did
        that had its number before, and of which somebody has a copy: so the process is asked too.
        """
        while True:
            await anyio.wait_readable(self.pidfd)
            if self._has_exited():
                return

    def _has_exited(self) -> bool:
        try:
            return os.waitid(os.P_PIDFD, self.pidfd, _EXITED) is not None
        except ChildProcessError:  # somebody else was faster
            return True

    async def _exits_while_read(self) -> bool:
        """Wait for the exit of a slow or talkative plugin, reading what it prints meanwhile; False
        when standard output went over a cap that ends the run.
        """
        streams = {stream.fd: stream for stream in (self.stdout, self.stderr)}
        try:
            poll = select.epoll()
        except OSError:  # no descriptor left: what fits into the pipes is read after the exit
            await self._exits()
            return True
        with poll:
            for fd in (self.pidfd, *streams):
                poll.register(fd, select.EPOLLIN)
            while True:
                await anyio.wait_readable(poll.fileno())
                ready = [fd for fd, _ in poll.poll(0)]
                for fd in ready:
                    if fd in streams and streams[fd].read(CHUNK):
                        poll.unregister(fd)
                if self.stdout.is_over and self.caps.ends_at_cap:
                    return False
                if self.pidfd in ready:
                    return True

    async def _end(self, ending: Ending, grace_seconds: float) -> _Exit:
        """End the process group: TERM, grace, KILL; then reap the leader."""
        if grace_seconds > 0:
            self._signal_group(signal.SIGTERM)
            with anyio.move_on_after(grace_seconds):
                await self._exits_while_read()
        self._kill()
        await self._exits()
        self._reap()
        return ending, 0

    def _reap(self) -> _Exit:
        """Learn how the process ended, end its group if it failed, and reap it last."""
        self._drain()
        ending = self._ending()
        if ending != (Ending.EXITED, 0):
            self._kill()
        try:
            os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)
        except ChildProcessError:  # somebody else was faster, so it is no success
            ending = Ending.LOST, 0
            self._kill()
        self.is_reaped = True
        return ending

    def _ending(self) -> _Exit:
        """Tell how the process ended, without reaping it."""
        try:
            info = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:  # the host program ignores SIGCHLD or reaps everything
            return Ending.LOST, 0
        if info is None:
            return Ending.LOST, 0
        if info.si_code != os.CLD_EXITED:
            return Ending.SIGNALLED, info.si_status
        if self.stdout.is_over and self.caps.ends_at_cap:
            return Ending.OVER_CAP, 0
        return Ending.EXITED, info.si_status

    def _kill(self) -> None:
        """Kill the process group, and the control group where there is one."""
        self._signal_group(signal.SIGKILL)
        if self.cgroup is not None:
            self.cgroup.kill()

    def _signal_group(self, number: signal.Signals) -> None:
        if self._pid == _GONE:
            return
        # Gone already, or all of it runs as somebody else.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self._pid:
                os.killpg(self._pid, number)
                return
            try:
                # Reaches the group even when somebody else reaped the leader: unlike a number it is
                # never another's.
                signal.pidfd_send_signal(self.pidfd, number, None, PIDFD_SIGNAL_PROCESS_GROUP)
            except (ProcessLookupError, PermissionError):
                raise
            except OSError:  # what the machine lacks for one call it may have for the other
                os.killpg(pid_of(self.pidfd), number)

    def _drain(self) -> None:
        """Take what is still in the pipes.

        What is in them now, and no more: a grandchild that goes on printing must not keep us, and
        what the plugin itself wrote was in the pipe when it exited, which may hold a mebibyte
        (F_SETPIPE_SZ). Never to the end of the stream: for some microseconds after a spawn the new
        child holds copies of our descriptors, so the end may come late.
        """
        before = perf_counter()
        for stream in (self.stdout, self.stderr):
            stream.read(bytes_in(stream.fd))
        self.read_seconds = perf_counter() - before

    def output(self) -> tuple[bytes, bytes]:
        """Return both streams."""
        return bytes(self.stdout.data), bytes(self.stderr.data)

    def close(self) -> None:
        """Close what is ours, and end what an interrupted wait left."""
        is_started = self.pidfd != NO_DESCRIPTOR
        try:
            if is_started and not self.is_reaped:
                self._end_now()
        finally:
            own = [self.pidfd] if is_started else []
            close_all(*own, self.stdout.fd, self.stderr.fd, *self.ends)

    def _end_now(self) -> None:
        """Kill the process group and reap the leader without the loop: native cancellations of
        asyncio pierce shields, KeyboardInterrupt does, and reading may have failed. What it printed
        nobody asks for any more.
        """
        self._kill()
        exits = select.poll()
        exits.register(self.pidfd, select.POLLIN)
        if exits.poll(_KILL_MILLISECONDS):
            with contextlib.suppress(ChildProcessError):  # somebody else was faster
                os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)
            self.is_reaped = True


def _cgroups_below(directory: str | None, spawner: Spawner) -> Cgroups | None:
    if directory is None:
        return None
    if not isinstance(spawner, GlibcSpawner):
        expected = "glibc 2.39 or newer"
        raise ConfigError("this C library starts nothing in it", place="cgroup", expected=expected)
    return Cgroups(directory)


def _not_started(error: OSError) -> Response:
    return Response(ending=Ending.NOT_STARTED, status=error.errno or 0)

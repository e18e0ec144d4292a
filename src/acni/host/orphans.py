"""Plugins that a dead runtime left running: waited for, and ended when they are out of time.

Each plugin inherits a description that holds the *guard byte* of its container, shared. Who takes
over from a dead runtime waits until nobody holds it, or two plugins would work on one container.

Rule 1: a process is signalled by descriptor, and only when its start time, read again after the
    descriptor was opened, is the one it had when it was found: a number may be another's by now.
Rule 2: what is ended is the session of a plugin that its runtime started: its leader lives, its
    command line is that of a plugin of the recorded chain, and someone in it holds the byte.
    Whatever else holds it is a daemon, and is left alone.
Rule 3: once the first signal is sent the session is ended, whoever is cancelled.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import time
from collections.abc import Collection, Sequence
from typing import Final

import anyio
import anyio.lowlevel
import anyio.to_thread
from attrs import define, frozen

from acni.host.holders import (
    Holders,
    Process,
    all_processes,
    find_holders,
    find_process,
    members_of,
)
from acni.host.locks import is_held
from acni.host.processes import PIDFD_SIGNAL_PROCESS_GROUP

# Between two looks at the byte, which cost 1 µs each; many a plugin needs a millisecond more.
_FIRST_PAUSE: Final = 0.0005
_LONGEST_PAUSE: Final = 0.02
# Looking for holders takes some 10 µs for each descriptor on the host.
_LOOK_SECONDS: Final = 5.0
# /proc itself may hang: on the command line of a process that is stuck in the kernel.
_HANG_SECONDS: Final = _LOOK_SECONDS + 1.0
# How long a killed session may take to be gone; a process in an uninterruptible sleep takes longer.
_KILL_SECONDS: Final = 5.0
_INIT: Final = 1

# The processes that are gone, and those that are not.
_Outcome = tuple[tuple[Process, ...], tuple[Process, ...]]


@frozen(kw_only=True)
class Orphans:
    """What became of the plugins that a dead runtime left.

    Attributes:
        waited_seconds: How long all of it took.
        ended: The plugins that were ended; each was the leader of its session.
        stuck: Those that could not be: another user's, or in an uninterruptible sleep. Nothing of
            theirs should be undone yet.
        daemons: Who else holds the byte, to be ignored from now on.
        is_held: The byte is still held: by the last two, or by what this process may not look at.
    """

    waited_seconds: float
    ended: tuple[Process, ...] = ()
    stuck: tuple[Process, ...] = ()
    daemons: tuple[Process, ...] = ()
    is_held: bool = False


async def wait_for_orphans(
    lock: int,
    offset: int,
    *,
    until: float,
    plugins: Collection[str],
    grace_seconds: float,
) -> Orphans:
    """Wait until no other description holds a byte, and end the plugins that hold it too long.

    Nobody may start a plugin with this guard meanwhile: the caller has the container's lock.

    Args:
        lock: A descriptor of the file, whose own description holds no guard.
        offset: The guard byte.
        until: When they are out of time, on CLOCK_BOOTTIME, which all processes of a boot share.
            Trusted: the caller bounds what it read somewhere.
        plugins: The paths of the recorded chain, as they were started.
        grace_seconds: Between SIGTERM and SIGKILL.

    Raises:
        OSError: there are no descriptors or no memory, or the lock's is not open.
    """
    begun = anyio.current_time()
    await anyio.lowlevel.checkpoint()
    if await _is_free_by(lock, offset, until):
        return Orphans(waited_seconds=anyio.current_time() - begun)
    leaders = leaders_to_end(await _look(lock, offset), plugins, own=os.getsid(0))
    ended, stuck = await _end_sessions(leaders, grace_seconds)
    held = is_held(lock, offset)
    left = await _look(lock, offset) if held else Holders()
    return Orphans(
        waited_seconds=anyio.current_time() - begun,
        ended=ended,
        stuck=stuck,
        daemons=outside_of(stuck, left.processes),
        is_held=held,
    )


def leaders_to_end(holders: Holders, plugins: Collection[str], *, own: int) -> list[Process]:
    """Select the leaders whose sessions are ended.

    Args:
        holders: Who holds the byte.
        plugins: The paths of the recorded chain.
        own: The session of this process.
    """
    # A session's leader is older than what is in it; who is younger has got its number meanwhile.
    oldest = {
        leader.pid: min(
            (each.started for each in holders.processes if each.session == leader.pid), default=-1
        )
        for leader in holders.leaders
    }
    return [
        leader
        for leader in holders.leaders
        if leader.pid not in {_INIT, own}
        and leader.started <= oldest[leader.pid]
        and is_plugin(leader.command, plugins)
    ]


def is_plugin(command: Sequence[str], plugins: Collection[str]) -> bool:
    """Tell whether a command line is that of a plugin as a runtime starts it: without arguments, so
    its path is the last word. Before it is the interpreter of a script, with its options.

    A daemon that is the same executable with arguments (``dhcp daemon``) is none, and nothing that
    is dead is one: a zombie has no command line.
    """
    return bool(command) and command[-1] in plugins


def outside_of(leaders: Collection[Process], processes: Sequence[Process]) -> tuple[Process, ...]:
    """Select the processes that are in none of these leaders' sessions."""
    sessions = {leader.pid for leader in leaders}
    return tuple(process for process in processes if process.session not in sessions)


async def _is_free_by(lock: int, offset: int, until: float) -> bool:
    pause = _FIRST_PAUSE
    while is_held(lock, offset):
        left = until - time.clock_gettime(time.CLOCK_BOOTTIME)
        if left <= 0:
            return False
        await anyio.sleep(min(pause, left))
        pause = min(pause * 2, _LONGEST_PAUSE)
    return True


async def _look(lock: int, offset: int) -> Holders:
    """Look for the holders in a thread; in vain where /proc hangs."""
    status = os.fstat(lock)
    file = status.st_dev, status.st_ino
    with anyio.move_on_after(_HANG_SECONDS):
        return await anyio.to_thread.run_sync(
            find_holders, file, offset, _LOOK_SECONDS, abandon_on_cancel=True, limiter=_own_thread()
        )
    return Holders()


async def _end_sessions(leaders: Sequence[Process], grace_seconds: float) -> _Outcome:
    """End the sessions of these leaders; tell which of them are gone, and which are not."""
    with contextlib.ExitStack() as stack:
        pinned: list[Pinned] = []
        for leader in leaders:
            if (pin := Pinned.pin(leader)) is not None:
                stack.callback(pin.close)
                pinned.append(pin)
        if pinned:
            await _end(pinned, grace_seconds)
        gone = {pin.process for pin in pinned if pin.has_exited()}
        return tuple(gone), tuple({pin.process for pin in pinned} - gone)


async def _end(leaders: Sequence[Pinned], grace_seconds: float) -> None:
    """TERM, grace, KILL; when cancelled, KILL at once."""
    try:
        if grace_seconds > 0:
            for leader in leaders:
                leader.signal_group(signal.SIGTERM)
            with anyio.move_on_after(grace_seconds):
                for leader in leaders:
                    await anyio.wait_readable(leader.pidfd)
    finally:
        with anyio.move_on_after(_KILL_SECONDS, shield=True):
            await _kill(leaders)


async def _kill(leaders: Sequence[Pinned]) -> None:
    """Kill the sessions until nobody lives in them."""
    # First, and before any await: no fork escapes this, and native cancellations pierce the shield.
    for leader in leaders:
        leader.signal_group(signal.SIGKILL)
    processes = [leader.process for leader in leaders]
    pause = _FIRST_PAUSE
    while await anyio.to_thread.run_sync(_kill_members, processes, limiter=_own_thread()):
        await anyio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)
    for leader in leaders:
        await anyio.wait_readable(leader.pidfd)


def _kill_members(leaders: Sequence[Process]) -> bool:
    """Kill what lives in these sessions, other process groups of theirs included; False when there
    is nothing that can be killed.

    What /proc calls a zombie may live: of several threads the first ended, and the others hold all
    that the process had open.
    """
    killed = [_kill_process(member) for member in members_of(leaders, all_processes())]
    return any(killed)


def _kill_process(process: Process) -> bool:
    pinned = Pinned.pin(process)
    if pinned is None:
        return False
    try:
        if pinned.has_exited():
            return False
        signal.pidfd_send_signal(pinned.pidfd, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return False
    finally:
        pinned.close()
    return True


@define(eq=False, repr=False)
class Pinned:
    """A process that is held by a descriptor, which is never another's.

    Attributes:
        process: What was found.
        pidfd: The descriptor.
    """

    process: Process
    pidfd: int

    @classmethod
    def pin(cls, process: Process) -> Pinned | None:
        """Open the descriptor; None when the process is gone, even if another has its number.

        Raises:
            OSError: there are no descriptors.
        """
        try:
            pinned = cls(process, os.pidfd_open(process.pid))
        except ProcessLookupError:
            return None
        try:
            # Read last: whose number it is now, the descriptor is of.
            now = find_process(process.pid)
        except BaseException:
            pinned.close()
            raise
        if now is None or now.started != process.started:
            pinned.close()
            return None
        return pinned

    def signal_group(self, number: signal.Signals) -> None:
        """Signal the process group that it leads; it may be gone, or another user's."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            try:
                signal.pidfd_send_signal(self.pidfd, number, None, PIDFD_SIGNAL_PROCESS_GROUP)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                self.signal_group_by_number(number)

    def signal_group_by_number(self, number: signal.Signals) -> None:
        """Do so where a descriptor reaches no group, before Linux 6.9: as long as the leader lives
        its number is nobody else's.
        """
        if not self.has_exited():
            os.killpg(self.process.pid, number)

    def has_exited(self) -> bool:
        """Tell whether all of its threads have."""
        exits = select.poll()
        exits.register(self.pidfd, select.POLLIN)
        return bool(exits.poll(0))

    def close(self) -> None:
        os.close(self.pidfd)


def _own_thread() -> anyio.CapacityLimiter:
    # Not the loop's own limiter: who takes over must not queue behind the host program's work.
    return anyio.CapacityLimiter(1)

"""Links removed without waiting for what the kernel does afterwards.

A link and its other end are gone, and their names free, in less than a millisecond. Then the kernel
gives its lock back and sleeps some 15 ms until nobody can hold the memory any more (rcu_barrier in
netdev_run_todo, net/core/dev.c), and only then answers. That sleep is taken by a thread.

Rule 1: a thread touches nothing but a socket that was made for it, in the namespace of the thread
    that asked for the removal, or in the one that it named. In which namespace the threads are
    themselves (that of the one whose removal first needed them) does not matter.
Rule 2: who asked is answered when the index is nobody's, not when the name is free: that may be
    another link's already.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from queue import SimpleQueue
from threading import Event, Lock, Thread
from typing import Final, Protocol

from attrs import Factory, define, field

from acni.errors import Busy
from acni.host.netns import Namespace
from acni.netlink.errors import NetlinkError, NetlinkTimeout
from acni.netlink.links import delete
from acni.netlink.lookup import has_index, index_of
from acni.netlink.sockets import Netlink, open_here, open_inside

# 24 removals in a row take 20 ms each with one thread, and less than 1 with these.
MOST_THREADS: Final = 32

# It mostly takes 0.7 ms; where the kernel's lock of all links is in demand, longer. So the first
# looks are close together.
_FIRST_STEP_SECONDS: Final = 0.0001
_LAST_STEP_SECONDS: Final = 0.002
_STEP_GROWTH: Final = 1.2


class OpenNamespace(Protocol):
    """An open network namespace."""

    @property
    def fd(self) -> int: ...

    @property
    def path(self) -> str: ...


@define(eq=False)
class Removal:
    """One removal: what is to be done, and what came of it.

    Attributes:
        is_done: Set when the kernel has answered.
        error: What it refused with.
        is_taken: A thread has it, and its socket.
    """

    netlink: Netlink
    index: int
    is_taken: bool = False
    is_done: Event = Factory(Event)
    error: BaseException | None = None

    def run(self) -> None:
        try:
            with self.netlink:
                self.netlink.request(delete(self.index))
        except BaseException as error:  # noqa: ASYNC103, BLE001 (raised where it was asked)
            self.error = error


@define(eq=False)
class Removals:
    """Threads that wait for the kernel. Whoever made it closes it; any thread may ask."""

    _jobs: SimpleQueue[Removal | None] = field(factory=SimpleQueue[Removal | None], init=False)
    _threads: list[Thread] = field(factory=list[Thread], init=False)
    _lock: Lock = field(factory=Lock, init=False)  # guards the threads, their work and the end
    _unfinished: int = field(default=0, init=False)
    _is_closed: bool = field(default=False, init=False)

    def remove(
        self,
        which: int | str,
        *,
        within: float,
        namespace: OpenNamespace | None = None,
        home: Namespace | None = None,
    ) -> bool:
        """Remove a link and return when it is gone.

        Args:
            which: Its index or its name.
            within: Seconds after which it is given up.
            namespace: Where the link is; without it, in the calling thread's namespace.
            home: The namespace the thread comes from, where another one is named; without it the
                kernel is asked.

        Returns:
            Whether it was there.

        Raises:
            NetlinkError: the kernel refuses.
            NetlinkTimeout: it is not gone in time; that may still happen.
            NotPermitted, Busy, OSError, Stranded: as by :func:`acni.netlink.sockets.open_inside`.
        """
        until = time.monotonic() + within
        if namespace is None:
            netlink = open_here(seconds=within)
        else:
            netlink = open_inside(namespace.fd, path=namespace.path, home=home, seconds=within)
        removal: Removal | None = None
        try:
            index = _present_index(netlink, which)
            if index is None:
                return False
            removal = Removal(netlink, index)
            # The socket is the thread's from now on; a second descriptor asks beside it.
            probe = os.dup(netlink.fileno())
            try:
                self._hand_over(removal)
                return _is_gone(removal, probe, until)
            finally:
                os.close(probe)
        finally:
            if removal is None or not removal.is_taken:
                netlink.close()

    def close(self, *, within: float) -> bool:
        """Let the threads end, each after what it does; nothing is removed from now on.

        Args:
            within: Seconds that are waited for them.

        Returns:
            Whether all have ended.
        """
        until = time.monotonic() + within
        with self._lock:
            self._is_closed = True
            threads = [thread for thread in self._threads if thread.is_alive()]
        for _ in threads:
            self._jobs.put(None)
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def _hand_over(self, removal: Removal) -> None:
        with self._lock:
            if self._is_closed:
                raise NetlinkError(errno.ESHUTDOWN, "nothing is removed any more")
            # In a forked child none of them is there.
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            if len(self._threads) < min(self._unfinished + 1, MOST_THREADS):
                self._start_thread()
            self._unfinished += 1
            removal.is_taken = True
            self._jobs.put(removal)

    def _start_thread(self) -> None:
        # A daemon: nothing is lost with it, the kernel goes on by itself.
        thread = Thread(target=self._serve, name="acni-removal", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            if not self._threads:
                raise Busy(f"{error}", expected="room for one more thread") from error
            return  # another one does it after its own
        self._threads.append(thread)

    def _serve(self) -> None:
        while (removal := self._jobs.get()) is not None:
            removal.run()
            with self._lock:
                self._unfinished -= 1
            removal.is_done.set()


def remove_link(
    which: int | str, *, within: float, leave: Callable[[Callable[[], object]], object]
) -> bool:
    """Remove a link of the calling thread's namespace and return when it is gone.

    Args:
        which: Its index or its name.
        within: Seconds after which it is given up.
        leave: Leaves the removal to a thread, which waits for the kernel.

    Returns:
        Whether it was there.

    Raises:
        NetlinkError: the kernel refuses.
        NetlinkTimeout: it is not gone in time; that may still happen.
        OSError: there is no descriptor left.
    """
    until = time.monotonic() + within
    netlink = open_here(seconds=within)
    is_left = False
    try:
        index = _present_index(netlink, which)
        if index is None:
            return False
        removal = Removal(netlink, index)
        # The socket is the thread's from now on; a second descriptor asks beside it.
        probe = os.dup(netlink.fileno())
        try:
            leave(removal.run)
            is_left = True
            return _is_gone(removal, probe, until)
        finally:
            os.close(probe)
    finally:
        if not is_left:
            netlink.close()


def _is_gone(removal: Removal, probe: int, until: float) -> bool:
    """Wait until a link is gone; tell whether it was there."""
    step = _FIRST_STEP_SECONDS
    while not removal.is_done.wait(step):
        if not has_index(probe, removal.index):
            return True
        if time.monotonic() > until:
            raise NetlinkTimeout(errno.ETIMEDOUT, f"link {removal.index} is not gone")
        step = min(_STEP_GROWTH * step, _LAST_STEP_SECONDS)
    if removal.error is None:
        return True
    if isinstance(removal.error, NetlinkError) and removal.error.errno == errno.ENODEV:
        return False
    raise removal.error


def _present_index(netlink: Netlink, which: int | str) -> int | None:
    if isinstance(which, int):
        return which if has_index(netlink.fileno(), which) else None
    try:
        return index_of(netlink, which)
    except NetlinkError as error:
        if error.errno != errno.ENODEV:
            raise
        return None

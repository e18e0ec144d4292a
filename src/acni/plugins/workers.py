"""The threads that run built-in plugins, and those that only wait for the kernel.

Rule 1: they are ours, because a plugin enters network namespaces with its thread. It is back where
    it came from before anything else uses the thread, or the thread ends.
Rule 2: they are kept for the next run: to ask one costs two switches, to make one ten times that.
Rule 3: they are daemons: an interpreter that ends waits for no runtime that was never left.
Rule 4: a descriptor says that a verb has ended, since an event loop can wait for one, whichever it
    is, without a thread of its own that waits.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from queue import SimpleQueue
from threading import Event, Lock, Thread
from typing import Final, Self

import anyio
from attrs import Factory, define, field

from acni.host import netns
from acni.host.files import close_all
from acni.host.visits import is_back
from acni.skel import Bounds, Stopped
from acni.spec.plugin import Response

# How many may wait for the kernel at once: with so many, 24 deletes in a row take 0.7 ms each
# instead of 20.
_MOST_SLEEPERS: Final = 32


@define(eq=False, repr=False)
class Job:
    """One run of a verb.

    Attributes:
        function: Runs it.
        bounds: How long it may go on.
        response: What it yielded; None as long as it runs, and where it was told to stop.
        ended: Set when it has ended.
    """

    function: Callable[[], Response]
    bounds: Bounds
    response: Response | None = field(default=None, init=False)
    ended: Event = field(factory=Event, init=False)
    _guard: int | None = field(default=None, init=False)
    _lock: Lock = field(factory=Lock, init=False)

    @property
    def is_done(self) -> bool:
        """Whether it has ended."""
        return self.ended.is_set()

    def run(self) -> None:
        """Run it, in a thread of ours."""
        with contextlib.suppress(Stopped):
            self.response = self.function()

    def finish(self) -> None:
        """Note that it has ended."""
        with self._lock:
            self.ended.set()
            if self._guard is not None:
                os.close(self._guard)
                self._guard = None

    def leave_behind(self, guard: int | None) -> None:
        """Let it hold a guard for as long as it goes on: nobody waits for it any more."""
        with self._lock:
            if guard is not None and not self.is_done:
                with contextlib.suppress(OSError):
                    self._guard = fcntl.fcntl(guard, fcntl.F_DUPFD_CLOEXEC, 0)


@define(eq=False, repr=False)
class _Signal:
    """A descriptor that becomes readable.

    Nobody knows who of the two that share it, thread and loop, needs it last; so it is closed at
    the latest with the last of them.
    """

    fd: int

    @classmethod
    def make(cls) -> Self:
        """Make one; what has no descriptor is none, and has nothing to close."""
        return cls(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))

    def give(self) -> None:
        os.eventfd_write(self.fd, 1)

    def take(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.fd)

    def close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            close_all(fd)

    def __del__(self) -> None:
        self.close()


@define(eq=False, repr=False)
class Worker:
    """A thread that runs one verb at a time."""

    _jobs: SimpleQueue[Job | None] = Factory(SimpleQueue["Job | None"])
    _ended: _Signal = Factory(_Signal.make)
    _home: netns.Namespace = field(init=False)
    _thread: Thread = field(init=False)
    _is_home: bool = field(default=True, init=False)

    def __attrs_post_init__(self) -> None:
        with ExitStack() as opened:  # closed where there is no thread, or no descriptor
            opened.callback(self._ended.close)
            self._home = opened.enter_context(netns.own())
            self._thread = Thread(target=self._serve, name="acni-plugin", daemon=True)
            self._thread.start()
            opened.pop_all()

    def is_usable(self) -> bool:
        """Tell whether it can be given another job; in a forked child it cannot."""
        return self._is_home and self._thread.is_alive()

    def begin(self, job: Job) -> None:
        """Begin a job."""
        self._jobs.put(job)

    async def wait(self, job: Job) -> None:
        """Wait until a job has ended."""
        while True:
            await anyio.wait_readable(self._ended.fd)
            # Taken first, and asked then: trio may wake who waits for a descriptor for what another
            # file did that had its number before.
            self._ended.take()
            if job.is_done:
                return

    def end(self) -> None:
        """Let the thread end once it has nothing to do."""
        self._jobs.put(None)

    def join(self, seconds: float) -> None:
        """Wait until the thread has ended, and close what was left of it."""
        if self._thread.is_alive():
            self._thread.join(seconds)
        if not self._thread.is_alive():
            self._ended.close()

    def _serve(self) -> None:
        with self._home:
            while self._is_home and (job := self._jobs.get()) is not None:
                self._is_home = False
                try:
                    job.run()
                    self._is_home = is_back(self._home)
                finally:  # whatever it raised: somebody waits for it
                    job.finish()
                    self._ended.give()


@define(eq=False, repr=False)
class _Pool:
    """The threads of one process, until they are closed."""

    _left: SimpleQueue[Callable[[], object] | None] = Factory(
        SimpleQueue["Callable[[], object] | None"]
    )
    _threads: list[Thread] = Factory(list[Thread])
    _free: int = field(default=0, init=False)
    _is_closed: bool = field(default=False, init=False)
    _lock: Lock = field(factory=Lock, init=False)

    def take(self, function: Callable[[], object]) -> bool:
        """Give a function to a thread that is free, or a new one; False where there is none."""
        with self._lock:
            if self._is_closed:
                return False
            if self._free:
                self._free -= 1
            elif not (len(self._threads) < _MOST_SLEEPERS and self._start()):
                return False
            self._left.put(function)
            return True

    def close(self, until: float) -> None:
        with self._lock:
            self._is_closed = True
            for _ in self._threads:
                self._left.put(None)
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _start(self) -> bool:
        thread = Thread(target=self._serve, name="acni-sleeper", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the machine has no thread to give
            return False
        self._threads.append(thread)
        return True

    def _serve(self) -> None:
        while (function := self._left.get()) is not None:
            _call(function)
            with self._lock:
                self._free += 1


@define(eq=False, repr=False)
class Sleepers:
    """Threads for what only waits in the kernel; what finds none is waited for by its caller."""

    # By process: a forked child has the parent's books, and none of its threads.
    _pools: dict[int, _Pool] = field(factory=dict[int, _Pool], init=False)

    def leave(self, function: Callable[[], object]) -> None:
        """Leave a function to one of them; called by any thread."""
        process = os.getpid()
        pool = self._pools.get(process) or self._pools.setdefault(process, _Pool())
        if not pool.take(function):
            _call(function)

    def close(self, until: float) -> None:
        """Wait until all that was left is done, or ``until`` on ``time.monotonic``'s clock."""
        pool = self._pools.pop(os.getpid(), None)
        if pool is not None:
            pool.close(until)


def _call(function: Callable[[], object]) -> None:
    with contextlib.suppress(Exception):
        function()

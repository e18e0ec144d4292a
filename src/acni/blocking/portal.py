"""A thread with an event loop, in which an asynchronous context manager is open, and calls into it.

It is left by whoever opened it, or when nobody is left who could.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import partial
from typing import Any, Final, Generic, TypeVar

import anyio
import anyio.abc
from attrs import define, field

from acni.blocking.calls import Call, Caller, closed_error
from acni.errors import AcniError, RuntimeClosed

T = TypeVar("T")
Opened = TypeVar("Opened")
Letter = Call[Any] | Callable[[], None]

# How late the interpreter's end may be seen: nothing public tells of it while threads can still be
# started, and an undo needs some.
_LOOK_SECONDS: Final = 0.25


@contextmanager
def open_portal(
    opening: AbstractAsyncContextManager[Opened], backend: str
) -> Generator[Portal[Opened]]:
    """Open an asynchronous context manager in a thread with a loop of its own.

    Args:
        opening: What is opened.
        backend: The loop: "asyncio" or "trio".

    Raises:
        Exception: what opening it raised, or closing it.
    """
    portal = Portal(opening, backend)
    try:
        portal.start()
        yield portal
    finally:
        portal.leave()


class PortalThread(threading.Thread):
    """The loop's thread. No daemon: the interpreter waits for what is to be undone."""


@define(eq=False)
class _Bell:
    """Wakes up the loop. It is closed when nobody holds it any more, so that a thread that still
    rings never writes into what was opened under its number meanwhile.
    """

    _descriptor: int = field(
        factory=partial(os.eventfd, 0, os.EFD_CLOEXEC | os.EFD_NONBLOCK), init=False
    )

    def ring(self) -> None:
        os.eventfd_write(self._descriptor, 1)

    async def wait(self) -> None:
        await anyio.wait_readable(self._descriptor)
        os.eventfd_read(self._descriptor)

    def __del__(self) -> None:
        os.close(self._descriptor)


@define(eq=False)
class _Held(Generic[T]):
    """An asynchronous context manager that is open for a block of another thread, in one task from
    beginning to end, for a cancel scope of it may span the block.
    """

    _manager: AbstractAsyncContextManager[T]
    _left: anyio.Event = field(init=False)
    _ended: anyio.Event = field(init=False)
    _error: BaseException | None = field(default=None, init=False)
    _failure: BaseException | None = field(default=None, init=False)

    async def keep(self, *, task_status: anyio.abc.TaskStatus[T]) -> None:  # noqa: ASYNC114
        """Hold it open until it is left.

        Raises:
            BaseException: what entering it raised.
        """
        self._left, self._ended = anyio.Event(), anyio.Event()
        has_begun = False
        try:
            async with self._manager as value:
                has_begun = True
                task_status.started(value)
                await self._block()
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as error:
            if not has_begun:
                raise
            self._failure = error  # raised by leave()
        finally:
            self._ended.set()

    async def _block(self) -> None:
        await self._left.wait()
        if self._error is not None:
            raise self._error

    async def leave(self, error: BaseException | None) -> None:
        """Leave it, with what its block raised.

        Raises:
            BaseException: what leaving it raised besides that.
        """
        self._error = error
        self._left.set()
        with anyio.CancelScope(shield=True):  # what is held has bounds of its own
            await self._ended.wait()
        failure, self._failure, self._error = self._failure, None, None
        if failure is not None and failure is not error:
            raise failure


@define(eq=False)
class Portal(Generic[Opened]):
    """Calls into a loop's thread; made by :func:`open_portal`.

    The thread takes the bell away before it looks at its letters for the last time, and who posts
    one looks at the bell afterwards: one of them sees it.

    Attributes:
        opened: What is open there.
    """

    _opening: AbstractAsyncContextManager[Opened]
    _backend: str
    opened: Opened = field(init=False)
    _pid: int = field(factory=os.getpid, init=False)
    _thread: PortalThread = field(init=False)
    _has_begun: bool = field(default=False, init=False)
    _opener: Caller = field(factory=Caller, init=False)
    _letters: deque[Letter] = field(factory=deque[Letter], init=False)
    _bell: _Bell | None = field(factory=_Bell, init=False)
    # Taken for as long as the thread runs.
    _life: threading.Lock = field(factory=threading.Lock, init=False)
    _is_open: bool = field(default=False, init=False)
    _is_over: bool = field(default=False, init=False)
    _failure: BaseException | None = field(default=None, init=False)
    # The loop's.
    _tasks: anyio.abc.TaskGroup | None = field(default=None, init=False)
    _leaving: anyio.Event = field(init=False)
    _held: set[_Held[Any]] = field(factory=set["_Held[Any]"], init=False)

    def __attrs_post_init__(self) -> None:
        self._thread = PortalThread(target=self._main, name="acni-blocking")
        self._life.acquire()

    def start(self) -> None:
        """Start the thread, and wait until everything is open there.

        Raises:
            Exception: what opening it raised.
        """
        self._thread.start()
        # Where Ctrl-C ends the interpreter's wait for its threads, this one is waited for here.
        atexit.register(self.leave)
        self._opener.wait(lambda: self._is_open or self._is_over)
        if not self._is_open:
            self.leave()

    def leave(self) -> None:
        """End the thread, and wait until everything is undone and closed there: what interrupts the
        wait is raised afterwards. In a forked child, and in that thread, nothing is waited for; nor
        where that thread could not be started, or has not begun yet, and will find that it may end.

        Raises:
            Exception: what opening it raised, or closing it.
        """
        if os.getpid() != self._pid:
            return
        if threading.current_thread() is self._thread:
            self.post(self._begin_to_leave)
            return
        interrupt: BaseException | None = None
        is_told = False
        while not is_told or (self._has_begun and not self._is_over):
            try:
                if not is_told:
                    self.post(self._begin_to_leave)  # twice does no harm
                    is_told = True
                # Not join(): interrupted on Python 3.11, it takes a thread that runs for ended.
                elif self._life.acquire(timeout=_LOOK_SECONDS):
                    self._life.release()
            except BaseException as error:  # noqa: ASYNC103, BLE001 (raised below)
                interrupt = interrupt or error
        atexit.unregister(self.leave)
        failure, self._failure = self._failure, None
        raised = interrupt or failure
        if raised is not None:
            try:
                raise raised
            finally:
                del raised, interrupt, failure  # the traceback has this frame, and the bell

    def call(
        self,
        function: Callable[[], Awaitable[T]],
        seconds: float | None = None,
        *,
        undo: Callable[[T], Awaitable[object]] | None = None,
        caller: Caller | None = None,
    ) -> T:
        """Call an asynchronous function in the loop's thread and wait for its result.

        Args:
            function: What is called.
            seconds: When it is cancelled, counted from now.
            undo: Undoes it where this thread was interrupted before it took the result.
            caller: This thread, where the function has questions to it.

        Raises:
            TimeoutError: it was cancelled.
            RuntimeClosed: the portal was left.
            RuntimeError: this is the loop's thread.
        """
        if threading.current_thread() is self._thread:
            raise RuntimeError(
                "called in the runtime's own thread, as by an observer: it would wait for itself"
            )
        call = Call(function, seconds, undo, caller or Caller())
        try:
            if self.post(call):
                call.wait()
            if call.values:
                return call.values[0]
        except BaseException as interrupt:
            if self.post(partial(self._give_up, call)):
                call.wait_until_settled()
            if call.undo_failure is not None:
                interrupt.add_note(f"the undo did not finish: {call.undo_failure}")
            raise
        try:
            raise call.error
        finally:
            del call  # the error's traceback has this frame

    @contextmanager
    def hold(self, manager: AbstractAsyncContextManager[T], seconds: float | None) -> Generator[T]:
        """Hold an asynchronous context manager open in the loop's thread for as long as a block
        lasts.

        Args:
            manager: What is entered.
            seconds: When entering it is cancelled, counted from now.

        Raises:
            TimeoutError: entering it was cancelled.
            RuntimeClosed: the portal was left, and this manager with it.
            RuntimeError: this is the loop's thread.
        """
        held = _Held(manager)

        async def enter() -> T:
            if self._tasks is None:
                raise closed_error()
            value: T = await self._tasks.start(held.keep)
            self._held.add(held)
            return value

        async def leave(error: BaseException | None) -> None:
            if held not in self._held:
                raise closed_error()
            self._held.discard(held)
            await held.leave(error)

        value = self.call(enter, seconds, undo=lambda _: leave(None))
        try:
            yield value
        except BaseException as error:
            with contextlib.suppress(RuntimeClosed):
                self.call(partial(leave, error))
            raise
        self.call(partial(leave, None))

    def post(self, letter: Letter) -> bool:
        """Have a call begun, or a function called, in the loop's thread; return False where that
        will not happen any more.
        """
        bell = self._bell
        if bell is None or os.getpid() != self._pid:
            return False
        self._letters.append(letter)
        bell.ring()
        if self._bell is None:
            self._open_letters()
            return False
        return True

    # What follows runs in the loop's thread; _open_letters() and what it calls elsewhere, too, once
    # that has ended.

    def _main(self) -> None:
        self._has_begun = True
        try:
            anyio.run(self._live, backend=self._backend)
        except BaseException as error:  # noqa: ASYNC103, BLE001 (raised by leave())
            self._failure = error
        finally:
            self._bell = None
            self._open_letters()
            self._is_over = True
            self._opener.wake()
            self._life.release()

    async def _live(self) -> None:
        async with anyio.create_task_group() as service:
            async with anyio.create_task_group() as calls:
                try:
                    async with self._opening as self.opened:
                        await self._serve(service, calls)
                except Exception as error:  # noqa: BLE001 (raised by leave(), in no group)
                    self._failure = error
                calls.cancel_scope.cancel()
            # Not cancelled: the traceback would keep the bell.
            self._tasks = None
            self.post(self._begin_to_leave)

    async def _serve(self, service: anyio.abc.TaskGroup, calls: anyio.abc.TaskGroup) -> None:
        """Let calls come in until it is time to leave, and leave what is held. All else that goes
        on is ended by what is open.
        """
        self._leaving, self._tasks = anyio.Event(), calls
        service.start_soon(self._receive)
        calls.start_soon(self._leave_at_exit)
        self._is_open = True
        self._opener.wake()
        await self._leaving.wait()
        while self._held:  # one that is just being entered comes late
            async with anyio.create_task_group() as tasks:
                while self._held:
                    tasks.start_soon(_leave_alone, self._held.pop())

    async def _receive(self) -> None:
        bell = self._bell
        while bell is not None and self._tasks is not None:
            self._open_letters()
            await bell.wait()

    def _open_letters(self) -> None:
        while True:
            try:
                letter = self._letters.popleft()
            except IndexError:
                return
            if not isinstance(letter, Call):
                letter()
            elif self._tasks is None or self._leaving.is_set():
                letter.end()
            else:
                letter.begin(self._tasks)

    def _give_up(self, call: Call[Any]) -> None:
        if call.give_up():
            if self._tasks is None:
                call.settle()
            else:
                self._tasks.start_soon(call.undo)

    def _begin_to_leave(self) -> None:
        if self._tasks is not None:
            self._leaving.set()

    async def _leave_at_exit(self) -> None:
        while not _is_nobody_left():  # noqa: ASYNC110 (no event tells of it)
            await anyio.sleep(_LOOK_SECONDS)
        self._leaving.set()


async def _leave_alone(held: _Held[Any]) -> None:
    # What failed is owed, and its block's end raises RuntimeClosed.
    with contextlib.suppress(AcniError):
        await held.leave(None)


def _is_nobody_left() -> bool:
    """Whether the program has come to its end, and no thread lives that the interpreter waits for,
    but those that end with a portal.
    """
    main = threading.main_thread()
    return not main.is_alive() and not any(
        _is_the_program_s(thread) for thread in threading.enumerate() if thread is not main
    )


def _is_the_program_s(thread: threading.Thread) -> bool:
    # anyio's worker threads on asyncio are no daemons, and end with the loop that they work for.
    is_a_worker = type(thread).__module__.startswith("anyio.")
    return not (thread.daemon or isinstance(thread, PortalThread) or is_a_worker)

"""One call into a loop's thread, and the thread that waits for it.

No lock is shared between the two: an interrupt can strike a thread between taking a lock and the
block that gives it back, and the loop would wait for that lock for ever (``threading.Event`` and
``concurrent.futures`` have that gap). Each flag is set by one side only, and a queue wakes the
other one up, which looks at the flag.
"""

from __future__ import annotations

import queue
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from typing import Final, Generic, TypeVar

import anyio
import anyio.abc
import anyio.from_thread
from attrs import Factory, define, field

from acni.errors import AcniError, RuntimeClosed

T = TypeVar("T")

# How long a worker thread of another loop takes to see that its task was cancelled: nothing wakes
# it up.
_LOOK_SECONDS: Final = 0.1


def closed_error() -> RuntimeClosed:
    """Make the error of a call that was not begun, or not brought to its end."""
    return RuntimeClosed(
        "the runtime was left, or this is a forked child", expected="an open runtime"
    )


@define(eq=False)
class Caller:
    """A thread that waits for a call, and does meanwhile what the call asks of it."""

    _wakes: queue.SimpleQueue[Callable[[], object] | None] = Factory(
        queue.SimpleQueue[Callable[[], object] | None]
    )

    def wake(self) -> None:
        """Let it look again at what it waits for; from the loop's thread."""
        self._wakes.put(None)

    def wait(self, is_over: Callable[[], bool]) -> None:
        """Wait, and answer questions.

        Raises:
            BaseException: the cancellation of the task that waits for this thread, if one does.
        """
        seconds = _seconds_between_looks()
        while not is_over():
            try:
                asked = self._wakes.get(timeout=seconds)
            except queue.Empty:
                anyio.from_thread.check_cancelled()
            else:
                if asked is not None:
                    asked()

    def wait_only(self, is_over: Callable[[], bool]) -> None:
        """Wait for nothing but the end."""
        while not is_over():
            self._wakes.get()

    async def ask(self, question: Callable[[], T], post: Callable[[Callable[[], None]], bool]) -> T:
        """Have this thread answer a question; from the loop, which goes on meanwhile.

        Args:
            question: What is called there; what it raises is raised here, interrupts excepted.
            post: Has something done in the loop's thread.
        """
        answered = anyio.Event()
        answers: list[T] = []
        failures: list[Exception] = []

        def answer() -> None:
            try:
                answers.append(question())
            except Exception as error:  # noqa: BLE001 (raised in the loop)
                failures.append(error)
            post(answered.set)

        self._wakes.put(answer)
        await answered.wait()
        for failure in failures:
            raise failure
        return answers[0]


def _seconds_between_looks() -> float | None:
    try:
        anyio.from_thread.check_cancelled()
    except RuntimeError:  # no worker thread of a loop
        return None
    return _LOOK_SECONDS


@define(eq=False)
class Call(Generic[T]):
    """What a thread wants done in the loop's thread.

    Attributes:
        caller: The thread that waits; it reads the other attributes, and the loop sets them.
        values: What came of it, once it is done; empty where it failed.
        error: Why there is no value.
        is_done: There is a value, or an error.
        is_settled: It was given up, and what it did is undone or owed.
        undo_failure: Why it is owed, or not even that.
    """

    _function: Callable[[], Awaitable[T]]
    _seconds: float | None
    _undo: Callable[[T], Awaitable[object]] | None
    caller: Caller
    values: list[T] = field(factory=list[T], init=False)
    error: BaseException = field(factory=closed_error, init=False)
    is_done: bool = field(default=False, init=False)
    is_settled: bool = field(default=False, init=False)
    undo_failure: AcniError | None = field(default=None, init=False)
    _is_given_up: bool = field(default=False, init=False)
    _scope: anyio.CancelScope | None = field(default=None, init=False)
    _context: Context = field(factory=copy_context, init=False)

    def wait(self) -> None:
        """Wait until it is done; in the caller's thread."""
        self.caller.wait(lambda: self.is_done)

    def wait_until_settled(self) -> None:
        """Wait until it is settled; in the caller's thread."""
        self.caller.wait_only(lambda: self.is_settled)

    def begin(self, tasks: anyio.abc.TaskGroup) -> None:
        """Begin to count its time, and start it."""
        self._scope = anyio.CancelScope()
        if self._seconds is not None:
            self._scope.deadline = anyio.current_time() + self._seconds
        tasks.start_soon(self._run, self._scope)

    async def _run(self, scope: anyio.CancelScope) -> None:
        self._take_over_context()
        try:
            await self._call(scope)
        except anyio.get_cancelled_exc_class():  # the loop ends; its error is there already
            self.settle()
            raise
        finally:
            self.end()
        if self._is_given_up:
            await self.undo()

    def _take_over_context(self) -> None:
        """Let observers see the caller's context variables. The loop's own stay: they say which
        loop this is.
        """
        own = copy_context()
        for variable, value in self._context.items():
            if variable not in own:
                variable.set(value)

    async def _call(self, scope: anyio.CancelScope) -> None:
        try:
            with scope:
                self.values.append(await self._function())
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as error:  # noqa: BLE001 (raised in the thread that called)
            self.error = error
        if scope.cancelled_caught:
            self.error = TimeoutError(f"not done within {self._seconds} s: undone, or owed")

    def end(self) -> None:
        """Tell the caller that it has come to its end, or will never be begun."""
        self.is_done = True
        self.caller.wake()

    def give_up(self) -> bool:
        """Cancel it for a caller that no longer wants it, and return whether :meth:`undo` has to be
        called; where it is under way, it calls that itself.
        """
        self._is_given_up = True
        if self._scope is not None and not self.is_done:
            self._scope.cancel()
            return False
        return True

    async def undo(self) -> None:
        """Undo what was done too fast to be cancelled."""
        try:
            if self._undo is not None and self.values:
                await self._undo(self.values[0])
        except AcniError as error:
            self.undo_failure = error
        finally:
            self.settle()

    def settle(self) -> None:
        """Tell the caller that gave it up that nothing is left to wait for."""
        self.is_settled = True
        self.caller.wake()

"""Cancelling a coroutine at each of its suspensions, on any loop, by public means."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from typing import Any

import anyio
from attrs import Factory, define, field

_Resumed = tuple[Any, BaseException | None]


async def cancelled_at(point: int, coroutine: Coroutine[Any, Any, object]) -> tuple[int, bool]:
    """Run a coroutine to its end and cancel it just before it suspends for the ``point``-th time.

    To try every suspension, call it with 1, 2, 3, … and a new coroutine each time, until fewer
    suspensions than ``point`` were seen. How many there are differs between loops. Those of the
    tasks that it starts count, too.

    Args:
        point: The suspension, from 1.
        coroutine: What is run.

    Returns:
        How often it suspended, and whether the cancellation ended it.

    Example:
        >>> async def add(point):
        ...     async with runtime_over(scripted) as runtime:
        ...         return await testing.cancelled_at(point, runtime.add(network, attachment))
        >>> suspensions, was_cancelled = anyio.run(add, 1)
        >>> was_cancelled, scripted.held
        (True, set())
    """
    scope = anyio.CancelScope()

    def strike(suspensions: Suspensions) -> None:
        if suspensions.count == point:
            scope.cancel()

    suspensions = Suspensions(coroutine, strike)
    with scope:
        await suspensions.run()
    return suspensions.count, scope.cancelled_caught


@define(eq=False)
class Suspensions:
    """Runs a coroutine and strikes at its suspensions, and at those of the tasks that it starts.

    Attributes:
        coroutine: What is run.
        strike: Called at each suspension, before the loop knows of it where that is the
            coroutine's own.
        count: How many there were.
        children: The tasks that it started, or these did, and that still run.
    """

    coroutine: Coroutine[Any, Any, object]
    strike: Callable[[Suspensions], object]
    count: int = 0
    children: set[object] = field(factory=set[object], init=False)
    _wait: anyio.CancelScope = field(default=Factory(anyio.CancelScope), init=False)
    _raised: BaseException | None = field(default=None, init=False)

    async def run(self) -> object:
        """Run it to its end."""
        trio = sys.modules.get("trio")
        if trio is not None and trio.lowlevel.in_trio_run():
            instrument = _Descendants(self, trio.lowlevel.current_task())
            trio.lowlevel.add_instrument(instrument)
            try:
                return await _Driven(self.coroutine, self._wait_as_host)
            finally:
                trio.lowlevel.remove_instrument(instrument)
        with self._counting_tasks():
            return await _Driven(self.coroutine, self._wait_as_host)

    def interrupt(self, error: BaseException) -> None:
        """Raise an error where the coroutine waits now, whatever shields it; or where it waits
        next, as long as it waits for tasks that it started, or for a thread.
        """
        self._raised = error

    def suspended(self) -> None:
        """Count one."""
        self.count += 1
        self.strike(self)

    def _wait_as_host(self, suspended: Any) -> Generator[Any, Any, _Resumed]:
        # Inside of every scope of the coroutine, shields included: whatever it waits for, trio's
        # loop and asyncio's abort that by their own means.
        self._wait = anyio.CancelScope()
        sent, thrown = None, None
        try:
            with self._wait:
                self.suspended()
                if self._raised is not None and not self.children:
                    self._wait.cancel()
                sent = yield suspended
        except BaseException as error:  # noqa: ASYNC103, BLE001 (handed on into the coroutine)
            thrown = error
        if self._wait.cancel_called:
            thrown, self._raised = self._raised, None
        return sent, thrown

    def _wait_as_child(self, suspended: Any) -> Generator[Any, Any, _Resumed]:
        self.suspended()
        sent, thrown = None, None
        try:
            sent = yield suspended
        except BaseException as error:  # noqa: ASYNC103, BLE001 (handed on into the coroutine)
            thrown = error
        return sent, thrown

    @contextmanager
    def _counting_tasks(self) -> Generator[None]:
        """Count in the tasks that the coroutine starts on asyncio."""
        loop = asyncio.get_running_loop()
        host, outer = asyncio.current_task(), loop.get_task_factory()

        async def counted(coroutine: Coroutine[Any, Any, Any]) -> Any:
            return await _Driven(coroutine, self._wait_as_child)

        def make(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
            parent = asyncio.current_task()
            is_ours = parent is host or parent in self.children
            started = counted(coroutine) if is_ours else coroutine
            task: Any = (outer or _make_task)(loop, started, **options)
            if is_ours:
                self.children.add(task)
                task.add_done_callback(self.children.discard)
            return task

        loop.set_task_factory(make)
        try:
            yield
        finally:
            loop.set_task_factory(outer)


def _make_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
    return asyncio.Task(coroutine, loop=loop, **options)


@define(eq=False)
class _Driven:
    """A coroutine of which each suspension is handed on by a function."""

    coroutine: Coroutine[Any, Any, object]
    wait: Callable[[Any], Generator[Any, Any, _Resumed]]

    def __await__(self) -> Generator[Any, Any, object]:
        sent: Any = None
        thrown: BaseException | None = None
        while True:
            try:
                step = self.coroutine
                suspended = step.send(sent) if thrown is None else step.throw(thrown)
            except StopIteration as end:
                returned: object = end.value
                return returned
            sent, thrown = yield from self.wait(suspended)


@define(eq=False)
class _Descendants:
    """Watches trio's loop (see ``trio.abc.Instrument``) for tasks that come of one."""

    suspensions: Suspensions
    host: object

    def task_spawned(self, task: Any) -> None:
        parent = task.parent_nursery and task.parent_nursery.parent_task
        if parent is self.host or parent in self.suspensions.children:
            self.suspensions.children.add(task)

    def task_exited(self, task: Any) -> None:
        self.suspensions.children.discard(task)

    def after_task_step(self, task: Any) -> None:
        if task in self.suspensions.children:
            self.suspensions.suspended()

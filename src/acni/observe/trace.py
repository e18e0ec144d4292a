"""Events drawn as a trace, in the Trace Event Format of Chrome: an operation is a slice in its
container's lane, what happens within it are slices inside.

An operation, a plugin's run and an undo are written when they begin and when they end, so that what
was under way when the process died is there. What tells how long it took only when it is over, as a
wait does, is written then.

Rule 1: no text that a plugin or a caller wrote gets into the file: no standard error, no message,
    no reason. Names, classes of errors, numbers.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Final

import anyio
from attrs import define, field

from acni.errors import printable
from acni.events import (
    DebtForgotten,
    DebtRecorded,
    DebtSettled,
    Event,
    GCFinished,
    LockWaited,
    OperationFinished,
    OperationStarted,
    OrphanWaited,
    PluginFinished,
    PluginStarted,
    RecordQuarantined,
    RecoveryFinished,
    RollbackFinished,
    RollbackStarted,
)
from acni.observe.lanes import Lane, Lanes
from acni.observe.tracefile import TraceEvent, TraceFile, describe

_LOG: Final = logging.getLogger("acni.observe")


@contextmanager
def trace(path: str | os.PathLike[str]) -> Generator[Trace]:
    """Open a file for a trace, and write to it what the runtimes do that the observer is given to.

    At the end of the block, and whenever the process dies before, the file is a whole document,
    which ui.perfetto.dev and chrome://tracing open. What stands in it are names, times and classes
    of errors: neither arguments nor what plugins wrote. It is written as things happen, in the
    event loop's thread; nothing is collected in memory. Where it cannot be written any more, no
    operation takes notice; the end of the block logs why.

    Args:
        path: The file; one that is there is overwritten.

    Yields:
        The observer, for ``observers=`` of one runtime or several.

    Raises:
        ConfigError: the file cannot be written.

    Example:
        >>> import json
        >>> path = state_dir.with_suffix(".json")
        >>> with acni.observe.trace(path) as tracer:
        ...     with acni.blocking.open_runtime(
        ...         state_dir=state_dir, plugin_dirs=[plugins.directory], observers=[tracer]
        ...     ) as runtime:
        ...         result = runtime.add(network, attachment)
        >>> drawn = json.loads(path.read_text())["traceEvents"]
        >>> [event["args"]["name"] for event in drawn if event["name"] == "thread_name"]
        ['web']
    """
    process = os.getpid()
    about = {"program": f"acni {version('acni')}", "clock": "CLOCK_MONOTONIC"}
    first = {"ph": "M", "name": "process_name", "pid": process, "args": {"name": "acni"}}
    file = TraceFile.create(os.fspath(path), about=about, first=first)
    tracer = Trace(file, process)
    try:
        yield tracer
    finally:
        tracer.end(time.monotonic())
        if file.failure is not None:
            said = f"the trace {file.path} is not whole: {describe(file.failure)}"
            _LOG.warning("%s", printable(said))


@define(eq=False)
class _UnderWay:
    """An operation under way.

    Attributes:
        subject: By what its events are known.
        lane: Where it is drawn.
        waited: How long the plugin that runs waited for its place, in seconds.
    """

    subject: tuple[str, str, str]
    lane: Lane
    waited: float = 0.0


@define(eq=False)
class Trace:
    """An observer that writes a trace; made by :func:`trace`.

    Example:
        >>> with acni.observe.trace(state_dir.with_suffix(".json")) as tracer:
        ...     async def main():
        ...         async with runtime_over(scripted, observers=[tracer]) as runtime:
        ...             await runtime.status(network)
        ...     anyio.run(main)
        >>> tracer.failure is None
        True
    """

    _file: TraceFile
    _process: int
    _lanes: Lanes = field(init=False)
    # By task: an operation is told of in the task that called it, and two of one attachment at once
    # differ in nothing else.
    _under_way: dict[int, list[_UnderWay]] = field(factory=dict[int, "list[_UnderWay]"], init=False)
    # Runtimes without a loop of the caller's have a thread each.
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    def __attrs_post_init__(self) -> None:
        self._lanes = Lanes(self._process, lambda lane: self._file.add([lane.title()]))

    @property
    def failure(self) -> OSError | None:
        """Why nothing more is written, or None.

        Example:
            >>> with acni.observe.trace(state_dir.with_suffix(".json")) as tracer:
            ...     print(tracer.failure)
            None
        """
        return self._file.failure

    def end(self, at: float) -> None:
        """End in the file what is under way, and the file; of later events nothing is written. The
        end of the block does it.

        Args:
            at: The monotonic time, in seconds.

        Example:
            >>> import time
            >>> with acni.observe.trace(state_dir.with_suffix(".json")) as tracer:
            ...     tracer.end(time.monotonic())
        """
        with self._lock:
            for several in self._under_way.values():
                for one in several:
                    self._file.add(one.lane.ended("operation", at, error="the trace ended"))
                    one.lane.is_taken = False
            self._under_way.clear()
            self._file.close()

    def __call__(self, event: Event) -> None:
        """Draw an event."""
        with self._lock:
            self._file.add(self._drawn(event))

    def _drawn(self, event: Event) -> Iterator[TraceEvent]:
        if isinstance(event, OperationStarted):
            yield self._begin(event)
            return
        one = self._operation_of(event)
        if one is None:
            if not isinstance(event, _ONLY_WITHIN):
                yield _instant(self._lanes.first(_lane_name(event)), event)
        elif isinstance(event, OperationFinished):
            yield from one.lane.ended("operation", event.at, **_error(event.error))
            self._forget(one)
        else:
            yield from _drawn_within(one, event)

    def _begin(self, event: OperationStarted) -> TraceEvent:
        one = _UnderWay(_subject(event), self._lanes.take(_lane_name(event)))
        self._under_way.setdefault(_task(), []).append(one)
        facts = {"network": event.network, "ifname": event.ifname}
        said = {name: text for name, text in facts.items() if text}
        return one.lane.begun(event.verb, "operation", event.at, **said)

    def _operation_of(self, event: Event) -> _UnderWay | None:
        """Find the innermost operation of this task that an event belongs to."""
        several = self._under_way.get(_task(), ())
        subject = _subject(event)
        return next((one for one in reversed(several) if one.subject == subject), None)

    def _forget(self, one: _UnderWay) -> None:
        one.lane.is_taken = False
        task = _task()
        self._under_way[task].remove(one)
        if not self._under_way[task]:
            del self._under_way[task]


# Of an operation that began before the trace, nothing is drawn.
_ONLY_WITHIN: Final = (
    OperationFinished,
    PluginStarted,
    PluginFinished,
    RollbackStarted,
    RollbackFinished,
    LockWaited,
    OrphanWaited,
)


def _drawn_within(one: _UnderWay, event: Event) -> Iterator[TraceEvent]:
    lane, at = one.lane, event.at
    match event:
        case PluginStarted():
            one.waited = 0.0
            place = {"plugin": event.plugin, "index": event.index}
            yield lane.begun(f"{event.command} {event.plugin}", "plugin", at, **place)
        case PluginFinished():
            yield from _phases(one, event)
            again = {} if event.first_error is None else {"again": True}
            yield from lane.ended("plugin", at, **_error(event.error), **again)
        case RollbackStarted():
            yield lane.begun("rollback", "undo", at)
        case RollbackFinished():
            owed = {} if event.debt is None else {"owed": event.debt.plugin}
            deleted, is_complete = ", ".join(event.deleted), event.error is None
            yield from lane.ended("undo", at, deleted=deleted, complete=is_complete, **owed)
        case LockWaited():
            one.waited += event.seconds
            yield lane.took(f"waits: {event.what}", "wait", at, event.seconds)
        case OrphanWaited():
            counts = {"ended": len(event.ended), "daemons": len(event.daemons)}
            yield lane.took("waits: orphan", "wait", at, event.seconds, **counts)
        case _:
            yield _instant(lane, event)


def _phases(one: _UnderWay, event: PluginFinished) -> Iterator[TraceEvent]:
    """Divide a plugin's run, but for its wait for a place, which is drawn already; nothing of one
    that was not measured.
    """
    if event.queue_seconds or event.spawn_seconds or event.read_seconds:
        phases = {
            "queue": max(event.queue_seconds - one.waited, 0.0),
            "spawn": event.spawn_seconds,
            "run": 0.0,
            "read": event.read_seconds,
        }
        yield from one.lane.divided(event.at, phases, "run")


def _instant(lane: Lane, event: Event) -> TraceEvent:
    # "debt recorded", "GC finished"
    words = re.findall("[A-Z]+(?![a-z])|[A-Z][a-z]+", type(event).__name__)
    name = " ".join(word if word.isupper() else word.lower() for word in words)
    return lane.instant(name, event.at, **_facts(event))


def _facts(event: Event) -> dict[str, object]:
    """Say what an event tells besides, as far as it may be told."""
    match event:
        case DebtRecorded() | DebtSettled() | DebtForgotten():
            return {"plugin": event.debt.plugin, "network": event.debt.network}
        case RecordQuarantined():
            return {"record": printable(event.name)}
        case RecoveryFinished():
            return {"settled": event.settled, "left": event.left}
        case GCFinished():
            counts = {"deleted": event.deleted, "kept": event.kept}
            return {**counts, "skipped": event.skipped, "failed": event.failed}
        case _:
            return {}


def _error(name: str | None) -> dict[str, str]:
    return {} if name is None else {"error": name}


def _subject(event: Event) -> tuple[str, str, str]:
    # Not the network: of a delete only the record tells which.
    return event.verb, event.container_id, event.ifname


def _lane_name(event: Event) -> str:
    if event.container_id:
        return event.container_id
    # No container ID has a space.
    return f"network {event.network}" if event.network else "the runtime"


def _task() -> int:
    try:
        return anyio.get_current_task().id
    except RuntimeError:  # told by hand, without a loop
        return 0

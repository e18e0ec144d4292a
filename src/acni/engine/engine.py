"""What the verbs of one runtime share, and how they tell observers what happens."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import (
    Callable,
    Generator,
    Hashable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final, TypeVar, TypeVarTuple

import anyio
import anyio.to_thread
from attrs import Factory, define, evolve, field, frozen

from acni.engine.admission import Admission
from acni.engine.answers import VersionAnswers
from acni.engine.firsts import Firsts
from acni.engine.runner import Runner
from acni.engine.settings import Timeouts, trace_environment
from acni.engine.turns import Turns
from acni.errors import AcniError, printable
from acni.events import (
    Awaited,
    BuiltInChosen,
    Debt,
    DebtRecorded,
    Event,
    LockWaited,
    OperationFinished,
    OperationStarted,
    PluginFinished,
    PluginStarted,
    RollbackFinished,
)
from acni.host.host import Host
from acni.host.netns import NetnsIdentity
from acni.host.visitor import Visitor
from acni.spec.attachment import AttachmentId
from acni.spec.configuration import NetworkConfig
from acni.spec.names import PluginType
from acni.spec.plugin import Plugin, Response
from acni.store.commits import Commits
from acni.store.intents import Intent, record_of
from acni.store.outline import Outline, claim_of
from acni.store.record import Provenance
from acni.store.state import Store

Observer = Callable[[Event], object]
Arguments = TypeVarTuple("Arguments")
T = TypeVar("T")
EventKind = TypeVar("EventKind", bound=Event)

# Each waits for the disk or for a listing; more would not make either faster.
_THREADS: Final = 32

_LOG: Final = logging.getLogger("acni.engine")


@define(eq=False, repr=False)
class Ending:
    """A keeper of one operation: what its undo did and what it left owed.

    Attributes:
        rollback: What the undo did, or None.
        debt: What is owed, or None.
    """

    rollback: RollbackFinished | None = None
    debt: Debt | None = None

    def __call__(self, event: Event) -> None:
        """Take in an event."""
        match event:
            case RollbackFinished():
                self.rollback = event
            case DebtRecorded():
                self.debt = event.debt
            case _:
                pass


@define(eq=False, repr=False)
class Engine:
    """What the verbs of one runtime share.

    Attributes:
        store: The state directory.
        runner: Runs the plugins.
        plugin_dirs: Where plugins are looked for.
        environment: What plugins see besides the parameters.
        timeouts: The bounds.
        host: This boot and this host's namespace.
        observers: The caller's; they are told of everything.
        keepers: Ours; they are told only of what is not usual, and so without cost.
        turns: Who waits for whom.
        admission: How much goes on at once.
        answers: What plugins answered to VERSION.
        firsts: To which networks something was attached in this boot.
        commits: Makes what is noted durable; None where nothing can be noted.
        warned: What was warned of: each warning is given once.
        replaced: The types of which it was told that they are built in.
        whole: The networks of which nothing was missing, each with the tables that there were.
        visitor: Looks into namespaces.
        threads: For blocking calls; the runtime's own, so that nothing that is owed waits for what
            the host program does in its threads.
    """

    store: Store
    runner: Runner
    plugin_dirs: tuple[str, ...]
    environment: Mapping[str, str]
    timeouts: Timeouts
    host: Host
    turns: Turns
    observers: tuple[Observer, ...] = ()
    keepers: tuple[Observer, ...] = ()
    admission: Admission = Factory(Admission)
    answers: VersionAnswers = Factory(VersionAnswers)
    firsts: Firsts = field(default=Factory(lambda self: Firsts(self.store), takes_self=True))
    commits: Commits | None = None
    warned: set[str] = Factory(set[str])
    replaced: set[PluginType] = Factory(set[PluginType])
    whole: dict[str, Hashable] = Factory(dict[str, Hashable])
    visitor: Visitor = Factory(Visitor)
    threads: anyio.CapacityLimiter = Factory(lambda: anyio.CapacityLimiter(_THREADS))

    def look_at_state(self) -> None:
        """Look whether there is something to note an operation in.

        Raises:
            StoreError: there is not.
        """
        if self.commits is not None:
            self.commits.look()

    async def durable(self) -> None:
        """Wait until everything noted so far is durable.

        Raises:
            StoreError: it is not.
        """
        if self.commits is not None:
            await self.commits.durable()

    async def in_thread(self, function: Callable[[*Arguments], T], *args: *Arguments) -> T:
        """Call a function that blocks in one of the runtime's threads.

        A native cancellation of asyncio leaves the thread behind; leaving the state directory waits
        for it.
        """

        def busily() -> T:
            with self.store.busy():
                return function(*args)

        return await anyio.to_thread.run_sync(busily, limiter=self.threads)

    async def in_left_thread(self, function: Callable[[], None]) -> None:
        """Call a function that waits for the disk in a thread that a cancellation leaves to it."""

        def busily() -> None:
            with self.store.busy():
                function()

        limiter = self.threads
        await anyio.to_thread.run_sync(busily, limiter=limiter, abandon_on_cancel=True)

    def left_open(self) -> Iterator[Intent]:
        """Iterate over what is open and nobody works on: what this runtime could not bring to an
        end, and what dead ones left.

        Raises:
            StoreError: the slots cannot be listed.
        """
        if self.store.journal is not None:
            yield from self.store.journal.left()
        if self.store.neighbours is not None:
            yield from (left.intent for left in self.store.neighbours.left())

    def left_claims(self) -> Iterator[Outline]:
        """Iterate over what that claims.

        Raises:
            StoreError: the slots cannot be listed.
        """
        if self.store.journal is not None:
            yield from (claim_of(record_of(intent)) for intent in self.store.journal.left())
        if self.store.neighbours is not None:
            yield from (left.claim for left in self.store.neighbours.left())

    def find(self, network: NetworkConfig) -> tuple[Plugin, ...]:
        """Find every plugin of a chain.

        Raises:
            PluginNotFound: an executable is missing.
        """
        return tuple(self.find_one(plugin.type, self.plugin_dirs) for plugin in network.plugins)

    def find_one(
        self, plugin_type: PluginType, directories: Sequence[str], *, added_by: str | None = None
    ) -> Plugin:
        """Find a plugin, and tell what is to be known of it.

        Args:
            plugin_type: Its type.
            directories: Where executables are looked for.
            added_by: By which kind of runner an ADD had it run; None where nothing was added yet.

        Raises:
            PluginNotFound: it is missing.
        """
        plugin = self.runner.find(plugin_type, directories, added_by=added_by)
        self.warn(plugin.warnings)
        if plugin.replaces and plugin.type not in self.replaced:
            self.replaced.add(plugin.type)
            Operation(engine=self, verb="", network="", id=None).notify(
                BuiltInChosen, plugin=plugin.type, reason=plugin.replaces
            )
        return plugin

    def warn(self, warnings: Iterable[str]) -> None:
        """Log warnings, each once in the life of a runtime."""
        for warning in warnings:
            if warning not in self.warned:
                self.warned.add(warning)
                _LOG.warning("%s", printable(warning))

    def traced(self, trace: Mapping[str, str] | None) -> Engine:
        """Return this engine with other trace variables for the plugins; without any, itself.

        Raises:
            ConfigError: a name is none of the three, or a value cannot be passed on.
        """
        if trace is None:
            return self
        return evolve(self, environment={**self.environment, **trace_environment(trace)})

    def kept_by(self, keeper: Observer) -> Engine:
        """Return this engine with one keeper more."""
        return evolve(self, keepers=(*self.keepers, keeper))

    def provenance(self, identity: NetnsIdentity | None, plugins: tuple[Plugin, ...]) -> Provenance:
        """Say where an attachment comes from that this runtime begins, or takes over, now."""
        return Provenance(
            operation=secrets.token_hex(16),
            boot=self.host.boot,
            netns=identity,
            host_netns=self.host.netns,
            plugin_dirs=self.plugin_dirs,
            plugins=plugins,
            sequence=sequence_now(),
            added_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def notify(self, event: Event) -> None:
        """Tell every observer; one that raises is logged and disturbs nothing."""
        for observer in (*self.observers, *self.keepers):
            try:
                observer(event)
            except Exception:  # noqa: BLE001 (an observer is the caller's code)
                _LOG.exception("an observer failed on %s", type(event).__name__)


def sequence_now() -> int:
    """Return what orders the attachments of one boot across processes, without a counter to keep:
    the nanoseconds since the boot.
    """
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


@define(eq=False, repr=False)
class PluginRun:
    """A plugin's run under way.

    Attributes:
        response: What it yielded; None where it never did.
        waited: How long it waited for its place, in seconds.
    """

    response: Response | None = None
    waited: float = 0.0

    def measured(self) -> Mapping[str, object]:
        """Say what the event of its end tells besides; nothing where there was no response."""
        if self.response is None:
            return {}
        times = self.response.times
        return {
            "queue_seconds": self.waited + times.queue,
            "spawn_seconds": times.spawn,
            "run_seconds": max(0.0, self.response.seconds - times.spawn - times.read),
            "read_seconds": times.read,
            "stderr": self.response.stderr.decode("utf-8", "replace"),
        }

    def log_stderr(self, command: str, plugin: PluginType) -> None:
        """Log what it wrote aside, at debug level only: it may hold secrets."""
        if self.response is not None and self.response.stderr and _LOG.isEnabledFor(logging.DEBUG):
            written = printable(self.response.stderr.decode("utf-8", "replace"))
            _LOG.debug("%s %s wrote: %s", command, plugin, written)


@frozen(kw_only=True)
class Operation:
    """One verb, on one attachment or on a network.

    Attributes:
        engine: The runtime's engine.
        verb: The verb, as in an event.
        network: The network's name; empty where only the record will tell it.
        id: The attachment, or None.
    """

    engine: Engine
    verb: str
    network: str
    id: AttachmentId | None

    def notify(self, kind: type[EventKind], **facts: object) -> EventKind:
        """Tell observers of something within the operation, and return what they were told."""
        event = kind(
            at=time.monotonic(),
            verb=self.verb,
            network=self.network,
            container_id=self.id.container_id if self.id else "",
            ifname=self.id.ifname if self.id else "",
            **facts,
        )
        self.engine.notify(event)
        return event

    def notify_observers(self, kind: type[EventKind], **facts: object) -> None:
        """Tell of what happens in every operation; nothing is done where nobody asked for it."""
        if self.engine.observers:
            self.notify(kind, **facts)

    @contextmanager
    def waiting(self, what: Awaited) -> Generator[None]:
        """Stand in line for something, before the first plugin, and tell observers how long.

        Raises:
            Busy: too many stand there.
        """
        with self.engine.admission.line(self.verb):
            begun = anyio.current_time()
            try:
                yield
            finally:
                self.notify_observers(LockWaited, what=what, seconds=anyio.current_time() - begun)

    @contextmanager
    def running(
        self,
        command: str,
        plugin: PluginType,
        index: int | None,
        *,
        first_error: str | None = None,
    ) -> Generator[PluginRun]:
        """Tell observers of the beginning and end of a plugin's run, and errors of whose it was.

        The block puts the response where it is given, as soon as it has one.

        Args:
            command: The verb.
            plugin: The plugin's type.
            index: Its place in the chain; None where it is run by itself.
            first_error: Why it is run again.
        """
        told = {"command": str(command), "plugin": plugin, "index": index or 0}
        self.notify_observers(PluginStarted, **told)
        started = anyio.current_time() if self.engine.observers else 0.0
        run = PluginRun()
        failure: str | None = None
        try:
            yield run
        except BaseException as error:
            failure = type(error).__name__
            if isinstance(error, AcniError):
                error.learn(plugin=plugin, index=index)
            raise
        finally:
            if self.engine.observers:
                seconds = anyio.current_time() - started
                ended = {"seconds": seconds, "error": failure, "first_error": first_error}
                self.notify(PluginFinished, **told, **ended, **run.measured())
            run.log_stderr(command, plugin)

    @contextmanager
    def reported(self) -> Generator[None]:
        """Tell observers of its beginning and end, and errors which operation they belong to."""
        self.notify_observers(OperationStarted)
        failure: str | None = None
        try:
            yield
        except BaseException as error:
            failure = type(error).__name__
            if isinstance(error, AcniError):
                error.learn(
                    verb=self.verb,
                    network=self.network or None,
                    container_id=self.id.container_id if self.id else None,
                    ifname=self.id.ifname if self.id else None,
                )
            raise
        finally:
            self.notify_observers(OperationFinished, error=failure)

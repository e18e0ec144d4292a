"""The frozen values that a runtime tells its observers.

An event names the operation (verb, network, container ID, interface name) and carries ``at``, a
monotonic time in seconds. No event holds CNI_ARGS, ``args`` or capability arguments; what a plugin
wrote on standard error is in :class:`PluginFinished`, not in what that shows.

Example:
    >>> events = []
    >>> async def main():
    ...     async with runtime_over(scripted, observers=[events.append]) as runtime:
    ...         await runtime.add(network, attachment)
    >>> anyio.run(main)
    >>> [type(event).__name__ for event in events][:3]
    ['OperationStarted', 'PluginStarted', 'PluginFinished']
"""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen

__all__ = [
    "AttachmentKept",
    "AttachmentRestored",
    "BuiltInChosen",
    "Debt",
    "DebtForgotten",
    "DebtRecorded",
    "DebtSettled",
    "Event",
    "GCFinished",
    "LockWaited",
    "OperationFinished",
    "OperationStarted",
    "OperationSuperseded",
    "OrphanWaited",
    "PluginFinished",
    "PluginStarted",
    "RecordQuarantined",
    "RecoveryFinished",
    "RollbackFinished",
    "RollbackStarted",
    "StateRemade",
]

# What an operation waits for before its first plugin.
Awaited = Literal["container", "first add", "place"]


@frozen(kw_only=True)
class Debt:
    """A delete that is still owed.

    Attributes:
        network: The network's name.
        container_id: The attachment's container ID.
        ifname: The attachment's interface name.
        plugin: The plugin whose DEL is owed next; those before it in the chain follow.
        cause: Why it is owed, in one line.

    Example:
        >>> result = call("add", network, attachment)
        >>> scripted.tell("portmap", "DEL", testing.Behaviour.failing(msg="in use"))
        >>> try:
        ...     call("delete", attachment.id)
        ... except acni.CleanupIncomplete as error:
        ...     print(error.debt.plugin, "-", error.debt.cause)
        portmap - ...
    """

    network: str
    container_id: str
    ifname: str
    plugin: str
    cause: str


@frozen(kw_only=True)
class Event:
    """What every event has.

    Attributes:
        at: Monotonic time in seconds (``time.monotonic``).
        verb: "add", "delete", "check", "gc", "status", "version", "validate", "settle", "forget" or
            "recover"; empty where a runtime tells of itself.
        network: The network's name; empty where only the record will tell it.
        container_id: The attachment's container ID; empty where there is none.
        ifname: The attachment's interface name; empty where there is none.

    Example:
        >>> def log(event: acni.events.Event) -> None:
        ...     print(event.verb, event.network, event.container_id, type(event).__name__)
        >>> async def main():
        ...     async with runtime_over(scripted, observers=[log]) as runtime:
        ...         await runtime.status(network)
        >>> anyio.run(main)
        status dbnet OperationStarted
        ...
        status dbnet OperationFinished
    """

    at: float
    verb: str
    network: str
    container_id: str
    ifname: str


@frozen(kw_only=True)
class OperationStarted(Event):
    """An operation was asked for; it may still wait for others on its container.

    Example:
        >>> started = acni.events.OperationStarted(
        ...     at=7.5, verb="add", network="dbnet", container_id="web", ifname="eth0"
        ... )
        >>> f"{started.verb} {started.container_id}/{started.ifname}"
        'add web/eth0'
    """


@frozen(kw_only=True)
class OperationFinished(Event):
    """An operation ended.

    Attributes:
        error: The name of the error's class, or None.

    Example:
        >>> def count_failures(event):
        ...     if isinstance(event, acni.events.OperationFinished) and event.error:
        ...         print(event.verb, event.error)
        >>> async def main():
        ...     async with runtime_over(scripted, observers=[count_failures]) as runtime:
        ...         await runtime.delete(acni.AttachmentId("nobody"), missing_ok=True)
        >>> anyio.run(main)
        delete AttachmentNotFound
    """

    error: str | None


@frozen(kw_only=True)
class PluginStarted(Event):
    """A plugin is about to be run.

    Attributes:
        command: "ADD", "DEL", "CHECK", "GC", "STATUS" or "VERSION".
        plugin: The plugin's type.
        index: Its place in the chain, from 0; 0 where it is asked by itself.

    Example:
        >>> def show(event):
        ...     if isinstance(event, acni.events.PluginStarted):
        ...         print(event.index, event.command, event.plugin)
        >>> async def main():
        ...     async with runtime_over(scripted, observers=[show]) as runtime:
        ...         await runtime.add(network, attachment)
        >>> anyio.run(main)
        0 ADD bridge
        1 ADD portmap
    """

    command: str
    plugin: str
    index: int


@frozen(kw_only=True)
class PluginFinished(Event):
    """A plugin's run ended.

    Attributes:
        command: "ADD", "DEL", "CHECK", "GC", "STATUS" or "VERSION".
        plugin: The plugin's type.
        index: Its place in the chain, from 0; 0 where it is asked by itself.
        seconds: How long all of it took, from :class:`PluginStarted` on: finding the plugin where
            that was not done before, its request, the wait for its start, the run, reading the
            response. ``elapsed`` of an error is the run alone, without that wait.
        error: The name of the error's class, or None.
        first_error: Why the run before it failed, in one line, where a DEL was run again at once.
        queue_seconds: Of that, waiting for its turn to be started; not charged to its deadline.
        spawn_seconds: Of that, from its turn until the process exists; charged to its deadline.
        run_seconds: Of that, the plugin's own: from its start until it ended.
        read_seconds: Of that, reading what was left of its output after its exit.
        stderr: The last of what it wrote on standard error, also when it succeeded. Not shown, for
            it may hold secrets.

    Example:
        >>> def measure(event):
        ...     if isinstance(event, acni.events.PluginFinished):
        ...         print(event.plugin, event.seconds < 60, event.error)
        >>> async def main():
        ...     async with runtime_over(scripted, observers=[measure]) as runtime:
        ...         await runtime.add(network, attachment)
        >>> anyio.run(main)
        bridge True None
        portmap True None
    """

    command: str
    plugin: str
    index: int
    seconds: float
    error: str | None
    first_error: str | None = None
    queue_seconds: float = 0.0
    spawn_seconds: float = 0.0
    run_seconds: float = 0.0
    read_seconds: float = 0.0
    stderr: str = field(default="", repr=False)


@frozen(kw_only=True)
class RollbackStarted(Event):
    """A failed or cancelled ADD is being undone.

    Example:
        >>> def warn(event):
        ...     if isinstance(event, acni.events.RollbackStarted):
        ...         print("undoing", event.container_id)
        >>> scripted.tell("portmap", "ADD", testing.Behaviour.failing())
        >>> async def main():
        ...     async with runtime_over(scripted, observers=[warn]) as runtime:
        ...         await runtime.add(network, attachment)
        >>> try:
        ...     anyio.run(main)
        ... except acni.PluginFailed as error:
        ...     print(error.plugin)
        undoing web
        portmap
    """


@frozen(kw_only=True)
class RollbackFinished(Event):
    """The undo of an ADD ended.

    Attributes:
        deleted: The plugins whose DEL succeeded, in the order they ran.
        debt: What could not be deleted and is now recorded as owed, or None.
        error: Why the undo stopped, in one line, or None.

    Example:
        >>> scripted.tell("portmap", "ADD", testing.Behaviour.failing())
        >>> try:
        ...     call("add", network, attachment)
        ... except acni.PluginFailed as error:
        ...     print(error.rollback.deleted, error.rollback.debt)
        ('portmap', 'bridge') None
    """

    deleted: tuple[str, ...]
    debt: Debt | None
    error: str | None


@frozen(kw_only=True)
class DebtRecorded(Event):
    """A delete that did not finish is now owed, durably.

    Attributes:
        debt: What is owed.

    Example:
        >>> def alert(event):
        ...     if isinstance(event, acni.events.DebtRecorded):
        ...         print("owed:", event.debt.plugin)
        >>> result = call("add", network, attachment)
        >>> scripted.tell("bridge", "DEL", testing.Behaviour.failing())
        >>> async def main():
        ...     async with runtime_over(scripted, observers=[alert]) as runtime:
        ...         await runtime.delete(attachment.id)
        >>> try:
        ...     anyio.run(main)
        ... except acni.CleanupIncomplete as error:
        ...     print(error.debt.container_id)
        owed: bridge
        web
    """

    debt: Debt


@frozen(kw_only=True)
class DebtSettled(Event):
    """What was owed was deleted.

    Attributes:
        debt: What was owed.

    Example:
        >>> debt = acni.events.Debt(
        ...     network="dbnet", container_id="web", ifname="eth0", plugin="portmap", cause="in use"
        ... )
        >>> settled = acni.events.DebtSettled(
        ...     at=7.5, verb="settle", network="dbnet", container_id="web", ifname="eth0", debt=debt
        ... )
        >>> settled.debt == debt
        True
    """

    debt: Debt


@frozen(kw_only=True)
class DebtForgotten(Event):
    """What was owed was given up by a person's word: no plugin ran.

    Attributes:
        debt: What was owed.
        reason: What the person said.

    Example:
        >>> def audit(event):
        ...     if isinstance(event, acni.events.DebtForgotten):
        ...         print(event.debt.container_id, "-", event.reason)
        >>> result = call("add", network, attachment)
        >>> scripted.tell("bridge", "DEL", testing.Behaviour.failing())
        >>> async def main():
        ...     async with runtime_over(scripted, observers=[audit]) as runtime:
        ...         try:
        ...             await runtime.delete(attachment.id)
        ...         except acni.CleanupIncomplete as error:
        ...             await runtime.forget(error.debt, reason="the node is new")
        >>> anyio.run(main)
        web - the node is new
    """

    debt: Debt
    reason: str


@frozen(kw_only=True)
class RecordQuarantined(Event):
    """A file that was no record stood in the way of a delete that succeeded, or a journal was
    damaged; it is kept aside.

    Attributes:
        name: Its name in ``results/``, or that of the journal.

    Example:
        >>> def keep(event):
        ...     if isinstance(event, acni.events.RecordQuarantined):
        ...         print(event.name)
        >>> result = call("add", network, attachment)
        >>> (state_dir / "results" / "dbnet-web-eth0").write_text("torn")
        4
        >>> async def main():
        ...     async with runtime_over(scripted, observers=[keep]) as runtime:
        ...         await runtime.delete(attachment, network=network)
        >>> anyio.run(main)
        dbnet-web-eth0
    """

    name: str


@frozen(kw_only=True)
class LockWaited(Event):
    """An operation waited before its first plugin; what was free at once is not told of.

    Attributes:
        what: "container": for others on its container, or for gc; "first add": for the first ADD to
            the network; "place": for a place among the running plugins.
        seconds: How long.

    Example:
        >>> def log(event):
        ...     if isinstance(event, acni.events.LockWaited):
        ...         print(f"{event.verb} {event.container_id} waited for a {event.what}")
        >>> log(acni.events.LockWaited(
        ...     at=7.5, verb="add", network="dbnet", container_id="web", ifname="eth0",
        ...     what="place", seconds=0.3,
        ... ))
        add web waited for a place
    """

    what: Awaited
    seconds: float


@frozen(kw_only=True)
class OrphanWaited(Event):
    """A plugin of a runtime that was killed still ran for a container; it was waited for.

    Attributes:
        seconds: How long.
        ended: The process numbers of those that were out of time and ended, leaders of sessions.
        daemons: Those of processes that are no plugins and live on.

    Example:
        >>> waited = acni.events.OrphanWaited(
        ...     at=7.5, verb="recover", network="dbnet", container_id="web", ifname="eth0",
        ...     seconds=0.3, ended=(), daemons=(),
        ... )
        >>> waited.seconds
        0.3
    """

    seconds: float
    ended: tuple[int, ...]
    daemons: tuple[int, ...]


@frozen(kw_only=True)
class AttachmentKept(Event):
    """An ADD of a runtime that was killed had come to its end: its record stands, and is kept.

    Example:
        >>> kept = acni.events.AttachmentKept(
        ...     at=7.5, verb="recover", network="dbnet", container_id="web", ifname="eth0"
        ... )
        >>> kept.container_id
        'web'
    """


@frozen(kw_only=True)
class OperationSuperseded(Event):
    """An operation of a runtime that was killed is another's by now; nothing runs for it.

    Example:
        >>> superseded = acni.events.OperationSuperseded(
        ...     at=7.5, verb="recover", network="dbnet", container_id="web", ifname="eth0"
        ... )
        >>> superseded.network
        'dbnet'
    """


@frozen(kw_only=True)
class AttachmentRestored(Event):
    """Something that plugins had made for an attached container was gone, as after ``nft flush
    ruleset``, and is there again.

    Attributes:
        plugins: The types of these plugins.

    Example:
        >>> restored = acni.events.AttachmentRestored(
        ...     at=7.5, verb="recover", network="dbnet", container_id="web", ifname="eth0",
        ...     plugins=("bridge", "portmap"),
        ... )
        >>> restored.plugins
        ('bridge', 'portmap')
    """

    plugins: tuple[str, ...]


@frozen(kw_only=True)
class RecoveryFinished(Event):
    """What dead runtimes left was gone through.

    Attributes:
        settled: How many attachments are settled.
        left: How many are still owed, or still open.

    Example:
        >>> finished = acni.events.RecoveryFinished(
        ...     at=7.5, verb="recover", network="", container_id="", ifname="", settled=3, left=0
        ... )
        >>> finished.settled
        3
    """

    settled: int
    left: int


@frozen(kw_only=True)
class GCFinished(Event):
    """A gc came to its end. What it did to each attachment is told as an operation of its own, with
    the same verb.

    Attributes:
        deleted: How many attachments were deleted.
        kept: How many were kept.
        skipped: How many are another writer's.
        failed: How many deletes, and plugins, failed.

    Example:
        >>> def count(event):
        ...     if isinstance(event, acni.events.GCFinished):
        ...         print(event.network, event.deleted, event.failed)
        >>> result = call("add", network, attachment)
        >>> async def main():
        ...     async with runtime_over(scripted, observers=[count]) as runtime:
        ...         await runtime.gc(network, keep=[])
        >>> report = anyio.run(main)
        dbnet 1 0
    """

    deleted: int
    kept: int
    skipped: int
    failed: int


@frozen(kw_only=True)
class BuiltInChosen(Event):
    """A plugin is run in this process, because there is no executable of it; told once for each
    type in the life of a runtime. It names no operation.

    Attributes:
        plugin: The plugin's type.
        reason: Why it is not the executable.

    Example:
        >>> chosen = acni.events.BuiltInChosen(
        ...     at=7.5, verb="", network="", container_id="", ifname="",
        ...     plugin="loopback", reason="no executable in /opt/cni/bin",
        ... )
        >>> chosen.plugin
        'loopback'
    """

    plugin: str
    reason: str


@frozen(kw_only=True)
class StateRemade(Event):
    """Somebody removed the state directory under the runtime: it was made anew, with what is under
    way. Records of attachments that were in it are lost.

    Example:
        >>> remade = acni.events.StateRemade(
        ...     at=7.5, verb="add", network="", container_id="", ifname=""
        ... )
        >>> remade.verb
        'add'
    """

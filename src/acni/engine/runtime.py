"""The runtime: what a caller opens, calls and leaves."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Generator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Any, Final, get_args

import anyio
import anyio.to_thread
from attrs import define, evolve, field

from acni.engine.add import add
from acni.engine.admission import Admission
from acni.engine.attached import Box
from acni.engine.beginnings import Beginnings
from acni.engine.check import check
from acni.engine.debts import forget, list_debts, settle
from acni.engine.delete import delete
from acni.engine.engine import Ending, Engine, Observer, Operation
from acni.engine.gc import GCReport, Keep, gc
from acni.engine.listing import AttachmentRecord, list_records
from acni.engine.recovery import RecoveryReport
from acni.engine.restoring import recover_and_restore
from acni.engine.runner import Runner
from acni.engine.settings import INHERITED, Durability, Limits, Timeouts, plugin_environment
from acni.engine.settling import Settling
from acni.engine.status import status
from acni.engine.turns import Turns, describe_holder
from acni.engine.validate import Validation, validate
from acni.engine.versions import version
from acni.errors import AcniError, AttachmentNotFound, ConfigError, RuntimeClosed
from acni.events import Debt, RecordQuarantined, StateRemade
from acni.host import netns
from acni.host.configurations import load_configurations
from acni.host.files import parse_path
from acni.host.host import this_host
from acni.host.plugins import parse_plugin_dirs
from acni.host.process import Executables
from acni.plugins.selection import ExecutablesFirst
from acni.spec.attachment import Attachment, AttachmentId
from acni.spec.configuration import NetworkConfig
from acni.spec.names import parse_network_name, parse_plugin_type
from acni.spec.result import Result
from acni.store.commits import Commits
from acni.store.locks import open_locks
from acni.store.state import open_store

CONF_DIR: Final = "/etc/cni/net.d"
PLUGIN_DIRS: Final = ("/opt/cni/bin", "/usr/lib/cni")

# How long leaving a runtime waits for the undo of what was under way, beyond the undo's own budget.
_CLOSE_MARGIN: Final = 60.0


@define(eq=False)
class Runtime:
    """Attaches containers to networks and detaches them; made by :func:`open_runtime`.

    Any number of tasks may call it at once: operations on one container wait for each other in
    order of arrival, others run in parallel. Cancelling a caller cancels its operation; when the
    call returns, what it did is undone or owed.

    Example:
        >>> async def main():
        ...     async with runtime_over(scripted) as runtime:
        ...         network = await runtime.network("dbnet")
        ...         result = await runtime.add(network, attachment)
        ...         await runtime.delete(attachment.id)
        ...         return result.ipv4
        >>> anyio.run(main)
        IPv4Address('192.0.2.7')
    """

    _engine: Engine
    _conf_dir: str
    _pid: int = field(factory=os.getpid, init=False)
    _is_closed: bool = field(default=False, init=False)
    _under_way: set[anyio.CancelScope] = field(factory=set[anyio.CancelScope], init=False)
    # Made by who waits for the end of what is under way.
    _idle: anyio.Event | None = field(default=None, init=False)
    _beginnings: Beginnings = field(factory=Beginnings, init=False)
    # How long the longest delete may take that is to be done at the end of a block.
    _ending_seconds: float = field(default=0.0, init=False)

    async def network(self, name: str) -> NetworkConfig:
        """Load the network of that name from the runtime's configuration directory. Where several
        files have that name, the first is used, and the others are warned of, once.

        Args:
            name: The network's name.

        Raises:
            NetworkNotFound: no file has that name.
            ConfigError, InvalidName, VersionUnsupported: the file that has it is broken, or the
                name is not allowed.

        Example:
            >>> async def main():
            ...     async with runtime_over(scripted) as runtime:
            ...         return await runtime.network("dbnet")
            >>> anyio.run(main).name
            'dbnet'
        """
        parsed = parse_network_name(name)
        found = await self._engine.in_thread(load_configurations, self._conf_dir)
        self._engine.warn(found.warnings(parsed))
        return found.network(parsed)

    async def add(
        self,
        network: NetworkConfig,
        attachment: Attachment,
        *,
        trace: Mapping[str, str] | None = None,
    ) -> Result:
        """Attach a container to a network (specification, section 3, "Adding an attachment").

        Args:
            network: The network.
            attachment: The container, its namespace and its arguments.
            trace: W3C trace context for the plugins: ``traceparent``, ``tracestate``,
                ``baggage``. By default that of the process's own environment, if it has one.

        Returns:
            The result of the last plugin. A durable record holds it from now on.

        Raises:
            InvalidName, PluginNotFound, VersionUnsupported, AttachmentExists, NetnsInUse,
                HostChanged, Busy: nothing ran, but VERSION where the network offers more than one.
            CleanupIncomplete: what was owed for the attachment could not be deleted first; it is
                still owed.
            PluginError, StoreError: undone; the error's ``rollback`` says what was deleted,
                ``debt`` what could not be.
            RuntimeClosed: the runtime was left; undone or owed.

        Example:
            >>> async def main():
            ...     async with runtime_over(scripted) as runtime:
            ...         return await runtime.add(network, attachment)
            >>> anyio.run(main).ipv4
            IPv4Address('192.0.2.7')
            >>> [str(asked) for asked in scripted.calls]
            ['ADD bridge', 'ADD portmap']
        """
        with self._operation() as engine:
            await self._beginnings.wait()
            return await add(engine.traced(trace), network, attachment)

    async def delete(
        self,
        attachment: Attachment | AttachmentId,
        *,
        network: NetworkConfig | str | None = None,
        missing_ok: bool = False,
        trace: Mapping[str, str] | None = None,
    ) -> None:
        """Detach a container (specification, section 3, "Deleting an attachment").

        Args:
            attachment: Its identity; the record knows the rest.
            network: The network to delete it from, or its name; by default all that it is attached
                to. Where no record knows the attachment, a configuration's plugins run with the
                attachment's own namespace and arguments.
            missing_ok: Succeed where there is nothing that could be deleted.
            trace: W3C trace context for the plugins: ``traceparent``, ``tracestate``,
                ``baggage``. By default that of the process's own environment, if it has one.

        Raises:
            InvalidName: the network's name is not allowed. Nothing ran.
            AttachmentExists: no record knows it, and its record's file name is another one's.
            AttachmentNotFound: no record knows it, and no configuration was given; or it is
                attached to another network.
            HostChanged, Busy: nothing ran.
            StoreError: nothing ran; or all of it was deleted but the record, and the next delete
                runs the plugins again.
            CleanupIncomplete: a plugin failed; what is left is a debt, which the next delete or add
                resumes.
            RuntimeClosed: the runtime was left; what was not deleted is owed.

        Example:
            >>> async def main():
            ...     async with runtime_over(scripted) as runtime:
            ...         await runtime.add(network, attachment)
            ...         await runtime.delete(acni.AttachmentId("web"))
            ...         await runtime.delete(acni.AttachmentId("web"), missing_ok=True)
            >>> anyio.run(main)
            >>> [str(asked) for asked in scripted.calls[2:]]
            ['DEL portmap', 'DEL bridge']
        """
        with self._operation() as engine:
            await self._beginnings.wait()
            try:
                named = parse_network_name(network) if isinstance(network, str) else network
                await delete(engine.traced(trace), attachment, network=named)
            except AttachmentNotFound:
                if not missing_ok:
                    raise

    async def check(
        self,
        attachment: Attachment | AttachmentId,
        *,
        network: str | None = None,
        trace: Mapping[str, str] | None = None,
    ) -> None:
        """Check that an attachment is still as it was made (specification, section 3, "Checking an
        attachment").

        Args:
            attachment: Its identity; everything else comes from the record.
            network: The name of the network it is expected on; by default any.
            trace: W3C trace context for the plugins: ``traceparent``, ``tracestate``,
                ``baggage``. By default that of the process's own environment, if it has one.

        Raises:
            InvalidName: the network's name is not allowed. Nothing ran.
            AttachmentNotFound: no record knows it, or only a debt does.
            VersionUnsupported: its configuration is older than 0.4.0, which has no CHECK.
            NetnsChanged: another namespace, or none, stands behind the recorded path.
            HostChanged, Busy, StoreError: nothing ran.
            CheckFailed: a plugin found a difference.
            PluginError: a plugin did not answer.
            RuntimeClosed: the runtime was left.

        Example:
            >>> async def main():
            ...     async with runtime_over(scripted) as runtime:
            ...         await runtime.add(network, attachment)
            ...         await runtime.check(attachment.id, network="dbnet")
            >>> anyio.run(main)
            >>> [str(asked) for asked in scripted.calls[2:]]
            ['CHECK bridge', 'CHECK portmap']
        """
        with self._operation() as engine:
            named = None if network is None else parse_network_name(network)
            await self._beginnings.wait()
            await check(engine.traced(trace), attachment, network=named)

    async def gc(
        self,
        network: NetworkConfig,
        *,
        keep: Keep,
        foreign: bool = False,
        dry_run: bool = False,
        trace: Mapping[str, str] | None = None,
    ) -> GCReport:
        """Delete every attachment of a network that is not kept, and have its plugins collect what
        is left of others (specification, section 3, "Garbage-collecting a network").

        Nothing is attached, detached or checked meanwhile: it waits for what is under way, ten
        seconds at most, and everything else waits for it. What is owed, or was left by a dead
        runtime, is deleted whatever is kept; what is attached after this was called is kept. A
        network with ``disableGC`` is left alone.

        Args:
            network: The network.
            keep: The attachments that stay, or their identities; or a function, or an asynchronous
                one, that returns them. It is called when nothing else is under way, on the event
                loop, and may neither attach nor detach. An attachment of which it is not known
                whether it is still needed belongs into it.
            foreign: What other writers attached before this was called is collected, too.
            dry_run: Only say what would be deleted; nothing is changed, and nothing waited for.
            trace: W3C trace context for the plugins: ``traceparent``, ``tracestate``,
                ``baggage``. By default that of the process's own environment, if it has one.

        Returns:
            What became of the attachments, with all failures.

        Raises:
            ConfigError: ``keep`` is no collection of attachments.
            Busy: others were in the way for ten seconds, or ``keep`` gave no answer. Nothing was
                deleted but what was owed.
            StoreError: the state directory cannot be read or written.
            RuntimeClosed: the runtime was left; what was not deleted is attached, or owed.

        Example:
            >>> async def main():
            ...     async with runtime_over(scripted) as runtime:
            ...         await runtime.add(network, attachment)
            ...         return await runtime.gc(network, keep=[acni.AttachmentId("other")])
            >>> [str(identity) for identity in anyio.run(main).deleted]
            ['web/eth0']
            >>> [str(asked) for asked in scripted.calls[2:]]
            ['DEL portmap', 'DEL bridge', 'GC bridge', 'GC portmap']
        """
        with self._operation() as engine:
            traced = engine.traced(trace)
            return await gc(traced, network, keep, foreign=foreign, dry_run=dry_run)

    async def status(
        self, network: NetworkConfig, *, trace: Mapping[str, str] | None = None
    ) -> None:
        """Ask whether a network is ready for an ADD (specification, section 2, "STATUS").

        Informational: nothing is refused because of it. Below 1.1.0 nothing runs.

        Args:
            network: The network.
            trace: W3C trace context for the plugins: ``traceparent``, ``tracestate``,
                ``baggage``. By default that of the process's own environment, if it has one.

        Raises:
            PluginNotFound: an executable is missing.
            VersionUnsupported: the plugins have no version in common.
            NotReady: a plugin answered code 50 or 51.
            PluginError: a plugin failed otherwise.
            RuntimeClosed: the runtime was left.

        Example:
            >>> async def main():
            ...     async with runtime_over(scripted) as runtime:
            ...         await runtime.status(network)
            >>> anyio.run(main)
            >>> [str(asked) for asked in scripted.calls]
            ['STATUS bridge', 'STATUS portmap']
        """
        with self._operation() as engine:
            await status(engine.traced(trace), network)

    async def version(self, plugin_type: str) -> tuple[str, ...]:
        """Ask a plugin which versions it supports (specification, section 2, "VERSION").

        Args:
            plugin_type: The plugin's type.

        Returns:
            The versions, as the plugin lists them.

        Raises:
            InvalidName: the type is not allowed.
            PluginNotFound: its executable is missing.
            PluginProtocolError: it was ended, or its answer is none.
            RuntimeClosed: the runtime was left.

        Example:
            >>> async def main():
            ...     async with runtime_over(scripted) as runtime:
            ...         return await runtime.version("bridge")
            >>> anyio.run(main)
            ('0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0')
        """
        with self._operation() as engine:
            return await version(engine, parse_plugin_type(plugin_type))

    async def validate(self, network: NetworkConfig) -> Validation:
        """Look whether every plugin of a network is there, and which version they all support.

        Args:
            network: The network.

        Returns:
            What was found: the version, failures, and reserved keys that never reach a plugin.

        Raises:
            RuntimeClosed: the runtime was left.

        Example:
            >>> scripted.remove("portmap")
            >>> async def main():
            ...     async with runtime_over(scripted) as runtime:
            ...         return await runtime.validate(network)
            >>> [(error.plugin, type(error).__name__) for error in anyio.run(main).failures]
            [('portmap', 'PluginNotFound')]
        """
        with self._operation() as engine:
            return await validate(engine, network)

    async def attachments(
        self, *, container_id: str | None = None, network: str | None = None
    ) -> tuple[AttachmentRecord, ...]:
        """List what the state directory holds. Takes no lock.

        Args:
            container_id: Only those of this container.
            network: Only those of this network.

        Raises:
            StoreError: the state directory cannot be listed.
            RuntimeClosed: the runtime was left.

        Example:
            >>> async def main():
            ...     async with runtime_over(scripted) as runtime:
            ...         await runtime.add(network, attachment)
            ...         return await runtime.attachments(network="dbnet")
            >>> [(found.container_id, found.state, found.addresses) for found in anyio.run(main)]
            [('web', 'attached', ('192.0.2.7/24',))]
        """
        with self._operation() as engine:
            journal = engine.store.journal
            left = (
                frozenset(one.operation for one in journal.left()) if journal else frozenset[str]()
            )
            records, host = engine.store.records, engine.host
            listed = await engine.in_thread(list_records, records, host, left)
        return tuple(
            record
            for record in listed
            if container_id in (None, record.container_id) and network in (None, record.network)
        )

    async def debts(self) -> tuple[Debt, ...]:
        """List the deletes that are still owed. Takes no lock.

        Raises:
            StoreError: the state directory cannot be listed.
            RuntimeClosed: the runtime was left.

        Example:
            >>> async def main():
            ...     async with runtime_over(scripted) as runtime:
            ...         for debt in await runtime.debts():
            ...             await runtime.settle(debt)
            ...         return await runtime.debts()
            >>> anyio.run(main)
            ()
        """
        with self._operation() as engine:
            return await engine.in_thread(list_debts, engine)

    async def recover(self, *, assume_rebooted: bool = False) -> RecoveryReport:
        """Settle everything that dead runtimes left, and everything that is owed, now; then put
        back what somebody else took away of what built-in plugins had made for attached containers,
        as ``nft flush ruleset`` does.

        What a runtime does in the background once it is open; this waits for it. To settle is never
        needed for correctness: whatever is done to a container settles first what was left of it.
        What somebody takes away while a runtime is open is put back by nothing else.

        Args:
            assume_rebooted: What was attached from another host network namespace of this boot
                counts as of an earlier boot: that namespace is gone.

        Returns:
            What became of it.

        Raises:
            StoreError: the state directory cannot be listed.
            RuntimeClosed: the runtime was left; what was not settled is still owed.

        Example:
            >>> async def main():
            ...     async with runtime_over(scripted) as runtime:
            ...         report = await runtime.recover()
            ...         return report.settled, report.owed
            >>> anyio.run(main)
            ((), ())
        """
        with self._operation() as engine:
            host = evolve(engine.host, assumes_reboot=assume_rebooted)
            return await recover_and_restore(evolve(engine, host=host))

    async def settle(self, debt: Debt) -> None:
        """Delete what is owed, beginning where it halted; nothing where it is no longer owed.

        Args:
            debt: One of :meth:`debts`, or the ``debt`` of an error.

        Raises:
            CleanupIncomplete: a plugin failed again; the rest is still owed.
            HostChanged, Busy: nothing ran.
            StoreError: it is still owed; nothing ran, or all of it was deleted but the record.
            RuntimeClosed: the runtime was left; what was not deleted is owed.

        Example:
            >>> result = call("add", network, attachment)
            >>> scripted.tell("bridge", "DEL", testing.Behaviour.failing(msg="in use"))
            >>> async def main():
            ...     async with runtime_over(scripted) as runtime:
            ...         try:
            ...             await runtime.delete(attachment.id)
            ...         except acni.CleanupIncomplete as error:
            ...             scripted.tell("bridge", "DEL", testing.Behaviour())
            ...             await runtime.settle(error.debt)
            >>> anyio.run(main)
            >>> scripted.held
            set()
        """
        with self._operation() as engine:
            await settle(engine, debt)

    async def forget(self, debt: Debt, *, reason: str) -> None:
        """Give up what is owed: its record goes, no plugin runs, what plugins hold stays held.

        Args:
            debt: One of :meth:`debts`.
            reason: Why; goes into the event.

        Raises:
            AttachmentNotFound: it is not owed.
            HostChanged, Busy, StoreError: it is still owed.
            RuntimeClosed: the runtime was left.

        Example:
            >>> result = call("add", network, attachment)
            >>> scripted.tell("bridge", "DEL", testing.Behaviour.failing(msg="in use"))
            >>> async def main():
            ...     async with runtime_over(scripted) as runtime:
            ...         try:
            ...             await runtime.delete(attachment.id)
            ...         except acni.CleanupIncomplete as error:
            ...             await runtime.forget(error.debt, reason="removed by hand")
            ...         return await runtime.debts()
            >>> anyio.run(main), scripted.held
            ((), {'bridge/web/eth0'})
        """
        with self._operation() as engine:
            await forget(engine, debt, reason)

    @asynccontextmanager
    async def attached(
        self,
        network: NetworkConfig,
        container_id: str,
        *,
        ifname: str = "eth0",
        capability_args: Mapping[str, Any] | None = None,
    ) -> AsyncGenerator[Box]:
        """Make a namespace, set its loopback up and attach it; detach it at the end of the block.

        Args:
            network: The network.
            container_id: The container's ID.
            ifname: The interface inside.
            capability_args: Capability arguments.

        Yields:
            The namespace and the result, with a way to run programs inside.

        Raises:
            InvalidName, PluginNotFound, AttachmentExists, Busy: nothing ran.
            PluginError, StoreError: undone, as by :meth:`add`.
            CleanupIncomplete: the delete at the end did not finish; it is owed.

        Example:
            >>> async def main():
            ...     async with runtime_over(scripted) as runtime:
            ...         async with runtime.attached(network, "job-1") as box:
            ...             print(box.result.ipv4, sorted(scripted.held))
            >>> anyio.run(main)
            192.0.2.7 ['bridge/job-1/eth0', 'portmap/job-1/eth0']
            >>> scripted.held
            set()
        """
        # One operation from beginning to end: whoever drains waits for the block, and leaving the
        # runtime cancels it, so that its delete still has a runtime.
        with (
            self._operation() as engine,
            await engine.in_thread(netns.anonymous) as namespace,
        ):
            await engine.in_thread(netns.set_up, namespace, "lo")
            attachment = Attachment(
                container_id=container_id,
                netns=namespace.path,
                ifname=ifname,
                capability_args=capability_args or {},
            )
            result = await add(engine, network, attachment)
            failure: BaseException | None = None
            seconds = _detach_seconds(engine.timeouts, len(network.plugins))
            self._ending_seconds = max(self._ending_seconds, seconds)
            try:
                yield Box(namespace, result)
            except BaseException as error:
                failure = error
                raise
            finally:
                with anyio.move_on_after(seconds, shield=True):
                    await _detach(engine, attachment.id, failure)

    @contextmanager
    def _operation(self) -> Generator[Engine]:
        """Hold an operation, so that leaving the runtime ends it; its error then has the facts."""
        self._require_own()
        if self._is_closed:
            raise RuntimeClosed("the runtime was left, or is drained", expected="an open runtime")
        ending = Ending()
        scope = anyio.CancelScope()
        self._under_way.add(scope)
        try:
            with scope:
                yield self._engine.kept_by(ending)
        finally:
            self._under_way.discard(scope)
            if self._idle is not None and not self._under_way:
                self._idle.set()
                self._idle = None
        if scope.cancelled_caught:
            raise RuntimeClosed(
                "the runtime was left while the operation was under way",
                expected="an open runtime",
                rollback=ending.rollback,
                debt=ending.debt,
            )

    async def drain(self, timeout: float) -> bool:  # noqa: ASYNC109 (of what others began)
        """Take no more operations, and wait for those that are under way.

        What goes on after that is cancelled and undone when the runtime is left.

        Args:
            timeout: How long to wait, in seconds.

        Returns:
            Whether all of them have ended.

        Raises:
            RuntimeClosed: this is a forked child.

        Example:
            >>> async def main():
            ...     async with runtime_over(scripted) as runtime:
            ...         async with anyio.create_task_group() as tasks:
            ...             tasks.start_soon(runtime.add, network, attachment)
            ...             await anyio.sleep(0)
            ...             return await runtime.drain(10)
            >>> anyio.run(main), sorted(scripted.held)
            (True, ['bridge/web/eth0', 'portmap/web/eth0'])
        """
        self._require_own()
        self._is_closed = True
        with anyio.move_on_after(timeout):
            await self._until_idle()
        return not self._under_way

    def _require_own(self) -> None:
        if os.getpid() != self._pid:
            raise RuntimeClosed("this is a forked child", expected="a runtime of its own")

    async def _until_idle(self) -> None:
        while self._under_way:
            if self._idle is None:
                self._idle = anyio.Event()
            await self._idle.wait()

    async def close(self) -> None:
        """Cancel what is under way and wait until it is undone or owed, for as long as that may
        take, whatever cancels this; :func:`open_runtime` does it at its end.

        Example:
            >>> async def main():
            ...     async with runtime_over(scripted) as runtime:
            ...         await runtime.close()
            ...         await runtime.debts()
            >>> try:
            ...     anyio.run(main)
            ... except acni.RuntimeClosed as error:
            ...     print(error.expected)
            an open runtime
        """
        self._is_closed = True
        for scope in self._under_way:
            scope.cancel()
        bounds = self._engine.timeouts
        seconds = max(bounds.undo + bounds.grace + _CLOSE_MARGIN, self._ending_seconds)
        with anyio.move_on_after(seconds, shield=True):
            await self._until_idle()


async def _detach(engine: Engine, identity: AttachmentId, failure: BaseException | None) -> None:
    """Detach at the end of a block; the block's own failure is never replaced."""
    try:
        with suppress(AttachmentNotFound):
            await delete(engine, identity)
    except AcniError as error:
        if failure is None:
            raise
        failure.add_note(f"the delete at the end did not finish: {error}")


def _detach_seconds(bounds: Timeouts, plugins: int) -> float:
    return bounds.wait * (1 + plugins) + bounds.delete + _CLOSE_MARGIN


@asynccontextmanager
async def open_runtime(
    *,
    state_dir: str | os.PathLike[str],
    conf_dir: str | os.PathLike[str] = CONF_DIR,
    plugin_dirs: Sequence[str | os.PathLike[str]] = PLUGIN_DIRS,
    limits: Limits | None = None,
    timeouts: Timeouts | None = None,
    inherit: Sequence[str] = INHERITED,
    environment: Mapping[str, str] | None = None,
    observers: Iterable[Observer] = (),
    runner: Runner | None = None,
    cgroup: str | os.PathLike[str] | None = None,
    durability: Durability = "power",
    recover: bool = True,
) -> AsyncGenerator[Runtime]:
    """Open a runtime; the only way in. When the block ends, operations under way are cancelled and
    undone.

    Args:
        state_dir: Where records lie: made 0700 where missing, refused when others may write to it.
        conf_dir: The directory of network configurations, for :meth:`Runtime.network`.
        plugin_dirs: Where plugins are looked for: absolute directories, the first match wins.
        limits: How much goes on at once.
        timeouts: The bounds, in seconds.
        inherit: Names of variables that plugins inherit from this process, besides the trace
            variables.
        environment: What is set for them on top.
        observers: Called with every event, synchronously.
        runner: Runs the plugins, and is the caller's to close; by default executables, and built-in
            plugins where there is none (:class:`acni.ExecutablesFirst`).
        cgroup: For processes: a cgroup v2 directory that was delegated to this process. Each run
            then has a control group of its own there, and of a run that failed nothing lives,
            daemons in sessions of their own included.
        durability: What an attachment that is being made survives: with "power" a power cut, for
            one shared sync each, with "process" the end of this process.
        recover: Undo in the background what dead runtimes left, settle what is owed, and once, in
            the beginning, put back what somebody took away of what built-in plugins had made.
            Without, what was left is settled where something is done to its container, and all of
            it by :meth:`Runtime.recover`.

    Yields:
        The runtime.

    Raises:
        StoreError: the state directory cannot be made or opened, lies on no local file system,
            others may write to it, or a newer acni wrote it.
        ConfigError: a plugin directory, a variable, the cgroup or the durability is not allowed.

    Example:
        >>> async def main():
        ...     async with acni.open_runtime(
        ...         state_dir=state_dir, conf_dir=conf_dir, plugin_dirs=[plugins.directory]
        ...     ) as runtime:
        ...         return await runtime.add(await runtime.network("dbnet"), attachment)
        >>> str(anyio.run(main).ipv4), [str(asked) for asked in plugins.calls]
        ('192.0.2.7', ['ADD bridge', 'ADD portmap'])
    """
    if durability not in get_args(Durability):
        expected = " or ".join(map(repr, get_args(Durability)))
        raise ConfigError(f"{durability!r} is not allowed", place="durability", expected=expected)
    bounds = timeouts or Timeouts()
    directories = parse_plugin_dirs(plugin_dirs)
    configurations = parse_path(conf_dir, "conf_dir")
    variables = plugin_environment(inherit, environment or {})
    groups = None if cgroup is None else parse_path(cgroup, "cgroup")
    if groups is not None and runner is not None:
        message = "a runner was given, which has a cgroup of its own or none"
        raise ConfigError(message, place="cgroup", expected="one of the two")
    host = this_host()
    # Blocks for a few file operations, and for the disk when the state directory is new.
    place = parse_path(state_dir, "state_dir")
    executables = Executables(grace_seconds=bounds.grace, cgroup=groups)
    with (
        # Its threads begin with the first plugin that is built in.
        ExecutablesFirst(executables=executables) as default,
        open_store(place, host) as store,
        open_locks(place) as locks,
    ):
        shared = locks if store.is_writable() else None
        turns = Turns(
            locks=shared,
            wait_seconds=bounds.wait,
            is_open=store.has_open,
            describe=partial(describe_holder, store.records, host.boot),
        )
        engine = Engine(
            store=store,
            turns=turns,
            admission=Admission(limits or Limits(), shared),
            runner=runner or default,
            plugin_dirs=directories,
            environment=variables,
            timeouts=bounds,
            host=host,
            observers=tuple(observers),
        )
        for name in store.kept_aside:
            Operation(engine=engine, verb="", network="", id=None).notify(
                RecordQuarantined, name=name
            )
        async with _at_work(engine, durability, settles=recover) as working:
            runtime = Runtime(working, configurations)
            try:
                yield runtime
            finally:
                await runtime.close()  # noqa: ASYNC102 (it shields itself, and has a bound)
                engine.visitor.close()


@asynccontextmanager
async def _at_work(
    engine: Engine, durability: Durability, *, settles: bool
) -> AsyncGenerator[Engine]:
    """Let the tasks of a runtime work: the one that syncs for all, and the one that settles."""
    store = engine.store
    if store.journal is None:
        yield engine
        return

    def stand() -> None:
        if store.is_deleted():
            store.remake()
            Operation(engine=engine, verb="", network="", id=None).notify(StateRemade)

    commits = Commits(
        store.journal, store.sync_records, engine.in_left_thread, stand, durability == "power"
    )
    working = evolve(engine, commits=commits)
    settling = Settling(working)
    failure: BaseException | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(commits.run)
        if settles:
            working = working.kept_by(settling)
            tasks.start_soon(settling.run)
        try:
            yield working
        except BaseException as error:  # noqa: ASYNC103, BLE001 (raised below, outside the group)
            failure = error
        with anyio.move_on_after(_CLOSE_MARGIN, shield=True):
            await commits.close()
            # In a thread: a disk that hangs must not stop the loop of other runtimes.
            await anyio.to_thread.run_sync(store.wait_until_idle)
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure

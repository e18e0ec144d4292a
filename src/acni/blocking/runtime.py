"""The runtime for callers without an event loop."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from subprocess import CompletedProcess
from typing import Any, Literal, TypeAlias, get_args

from attrs import define

from acni.blocking.calls import Caller
from acni.blocking.portal import Portal, open_portal
from acni.engine import attached, runtime
from acni.engine.engine import Observer
from acni.engine.gc import GCReport, Kept
from acni.engine.listing import AttachmentRecord
from acni.engine.recovery import RecoveryReport
from acni.engine.runner import Runner
from acni.engine.runtime import CONF_DIR, PLUGIN_DIRS
from acni.engine.settings import INHERITED, Durability, Limits, Timeouts
from acni.engine.validate import Validation
from acni.errors import ConfigError
from acni.events import Debt
from acni.host.netns import Namespace
from acni.spec.attachment import Attachment, AttachmentId
from acni.spec.configuration import NetworkConfig
from acni.spec.result import Result

Backend = Literal["asyncio", "trio"]
Keep: TypeAlias = Kept | Callable[[], Kept]


@define(eq=False)
class Box:
    """A network namespace that is attached to a network; :class:`acni.Box` without ``await``.

    Attributes:
        netns: The namespace.
        result: What the ADD yielded.

    Example:
        >>> with acni.blocking.open_runtime(state_dir=state_dir, runner=scripted) as runtime:
        ...     with runtime.attached(network, "job-1") as box:
        ...         box.result.ipv4, box.netns.has_interface("lo")
        (IPv4Address('192.0.2.7'), True)
    """

    netns: Namespace
    result: Result
    _box: attached.Box
    _portal: Portal[runtime.Runtime]

    def run(self, argv: Sequence[str], *, timeout: float) -> CompletedProcess[bytes]:
        """Run a program inside and wait for it.

        Args:
            argv: The program and its arguments.
            timeout: Seconds after which it is killed.

        Returns:
            The finished process with ``returncode``, ``stdout`` and ``stderr``.

        Raises:
            TimeoutError: it was killed.
            RuntimeClosed: the runtime was left; it was killed.

        Example:
            >>> with acni.blocking.open_runtime(state_dir=state_dir, runner=scripted) as runtime:
            ...     with runtime.attached(network, "job-1") as box:
            ...         done = box.run(["ip", "-brief", "link"], timeout=10)
            >>> done.stdout.split()[0]
            b'lo'
        """
        return self._portal.call(partial(self._box.run, argv, timeout=timeout))


@define(eq=False)
class Runtime:
    """Attaches containers to networks and detaches them; made by :func:`open_runtime`.

    :class:`acni.Runtime` without ``await``: the same names, arguments, results and errors. Any
    number of threads may call it at once. Each method raises besides:

    - :class:`TimeoutError` when ``timeout`` seconds are over, with all waiting counted in. What was
      done by then is undone or owed, as after every cancellation.
    - :class:`acni.errors.RuntimeClosed` when the runtime was left, or in a forked child.
    - :class:`RuntimeError` in the runtime's own thread, where observers are called.

    Example:
        >>> with acni.blocking.open_runtime(
        ...     state_dir=state_dir, conf_dir=conf_dir, runner=scripted
        ... ) as runtime:
        ...     result = runtime.add(runtime.network("dbnet"), attachment, timeout=30)
        ...     runtime.delete(attachment.id)
        >>> result.ipv4
        IPv4Address('192.0.2.7')
    """

    _portal: Portal[runtime.Runtime]

    @property
    def _runtime(self) -> runtime.Runtime:
        return self._portal.opened

    def network(self, name: str, *, timeout: float | None = None) -> NetworkConfig:
        """Load the network of that name from the runtime's configuration directory, as
        :meth:`acni.Runtime.network` does.

        Args:
            name: The network's name.
            timeout: Seconds after which it is given up.

        Example:
            >>> with acni.blocking.open_runtime(state_dir=state_dir, conf_dir=conf_dir) as runtime:
            ...     runtime.network("dbnet").name
            'dbnet'
        """
        return self._portal.call(partial(self._runtime.network, name), timeout)

    def add(
        self,
        network: NetworkConfig,
        attachment: Attachment,
        *,
        trace: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Result:
        """Attach a container to a network, as :meth:`acni.Runtime.add` does.

        Args:
            network: The network.
            attachment: The container, its namespace and its arguments.
            trace: W3C trace context for the plugins: ``traceparent``, ``tracestate``,
                ``baggage``. By default that of the process's own environment, if it has one.
            timeout: Seconds after which it is cancelled and undone.

        Returns:
            The result of the last plugin. A durable record holds it from now on.

        Example:
            >>> with acni.blocking.open_runtime(state_dir=state_dir, runner=scripted) as runtime:
            ...     runtime.add(network, attachment, timeout=30).ipv4
            IPv4Address('192.0.2.7')
            >>> [str(asked) for asked in scripted.calls]
            ['ADD bridge', 'ADD portmap']
        """

        async def undo(_: Result) -> None:
            await self._runtime.delete(attachment, network=network.name, missing_ok=True)

        add = partial(self._runtime.add, network, attachment, trace=trace)
        return self._portal.call(add, timeout, undo=undo)

    def delete(
        self,
        attachment: Attachment | AttachmentId,
        *,
        network: NetworkConfig | str | None = None,
        missing_ok: bool = False,
        trace: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> None:
        """Detach a container, as :meth:`acni.Runtime.delete` does.

        Args:
            attachment: Its identity; the record knows the rest.
            network: The network to delete it from, or its name; by default all that it is attached
                to.
            missing_ok: Succeed where there is nothing that could be deleted.
            trace: W3C trace context for the plugins.
            timeout: Seconds after which it is cancelled; what is not deleted then is owed.

        Example:
            >>> with acni.blocking.open_runtime(state_dir=state_dir, runner=scripted) as runtime:
            ...     result = runtime.add(network, attachment)
            ...     runtime.delete(acni.AttachmentId("web"))
            ...     runtime.delete(acni.AttachmentId("web"), missing_ok=True)
            >>> scripted.held
            set()
        """
        delete = partial(
            self._runtime.delete, attachment, network=network, missing_ok=missing_ok, trace=trace
        )
        self._portal.call(delete, timeout)

    def check(
        self,
        attachment: Attachment | AttachmentId,
        *,
        network: str | None = None,
        trace: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> None:
        """Check that an attachment is still as it was made, as :meth:`acni.Runtime.check` does.

        Args:
            attachment: Its identity; everything else comes from the record.
            network: The name of the network it is expected on; by default any.
            trace: W3C trace context for the plugins.
            timeout: Seconds after which it is cancelled.

        Example:
            >>> with acni.blocking.open_runtime(state_dir=state_dir, runner=scripted) as runtime:
            ...     result = runtime.add(network, attachment)
            ...     runtime.check(attachment.id, network="dbnet")
            >>> [str(asked) for asked in scripted.calls[2:]]
            ['CHECK bridge', 'CHECK portmap']
        """
        self._portal.call(
            partial(self._runtime.check, attachment, network=network, trace=trace), timeout
        )

    def gc(
        self,
        network: NetworkConfig,
        *,
        keep: Keep,
        foreign: bool = False,
        dry_run: bool = False,
        trace: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> GCReport:
        """Delete every attachment of a network that is not kept, and have its plugins collect what
        is left of others, as :meth:`acni.Runtime.gc` does.

        Args:
            network: The network.
            keep: The attachments that stay, or their identities; or a plain function that returns
                them. It is called in the thread that called this, when nothing else is under way,
                and may look at the runtime, but neither attach nor detach.
            foreign: What other writers attached before this was called is collected, too.
            dry_run: Only say what would be deleted; nothing is changed, and nothing waited for.
            trace: W3C trace context for the plugins.
            timeout: Seconds after which it is cancelled.

        Returns:
            What became of the attachments, with all failures.

        Example:
            >>> with acni.blocking.open_runtime(state_dir=state_dir, runner=scripted) as runtime:
            ...     result = runtime.add(network, attachment)
            ...     report = runtime.gc(network, keep=lambda: [acni.AttachmentId("other")])
            >>> [str(identity) for identity in report.deleted]
            ['web/eth0']
        """
        caller = Caller()
        kept = partial(caller.ask, keep, self._portal.post) if callable(keep) else keep
        collect = partial(
            self._runtime.gc, network, keep=kept, foreign=foreign, dry_run=dry_run, trace=trace
        )
        return self._portal.call(collect, timeout, caller=caller)

    def status(
        self,
        network: NetworkConfig,
        *,
        trace: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> None:
        """Ask whether a network is ready for an ADD, as :meth:`acni.Runtime.status` does.

        Args:
            network: The network.
            trace: W3C trace context for the plugins.
            timeout: Seconds after which it is cancelled.

        Example:
            >>> scripted.tell("portmap", "STATUS", testing.Behaviour.failing(code=50))
            >>> with acni.blocking.open_runtime(state_dir=state_dir, runner=scripted) as runtime:
            ...     try:
            ...         runtime.status(network)
            ...     except acni.NotReady as error:
            ...         print(error.plugin)
            portmap
        """
        self._portal.call(partial(self._runtime.status, network, trace=trace), timeout)

    def version(self, plugin_type: str, *, timeout: float | None = None) -> tuple[str, ...]:
        """Ask a plugin which versions it supports, as :meth:`acni.Runtime.version` does.

        Args:
            plugin_type: The plugin's type.
            timeout: Seconds after which it is cancelled.

        Returns:
            The versions, as the plugin lists them.

        Example:
            >>> with acni.blocking.open_runtime(state_dir=state_dir, runner=scripted) as runtime:
            ...     runtime.version("bridge")[-1]
            '1.1.0'
        """
        return self._portal.call(partial(self._runtime.version, plugin_type), timeout)

    def validate(self, network: NetworkConfig, *, timeout: float | None = None) -> Validation:
        """Look whether every plugin of a network is there, and which version they all support, as
        :meth:`acni.Runtime.validate` does.

        Args:
            network: The network.
            timeout: Seconds after which it is cancelled.

        Returns:
            What was found: the version, failures, and reserved keys that never reach a plugin.

        Example:
            >>> scripted.remove("portmap")
            >>> with acni.blocking.open_runtime(state_dir=state_dir, runner=scripted) as runtime:
            ...     [error.plugin for error in runtime.validate(network).failures]
            ['portmap']
        """
        return self._portal.call(partial(self._runtime.validate, network), timeout)

    def attachments(
        self,
        *,
        container_id: str | None = None,
        network: str | None = None,
        timeout: float | None = None,
    ) -> tuple[AttachmentRecord, ...]:
        """List what the state directory holds, as :meth:`acni.Runtime.attachments` does.

        Args:
            container_id: Only those of this container.
            network: Only those of this network.
            timeout: Seconds after which it is given up.

        Example:
            >>> with acni.blocking.open_runtime(state_dir=state_dir, runner=scripted) as runtime:
            ...     result = runtime.add(network, attachment)
            ...     [found.container_id for found in runtime.attachments(network="dbnet")]
            ['web']
        """
        attachments = partial(self._runtime.attachments, container_id=container_id, network=network)
        return self._portal.call(attachments, timeout)

    def debts(self, *, timeout: float | None = None) -> tuple[Debt, ...]:
        """List the deletes that are still owed, as :meth:`acni.Runtime.debts` does.

        Args:
            timeout: Seconds after which it is given up.

        Example:
            >>> with acni.blocking.open_runtime(state_dir=state_dir, runner=scripted) as runtime:
            ...     for debt in runtime.debts():
            ...         runtime.settle(debt)
            ...     runtime.debts()
            ()
        """
        return self._portal.call(self._runtime.debts, timeout)

    def recover(
        self, *, assume_rebooted: bool = False, timeout: float | None = None
    ) -> RecoveryReport:
        """Settle everything that dead runtimes left, and everything that is owed, now, as
        :meth:`acni.Runtime.recover` does.

        Args:
            assume_rebooted: What was attached from another host network namespace of this boot
                counts as of an earlier boot: that namespace is gone.
            timeout: Seconds after which it is cancelled; what is not settled then is still owed.

        Returns:
            What became of it.

        Example:
            >>> with acni.blocking.open_runtime(state_dir=state_dir, runner=scripted) as runtime:
            ...     report = runtime.recover(timeout=60)
            >>> report.settled, report.owed
            ((), ())
        """
        recover = partial(self._runtime.recover, assume_rebooted=assume_rebooted)
        return self._portal.call(recover, timeout)

    def settle(self, debt: Debt, *, timeout: float | None = None) -> None:
        """Delete what is owed, beginning where it halted, as :meth:`acni.Runtime.settle` does.

        Args:
            debt: One of :meth:`debts`, or the ``debt`` of an error.
            timeout: Seconds after which it is cancelled; the rest is still owed.

        Example:
            >>> result = call("add", network, attachment)
            >>> scripted.tell("bridge", "DEL", testing.Behaviour.failing(msg="in use"))
            >>> with acni.blocking.open_runtime(state_dir=state_dir, runner=scripted) as runtime:
            ...     try:
            ...         runtime.delete(attachment.id)
            ...     except acni.CleanupIncomplete as error:
            ...         scripted.tell("bridge", "DEL", testing.Behaviour())
            ...         runtime.settle(error.debt)
            >>> scripted.held
            set()
        """
        self._portal.call(partial(self._runtime.settle, debt), timeout)

    def forget(self, debt: Debt, *, reason: str, timeout: float | None = None) -> None:
        """Give up what is owed: its record goes, no plugin runs, what plugins hold stays held; as
        :meth:`acni.Runtime.forget` does.

        Args:
            debt: One of :meth:`debts`.
            reason: Why; goes into the event.
            timeout: Seconds after which it is cancelled.

        Example:
            >>> result = call("add", network, attachment)
            >>> scripted.tell("bridge", "DEL", testing.Behaviour.failing(msg="in use"))
            >>> with acni.blocking.open_runtime(state_dir=state_dir, runner=scripted) as runtime:
            ...     try:
            ...         runtime.delete(attachment.id)
            ...     except acni.CleanupIncomplete as error:
            ...         runtime.forget(error.debt, reason="removed by hand")
            ...     runtime.debts()
            ()
        """
        self._portal.call(partial(self._runtime.forget, debt, reason=reason), timeout)

    def drain(self, timeout: float) -> bool:
        """Take no more operations, and wait for those of other threads that are under way, as
        :meth:`acni.Runtime.drain` does.

        Args:
            timeout: How long to wait, in seconds.

        Returns:
            Whether all of them have ended.

        Example:
            >>> with acni.blocking.open_runtime(state_dir=state_dir, runner=scripted) as runtime:
            ...     runtime.drain(10)
            True
        """
        return self._portal.call(partial(self._runtime.drain, timeout))

    @contextmanager
    def attached(
        self,
        network: NetworkConfig,
        container_id: str,
        *,
        ifname: str = "eth0",
        capability_args: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Generator[Box]:
        """Make a namespace, set its loopback up and attach it, as :meth:`acni.Runtime.attached`
        does; detach it at the end of the block, or when the runtime is left before.

        Args:
            network: The network.
            container_id: The container's ID.
            ifname: The interface inside.
            capability_args: Capability arguments.
            timeout: Seconds after which all that comes before the block is cancelled and undone.
                The delete at the end has its own bounds.

        Yields:
            The namespace and the result, with a way to run programs inside.

        Example:
            >>> with acni.blocking.open_runtime(state_dir=state_dir, runner=scripted) as runtime:
            ...     with runtime.attached(network, "job-1", timeout=30) as box:
            ...         print(box.result.ipv4, sorted(scripted.held))
            192.0.2.7 ['bridge/job-1/eth0', 'portmap/job-1/eth0']
            >>> scripted.held
            set()
        """
        manager = self._runtime.attached(
            network, container_id, ifname=ifname, capability_args=capability_args
        )
        with self._portal.hold(manager, timeout) as box:
            yield Box(box.netns, box.result, box, self._portal)


@contextmanager
def open_runtime(
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
    backend: Backend = "asyncio",
) -> Generator[Runtime]:
    """Open a runtime in a thread of its own; the only way in. When the block ends, operations under
    way are cancelled and undone, and that thread has ended.

    Where nobody leaves the block, that happens when the interpreter ends: after the main thread and
    every other one that it waits for.

    Args:
        state_dir: Where records lie; this and what follows is as for :func:`acni.open_runtime`.
        conf_dir: The directory of network configurations, for :meth:`Runtime.network`.
        plugin_dirs: Where plugins are looked for: absolute directories, the first match wins.
        limits: How much goes on at once.
        timeouts: The bounds, in seconds.
        inherit: Names of variables that plugins inherit from this process, besides the trace
            variables.
        environment: What is set for them on top.
        observers: Called with every event, in the runtime's thread: they must not block, and cannot
            call the runtime. They see the context variables of whoever called.
        runner: Runs the plugins, and is the caller's to close; by default executables, and built-in
            plugins where there is none (:class:`acni.ExecutablesFirst`).
        cgroup: For processes: a cgroup v2 directory that was delegated to this process.
        durability: What an attachment that is being made survives: "power" or "process".
        recover: Undo in the background what dead runtimes left, and settle what is owed.
        backend: The loop of the runtime's thread: "asyncio" or "trio".

    Yields:
        The runtime.

    Raises:
        StoreError: the state directory cannot be made or opened, lies on no local file system,
            others may write to it, or a newer acni wrote it.
        ConfigError: a plugin directory, a variable, the cgroup, the durability or the backend is
            not allowed.

    Example:
        >>> with acni.blocking.open_runtime(
        ...     state_dir=state_dir, conf_dir=conf_dir, plugin_dirs=[plugins.directory]
        ... ) as runtime:
        ...     result = runtime.add(runtime.network("dbnet"), attachment)
        >>> str(result.ipv4), [str(asked) for asked in plugins.calls]
        ('192.0.2.7', ['ADD bridge', 'ADD portmap'])
    """
    if backend not in get_args(Backend):
        expected = " or ".join(map(repr, get_args(Backend)))
        raise ConfigError(f"{backend!r} is not allowed", place="backend", expected=expected)
    opening = runtime.open_runtime(
        state_dir=state_dir,
        conf_dir=conf_dir,
        plugin_dirs=plugin_dirs,
        limits=limits,
        timeouts=timeouts,
        inherit=inherit,
        environment=environment,
        observers=observers,
        runner=runner,
        cgroup=cgroup,
        durability=durability,
        recover=recover,
    )
    with open_portal(opening, backend) as portal:
        yield Runtime(portal)

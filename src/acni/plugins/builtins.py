"""The runner of plugins in this process.

Rule 1: a run returns, or raises cancellation, only when its verb has ended: it is told to stop, and
    waited for, shielded and bounded.
Rule 2: a verb that does not end within that bound, stuck in the kernel, is left behind. Nothing
    else runs for its container here before it has ended, and it holds the container's guard as
    long: whoever undoes its work, in this process or another, comes after it.
Rule 3: otherwise nothing holds the guard. It is there for a plugin that outlives its runtime, and a
    verb ends with this process. The executables that it delegates to do not, and inherit it.

(specification, section 2, "CNI operations")
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from time import perf_counter
from types import TracebackType
from typing import Final, Self

import anyio
from attrs import Factory, define, evolve, field

from acni.errors import AcniError, PluginNotFound
from acni.host.plugins import BUILTIN, added_by_another
from acni.plugins.catalog import BUILT_IN
from acni.plugins.workers import Job, Sleepers, Worker
from acni.skel import Bounds, Call, Stopped, Verbs
from acni.skel.delegation import Delegates
from acni.skel.kept import Kept
from acni.skel.respond import look_for_lost, put_back, respond, run_verb
from acni.spec.names import PluginType
from acni.spec.plugin import Caps, Ending, Plugin, Request, Response

# How long a verb may take to end once it is told to: it looks between its steps, and a delegate
# that is ended has a second and some to be gone.
_STOP_SECONDS: Final = 10.0
# The same where the loop must not be waited for, and is blocked meanwhile; most end in less than
# one millisecond.
_STOP_NOW_SECONDS: Final = 0.1
_CLOSE_SECONDS: Final = 10.0
# Between two looks at a verb that was left behind.
_PAUSE_SECONDS: Final = 0.02


@define(eq=False, kw_only=True)
class BuiltIns:
    """Runs the plugins that acni brings along, in threads of this process: no executables needed.

    A runtime that has no ``runner`` uses them where there is no executable. As a context manager,
    or by :meth:`close`, its threads end.

    Attributes:
        plugins: The plugins by type; by default all that acni has. Others are written with
            :mod:`acni.skel`.

    Example:
        >>> network = acni.networks.from_plugins("local", {"type": "loopback"})
        >>> async def main():
        ...     with acni.BuiltIns() as runner:
        ...         async with runtime_over(runner) as runtime:
        ...             await runtime.add(network, attachment)
        ...             (record,) = await runtime.attachments()
        ...             return record.addresses[0], record.runners
        >>> anyio.run(main)
        ('127.0.0.1/8', ('builtin',))
    """

    plugins: Mapping[str, Verbs] = field(default=BUILT_IN, repr=False)
    _delegates: Delegates = field(
        default=Factory(lambda self: Delegates(built_in=self.plugins), True), init=False, repr=False
    )
    _idle: list[Worker] = field(factory=list[Worker], init=False, repr=False)
    _left_behind: dict[str, list[Job]] = field(
        factory=dict[str, "list[Job]"], init=False, repr=False
    )
    _sleepers: Sleepers = field(factory=Sleepers, init=False, repr=False)
    _kept: Kept = field(factory=Kept, init=False, repr=False)

    def find(
        self, plugin_type: PluginType, directories: Sequence[str], *, added_by: str | None = None
    ) -> Plugin:
        """Find a built-in plugin.

        Args:
            plugin_type: The plugin's type.
            directories: Where executables are looked for; here they do not matter.
            added_by: By which kind of runner an ADD had it run, or None.

        Raises:
            PluginNotFound: acni brings no such plugin, it cannot be loaded, or it was added by
                another kind.

        Example:
            >>> plugin = acni.BuiltIns().find("loopback", ["/opt/cni/bin"])
            >>> plugin.path, plugin.runner
            ('', 'builtin')
        """
        if added_by not in (None, BUILTIN):
            raise added_by_another(plugin_type, added_by)
        try:
            self.plugins[plugin_type]  # what cannot be loaded is said before anything runs
        except KeyError:
            raise PluginNotFound(
                "no plugin of this type is built in",
                plugin=plugin_type,
                expected=f"one of {', '.join(sorted(self.plugins))}",
            ) from None
        # As long as this process lives it is the same, so nothing is looked up that would tell.
        return Plugin(type=plugin_type, path="", identity=BUILTIN, runner=BUILTIN)

    async def run(
        self,
        plugin: Plugin,
        request: Request,
        *,
        deadline: float,
        caps: Caps,
        guard: int | None = None,
    ) -> Response:
        """Run a plugin once.

        Args:
            plugin: What :meth:`find` returned.
            request: Its environment and standard input.
            deadline: When it is out of time, on the event loop's clock.
            caps: How much of a result is taken.
            guard: A descriptor that executables which it delegates to inherit, or None.

        Returns:
            The response. When this returns, or raises cancellation, the verb has ended, unless it
            is stuck in the kernel.

        Example:
            >>> async def main():
            ...     with acni.BuiltIns() as runner:
            ...         plugin = runner.find("loopback", [])
            ...         given = {"CNI_COMMAND": "VERSION"}
            ...         request = spec.Request(environment=given, stdin=b'{"cniVersion": "1.0.0"}')
            ...         deadline = anyio.current_time() + 10
            ...         return await runner.run(
            ...             plugin, request, deadline=deadline, caps=spec.Caps()
            ...         )
            >>> anyio.run(main).stdout[:23]
            b'{"cniVersion":"1.0.0","'
        """
        return await self._run(plugin, request, run_verb, deadline=deadline, caps=caps, guard=guard)

    def restores(self, plugin: Plugin) -> bool:
        """Tell whether a plugin puts back what somebody took away that an ADD had made.

        Args:
            plugin: What :meth:`find` returned, or a record says.

        Example:
            >>> with acni.BuiltIns() as runner:
            ...     found = [runner.find(kind, []) for kind in ("portmap", "loopback")]
            ...     [runner.restores(plugin) for plugin in found]
            [True, False]
        """
        if plugin.runner != BUILTIN:
            return False
        verbs = self.plugins.get(plugin.type)
        return verbs is not None and verbs.restore is not None

    def look(self, plugin: Plugin, request: Request, *, seconds: float) -> Response:
        """Look whether somebody took away what an ADD had made, and change nothing. Blocks the
        calling thread.

        Args:
            plugin: One of which :meth:`restores` is true.
            request: Like CHECK's; without CNI_NETNS.
            seconds: How long it may take.

        Returns:
            The response; its standard output is ``lost`` where something is missing.

        Example:
            >>> verbs = skel.Verbs(add=print, delete=print, restore=lambda call: print)
            >>> runner = acni.BuiltIns(plugins={"mine": verbs})
            >>> given = {"CNI_COMMAND": "CHECK", "CNI_CONTAINERID": "web", "CNI_IFNAME": "eth0"}
            >>> request = spec.Request(environment=given, stdin=b'{"name": "net"}')
            >>> runner.look(runner.find("mine", []), request, seconds=10).stdout
            b'lost'
        """
        bounds = Bounds(time.monotonic() + seconds)
        try:
            return self._respond(self.plugins[plugin.type], request, look_for_lost, bounds=bounds)
        except Stopped:
            return Response(ending=Ending.OUT_OF_TIME, seconds=seconds)

    def tables(self) -> Hashable:
        """Say in which tables of this host plugins have what they restore: others once somebody
        has removed one, and all that was in it, or its rules. Blocks the calling thread.

        Returns:
            What there is is compared with what there was; None where nobody can say, as of plugins
            that are not acni's.

        Example:
            >>> acni.BuiltIns(plugins={}).tables() is None
            True
        """
        if self.plugins is not BUILT_IN:
            return None
        from acni.plugins.elements import table_states  # noqa: PLC0415 (few ask)

        try:
            return table_states(self._kept)
        except OSError:  # no netfilter, or no right to ask it
            return None

    async def restore(self, plugin: Plugin, request: Request, *, deadline: float) -> Response:
        """Put back what somebody took away that an ADD had made.

        Args:
            plugin: One of which :meth:`restores` is true.
            request: Like CHECK's; without CNI_NETNS.
            deadline: When it is out of time, on the event loop's clock.

        Returns:
            The response; its standard output is ``lost`` where something was missing, and is there
            now. As with :meth:`run`, nothing goes on when this returns.

        Example:
            >>> def restore(call):
            ...     return lambda: print("there again:", call.container_id)
            >>> verbs = skel.Verbs(add=print, delete=print, restore=restore)
            >>> given = {"CNI_COMMAND": "CHECK", "CNI_CONTAINERID": "web", "CNI_IFNAME": "eth0"}
            >>> request = spec.Request(environment=given, stdin=b'{"name": "net"}')
            >>> async def main():
            ...     with acni.BuiltIns(plugins={"mine": verbs}) as runner:
            ...         plugin = runner.find("mine", [])
            ...         deadline = anyio.current_time() + 10
            ...         return await runner.restore(plugin, request, deadline=deadline)
            >>> anyio.run(main).stdout
            there again: web
            b'lost'
        """
        return await self._run(
            plugin, request, put_back, deadline=deadline, caps=Caps(), guard=None
        )

    def close(self) -> None:
        """End the threads, and wait for what still waits for the kernel: ten seconds at most.

        Not while something runs. What is run afterwards has new threads.

        Example:
            >>> runner = acni.BuiltIns()
            >>> runner.find("loopback", []).runner
            'builtin'
            >>> runner.close()
        """
        until = time.monotonic() + _CLOSE_SECONDS
        idle, self._idle = self._idle, []
        for worker in idle:
            worker.end()
        for worker in idle:
            worker.join(max(0.0, until - time.monotonic()))
        self._sleepers.close(until)
        kept, self._kept = self._kept, Kept()
        kept.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def _run(
        self,
        plugin: Plugin,
        request: Request,
        run: Callable[[Verbs, Call], str],
        *,
        deadline: float,
        caps: Caps,
        guard: int | None,
    ) -> Response:
        began = perf_counter()
        verbs = self.plugins.get(plugin.type)
        if verbs is None:
            return Response(ending=Ending.NOT_STARTED, status=errno.ENOENT)
        container_id = request.environment.get("CNI_CONTAINERID", "")
        if not await self._is_free(container_id, deadline):
            return Response(ending=Ending.OUT_OF_TIME, seconds=perf_counter() - began)
        bounds = Bounds(time.monotonic() + deadline - anyio.current_time())
        job = Job(lambda: self._respond(verbs, request, run, bounds=bounds, guard=guard), bounds)
        try:
            worker = self._worker()
        except (OSError, RuntimeError, AcniError):  # no descriptor, or no thread
            return Response(ending=Ending.NOT_STARTED, status=errno.EAGAIN)
        try:
            worker.begin(job)
            with anyio.CancelScope(deadline=deadline):
                await worker.wait(job)
            if not job.is_done:
                bounds.stop()
                with anyio.move_on_after(_STOP_SECONDS, shield=True):
                    await worker.wait(job)
        except GeneratorExit:  # nobody awaits this any more
            raise
        except BaseException:
            bounds.stop()
            with anyio.move_on_after(_STOP_SECONDS, shield=True):
                await worker.wait(job)
            raise
        finally:
            self._come_back(worker, job, container_id, guard)
        return _within(job, caps, perf_counter() - began)

    def _respond(
        self,
        verbs: Verbs,
        request: Request,
        run: Callable[[Verbs, Call], str],
        *,
        bounds: Bounds,
        guard: int | None = None,
    ) -> Response:
        return respond(
            verbs,
            request,
            bounds=bounds,
            delegates=self._delegates,
            guard=guard,
            leave=self._sleepers.leave,
            kept=self._kept,
            run=run,
        )

    def _worker(self) -> Worker:
        while self._idle:
            worker = self._idle.pop()
            if worker.is_usable():
                return worker
        return Worker()

    def _come_back(self, worker: Worker, job: Job, container_id: str, guard: int | None) -> None:
        """Take a worker back, or leave it behind with a verb that does not end."""
        if not job.is_done:  # nobody waited to the end: a native cancellation pierces shields
            job.bounds.stop()
            job.ended.wait(_STOP_NOW_SECONDS)
        if job.is_done and worker.is_usable():
            self._idle.append(worker)
            return
        worker.end()
        if not job.is_done:
            job.leave_behind(guard)
            self._left_behind.setdefault(container_id, []).append(job)

    async def _is_free(self, container_id: str, deadline: float) -> bool:
        """Wait until nothing that was left behind runs for a container; False when out of time."""
        while left := [job for job in self._left_behind.pop(container_id, ()) if not job.is_done]:
            self._left_behind[container_id] = left
            if not container_id or anyio.current_time() >= deadline:
                return not container_id
            await anyio.sleep(_PAUSE_SECONDS)
        return True


def _within(job: Job, caps: Caps, seconds: float) -> Response:
    """Return what a verb yielded, as far as it is taken."""
    response = job.response
    if response is None:
        return Response(ending=Ending.OUT_OF_TIME, seconds=seconds)
    if len(response.stdout) <= caps.stdout_bytes:
        return evolve(response, seconds=seconds)
    if caps.ends_at_cap:
        return Response(ending=Ending.OVER_CAP, seconds=seconds)
    return evolve(response, stdout=response.stdout[: caps.stdout_bytes], seconds=seconds)

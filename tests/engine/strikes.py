"""Operations that are struck at one of their suspensions, and what has to be so after each.

A strike is a cancellation by a scope, an error raised where the operation waits, the end of the
runtime, or what no shield keeps off: a native cancellation on asyncio, KeyboardInterrupt on trio.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import anyio
import anyio.from_thread
import anyio.lowlevel
import pytest
from anyio.lowlevel import EventLoopToken
from attrs import Factory, define, evolve, field, frozen

from acni import (
    AcniError,
    Attachment,
    AttachmentId,
    CleanupIncomplete,
    Executables,
    NetworkConfig,
    Runtime,
    RuntimeClosed,
    Timeouts,
    netns,
    open_runtime,
)
from acni.engine.runner import Runner
from acni.spec.names import PluginType
from acni.spec.plugin import Caps, Plugin, Request, Response
from acni.testing import Behaviour, RecordingPlugins, ScriptedRunner
from acni.testing.cancellation import Suspensions
from tests.engine.builtin_world import Messages
from tests.engine.conftest import make_network

NETWORK: Final = make_network(version="1.1.0")
KINDS: Final = ("first", "second", "third")
C1, C2, C3 = AttachmentId("c1"), AttachmentId("c2"), AttachmentId("c3")

# Nobody is to be waited for; who is would be found so.
_WAIT_SECONDS: Final = 1.0
_MOST_POINTS: Final = 500

Pods = Mapping[AttachmentId, Attachment]

# Succeeds, but the record cannot be written then.
OBSTRUCTING: Final = Behaviour(stderr="obstructing")


@contextlib.contextmanager
def three_pods() -> Iterator[Pods]:
    """Three containers."""
    with contextlib.ExitStack() as stack:
        boxes = {one: stack.enter_context(netns.anonymous()) for one in (C1, C2, C3)}
        yield {
            one: Attachment(container_id=one.container_id, netns=box.path)
            for one, box in boxes.items()
        }


class Oddity(Exception):
    """An error that nobody expects."""


# --- who runs the plugins


class World(Runner, Protocol):
    """A runner whose plugins do as they are told."""

    @property
    def held(self) -> set[str]: ...

    @property
    def running(self) -> int: ...

    def tell(self, plugin_type: str, command: str, behaviour: Behaviour) -> None: ...


@define(eq=False)
class Witness(ScriptedRunner):
    """Runs no processes.

    Attributes:
        running: How many plugins run.
        breaks_at: How many runs from now on it raises an error instead, which no runner may.
        breaks_for_good: And ever after.
        oddities: What it raised.
        obstacle: A record's place: who is told to obstruct puts a directory there, and the next
            DEL takes it away.
    """

    running: int = 0
    breaks_at: int = 0
    breaks_for_good: bool = False
    oddities: list[Oddity] = Factory(list[Oddity])
    obstacle: Path | None = None

    async def run(
        self,
        plugin: Plugin,
        request: Request,
        *,
        deadline: float,
        caps: Caps,
        guard: int | None = None,
    ) -> Response:
        """Answer after a turn of the loop."""
        command = request.environment["CNI_COMMAND"]
        if self.obstacle is not None and command == "DEL":
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                self.obstacle.rmdir()
        self.running += 1
        try:
            await anyio.lowlevel.checkpoint()
            self.breaks_at -= 1
            if self.breaks_at == 0 or (self.breaks_at < 0 and self.breaks_for_good):
                self.oddities.append(Oddity(f"{command} {plugin.type}"))
                raise self.oddities[-1]
            response = await super().run(plugin, request, deadline=deadline, caps=caps, guard=guard)
        finally:
            self.running -= 1
        told = self._behaviours.get((plugin.type, command))
        if self.obstacle is not None and told is OBSTRUCTING:
            self.obstacle.mkdir()
        return response


@define(eq=False)
class Processes(Executables):
    """Runs real processes; that none is left, a fixture of all tests looks.

    Attributes:
        plugins: The plugins.
    """

    plugins: RecordingPlugins = field(kw_only=True)
    running: int = field(default=0, init=False)

    @property
    def held(self) -> set[str]:
        return self.plugins.held

    def tell(self, plugin_type: str, command: str, behaviour: Behaviour) -> None:
        self.plugins.tell(plugin_type, command, behaviour)

    def find(
        self, plugin_type: PluginType, directories: Sequence[str], *, added_by: str | None = None
    ) -> Plugin:
        return super().find(plugin_type, [self.plugins.directory], added_by=added_by)


# --- what is struck


@frozen
class Case:
    """An operation.

    Attributes:
        added: What is attached before.
        call: It.
        touched: What it is about.
        owed: What is owed before.
    """

    added: Sequence[AttachmentId]
    call: Callable[[Runtime, Pods], Coroutine[Any, Any, object]]
    touched: Sequence[AttachmentId] = (C1,)
    owed: Sequence[AttachmentId] = ()

    @property
    def stays(self) -> set[AttachmentId]:
        """What it leaves alone."""
        return set(self.added) - set(self.touched)


CASES: Final = {
    "add": Case([C2], lambda runtime, pods: runtime.add(NETWORK, pods[C1])),
    "delete": Case([C1, C2], lambda runtime, _: runtime.delete(C1)),
    "check": Case([C1, C2], lambda runtime, _: runtime.check(C1)),
    "gc": Case([C1, C2, C3], lambda runtime, _: runtime.gc(NETWORK, keep=[C2]), (C1, C3)),
    "recover": Case([C1, C2, C3], lambda runtime, _: runtime.recover(), (C1, C3), (C1, C3)),
}


# --- strikes


@frozen
class Plan:
    """When an operation is struck.

    Attributes:
        first: What it is struck with.
        at: At which suspension.
        second: What it is struck with after that.
        after: How many suspensions later.
    """

    first: Strike
    at: int
    second: Strike | None = None
    after: int = 0


@define(eq=False)
class Struck:
    """An operation under way that is struck.

    Attributes:
        plan: When.
        scope: The scope it runs in.
        task: Its task, on asyncio.
        strikes: What it was struck with.
        errors: What was raised where it waited.
        suspensions: How many there were.
        is_over: Set when it has ended, or its runtime is to be left.
        outcome: What it raised.
    """

    plan: Plan
    scope: anyio.CancelScope = Factory(anyio.CancelScope)
    task: asyncio.Task[Any] | None = None
    strikes: list[Strike] = Factory(list["Strike"])
    errors: list[Oddity] = Factory(list[Oddity])
    suspensions: int = 0
    is_over: anyio.Event = Factory(anyio.Event)
    outcome: BaseException | None = None

    @property
    def is_struck(self) -> bool:
        """Whether it was struck as often as was planned."""
        return len(self.strikes) == (1 if self.plan.second is None else 2)

    async def run(self, call: Coroutine[Any, Any, object]) -> None:
        """Run it to its end."""
        suspensions = Suspensions(call, self._strike)
        with contextlib.suppress(RuntimeError):
            self.task = asyncio.current_task()
        try:
            with self.scope:
                await suspensions.run()
        except BaseException as error:  # noqa: ASYNC103, BLE001 (looked at)
            self.outcome = error
        try:
            await anyio.lowlevel.checkpoint()  # an interruption may come when it has just ended
        except (asyncio.CancelledError, KeyboardInterrupt) as error:  # noqa: ASYNC103 (looked at)
            error.__context__ = self.outcome
            self.outcome = error
        while self.task is not None and self.task.cancelling():
            self.task.uncancel()
        self.suspensions = suspensions.count
        assert not suspensions.children, "a task is left"
        self.is_over.set()

    def _strike(self, suspensions: Suspensions) -> None:
        strike: Strike | None = None
        if suspensions.count == self.plan.at:
            strike = self.plan.first
        elif suspensions.count == self.plan.at + self.plan.after:
            strike = self.plan.second
        if strike is not None and strike(self, suspensions):
            self.strikes.append(strike)


def _strike_from_thread(struck: Struck, token: EventLoopToken) -> None:
    """Strike an operation from another thread, which waits until it was struck."""
    first = struck.plan.first

    def strike() -> None:
        struck.strikes.append(first)
        if first is interrupt and struck.task is not None:
            struck.task.cancel()
        else:
            struck.scope.cancel()

    if first is interrupt and struck.task is None:
        struck.strikes.append(first)
        signal.raise_signal(signal.SIGINT)
    else:
        anyio.from_thread.run_sync(strike, token=token)


# Strikes, and tells whether it could.
Strike = Callable[[Struck, Suspensions], bool]


def cancel(struck: Struck, _: Suspensions) -> bool:
    """Cancel the scope it runs in."""
    struck.scope.cancel()
    return True


def leave(struck: Struck, _: Suspensions) -> bool:
    """Leave its runtime."""
    struck.is_over.set()
    return True


def fail(struck: Struck, suspensions: Suspensions) -> bool:
    """Raise an error where it waits. While it waits for tasks that it started no loop does so."""
    if suspensions.children:
        return False
    struck.errors.append(Oddity(f"at suspension {suspensions.count}"))
    suspensions.interrupt(struck.errors[-1])
    return True


def interrupt(struck: Struck, _: Suspensions) -> bool:
    """Strike through every shield."""
    if struck.task is not None:
        struck.task.cancel()
    else:
        signal.raise_signal(signal.SIGINT)
    return True


# --- what came of it


@define(eq=False)
class Counts:
    """What came of it.

    Attributes:
        points: At how many points it was struck.
        gone: At how many of these nothing is left of what it is about.
        attached: At how many some of that is attached, and nothing owed.
        owed: At how many some of it is owed.
    """

    points: int = 0
    gone: int = 0
    attached: int = 0
    owed: int = 0

    def __str__(self) -> str:
        clean = self.gone + self.attached + self.owed
        said = f"{self.gone} gone, {self.attached} attached, {self.owed} owed"
        return f"{clean} of {self.points} clean: {said}"


@define(eq=False)
class Sweep:
    """Strikes an operation again and again, and each time lets nothing be left.

    Attributes:
        case: The operation.
        pods: The containers.
        state_dir: The state directory.
        world: Runs the plugins.
        another: Another runtime on the state directory.
        timeouts: The bounds of the one that is struck, but for waiting.
        told: How plugins behave from the operation on, by type and verb.
        is_used: Whether everything is tried after each strike.
        network: The network.
        kinds: Of what each holds something, once it is attached.
    """

    case: Case
    pods: Pods
    state_dir: Path
    world: World
    another: Runtime
    timeouts: Timeouts = Factory(Timeouts)
    told: Mapping[tuple[str, str], Behaviour] = Factory(dict[tuple[str, str], Behaviour])
    is_used: bool = True
    network: NetworkConfig = NETWORK
    kinds: Sequence[str] = KINDS
    counts: Counts = field(factory=Counts, init=False)
    outcomes: list[BaseException | None] = field(factory=list[BaseException | None], init=False)

    async def once(self, first: Strike, *, step: int = 1) -> None:
        """Strike at the k-th suspension, for every k, or every so many-th."""
        async with self._open() as runtime:
            for at in range(1, _MOST_POINTS, step):
                if await self._strike(runtime, Plan(first, at)) < at:
                    return
        raise AssertionError("the operation never ended")

    async def twice(self, first: Strike, second: Strike, *, step: int = 1) -> None:
        """Strike at the k-th suspension, for every k, and at the j-th after it, for every j; or
        every so many-th of both.
        """
        async with self._open() as runtime:
            for at in range(1, _MOST_POINTS, step):
                for after in range(1 + at // step % step, _MOST_POINTS, step):
                    suspensions = await self._strike(runtime, Plan(first, at, second, after))
                    if suspensions < at:
                        return
                    if suspensions < at + after:
                        break
        raise AssertionError("the operation never ended")

    async def left(self, *, step: int = 1) -> None:
        """Leave the runtime at the k-th suspension, for every k, or every so many-th."""
        for at in range(1, _MOST_POINTS, step):
            struck = Struck(Plan(leave, at))
            async with anyio.create_task_group() as tasks, self._open() as runtime:
                call = await self._prepared(runtime)
                tasks.start_soon(struck.run, call)
                await struck.is_over.wait()
            with pytest.raises(RuntimeClosed):
                await self.case.call(runtime, self.pods)
            await self._require_clean(self.another, struck)
            if not struck.is_struck:
                return
        raise AssertionError("the operation never ended")

    async def sending(self, first: Strike, messages: Messages, *, step: int = 1) -> None:
        """Strike while the k-th message to the kernel is sent, for every k, or every so many-th."""
        async with self._open() as runtime:
            for at in range(1, _MOST_POINTS, step):
                call = await self._prepared(runtime)
                struck = Struck(Plan(first, _MOST_POINTS))
                token = anyio.lowlevel.current_token()
                messages.arm(at, partial(_strike_from_thread, struck, token))
                await struck.run(call)
                has_happened = messages.disarm()
                await self._require_clean(runtime, struck)
                if not has_happened:
                    return
        raise AssertionError("the operation never ended")

    async def broken(self, witness: Witness, *, for_good: bool) -> None:
        """Let the k-th run of a plugin raise an error, for every k, or all from then on."""
        async with self._open() as runtime:
            for at in range(1, _MOST_POINTS):
                call = await self._prepared(runtime)
                witness.oddities.clear()
                witness.breaks_at, witness.breaks_for_good = at, for_good
                struck = Struck(Plan(cancel, _MOST_POINTS))
                await struck.run(call)
                witness.breaks_at, witness.breaks_for_good = 0, False
                if not witness.oddities:
                    assert struck.outcome is None
                    return
                # Of what goes on at once, any may be the first.
                may_be_first = witness.oddities[: len(self.case.touched)]
                assert any(struck.outcome is one for one in may_be_first), repr(struck.outcome)
                await self._look(runtime, is_counted=True)
                await self._use(runtime)
        raise AssertionError("the operation never ended")

    def _open(self) -> AbstractAsyncContextManager[Runtime]:
        return open_on(self.state_dir, self.world, self.timeouts)

    async def _strike(self, runtime: Runtime, plan: Plan) -> int:
        """Strike once, look what came of it, and return how many suspensions there were."""
        struck = Struck(plan)
        await struck.run(await self._prepared(runtime))
        await self._require_clean(runtime, struck)
        return struck.suspensions

    async def _prepared(self, runtime: Runtime) -> Coroutine[Any, Any, object]:
        for one in self.case.added:
            await self.another.add(self.network, self.pods[one])
        for one in self.case.owed:
            self.world.tell("second", "DEL", Behaviour.failing())
            with pytest.raises(CleanupIncomplete):
                await self.another.delete(one)
        self._tell_to_succeed()
        for place, behaviour in self.told.items():
            self.world.tell(*place, behaviour)
        return self.case.call(runtime, self.pods)

    def _tell_to_succeed(self) -> None:
        for kind in self.kinds:
            for verb in ("ADD", "DEL"):
                self.world.tell(kind, verb, Behaviour())

    async def _require_clean(self, runtime: Runtime, struck: Struck) -> None:
        require_the_first_error(struck)
        self.outcomes.append(struck.outcome)
        await self._look(runtime, is_counted=struck.is_struck)
        await self._use(runtime)

    async def _look(self, runtime: Runtime, *, is_counted: bool) -> None:
        """Require that nothing runs and all that is held is known, and count."""
        assert self.world.running == 0, "a plugin runs"
        owed = {AttachmentId(one.container_id, one.ifname) for one in await runtime.debts()}
        attached = {
            AttachmentId(one.container_id, one.ifname)
            for one in await runtime.attachments()
            if one.state == "attached"
        }
        held = self.world.held
        known = {str(one) for one in owed | attached}
        unknown = {name for name in held if name.partition("/")[2] not in known}
        assert not unknown, f"held and unknown: {unknown}"
        for one in attached:
            assert {f"{kind}/{one}" for kind in self.kinds} <= held, f"{one} is attached in part"
        assert self.case.stays <= attached, "another attachment was struck"
        touched = set(self.case.touched)
        if is_counted:
            self.counts.points += 1
            self.counts.owed += bool(touched & owed)
            self.counts.attached += bool(touched & attached) and not touched & owed
            self.counts.gone += not touched & (owed | attached)

    async def _use(self, runtime: Runtime) -> None:
        """Require that another runtime can do everything at once, and so can this one, and that
        nothing is left then.
        """
        self._tell_to_succeed()
        await self.another.delete(C1, missing_ok=True)
        if self.is_used:
            await self.another.add(self.network, self.pods[C1])
            await self.another.gc(self.network, keep=[C1, C2])
            for one in self.pods:
                await runtime.delete(one, missing_ok=True)
        assert self.world.held == set()
        assert await self.another.attachments() == ()
        assert await self.another.debts() == await runtime.debts() == ()
        assert list((self.state_dir / "results").iterdir()) == []


def open_on(
    state_dir: Path, runner: Runner, timeouts: Timeouts
) -> AbstractAsyncContextManager[Runtime]:
    """Open a runtime that finds out at once whom it would have to wait for."""
    return open_runtime(
        state_dir=state_dir,
        plugin_dirs=["/plugins"],
        runner=runner,
        timeouts=evolve(timeouts, wait=_WAIT_SECONDS),
        recover=False,
    )


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Iterate over an error and what was under way when it was raised."""
    while error is not None:
        yield error
        error = error.__context__


def require_the_first_error(struck: Struck) -> None:
    """Require that an operation raised what it was struck with first, and that nothing replaced
    that but what goes through every shield.
    """
    outcome, strikes = struck.outcome, struck.strikes
    if interrupt in strikes:
        assert isinstance(outcome, asyncio.CancelledError | KeyboardInterrupt), repr(outcome)
        assert not struck.errors or struck.errors[0] in chain(outcome), repr(outcome)
    elif strikes[:1] == [fail]:
        assert outcome is struck.errors[0], repr(outcome)
    elif strikes[:1] == [cancel]:
        assert outcome is None or isinstance(outcome, AcniError), repr(outcome)
    elif strikes[:1] == [leave]:
        assert outcome is None or isinstance(outcome, RuntimeClosed), repr(outcome)

"""Bounds and pauses, to the second: in virtual time, with the runner double.

The clock jumps whenever all tasks wait, for a thread, too: so it is looked at where no deadline
is set while a thread works. What waits for real processes (a grace, an orphan) is tested with them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import pytest
from attrs import Factory, define

from acni import (
    AcniError,
    Attachment,
    Busy,
    CleanupIncomplete,
    Limits,
    PluginTimeout,
    Runtime,
    Timeouts,
    open_runtime,
)
from acni.engine.admission import Admission
from acni.engine.engine import Observer
from acni.engine.lines import Urgency
from acni.engine.settling import pause_before
from acni.events import Event, OperationStarted, PluginFinished
from acni.store.locks import open_locks
from acni.testing import Behaviour, ScriptedRunner
from tests.engine.conftest import make_network

pytestmark = pytest.mark.netns

NETWORK: Final = make_network(version="1.1.0")
FOREVER: Final = Behaviour(seconds=24 * 3600)

# How often somebody looks who waits for another's lock.
PACE: Final = pytest.approx(0, abs=0.01)


@define(eq=False)
class Clock:
    """An observer that notes when what happened, in seconds since it was set up.

    Attributes:
        events: The events, each with its time.
    """

    started: float = 0.0
    events: list[tuple[float, Event]] = Factory(list[tuple[float, Event]])

    def __call__(self, event: Event) -> None:
        """Note an event."""
        self.events.append((self.now(), event))

    def now(self) -> float:
        """Tell the time."""
        return anyio.current_time() - self.started

    def restart(self) -> None:
        """Count from now on."""
        self.started = anyio.current_time()
        self.events.clear()

    def ends(self) -> dict[str, float]:
        """Tell when each plugin's run ended."""
        return {
            f"{event.command} {event.plugin}": at
            for at, event in self.events
            if isinstance(event, PluginFinished)
        }


@pytest.fixture
def clock() -> Clock:
    """The time; a test takes ``autojump_clock``, too, for pytest-trio looks for it there."""
    return Clock()


Open = Callable[..., Any]


@pytest.fixture
def opened(state_dir: Path, scripted: ScriptedRunner, clock: Clock) -> Open:
    """Open a runtime; keyword arguments go to its timeouts."""

    def open_it(*observers: Observer, recover: bool = False, **timeouts: float) -> Any:
        return open_runtime(
            state_dir=state_dir,
            plugin_dirs=["/plugins"],
            runner=scripted,
            timeouts=Timeouts(**timeouts),
            observers=[clock, *observers],
            durability="process",  # no thread syncs
            recover=recover,
        )

    return open_it


@pytest.mark.trio
async def test_all_plugins_of_an_add_share_its_time_and_all_of_the_undo_the_undo_s(
    opened: Open,
    scripted: ScriptedRunner,
    attachment: Attachment,
    clock: Clock,
    autojump_clock: object,
) -> None:
    scripted.tell("first", "ADD", Behaviour(seconds=40))
    scripted.tell("second", "ADD", FOREVER)
    scripted.tell("third", "DEL", Behaviour(seconds=20))
    scripted.tell("second", "DEL", Behaviour(seconds=39))
    async with opened(add=150, undo=60) as runtime:
        clock.restart()
        with pytest.raises(PluginTimeout) as caught:
            await runtime.add(NETWORK, attachment)
        assert clock.now() == pytest.approx(150 + 59)
    assert clock.ends() == {
        "ADD first": pytest.approx(40),
        "ADD second": pytest.approx(150),
        "DEL third": pytest.approx(170),
        "DEL second": pytest.approx(209),
        "DEL first": pytest.approx(209),
    }
    assert (caught.value.plugin, caught.value.debt) == ("second", None)


@pytest.mark.trio
async def test_an_undo_ends_when_its_time_is_over(
    opened: Open,
    scripted: ScriptedRunner,
    attachment: Attachment,
    clock: Clock,
    autojump_clock: object,
) -> None:
    scripted.tell("third", "ADD", FOREVER)
    scripted.tell("second", "DEL", FOREVER)
    async with opened(add=150, undo=60) as runtime:
        clock.restart()
        with pytest.raises(PluginTimeout) as caught:
            await runtime.add(NETWORK, attachment)
    assert clock.ends()["DEL second"] == pytest.approx(150 + 60)
    assert caught.value.debt is not None


@pytest.mark.parametrize(
    ("command", "bound"),
    [
        pytest.param("DEL", 60, id="delete"),
        pytest.param("CHECK", 30, id="check"),
        pytest.param("STATUS", 30, id="status"),
        pytest.param("VERSION", 10, id="version"),
    ],
)
@pytest.mark.trio
async def test_all_plugins_of_a_verb_share_its_time(
    command: str,
    bound: float,
    opened: Open,
    scripted: ScriptedRunner,
    attachment: Attachment,
    clock: Clock,
    autojump_clock: object,
) -> None:
    verbs: dict[str, Callable[[Runtime], Awaitable[object]]] = {
        "DEL": lambda runtime: runtime.delete(attachment.id),
        "CHECK": lambda runtime: runtime.check(attachment.id),
        "STATUS": lambda runtime: runtime.status(NETWORK),
        "VERSION": lambda runtime: runtime.version("second"),
    }
    for kind in ("first", "third"):
        scripted.tell(kind, command, Behaviour(seconds=9))
    scripted.tell("second", command, FOREVER)
    async with opened() as runtime:
        await runtime.add(NETWORK, attachment)
        clock.restart()
        with pytest.raises((PluginTimeout, CleanupIncomplete)):
            await verbs[command](runtime)
        if command != "DEL":  # a thread writes its debt
            assert clock.now() == pytest.approx(bound)
        elif ends := clock.ends():
            assert ends == {"DEL third": pytest.approx(9), "DEL second": pytest.approx(60)}


@pytest.mark.trio
async def test_each_plugin_s_gc_has_its_share_of_what_is_left(
    opened: Open, scripted: ScriptedRunner, clock: Clock, autojump_clock: object
) -> None:
    scripted.tell("first", "GC", FOREVER)
    scripted.tell("second", "GC", Behaviour(seconds=10))
    scripted.tell("third", "GC", FOREVER)
    async with opened(gc=120) as runtime:
        clock.restart()
        report = await runtime.gc(NETWORK, keep=[])
        assert clock.now() == pytest.approx(120)
    assert clock.ends() == {
        "GC first": pytest.approx(40),
        "GC second": pytest.approx(50),
        "GC third": pytest.approx(120),
    }
    assert [error.plugin for error in report.failures] == ["first", "third"]


@pytest.mark.trio
async def test_a_gc_s_time_is_all_that_there_is_waiting_included(
    opened: Open, scripted: ScriptedRunner, clock: Clock, autojump_clock: object
) -> None:
    async with opened(gc=90) as runtime:
        engine = runtime._engine
        engine.admission = Admission(Limits(per_type={"second": 1}), engine.turns.locks)
        clock.restart()
        async with engine.admission.place(NETWORK.plugins[1].type, Urgency.NEW, until=math.inf):
            report = await runtime.gc(NETWORK, keep=[])
        assert clock.now() - 45 == PACE
    assert [type(error).__name__ for error in report.failures] == ["Busy"]
    assert [str(call) for call in scripted.calls] == ["GC first", "GC third"]


@pytest.mark.trio
async def test_operations_on_a_container_wait_as_long_as_they_may_and_come_in_their_order(
    opened: Open,
    scripted: ScriptedRunner,
    attachment: Attachment,
    clock: Clock,
    autojump_clock: object,
) -> None:
    ends: dict[str, float] = {}
    scripted.tell("first", "ADD", Behaviour(seconds=10))

    async def end(name: str, runtime: Runtime, expected: type[AcniError] | None) -> None:
        raises = pytest.raises(expected) if expected else does_not_raise()
        with raises:
            await runtime.delete(attachment.id, missing_ok=True)
        ends[name] = clock.now()

    async with (
        opened(wait=6) as impatient,
        opened(wait=12) as patient,
        anyio.create_task_group() as tasks,
    ):
        with scripted.paused("first", "ADD") as reached:
            tasks.start_soon(patient.add, NETWORK, attachment)
            await reached.wait()
        clock.restart()
        await anyio.sleep(1)
        tasks.start_soon(end, "impatient", impatient, Busy)
        tasks.start_soon(end, "patient", patient, None)
    assert ends["impatient"] - 7 == PACE
    assert ends["patient"] == pytest.approx(10)
    assert scripted.held == set()


@contextmanager
def does_not_raise() -> Iterator[None]:
    """Expect no error."""
    yield


@pytest.mark.trio
async def test_a_gc_waits_ten_seconds_for_what_is_under_way(
    opened: Open,
    scripted: ScriptedRunner,
    attachment: Attachment,
    clock: Clock,
    autojump_clock: object,
) -> None:
    scripted.tell("first", "ADD", Behaviour(seconds=100))
    async with opened() as runtime, anyio.create_task_group() as tasks:
        with scripted.paused("first", "ADD") as reached:
            tasks.start_soon(runtime.add, NETWORK, attachment)
            await reached.wait()
        clock.restart()
        with pytest.raises(Busy):
            await runtime.gc(NETWORK, keep=[attachment])
        assert clock.now() - 10 == PACE


@pytest.mark.trio
async def test_an_operation_goes_on_when_a_gc_has_ended(
    opened: Open,
    scripted: ScriptedRunner,
    attachment: Attachment,
    clock: Clock,
    autojump_clock: object,
) -> None:
    scripted.tell("first", "GC", Behaviour(seconds=30))
    async with opened(gc=120) as runtime:
        clock.restart()
        async with anyio.create_task_group() as tasks:
            with scripted.paused("first", "GC") as reached:
                tasks.start_soon(lambda: runtime.gc(NETWORK, keep=[]))
                await reached.wait()
            await runtime.add(NETWORK, attachment)
            assert clock.now() - 30 == PACE


# --- what fails again and again


@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
def test_pauses_double_up_to_five_minutes(jitter: float) -> None:
    pauses = [pause_before(attempt, jitter) for attempt in (0, 1, 2, 8, 9, 1000)]
    assert pauses == [(0.5 + jitter) * seconds for seconds in (1, 2, 4, 256, 300, 300)]


@pytest.mark.trio
async def test_what_cannot_be_settled_is_tried_ever_more_seldom(
    opened: Open,
    scripted: ScriptedRunner,
    attachment: Attachment,
    clock: Clock,
    autojump_clock: object,
    state_dir: Path,
) -> None:
    """Another runtime has the container all the time."""
    async with opened() as runtime:
        await runtime.add(NETWORK, attachment)
        scripted.tell("third", "DEL", Behaviour.failing())
        with pytest.raises(CleanupIncomplete):
            await runtime.delete(attachment.id)
    begun: list[float] = []
    is_enough = anyio.Event()

    def count(event: Event) -> None:
        if isinstance(event, OperationStarted):
            begun.append(clock.now())
        if len(begun) == 12:
            is_enough.set()

    with open_locks(state_dir) as locks:
        async with locks.container("c1", until=0):
            clock.restart()
            async with opened(count, recover=True, wait=0.1):
                await is_enough.wait()
    for attempt, (last, at) in enumerate(itertools.pairwise([-0.1, *begun])):
        shortest, longest = pause_before(attempt, 0.0), pause_before(attempt, 1.0)
        assert shortest <= at - last - 0.1 <= longest + 0.01, attempt


@pytest.mark.trio
async def test_waiting_for_a_place_ends_to_the_second(autojump_clock: object, clock: Clock) -> None:
    admission = Admission(Limits(plugins=1))
    plugin_type = NETWORK.plugins[0].type
    waited: list[float] = []
    clock.restart()

    @contextmanager
    def watch() -> Iterator[None]:
        begun = clock.now()
        yield
        waited.append(clock.now() - begun)

    async def hold(seconds: float) -> None:
        until = anyio.current_time() + 60
        async with admission.place(plugin_type, Urgency.NEW, until=until, watch=watch):
            await anyio.sleep(seconds)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hold, 5)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(Busy):
            async with admission.place(plugin_type, Urgency.BEGUN, until=anyio.current_time() + 2):
                raise AssertionError("admitted")
        assert clock.now() == 2
        for seconds in (7, 1):
            tasks.start_soon(hold, seconds)
            await anyio.wait_all_tasks_blocked()
    assert clock.now() == 5 + 7 + 1
    assert waited == [5 - 2, 5 - 2 + 7]


@pytest.mark.trio
async def test_what_a_plugin_waits_for_its_place_is_charged_to_none(
    autojump_clock: object,
    opened: Open,
    scripted: ScriptedRunner,
    attachment: Attachment,
    clock: Clock,
) -> None:
    async with opened(add=5) as runtime:
        admission = Admission(Limits(plugins=1))
        runtime._engine.admission = admission

        async def hold() -> None:
            until = anyio.current_time() + 60
            async with admission.place(NETWORK.plugins[0].type, Urgency.NEW, until=until):
                await anyio.sleep(10)

        async with anyio.create_task_group() as tasks:
            with scripted.paused("first", "ADD") as reached:
                tasks.start_soon(runtime.add, NETWORK, attachment)
                await reached.wait()
                tasks.start_soon(hold)
                await anyio.wait_all_tasks_blocked()
                clock.restart()
        assert clock.now() == 10
    assert scripted.held == {f"{kind}/c1/eth0" for kind in ("first", "second", "third")}

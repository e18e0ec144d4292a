"""What a runtime does, drawn: every trace is judged by the format."""

from __future__ import annotations

import logging
import random
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from acni import (
    AcniError,
    Attachment,
    AttachmentId,
    Executables,
    Limits,
    Runtime,
    Timeouts,
    blocking,
    netns,
    observe,
)
from acni.events import (
    AttachmentKept,
    Event,
    LockWaited,
    OperationFinished,
    OperationStarted,
    OrphanWaited,
    PluginFinished,
    PluginStarted,
    RecordQuarantined,
    RecoveryFinished,
    StateRemade,
)
from acni.testing import Behaviour, RecordingPlugins, ScriptedRunner
from tests.engine.conftest import make_network
from tests.observe.conftest import OpenTraced
from tests.observe.drawing import Drawing, Slice, read, small_disk

pytestmark = [pytest.mark.anyio, pytest.mark.netns]

NETWORK = make_network(version="1.1.0")
Attach = Callable[..., Attachment]

# In what callers give and plugins write; never in a trace.
SECRET = "c2VjcmV0"  # noqa: S105 (made up)


def told(kind: type[Event], verb: str = "add", container_id: str = "c1", **facts: Any) -> Event:
    """Make an event, as a runtime does."""
    ifname = "eth0" if container_id else ""
    own: dict[str, Any] = {"at": 7.5, "verb": verb, "network": "net", "container_id": container_id}
    return kind(**{**own, "ifname": ifname, **facts})


async def test_a_chain_is_drawn_in_its_container_s_lane(
    opened: OpenTraced, attach: Attach, path: Path
) -> None:
    async with opened() as runtime:
        await runtime.add(NETWORK, attach())
        await runtime.check(AttachmentId("c1"))
        await runtime.delete(AttachmentId("c1"))
        await runtime.status(NETWORK)
        await runtime.gc(NETWORK, keep=[])
    drawing = read(path)
    assert list(drawing.lanes) == ["c1", "network net"]
    added, checked, deleted = drawing.lanes["c1"]
    assert (added.name, added.args) == ("add", {"network": "net", "ifname": "eth0"})
    assert added.names() == ["ADD first", "ADD second", "ADD third"]
    assert added.inside[1].args == {"plugin": "second", "index": 1}
    assert checked.names() == ["CHECK first", "CHECK second", "CHECK third"]
    assert deleted.names() == ["DEL third", "DEL second", "DEL first"]
    assert [one.name for one in drawing.lanes["network net"]] == ["status", "gc"]
    status, collected = drawing.lanes["network net"]
    assert status.args == {"network": "net"}
    assert collected.names() == ["GC first", "GC second", "GC third", "GC finished"]
    assert collected.inside[-1].args == {"deleted": 0, "kept": 0, "skipped": 0, "failed": 0}


async def test_an_undo_is_a_slice_with_its_dels_and_says_what_is_owed(
    opened: OpenTraced, attach: Attach, path: Path, scripted: ScriptedRunner
) -> None:
    scripted.tell("third", "ADD", Behaviour.failing(code=11, msg=SECRET, details=SECRET))
    scripted.tell("second", "DEL", Behaviour.failing(msg=SECRET))
    async with opened() as runtime:
        with pytest.raises(AcniError):
            await runtime.add(NETWORK, attach())
    (added,) = read(path).lanes["c1"]
    assert added.args["error"] == "TryAgain"
    assert added.names() == ["ADD first", "ADD second", "ADD third", "rollback"]
    assert added.inside[2].args["error"] == "TryAgain"
    undo = added.inside[3]
    assert undo.names() == ["DEL third", "DEL second", "debt recorded"]
    assert undo.args == {"deleted": "third", "complete": False, "owed": "second"}
    assert undo.inside[2].args == {"plugin": "second", "network": "net"}


async def test_no_secret_is_in_it(
    opened: OpenTraced, attach: Attach, path: Path, plugins: RecordingPlugins
) -> None:
    noisy = Behaviour.failing(msg=SECRET, details=SECRET)
    for command in ("ADD", "DEL"):
        plugins.tell("third", command, Behaviour(status=1, stdout=noisy.stdout, stderr=SECRET))
        plugins.tell("second", command, Behaviour(stderr=SECRET))
    attachment = attach(
        cni_args={"PASSWORD": SECRET},
        args={"cni": {"token": SECRET}},
        capability_args={"secrets": SECRET},
    )
    seen: list[Event] = []
    settings = {"runner": Executables(), "plugin_dirs": [plugins.directory]}
    async with opened(observers=[seen.append], **settings) as runtime:
        with pytest.raises(AcniError):
            await runtime.add(make_network(args={"cni": {"key": SECRET}}), attachment)
        (debt,) = await runtime.debts()
        await runtime.forget(debt, reason=SECRET)
    assert any(SECRET in one.stderr for one in seen if isinstance(one, PluginFinished))
    drawing = read(path)
    assert [one.name for one in drawing.lanes["c1"]] == ["add", "forget"]
    assert SECRET not in drawing.text


async def test_a_plugin_s_run_is_divided_into_phases(
    opened: OpenTraced, attach: Attach, path: Path, plugins: RecordingPlugins
) -> None:
    async with opened(runner=Executables(), plugin_dirs=[plugins.directory]) as runtime:
        await runtime.add(NETWORK, attach())
        await runtime.delete(AttachmentId("c1"))
    runs = read(path).all("plugin")
    assert len(runs) == 6
    for run in runs:
        assert [name for name in ("queue", "spawn", "run", "read") if name in run.names()] == (
            run.names()
        )
        assert {"spawn", "run"} <= set(run.names())
        assert sum(phase.length for phase in run.inside) == run.length


async def test_operations_of_one_container_at_once_have_a_lane_each_and_show_their_wait(
    opened: OpenTraced, attach: Attach, path: Path, scripted: ScriptedRunner
) -> None:
    attachments = [attach(ifname=f"eth{number}") for number in range(3)]
    async with opened() as runtime, anyio.create_task_group() as tasks:
        with scripted.paused("first", "ADD") as reached:
            for attachment in attachments:
                tasks.start_soon(runtime.add, NETWORK, attachment)
                await anyio.wait_all_tasks_blocked()
            await reached.wait()
    async with opened() as runtime:
        await runtime.delete(attachments[0].id)
    drawing = read(path)
    assert list(drawing.lanes) == ["c1", "c1 (2)", "c1 (3)"]
    (first, later), (second,), (third,) = drawing.lanes.values()
    assert later.name == "delete"
    for one, before in ((second, first), (third, second)):
        wait = one.inside[0]
        assert (wait.name, wait.category) == ("waits: container", "wait")
        assert before.ended is not None
        assert wait.ended is not None
        assert before.ended <= wait.ended
        assert one.names()[1:] == ["ADD first", "ADD second", "ADD third"]


async def test_of_two_that_differ_in_nothing_each_has_its_own(
    opened: OpenTraced, attach: Attach, path: Path, scripted: ScriptedRunner
) -> None:
    """They are told apart by their tasks: one is cancelled, one waits, and the first goes on."""
    attachment = attach()
    async with opened() as runtime:
        await runtime.add(NETWORK, attachment)
        async with anyio.create_task_group() as tasks:
            with scripted.paused("second", "CHECK") as reached:
                tasks.start_soon(runtime.check, attachment.id)
                await reached.wait()
                async with anyio.create_task_group() as doomed:
                    doomed.start_soon(runtime.check, attachment.id)
                    await anyio.wait_all_tasks_blocked()
                    doomed.cancel_scope.cancel()
                tasks.start_soon(runtime.check, attachment.id)
                await anyio.wait_all_tasks_blocked()
    drawing = read(path)
    checks = ["CHECK first", "CHECK second", "CHECK third"]
    checked = drawing.lanes["c1"][1]
    assert checked.names() == checks
    assert "error" not in checked.args
    cancelled, waited = drawing.lanes["c1 (2)"]
    assert cancelled.names() == ["waits: container"]
    assert cancelled.args["error"] in ("CancelledError", "Cancelled")
    assert waited.names() == ["waits: container", *checks]
    assert "error" not in waited.args


async def test_a_wait_for_a_place_is_drawn_once_within_a_run_or_before_the_first(
    opened: OpenTraced, attach: Attach, path: Path, plugins: RecordingPlugins
) -> None:
    ids = [f"c{number}" for number in range(4)]
    limits = Limits(plugins=1)
    settings = {"runner": Executables(), "plugin_dirs": [plugins.directory], "limits": limits}
    async with opened(**settings) as runtime:
        for container_id in ids:
            await runtime.add(NETWORK, attach(container_id))
        async with anyio.create_task_group() as tasks:
            for container_id in ids:
                tasks.start_soon(runtime.delete, AttachmentId(container_id))
        async with anyio.create_task_group() as tasks:
            for container_id in ids:
                tasks.start_soon(runtime.add, NETWORK, attach(container_id))
    drawing = read(path)
    waits = [one for one in drawing.all("wait") if one.name == "waits: place"]
    assert waits
    adds = [one for lane in drawing.lanes.values() for one in lane if one.name == "add"]
    assert any("waits: place" in one.names() for one in adds)
    runs = [run for run in drawing.all("plugin") if "waits: place" in run.names()]
    assert runs
    for run in runs:
        assert run.names()[0] == "waits: place"
        assert run.names().count("queue") <= 1
        assert "run" in run.names()


def test_what_is_drawn_as_waiting_is_not_drawn_as_a_queue_again(
    tracer: observe.Trace, path: Path
) -> None:
    run: dict[str, Any] = {"command": "DEL", "plugin": "first", "index": 0}
    times: dict[str, Any] = {
        "seconds": 0.6,
        "queue_seconds": 0.45,
        "spawn_seconds": 0.05,
        "read_seconds": 0.01,
    }
    tracer(told(OperationStarted, at=1.0))
    tracer(told(PluginStarted, at=1.0, **run))
    tracer(told(LockWaited, at=1.4, what="place", seconds=0.4))
    tracer(told(PluginFinished, at=1.6, error=None, first_error="x", **run, **times))
    tracer(told(OperationFinished, at=1.7, error=None))
    (ran,) = read(path).lanes["c1"][0].inside
    assert ran.args == {"plugin": "first", "index": 0, "again": True}
    assert [(one.name, one.length) for one in ran.inside] == [
        ("waits: place", 400_000),
        ("queue", 50_000),
        ("spawn", 50_000),
        ("run", 90_000),
        ("read", 10_000),
    ]


def test_of_what_dead_runtimes_left_numbers_are_drawn(tracer: observe.Trace, path: Path) -> None:
    tracer(told(OperationStarted, "recover"))
    tracer(told(OrphanWaited, "recover", seconds=0.5, ended=(4711, 4712), daemons=(4713,)))
    tracer(told(AttachmentKept, "recover"))
    tracer(told(OperationFinished, "recover", error=None))
    nobody = {"container_id": "", "network": ""}
    tracer(told(RecoveryFinished, "recover", settled=1, left=2, **nobody))
    tracer(told(RecordQuarantined, "", name="a\nb", **nobody))
    tracer(told(StateRemade, "add", **nobody))
    lanes = read(path).lanes
    (recovered,) = lanes["c1"]
    assert recovered.names() == ["waits: orphan", "attachment kept"]
    assert recovered.inside[0].args == {"ended": 2, "daemons": 1}
    assert [(one.name, one.args) for one in lanes["the runtime"]] == [
        ("recovery finished", {"settled": 1, "left": 2}),
        ("record quarantined", {"record": "a\\nb"}),
        ("state remade", {}),
    ]


async def test_the_file_is_whole_at_every_moment(
    opened: OpenTraced, attach: Attach, path: Path, scripted: ScriptedRunner
) -> None:
    scripted.tell("third", "ADD", Behaviour.failing())
    drawn: list[Drawing] = []
    async with opened(observers=[lambda _: drawn.append(read(path, died=True))]) as runtime:
        with pytest.raises(AcniError):
            await runtime.add(NETWORK, attach())
    # Of an operation that is under way the beginning is there.
    assert drawn[0].lanes["c1"][0].ended is None
    under_way = [drawing.lanes["c1"][0].names() for drawing in drawn]
    assert under_way[1] == ["ADD first"]
    assert under_way[-2][-1] == "rollback"
    assert drawn[-1].lanes["c1"][0].ended is not None


async def test_many_containers_at_once_with_all_that_can_go_wrong(
    opened: OpenTraced, attach: Attach, path: Path, scripted: ScriptedRunner
) -> None:
    chance = random.Random(7)  # noqa: S311 (no secret)
    behaviours = [Behaviour(seconds=0.01), Behaviour.failing(), Behaviour(seconds=30)]
    events: list[Event] = []

    async def come_and_go(runtime: Runtime, attachment: Attachment, seconds: float) -> None:
        for call in (
            partial(runtime.add, NETWORK, attachment),
            partial(runtime.check, attachment.id),
            partial(runtime.delete, attachment.id, missing_ok=True),
            partial(runtime.gc, NETWORK, keep=[attachment]),
        ):
            with anyio.move_on_after(seconds):
                with suppress(AcniError):
                    await call()

    timeouts = Timeouts(add=0.5, delete=0.5, check=0.5, gc=1, undo=0.5)
    limits = Limits(plugins=4)
    settings = {"observers": [events.append], "timeouts": timeouts, "limits": limits}
    async with opened(**settings) as runtime, anyio.create_task_group() as tasks:
        for number in range(24):
            command = chance.choice(["ADD", "DEL", "CHECK", "GC"])
            scripted.tell("second", command, chance.choice(behaviours))
            attachment = attach(f"c{number % 8}", ifname=f"eth{number}")
            seconds = chance.uniform(0.05, 2)
            tasks.start_soon(come_and_go, runtime, attachment, seconds)
            await anyio.lowlevel.checkpoint()
    drawing = read(path)
    counted = Counter(one.name for one in drawing.all("operation"))
    assert counted == Counter(e.verb for e in events if isinstance(e, OperationFinished))
    runs = sum(isinstance(event, PluginFinished) for event in events)
    assert len(drawing.all("plugin")) == runs
    waits = sum(isinstance(event, LockWaited | OrphanWaited) for event in events)
    assert len(drawing.all("wait")) == waits
    assert len(drawing.all("undo")) > 0
    errors = Counter(one.args.get("error") for one in drawing.all("operation"))
    assert errors == Counter(e.error for e in events if isinstance(e, OperationFinished))
    for name, lane in drawing.lanes.items():
        assert all(one.category != "operation" or _is_in_place(one, name) for one in lane)


def _is_in_place(one: Slice, lane: str) -> bool:
    return lane.startswith("network ") == ("ifname" not in one.args)


async def test_what_is_under_way_at_the_end_of_the_block_ends_with_it(
    opened: OpenTraced, attach: Attach, path: Path, scripted: ScriptedRunner, tmp_path: Path
) -> None:
    other = tmp_path / "short.json"
    with observe.trace(other) as short:
        observers = [short]
        async with opened(observers=observers) as runtime, anyio.create_task_group() as tasks:
            with scripted.paused("second", "ADD") as reached:
                tasks.start_soon(runtime.add, NETWORK, attach())
                await reached.wait()
                short.end(anyio.current_time())
    (added,) = read(other).lanes["c1"]
    assert added.args["error"] == "the trace ended"
    assert added.names() == ["ADD first", "ADD second"]
    assert read(path).lanes["c1"][0].names() == ["ADD first", "ADD second", "ADD third"]


def test_of_what_began_before_the_trace_nothing_is_drawn(tracer: observe.Trace, path: Path) -> None:
    tracer(told(PluginFinished, command="ADD", plugin="first", index=0, seconds=1, error=None))
    tracer(told(LockWaited, what="container", seconds=1))
    tracer(told(OperationFinished, error=None))
    assert read(path).lanes == {}


async def test_a_disk_that_is_full_disturbs_no_operation_and_is_told_once(
    opened: OpenTraced, attach: Attach, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    small = tmp_path / "small"
    file = small / "trace.json"
    with small_disk(small):
        with observe.trace(file) as full:
            async with opened(observers=[full]) as runtime:
                for number in range(8):
                    await runtime.add(NETWORK, attach(f"c{number}"))
            assert full.failure is not None
            assert _logged(caplog) == []
        drawing = read(file, died=True)
    assert "c0" in drawing.lanes
    assert "c7" not in drawing.lanes
    said = f"the trace {file} is not whole: No space left on device"
    assert _logged(caplog) == [(logging.WARNING, said)]


def _logged(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [(level, said) for name, level, said in caplog.record_tuples if name == "acni.observe"]


def test_runtimes_in_threads_of_their_own_share_a_trace(
    tracer: observe.Trace, path: Path, tmp_path: Path
) -> None:
    with netns.anonymous() as one, netns.anonymous() as other:
        runtimes = [
            blocking.open_runtime(
                state_dir=tmp_path / name, runner=ScriptedRunner(), observers=[tracer]
            )
            for name in ("one", "other")
        ]
        with runtimes[0] as first, runtimes[1] as second:
            for runtime, namespace in ((first, one), (second, other)):
                runtime.add(NETWORK, Attachment(container_id="c1", netns=namespace))
    (first_add, second_add) = read(path).lanes["c1"]
    assert first_add.names() == second_add.names() == ["ADD first", "ADD second", "ADD third"]


def test_threads_that_tell_at_once_spoil_nothing(tracer: observe.Trace, path: Path) -> None:
    def tell(container_id: str) -> None:
        for _ in range(500):
            tracer(told(OperationStarted, container_id=container_id))
            tracer(told(OperationFinished, container_id=container_id, error=None))

    threads = [threading.Thread(target=tell, args=[name]) for name in ("c1", "c2", "c3")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lanes = read(path).lanes
    assert {name: len(lane) for name, lane in lanes.items()} == {"c1": 500, "c2": 500, "c3": 500}


def test_without_a_loop_an_operation_is_told_apart_by_its_names(
    tracer: observe.Trace, path: Path
) -> None:
    for container_id in ("c1", "c2"):
        tracer(told(OperationStarted, container_id=container_id))
    tracer(told(OperationFinished, container_id="c1", error=None))
    tracer(told(OperationFinished, container_id="c2", error="Busy"))
    lanes = read(path).lanes
    assert [lanes[name][0].args.get("error") for name in ("c1", "c2")] == [None, "Busy"]


def test_a_wait_that_another_clock_measured_begins_with_its_operation(
    tracer: observe.Trace, path: Path
) -> None:
    """In virtual time it may be longer than all that there was."""
    tracer(told(OperationStarted))
    tracer(told(LockWaited, at=8.0, what="container", seconds=60.0))
    tracer(told(OperationFinished, at=8.5, error=None))
    (added,) = read(path).lanes["c1"]
    assert [(one.begun, one.ended) for one in added.inside] == [(7_500_000, 8_000_000)]

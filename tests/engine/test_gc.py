"""Collecting what is left of a network. The rows of the table of ``docs/concepts/gc.md`` are tests
of this file; what the gate does is in ``test_gate.py``.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self

import anyio
import pytest
from attrs import Factory, define

import acni
from acni import (
    Attachment,
    AttachmentId,
    Busy,
    CleanupIncomplete,
    ConfigError,
    GCFailed,
    HostChanged,
    NetworkConfig,
    PluginFailed,
    PluginNotFound,
    PluginTimeout,
    Runtime,
    StoreError,
    netns,
    parse_network,
)
from acni.engine.orphans import GC_GUARD
from acni.events import Event, GCFinished, OperationStarted, OrphanWaited, PluginStarted
from acni.host.locks import byte_of, file_of, try_lock
from acni.store.neighbours import LeftOpen
from acni.testing import Behaviour, RecordingPlugins, ScriptedRunner
from tests.engine.conftest import make_network

pytestmark = [pytest.mark.anyio, pytest.mark.netns]

C1, C2, C3 = (AttachmentId(name) for name in ("c1", "c2", "c3"))
CHAIN = ["first", "second", "third"]
VALID = "cni.dev/valid-attachments"


@pytest.fixture
def network() -> NetworkConfig:
    """A chain of three that knows GC."""
    return make_network(version="1.1.0")


@pytest.fixture
def pods() -> Iterator[Callable[..., Attachment]]:
    """Make attachments, each of a container with a namespace of its own."""
    with contextlib.ExitStack() as stack:

        def make(container_id: str, ifname: str = "eth0") -> Attachment:
            box = stack.enter_context(netns.anonymous())
            return Attachment(container_id=container_id, netns=box.path, ifname=ifname)

        yield make


def asked(runner: ScriptedRunner, command: str) -> list[str]:
    """List who was asked for a verb: the plugin, and the container where there is one."""
    calls = [call for call in runner.calls if call.command == command]
    return [f"{call.plugin} {call.environment['CNI_CONTAINERID']}".strip() for call in calls]


def valid(runner: ScriptedRunner) -> list[str]:
    """List what the plugins were told is valid; all of them the same."""
    sets = [call.config[VALID] for call in runner.calls if call.command == "GC"]
    assert sets
    assert all(one == sets[0] for one in sets)
    return [f"{one['containerID']}/{one['ifname']}" for one in sets[0]]


def by_another_writer(state_dir: Path, name: str, **members: Any) -> None:
    """Make of a record one that libcni wrote."""
    path = state_dir / "results" / name
    record = json.loads(path.read_text()) | members
    del record["acni"]
    path = path.with_name(f"{record['networkName']}-{record['containerId']}-{record['ifName']}")
    path.write_text(json.dumps(record))


@pytest.mark.rule("R23", "R24", "R36", "R59")
async def test_what_nobody_keeps_is_deleted_and_then_the_plugins_collect(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, pods: Any, events: list[Event]
) -> None:
    """R23: each by its own DEL; R24: what is kept is told; R36: in order, without attachment."""
    other = make_network("other", "1.1.0")
    async with opened() as runtime:
        await runtime.add(network, pods("c1"))
        await runtime.add(network, pods("c2"))
        await runtime.add(other, pods("c3"))
        scripted.calls.clear()
        report = await runtime.gc(network, keep={C1, AttachmentId("gone", "eth7")})
        assert (report.deleted, report.kept) == ((C2,), (C1,))
        assert (report.skipped, report.unreadable, report.failures) == ((), (), ())
        report.raise_for_failures()
        listed = await runtime.attachments()
    assert [str(call) for call in scripted.calls] == [
        *("DEL third", "DEL second", "DEL first"),
        *("GC first", "GC second", "GC third"),
    ]
    assert asked(scripted, "DEL") == ["third c2", "second c2", "first c2"]
    assert valid(scripted) == ["c1/eth0", "gone/eth7"]
    for call in scripted.calls[3:]:
        names = ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS")
        assert [call.environment[name] for name in names] == ["", "", "", ""]
        assert call.config["cni.dev/attachments"] == call.config[VALID]
        assert "prevResult" not in call.config
    assert [(one.container_id, one.network) for one in listed] == [("c1", "net"), ("c3", "other")]
    (told,) = [event for event in events if isinstance(event, GCFinished)]
    assert (told.network, told.deleted, told.kept, told.skipped, told.failed) == ("net", 1, 1, 0, 0)
    started = [event for event in events if isinstance(event, OperationStarted)]
    assert [(one.verb, one.container_id) for one in started[3:]] == [("gc", ""), ("gc", "c2")]


@pytest.mark.rule("R24")
async def test_where_nothing_is_attached_the_plugins_are_told_so(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig
) -> None:
    async with opened() as runtime:
        assert await runtime.gc(network, keep=()) == acni.GCReport()
    assert asked(scripted, "GC") == CHAIN
    assert valid(scripted) == []


@pytest.mark.rule("R57")
async def test_below_its_first_version_there_is_no_gc_and_the_deletes_happen(
    opened: Any, scripted: ScriptedRunner, pods: Any
) -> None:
    old = make_network(version="1.0.0")
    async with opened() as runtime:
        await runtime.add(old, pods("c1"))
        scripted.calls.clear()
        assert (await runtime.gc(old, keep=[])).deleted == (C1,)
    assert {call.command for call in scripted.calls} == {"DEL"}


@pytest.mark.rule("R9")
async def test_of_several_versions_the_plugins_that_are_there_say_which(
    opened: Any, scripted: ScriptedRunner
) -> None:
    network = make_network(cniVersions=["1.0.0", "1.1.0"])
    async with opened() as runtime:
        await runtime.gc(network, keep=[])
        assert [call.config["cniVersion"] for call in scripted.calls[3:]] == ["1.1.0"] * 3
        versions = {"cniVersion": "1.0.0", "supportedVersions": ["1.0.0"]}
        scripted.tell("second", "VERSION", Behaviour(stdout=json.dumps(versions)))
        scripted.calls.clear()
        await runtime.gc(network, keep=[])
        assert asked(scripted, "GC") == []
        scripted.remove("second")
        report = await runtime.gc(network, keep=[])
        assert asked(scripted, "GC") == ["first", "third"]
        assert [type(error) for error in report.failures] == [PluginNotFound]


@pytest.mark.rule("R3")
async def test_a_network_that_disables_gc_is_left_alone(
    opened: Any, scripted: ScriptedRunner, pods: Any, state_dir: Path
) -> None:
    network = make_network(version="1.1.0", disableGC=True)
    async with opened() as runtime:
        await runtime.add(network, pods("c1"))
        by_another_writer(state_dir, "net-c1-eth0", containerId="c2")
        scripted.calls.clear()
        assert await runtime.gc(network, keep=[], foreign=True) == acni.GCReport()
        assert len(await runtime.attachments()) == 2
    assert scripted.calls == []


@pytest.mark.rule("R36")
async def test_one_failure_stops_nothing_else_and_all_of_them_are_told(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, pods: Any
) -> None:
    """R36."""
    async with opened() as runtime:
        for name in ("c1", "c2", "c3"):
            await runtime.add(network, pods(name))
        scripted.calls.clear()
        scripted.tell("first", "GC", Behaviour.failing(7, "no leases"))
        scripted.remove("second")
        report = await runtime.gc(network, keep=[C3])
        assert report.deleted == ()
        assert report.kept == (C3,)
        kinds = [type(error) for error in report.failures]
        assert kinds == [CleanupIncomplete, CleanupIncomplete, PluginFailed, PluginNotFound]
        with pytest.raises(GCFailed) as caught:
            report.raise_for_failures()
        assert isinstance(caught.value, acni.AcniError)
        assert caught.value.exceptions == report.failures
        assert caught.value.debt is not None
        assert (caught.value.verb, caught.value.network) == ("gc", "net")
        assert "no leases" in str(caught.value)
        named = {(error.verb, error.network, error.container_id) for error in report.failures}
        assert named == {("gc", "net", "c1"), ("gc", "net", "c2"), ("gc", "net", None)}
    assert asked(scripted, "GC") == ["first", "third"]
    assert valid(scripted) == ["c1/eth0", "c2/eth0", "c3/eth0"]


@pytest.mark.rule("R24", "R59")
async def test_a_debt_is_deleted_whatever_is_kept_and_valid_as_long_as_it_is_owed(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, pods: Any, state_dir: Path
) -> None:
    scripted.tell("second", "DEL", Behaviour.failing())
    async with opened() as runtime:
        await runtime.add(network, pods("c1"))
        with pytest.raises(CleanupIncomplete):
            await runtime.delete(C1)
        (state_dir / "results" / "net-c2-eth0").write_bytes(b"torn")
        with pytest.raises(CleanupIncomplete):
            await runtime.delete(C2, network=network)
        scripted.calls.clear()
        report = await runtime.gc(network, keep=[C1, C2])
        assert (report.deleted, report.kept) == ((), ())
        owed = {error.debt.container_id for error in report.failures if error.debt}
        assert owed == {"c1", "c2"}
        assert valid(scripted) == ["c1/eth0", "c2/eth0"]
        assert sorted(asked(scripted, "DEL")) == ["second c1", "second c2"]
        scripted.tell("second", "DEL", Behaviour())
        scripted.calls.clear()
        report = await runtime.gc(network, keep=())
        assert report.deleted == (C1, C2)
        assert report.unreadable == ()
        assert valid(scripted) == []
        assert await runtime.debts() == ()
    assert sorted(asked(scripted, "DEL")) == ["first c1", "first c2", "second c1", "second c2"]
    assert scripted.held == set()


@pytest.mark.rule("R24", "R59")
async def test_what_another_writer_attached_is_skipped_and_valid_unless_it_is_meant(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, pods: Any, state_dir: Path
) -> None:
    async with opened() as runtime:
        await runtime.add(network, pods("c1"))
        for name in ("c2", "c3"):
            by_another_writer(state_dir, "net-c1-eth0", containerId=name)
        report = await runtime.gc(network, keep=[C3])
        assert (report.deleted, report.skipped) == ((C1,), (C2, C3))
        assert valid(scripted) == ["c2/eth0", "c3/eth0"]
        scripted.calls.clear()
        report = await runtime.gc(network, keep=[C3], foreign=True)
        assert (report.deleted, report.kept, report.skipped) == ((C2,), (C3,), ())
        assert valid(scripted) == ["c3/eth0"]


async def test_what_another_writer_attaches_after_the_call_is_kept_though_it_is_meant(
    opened: Any, network: NetworkConfig, pods: Any, state_dir: Path
) -> None:
    async with opened() as runtime:
        await runtime.add(network, pods("c1"))
        by_another_writer(state_dir, "net-c1-eth0", containerId="c2")

        def attach_another() -> list[AttachmentId]:
            by_another_writer(state_dir, "net-c1-eth0", containerId="c3")
            return []

        report = await runtime.gc(network, keep=attach_another, foreign=True)
        assert (report.deleted, report.kept) == ((C1, C2), (C3,))


@pytest.mark.rule("R59")
async def test_a_file_that_is_no_record_is_told_and_whatever_it_may_be_is_valid(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, state_dir: Path
) -> None:
    async with opened() as runtime:
        (state_dir / "results" / "net-a-b-c").write_bytes(b"torn")
        (state_dir / "results" / "nets-x-y").write_bytes(b"torn")
        report = await runtime.gc(network, keep=[])
        assert report.unreadable == ("net-a-b-c",)
        assert report.failures == ()
    assert valid(scripted) == ["a/b-c", "a-b/c"]
    assert (state_dir / "results" / "net-a-b-c").read_bytes() == b"torn"


@pytest.mark.rule("R29", "R59")
async def test_a_network_that_changed_is_deleted_from_as_it_was_and_its_old_plugins_collect_too(
    opened: Any, scripted: ScriptedRunner, pods: Any
) -> None:
    """R29: each with its own configuration. A plugin that is gone is not asked."""

    def chain(*plugins: str, of: str) -> NetworkConfig:
        members = [{"type": plugin, "of": of} for plugin in plugins]
        document = {"cniVersion": "1.1.0", "name": "net", "plugins": members}
        return parse_network(json.dumps(document).encode())

    async with opened() as runtime:
        await runtime.add(chain("first", "second", "fourth", of="long ago"), pods("c1"))
        await runtime.add(chain("first", "second", of="then"), pods("c2"))
        await runtime.add(chain("first", of="now"), pods("c3"))
        scripted.remove("fourth")
        scripted.calls.clear()
        report = await runtime.gc(chain("first", "third", of="now"), keep=[C1, C3])
        assert (report.deleted, report.kept, report.failures) == ((C2,), (C1, C3), ())
    assert asked(scripted, "DEL") == ["second c2", "first c2"]
    assert {call.config["of"] for call in scripted.calls[:2]} == {"then"}
    told = [(call.plugin, call.config["of"]) for call in scripted.calls[2:]]
    assert told == [("first", "now"), ("third", "now"), ("second", "then")]
    assert valid(scripted) == ["c1/eth0", "c3/eth0"]


@pytest.mark.rule("R47")
async def test_of_a_container_the_one_that_was_attached_last_is_deleted_first(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, pods: Any
) -> None:
    async with opened() as runtime:
        for ifname in ("eth1", "eth0", "eth2"):
            await runtime.add(network, pods("c1", ifname))
        scripted.calls.clear()
        await runtime.gc(network, keep=[])
    dels = [call for call in scripted.calls if call.command == "DEL"]
    assert [call.environment["CNI_IFNAME"] for call in dels[::3]] == ["eth2", "eth0", "eth1"]


# --- who is alive


@pytest.mark.rule("R27")
async def test_gc_waits_for_what_is_under_way_and_keeps_what_comes_to_its_end_meanwhile(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, pods: Any
) -> None:
    """R27; whoever called gc could not name it."""
    async with opened() as runtime:
        await runtime.add(network, pods("c1"))
        reports: list[acni.GCReport] = []

        async def collect() -> None:
            reports.append(await runtime.gc(network, keep=[C1]))

        async with anyio.create_task_group() as tasks:
            with scripted.paused("third", "ADD") as reached:
                tasks.start_soon(runtime.add, network, pods("c2"))
                await reached.wait()
                scripted.calls.clear()
                tasks.start_soon(collect)
                await anyio.wait_all_tasks_blocked()
                assert scripted.calls == []
        (report,) = reports
        assert (report.deleted, report.kept) == ((), (C1, C2))
        assert (await runtime.gc(network, keep=[C1])).deleted == (C2,)


@pytest.mark.rule("R27", "R58")
@pytest.mark.parametrize("verb", ["add", "delete", "check", "settle", "forget", "recover"])
@pytest.mark.parametrize("command", ["GC", "DEL"])
async def test_nothing_that_touches_an_attachment_goes_on_beside_gc(
    verb: str,
    command: str,
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    pods: Any,
    events: list[Event],
) -> None:
    other, owed = pods("c3"), pods("c4")
    async with opened() as runtime:
        await runtime.add(network, pods("c1"))
        await runtime.add(network, pods("c2"))
        scripted.tell("first", "DEL", Behaviour.failing())
        another = make_network("another", "1.1.0")
        await runtime.add(another, owed)
        with pytest.raises(CleanupIncomplete) as caught:
            await runtime.delete(owed.id)
        scripted.tell("first", "DEL", Behaviour())
        debt = caught.value.debt
        assert debt is not None
        do: dict[str, Callable[[], Any]] = {
            "add": lambda: runtime.add(network, other),
            "delete": lambda: runtime.delete(C1),
            "check": lambda: runtime.check(C1),
            "settle": lambda: runtime.settle(debt),
            "forget": lambda: runtime.forget(debt, reason="a test"),
            "recover": runtime.recover,
        }

        async def collect() -> None:
            await runtime.gc(network, keep=[C1])

        async with anyio.create_task_group() as tasks:
            with scripted.paused("second", command) as reached:
                tasks.start_soon(collect)
                await reached.wait()
                events.clear()
                tasks.start_soon(do[verb])
                await anyio.wait_all_tasks_blocked()
                assert [event for event in events if isinstance(event, PluginStarted)] == []
                await runtime.attachments()  # looking waits for nothing
                await runtime.status(network)
                events.clear()
        own = [event for event in events if isinstance(event, PluginStarted) and event.verb == verb]
        assert verb == "forget" or own


async def test_who_is_alive_is_asked_when_nothing_else_is_under_way(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, pods: Any
) -> None:
    """What ``keep`` says may change as long as gc waits."""
    alive = {C1, C2}
    async with opened() as runtime:
        await runtime.add(network, pods("c1"))
        await runtime.add(network, pods("c2"))
        reports: list[acni.GCReport] = []
        calls: list[int] = []

        async def keep() -> list[AttachmentId]:
            calls.append(len(await runtime.attachments()))
            return list(alive)

        async def collect() -> None:
            reports.append(await runtime.gc(network, keep=keep))

        async with anyio.create_task_group() as tasks:
            with scripted.paused("second", "CHECK") as reached:
                tasks.start_soon(runtime.check, C1)
                await reached.wait()
                tasks.start_soon(collect)
                await anyio.wait_all_tasks_blocked()
                assert calls == []
                alive.discard(C2)
        assert (reports[0].deleted, reports[0].kept) == ((C2,), (C1,))
        assert calls == [2]


@pytest.mark.parametrize(
    "keep",
    [
        pytest.param(None, id="nothing"),
        pytest.param(C1, id="one"),
        pytest.param("c1", id="text"),
        pytest.param([("c1", "eth0")], id="pairs"),
        pytest.param(lambda: None, id="a function of nothing"),
    ],
)
async def test_what_names_no_attachments_is_refused_and_nothing_is_deleted(
    keep: Any, opened: Any, scripted: ScriptedRunner, network: NetworkConfig, pods: Any
) -> None:
    async with opened() as runtime:
        await runtime.add(network, pods("c1"))
        scripted.calls.clear()
        with pytest.raises(ConfigError, match="is no collection of attachments"):
            await runtime.gc(network, keep=keep)
    assert scripted.calls == []


async def test_a_keep_that_raises_or_gives_no_answer_deletes_nothing(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, pods: Any
) -> None:
    async def hang() -> list[AttachmentId]:
        await anyio.sleep(60)
        raise AssertionError

    def fail() -> list[AttachmentId]:
        raise KeyError("the database")

    async with opened(gc=1.0) as runtime:
        await runtime.add(network, pods("c1"))
        scripted.calls.clear()
        with pytest.raises(KeyError):
            await runtime.gc(network, keep=fail)
        with pytest.raises(Busy, match="keep gave no answer within"):
            await runtime.gc(network, keep=hang)
        await runtime.check(C1)
    assert {call.command for call in scripted.calls} == {"CHECK"}


# --- what dead runtimes left


@asynccontextmanager
async def killed_in(
    scripted: ScriptedRunner, state_dir: Path, verb: Callable[[], Any], at: tuple[str, str]
) -> AsyncGenerator[tuple[Runtime, ScriptedRunner]]:
    """Open a runtime over a copy of the state directory that is taken while a verb is under way:
    what a runtime leaves that is killed there.
    """
    async with anyio.create_task_group() as tasks:
        with scripted.paused(*at) as reached:
            tasks.start_soon(verb)
            await reached.wait()
            copy = state_dir.with_name("copy")
            shutil.copytree(state_dir, copy)
            another = ScriptedRunner()
            async with acni.open_runtime(
                state_dir=copy, plugin_dirs=["/plugins"], runner=another, recover=False
            ) as runtime:
                yield runtime, another


@pytest.mark.rule("R24", "R59")
async def test_what_a_dead_runtime_left_open_is_settled_whatever_is_kept(
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    pods: Any,
    state_dir: Path,
) -> None:
    first, second = pods("c1"), pods("c2")
    async with opened() as runtime:
        await runtime.add(network, first)
        add = partial(runtime.add, network, second)
        async with killed_in(scripted, state_dir, add, ("second", "ADD")) as (after, runner):
            report = await after.gc(network, keep=[C1, C2], dry_run=True)
            assert (report.deleted, report.kept) == ((C2,), (C1,))
            assert runner.calls == []
            runner.tell("second", "DEL", Behaviour.failing())
            report = await after.gc(network, keep=[C1])
            assert (report.deleted, report.kept) == ((), (C1,))
            assert [error.container_id for error in report.failures] == ["c2"]
            assert valid(runner) == ["c1/eth0", "c2/eth0"]
            assert asked(runner, "DEL") == ["third c2", "second c2"]
            runner.tell("second", "DEL", Behaviour())
            runner.calls.clear()
            report = await after.gc(network, keep=[C1, C2])
            assert (report.deleted, report.kept) == ((C2,), (C1,))
            # The caller keeps its word, though nothing of that name is left.
            assert valid(runner) == ["c1/eth0", "c2/eth0"]


async def test_a_delete_that_a_dead_runtime_left_open_is_gone_on_with(
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    pods: Any,
    state_dir: Path,
) -> None:
    async with opened() as runtime:
        await runtime.add(network, pods("c1"))
        delete = partial(runtime.delete, C1)
        async with killed_in(scripted, state_dir, delete, ("second", "DEL")) as (after, runner):
            report = await after.gc(network, keep=[C1], dry_run=True)
            assert (report.deleted, report.kept) == ((C1,), ())
            report = await after.gc(network, keep=[C1])
            assert (report.deleted, report.kept) == ((C1,), ())
            assert asked(runner, "DEL") == ["second c1", "first c1"]


@pytest.mark.parametrize("verb", ["gc", "add"])
async def test_a_gc_plugin_that_outlived_its_runtime_is_waited_for(
    verb: str,
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    pods: Any,
    state_dir: Path,
    events: list[Event],
) -> None:
    """It goes by what was valid then."""
    async with opened() as runtime:
        await runtime.gc(network, keep=[])
    orphan = os.open(state_dir / "acni" / "lock" / file_of(GC_GUARD), os.O_RDWR | os.O_CLOEXEC)
    try:
        assert try_lock(orphan, byte_of("guard", GC_GUARD), shared=True)
        scripted.calls.clear()
        async with opened() as runtime, anyio.create_task_group() as tasks:
            if verb == "add":
                tasks.start_soon(runtime.add, network, pods("c1"))
            else:
                tasks.start_soon(_collect_all, runtime, network)
            await anyio.wait_all_tasks_blocked()  # it has seen the orphan, and waits
            await anyio.sleep(0.1)
            assert scripted.calls == []
            os.close(orphan)
            orphan = -1
    finally:
        if orphan >= 0:
            os.close(orphan)
    assert {call.command for call in scripted.calls} == {verb.upper()}
    assert [type(event) for event in events if isinstance(event, OrphanWaited)] == [OrphanWaited]


KILLED = """
import sys
import anyio, acni

async def main(state_dir, plugins):
    network = acni.parse_network(sys.stdin.buffer.read())
    async with acni.open_runtime(state_dir=state_dir, plugin_dirs=[plugins]) as runtime:
        await runtime.gc(network, keep=[])

anyio.run(main, *sys.argv[1:])
"""


async def test_a_runtime_that_is_killed_leaves_a_gc_plugin_that_an_add_waits_for(
    network: NetworkConfig, pods: Any, state_dir: Path, tmp_path: Path
) -> None:
    plugins = RecordingPlugins(tmp_path / "plugins")
    plugins.install(*CHAIN)
    plugins.tell("first", "GC", Behaviour(seconds=2))
    with plugins.paused("first", "GC"):
        _kill_in_gc(network, state_dir, plugins)
    events: list[Event] = []
    async with acni.open_runtime(
        state_dir=state_dir, plugin_dirs=[plugins.directory], observers=[events.append]
    ) as after:
        await after.add(network, pods("c1"))
    waited = [event for event in events if isinstance(event, OrphanWaited)]
    assert [(event.ended, event.daemons) for event in waited] == [((), ())]
    assert [str(call) for call in plugins.calls][:2] == ["GC first", "ADD first"]


def _kill_in_gc(network: NetworkConfig, state_dir: Path, plugins: RecordingPlugins) -> None:
    arguments = [sys.executable, "-c", KILLED, str(state_dir), plugins.directory]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE) as runtime:
        assert runtime.stdin is not None
        runtime.stdin.write(network.effective().encode())
        runtime.stdin.close()
        until = time.monotonic() + 30
        while not plugins.calls and time.monotonic() < until:
            time.sleep(0.001)
        runtime.kill()


async def _collect_all(runtime: Runtime, network: NetworkConfig) -> None:
    await runtime.gc(network, keep=[])


# --- what goes wrong


async def test_a_delete_that_hangs_leaves_the_plugins_their_time(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, pods: Any
) -> None:
    """What cannot begin in time is no debt."""
    scripted.tell("second", "DEL", Behaviour(seconds=60))
    ids = [AttachmentId(f"c{number}") for number in range(18)]
    async with opened(gc=4) as runtime:
        for identity in ids:
            await runtime.add(network, pods(identity.container_id))
        report = await runtime.gc(network, keep=[])
        assert report.deleted == ()
        kinds = Counter(type(error) for error in report.failures)
        assert kinds == {CleanupIncomplete: 16, Busy: 2}
        states = sorted(one.state for one in await runtime.attachments())
        assert states == ["attached"] * 2 + ["owed"] * 16
    assert asked(scripted, "GC") == CHAIN
    assert sorted(valid(scripted)) == sorted(map(str, ids))


async def test_a_plugin_that_hangs_leaves_the_other_plugins_their_time(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig
) -> None:
    scripted.tell("first", "GC", Behaviour(seconds=60))
    async with opened(gc=4) as runtime:
        report = await runtime.gc(network, keep=[])
        assert [(type(error), error.plugin) for error in report.failures] == [
            (PluginTimeout, "first")
        ]
    assert asked(scripted, "GC") == CHAIN


async def test_an_operation_in_the_way_is_named_and_nothing_is_deleted(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, pods: Any
) -> None:
    async with opened(wait=0.1) as runtime:
        await runtime.add(network, pods("c1"))
        with scripted.paused("second", "ADD") as reached:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(runtime.add, network, pods("c2"))
                await reached.wait()
                scripted.calls.clear()
                named = rf"operations went on for \d\.\d s: process {os.getpid()} is adding c2"
                with pytest.raises(Busy, match=named):
                    await runtime.gc(network, keep=[])
                assert scripted.calls == []
                await runtime.check(C1)
                tasks.cancel_scope.cancel()


async def test_what_belongs_to_another_host_is_told_and_not_touched(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, pods: Any, state_dir: Path
) -> None:
    async with opened() as runtime:
        await runtime.add(network, pods("c1"))
        path = state_dir / "results" / "net-c1-eth0"
        record = json.loads(path.read_text())
        record["acni"]["host_netns"]["id"] += "0"
        path.write_text(json.dumps(record))
        scripted.calls.clear()
        report = await runtime.gc(network, keep=[])
        assert [type(error) for error in report.failures] == [HostChanged]
        assert (await runtime.gc(network, keep=[C1])).kept == (C1,)
    assert asked(scripted, "DEL") == []
    assert valid(scripted) == ["c1/eth0"]


async def test_what_cannot_be_removed_is_still_valid(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, pods: Any, state_dir: Path
) -> None:
    async with opened() as runtime:
        await runtime.add(network, pods("c1"))
        path = state_dir / "results" / "net-c1-eth0"
        record = path.read_text()
        path.unlink()
        path.mkdir()
        report = await runtime.gc(network, keep=[])
        assert report.unreadable == ("net-c1-eth0",)
        assert valid(scripted) == ["c1/eth0"]
        path.rmdir()
        path.write_text(record)


async def test_a_gc_that_is_cancelled_leaves_what_it_did_not_delete_as_it_was(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, pods: Any
) -> None:
    async with opened() as runtime:
        for name in ("c1", "c2"):
            await runtime.add(network, pods(name))
        scripted.calls.clear()
        async with anyio.create_task_group() as tasks:
            with scripted.paused("second", "DEL") as reached:
                tasks.start_soon(_collect_all, runtime, network)
                await reached.wait()
                tasks.cancel_scope.cancel()
        assert {one.state for one in await runtime.attachments()} <= {"owed", "attached"}
        assert len(await runtime.attachments()) == 2
        assert (await runtime.gc(network, keep=[])).deleted == (C1, C2)
    assert scripted.held == set()


async def test_a_dry_run_changes_nothing_and_says_what_would_be(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, pods: Any, state_dir: Path
) -> None:
    async with opened() as runtime:
        for name in ("c1", "c2", "c3"):
            await runtime.add(network, pods(name))
        by_another_writer(state_dir, "net-c3-eth0")
        before = {path: path.read_bytes() for path in (state_dir / "results").iterdir()}
        scripted.calls.clear()
        with scripted.paused("first", "CHECK") as reached:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(runtime.check, C1)
                await reached.wait()
                report = await runtime.gc(network, keep=lambda: [C1], dry_run=True)
                tasks.cancel_scope.cancel()
        assert (report.deleted, report.kept, report.skipped) == ((C2,), (C1,), (C3,))
        report = await runtime.gc(network, keep=[], foreign=True, dry_run=True)
        assert report.deleted == (C1, C2, C3)
    assert {call.command for call in scripted.calls} == {"CHECK"}
    assert before == {path: path.read_bytes() for path in (state_dir / "results").iterdir()}


async def test_64_workers_add_and_delete_and_nothing_of_theirs_is_collected(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, pods: Any
) -> None:
    """Each worker's attachment is its own to delete; all of it is gone but what gc may have."""
    async with opened() as runtime:
        await runtime.add(network, pods("stale"))
        alive: set[AttachmentId] = set()
        reports: list[acni.GCReport] = []
        over = anyio.Event()

        async def work(attachment: Attachment) -> None:
            while not over.is_set():
                await runtime.add(network, attachment)
                alive.add(attachment.id)
                await runtime.check(attachment.id)
                await runtime.delete(attachment.id)  # AttachmentNotFound, had it been collected
                alive.discard(attachment.id)

        async def collect() -> None:
            reports.extend([await runtime.gc(network, keep=lambda: alive) for _ in range(5)])
            over.set()

        async with anyio.create_task_group() as tasks:
            for number in range(64):
                tasks.start_soon(work, pods(f"w{number}"))
            tasks.start_soon(collect)
    assert scripted.held == set()
    assert [str(one) for report in reports for one in report.deleted] == ["stale/eth0"]


@define(eq=False)
class Unseen:
    """Other runtimes of which nothing is open when all is listed, whatever a look at what is left
    of a container then yields.
    """

    looks: list[str] = Factory(list[str])
    is_unreadable: bool = False

    @classmethod
    def beside(cls, runtime: Any, **facts: Any) -> Self:
        """Put them in the place of what a runtime sees."""
        store = runtime._engine.store
        store.neighbours.close()
        store.neighbours = unseen = cls(**facts)
        return unseen

    def left(self) -> tuple[LeftOpen, ...]:
        return ()

    def left_of(self, container_id: str) -> tuple[LeftOpen, ...] | None:
        self.looks.append(container_id)
        if self.is_unreadable:
            raise StoreError("cannot be read", place="acni/journal/001", expected="a disk")
        return () if self.looks.count(container_id) > 1 else None

    def close(self) -> None:
        pass


@pytest.mark.rule("R26")
async def test_gc_waits_for_a_runtime_that_is_just_ending_before_it_deletes(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, pods: Any
) -> None:
    """It let go of the gate, but not yet of its slot, when what is open was listed."""
    async with opened() as runtime:
        await runtime.add(network, pods("c1"))
        unseen = Unseen.beside(runtime)
        report = await runtime.gc(network, keep=[])
    assert report.deleted == (C1,)
    assert unseen.looks == ["c1", "c1"]


@pytest.mark.rule("R36")
async def test_a_slot_that_cannot_be_read_is_a_failure_of_the_delete_and_of_nothing_else(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, pods: Any
) -> None:
    async with opened() as runtime:
        await runtime.add(network, pods("c1"))
        Unseen.beside(runtime, is_unreadable=True)
        report = await runtime.gc(network, keep=[])
        assert [type(failure) for failure in report.failures] == [StoreError]
        assert report.deleted == ()
    assert asked(scripted, "DEL") == []
    assert asked(scripted, "GC") == CHAIN
    assert valid(scripted) == ["c1/eth0"]


async def test_a_plugin_that_a_delete_did_not_find_is_asked_once(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, pods: Any
) -> None:
    """By which kind it would have been run nobody knows."""
    async with opened() as runtime:
        scripted.remove("first")
        with pytest.raises(CleanupIncomplete):
            await runtime.delete(pods("c1"), network=network)
        scripted._missing.clear()
        scripted.calls.clear()
        await runtime.gc(network, keep=[])
        assert asked(scripted, "GC") == CHAIN


class Looking(ScriptedRunner):
    """Notes who was looked for."""

    def __init__(self) -> None:
        super().__init__()
        self.looked: list[str] = []

    def find(self, plugin_type: Any, directories: Any, *, added_by: str | None = None) -> Any:
        self.looked.append(plugin_type)
        return super().find(plugin_type, directories, added_by=added_by)


@pytest.mark.parametrize("version", ["1.1.0", "several"])
async def test_each_plugin_is_looked_for_once(open_with: Any, pods: Any, version: str) -> None:
    """Of the chain of now and of those that were in it; what is missing says so in its step."""
    looking = Looking()
    several: dict[str, Any] = {"cniVersions": ["1.0.0", "1.1.0"]} if version == "several" else {}
    network = make_network(version="1.1.0", **several)
    plugins = [{"type": kind} for kind in ("first", "absent", "fourth")]
    async with open_with(looking) as runtime:
        await runtime.add(network, pods("c1"))
        now = make_network(version="1.1.0", **several, plugins=plugins)
        looking.remove("absent")
        looking.looked.clear()
        report = await runtime.gc(now, keep=[C1])
    assert asked(looking, "GC") == ["first", "fourth", "second", "third"]
    assert [type(failure) for failure in report.failures] == [PluginNotFound]
    again = ["absent"]
    assert Counter(looking.looked) == Counter(
        ["first", "absent", "fourth", "second", "third", *again]
    )

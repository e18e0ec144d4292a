"""The runner of plugins in this process."""

from __future__ import annotations

import asyncio
import errno
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import anyio
import anyio.lowlevel
import pytest
from attrs import Factory, define

from acni import netns
from acni.errors import PluginNotFound
from acni.host.libc import CLONE_NEWNET, unshare
from acni.plugins.builtins import BuiltIns
from acni.skel import Call, PluginError, Verbs, make_result
from acni.spec.names import PluginType
from acni.spec.plugin import Caps, Ending, Plugin, Request, Response
from acni.spec.result import Result, parse_result
from acni.testing import Behaviour, RunnerContract, cancelled_at
from acni.testing import Call as Run
from tests.skel.asking import request, said, script

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_plugin_thread_left")]

PROBE = PluginType("probe")
CONTRACT = [
    "test_finding_names_type_and_runner",
    "test_what_an_add_was_run_by_is_found_again",
    "test_a_missing_plugin_is_a_typed_error",
    "test_failure_brings_the_status_and_what_was_printed",
    "test_a_deadline_ends_the_run",
    "test_output_over_the_cap_ends_the_run_where_it_is_read",
    "test_cancellation_ends_the_run",
]


@define(eq=False)
class Told:
    """A built-in plugin that does what it is told: a world of the contract."""

    runner: BuiltIns
    behaviours: dict[str, Behaviour]
    directories: tuple[str, ...] = ("/opt/cni/bin",)
    calls: list[Run] = Factory(list[Run])

    @classmethod
    def make(cls) -> Told:
        behaviours: dict[str, Behaviour] = {}

        def does(call: Call) -> Result:
            told = behaviours.get(call.command, Behaviour())
            until = time.monotonic() + told.seconds
            while time.monotonic() < until:
                call.bounds.check()
                time.sleep(0.001)
            if told.status:
                raise PluginError(7, "no")
            padding = f'{{"cniVersion": "1.1.0", "padding": "{told.stdout or ""}"}}'
            return parse_result(padding, "1.1.0")

        return cls(only(does), behaviours)

    def tell(self, plugin_type: str, command: str, behaviour: Behaviour) -> None:
        assert plugin_type == "probe"
        self.behaviours[command] = behaviour


@pytest.mark.parametrize("name", CONTRACT)
async def test_it_keeps_the_contract_of_runners(name: str) -> None:
    """All of it but what only a process has: bytes, signals and standard error."""
    world = Told.make()
    with world.runner:
        await getattr(RunnerContract(), name)(world)


@pytest.fixture
def runner() -> Iterator[BuiltIns]:
    with BuiltIns() as runner:
        yield runner


def only(verb: Callable[[Call], object]) -> BuiltIns:
    """Make a runner whose one plugin does the same on every verb."""

    def add(call: Call) -> Result:
        result = verb(call)
        return result if isinstance(result, Result) else make_result()

    def delete(call: Call) -> None:
        verb(call)

    return BuiltIns(plugins={"probe": Verbs(add=add, delete=delete)})


async def run(
    runner: BuiltIns,
    asked: Request | None = None,
    *,
    seconds: float = 20.0,
    caps: Caps | None = None,
    guard: int | None = None,
) -> Response:
    return await runner.run(
        Plugin(type=PROBE, path="", identity="", runner="builtin"),
        asked or request("DEL"),
        deadline=anyio.current_time() + seconds,
        caps=caps or Caps(),
        guard=guard,
    )


async def begun(event: Event) -> None:
    """Wait for another thread."""
    await until(event.is_set)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    with anyio.fail_after(20):
        while not condition():  # noqa: ASYNC110 (another thread's doing)
            await anyio.sleep(0.001)


def test_what_is_found_has_no_executable_and_says_who_runs_it(runner: BuiltIns) -> None:
    plugin = runner.find(PluginType("loopback"), [])
    assert (plugin.type, plugin.path, plugin.runner) == ("loopback", "", "builtin")
    assert plugin.identity


def test_it_is_found_without_a_look_at_what_is_installed(
    runner: BuiltIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """acni may be no installed package, and each find would read the directories of all."""
    monkeypatch.setattr(sys, "path", [])
    assert runner.find(PluginType("bridge"), []).runner == "builtin"


def test_what_is_not_built_in_is_a_typed_error(runner: BuiltIns) -> None:
    with pytest.raises(PluginNotFound, match="built in") as caught:
        runner.find(PluginType("whereabouts"), ["/opt/cni/bin"])
    assert "loopback" in (caught.value.expected or "")


def test_what_was_added_by_another_kind_is_not_found(runner: BuiltIns) -> None:
    with pytest.raises(PluginNotFound, match="executable"):
        runner.find(PluginType("loopback"), [], added_by="executable")


async def test_what_was_not_found_is_not_started() -> None:
    with BuiltIns(plugins={}) as runner:
        response = await run(runner)
    assert (response.ending, response.status) == (Ending.NOT_STARTED, errno.ENOENT)


async def test_a_run_takes_its_time() -> None:
    with only(lambda _: time.sleep(0.01)) as runner:
        response = await run(runner)
    assert (response.ending, response.status) == (Ending.EXITED, 0)
    assert response.seconds >= 0.01


async def test_threads_are_kept_for_the_next_run_and_end_with_the_runner() -> None:
    threads: set[int] = set()
    with only(lambda _: threads.add(threading.get_native_id())) as runner:
        for _ in range(20):
            await run(runner)
    assert len(threads) == 1


async def test_runs_go_on_side_by_side() -> None:
    met = threading.Barrier(3)
    with only(lambda _: met.wait(20)) as runner:
        async with anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(run, runner, request("DEL", CONTAINERID=f"c{number}"))


async def test_the_loop_goes_on_meanwhile() -> None:
    go_on = Event()
    with only(lambda _: go_on.wait(20)) as runner:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run, runner)
            await anyio.lowlevel.checkpoint()
            go_on.set()


async def test_it_serves_one_loop_after_another() -> None:
    with only(lambda _: None) as runner:
        for _ in range(2):
            done = await anyio.to_thread.run_sync(lambda: anyio.run(run, runner))
            assert done.status == 0
        assert (await run(runner)).status == 0


async def test_a_cancelled_run_is_over_before_it_says_so() -> None:
    has_begun, log = Event(), list[str]()

    def slow(call: Call) -> None:
        has_begun.set()
        try:
            while True:
                call.bounds.check()
                time.sleep(0.001)
        finally:
            time.sleep(0.3)  # longer than the loop may be blocked
            log.append("ended")

    with only(slow) as runner:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run, runner)
            await begun(has_begun)
            tasks.cancel_scope.cancel()
        assert log == ["ended"]
        has_begun.clear()
        assert (await run(runner, seconds=0.05)).ending is Ending.OUT_OF_TIME
        assert log == ["ended", "ended"]


async def test_cancelled_at_any_point_nothing_runs_afterwards() -> None:
    running = list[str]()

    def noted(call: Call) -> None:
        running.append("")
        for _ in range(3):
            if call.bounds.is_over():
                break
            time.sleep(0.001)
        running.pop()

    with only(noted) as runner:
        for point in range(1, 20):
            suspensions, _ = await cancelled_at(point, run(runner))
            assert running == []
            if suspensions < point:
                break
        else:
            raise AssertionError("it never ended")


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=False)
async def test_a_native_cancellation_ends_it_as_well(
    anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of asyncio pierce shields. The loop may be blocked for longer than it is to be, lest a
    machine that stands still leaves the verb behind.
    """
    monkeypatch.setattr("acni.plugins.builtins._STOP_NOW_SECONDS", 20.0)
    has_begun, log = Event(), list[str]()

    def slow(call: Call) -> None:
        has_begun.set()
        while not call.bounds.is_over():
            time.sleep(0.001)
        time.sleep(0.02)
        log.append("ended")

    with only(slow) as runner:
        task = asyncio.create_task(run(runner))
        await begun(has_begun)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert log == ["ended"]


async def test_what_ended_by_itself_at_its_deadline_is_no_loss() -> None:
    with only(lambda call: time.sleep(call.bounds.seconds_left() + 0.01)) as runner:
        response = await run(runner, seconds=0.05)
    assert (response.ending, response.status) == (Ending.EXITED, 0)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acni.plugins.builtins._STOP_SECONDS", 0.05)


@pytest.mark.usefixtures("impatient")
async def test_nothing_runs_beside_a_verb_that_is_stuck() -> None:
    go_on, log = Event(), list[str]()

    def stuck(call: Call) -> None:
        log.append(f"{call.command} begins")
        if call.command == "CHECK" or len(log) == 1:
            go_on.wait(20)
        log.append(f"{call.command} ends")

    with only(stuck) as runner:
        assert (await run(runner, request("DEL", NETNS=""), seconds=0.05)).ending is (
            Ending.OUT_OF_TIME
        )
        await until(lambda: log != [])  # its thread may be late
        # Nothing of the same container; another one is not concerned.
        assert (await run(runner, seconds=0.1)).ending is Ending.OUT_OF_TIME
        assert log == ["DEL begins"]
        assert (await run(runner, request("DEL", CONTAINERID="c2"))).status == 0
        go_on.set()
        assert (await run(runner)).status == 0
    assert log[-3:] == ["DEL ends", "DEL begins", "DEL ends"]


@pytest.mark.usefixtures("impatient")
async def test_a_verb_that_is_stuck_holds_the_guard(tmp_path: Path) -> None:
    go_on = Event()
    held = tmp_path / "guard"
    with only(lambda _: go_on.wait(20)) as runner:
        with held.open("w") as guard:
            await run(runner, seconds=0.05, guard=guard.fileno())
        assert str(held) in open_files()
        go_on.set()
        await run(runner)
        assert str(held) not in open_files()


def open_files() -> list[str]:
    found: list[str] = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(entry.readlink()))
        except FileNotFoundError:
            continue
    return found


async def test_a_run_that_ends_keeps_no_guard(tmp_path: Path) -> None:
    held = tmp_path / "guard"
    with only(lambda _: None) as runner:
        with held.open("w") as guard:
            await run(runner, guard=guard.fileno())
        assert str(held) not in open_files()


@pytest.mark.rule("P8")
async def test_it_delegates_to_its_own_plugins_first(tmp_path: Path) -> None:
    ipam = only(lambda _: None)
    outer = Verbs(add=lambda call: call.ipam.add(), delete=lambda call: call.ipam.delete())
    asked = request("DEL", {"ipam": {"type": "inner"}}, PATH=script(tmp_path, "inner", "exit 1\n"))
    with BuiltIns(plugins={"probe": outer, "inner": ipam.plugins["probe"]}) as runner:
        assert (await run(runner, asked)).status == 0
    with BuiltIns(plugins={"probe": outer}) as runner:
        assert said(await run(runner, asked))["code"] == 999


@pytest.mark.netns
async def test_a_thread_that_did_not_come_back_is_used_no_more() -> None:
    """A plugin may enter a namespace; whoever is in its thread next is where the runtime is."""
    seen: list[netns.NetnsIdentity] = []

    def strays(_: Call) -> None:
        seen.append(netns.identity("/proc/thread-self/ns/net"))
        unshare(CLONE_NEWNET)

    with only(strays) as runner:
        for _ in range(3):
            assert (await run(runner)).status == 0
    assert set(seen) == {netns.identity("/proc/self/ns/net")}


async def test_what_only_waits_is_left_to_others() -> None:
    go_on, done = Event(), list[str]()

    def wait() -> None:
        go_on.wait(20)
        done.append("waited")

    def leaves(call: Call) -> None:
        call.leave(wait)

    with only(leaves) as runner:
        assert (await run(runner)).status == 0
        assert done == []
        go_on.set()
    assert done == ["waited"]


async def test_output_over_its_cap_is_cut_where_it_is_not_read() -> None:
    def fail(_: Call) -> None:
        raise PluginError(100, "x" * 5000)

    with only(fail) as runner:
        caps = Caps(stdout_bytes=1000, ends_at_cap=False)
        assert len((await run(runner, caps=caps)).stdout) == 1000


async def test_after_its_end_it_can_be_used_again() -> None:
    with only(lambda _: None) as runner:
        await run(runner)
    assert (await run(runner)).status == 0
    runner.close()
    runner.close()


@define(eq=False)
class Dear:
    """Something that calls leave for those after them."""

    is_closed: bool = False

    def close(self) -> None:
        self.is_closed = True


async def test_what_a_call_keeps_the_next_one_is_lent_until_the_runner_is_closed() -> None:
    lent: list[Dear] = []

    def keeps(call: Call) -> None:
        with call.kept.lent("dear", Dear) as one:
            lent.append(one)

    with only(keeps) as runner:
        for _ in range(2):
            await run(runner)
        assert lent[0] is lent[1]
        assert not lent[0].is_closed
    assert lent[0].is_closed

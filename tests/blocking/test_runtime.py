"""The runtime without an event loop."""

from __future__ import annotations

import inspect
import logging
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

import acni
from acni import (
    Attachment,
    AttachmentId,
    Busy,
    ConfigError,
    NetworkConfig,
    PluginFailed,
    RuntimeClosed,
    StoreError,
    Timeouts,
    blocking,
    netns,
)
from acni.blocking import Runtime
from acni.events import Event, OperationStarted
from acni.testing import Behaviour, ScriptedRunner
from tests.blocking.conftest import SECONDS, Gate, OpenRuntime

pytestmark = pytest.mark.netns

# The deadline of an ADD that never ends, longer each time it was not under way by then.
PATIENCE = (0.2, 2.5, 10.5)
# open_runtime() calls it.
NOT_FOR_CALLERS = {"close"}


def parameters(function: Callable[..., object]) -> dict[str, tuple[Any, Any]]:
    found = inspect.signature(function).parameters.values()
    return {one.name: (one.kind, one.default) for one in found}


def public_methods(kind: type) -> dict[str, Callable[..., object]]:
    methods = inspect.getmembers(kind, inspect.isfunction)
    return {name: method for name, method in methods if not name.startswith("_")}


TIMEOUT = {"timeout": (inspect.Parameter.KEYWORD_ONLY, None)}


@pytest.mark.parametrize("name", ["Runtime", "Box"])
def test_each_method_is_there_with_the_same_parameters_and_a_timeout(name: str) -> None:
    here = public_methods(getattr(blocking, name))
    there = public_methods(getattr(acni, name))
    assert here.keys() == there.keys() - NOT_FOR_CALLERS
    assert here
    for method, function in here.items():
        expected = parameters(there[method])
        assert parameters(function) == (expected if "timeout" in expected else expected | TIMEOUT)


def test_opening_takes_the_same_settings_and_a_backend() -> None:
    expected = parameters(acni.open_runtime)
    backend = {"backend": (inspect.Parameter.KEYWORD_ONLY, "asyncio")}
    assert parameters(blocking.open_runtime) == expected | backend


@pytest.fixture
def attachment(box: netns.Namespace) -> Attachment:
    """A container's attachment."""
    return Attachment(container_id="c1", netns=box.path)


def records(state_dir: Path) -> list[str]:
    return sorted(path.name for path in (state_dir / "results").iterdir())


def test_every_verb_does_what_it_does_on_a_loop(
    opened: OpenRuntime, network: NetworkConfig, attachment: Attachment, tmp_path: Path
) -> None:
    (tmp_path / "net.conflist").write_text(network.effective())
    with opened(conf_dir=tmp_path) as runtime:
        loaded = runtime.network("net", timeout=SECONDS)
        runtime.validate(loaded, timeout=SECONDS).raise_for_failures()
        runtime.status(loaded, timeout=SECONDS)
        assert runtime.version("first", timeout=SECONDS)[-1] == "1.1.0"
        assert str(runtime.add(loaded, attachment, timeout=SECONDS).ipv4) == "192.0.2.7"
        runtime.check(attachment, network="net", timeout=SECONDS)
        (found,) = runtime.attachments(container_id="c1", timeout=SECONDS)
        assert found.state == "attached"
        report = runtime.gc(loaded, keep=[attachment], timeout=SECONDS)
        assert report.kept == (attachment.id,)
        runtime.delete(attachment, timeout=SECONDS)
        assert runtime.debts(timeout=SECONDS) == ()
        assert runtime.recover(timeout=SECONDS).settled == ()


def test_a_debt_is_settled_or_forgotten(
    opened: OpenRuntime, network: NetworkConfig, attachment: Attachment, scripted: ScriptedRunner
) -> None:
    with opened() as runtime:
        for give_up in (runtime.settle, partial(runtime.forget, reason="by hand")):
            runtime.add(network, attachment)
            scripted.tell("first", "DEL", Behaviour.failing())
            with pytest.raises(acni.CleanupIncomplete):
                runtime.delete(attachment)
            scripted.tell("first", "DEL", Behaviour())
            (debt,) = runtime.debts()
            give_up(debt, timeout=SECONDS)
            assert runtime.debts() == ()


def test_many_threads_attach_and_detach_at_once(
    opened: OpenRuntime, network: NetworkConfig, box: netns.Namespace, scripted: ScriptedRunner
) -> None:
    threads = 64
    together = threading.Barrier(threads)

    def attach_and_detach(number: int) -> tuple[str, str]:
        attachment = Attachment(container_id=f"c{number}", netns=box.path, ifname=f"eth{number}")
        together.wait(SECONDS)
        result = runtime.add(network, attachment)
        (record,) = runtime.attachments(container_id=f"c{number}")
        runtime.delete(attachment)
        return str(result.ipv4), record.ifname

    with opened() as runtime, ThreadPoolExecutor(threads) as pool:
        done = list(pool.map(attach_and_detach, range(threads)))
    assert done == [("192.0.2.7", f"eth{number}") for number in range(threads)]
    assert len(scripted.calls) == threads * 6
    assert scripted.held == set()


def test_an_error_is_raised_in_the_thread_that_called(
    opened: OpenRuntime, network: NetworkConfig, attachment: Attachment, scripted: ScriptedRunner
) -> None:
    scripted.tell("third", "ADD", Behaviour.failing(code=7, msg="no"))
    with opened() as runtime:
        with pytest.raises(PluginFailed) as caught:
            runtime.add(network, attachment)
        assert (caught.value.plugin, caught.value.code) == ("third", 7)
        assert caught.value.rollback is not None
        assert scripted.held == set()


def test_what_is_out_of_time_is_undone_before_it_is_said(
    opened: OpenRuntime,
    network: NetworkConfig,
    attachment: Attachment,
    scripted: ScriptedRunner,
    state_dir: Path,
) -> None:
    scripted.tell("third", "ADD", Behaviour(seconds=3600))
    calls: list[str] = []
    with opened() as runtime:
        for seconds in PATIENCE:
            with pytest.raises(TimeoutError, match=re.escape(f"{seconds} s")):
                runtime.add(network, attachment, timeout=seconds)
            assert scripted.held == set()
            calls = [str(call) for call in scripted.calls]
            if "ADD third" in calls:
                break
        assert "ADD third" in calls
        assert calls[-1] == "DEL first"
        assert records(state_dir) == []
        scripted.tell("third", "ADD", Behaviour())
        runtime.add(network, attachment, timeout=SECONDS)


def test_waiting_counts_into_the_timeout(
    opened: OpenRuntime, network: NetworkConfig, attachment: Attachment, scripted: ScriptedRunner
) -> None:
    gate = Gate(scripted, "second", "ADD")
    with opened(runner=gate) as runtime, ThreadPoolExecutor() as pool:
        adding = pool.submit(runtime.add, network, attachment)
        assert gate.reached.wait(SECONDS)
        with pytest.raises(TimeoutError):
            runtime.delete(attachment, timeout=0.2)
        gate.open.set()
        assert str(adding.result().ipv4) == "192.0.2.7"


# --- interrupts --------------------------------------------------------------


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def strike(number: int, *reached: threading.Event) -> None:
    """Send this process a signal when each of these is reached."""
    for event in reached:
        if event.wait(SECONDS):
            os.kill(os.getpid(), number)


@contextmanager
def ctrl_c_at(*reached: threading.Event) -> Iterator[None]:
    """Press Ctrl-C when each of these is reached."""
    thread = threading.Thread(target=strike, args=(signal.SIGINT, *reached))
    thread.start()
    try:
        yield
    finally:
        thread.join(SECONDS)


def test_ctrl_c_undoes_and_then_raises(
    opened: OpenRuntime, network: NetworkConfig, attachment: Attachment, scripted: ScriptedRunner
) -> None:
    gate = Gate(scripted, "third", "ADD")
    with opened(runner=gate) as runtime:
        with ctrl_c_at(gate.reached), pytest.raises(KeyboardInterrupt):
            runtime.add(network, attachment)
        assert scripted.held == set()
        assert [str(call) for call in scripted.calls][-1] == "DEL first"
        gate.open.set()
        runtime.add(network, attachment)


def test_a_second_ctrl_c_raises_at_once_and_loses_nothing(
    opened: OpenRuntime,
    network: NetworkConfig,
    attachment: Attachment,
    scripted: ScriptedRunner,
    state_dir: Path,
) -> None:
    undoing = Gate(scripted, "second", "DEL")
    gate = Gate(undoing, "third", "ADD")  # type: ignore[arg-type]
    with opened(runner=gate) as runtime:
        with ctrl_c_at(gate.reached, undoing.reached), pytest.raises(KeyboardInterrupt):
            runtime.add(network, attachment)
        assert scripted.held == {"first/c1/eth0", "second/c1/eth0"}
        undoing.open.set()
    assert scripted.held == set()
    assert records(state_dir) == []


def test_ctrl_c_while_it_is_left_is_raised_when_all_is_undone(
    opened: OpenRuntime, network: NetworkConfig, attachment: Attachment, scripted: ScriptedRunner
) -> None:
    undoing = Gate(scripted, "second", "DEL")
    gate = Gate(undoing, "third", "ADD")  # type: ignore[arg-type]
    with ThreadPoolExecutor() as pool:

        def press_and_open() -> None:
            assert undoing.reached.wait(SECONDS)
            press_ctrl_c()
            undoing.open.set()

        leaving = ExitStack()
        runtime = leaving.enter_context(opened(runner=gate))
        adding = pool.submit(runtime.add, network, attachment)
        assert gate.reached.wait(SECONDS)
        pressing = pool.submit(press_and_open)
        with pytest.raises(KeyboardInterrupt):
            leaving.close()
        assert scripted.held == set()
        assert isinstance(adding.exception(), RuntimeClosed)
        pressing.result()


def test_wherever_ctrl_c_strikes_nothing_is_left(
    opened: OpenRuntime,
    network: NetworkConfig,
    attachment: Attachment,
    scripted: ScriptedRunner,
    state_dir: Path,
) -> None:
    """At each event of an ADD, the last one included, after which nothing can be cancelled."""
    told: list[Event] = []
    struck: set[int] = set()

    def observe(event: Event) -> None:
        told.append(event)
        if len(told) in struck:
            press_ctrl_c()

    with opened(observers=[observe]) as runtime:
        runtime.add(network, attachment)
        events = len(told)
        runtime.delete(attachment)
        for point in range(1, events + 1):
            told.clear()
            struck = {point}
            with pytest.raises(KeyboardInterrupt):
                runtime.add(network, attachment)
            assert scripted.held == set()
            assert records(state_dir) == []
    assert events > 5


def test_what_a_signal_handler_raises_undoes_too(
    opened: OpenRuntime, network: NetworkConfig, attachment: Attachment, scripted: ScriptedRunner
) -> None:
    def stop(number: int, frame: object) -> None:
        raise SystemExit(number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        scripted.tell("third", "ADD", Behaviour(seconds=3600))
        gate = Gate(scripted, "third", "ADD")
        with opened(runner=gate) as runtime, ThreadPoolExecutor() as pool:
            ending = pool.submit(strike, signal.SIGTERM, gate.reached)
            with pytest.raises(SystemExit):
                runtime.add(network, attachment)
            ending.result()
            assert scripted.held == set()
    finally:
        signal.signal(signal.SIGTERM, before)


# --- in a running loop -------------------------------------------------------


@pytest.mark.anyio
async def test_a_worker_thread_of_a_running_loop_may_call(
    opened: OpenRuntime, network: NetworkConfig, attachment: Attachment, scripted: ScriptedRunner
) -> None:
    def attach_and_detach() -> str:
        with opened() as runtime:
            result = runtime.add(network, attachment)
            runtime.delete(attachment)
            return str(result.ipv4)

    assert await anyio.to_thread.run_sync(attach_and_detach) == "192.0.2.7"
    assert scripted.held == set()


@pytest.mark.anyio
async def test_cancelling_the_task_that_waits_for_a_worker_thread_undoes(
    opened: OpenRuntime, network: NetworkConfig, attachment: Attachment, scripted: ScriptedRunner
) -> None:
    gate = Gate(scripted, "third", "ADD")
    with opened(runner=gate) as runtime:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, partial(runtime.add, network, attachment))
            assert await anyio.to_thread.run_sync(gate.reached.wait, SECONDS)
            tasks.cancel_scope.cancel()
        assert scripted.held == set()
        assert runtime.attachments() == ()


@pytest.mark.anyio
async def test_a_call_that_blocks_a_running_loop_is_done_on_the_runtime_s_own(  # noqa: ASYNC124
    opened: OpenRuntime, network: NetworkConfig, attachment: Attachment
) -> None:
    with opened() as runtime:
        runtime.add(network, attachment)
        runtime.delete(attachment)


# --- calling back ------------------------------------------------------------


def test_an_observer_that_calls_the_runtime_is_refused(
    opened: OpenRuntime,
    network: NetworkConfig,
    attachment: Attachment,
    caplog: pytest.LogCaptureFixture,
) -> None:
    runtimes: list[Runtime] = []

    def call_back(event: Event) -> None:
        if isinstance(event, OperationStarted):
            runtimes[0].attachments()

    with opened(observers=[call_back]) as runtime, caplog.at_level(logging.ERROR):
        runtimes.append(runtime)
        runtime.add(network, attachment)
    (record,) = caplog.records
    assert record.exc_info
    assert isinstance(record.exc_info[1], RuntimeError)
    assert "own thread" in str(record.exc_info[1])


def test_observers_see_the_context_of_whoever_called(
    opened: OpenRuntime, network: NetworkConfig
) -> None:
    span = ContextVar("span", default="none")
    seen: list[str] = []

    with opened(observers=[lambda _: seen.append(span.get())]) as runtime:
        span.set("mine")
        runtime.status(network)
    assert set(seen) == {"mine"}


def test_keep_is_called_in_the_thread_that_called_and_may_look(
    opened: OpenRuntime, network: NetworkConfig, attachment: Attachment
) -> None:
    asked: list[threading.Thread] = []

    def keep() -> list[AttachmentId]:
        asked.append(threading.current_thread())
        return [AttachmentId(found.container_id) for found in runtime.attachments()]

    with opened() as runtime:
        runtime.add(network, attachment)
        assert runtime.gc(network, keep=keep).kept == (attachment.id,)
        assert asked == [threading.current_thread()]


def test_what_keep_raises_is_raised(
    opened: OpenRuntime, network: NetworkConfig, attachment: Attachment, scripted: ScriptedRunner
) -> None:
    def fail() -> list[AttachmentId]:
        raise ValueError("the database is gone")

    def interrupt() -> list[AttachmentId]:
        raise KeyboardInterrupt

    with opened() as runtime:
        runtime.add(network, attachment)
        with pytest.raises(ValueError, match="the database is gone"):
            runtime.gc(network, keep=fail)
        with pytest.raises(KeyboardInterrupt):
            runtime.gc(network, keep=interrupt)
        runtime.check(attachment)
    assert "DEL first" not in map(str, scripted.calls)


def test_keep_that_attaches_gets_no_answer_in_time(
    opened: OpenRuntime, network: NetworkConfig, attachment: Attachment
) -> None:
    def attach() -> list[Attachment]:
        runtime.add(network, attachment)
        return [attachment]

    with opened(timeouts=Timeouts(gc=1)) as runtime:
        with pytest.raises(Busy, match="keep gave no answer"):
            runtime.gc(network, keep=attach)
        runtime.check(attachment)


# --- attached ----------------------------------------------------------------


def test_a_block_has_a_result_runs_programs_inside_and_is_detached(
    opened: OpenRuntime, network: NetworkConfig, scripted: ScriptedRunner
) -> None:
    with opened() as runtime:
        with runtime.attached(network, "job-1", timeout=SECONDS) as box:
            assert str(box.result.ipv4) == "192.0.2.7"
            listed = box.run(["ip", "-o", "link", "show", "up"], timeout=SECONDS)
            assert b"lo:" in listed.stdout
            with pytest.raises(TimeoutError):
                box.run(["sleep", "30"], timeout=0.2)
            assert len(scripted.held) == 3
        assert scripted.held == set()
        with pytest.raises(ValueError, match="mine"), runtime.attached(network, "job-1"):
            raise ValueError("mine")
        assert scripted.held == set()


def test_a_block_that_is_not_entered_in_time_is_undone(
    opened: OpenRuntime, network: NetworkConfig, scripted: ScriptedRunner
) -> None:
    scripted.tell("third", "ADD", Behaviour(seconds=3600))
    with opened() as runtime:
        with pytest.raises(TimeoutError), runtime.attached(network, "job-1", timeout=0.3):
            raise AssertionError("entered")
        assert scripted.held == set()


def test_the_error_of_a_block_is_not_replaced_by_that_of_its_end(
    opened: OpenRuntime, network: NetworkConfig, scripted: ScriptedRunner
) -> None:
    scripted.tell("first", "DEL", Behaviour.failing())
    with opened() as runtime:
        with pytest.raises(ValueError, match="mine") as caught, runtime.attached(network, "a"):
            raise ValueError("mine")
        assert "did not finish" in caught.value.__notes__[0]
        with pytest.raises(acni.CleanupIncomplete), runtime.attached(network, "b"):
            pass
        assert len(runtime.debts()) == 2


# --- leaving -----------------------------------------------------------------


def test_leaving_undoes_what_other_threads_are_at(
    opened: OpenRuntime, network: NetworkConfig, attachment: Attachment, scripted: ScriptedRunner
) -> None:
    gate = Gate(scripted, "third", "ADD")
    with ThreadPoolExecutor() as pool:
        with opened(runner=gate) as runtime:
            adding = pool.submit(runtime.add, network, attachment)
            assert gate.reached.wait(SECONDS)
        assert scripted.held == set()
        with pytest.raises(RuntimeClosed) as caught:
            adding.result(SECONDS)
        assert caught.value.rollback is not None


def test_leaving_detaches_the_blocks_of_other_threads_and_kills_what_runs_there(
    opened: OpenRuntime, network: NetworkConfig, scripted: ScriptedRunner, state_dir: Path
) -> None:
    entered = threading.Barrier(3)
    ended: list[bool] = []

    def hold(name: str) -> None:
        with runtime.attached(network, name) as box:
            entered.wait(SECONDS)
            try:
                box.run(["sleep", "3600"], timeout=3600)
            finally:
                ended.append(True)

    def hold_idly(name: str) -> None:
        with runtime.attached(network, name):
            entered.wait(SECONDS)
            left.wait(SECONDS)

    left = threading.Event()
    with ThreadPoolExecutor() as pool:
        with opened() as runtime:
            jobs = [pool.submit(hold, "job-1"), pool.submit(hold_idly, "job-2")]
            entered.wait(SECONDS)
        left.set()
        assert scripted.held == set()
        assert records(state_dir) == []
        for job in jobs:
            assert isinstance(job.exception(SECONDS), RuntimeClosed)
    assert ended


def test_after_it_was_left_everything_is_refused(
    opened: OpenRuntime, network: NetworkConfig, attachment: Attachment, scripted: ScriptedRunner
) -> None:
    with opened() as runtime:
        pass
    for refused in (
        runtime.debts,
        partial(runtime.network, "net"),
        partial(runtime.add, network, attachment),
        runtime.attached(network, "job-1").__enter__,
    ):
        with pytest.raises(RuntimeClosed):
            refused()
    assert scripted.calls == []


def test_what_cannot_be_opened_says_why(opened: OpenRuntime, tmp_path: Path) -> None:
    for settings, kind in (
        ({"plugin_dirs": ["relative"]}, ConfigError),
        ({"backend": "curio"}, ConfigError),
        ({"state_dir": Path("/proc/nowhere")}, StoreError),
    ):
        with pytest.raises(kind) as caught, opened(**settings):
            raise AssertionError("opened")
        assert caught.value.__context__ is None or isinstance(caught.value.__context__, OSError)


def test_two_runtimes_of_one_state_directory_wait_for_each_other(
    opened: OpenRuntime, network: NetworkConfig, attachment: Attachment, scripted: ScriptedRunner
) -> None:
    gate = Gate(scripted, "third", "ADD")
    with opened(runner=gate) as one, opened() as other, ThreadPoolExecutor() as pool:
        adding = pool.submit(one.add, network, attachment)
        assert gate.reached.wait(SECONDS)
        deleting = pool.submit(other.delete, attachment)
        gate.open.set()
        adding.result(SECONDS)
        deleting.result(SECONDS)
    assert scripted.held == set()

"""One plugin's DEL: run again where that helps, and in a stand-in where the namespace is gone."""

from __future__ import annotations

import contextlib
import json
import os
import resource
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from acni import (
    Attachment,
    AttachmentId,
    Busy,
    CleanupIncomplete,
    NetworkConfig,
    PluginFailed,
    PluginKilled,
    PluginNotFound,
    TryAgain,
    netns,
    parse_network,
)
from acni.engine.habits import HABITS
from acni.events import Event, PluginFinished
from acni.spec.plugin import Plugin, Request, Response
from acni.testing import Behaviour, ScriptedRunner, cancelled_at

pytestmark = [pytest.mark.anyio, pytest.mark.netns]

C1 = AttachmentId("c1")
RETRIED = [habit.plugin for habit in HABITS if habit.retries]
NOT_RETRIED = [habit.plugin for habit in HABITS if not habit.retries]
STOOD_IN = [habit.plugin for habit in HABITS if habit.needs_stand_in]
NOT_STOOD_IN = [habit.plugin for habit in HABITS if not habit.needs_stand_in]

NOW = Behaviour.failing(11, "not now")
KILLED = Behaviour(signal=9)
REFUSED = Behaviour.failing(999, "it is used")

RESULT: Mapping[str, Any] = {
    "cniVersion": "1.0.0",
    "interfaces": [
        {"name": "eth0"},
        {"name": "eth0", "sandbox": "/run/netns/x"},
        {"name": "eth1", "sandbox": "/run/netns/x"},
    ],
    "ips": [
        {"address": "192.0.2.1/24", "interface": 0},
        {"address": "192.0.2.7/24", "interface": 1},
        {"address": "2001:db8::7/64", "interface": 1},
        {"address": "192.0.2.8/24", "interface": 2},
        {"address": "198.51.100.9/32"},
    ],
}


class InTurn(ScriptedRunner):
    """A double that looks into the namespace that it is given, and whose DELs answer in turn."""

    def __init__(self, *answers: Behaviour) -> None:
        super().__init__()
        self.answers = list(answers)
        self.seen: list[Sequence[str] | None] = []
        self.paths: list[str] = []

    async def run(self, plugin: Plugin, request: Request, **bounds: Any) -> Response:
        if request.environment["CNI_COMMAND"] == "DEL":
            if self.answers:
                self.tell(plugin.type, "DEL", self.answers.pop(0))
            self.look(request.environment["CNI_NETNS"])
        return await super().run(plugin, request, **bounds)

    def look(self, path: str) -> None:
        self.paths.append(path)
        if not path:
            self.seen.append(None)
            return
        shown = json.loads(netns.run(path, ["ip", "-json", "addr"], timeout=10).stdout)
        self.seen.append(
            [
                f"{address['local']}/{address['prefixlen']}"
                for link in shown
                if link["ifname"] == "eth0"
                for address in link["addr_info"]
            ]
        )


def made(*kinds: str) -> NetworkConfig:
    plugins = [{"type": kind} for kind in kinds]
    document = {"cniVersion": "1.0.0", "name": "net", "plugins": plugins}
    return parse_network(json.dumps(document).encode())


def telling(kind: str, runner: ScriptedRunner, result: Mapping[str, Any] = RESULT) -> None:
    runner.tell(kind, "ADD", Behaviour(stdout=json.dumps(result)))


def first_errors(events: list[Event]) -> list[str | None]:
    return [
        event.first_error
        for event in events
        if isinstance(event, PluginFinished) and event.command == "DEL"
    ]


def open_descriptors() -> list[str]:
    found = []
    for fd in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that lists them
            found.append(str(fd.readlink()))
    return sorted(target for target in found if target.startswith("net:"))


@pytest.mark.rule("R45")
@pytest.mark.parametrize(
    ("kind", "failure", "said"),
    [
        pytest.param("plain", NOW, "TryAgain plain code 11 not now", id="not-now"),
        pytest.param("plain", KILLED, "PluginKilled plain", id="killed"),
        *(
            pytest.param(kind, REFUSED, f"PluginFailed {kind} code 999 it is used", id=kind)
            for kind in RETRIED
        ),
    ],
)
async def test_a_failure_that_passes_is_met_at_once_and_stays_in_the_event(
    kind: str,
    failure: Behaviour,
    said: str,
    open_with: Any,
    attachment: Attachment,
    events: list[Event],
) -> None:
    runner = InTurn(failure, Behaviour())
    async with open_with(runner) as runtime:
        await runtime.add(made("other", kind), attachment)
        runner.calls.clear()
        await runtime.delete(C1)
        assert await runtime.debts() == ()
    assert list(map(str, runner.calls)) == [f"DEL {kind}", f"DEL {kind}", "DEL other"]
    assert first_errors(events) == [None, said, None]
    assert runner.held == set()


@pytest.mark.rule("R45")
@pytest.mark.parametrize(
    ("kind", "failures", "error", "runs"),
    [
        *(pytest.param(kind, [REFUSED], PluginFailed, 1, id=kind) for kind in NOT_RETRIED),
        pytest.param("bridge", [Behaviour(status=1, stdout="")], None, 1, id="without an object"),
        pytest.param("bridge", [REFUSED, NOW], TryAgain, 2, id="refused-not-now"),
        pytest.param("plain", [NOW, KILLED], PluginKilled, 2, id="not-now-killed"),
        pytest.param("plain", [KILLED, REFUSED], PluginFailed, 2, id="killed-refused"),
    ],
)
async def test_any_other_failure_is_owed_and_so_is_a_second_one(
    kind: str,
    failures: list[Behaviour],
    error: type[Exception] | None,
    runs: int,
    open_with: Any,
    attachment: Attachment,
) -> None:
    runner = InTurn(*failures)
    async with open_with(runner) as runtime:
        await runtime.add(made(kind), attachment)
        runner.calls.clear()
        with pytest.raises(CleanupIncomplete) as caught:
            await runtime.delete(C1)
        assert len(await runtime.debts()) == 1
    assert len(runner.calls) == runs
    cause = caught.value.__cause__
    assert cause is not None
    assert error is None or type(cause) is error
    assert bool(getattr(cause, "__notes__", [])) == (runs > 1)


async def test_what_is_out_of_time_is_not_run_again(
    open_with: Any, attachment: Attachment, events: list[Event]
) -> None:
    runner = InTurn(Behaviour(seconds=60))
    async with open_with(runner, delete=1.0) as runtime:
        await runtime.add(made("bridge"), attachment)
        runner.calls.clear()
        with pytest.raises(CleanupIncomplete, match="ran out of time"):
            await runtime.delete(C1)
    assert len(runner.calls) == 1


async def test_what_failed_at_the_end_of_its_time_is_not_run_again(
    open_with: Any, attachment: Attachment
) -> None:
    class Late(InTurn):
        async def run(self, plugin: Plugin, request: Request, **bounds: Any) -> Response:
            response = await super().run(plugin, request, **bounds)
            if request.environment["CNI_COMMAND"] == "DEL":
                await anyio.sleep_until(bounds["deadline"])
            return response

    runner = Late(NOW)
    async with open_with(runner, delete=1.0) as runtime:
        await runtime.add(made("plain"), attachment)
        runner.calls.clear()
        with pytest.raises(CleanupIncomplete, match="not now"):
            await runtime.delete(C1)
    assert len(runner.calls) == 1


async def test_a_plugin_that_vanished_between_its_two_runs_is_what_is_told(
    open_with: Any, attachment: Attachment
) -> None:
    class Vanishing(InTurn):
        async def run(self, plugin: Plugin, request: Request, **bounds: Any) -> Response:
            response = await super().run(plugin, request, **bounds)
            if request.environment["CNI_COMMAND"] == "DEL":
                self.remove(plugin.type)
            return response

    async with open_with(Vanishing(NOW)) as runtime:
        await runtime.add(made("plain"), attachment)
        with pytest.raises(CleanupIncomplete) as caught:
            await runtime.delete(C1)
    assert isinstance(caught.value.__cause__, PluginNotFound)
    assert caught.value.__cause__.__notes__ == [
        "it was run again after TryAgain plain code 11 not now"
    ]


@pytest.mark.parametrize("kind", STOOD_IN)
async def test_a_stand_in_holds_what_was_recorded_of_the_interface(
    kind: str, open_with: Any, box: netns.Namespace, attachment: Attachment
) -> None:
    before = open_descriptors()
    runner = InTurn()
    telling(kind, runner)
    async with open_with(runner) as runtime:
        await runtime.add(made(kind, "plain"), attachment)
        box.close()
        await runtime.delete(C1)
    nothing, addresses = runner.seen
    assert nothing is None
    assert addresses == ["192.0.2.7/24", "198.51.100.9/32", "2001:db8::7/64"]
    assert not any(map(os.path.exists, runner.paths))
    assert len(open_descriptors()) == len(before) - 1


@pytest.mark.parametrize("kind", ["plain", *NOT_STOOD_IN])
async def test_no_other_plugin_gets_one(
    kind: str, open_with: Any, box: netns.Namespace, attachment: Attachment
) -> None:
    runner = InTurn()
    async with open_with(runner) as runtime:
        await runtime.add(made(kind), attachment)
        box.close()
        await runtime.delete(C1)
    assert runner.seen == [None]


@pytest.mark.parametrize("kind", STOOD_IN)
async def test_nobody_gets_one_while_the_namespace_stands(
    kind: str, open_with: Any, box: netns.Namespace, attachment: Attachment
) -> None:
    runner = InTurn()
    async with open_with(runner) as runtime:
        await runtime.add(made(kind), attachment)
        await runtime.delete(C1)
    assert runner.paths == [box.path]


async def test_a_namespace_that_took_the_path_is_not_touched(
    open_with: Any, tmp_path: Path
) -> None:
    path = tmp_path / "box"
    runner = InTurn()
    telling("bridge", runner)
    async with open_with(runner) as runtime:
        with netns.anonymous() as old, netns.pin(old, path):
            await runtime.add(made("bridge"), Attachment(container_id="c1", netns=str(path)))
        with netns.anonymous() as new, netns.pin(new, path):
            await runtime.delete(C1)
            assert not new.has_interface("eth0")
    assert str(path) not in runner.paths
    assert runner.seen == [["192.0.2.7/24", "198.51.100.9/32", "2001:db8::7/64"]]


@pytest.mark.parametrize(("plugin", "seen"), [("bridge", [None]), ("sbr", [[]])])
async def test_what_is_of_an_earlier_boot_gets_none_but_where_it_would_be_owed_for_ever(
    plugin: str,
    seen: list[Any],
    open_with: Any,
    box: netns.Namespace,
    attachment: Attachment,
    state_dir: Path,
) -> None:
    runner = InTurn()
    telling(plugin, runner)
    async with open_with(runner) as runtime:
        await runtime.add(made(plugin), attachment)
    record = state_dir / "results" / "net-c1-eth0"
    document = json.loads(record.read_text())
    document["acni"]["boot"] = "00000000-0000-0000-0000-000000000000"
    record.write_text(json.dumps(document))
    async with open_with(runner) as runtime:
        await runtime.delete(C1)
    assert runner.seen == seen


async def test_each_run_has_its_own(
    open_with: Any, box: netns.Namespace, attachment: Attachment
) -> None:
    """The first may have deleted the link before it failed."""
    runner = InTurn(REFUSED, Behaviour())
    telling("bridge", runner)
    async with open_with(runner) as runtime:
        await runtime.add(made("bridge"), attachment)
        box.close()
        await runtime.delete(C1)
    assert runner.seen == [["192.0.2.7/24", "198.51.100.9/32", "2001:db8::7/64"]] * 2


async def test_the_undo_of_an_add_without_a_result_has_a_link_without_addresses(
    open_with: Any, box: netns.Namespace, attachment: Attachment
) -> None:
    class Ending(InTurn):
        async def run(self, plugin: Plugin, request: Request, **bounds: Any) -> Response:
            if request.environment["CNI_COMMAND"] == "ADD":
                box.close()
            return await super().run(plugin, request, **bounds)

    runner = Ending()
    runner.tell("sbr", "ADD", REFUSED)
    async with open_with(runner) as runtime:
        with pytest.raises(PluginFailed) as caught:
            await runtime.add(made("sbr"), attachment)
    assert caught.value.debt is None
    assert runner.seen == [[]]


async def test_where_none_can_be_made_that_is_warned_of_and_the_delete_goes_on(
    open_with: Any, box: netns.Namespace, caplog: pytest.LogCaptureFixture
) -> None:
    runner = InTurn()
    attachment = Attachment(container_id="c1", netns=box.path, ifname="lo")
    async with open_with(runner) as runtime:
        await runtime.add(made("bridge"), attachment)
        box.close()
        await runtime.delete(attachment.id)
    assert runner.seen == [None]
    (warned,) = (record.getMessage() for record in caplog.records)
    assert warned.startswith("there is no stand-in for namespaces that are gone: ")


async def test_without_room_for_one_the_rest_is_owed(
    open_with: Any, box: netns.Namespace, attachment: Attachment
) -> None:
    class Filling(InTurn):
        async def run(self, plugin: Plugin, request: Request, **bounds: Any) -> Response:
            if plugin.type == "last" and request.environment["CNI_COMMAND"] == "DEL":
                lowest_free = os.dup(0)
                os.close(lowest_free)
                resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
            return await super().run(plugin, request, **bounds)

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    runner = Filling()
    async with open_with(runner) as runtime:
        await runtime.add(made("bridge", "last"), attachment)
        box.close()
        try:
            with pytest.raises(CleanupIncomplete) as caught:
                await runtime.delete(C1)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert isinstance(caught.value.__cause__, Busy)
        assert (caught.value.plugin, caught.value.index) == ("bridge", 0)
        runner.calls.clear()
        await runtime.delete(C1)
    assert list(map(str, runner.calls)) == ["DEL bridge"]
    assert runner.seen[-1] == ["192.0.2.7/24"]


async def test_cancelled_anywhere_it_leaves_no_namespace(
    open_with: Any, attachment: Attachment
) -> None:
    network = made("bridge")
    for point in range(1, 100):
        runner = InTurn()
        telling("bridge", runner)
        async with open_with(runner) as runtime:
            with netns.anonymous() as box:
                await runtime.add(network, Attachment(container_id="c1", netns=box.path))
            before = open_descriptors()
            suspended, _ = await cancelled_at(point, runtime.delete(C1))
            assert open_descriptors() == before
            await runtime.delete(C1, missing_ok=True)
            assert open_descriptors() == before
        assert not any(map(os.path.exists, runner.paths))
        if suspended < point:
            break
    else:
        raise AssertionError("the delete never ended")

"""By which kind of runner an attachment's plugins are run: by the one that its ADD was run by."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import Factory, define

import acni
from acni import events, netns
from acni.engine.runtime import Runtime, open_runtime
from acni.events import Event
from acni.plugins.builtins import BuiltIns
from acni.plugins.selection import ExecutablesFirst
from acni.skel import Call, PluginError, Verbs, make_result
from acni.spec.result import IpConfig, Result
from acni.testing import RecordingPlugins

pytestmark = [pytest.mark.anyio, pytest.mark.netns]

CONFIG = {"cniVersion": "1.1.0", "name": "net", "plugins": [{"type": "probe"}]}


@define(eq=False)
class Node:
    """A node where ``probe`` is built in, and may be an executable as well."""

    state: Path
    plugins: RecordingPlugins
    box: netns.Namespace
    fails_on: str = ""
    calls: list[str] = Factory(list[str])
    told: list[Event] = Factory(list[Event])

    def verbs(self) -> Verbs:
        def note(call: Call) -> None:
            self.calls.append(call.command)
            if self.fails_on == call.command:
                raise PluginError(100, "told to fail", details="tell it not to", reason="told")

        def add(call: Call) -> Result:
            note(call)
            address = IpConfig(address="10.88.0.2/16", gateway=None, interface=None)
            return make_result(ips=[address])

        return Verbs(add=add, delete=note, check=note, gc=note, status=note)

    def install(self) -> None:
        self.plugins.install("probe")

    def remove(self) -> None:
        self.plugins.remove("probe")

    @property
    def executed(self) -> list[str]:
        return [call.command for call in self.plugins.calls]

    @property
    def attachment(self) -> acni.Attachment:
        return acni.Attachment(container_id="c1", netns=self.box)

    @property
    def record(self) -> Path:
        return self.state / "results" / "net-c1-eth0"

    @asynccontextmanager
    async def runtime(self, kind: Callable[[Node], Any] | None = None) -> AsyncGenerator[Runtime]:
        make = kind or both
        with make(self) as runner:
            async with open_runtime(
                state_dir=self.state,
                plugin_dirs=[self.plugins.directory],
                runner=runner,
                observers=[self.told.append],
                recover=False,
            ) as runtime:
                yield runtime


def both(node: Node) -> ExecutablesFirst:
    return ExecutablesFirst(built_ins=built_ins_only(node))


def built_ins_only(node: Node) -> BuiltIns:
    return BuiltIns(plugins={"probe": node.verbs()})


NETWORK = acni.parse_network(json.dumps(CONFIG).encode())


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with netns.anonymous() as box:
        plugins = RecordingPlugins(tmp_path / "plugins")
        plugins.install()
        yield Node(tmp_path / "state", plugins, box)


async def test_a_built_in_runs_where_there_is_no_executable(node: Node) -> None:
    async with node.runtime() as runtime:
        result = await runtime.add(NETWORK, node.attachment)
        assert str(result.ipv4) == "10.88.0.2"
        (record,) = await runtime.attachments()
        assert record.runners == ("builtin",)
        await runtime.check(node.attachment)
        await runtime.delete(node.attachment)
    assert node.calls == ["ADD", "CHECK", "DEL"]


async def test_an_executable_runs_where_there_is_one(node: Node) -> None:
    node.install()
    async with node.runtime() as runtime:
        await runtime.add(NETWORK, node.attachment)
        (record,) = await runtime.attachments()
        assert record.runners == ("executable",)
        await runtime.delete(node.attachment)
    assert (node.executed, node.calls) == (["ADD", "DEL"], [])
    assert [event for event in node.told if isinstance(event, events.BuiltInChosen)] == []


async def test_that_it_is_built_in_is_told_once(node: Node) -> None:
    async with node.runtime() as runtime:
        for _ in range(2):
            await runtime.add(NETWORK, node.attachment)
            await runtime.delete(node.attachment)
    (told,) = [event for event in node.told if isinstance(event, events.BuiltInChosen)]
    assert told.plugin == "probe"
    assert told.reason == f"no executable in {node.plugins.directory}"


async def test_what_a_built_in_added_an_executable_neither_checks_nor_deletes(node: Node) -> None:
    async with node.runtime() as runtime:
        await runtime.add(NETWORK, node.attachment)
    node.install()
    async with node.runtime() as runtime:
        await runtime.check(node.attachment)
        await runtime.delete(node.attachment)
    assert (node.executed, node.calls) == ([], ["ADD", "CHECK", "DEL"])
    assert not node.record.exists()


async def test_what_an_executable_added_a_built_in_neither_checks_nor_deletes(node: Node) -> None:
    node.install()
    async with node.runtime() as runtime:
        await runtime.add(NETWORK, node.attachment)
    node.remove()
    async with node.runtime() as runtime:
        with pytest.raises(acni.PluginNotFound):
            await runtime.check(node.attachment)
        with pytest.raises(acni.CleanupIncomplete) as caught:
            await runtime.delete(node.attachment)
        assert isinstance(caught.value.__cause__, acni.PluginNotFound)
        assert [debt.plugin for debt in await runtime.debts()] == ["probe"]
    assert node.calls == []
    # What is owed is not the built-in's either, until the executable is back.
    node.install()
    async with node.runtime() as runtime:
        assert not (await runtime.recover()).failures
    assert (node.executed, node.calls) == (["ADD", "DEL"], [])


async def test_what_is_owed_of_a_built_in_is_the_built_in_s(node: Node) -> None:
    node.fails_on = "DEL"
    async with node.runtime() as runtime:
        await runtime.add(NETWORK, node.attachment)
        with pytest.raises(acni.CleanupIncomplete) as caught:
            await runtime.delete(node.attachment)
    assert (caught.value.reason, caught.value.details) == ("told", "tell it not to")
    assert caught.value.debt is not None
    assert caught.value.debt.cause == "PluginFailed probe code 100 told to fail (told)"
    node.install()
    node.fails_on = ""
    async with node.runtime() as runtime:
        assert not (await runtime.recover()).failures
    assert node.executed == []
    assert node.calls == ["ADD", "DEL", "DEL"]


async def test_an_undo_is_run_by_what_the_add_was_run_by(node: Node) -> None:
    node.fails_on = "ADD"
    node.told = []
    async with node.runtime() as runtime:
        with pytest.raises(acni.PluginFailed):
            await runtime.add(NETWORK, node.attachment)
    assert node.calls == ["ADD", "DEL"]


async def test_an_executable_that_comes_in_the_middle_of_an_add_undoes_nothing(node: Node) -> None:
    def fail_late(call: Call) -> Result:
        node.install()
        node.calls.append(call.command)
        raise PluginError(100, "told to fail")

    verbs = Verbs(add=fail_late, delete=lambda call: node.calls.append(call.command))
    async with node.runtime(
        lambda _: ExecutablesFirst(built_ins=BuiltIns(plugins={"probe": verbs}))
    ) as runtime:
        with pytest.raises(acni.PluginFailed):
            await runtime.add(NETWORK, node.attachment)
    assert (node.executed, node.calls) == ([], ["ADD", "DEL"])


_DIES = """
import json, os, signal, sys
import anyio, acni
from acni.plugins.builtins import BuiltIns
from acni.skel import Verbs
state, directory, path, config = sys.argv[1:]
def dies(call):
    if call.ipam.type:
        call.ipam.add()
    os.kill(os.getpid(), signal.SIGKILL)
async def main():
    runner = BuiltIns(plugins={"probe": Verbs(add=dies, delete=dies)})
    async with acni.open_runtime(
        state_dir=state,
        plugin_dirs=[directory],
        runner=runner,
        timeouts=acni.Timeouts(add=0.5, grace=0.1),
        recover=False,
    ) as runtime:
        attachment = acni.Attachment(container_id="c1", netns=path)
        await runtime.add(acni.parse_network(config.encode()), attachment)
anyio.run(main)
"""


async def killed_in_add(node: Node, config: object) -> None:
    argv = [sys.executable, "-c", _DIES, str(node.state), node.plugins.directory, node.box.path]
    killed = await anyio.run_process([*argv, json.dumps(config)], check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr


async def test_what_a_killed_built_in_delegated_to_is_ended_before_its_undo(node: Node) -> None:
    """It does not end with its process, and would go on behind the DEL."""
    ipam = Path(node.plugins.directory) / "slow"
    ipam.write_text("#!/bin/sh\nkill -9 $PPID\nsleep 60\necho late\n")
    ipam.chmod(0o755)
    config = {**CONFIG, "plugins": [{"type": "probe", "ipam": {"type": "slow"}}]}
    await killed_in_add(node, config)
    async with node.runtime() as runtime:
        assert not (await runtime.recover()).failures
    (waited,) = [event for event in node.told if isinstance(event, events.OrphanWaited)]
    assert len(waited.ended) == 1
    assert waited.daemons == ()
    assert node.calls == ["DEL"]


async def test_an_add_that_was_killed_is_undone_by_what_it_was_run_by(node: Node) -> None:
    await killed_in_add(node, CONFIG)
    node.install()
    async with node.runtime() as runtime:
        report = await runtime.recover()
        assert not report.failures
        assert len(report.settled) == 1
    assert (node.executed, node.calls) == ([], ["DEL"])


@pytest.mark.parametrize("is_installed", [False, True])
async def test_what_another_writer_recorded_no_built_in_deletes(
    node: Node, *, is_installed: bool
) -> None:
    async with node.runtime() as runtime:
        await runtime.add(NETWORK, node.attachment)
    recorded = json.loads(node.record.read_bytes())
    del recorded["acni"]
    node.record.write_text(json.dumps(recorded))
    if is_installed:
        node.install()
    async with node.runtime() as runtime:
        if is_installed:
            await runtime.delete(node.attachment)
        else:
            with pytest.raises(acni.CleanupIncomplete):
                await runtime.delete(node.attachment)
            assert (await runtime.recover()).failures
    assert node.calls == ["ADD"]
    assert node.executed == (["DEL"] if is_installed else [])


@pytest.mark.parametrize("is_installed", [False, True])
async def test_what_no_record_knows_is_deleted_as_it_would_be_added_now(
    node: Node, *, is_installed: bool
) -> None:
    if is_installed:
        node.install()
    async with node.runtime() as runtime:
        await runtime.delete(node.attachment, network=NETWORK)
    assert node.calls == ([] if is_installed else ["DEL"])
    assert node.executed == (["DEL"] if is_installed else [])


async def test_what_is_owed_of_what_no_record_knew_stays_with_who_began_it(node: Node) -> None:
    node.fails_on = "DEL"
    async with node.runtime() as runtime:
        with pytest.raises(acni.CleanupIncomplete):
            await runtime.delete(node.attachment, network=NETWORK)
    node.install()
    node.fails_on = ""
    async with node.runtime() as runtime:
        assert not (await runtime.recover()).failures
    assert (node.executed, node.calls) == ([], ["DEL", "DEL"])


async def test_gc_asks_what_runs_now_and_what_ran_then(node: Node) -> None:
    async with node.runtime() as runtime:
        await runtime.add(NETWORK, node.attachment)
    node.install()
    async with node.runtime() as runtime:
        report = await runtime.gc(NETWORK, keep=[node.attachment])
        report.raise_for_failures()
    assert node.executed == ["GC"]
    assert node.calls == ["ADD", "GC"]


async def test_a_runner_of_executables_deletes_nothing_of_a_built_in(node: Node) -> None:
    async with node.runtime() as runtime:
        await runtime.add(NETWORK, node.attachment)
    node.install()
    async with node.runtime(lambda _: nullcontext(acni.Executables())) as runtime:
        with pytest.raises(acni.CleanupIncomplete, match="builtin"):
            await runtime.delete(node.attachment)
    async with node.runtime(built_ins_only) as runtime:
        await runtime.recover()
    assert (node.executed, node.calls) == ([], ["ADD", "DEL"])


async def test_a_runner_of_built_ins_deletes_nothing_of_an_executable(node: Node) -> None:
    node.install()
    async with node.runtime() as runtime:
        await runtime.add(NETWORK, node.attachment)
    async with node.runtime(built_ins_only) as runtime:
        with pytest.raises(acni.CleanupIncomplete, match="executable"):
            await runtime.delete(node.attachment)
    assert node.calls == []


async def test_an_executable_that_may_not_be_used_is_not_replaced_in_silence(node: Node) -> None:
    node.install()
    (Path(node.plugins.directory) / "probe").chmod(0o777)
    async with node.runtime() as runtime:
        with pytest.raises(acni.PluginNotFound, match="everybody"):
            await runtime.add(NETWORK, node.attachment)
    assert node.calls == []


async def test_built_ins_of_several_types_keep_their_answers_to_version_apart(node: Node) -> None:
    """None of them has a path."""
    other = Verbs(add=node.verbs().add, delete=node.verbs().delete, versions=("1.0.0",))
    runner = BuiltIns(plugins={"probe": node.verbs(), "other": other})
    plugins = [{"type": "probe"}, {"type": "other"}]
    config = {**CONFIG, "cniVersions": ["1.0.0", "1.1.0"], "plugins": plugins}
    network = acni.parse_network(json.dumps(config).encode())
    async with node.runtime(lambda _: runner) as runtime:
        for _ in range(2):
            result = await runtime.add(network, node.attachment)
            assert result.cni_version == "1.0.0"
            await runtime.delete(node.attachment)
        validation = await runtime.validate(network)
        assert validation.runners == (("probe", "builtin"), ("other", "builtin"))
    asked = [event for event in node.told if isinstance(event, events.PluginStarted)]
    versions = [event.plugin for event in asked if event.command == "VERSION"]
    assert versions == ["probe", "other"] * 2  # once for all ADDs, and validate asks anew


async def test_a_runtime_ends_the_threads_that_it_began_by_default(node: Node) -> None:
    network = acni.networks.from_plugins("lo", {"type": "loopback"}, version="1.1.0")
    attachment = acni.Attachment(container_id="c1", netns=node.box, ifname="lo")
    before = set(threading.enumerate())
    async with open_runtime(state_dir=node.state, plugin_dirs=[node.plugins.directory]) as runtime:
        result = await runtime.add(network, attachment)
        assert str(result.ipv4) == "127.0.0.1"
        await runtime.delete(attachment)
        assert "acni-plugin" in {thread.name for thread in threading.enumerate()}
    left = {thread.name for thread in threading.enumerate() if thread not in before}
    assert "acni-plugin" not in left

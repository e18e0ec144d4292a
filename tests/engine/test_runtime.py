"""The runtime: opened, used, left."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import anyio
import pytest

from acni import (
    Attachment,
    AttachmentId,
    AttachmentNotFound,
    ConfigError,
    NetworkConfig,
    NetworkNotFound,
    RuntimeClosed,
    StoreError,
    Timeouts,
    open_runtime,
)
from acni.engine.settings import DEFAULT_PATH
from acni.events import Event, PluginStarted
from acni.testing import Behaviour, RecordingPlugins, ScriptedRunner


@pytest.mark.netns
@pytest.mark.anyio
async def test_leaving_the_block_undoes_what_is_under_way(
    state_dir: Path, scripted: ScriptedRunner, network: NetworkConfig, attachment: Attachment
) -> None:
    scripted.tell("second", "ADD", Behaviour(seconds=60))
    caught: list[RuntimeClosed] = []
    started = anyio.Event()

    def observe(event: Event) -> None:
        if isinstance(event, PluginStarted) and event.plugin == "second":
            started.set()

    async def add() -> None:
        try:
            await runtime.add(network, attachment)
        except RuntimeClosed as error:
            caught.append(error)

    observers = [observe]
    async with (
        anyio.create_task_group() as tasks,
        open_runtime(
            state_dir=state_dir, plugin_dirs=["/p"], runner=scripted, observers=observers
        ) as runtime,
    ):
        tasks.start_soon(add)
        await started.wait()
    assert len(caught) == 1
    assert scripted.held == set()
    assert [str(call) for call in scripted.calls][-1] == "DEL first"


@pytest.mark.netns
@pytest.mark.anyio
async def test_draining_takes_no_more_and_waits_for_what_is_under_way(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, attachment: Attachment
) -> None:
    async with opened() as runtime, anyio.create_task_group() as tasks:
        with scripted.paused("second", "ADD") as reached:
            tasks.start_soon(runtime.add, network, attachment)
            await reached.wait()
            assert not await runtime.drain(0.01)
            with pytest.raises(RuntimeClosed):
                await runtime.attachments()
        assert await runtime.drain(60)
        assert await runtime.drain(0)
    assert scripted.held == {"first/c1/eth0", "second/c1/eth0", "third/c1/eth0"}


@pytest.mark.anyio
async def test_a_runtime_that_was_left_takes_nothing_more(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig
) -> None:
    async with opened() as runtime:
        pass
    with pytest.raises(RuntimeClosed):
        await runtime.add(network, Attachment(container_id="c1", netns="/x"))
    assert scripted.calls == []


@pytest.mark.anyio
async def test_a_network_is_loaded_from_the_configuration_directory(
    state_dir: Path, tmp_path: Path
) -> None:
    text = '{"cniVersion":"1.0.0","name":"net","plugins":[{"type":"first"}]}'
    (tmp_path / "a.conflist").write_text(text)
    (tmp_path / "b.conflist").write_text("{")
    async with open_runtime(state_dir=state_dir, conf_dir=tmp_path) as runtime:
        assert (await runtime.network("net")).name == "net"
        with pytest.raises(NetworkNotFound, match=r"b\.conflist"):
            await runtime.network("other")


@pytest.mark.anyio
async def test_a_network_is_what_its_file_says_whenever_it_is_asked_for(
    state_dir: Path, tmp_path: Path
) -> None:
    """Nothing watches the directory, so no change of it can be missed."""
    file = tmp_path / "10-net.conf"
    async with open_runtime(state_dir=state_dir, conf_dir=tmp_path) as runtime:
        for kind in ("first", "second"):
            with pytest.raises(NetworkNotFound):
                await runtime.network("net")
            (tmp_path / "05-other.conf").write_text(_single("other", kind))
            with pytest.raises(NetworkNotFound, match="there are: other"):
                await runtime.network("net")
            file.write_text(_single("net", kind))
            assert [plugin.type for plugin in (await runtime.network("net")).plugins] == [kind]
            file.write_text(_single("net", "third"))
            assert [plugin.type for plugin in (await runtime.network("net")).plugins] == ["third"]
            file.write_text(_single("renamed", "third"))
            assert (await runtime.network("renamed")).source == str(file)
            file.unlink()


def _single(name: str, kind: str) -> str:
    return json.dumps({"cniVersion": "0.3.1", "name": name, "type": kind})


@pytest.mark.rule("R54")
@pytest.mark.anyio
async def test_files_whose_network_has_an_earlier_one_are_warned_of_once(
    state_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for file, name in (("a", "net"), ("b", "net"), ("c", "other"), ("d", "other")):
        text = json.dumps({"cniVersion": "1.0.0", "name": name, "plugins": [{"type": "first"}]})
        (tmp_path / f"{file}.conflist").write_text(text)
    async with open_runtime(state_dir=state_dir, conf_dir=tmp_path) as runtime:
        for _ in range(2):
            assert (await runtime.network("net")).source == f"{tmp_path}/a.conflist"
    assert [record.getMessage() for record in caplog.records if record.name.startswith("acni")] == [
        f"{tmp_path}/b.conflist is not used: {tmp_path}/a.conflist is network net, too"
    ]


@pytest.mark.parametrize(
    ("parameters", "place"),
    [
        pytest.param({"plugin_dirs": ["relative"]}, "plugin_dirs[0]", id="relative directory"),
        pytest.param({"plugin_dirs": ["/a:/b"]}, "plugin_dirs[0]", id="separator"),
        pytest.param({"plugin_dirs": []}, "plugin_dirs", id="no directory"),
        pytest.param({"plugin_dirs": "/opt/cni/bin"}, "plugin_dirs", id="text"),
        pytest.param({"environment": {"CNI_ARGS": "x"}}, "environment", id="a CNI variable"),
        pytest.param({"environment": {"A": "b\0"}}, "environment", id="NUL"),
        pytest.param({"environment": {"A": "\ud800"}}, "environment", id="a lone surrogate"),
        pytest.param({"environment": {"A=B": "c"}}, "environment", id="name with ="),
    ],
)
@pytest.mark.anyio
async def test_a_bad_parameter_is_a_typed_error_and_makes_nothing(
    parameters: dict[str, Any], place: str, state_dir: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        async with open_runtime(state_dir=state_dir, **parameters):
            pass
    assert caught.value.place == place
    assert not state_dir.exists()


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan"), "5", None])
def test_a_bad_timeout_names_itself(seconds: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        Timeouts(undo=seconds)
    assert caught.value.place == "timeouts.undo"


@pytest.mark.anyio
async def test_a_state_directory_that_cannot_be_made_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError):
        async with open_runtime(state_dir=tmp_path / "file" / "state"):
            pass


@pytest.mark.netns
@pytest.mark.anyio
async def test_an_observer_that_raises_disturbs_nothing(
    state_dir: Path, scripted: ScriptedRunner, network: NetworkConfig, attachment: Attachment
) -> None:
    seen: list[Event] = []

    def broken(event: Event) -> None:
        raise ValueError(event)

    async with open_runtime(
        state_dir=state_dir,
        plugin_dirs=["/plugins"],
        runner=scripted,
        observers=[broken, seen.append],
    ) as runtime:
        await runtime.add(network, attachment)
    assert seen


@pytest.mark.rule("R12", "R31", "R49")
@pytest.mark.netns
@pytest.mark.anyio
async def test_plugins_see_the_parameters_the_allow_list_and_the_trace_and_nothing_else(
    state_dir: Path,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in {
        "HOME": "/root",
        "TRACEPARENT": "00-1-2-01",
        "LD_PRELOAD": "x.so",
        "AWS_SECRET": "s",
        "CNI_ARGS": "old=1",
        "CNI_NETNS_OVERRIDE": "1",
        "NOTIFY_SOCKET": "/n",
        "PYTHONPATH": "/p",
    }.items():
        monkeypatch.setenv(name, value)
    async with open_runtime(
        state_dir=state_dir,
        plugin_dirs=["/plugins", "/more"],
        runner=scripted,
        environment={"EXTRA": "1"},
    ) as runtime:
        await runtime.add(network, attachment)
    environments = [dict(call.environment) for call in scripted.calls]
    assert environments[0] == {
        "HOME": "/root",
        "TRACEPARENT": "00-1-2-01",
        "PATH": DEFAULT_PATH,
        "EXTRA": "1",
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "c1",
        "CNI_NETNS": attachment.netns,
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": "",
        "CNI_PATH": "/plugins:/more",
    }
    assert environments[1:] == environments[:1] * 2


@pytest.mark.anyio
@pytest.mark.netns
async def test_a_trace_given_with_a_verb_replaces_the_process_s_own(
    opened: Any,
    scripted: ScriptedRunner,
    network: NetworkConfig,
    attachment: Attachment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRACEPARENT", "the process's")
    async with opened() as runtime:
        await runtime.add(network, attachment, trace={"traceparent": "the verb's", "baggage": "b"})
        await runtime.check(attachment.id)
        with pytest.raises(ConfigError) as caught:
            await runtime.delete(attachment.id, trace={"LD_PRELOAD": "x"})
        await runtime.delete(attachment.id, trace={"tracestate": "s"})
    assert caught.value.place == "trace"
    seen = [call.environment.get("TRACEPARENT") for call in scripted.calls]
    assert seen == ["the verb's"] * 3 + ["the process's"] * 6
    assert {call.environment.get("BAGGAGE") for call in scripted.calls[:3]} == {"b"}
    assert {call.environment.get("TRACESTATE") for call in scripted.calls[6:]} == {"s"}


@pytest.mark.anyio
async def test_a_delete_of_nothing_succeeds_where_that_is_asked_for(
    opened: Any, scripted: ScriptedRunner
) -> None:
    async with opened() as runtime:
        await runtime.delete(AttachmentId("c1"), missing_ok=True)
        with pytest.raises(AttachmentNotFound):
            await runtime.delete(AttachmentId("c1"))
    assert scripted.calls == []


@pytest.mark.anyio
async def test_what_a_group_may_write_to_is_warned_of_once_in_the_life_of_a_runtime(
    state_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plugins = RecordingPlugins(tmp_path / "plugins")
    plugins.install("bridge", "portmap")
    bridge = Path(plugins.directory) / "bridge"
    for place in (bridge, bridge.parent):
        place.chmod(0o775)
    group = bridge.stat().st_gid
    expected = [f"the group {group} may write to {place}" for place in (bridge, bridge.parent)]
    for _ in range(2):
        caplog.clear()
        async with open_runtime(state_dir=state_dir, plugin_dirs=[bridge.parent]) as runtime:
            for name in ("bridge", "portmap", "bridge"):
                await runtime.version(name)
        assert [
            record.getMessage() for record in caplog.records if record.name.startswith("acni")
        ] == expected

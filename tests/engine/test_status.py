"""Asking whether a network is ready."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from acni import (
    Attachment,
    NetworkConfig,
    PluginFailed,
    PluginNotFound,
    open_runtime,
    parse_network,
)
from acni.errors import NotReady
from acni.testing import Behaviour, RecordingPlugins, ScriptedRunner

pytestmark = [pytest.mark.anyio]

NETWORK = parse_network(
    b'{"cniVersion":"1.1.0","name":"net","plugins":['
    b'{"type":"first","capabilities":{"mac":true},"x":1e2},{"type":"second"}]}'
)


@pytest.mark.rule("R16")
async def test_every_plugin_is_asked_with_all_variables_and_no_attachment(
    opened: Any, scripted: ScriptedRunner
) -> None:
    """R16: empty rather than absent; `capabilities` passes like any other field."""
    async with opened() as runtime:
        await runtime.status(NETWORK)
    assert [str(call) for call in scripted.calls] == ["STATUS first", "STATUS second"]
    first = scripted.calls[0]
    for name in ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS"):
        assert first.environment[name] == ""
    assert first.environment["CNI_PATH"] == "/plugins"
    assert b'"x":1e2' in first.stdin
    assert first.config["capabilities"] == {"mac": True}
    assert "prevResult" not in first.config


@pytest.mark.netns
@pytest.mark.rule("R22")
async def test_what_is_not_ready_keeps_nobody_from_anything(
    opened: Any, scripted: ScriptedRunner, attachment: Attachment
) -> None:
    scripted.tell("first", "STATUS", Behaviour.failing(50))
    async with opened() as runtime:
        with pytest.raises(NotReady):
            await runtime.status(NETWORK)
        await runtime.add(NETWORK, attachment)
        await runtime.check(attachment.id)
        await runtime.delete(attachment.id)
    asked = [call.command for call in scripted.calls]
    assert asked == ["STATUS", "ADD", "ADD", "CHECK", "CHECK", "DEL", "DEL"]


@pytest.mark.rule("R43")
@pytest.mark.parametrize(
    ("code", "expected"),
    [(50, NotReady), (51, NotReady), (7, PluginFailed)],
    ids=["not available", "limited", "another code"],
)
async def test_the_first_that_is_not_ready_ends_it(
    code: int, expected: type[PluginFailed], opened: Any, scripted: ScriptedRunner
) -> None:
    scripted.tell("first", "STATUS", Behaviour.failing(code))
    async with opened() as runtime:
        with pytest.raises(PluginFailed) as caught:
            await runtime.status(NETWORK)
    assert type(caught.value) is expected
    assert caught.value.code == code
    assert caught.value.verb == "status"
    assert len(scripted.calls) == 1


@pytest.mark.rule("R57")
async def test_an_older_version_is_ready_and_not_asked(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig
) -> None:
    async with opened() as runtime:
        await runtime.status(network)
    assert scripted.calls == []


async def test_a_missing_plugin_is_named(opened: Any, scripted: ScriptedRunner) -> None:
    scripted.remove("second")
    async with opened() as runtime:
        with pytest.raises(PluginNotFound) as caught:
            await runtime.status(NETWORK)
    assert caught.value.plugin == "second"


async def test_a_plugin_is_found_as_soon_as_it_is_installed(
    plugins: RecordingPlugins, state_dir: Path
) -> None:
    plugins.remove("second")
    async with open_runtime(state_dir=state_dir, plugin_dirs=[plugins.directory]) as runtime:
        for _ in range(2):
            with pytest.raises(PluginNotFound):
                await runtime.status(NETWORK)
            plugins.install("second")
            await runtime.status(NETWORK)
            plugins.remove("second")
    assert [call.plugin for call in plugins.calls].count("second") == 2

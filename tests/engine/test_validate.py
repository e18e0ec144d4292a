"""Asking plugins for their versions, and whether a network can run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from acni import (
    InvalidName,
    NetworkConfig,
    PluginNotFound,
    PluginProtocolError,
    PluginTimeout,
    VersionUnsupported,
    parse_network,
)
from acni.spec import SUPPORTED_VERSIONS
from acni.testing import Behaviour, ScriptedRunner

pytestmark = [pytest.mark.anyio]


@pytest.mark.rule("R60")
async def test_a_plugin_is_asked_as_the_oldest_ones_expect(
    opened: Any, scripted: ScriptedRunner
) -> None:
    """R60: dummies in the variables that plugins older than VERSION look at first."""
    async with opened() as runtime:
        assert await runtime.version("first") == SUPPORTED_VERSIONS
    (call,) = scripted.calls
    assert call.command == "VERSION"
    assert call.config == {"cniVersion": "1.1.0"}
    assert call.environment["CNI_NETNS"] == "dummy"


@pytest.mark.rule("R60")
@pytest.mark.parametrize(
    ("behaviour", "versions"),
    [
        pytest.param(
            Behaviour(status=1, stdout='{"code":4,"msg":"unknown CNI_COMMAND: VERSION"}'),
            ("0.1.0",),
            id="older than VERSION",
        ),
        pytest.param(Behaviour(stdout='{"cniVersion":"0.2.0"}'), ("0.1.0", "0.2.0"), id="no list"),
        pytest.param(
            Behaviour(stdout='{"cniVersion":"0.2.0","supportedVersions":[]}'),
            ("0.1.0", "0.2.0"),
            id="an empty list",
        ),
        pytest.param(
            Behaviour(stdout='{"CNIVersion":"0.4.0","SupportedVersions":["0.4.0"]}'),
            ("0.4.0",),
            id="Go's keys",
        ),
        pytest.param(
            Behaviour(stdout='{"cniVersion":"1.0.0","supportedVersions":["0.4.0","9.9.9"]}'),
            ("0.4.0", "9.9.9"),
            id="as it lists them",
        ),
        pytest.param(
            Behaviour(stdout='{"supportedVersions":["0.4.0"]}'), ("0.4.0",), id="a list alone"
        ),
    ],
)
async def test_an_answer_is_read_as_the_plugin_gives_it(
    behaviour: Behaviour, versions: tuple[str, ...], opened: Any, scripted: ScriptedRunner
) -> None:
    scripted.tell("first", "VERSION", behaviour)
    async with opened() as runtime:
        assert await runtime.version("first") == versions


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(Behaviour(stdout=""), id="nothing"),
        pytest.param(Behaviour(stdout="[]"), id="a list"),
        pytest.param(Behaviour(stdout="{}"), id="an empty object"),
        pytest.param(
            Behaviour(stdout='{"cniVersion":"1.0.0","supportedVersions":[]}'), id="an empty list"
        ),
        pytest.param(Behaviour(stdout='{"supportedVersions":[1]}'), id="numbers"),
        pytest.param(Behaviour(status=1, stdout="boom"), id="fails"),
    ],
)
async def test_no_answer_is_a_typed_error(
    behaviour: Behaviour, opened: Any, scripted: ScriptedRunner
) -> None:
    scripted.tell("first", "VERSION", behaviour)
    async with opened() as runtime:
        with pytest.raises(PluginProtocolError) as caught:
            await runtime.version("first")
        with pytest.raises(InvalidName):
            await runtime.version("../first")
    assert (caught.value.plugin, caught.value.verb) == ("first", "version")


async def test_a_plugin_that_hangs_is_out_of_time(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig
) -> None:
    scripted.tell("first", "VERSION", Behaviour(seconds=60))
    async with opened(version=0.1) as runtime:
        with pytest.raises(PluginTimeout):
            await runtime.version("first")
        validation = await runtime.validate(network)
    (failure,) = validation.failures
    assert isinstance(failure, PluginTimeout)
    assert failure.plugin == "first"


async def test_a_plugin_that_is_missing_is_named(opened: Any, scripted: ScriptedRunner) -> None:
    scripted.remove("first")
    async with opened() as runtime:
        with pytest.raises(PluginNotFound, match="/plugins") as caught:
            await runtime.version("first")
    assert caught.value.plugin == "first"
    assert scripted.calls == []


async def test_a_good_network_has_no_failures(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig
) -> None:
    async with opened() as runtime:
        validation = await runtime.validate(network)
    assert validation.failures == ()
    assert validation.dropped == ()
    validation.raise_for_failures()
    assert [str(call) for call in scripted.calls] == [
        "VERSION first",
        "VERSION second",
        "VERSION third",
    ]


async def test_every_failure_is_listed_and_every_dropped_key_is_named(
    opened: Any, scripted: ScriptedRunner
) -> None:
    network = parse_network(
        b'{"cniVersion":"1.0.0","name":"net","plugins":['
        b'{"type":"first","prevResult":{},"cni.dev/x":1,"capabilities":{}},'
        b'{"type":"second","runtimeConfig":{}},{"type":"third"}]}'
    )
    scripted.tell(
        "first", "VERSION", Behaviour(stdout=json.dumps({"supportedVersions": ["0.4.0"]}))
    )
    scripted.remove("third")
    async with opened() as runtime:
        validation = await runtime.validate(network)
    old, missing = validation.failures
    assert isinstance(old, VersionUnsupported)
    assert isinstance(missing, PluginNotFound)
    assert (old.plugin, missing.plugin) == ("first", "third")
    assert old.network == "net"
    assert validation.dropped == (
        ("first", "prevResult"),
        ("first", "cni.dev/x"),
        ("second", "runtimeConfig"),
    )
    with pytest.raises(VersionUnsupported):
        validation.raise_for_failures()


@pytest.mark.rule("R9")
@pytest.mark.parametrize(("supported", "failed"), [("0.1.0", 0), ("0.2.0", 1)])
async def test_without_a_version_a_plugin_has_to_support_0_1_0(
    supported: str, failed: int, opened: Any, scripted: ScriptedRunner
) -> None:
    network = parse_network(b'{"name":"net","plugins":[{"type":"first"}]}')
    answer = json.dumps({"supportedVersions": [supported]})
    scripted.tell("first", "VERSION", Behaviour(stdout=answer))
    async with opened() as runtime:
        validation = await runtime.validate(network)
    assert [type(failure) for failure in validation.failures] == [VersionUnsupported] * failed

"""What plugins are asked by libcni and by acni for the same attachment: the six variables and
standard input, for every version that both know and every verb that it has.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, frozen

from acni import Attachment, VersionUnsupported, netns, open_runtime, parse_network
from acni.testing import Behaviour, Call, RecordingPlugins
from tests.libcni.conftest import Judge, JudgeError

pytestmark = [pytest.mark.anyio, pytest.mark.netns]

VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0")
WITH_CHECK = ("0.4.0", "1.0.0")
VARIABLES = ("COMMAND", "CONTAINERID", "NETNS", "IFNAME", "ARGS", "PATH")

ROUTES = [{"dst": "0.0.0.0/0", "gw": "192.0.2.1"}]
DNS = {"nameservers": ["192.0.2.53"], "domain": "example.org", "search": ["a"], "options": ["b"]}
OLDEST = {
    "ip4": {"ip": "192.0.2.7/24", "gateway": "192.0.2.1", "routes": ROUTES},
    "ip6": {"ip": "2001:db8::7/64"},
    "dns": DNS,
}
MIDDLE = {
    "interfaces": [{"name": "eth0", "mac": "02:00:00:00:00:07", "sandbox": "/run/netns/a"}],
    "ips": [{"version": "4", "address": "192.0.2.7/24", "gateway": "192.0.2.1", "interface": 0}],
    "routes": ROUTES,
    "dns": DNS,
}
NEWEST = MIDDLE | {"ips": [{"address": "192.0.2.7/24", "gateway": "192.0.2.1", "interface": 0}]}
PRINTED = {
    version: {"cniVersion": version} | shape
    for versions, shape in ((VERSIONS[:2], OLDEST), (VERSIONS[2:5], MIDDLE), (VERSIONS[5:], NEWEST))
    for version in versions
}


@frozen(kw_only=True)
class Asked:
    """What one plugin run was asked, as far as the specification says it."""

    plugin: str
    variables: dict[str, str]
    config: dict[str, Any]


def asked(call: Call) -> Asked:
    variables = {name: call.environment[f"CNI_{name}"] for name in VARIABLES}
    return Asked(plugin=call.plugin, variables=variables, config=call.config)


@pytest.fixture
def attachment() -> Any:
    with netns.anonymous() as box:
        yield Attachment(
            container_id="c1",
            netns=box.path,
            cni_args={"IgnoreUnknown": "1", "K8S_POD_NAME": "web-0"},
            capability_args={
                "mac": "02:00:00:00:00:01",
                "aliases": {"net": ["web"]},
                "undeclared": 1,
            },
        )


async def both(
    text: str, attachment: Attachment, judge: Judge, plugins: RecordingPlugins, tmp_path: Path
) -> tuple[list[Asked], list[Asked]]:
    """Add, check and delete with libcni and with acni, and return what each asked.

    A check that the version lacks is refused by both.
    """
    judge.configure(text)
    libcni = judge.with_plugins(plugins.directory).with_cache(tmp_path / "cache")
    has_check = json.loads(text).get("cniVersion") in WITH_CHECK
    await libcni.add(attachment)
    if has_check:
        await libcni.check(attachment)
    else:
        with pytest.raises(JudgeError, match="does not support the CHECK command"):
            await libcni.check(attachment)
    await libcni.delete(attachment)
    theirs = len(plugins.calls)

    network = parse_network(text.encode())
    async with open_runtime(
        state_dir=tmp_path / "state", plugin_dirs=[plugins.directory]
    ) as runtime:
        await runtime.add(network, attachment)
        if has_check:
            await runtime.check(attachment)
        else:
            with pytest.raises(VersionUnsupported):
                await runtime.check(attachment)
        await runtime.delete(attachment)
    calls = [asked(call) for call in plugins.calls]
    return calls[:theirs], calls[theirs:]


@pytest.mark.parametrize("version", VERSIONS)
async def test_both_ask_the_same(
    version: str,
    attachment: Attachment,
    judge: Judge,
    plugins: RecordingPlugins,
    tmp_path: Path,
) -> None:
    for name in ("first", "second"):
        plugins.tell(name, "ADD", Behaviour(stdout=json.dumps(PRINTED[version])))
    text = f"""{{
      "cniVersion": "{version}", "name": "net", "disableCheck": false, "x": 1, "plugins": [
        {{"type": "first", "name": "another", "cniVersion": "0.3.1", "args": {{"cni": {{"a": 1}}}},
          "ipam": {{"type": "host-local", "x": [1, null, "é"]}}}},
        {{"type": "second", "runtimeOptions": {{"runtimeConfig": 1, "capabilities": {{}}}}}},
        {{"type": "third", "nested": {{"prevResult": 1, "cni.dev/x": 2}}}}
      ]
    }}"""
    libcni, acni = await both(text, attachment, judge, plugins, tmp_path)
    chain = ["first", "second", "third"]
    verbs = chain + (chain if version in WITH_CHECK else []) + chain[::-1]
    assert [call.plugin for call in libcni] == verbs
    assert acni == libcni


Config = dict[str, Any]


@frozen(kw_only=True)
class Difference:
    """Where acni asks otherwise, on purpose.

    Attributes:
        why: What decides it.
        ours: Makes acni's request configuration of libcni's.
        version: What the list has for a version; None for none.
        plugin: More members of the first plugin's configuration, as JSON text.
        printed: What the first plugin prints.
    """

    why: str
    ours: Callable[[Config], Config]
    version: str | None = "1.0.0"
    plugin: str = ""
    printed: Config = PRINTED["1.0.0"]


def without(*keys: str) -> Callable[[Config], Config]:
    return lambda config: {key: value for key, value in config.items() if key not in keys}


def with_previous(change: Callable[[Config], Config]) -> Callable[[Config], Config]:
    def ours(config: Config) -> Config:
        if "prevResult" not in config:
            return config
        return config | {"prevResult": change(config["prevResult"])}

    return ours


DIFFERENCES = {
    "capabilities": Difference(
        why="R40: a request has runtimeConfig, never the capabilities",
        ours=without("capabilities"),
        plugin='"capabilities": {"mac": true, "aliases": true, "ips": true, "undeclared": false}',
    ),
    "prevResult of the configuration": Difference(
        why="R39: the first plugin of an ADD gets no prevResult",
        ours=lambda config: without("prevResult")(config) if is_own(config) else config,
        plugin='"prevResult": {"cniVersion": "1.0.0", "ips": [], "own": true}',
    ),
    "runtimeConfig of the configuration": Difference(
        why="R8, R38: it holds what the caller gave, and nothing else",
        ours=without("runtimeConfig"),
        plugin='"runtimeConfig": {"mac": "02:00:00:00:00:02"}',
    ),
    "cni.dev keys of the configuration": Difference(
        why="R8: they are generated at execution",
        ours=without("cni.dev/valid-attachments", "cni.dev/x"),
        plugin='"cni.dev/valid-attachments": [], "cni.dev/x": 1',
    ),
    "no version": Difference(
        why="R9: none means 0.1.0, for plugins as for every gate",
        ours=lambda config: config | {"cniVersion": "0.1.0"},
        version=None,
        printed=PRINTED["0.1.0"],
    ),
    "a large number": Difference(
        why="R6: unknown fields pass unchanged, their values too",
        ours=lambda config: config | {"x": 9007199254740993} if "x" in config else config,
        plugin='"x": 9007199254740993',
    ),
    "unknown fields of a result": Difference(
        why="design, 7: results pass as they were written",
        ours=with_previous(lambda result: result | {"example.org/x": 1}),
        printed=PRINTED["1.0.0"] | {"example.org/x": 1},
    ),
    "a result without dns": Difference(
        why="design, 7: results pass as they were written",
        ours=with_previous(without("dns")),
        printed=without("dns")(PRINTED["1.0.0"]),
    ),
    "a result of another version": Difference(
        why="R42: the selected version is stamped before it becomes a prevResult",
        ours=with_previous(lambda result: result | {"cniVersion": "0.4.0"}),
        version="0.4.0",
        printed=PRINTED["0.3.1"],
    ),
}


def is_own(config: Config) -> bool:
    return "own" in config.get("prevResult", {})


@pytest.mark.rule("R6", "R8", "R9", "R38", "R39", "R40", "R42")
@pytest.mark.parametrize("difference", DIFFERENCES.values(), ids=DIFFERENCES)
async def test_each_difference_is_intended(
    difference: Difference,
    attachment: Attachment,
    judge: Judge,
    plugins: RecordingPlugins,
    tmp_path: Path,
) -> None:
    plugins.tell("first", "ADD", Behaviour(stdout=json.dumps(difference.printed)))
    version = f'"cniVersion": "{difference.version}",' if difference.version else ""
    members = f", {difference.plugin}" if difference.plugin else ""
    text = f"""{{{version} "name": "net", "plugins": [
        {{"type": "first"{members}}}, {{"type": "second"}}]}}"""
    libcni, acni = await both(text, attachment, judge, plugins, tmp_path)
    assert acni != libcni
    assert acni == [evolve(call, config=difference.ours(call.config)) for call in libcni]

"""``acni status``, ``acni version`` and ``acni validate``."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from acni.testing import Behaviour, RecordingPlugins

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def newer(conf_dir: Path) -> None:
    (conf_dir / "40-newer.conflist").write_text(
        '{"cniVersion":"1.1.0","name":"newer","plugins":[{"type":"third","cni.dev/x":1}]}'
    )


def test_all_networks_say_whether_they_are_ready(
    acni: Run, plugins: RecordingPlugins, tmp_path: Path
) -> None:
    ready = acni("status")
    assert ready.returncode == 0
    assert ready.stdout.splitlines() == [
        "NETWORK  ANSWER",
        "net      ready, not asked: its version has no STATUS",
        "newer    ready",
    ]
    assert "20-broken.conflist" in ready.stderr
    assert acni("status", "-q").stderr == ""
    assert {str(call) for call in plugins.calls} == {"STATUS third"}
    assert not (tmp_path / "state").exists(), "to ask takes no right to write"


def test_one_that_is_not_ready_gives_its_status_and_hides_no_other(
    acni: Run, plugins: RecordingPlugins
) -> None:
    plugins.tell("third", "STATUS", Behaviour.failing(50, "no uplink"))
    asked = acni("status", "-o", "json", "-q")
    assert asked.returncode == 1
    net, newer = json.loads(asked.stdout)
    assert net == {"network": "net", "ready": True, "asked": False, "error": None}
    assert (newer["ready"], newer["error"]["code"], newer["error"]["acni"]["error"]) == (
        False,
        50,
        "NotReady",
    )
    one = acni("status", "newer")
    assert one.returncode == 1
    assert "plugin third" in one.stdout
    assert "no uplink" in one.stdout
    assert acni("status", "net").returncode == 0
    plugins.remove("third")
    assert acni("status", "newer").returncode == 2


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        pytest.param(("nowhere",), 3, id="no such network"),
        pytest.param(("broken",), 2, id="broken"),
        pytest.param(("../x",), 2, id="name"),
        pytest.param(("--conf-dir", "/nowhere"), 2, id="no directory"),
        pytest.param(("--conf-dir", "/proc/self/fdinfo"), 3, id="no network"),
        pytest.param(("--plugin-dir", "bin"), 2, id="plugin dir"),
        pytest.param(("--timeout", "0"), 2, id="timeout"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    arguments: tuple[str, ...], status: int, acni: Run
) -> None:
    refused = acni("status", *arguments)
    assert (refused.returncode, refused.stdout) == (status, "")
    assert refused.stderr
    assert "Traceback" not in refused.stderr


def test_plugins_say_which_versions_they_support(acni: Run, plugins: RecordingPlugins) -> None:
    answer = '{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}'
    plugins.tell("second", "VERSION", Behaviour(stdout=answer))
    asked = acni("version", "second")
    assert (asked.returncode, asked.stderr) == (0, "")
    assert asked.stdout == "PLUGIN  VERSIONS\nsecond  0.4.0, 1.0.0\n"
    several = acni("version", "nowhere", "second", "../x", "-o", "jsonl")
    assert several.returncode == 2
    missing, second, bad = map(json.loads, several.stdout.splitlines())
    assert (missing["versions"], missing["error"]["acni"]["error"]) == (None, "PluginNotFound")
    assert second == {"plugin": "second", "versions": ["0.4.0", "1.0.0"], "error": None}
    assert bad["error"]["acni"]["error"] == "InvalidName"
    plugins.tell("second", "VERSION", Behaviour(stdout="rubbish"))
    assert acni("version", "second").returncode == 1
    plugins.tell("second", "VERSION", Behaviour(seconds=30))
    assert acni("version", "second", "--timeout", "0.3").returncode in (1, 4)


def test_a_network_is_validated(acni: Run, plugins: RecordingPlugins) -> None:
    good = acni("validate", "newer")
    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout.splitlines() == [
        "FINDING  PLUGIN  WHAT",
        "dropped  third   the key cni.dev/x is the runtime's and never reaches it",
        "ok       third   found, supports 1.1.0",
    ]
    plugins.tell("third", "VERSION", Behaviour(stdout="rubbish"))
    plugins.remove("first")
    assert acni("validate", "newer").returncode == 2
    bad = acni("validate", "net", "-o", "json")
    assert bad.returncode == 2
    (found,) = json.loads(bad.stdout)
    assert (found["network"], found["valid"], found["dropped"]) == ("net", False, [])
    assert [failure["acni"]["plugin"] for failure in found["failures"]] == ["first"]
    assert acni("validate", "nowhere").returncode == 3


@pytest.mark.parametrize("words", [("status", "newer"), ("version", "third")])
def test_a_plugin_that_is_killed_is_an_answer(
    words: tuple[str, ...], acni: Run, plugins: RecordingPlugins
) -> None:
    command = words[0].upper()
    plugins.tell("third", command, Behaviour(signal=signal.SIGKILL))
    killed = acni(*words)
    assert killed.returncode == 1
    assert "Traceback" not in killed.stderr

"""A dry run tells what the engine would send, and its shell lines send it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from acni import netns
from acni.testing import Behaviour, Call, RecordingPlugins

pytestmark = pytest.mark.netns

Run = Callable[..., subprocess.CompletedProcess[str]]

ARGUMENTS = ("--arg", "TOKEN=it's \\ $HOME `x` é", "--cap", 'portMappings=[{"hostPort":8080}]')
EXACT = '{\n    "cniVersion": "1.0.0",\n    "ips": [\n\t{"address": "10.0.0.2/24"}],\n "x" : 1e2}'

# Values of several lines, quotes, what a shell would expand, and no ASCII.
HARD = """{"cniVersion":"1.0.0","name":"hard","plugins":[
 {"type":"first", "m": {
"k":
1}, "q":"it's \\\\ \\"$HOME\\" `x` %s é \\u2028", "list":[1,
2]},
 {"type":"second","capabilities":{"portMappings":true}},
 {"type":"third"}]}"""


@pytest.fixture(autouse=True)
def hard(conf_dir: Path) -> None:
    (conf_dir / "30-hard.conflist").write_text(HARD)


def sh(shell: str, script: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [shell, "-s"],
        input=script,
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "UNWANTED": "1"},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def sent(plugins: RecordingPlugins) -> list[Call]:
    """Take the calls that were recorded, and forget them."""
    calls = plugins.calls
    (plugins.home / "calls").unlink()
    return calls


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize(
    "printed",
    [
        pytest.param(EXACT, id="the selected version"),
        pytest.param(f" \n\t{EXACT}\r\n\n", id="white space around it", marks=pytest.mark.deep),
        pytest.param('{"ips":[]}', id="no version", marks=pytest.mark.deep),
        pytest.param(" { } ", id="an empty object", marks=pytest.mark.deep),
        pytest.param('{"cniVersion" :\n "1.0.0","dns":{"search":["it\'s \\\\n %s é"]}}', id="odd"),
        pytest.param(None, id="as plugins do"),
    ],
)
def test_the_shell_lines_send_what_the_engine_sends(
    printed: str | None,
    shell: str,
    acni: Run,
    box: netns.Namespace,
    plugins: RecordingPlugins,
    tmp_path: Path,
) -> None:
    """Every standard input and every environment, byte for byte: of add, check and del."""
    plugins.tell("first", "ADD", Behaviour(stdout=printed))
    if printed is not None:
        plugins.tell("second", "ADD", Behaviour(stdout=printed))
    words = ("hard", box.path, *ARGUMENTS)
    shell_words = ("--shell", "--show-secrets")
    lines = acni("plan", "add", *words, *shell_words)
    assert (lines.returncode, lines.stderr) == (0, "")
    assert not (plugins.home / "calls").exists(), "a plan runs nothing"
    assert not (tmp_path / "state").exists(), "a plan writes nothing"
    by_shell = sh(shell, lines.stdout, tmp_path)
    assert (by_shell.returncode, by_shell.stderr) == (0, "")
    planned = sent(plugins)
    added = acni("add", *words)
    assert added.returncode == 0
    assert by_shell.stdout == added.stdout
    assert planned == sent(plugins)

    lines = acni("plan", "check", *words[:2], *shell_words)
    assert lines.returncode == 0
    assert sh(shell, lines.stdout, tmp_path).returncode == 0
    planned = sent(plugins)
    assert acni("check", *words[:2]).returncode == 0
    assert planned == sent(plugins)
    assert "prevResult" in planned[0].config

    lines = acni("plan", "del", *words[:2], *shell_words)
    assert lines.returncode == 0
    assert sh(shell, lines.stdout, tmp_path).returncode == 0
    planned = sent(plugins)
    assert acni("del", *words[:2]).returncode == 0
    assert planned == sent(plugins)
    assert [call.plugin for call in planned] == ["third", "second", "first"]


def test_a_delete_by_the_caller_s_word_is_planned_like_the_engine_deletes(
    acni: Run, box: netns.Namespace, plugins: RecordingPlugins, tmp_path: Path
) -> None:
    """No record knows the attachment: configuration, namespace and arguments are the caller's."""
    words = ("hard", box.path, "--container-id", "c1", *ARGUMENTS)
    lines = acni("plan", "del", *words, "--shell", "--show-secrets")
    assert sh("sh", lines.stdout, tmp_path).returncode == 0
    planned = sent(plugins)
    assert acni("del", *words).returncode == 0
    assert planned == sent(plugins)
    assert planned[0].environment["CNI_NETNS"] == box.path
    assert "prevResult" not in planned[0].config


def test_a_delete_whose_namespace_is_gone_is_planned_with_none(
    acni: Run, plugins: RecordingPlugins, tmp_path: Path, conf_dir: Path
) -> None:
    with netns.anonymous() as box:
        assert acni("add", "net", box.path, "--container-id", "c1").returncode == 0
    (conf_dir / "10-net.conflist").unlink()
    lines = acni("plan", "del", "net", "--container-id", "c1", "--shell", "--show-secrets")
    sent(plugins)
    assert sh("sh", lines.stdout, tmp_path).returncode == 0
    planned = sent(plugins)
    assert acni("del", "--container-id", "c1").returncode == 0
    assert planned == sent(plugins)
    assert planned[0].environment["CNI_NETNS"] == ""


def test_a_stand_in_is_planned_and_no_shell_can_make_it(
    acni: Run, plugins: RecordingPlugins, conf_dir: Path
) -> None:
    plugins.install("bridge")
    (conf_dir / "40-stood.conflist").write_text(
        '{"cniVersion":"1.0.0","name":"stood","plugins":[{"type":"bridge"},{"type":"first"}]}'
    )
    words = ("del", "stood", "--container-id", "c1")
    with netns.anonymous() as box:
        assert acni("add", "stood", box.path, "--container-id", "c1").returncode == 0
        assert "stand-in" not in acni("plan", *words).stdout
    planned = json.loads(acni("plan", *words, "-o", "json").stdout)
    assert [(run["plugin"], run["standIn"]) for run in planned["runs"]] == [
        ("first", False),
        ("bridge", True),
    ]
    first, _, bridge = acni("plan", *words).stdout.partition("2. DEL bridge")
    assert "stand-in" not in first
    assert "CNI_NETNS    a stand-in" in bridge
    refused = acni("plan", *words, "--shell", "--show-secrets")
    assert (refused.returncode, refused.stdout) == (2, "")
    sent(plugins)
    assert acni(*words).returncode == 0
    first_call, bridge_call = sent(plugins)
    assert first_call.environment["CNI_NETNS"] == ""
    assert bridge_call.environment["CNI_NETNS"].startswith("/proc/")


def test_status_is_planned_like_the_engine_asks(
    acni: Run, conf_dir: Path, plugins: RecordingPlugins, tmp_path: Path
) -> None:
    text = '{"cniVersion":"1.1.0","name":"new","plugins":[{"type":"first"},{"type":"second"}]}'
    (conf_dir / "40-new.conflist").write_text(text)
    lines = acni("plan", "status", "new", "--shell", "--show-secrets")
    assert sh("sh", lines.stdout, tmp_path).returncode == 0
    planned = sent(plugins)
    assert acni("status", "new").returncode == 0
    assert planned == sent(plugins)
    assert [call.command for call in planned] == ["STATUS", "STATUS"]
    assert acni("plan", "status", "net").stdout == "nothing would run\n"


@pytest.mark.parametrize(
    ("printed", "status"),
    [
        pytest.param('{"cniVersion":"0.4.0","ips":[]}', 1, id="another version"),
        pytest.param('{"cniVersion":"1.0.0","x":{"cniVersion":"1.0.0"}}', 1, id="two versions"),
        pytest.param("rubbish", 1, id="rubbish"),
        pytest.param("", 1, id="nothing"),
    ],
)
def test_the_shell_lines_end_where_they_would_send_something_else(
    printed: str,
    status: int,
    acni: Run,
    box: netns.Namespace,
    plugins: RecordingPlugins,
    tmp_path: Path,
) -> None:
    plugins.tell("first", "ADD", Behaviour(stdout=printed))
    lines = acni("plan", "add", "net", box.path, "--shell", "--show-secrets").stdout
    ended = sh("sh", lines, tmp_path)
    assert ended.returncode == status
    assert "first: no result of version 1.0.0" in ended.stderr
    assert [str(call) for call in plugins.calls] == ["ADD first"]


@pytest.mark.parametrize(("verb", "order"), [("add", ["first"]), ("del", ["second"])])
def test_the_shell_lines_halt_like_the_chain(
    verb: str,
    order: list[str],
    acni: Run,
    box: netns.Namespace,
    plugins: RecordingPlugins,
    tmp_path: Path,
) -> None:
    for name in ("first", "second"):
        plugins.tell(name, verb.upper(), Behaviour(status=3, stdout='{"code":7,"msg":"no"}'))
    lines = acni("plan", verb, "net", box.path, "--shell", "--show-secrets").stdout
    ended = sh("sh", lines, tmp_path)
    assert ended.returncode == 3
    assert '{"code":7,"msg":"no"}' in ended.stdout + ended.stderr
    assert [call.plugin for call in plugins.calls] == order


def test_a_plan_tells_binary_environment_request_and_prev_result(
    acni: Run, box: netns.Namespace, plugins: RecordingPlugins
) -> None:
    planned = acni("plan", "add", "net", box.path, "--container-id", "c1", *ARGUMENTS, "-o", "json")
    assert planned.returncode == 0
    document = json.loads(planned.stdout)
    assert document["obstacles"] == []
    first, second = document["runs"]
    assert (first["command"], first["index"], first["plugin"]) == ("ADD", 0, "first")
    assert first["binary"] == f"{plugins.directory}/first"
    assert first["environment"]["CNI_CONTAINERID"] == "c1"
    assert (first["prevResult"], second["prevResult"]) == ("none", "the output of first")
    assert '"n":123456789012345678901234567890' in planned.stdout
    lines = acni("plan", "add", "net", box.path, "-o", "jsonl").stdout.splitlines()
    assert [json.loads(line)["plugin"] for line in lines] == ["first", "second"]
    human = acni("plan", "add", "net", box.path).stdout
    assert human.startswith("1. ADD first (network net)\n   binary       /")
    assert "   prevResult   the output of first\n" in human


@pytest.mark.parametrize("output", ["human", "json", "jsonl"])
def test_a_plan_hides_secrets_unless_they_are_asked_for(
    output: str, acni: Run, box: netns.Namespace, conf_dir: Path
) -> None:
    (conf_dir / "40-args.conflist").write_text(
        '{"cniVersion":"1.0.0","name":"args","plugins":[{"type":"first","args":{"cni":"in-args"},'
        '"ipam":{"apiToken":"in-key"},"capabilities":{"a":true}}]}'
    )
    words = (
        "plan",
        "add",
        "args",
        box.path,
        "--arg",
        "K=in-cni-args",
        "--cap",
        'a="in-cap"',
        "-o",
        output,
    )
    secrets = ("in-args", "in-key", "in-cni-args", "in-cap")
    hidden = acni(*words).stdout
    shown = acni(*words, "--show-secrets").stdout
    assert [secret for secret in secrets if secret in hidden] == []
    assert [secret for secret in secrets if secret not in shown] == []
    assert "CNI_ARGS" in hidden


def test_shell_lines_need_the_word_that_secrets_may_be_shown(
    acni: Run, box: netns.Namespace
) -> None:
    refused = acni("plan", "add", "net", box.path, "--shell")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--show-secrets" in refused.stderr


def test_what_is_missing_is_shown_and_gives_the_status(
    acni: Run, box: netns.Namespace, plugins: RecordingPlugins
) -> None:
    plugins.remove("second")
    planned = acni("plan", "add", "net", box.path)
    assert planned.returncode == 2
    assert "   binary       MISSING\n" in planned.stdout
    assert "plugin second: no executable" in planned.stderr
    document = json.loads(acni("plan", "add", "net", box.path, "-o", "json").stdout)
    assert [run["binary"] is None for run in document["runs"]] == [False, True]
    assert document["obstacles"][0]["acni"]["error"] == "PluginNotFound"
    refused = acni("plan", "add", "net", box.path, "--shell", "--show-secrets")
    assert (refused.returncode, refused.stdout) == (2, "")


def test_what_an_add_would_be_refused_for_is_told_beside_the_plan(
    acni: Run, box: netns.Namespace
) -> None:
    assert acni("add", "net", box.path).returncode == 0
    again = acni("plan", "add", "net", box.path)
    assert again.returncode == 2
    assert "it is attached to network net" in again.stderr
    assert again.stdout.count("ADD") == 4  # two runs, and CNI_COMMAND of each
    nowhere = acni("plan", "add", "net", "/nowhere")
    assert nowhere.returncode == 2
    assert "/nowhere" in nowhere.stderr
    assert "CNI_NETNS=/nowhere" in nowhere.stdout


def test_an_add_deletes_first_what_is_owed_and_so_does_its_plan(
    acni: Run, box: netns.Namespace, plugins: RecordingPlugins, tmp_path: Path
) -> None:
    plugins.tell("second", "ADD", Behaviour.failing())
    plugins.tell("first", "DEL", Behaviour.failing())
    assert acni("add", "net", box.path).returncode == 5
    plugins.tell("second", "ADD", Behaviour())
    plugins.tell("first", "DEL", Behaviour())
    lines = acni("plan", "add", "net", box.path, "--shell", "--show-secrets")
    sent(plugins)
    assert sh("sh", lines.stdout, tmp_path).returncode == 0
    planned = sent(plugins)
    assert acni("add", "net", box.path).returncode == 0
    assert planned == sent(plugins)
    assert [str(call) for call in planned] == ["DEL first", "ADD first", "ADD second"]


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        pytest.param(("add", "net"), 2, "NETNS", id="add without a namespace"),
        pytest.param(
            ("add", "nowhere", "/run/x"), 3, "no configuration of that name", id="network"
        ),
        pytest.param(("add", "broken", "/run/x"), 2, "$.plugins[0]", id="broken"),
        pytest.param(("check", "net", "/run/x"), 3, "no record", id="check of nothing"),
        pytest.param(("del", "other", "/run/x"), 3, "no configuration of that name", id="del"),
        pytest.param(("del", "net"), 2, "--container-id", id="del of nobody"),
        pytest.param(("gc", "net"), 2, "gc", id="another verb"),
        pytest.param(("status", "../x"), 2, "network name", id="name"),
    ],
)
def test_what_cannot_be_planned_is_refused(
    arguments: tuple[str, ...], status: int, text: str, acni: Run
) -> None:
    refused = acni("plan", *arguments)
    assert (refused.returncode, refused.stdout) == (status, "")
    assert text in refused.stderr
    assert "Traceback" not in refused.stderr


def test_paths_that_env_would_take_for_a_variable_are_refused(
    acni: Run, box: netns.Namespace, plugins: RecordingPlugins, tmp_path: Path
) -> None:
    odd = tmp_path / "a=b"
    odd.symlink_to(plugins.directory)
    words = ("plan", "add", "net", box.path, "--plugin-dir", str(odd))
    assert acni(*words).returncode == 0
    refused = acni(*words, "--shell", "--show-secrets")
    assert (refused.returncode, refused.stdout) == (2, "")


def test_variables_that_are_no_text_reach_the_plugins_as_they_are(
    environment: dict[str, str], box: netns.Namespace, plugins: RecordingPlugins, tmp_path: Path
) -> None:
    """A variable may hold any bytes; the lines hold the same ones."""
    home = b"/root/\xff'\n\x1b"
    planned = subprocess.run(
        [sys.executable, "-m", "acni", "plan", "add", "net", box.path, "--shell", "--show-secrets"],
        env={os.fsencode(k): os.fsencode(v) for k, v in environment.items()} | {b"HOME": home},
        capture_output=True,
        check=True,
    )
    subprocess.run(["sh"], input=planned.stdout, cwd=tmp_path, capture_output=True, check=True)
    assert [os.fsencode(call.environment["HOME"]) for call in plugins.calls] == [home, home]

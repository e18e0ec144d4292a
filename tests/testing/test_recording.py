"""The plugin doubles that are real executables; tests/host/test_process.py runs the contract."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from acni.testing import Behaviour, RecordingPlugins


def _run(
    plugins: RecordingPlugins, plugin_type: str, command: str, stdin: str = '{"cniVersion":"1.0.0"}'
) -> subprocess.CompletedProcess[str]:
    environment = {"CNI_COMMAND": command, "CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0"}
    return subprocess.run(
        [f"{plugins.directory}/{plugin_type}"],
        input=stdin,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        cwd="/",
    )


def test_what_they_were_asked_is_recorded_in_order(plugins: RecordingPlugins) -> None:
    assert plugins.calls == []
    stdin = '{"cniVersion": "1.0.0",  "x": 1e2, "\u00e9": "\\u2028"}'
    _run(plugins, "first", "ADD", stdin)
    _run(plugins, "second", "DEL")
    first, second = plugins.calls
    assert [str(first), str(second)] == ["ADD first", "DEL second"]
    assert first.stdin == stdin.encode()
    assert first.config["x"] == 100.0
    assert first.environment["CNI_CONTAINERID"] == "c1"
    # Python's own coercion of an absent locale.
    assert set(first.environment) - {"LC_CTYPE"} == {"CNI_COMMAND", "CNI_CONTAINERID", "CNI_IFNAME"}


def test_each_notes_what_it_saw_of_its_own_process(plugins: RecordingPlugins) -> None:
    _run(plugins, "first", "ADD")
    [note] = plugins.notes()
    assert note["inside"]["descriptors"] == [0, 1, 2, 3]
    assert note["inside"]["directory"] == "/"
    assert note["inside"]["session"] is False
    assert note["inside"]["pid"] > 1
    assert len(note["inside"]["signals"]) == 2


def test_a_note_that_is_being_written_counts_once_it_is_whole(plugins: RecordingPlugins) -> None:
    _run(plugins, "first", "ADD")
    whole = (plugins.home / "calls").read_text()
    for size in range(len(whole)):
        (plugins.home / "calls").write_text(whole + whole[:size])
        assert len(plugins.calls) == 1
    (plugins.home / "calls").write_text(whole + whole)
    assert len(plugins.calls) == 2


@pytest.mark.parametrize(
    ("stdin", "printed"),
    [
        pytest.param(
            '{"cniVersion": "1.0.0"}',
            {"cniVersion": "1.0.0", "ips": [{"address": "192.0.2.7/24", "gateway": "192.0.2.1"}]},
            id="first_of_a_chain",
        ),
        pytest.param(
            '{"cniVersion": "0.2.0"}',
            {"cniVersion": "0.2.0", "ip4": {"ip": "192.0.2.7/24"}},
            id="old_shape",
        ),
        pytest.param(
            '{"cniVersion": "1.0.0", "prevResult": {"x": [1]}}', {"x": [1]}, id="previous_result"
        ),
    ],
)
def test_an_untold_add_prints_a_result(
    plugins: RecordingPlugins, stdin: str, printed: dict[str, object]
) -> None:
    finished = _run(plugins, "first", "ADD", stdin)
    assert finished.returncode == 0
    assert json.loads(finished.stdout) == printed


def test_a_resource_is_held_from_add_to_delete(plugins: RecordingPlugins) -> None:
    _run(plugins, "first", "ADD")
    _run(plugins, "second", "ADD")
    assert plugins.held == {"first/c1/eth0", "second/c1/eth0"}
    _run(plugins, "first", "CHECK")
    assert _run(plugins, "first", "DEL").stdout == ""
    assert _run(plugins, "first", "DEL").returncode == 0
    assert plugins.held == {"second/c1/eth0"}


def test_they_behave_as_they_were_told_last_and_only_on_that_verb(
    plugins: RecordingPlugins,
) -> None:
    plugins.tell("first", "ADD", Behaviour(signal=signal.SIGKILL))
    plugins.tell("first", "ADD", Behaviour.failing(7, "no"))
    plugins.tell("first", "CHECK", Behaviour(stdout="out", stderr="err", status=3))
    plugins.tell("second", "ADD", Behaviour(signal=signal.SIGKILL))
    plugins.tell("second", "DEL", Behaviour(holds=False))
    failed = _run(plugins, "first", "ADD")
    assert (failed.returncode, json.loads(failed.stdout)["code"]) == (1, 7)
    checked = _run(plugins, "first", "CHECK")
    assert (checked.returncode, checked.stdout, checked.stderr) == (3, "out", "err")
    assert _run(plugins, "second", "ADD").returncode == -signal.SIGKILL
    assert plugins.held == set()


def test_a_paused_one_stands_still_until_the_block_is_left(plugins: RecordingPlugins) -> None:
    """Each of several that stand there, and nobody after that."""
    with ThreadPoolExecutor(2) as threads:
        with plugins.paused("first", "ADD"):
            running = [threads.submit(_run, plugins, "first", "ADD") for _ in range(2)]
            assert _run(plugins, "first", "CHECK").returncode == 0
            assert _run(plugins, "second", "ADD").returncode == 0
            until = time.monotonic() + 20
            while len(plugins.calls) < 4 and time.monotonic() < until:
                time.sleep(0.001)
            assert sorted(map(str, plugins.calls)) == [
                "ADD first", "ADD first", "ADD second", "CHECK first",
            ]  # fmt: skip
            plugins.tell("first", "ADD", Behaviour(status=3))
            assert plugins.held == {"second/c1/eth0"}
            assert not any(each.done() for each in running)
        assert [each.result().returncode for each in running] == [3, 3]
    assert _run(plugins, "first", "ADD").returncode == 3


def test_one_that_runs_while_it_is_told_does_what_it_was_told_before_or_what_it_is_told_now(
    plugins: RecordingPlugins,
) -> None:
    plugins.tell("first", "ADD", Behaviour(status=3))
    told = (plugins.home / "told" / "first.ADD").open()
    plugins.tell("first", "ADD", Behaviour(status=4))
    with told:
        assert json.load(told)["status"] == 3
    assert _run(plugins, "first", "ADD").returncode == 4


def test_a_removed_one_is_gone(plugins: RecordingPlugins) -> None:
    plugins.remove("first")
    assert {path.name for path in Path(plugins.directory).iterdir()} == {"second", "third"}


def test_a_home_may_have_any_name(tmp_path: Path) -> None:
    plugins = RecordingPlugins(tmp_path / "it's {a} \u00e9 home")
    plugins.install("first")
    assert _run(plugins, "first", "ADD").returncode == 0
    assert plugins.held == {"first/c1/eth0"}
